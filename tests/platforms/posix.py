"""A host of its own for the scripts of the dead man's switch: namespaces for its files, network and processes, and no
SSH between. Each program that a script starts can be made to fail there, by its number.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediate.platforms.deadman_scripts import STATE
from remediate.platforms.session import Completed

NEEDED = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "flock", "nft", "ss"))),
    reason="needs root, and namespaces of its own",
)
#: What a script may start; each becomes a shim that counts.
PROGRAMS = (
    "awk",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "date",
    "flock",
    "grep",
    "head",
    "ls",
    "mkdir",
    "mv",
    "nft",
    "readlink",
    "rm",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "sort",
    "ss",
    "stat",
    "sync",
    "tail",
    "touch",
    "tr",
)
#: Of each of the disks.
SIZE = "600k"
#: In /mnt/ctl: ``mode`` and ``at``, the number of the start that it is about; ``count`` has a line a start. Only what
#: the scripts start is counted, not what a shim does itself.
SHIM = """#!/bin/sh
real=/mnt/real/{name}
[ -s /mnt/ctl/mode ] || exec $real "$@"
echo $$ >> /mnt/ctl/count
read -r mode < /mnt/ctl/mode; read -r at < /mnt/ctl/at
line=$(/mnt/real/grep -nxm 1 $$ /mnt/ctl/count); [ "${{line%%:*}}" = "$at" ] || exec $real "$@"
printf '%s\\n' "{name} $*" > /mnt/ctl/hit
case $mode in
fails) exit 1 ;;
killed) kill -s KILL $PPID; exit 1 ;;
slow) /mnt/real/sleep 3; exec $real "$@" ;;
read-only) for one in {disks}; do mount -o remount,ro "$one"; done; exec $real "$@" ;;
full) for one in {disks}; do /mnt/real/cat /dev/zero > "$one/filler" 2>/dev/null; done; exec $real "$@" ;;
esac
"""


class Host:
    """``disks``: folders with a file system each, which ``read-only`` and ``full`` are about."""

    def __init__(self, folder: Path, disks: tuple[str, ...]) -> None:
        self.folder, self.disks = folder, disks
        for name in ("ctl", "shims"):
            (folder / name).mkdir()
        for name in PROGRAMS:
            if shutil.which(name):
                shim = folder / "shims" / name
                shim.write_text(SHIM.format(name=name, disks=" ".join(disks)))
                shim.chmod(0o755)
        real = " ".join(f"ln -s {found} /mnt/real/{name};" for name in PROGRAMS if (found := shutil.which(name)))
        mounts = " ".join(
            f"mkdir -p {disk}; mount -t tmpfs -o size={SIZE},mode=755 tmpfs {disk};" for disk in self.disks
        )
        script = (
            "set -e; for one in /run /mnt /var/lib; do mount -t tmpfs -o mode=755 tmpfs $one; done; ip link set lo up; "
            f"mkdir /mnt/ctl /mnt/real; mount --bind {folder}/ctl /mnt/ctl; {real} {mounts} "
            f"mount --bind {folder}/shims /usr/local/sbin; echo ready; while :; do sleep 1000 & wait; done"
        )
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._enter = ["nsenter", "-t", children[0], "-m", "-n", "-p"]

    def execute(self, script: str, *, stdin: str = "", timeout: float = 60, root: bool = False) -> Completed:  # noqa: ARG002
        """As ``Session``'s. A script that is killed ends as one whose session was lost."""
        done = subprocess.run(
            [*self._enter, "sh", "-c", script],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def must(self, script: str) -> str:
        done = self.execute(script)
        assert done.status == 0, done
        return done.out

    def popen(self, argv: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._enter, *argv])

    def break_at(self, mode: str, at: int) -> None:
        """The ``at``-th program that is started from now on meets it."""
        (self.folder / "ctl" / "hit").unlink(missing_ok=True)
        (self.folder / "ctl" / "count").write_text("")
        (self.folder / "ctl" / "at").write_text(f"{at}\n")
        (self.folder / "ctl" / "mode").write_text(f"{mode}\n")

    def heal(self) -> str:
        """All is well again. What was hit, "" where nothing was."""
        (self.folder / "ctl" / "mode").write_text("")
        for disk in self.disks:
            self.must(f"mount -o remount,rw {disk}; rm -f {disk}/filler")
        return self.hit

    @property
    def hit(self) -> str:
        """What was, "" where nothing was."""
        hit = self.folder / "ctl" / "hit"
        return hit.read_text().strip() if hit.exists() else ""

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def host(folder: Path, *disks: str) -> Iterator[Host]:
    folder.mkdir()
    made = Host(folder, (STATE, *disks))
    try:
        yield made
    finally:
        made.close()
