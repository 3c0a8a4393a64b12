"""Somebody at a prompt who makes mistakes: what is said to them, and that nothing else comes of it."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remediate.cli import main

SECRET = "Tr0ub4dor"

#: Nothing answers at any of its addresses.
HOSTS = f"""\
pacs-north:
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {{inside: 127.0.0.5, outside: 127.0.0.20}}
    services: [{{kind: dicom, port: 104}}]
    protected_by: [fw-north]
    access:
      peers:
        - {{name: ct-1, address: 127.0.0.10, ae_title: CLINICMOD, roles: [store]}}
fw-north:
  {{hostname: 127.0.0.1, port: 9, username: netops, password: {SECRET}, platform: linux_nftables,
   groups: [firewalls], data: {{guard: {{interface: wan}}}}}}
internet: {{groups: [vantages], data: {{zone: outside, canaries: [{{address: 127.0.0.1, port: 9}}]}}}}
clinic: {{groups: [vantages], data: {{zone: inside, peer: ct-1, via: {{ssh: "probe@127.0.0.1:9"}}}}}}
"""
BOOK = """\
- name: Close public DICOM exposure
  hosts: pacs
  vars: {revert_in: 5m}
  tasks:
    - name: Only known peers reach the archive
      apply: acl
    - name: Look
      verify: {from: [internet, clinic]}
"""

_NETWORK = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})
_heard: list[list[tuple[str, Any]]] = []


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if _heard and event in _NETWORK:
        where = args[0] if event == "socket.getaddrinfo" else args[1]
        if (where is not None and not isinstance(where, str | bytes)) or event == "socket.getaddrinfo":
            _heard[-1].append((event, where))  # a path is a socket on this machine


sys.addaudithook(_listen)  # cannot be taken away again; it does nothing while nobody listens


@dataclass(frozen=True)
class Said:
    """``network``: what the program asked of it: the call, and its address or name."""

    status: int
    out: str
    err: str
    network: list[tuple[str, Any]]


@dataclass
class User:
    folder: Path
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    @property
    def record(self) -> Path:
        return self.folder / "state" / "record.db"

    def types(self, *args: str) -> Said:
        self.patch.setattr(sys, "argv", ["remediate", *args])
        self.capsys.readouterr()
        heard: list[tuple[str, Any]] = []
        _heard.append(heard)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            _heard.remove(heard)
        out, err = self.capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err, heard)

    def files(self) -> dict[str, object]:
        """Everything in the folder: names, modes, contents; of a record what is in it, since opening it rewrites it."""
        found: dict[str, object] = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if path.name.startswith("record.db-"):
                continue
            content = _content(path) if path.is_file() else b""
            found[name] = (path.stat().st_mode, content)
        return found


def _content(path: Path) -> object:
    data = path.read_bytes()
    if not data.startswith(b"SQLite format 3"):
        return data
    with closing(sqlite3.connect(path)) as database:
        return tuple(database.iterdump())
