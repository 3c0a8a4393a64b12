"""The SSH front of a simulated device: logins, and a terminal with the echo and the keys that devices know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncssh

CTRL_A, CTRL_C, CTRL_H, CTRL_U, CTRL_W, CTRL_Z, DELETE = "\x01", "\x03", "\b", "\x15", "\x17", "\x1a", "\x7f"


class Gone(Exception):
    """The client has closed its end."""


class Break(Exception):
    """Ctrl-C."""


class Terminal:
    """Echoes as a device does. ``width`` 0: lines of any length are echoed whole. What is written leaves when the
    next key is waited for, or with ``flush``.

    A typed line that reaches the width is shifted left behind a ``$``, as IOS does it.
    """

    def __init__(self, read: Callable[[], Awaitable[str]], write: Callable[[str], None]) -> None:
        self._read = read
        self._send = write
        self._unsent: list[str] = []
        self._ahead = ""
        self._after_return = False
        self.width = 80
        self.length = 24

    def _write(self, text: str) -> None:
        self._unsent.append(text)

    def flush(self) -> None:
        text = "".join(self._unsent)
        self._unsent.clear()
        if text:
            self._send(text)

    def write(self, text: str) -> None:
        self._write(text.replace("\r\n", "\n").replace("\n", "\r\n"))

    async def key(self) -> str:
        """One character; the line feed of a CR LF is left out. Raises Gone."""
        while True:
            if not self._ahead:
                self.flush()
                self._ahead = await self._read()
                if not self._ahead:
                    raise Gone
            key, self._ahead = self._ahead[0], self._ahead[1:]
            second_half = key == "\n" and self._after_return
            self._after_return = key == "\r"
            if not second_half:
                return key

    async def line(self, prompt: str, *, echo: bool = True) -> tuple[str, bool]:
        """A typed line, and whether Ctrl-Z ended it. Raises Break, Gone."""
        self.write(prompt)
        typed = ""
        hidden = 0  # how much of the line stands left of the $
        while True:
            key = await self.key()
            match key:
                case "\r" | "\n":
                    self.write("\n")
                    return typed, False
                case "\x1a":
                    self.write("^Z\n")
                    return typed, True
                case "\x03":
                    self.write("\n")
                    raise Break
                case "\b" | "\x7f":
                    if typed:
                        typed = typed[:-1]
                        if echo:
                            self._write("\b \b")
                    continue
                case "\x15":
                    if echo:
                        self._write("\b \b" * (len(typed) - hidden))
                    typed, hidden = "", 0
                    continue
            if not key.isprintable():
                continue
            typed += key
            if not echo:
                continue
            shown = len(typed) - hidden + (1 if hidden else 0)
            if self.width and len(prompt) + shown >= self.width:
                back = shown - 1
                hidden = len(typed) - (self.width - len(prompt)) // 2
                tail = "$" + typed[hidden:]
                self._write("\b" * back + tail + " " * (back - len(tail)) + "\b" * (back - len(tail)))
            else:
                self._write(key)

    async def page(self, text: str) -> None:
        """Writes ``text`` and a new line, stopping with `` --More-- `` after every screen, unless the length is 0."""
        lines = text.split("\n")
        if not self.length:
            self.write("".join(f"{line}\n" for line in lines))
            return
        room = self.length - 1
        for line in lines:
            if room == 0:
                self._write(" --More-- ")
                key = await self.key()
                self._write("\b" * 9 + " " * 8 + "\b" * 9)
                if key == " ":
                    room = self.length - 1
                elif key in "\r\n":
                    room = 1
                else:
                    return
            self.write(f"{line}\n")
            room -= 1


@dataclass(frozen=True)
class Peer:
    user: str
    address: str


class Host(Protocol):
    """The device behind the SSH server."""

    def admits(self, address: str) -> bool:
        """Whether a connection from there may even begin to log in."""
        ...

    def knows(self, user: str, password: str) -> bool: ...

    async def serve(self, terminal: Terminal, peer: Peer, command: str | None) -> None:
        """One session, until it ends."""
        ...


class _Server(asyncssh.SSHServer):
    def __init__(self, host: Host, keys: dict[str, asyncssh.SSHAuthorizedKeys]) -> None:
        self._host = host
        self._keys = keys
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if not self._host.admits(conn.get_extra_info("peername")[0]):
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        if self._connection is not None and username in self._keys:
            self._connection.set_authorized_keys(self._keys[username])
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        return await asyncio.to_thread(self._host.knows, username, password)


async def listen(
    host: Host, address: str, port: int, host_key: Path, keys: dict[str, Path] | None = None
) -> asyncssh.SSHAcceptor:
    """``keys``: a file of authorized keys for each user that may come with one."""
    authorized = {user: asyncssh.read_authorized_keys(str(path)) for user, path in (keys or {}).items()}

    async def session(process: asyncssh.SSHServerProcess[str]) -> None:
        async def read() -> str:
            while True:
                try:
                    return await process.stdin.read(4096)
                except asyncssh.TerminalSizeChanged:
                    continue
                except asyncssh.BreakReceived:
                    return CTRL_C

        def write(text: str) -> None:
            if not process.stdout.is_closing():
                process.stdout.write(text)

        peer = Peer(process.get_extra_info("username"), process.get_extra_info("peername")[0])
        terminal = Terminal(read, write)
        try:
            await host.serve(terminal, peer, process.command)
        except (Gone, ConnectionError, asyncssh.Error):
            pass  # the client went away: its session is over, and that is all
        finally:
            terminal.flush()
            process.exit(0)
            await process.wait_closed()  # what was written has left
            process.get_extra_info("connection").close()

    return await asyncssh.create_server(
        lambda: _Server(host, authorized),
        address,
        port,
        server_host_keys=[str(host_key)],
        process_factory=session,
        line_editor=False,
        encoding="utf-8",
        errors="replace",
        login_timeout=30,
        keepalive_interval=0,
    )
