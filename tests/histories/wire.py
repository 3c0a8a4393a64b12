"""Real connections: whether an archive is open to the outside, and served inside."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

#: Seconds. What is not answered on loopback or over one veth by then is not answered; it is asked again before
#: anybody is blamed, since the machine may be busy.
PATIENCE, SECOND_PATIENCE = 0.6, 4.0
_APPLICATION, _VERIFICATION, _IMPLICIT = b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.1.1", b"1.2.840.10008.1.2"
A_ASSOCIATE_AC = 2


class Way(NamedTuple):
    """From an address of this machine to a port of an archive."""

    source: str
    address: str
    port: int
    called: str


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def request(calling: str, called: str) -> bytes:
    """A-ASSOCIATE-RQ with one presentation context, Verification in implicit little endian (PS3.8 9.3.2)."""
    context = struct.pack(">BBBB", 1, 0, 0, 0) + _item(0x30, _VERIFICATION) + _item(0x40, _IMPLICIT)
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.826.0.1.3680043.9.9999")
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32)
    body += _item(0x10, _APPLICATION) + _item(0x20, context) + _item(0x50, user)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def answers(way: Way, seconds: float = PATIENCE) -> bool:
    """Whether an association comes about."""
    try:
        with socket.create_connection((way.address, way.port), seconds, (way.source, 0)) as connection:
            connection.settimeout(seconds)
            connection.sendall(request("ORACLE", way.called))
            kind = connection.recv(1)
            return kind == bytes([A_ASSOCIATE_AC])
    except OSError:
        return False
