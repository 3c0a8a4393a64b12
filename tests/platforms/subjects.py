"""What a push configures on a host of ``posix``: its packet filter, and the file of an archive."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from remediate import platforms
from remediate.change import guarding
from remediate.lab.real import hosts
from remediate.model.change import Candidate, Token
from remediate.model.device import ConfigFile
from remediate.platforms.archive.driver import ArchiveFile
from remediate.platforms.deadman_scripts import STATE
from remediate.platforms.linux_nftables.driver import LinuxNftables
from remediate.platforms.orthanc import Orthanc
from remediate.render import Renderer
from tests import factories
from tests.platforms import posix

TOKEN = Token("test.1.host")
#: Nothing here waits for it: a test ends the timer's sleep.
REVERT_IN = timedelta(minutes=10)
ARCHIVE = "/mnt/archive"
PORT = 104
SERVER = f"""
import os, socket
word = b"after" if "AFTER" in open("{ARCHIVE}/orthanc.json").read() else b"before"
listener = socket.create_server(("", {PORT}))
open("/mnt/pid", "w").write(str(os.getpid()))
while True:
    sock, _ = listener.accept()
    sock.sendall(word)
    sock.close()
"""
RESTART = f"""\
read -r pid < /mnt/pid; kill -s KILL $pid
while kill -0 $pid 2>/dev/null; do sleep 0.05; done
setsid -f {sys.executable} /mnt/server.py </dev/null >/dev/null 2>&1
"""
ASK = f"import socket; print(socket.create_connection(('127.0.0.1', {PORT}), 5).recv(9).decode())"


class Filter:
    """A packet filter that has a section of another archive's already."""

    disks = ("/etc",)

    def __init__(self, host: posix.Host, *, neighbours: bool = True) -> None:
        self.host = host
        host.must("mkdir -p /etc/network/if-pre-up.d")
        self.driver: Any = LinuxNftables(factories.FIREWALL, host)  # type: ignore[arg-type]
        if neighbours:
            host.execute("/mnt/real/nft -f -", stdin=self._candidate("pacs-south").text)
        self.candidate = self._candidate("pacs-north")
        self.before = self._rules()

    def _candidate(self, pacs: str) -> Candidate:
        running = self.driver.running_config()
        sections = guarding.sections(factories.FIREWALL, [factories.intent(pacs=pacs)], running)
        return guarding.candidate(factories.FIREWALL, sections, running, Renderer())

    def _rules(self) -> str:
        return self.host.must("/mnt/real/nft -s list ruleset")

    def is_before(self) -> bool:
        return self._rules() == self.before

    def is_after(self) -> bool:
        return "acl_pacs-north" in self._rules()

    def lasts(self) -> bool:
        return "acl_pacs-north" in self.driver.boot_config()

    def reset(self) -> None:
        self.host.must("rm -rf /etc/remediate /etc/network/if-pre-up.d/*")


class Archive:
    """An archive that reads its file when it is started."""

    disks = (ARCHIVE,)

    def __init__(self, host: posix.Host) -> None:
        self.host = host
        self.before = json.dumps({"Name": "BEFORE", "DicomPort": PORT}, indent=1)
        host.execute("cat > /mnt/server.py", stdin=SERVER)
        host.execute("cat > /mnt/restart", stdin=RESTART)
        host.execute(f"cat > {ARCHIVE}/orthanc.json", stdin=self.before)
        host.must("sh -c 'sleep 0.01 & echo $! > /mnt/pid; wait'; sh /mnt/restart")
        self._wait()
        self.driver: Any = self.at(f"{ARCHIVE}/orthanc.json")
        self.candidate = Candidate(
            device=factories.FIREWALL.name,
            platform="orthanc",
            sections=(),
            text='{"Name": "AFTER"}',
            inverse='{"Name": "BEFORE"}',
            base="",
            diff="",
        )

    def at(self, path: str, restart: str = "sh /mnt/restart") -> ArchiveFile:
        config = ConfigFile(path=path, restart=restart, ports=(PORT,), dicom_ports=(PORT,))
        device = factories.FIREWALL.model_copy(update={"platform": "orthanc", "config": config})
        return ArchiveFile(device, self.host, Orthanc())  # type: ignore[arg-type]

    def restart_with(self, command: str) -> None:
        self.driver = self.at(f"{ARCHIVE}/orthanc.json", command)

    def _wait(self) -> None:
        self.host.must(f"until ss -Hltn 'sport = :{PORT}' | grep -q .; do sleep 0.05; done")

    def _answers(self) -> str:
        done = self.host.execute(f'{sys.executable} -c "{ASK}"')
        return done.out.strip()

    def _file(self) -> str:
        return self.host.must(f"cat {ARCHIVE}/orthanc.json")

    def is_before(self) -> bool:
        return self._answers() == "before" and self._file() == self.before

    def is_after(self) -> bool:
        return self._answers() == "after"

    def lasts(self) -> bool:
        return "AFTER" in self.driver.boot_config()

    def reset(self) -> None:
        self.host.must(f"rm -f {ARCHIVE}/.orthanc*")


Subject = Filter | Archive


def stage(subject: Subject) -> None:
    subject.driver.load_merge_candidate(subject.candidate, TOKEN)


def commit(subject: Subject) -> None:
    subject.driver.commit_config(token=TOKEN, revert_in=REVERT_IN, message="")


def push(subject: Subject) -> None:
    stage(subject)
    commit(subject)


def confirm(subject: Subject) -> None:
    subject.driver.confirm_commit(TOKEN)


def rollback(subject: Subject) -> None:
    subject.driver.rollback(TOKEN, subject.candidate)


def fire(subject: Subject) -> None:
    """Its time is over: the timer sleeps no longer."""
    pid = subject.host.must(f"/mnt/real/cat {STATE}/{TOKEN}/deadman.pid").strip()
    subject.host.must(f"for one in $(/mnt/real/cat /proc/{pid}/task/{pid}/children); do kill $one; done")


def timer(subject: Subject) -> None:
    fire(subject)
    hosts.until(lambda: subject.host.hit or settled(subject), what="what the timer does")


def settled(subject: Subject) -> bool:
    return subject.driver.state_of(TOKEN).name not in (platforms.ARMED, platforms.STUCK)
