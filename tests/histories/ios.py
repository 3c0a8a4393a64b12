"""A Cisco IOS router by its own words: a session of somebody's own, and what a configuration does to a packet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import paramiko

#: Where the program writes which push is on the device: nobody's rule.
MARKER = "REMEDIATE-PUSH"
_PROMPT = r"(?:^|\n)edge-router-\d(?:\(config[^)]*\))?#$"
_HEADS = re.compile(r"Building configuration|Current configuration|Using \d+ out of|!|version ")


class Terminal:
    """A session of the user ``judge``, privilege 15, by ``key``; begun anew when it was lost, as in a restart."""

    def __init__(self, host: str, port: int, key: Path) -> None:
        self._login = {"hostname": host, "port": port, "username": "judge", "key_filename": str(key)}
        self._client: paramiko.SSHClient | None = None
        self._channel: paramiko.Channel | None = None

    def show(self, *commands: str) -> list[str]:
        """What it answers to each."""
        try:
            return [self._answer(command) for command in commands]
        except (paramiko.SSHException, OSError, EOFError):
            self.close()
        return [self._answer(command) for command in commands]

    def type(self, *lines: str) -> None:
        """As somebody types. Raises RuntimeError where the router does not know a line."""
        self.show("show clock")  # so that a session that was lost is not lost in the middle
        for line in lines:
            said = self._answer(line)
            if "% " in said:
                raise RuntimeError(f"the router does not take {line!r}: {said}")

    def reload(self, *, differs: bool) -> None:
        """Without a save. ``differs``: whether it will ask for one."""
        self.show("show clock")
        channel = self._open()
        channel.sendall(b"reload\n")
        if differs:
            self._until(channel, r"\[yes/no\]: $")
            channel.sendall(b"no\n")
        self._until(channel, r"\[confirm\]$")
        channel.sendall(b"\n")
        while channel.recv(65536):
            pass  # until the router has ended the session
        self.close()

    def _answer(self, command: str) -> str:
        channel = self._open()
        channel.sendall(f"{command}\n".encode())
        said = self._until(channel, _PROMPT)
        return said.partition("\n")[2].rpartition("\n")[0]  # between the echo and the next prompt

    @staticmethod
    def _until(channel: paramiko.Channel, pattern: str) -> str:
        text = ""
        while not re.search(pattern, text):
            more = channel.recv(65536).decode()
            if not more:
                raise EOFError
            text = (text + more).replace("\r", "")
        return text

    def _open(self) -> paramiko.Channel:
        if self._channel is None:
            self._client = client = paramiko.SSHClient()
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 -- on loopback, started by us
            client.connect(**self._login, look_for_keys=False, allow_agent=False, timeout=30)  # type: ignore[arg-type]
            channel = client.invoke_shell(width=500)
            channel.settimeout(30)
            self._until(channel, _PROMPT)
            self._channel = channel
            for command in ("terminal length 0", "terminal width 0"):
                self._answer(command)
        return self._channel

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._channel = None


def lines(text: str) -> list[str]:
    """A configuration without what changes by itself."""
    return [line.rstrip() for line in text.splitlines() if line.strip() and not _HEADS.match(line)]


def blocks(config: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    head, body = "", []
    for line in config:
        if line.startswith(" "):
            body.append(line.strip())
        else:
            if head:
                yield head, body
            head, body = line, []
    if head:
        yield head, body


def without_marker(config: Iterable[str]) -> list[str]:
    kept = []
    for head, body in blocks(config):
        if head.split()[-1] != MARKER:
            kept += [head, *(f" {line}" for line in body)]
    return kept


def permits(config: Iterable[str], interface: str, source: str, destination: str, port: int) -> bool:
    """Whether TCP that comes in there gets past the list that is bound there, first match decides."""
    found = dict(blocks(config))
    bound = [
        line.split()[2] for line in found.get(f"interface {interface}", []) if re.match(r"ip access-group .* in", line)
    ]
    if not bound:
        return True
    for line in found.get(f"ip access-list extended {bound[0]}", []):
        words = line.split()
        if words[0] not in ("permit", "deny") or words[1] not in ("ip", "tcp"):
            continue
        rest = words[2:]
        if _address(rest, source) and _any_port(rest) and _address(rest, destination) and _port(rest, port):
            return words[0] == "permit"
    return False


def _address(words: list[str], address: str) -> bool:
    """Takes an address off the words; whether that one is meant."""
    first = words.pop(0)
    if first == "any":
        return True
    second = words.pop(0)
    if first == "host":
        return second == address
    wildcard = int(IPv4Address(second))
    return int(IPv4Address(first)) | wildcard == int(IPv4Address(address)) | wildcard


def _any_port(words: list[str]) -> bool:
    """Whether no source port is asked for: nobody chooses the one that it comes from."""
    if words and words[0] in ("eq", "range", "gt", "lt", "neq"):
        del words[: 3 if words[0] == "range" else 2]
        return False
    return True


def _port(words: list[str], port: int) -> bool:
    match words:
        case ["eq", number, *_]:
            return int(number) == port
        case ["range", first, last, *_]:
            return int(first) <= port <= int(last)
    return True
