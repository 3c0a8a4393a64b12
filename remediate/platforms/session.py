"""SSH to devices: the only importer of netmiko. Strict host keys; foreign exceptions end here."""

from __future__ import annotations

import re
import shlex
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import paramiko
from netmiko import ConnectHandler, NetmikoAuthenticationException, NetmikoBaseException, NetmikoTimeoutException
from netmiko.exceptions import ReadTimeout
from paramiko.hostkeys import HostKeyEntry, HostKeys

from remediate.errors import AuthenticationFailed, DeviceUnreachable, HostKeyError
from remediate.model.device import Device, Login
from remediate.platforms import privileged

#: A netmiko device type that reads no prompt: a device's own PS1 and banner do not matter to channels of our own.
EXEC_ONLY = "terminal_server"
CONNECT_TIMEOUT = 15.0
_POLL = 0.02
_LONGEST_PROMPT = 200
_ABORT_SEEN_IN = 0.5
#: Characters of an answer: what is longer says how long a device prints, not how long it takes for a line.
_SHORT = 400
_REMEMBERED = 64
#: Seconds; paramiko's thread looks up ten times a second otherwise, in each of many sessions that are only held.
_LOOKS_UP = 5.0


class Completed(NamedTuple):
    status: int
    out: str
    err: str


class Reply(NamedTuple):
    """``text``: what the device said to one line; ``prompt``: what it waits with for the next one."""

    text: str
    prompt: str


