"""Conversations that have all come already: for readers that are given any bytes at all."""

from __future__ import annotations

from remediate.errors import RemediateError
from remediate.model.observation import Tls
from remediate.model.stream import StreamEnded
from remediate.probes import upper_layer as ul
from remediate.testing.dicom import ac, command, data, pdu

NAME = b"MADEUP^NAME"
TLS = Tls(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256")

#: What good peers say.
GOOD = (
    ac([(i, 0) for i in ul.ROLE], title=NAME.ljust(16), version=NAME),
    ac([(1, 0), (3, 3)], uid=b"1.2.276.0.7230010.3.0.3.6.7", version=b"OFFIS_DCMTK_367"),
    command(1, 0x8030, 0),
    command(1, 0x8030, 0x0122, comment=NAME),
    command(3, 0x8020, 0xFF00, data_set=1),
    command(3, 0x8020, 0),
    command(3, 0x8020, 0xA900, comment=NAME),
    data(3, 2, b"\x10\0\x10\0\x0b\0\0\0" + NAME),
    pdu(0x03, b"\0\1\1\3"),
    pdu(0x03, b"\0\2\3\2"),
    pdu(0x06, bytes(4)),
    pdu(0x07, bytes(4)),
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"HTTP/1.1 200 OK\r\nServer: " + NAME + b"\r\n\r\n",
    b"220 " + NAME + b"\r\n",
)


class Canned:
    """A line whose connections have each a conversation, after which the peer is ``gone``; no more: it is refused.

    An error in place of a conversation is what the attempt to connect raises.
    """

    proven = True

    def __init__(self, *conversations: bytes | RemediateError, gone: Exception | None = None) -> None:
        self.waiting = list(conversations)
        self.gone = gone or StreamEnded("the peer closed the connection")
        self.data = b""
        self.tls: Tls | None = None
        self.connections = 0

    def connect(self, *, tls: bool = False) -> Canned:
        self.tls = TLS if tls else None
        return self

    async def __aenter__(self) -> Canned:
        self.connections += 1
        # The last one is met as often as somebody comes.
        conversation = self.waiting.pop(0) if len(self.waiting) > 1 else self.waiting[0]
        if isinstance(conversation, RemediateError):
            raise conversation
        self.data = conversation
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def recv(self, most: int) -> bytes:
        if not self.data:
            raise self.gone
        piece, self.data = self.data[:most], self.data[most:]
        return piece

    async def exactly(self, n: int) -> bytes:
        if len(self.data) < n:
            raise self.gone
        return await self.recv(n) if n else b""

    def write(self, data: bytes) -> None:
        pass

    def hurry(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        self.data = b""

    def abort(self) -> None:
        self.data = b""
