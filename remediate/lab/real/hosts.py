"""One host of the lab: a network namespace, and a process tree with file systems of its own.

A host's first process is PID 1 of a PID namespace: when it is killed, the kernel ends everything that ever ran
there, dead man's timers of our own included. Its /run is empty and its /proc its own, so that nothing in a host
finds this machine's systemd: a revert timer handed to *that* would run against this machine's firewall.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from remediate.errors import DeadlineExceeded, RemediateError

T = TypeVar("T")

NETNS: Final = Path("/run/netns")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CLONE_NEWNET: Final = 0x40000000

# $1: the host's folder, $2: its name. The outer PID is read before the new /proc hides it. Copies of the mounts in
# /run/netns would keep other namespaces alive. The kernel's boot id is this machine's: each host has its own, as long
# as it runs. Without the line on standard input, up() has died and this host with
# it. With SIGCHLD ignored the kernel reaps orphans.
_BOOT: Final = """
set -e
read -r outer rest </proc/self/stat
hostname "$2"
umount -R -l /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -m 755 /run/sshd /run/lock
for dir in etc var; do
    mount -t overlay -o "lowerdir=/$dir,upperdir=$1/$dir,workdir=$1/.$dir" overlay "/$dir"
done
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount --bind /etc/remediate-lab/boot_id /proc/sys/kernel/random/boot_id
ip link set lo up
echo "$outer"
read -r go
exec </dev/null >/dev/null 2>&1
cd /
exec env --ignore-signal=CHLD sleep infinity
"""


class LabError(RemediateError):
    """The lab could not be built, or a part of it could not be used."""


def run(argv: Sequence[str], *, text: str | None = None) -> str:
    """Runs a program on this machine that must succeed; its standard output."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or "nothing"
        raise LabError(f"`{' '.join(argv)}` ended with {done.returncode} and said: {said}")
    return done.stdout


def until(ready: Callable[[], T], *, what: str, seconds: float = 20.0, every: float = 0.02) -> T:
    """Polls ``ready`` until it is true.

    Raises: DeadlineExceeded after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        if result := ready():
            return result
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{what}: not within {seconds:g} s", next="look at the logs in the lab's folder")
        pause.wait(every)


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None where it is gone or a zombie. With the PID, an identity."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def kill(pid: int, started: int | None) -> None:
    """Ends exactly that process; none where the PID is gone or belongs to another by now."""
    try:
        handle = os.pidfd_open(pid)  # from here on the number cannot pass to another process unnoticed
    except ProcessLookupError:
        return
    try:
        if started is not None and start_time(pid) == started:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself, which is what was wanted
    finally:
        os.close(handle)


def members(namespace: str) -> Iterator[tuple[int, int]]:
    """PID and start time of every living process in a named network namespace."""
    try:
        inode = (NETNS / namespace).stat().st_ino
    except FileNotFoundError:
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns/net").stat().st_ino != inode:
                continue
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or closed even to root: neither is a process of the lab
        if (started := start_time(int(entry.name))) is not None:
            yield int(entry.name), started


def namespaces(prefix: str) -> set[str]:
    """Those that exist and are called so, of the lab or not."""
    return {path.name for path in NETNS.glob(f"{prefix}*")} if NETNS.is_dir() else set()


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Calls ``work`` on a thread whose new sockets belong to that network namespace; its result or exception."""
    libc = ctypes.CDLL(None, use_errno=True)
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            handle = os.open(NETNS / namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if libc.setns(handle, _CLONE_NEWNET):  # of this thread only; os.setns is Python 3.12's
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), namespace)
            finally:
                os.close(handle)
            outcome.append(work())
        except BaseException as error:  # handed over to the caller's thread, whatever it is
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"inside {namespace}", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def boot(folder: Path, *, namespace: str, name: str, lock: int, started: Callable[[int], None]) -> int:
    """Starts a host's first process in an existing network namespace; its PID as this machine counts.

    ``folder`` holds the upper directories ``etc`` and ``var``, which may be filled already. ``started`` is called
    with the PID before the host may go on, so that whoever clears up knows of it. ``lock``: a file descriptor that
    the process keeps open.
    """
    for part in ("etc", "var", ".etc", ".var"):
        (folder / part).mkdir(mode=0o755, parents=True, exist_ok=True)
    log = folder / "boot.log"
    argv = ["setsid", "--fork", "nsenter", f"--net={NETNS / namespace}"]  # --fork: it is nobody's child here
    argv += ["unshare", "--mount", "--propagation", "private", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    argv += ["sh", "-c", _BOOT, "boot", str(folder), name]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, pass_fds=[lock], env=_environment()
        ) as process,
    ):
        assert process.stdout is not None and process.stdin is not None
        line = process.stdout.readline().strip()
        if not line:
            raise LabError(f"the host {name} did not start: {log.read_text().strip()}", where=str(log))
        pid = int(line)
        started(pid)
        process.stdin.write(b"go\n")
    return pid


def enter(pid: int, argv: Sequence[str]) -> list[str]:
    """The command that runs ``argv`` in all namespaces of a host, and dies with whoever waits for it."""
    spaces = ["--mount", "--net", "--pid", "--uts", "--ipc"]
    return ["nsenter", f"--target={pid}", *spaces, "--", "setpriv", "--pdeathsig", "KILL", "--", *argv]


def _environment() -> dict[str, str]:
    return {"PATH": _PATH, "HOME": "/var/root", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}


def execute(pid: int, argv: Sequence[str], *, timeout: float = 60.0, **kw: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program in a host, in ``/``, and waits. The exit status is the caller's to judge.

    ``kw`` goes to ``subprocess.run``; ``env`` adds to a small environment of the lab's own.
    Raises: DeadlineExceeded after ``timeout`` seconds; the program is ended then.
    """
    extra: Mapping[str, str] = kw.pop("env", {})
    options: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "stdin": subprocess.DEVNULL}
    if "input" in kw:
        del options["stdin"]
    try:
        return subprocess.run(  # noqa: PLW1510 - `check` is in the options, where the caller may change it
            enter(pid, argv), timeout=timeout, env={**_environment(), **extra}, **(options | kw)
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"`{' '.join(argv)}` did not end within {timeout:g} s") from error


def spawn(pid: int, argv: Sequence[str], **kw: Any) -> subprocess.Popen[str]:
    """Starts a program in a host. ``terminate()`` or ``kill()`` end it, and so does the end of the caller."""
    return subprocess.Popen(enter(pid, argv), env=_environment(), text=True, **kw)


def daemon(pid: int, argv: Sequence[str], *, log: str) -> None:
    """Starts a program in a host that stays when this process ends; ``log``: a path as that host sees it."""
    redirect = 'log=$1; shift; exec setsid --fork "$@" </dev/null >>"$log" 2>&1'
    done = execute(pid, ["sh", "-c", redirect, "daemon", log, *argv])
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` did not start: {done.stderr.strip()}")


def listening(pid: int, port: int) -> bool:
    """Whether anything in the host's network namespace listens on that TCP port.

    Read from the kernel's table: a bare connection to a DICOM port would stop the archive for 30 s.
    """
    try:
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        lines += Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError, OSError):
        return False
    sockets = (line.split() for line in lines)
    return any(fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port for fields in sockets)