class Session:
    """One SSH connection to one device. ``abort`` may be called from any thread and ends a hanging call at once."""

    def __init__(self, device: Device, login: Login, device_type: str) -> None:
        self.device = device
        self._aborted = threading.Event()
        self._login = login
        self._round_trips: deque[float] = deque(maxlen=_REMEMBERED)
        key = login.key or (None if login.password else _own_key())
        if login.key is not None and not Path(login.key).is_file():
            raise AuthenticationFailed(
                f"the private key {login.key} does not exist",
                where=device.name,
                next="correct ssh.key in the inventory; relative paths start at the inventory's directory",
            )
        how = {
            "device_type": device_type,
            "host": login.host,
            "port": login.port,
            "username": login.username,
            "password": login.password.get_secret_value() if login.password else None,
            "use_keys": key is not None,
            "key_file": key,
            "allow_agent": login.key is None and login.password is None,
            "ssh_strict": True,
            "system_host_keys": False,
            "alt_host_keys": True,
            "conn_timeout": CONNECT_TIMEOUT,
            "auth_timeout": CONNECT_TIMEOUT,
            "banner_timeout": CONNECT_TIMEOUT,
        }
        with self._translated(), NamedTemporaryFile("w", suffix=".known_hosts") as known:
            known.write(_known(login))
            known.flush()
            try:
                self._netmiko: Any = ConnectHandler(**how, alt_key_file=known.name)
            except (NetmikoBaseException, paramiko.SSHException) as error:
                changed = _caused_by(error, paramiko.BadHostKeyException)
                if changed is None or not device.ha or not (line := _listed(login, changed.key)):
                    raise
                # paramiko reads one key of a kind for a host, and a pair has two.
                with NamedTemporaryFile("w", suffix=".known_hosts") as file:
                    file.write(line)
                    file.flush()
                    self._netmiko = ConnectHandler(**how, alt_key_file=file.name)
            transport = self._netmiko.remote_conn_pre.get_transport()
            transport.sock.settimeout(_LOOKS_UP)
            #: Read now: once the session is lost, paramiko no longer tells it.
            self._host_key: str = transport.get_remote_server_key().fingerprint
            self._hostname: str = self._netmiko.base_prompt

    @property
    def host_key(self) -> str:
        """Its fingerprint, of the unit that answered."""
        return self._host_key

    @property
    def prompt_name(self) -> str:
        """The host name, as the prompt has it; netmiko alone would cut it."""
        return self._hostname

    @property
    def username(self) -> str:
        return self._login.username

    def execute(self, script: str, *, stdin: str = "", timeout: float = 30, root: bool = False) -> Completed:
        """Run a shell script on its own channel: exit status and both outputs are told apart, nothing is echoed.

        ``root``: through ``sudo -n`` where the login is not root's. Raises DeviceUnreachable when the answer does
        not come within ``timeout`` seconds; what the script did by then is not known.
        """
        command = f"sh -c {shlex.quote(script)}"
        if root:
            command = f'if [ "$(id -u)" = 0 ]; then {command}; else sudo -n {command}; fi'
        with self._translated():
            channel = self._netmiko.remote_conn_pre.get_transport().open_session(timeout=timeout)
            try:
                return _run(channel, command, stdin, timeout, self._aborted)
            finally:
                channel.close()

    def say(self, line: str, *, timeout: float = 30, agrees_to: str = "") -> Reply:
        """Type a line at an interactive command line, and read until its prompt comes back.

        A question is answered with no, or with yes where it has ``agrees_to`` in it, and stands at the end of the text.
        Raises DeviceUnreachable when no prompt comes within ``timeout`` seconds; what the device did by then is not
        known.
        """
        with self._translated():
            self._netmiko.read_channel()  # what the device said unasked, before
            began = time.monotonic()
            reply = _talk(self._netmiko.remote_conn, self._netmiko.base_prompt, line, timeout, self._aborted, agrees_to)
            if len(reply.text) < _SHORT:
                self._round_trips.append(time.monotonic() - began)
            return reply

    def enable(self) -> None:
        """Privileged mode, with the enable secret where the device asks for one, without one the login's own password.

        Tried once: a server of passwords may lock whoever is wrong too often. Raises AuthenticationFailed.
        """
        prompt = self.say("show privilege").prompt
        self._hostname = prompt.rstrip("#>")
        if prompt.endswith("#"):
            return
        with self._translated():
            privileged.enable(self._netmiko.remote_conn, self._hostname, self._login, self.device.name, self._aborted)

    @property
    def seconds_a_line(self) -> float:
        """What a typed line with a short answer took, from the line to the next prompt: the median; 0 before any."""
        return median(self._round_trips) if self._round_trips else 0.0

    def abort(self) -> None:
        self._aborted.set()
        self.close()

    def close(self) -> None:
        transport = self._netmiko.remote_conn_pre.get_transport()
        if transport is None:
            return
        with suppress(OSError):  # gone already
            transport.sock.shutdown(socket.SHUT_RDWR)  # whoever reads there is told at once
        transport.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        name = self.device.name
        try:
            yield
        except NetmikoAuthenticationException as error:
            if _caused_by(error, paramiko.PasswordRequiredException) is not None:
                raise AuthenticationFailed(
                    "the private key has a passphrase, and nothing here asks for it",
                    where=name,
                    next="load it into an SSH agent and leave ssh.key out, or name a key without a passphrase",
                ) from error
            raise AuthenticationFailed(
                "the device does not accept this login",
                where=name,
                next="check username, password or ssh.key in the inventory, and that the device knows the key",
            ) from error
        except (
            NetmikoTimeoutException,
            NetmikoBaseException,
            paramiko.SSHException,
            OSError,
            EOFError,
            ValueError,
        ) as error:
            changed = _caused_by(error, paramiko.BadHostKeyException)
            if changed is not None:
                raise HostKeyError(
                    f"the SSH host key of {changed.hostname} has changed: expected "
                    f"{changed.expected_key.fingerprint}, got {changed.key.fingerprint}",
                    where=name,
                    next="find out why before anything else; if the change is known, take the old key out of "
                    f"{self._login.known_hosts}, then: remediate inventory trust",
                ) from error
            if "not found in known_hosts" in str(error):
                known_hosts = Path(self._login.known_hosts)
                lacks = "does not have it" if known_hosts.is_file() else "does not exist"
                raise HostKeyError(
                    f"the device's SSH host key is not known: {known_hosts} {lacks}",
                    where=name,
                    next="compare its fingerprint with the device's own, then record it: remediate inventory trust",
                ) from error
            if self._aborted.is_set():
                raise DeviceUnreachable("the session was aborted by us", where=name) from error
            if isinstance(error, ReadTimeout) or "prompt not found" in str(error):
                raise DeviceUnreachable(
                    "the login was taken, but no prompt that ends in > or # came after it",
                    where=name,
                    next="log in by hand and see what stands there: a menu, a question or a banner that waits for a "
                    "key must go, and so must a `prompt` line in the device's configuration (`no prompt`)",
                ) from error
            raise DeviceUnreachable(
                f"no session with the device: {_first_line(error)}",
                where=name,
                next="check its address and port in the inventory, the way to it, and that its SSH server answers",
            ) from error


def _known(login: Login) -> str:
    """The lines for that host: paramiko reads all that it is given at each login, and sites have many hosts."""
    path = Path(login.known_hosts)
    if not path.is_file():
        return ""
    about, name = path.stat(), _host_name(login)
    found = _read_once(login.known_hosts, about.st_mtime_ns, about.st_size).lookup(name)
    return "".join(f"{name} {key.get_name()} {key.get_base64()}\n" for key in (found or {}).values())


@lru_cache(4)
def _read_once(path: str, changed: int, size: int) -> HostKeys:  # noqa: ARG001 -- another file under the same name
    return HostKeys(path)


def _host_name(login: Login) -> str:
    """As known_hosts has it."""
    return login.host if login.port == 22 else f"[{login.host}]:{login.port}"


