"""Answers connections that a router denies with ICMP *destination unreachable*, as routers do that nobody told not to.

A relay's sockets can only drop a SYN without a word. Here a packet socket (packet(7)) hears each SYN for the relay's
address beside them, the rules say whether it is refused and with which code, and a raw socket (raw(7)) sends the
message (RFC 792, RFC 1812 5.2.7.1): the client's kernel finds its own SYN in it and ends the attempt.

The kernel's part: both sockets need CAP_NET_RAW, which root has in a network namespace of its own. On loopback nothing
is sent, root or not: no network stands between its addresses, whose errors a client could be told.

Limits: only new connections are answered. The packets of one that is cut while it is open get no message, which would
not end it either (RFC 1122 4.2.3.9: a soft error).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

_ETH_P_IP = 0x0800  # linux/if_ether.h
_PACKET_OUTGOING = 4  # linux/if_packet.h: our own, on its way out
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SYN, _ACK = 0x02, 0x10  # RFC 9293 3.1
DESTINATION_UNREACHABLE, ADMINISTRATIVELY_PROHIBITED = 3, 13

ON_LOOPBACK = "not sent: this router is on loopback, where no network stands between it and its clients"
NEEDS_ROOT = "not sent: the kernel lets only root (CAP_NET_RAW) send them"
SENT = "sent"


@dataclass(frozen=True)
class Refusal:
    """``sender``: the router's own address towards the client."""

    sender: str
    type: int = DESTINATION_UNREACHABLE
    code: int = ADMINISTRATIVELY_PROHIBITED


#: Asked for each SYN: the client's address and port. None: nothing is said.
Refuses = Callable[[str, int], Refusal | None]


def _filter(address: str, port: int) -> Sequence[tuple[int, int, int, int]]:
    """Classic BPF (Documentation/networking/filter.rst): IPv4, TCP, to that address and port, SYN without ACK."""
    return (
        (0x20, 0, 0, 16),  # destination address
        (0x15, 0, 9, int(IPv4Address(address))),
        (0x30, 0, 0, 9),  # protocol
        (0x15, 0, 7, socket.IPPROTO_TCP),
        (0xB1, 0, 0, 0),  # X: length of the IP header
        (0x48, 0, 0, 2),  # destination port
        (0x15, 0, 4, port),
        (0x50, 0, 0, 13),  # flags
        (0x54, 0, 0, _SYN | _ACK),
        (0x15, 0, 1, _SYN),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    )


class Unreachables:
    """For the connections that come to ``listen``."""

    def __init__(self, listen: tuple[str, int], refuses: Refuses) -> None:
        """Raises PermissionError without CAP_NET_RAW."""
        self._listen = listen
        self._refuses = refuses
        self._ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        self._ear.setblocking(False)
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in _filter(*listen))
        buffer = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
        self._ear.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        asyncio.get_running_loop().add_reader(self._ear, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ear)
        self._ear.close()

    def _hear(self) -> None:
        while True:
            try:
                packet, (_, _, kind, *_) = self._ear.recvfrom(128)
            except OSError:  # no more for now
                return
            length = (packet[0] & 0xF) * 4 if packet else 0
            if kind == _PACKET_OUTGOING or not length or not self._is_for_us(packet, length):
                continue
            client, port = socket.inet_ntoa(packet[12:16]), int.from_bytes(packet[length : length + 2], "big")
            refusal = self._refuses(client, port)
            if refusal is not None:
                self._send(client, refusal, packet[: length + 8])

    def _is_for_us(self, packet: bytes, length: int) -> bool:
        """What came before the kernel had the filter passed without. ``length``: of the IP header.

        The connections by which a relay fills its own queues come from the address that they go to.
        """
        return (
            len(packet) >= length + 20
            and packet[9] == socket.IPPROTO_TCP
            and socket.inet_ntoa(packet[16:20]) == self._listen[0]
            and packet[12:16] != packet[16:20]
            and int.from_bytes(packet[length + 2 : length + 4], "big") == self._listen[1]
            and packet[length + 13] & (_SYN | _ACK) == _SYN
        )

    def _send(self, client: str, refusal: Refusal, offending: bytes) -> None:
        """``offending``: the IP header of the denied packet and the first 8 bytes after it (RFC 792)."""
        message = struct.pack("!BBHI", refusal.type, refusal.code, 0, 0) + offending
        message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as voice:
            try:
                voice.bind((refusal.sender, 0))
            except OSError:  # an address of the configuration that this machine does not have
                voice.bind((self._listen[0], 0))
            with contextlib.suppress(OSError):  # no way to the client: nobody hears it
                voice.sendto(message, (client, 0))


def _checksum(message: bytes) -> int:
    """RFC 1071."""
    padded = message + b"\0" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def opened(listen: tuple[str, int], refuses: Refuses) -> tuple[Unreachables | None, str]:
    """None where nothing can be sent; and SENT, or why not."""
    if IPv4Address(listen[0]).is_loopback:
        return None, ON_LOOPBACK
    try:
        return Unreachables(listen, refuses), SENT
    except (PermissionError, AttributeError):  # AF_PACKET is Linux's
        return None, NEEDS_ROOT