def _listed(login: Login, key: paramiko.PKey) -> str:
    """The line of known_hosts that has exactly this key for that host; "" where none has."""
    name = _host_name(login)
    for line in Path(login.known_hosts).read_text().splitlines():
        entry = HostKeyEntry.from_line(line.strip())
        if entry is None or entry.key != key:
            continue
        known = HostKeys()
        for pattern in entry.hostnames or ():
            known.add(pattern, key.get_name(), key)
        if known.check(name, key):
            return f"{line.strip()}\n"
    return ""


def _run(channel: Any, command: str, stdin: str, timeout: float, aborted: threading.Event) -> Completed:
    until = time.monotonic() + timeout
    channel.settimeout(timeout)
    channel.exec_command(command)
    channel.sendall(stdin.encode())
    channel.shutdown_write()
    out, err = bytearray(), bytearray()
    while True:
        # ``exit_status_ready`` may come before the last data, so what is there is drained after it was seen.
        ended = channel.exit_status_ready()
        while channel.recv_ready():
            out += channel.recv(65536)
        while channel.recv_stderr_ready():
            err += channel.recv_stderr(65536)
        if ended and channel.eof_received and not channel.recv_ready() and not channel.recv_stderr_ready():
            return Completed(channel.recv_exit_status(), out.decode(errors="replace"), err.decode(errors="replace"))
        if aborted.is_set() or (channel.closed and not channel.exit_status_ready()):
            raise EOFError("the connection was lost while a command ran")
        if time.monotonic() > until:
            raise TimeoutError(f"no answer within {timeout:g} s")
        channel.status_event.wait(_POLL)


_QUESTION = re.compile(r"[^\n]*\[(confirm|yes/no|y/n|no|yes)\]:? *$", re.IGNORECASE)


def _talk(
    channel: Any, hostname: str, line: str, timeout: float, aborted: threading.Event, agrees_to: str = ""
) -> Reply:
    """The answer stands between the echo of the line and the next prompt.

    What comes after the prompt was not asked for: a device writes its messages there, on the same line even, and may
    then show prompt and line once more.
    """
    prompt = re.compile(rf"^{re.escape(hostname)}[^\s#>()]*(\([^)\n]*\))?[#>](?! ?{re.escape(line)})", re.MULTILINE)
    until = time.monotonic() + timeout
    channel.sendall(line.encode() + b"\n")
    name = hostname.encode()
    raw = bytearray()
    answered = -1
    while True:
        if aborted.is_set():
            raise EOFError("the connection was lost while a command ran")
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no answer to `{line}` within {timeout:g} s")
        channel.settimeout(min(left, _ABORT_SEEN_IN))
        try:
            more = channel.recv(65536)
        except TimeoutError:  # quiet, so what stands last is all there is: perhaps a question
            if (question := _QUESTION.search(_said(raw, line))) and question.start(1) != answered:
                answered = question.start(1)
                word = "yes" if agrees_to and agrees_to in question[0] else "no"
                one_key = question[1].lower() in ("confirm", "y/n")
                channel.sendall(word[:1].encode() if one_key else f"{word}\n".encode())
            continue
        if not more:
            raise EOFError("the device closed the connection")
        raw += more
        if name not in raw[-len(more) - _LONGEST_PROMPT :]:
            continue  # an answer of many parts is read as a whole only where it may have ended
        said = _said(raw, line)
        if found := prompt.search(said):
            return Reply(said[: found.start()].strip("\n"), found[0].strip())


def _said(raw: bytearray, line: str) -> str:
    """What stands behind the echo of the line."""
    text = raw.decode(errors="replace").replace("\r", "")
    echo = text.find(line)
    return text[echo + len(line) :] if echo >= 0 else ""


_E = TypeVar("_E", bound=BaseException)


def _caused_by(error: BaseException | None, kind: type[_E]) -> _E | None:
    """netmiko turns paramiko's exceptions into texts of its own, and leaves the original one behind as the context."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _own_key() -> str | None:
    """The user's own key, as OpenSSH would take it; the agent is asked besides."""
    names = ("id_ed25519", "id_ecdsa", "id_rsa")
    return next((str(path) for name in names if (path := Path.home() / ".ssh" / name).is_file()), None)


def _first_line(error: BaseException) -> str:
    """netmiko wraps what paramiko says into a text of its own, several lines long."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, paramiko.SSHException) and not isinstance(cause, NetmikoTimeoutException):
            error = cause
        cause = cause.__cause__ or cause.__context__
    text = str(error).strip()
    if not text and isinstance(error, EOFError):
        return "the connection was lost; the device may have started anew"
    return text.splitlines()[0] if text else type(error).__name__
