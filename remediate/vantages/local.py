"""From this machine, optionally from one of its addresses. Says *filtered* only after asking the kernel, and
*unreachable* with the ICMP message that said so.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import struct
from ipaddress import ip_address

from remediate.errors import VantageError
from remediate.model.observation import Icmp, Rung
from remediate.model.site import IPAddress, LocalVia, Vantage
from remediate.model.stream import DialFailed
from remediate.vantages.lapses import Lapses
from remediate.vantages.readiness import CONNECTING, ENDED, READING, WRITING, Readiness
from remediate.vantages.stream import PeerStream

#: By IP version. ``socket.family`` makes an enumeration's member each time, which takes as long as a system call.
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
#: From linux/in.h, not in ``socket`` before Python 3.12: no port is taken at bind, so that the port range
#: is shared between destinations (367 connections a second without it, 4,900 with it).
IP_BIND_ADDRESS_NO_PORT = 24
#: linux/in.h, linux/in6.h: keep ICMP errors, with their sender, in the socket's error queue.
IP_RECVERR, IPV6_RECVERR = 11, 25
#: linux/errqueue.h: struct sock_extended_err, and the origins that mean that a packet came.
EXTENDED_ERROR = struct.Struct("=IBBBBII")
#: By IP version: SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6.
ORIGINS_ICMP = {2: 4, 3: 6}
#: include/net/tcp_states.h
TCP_SYN_SENT = 2
#: ESTABLISHED; CLOSE_WAIT where the peer closed at once.
TCP_CONNECTED = frozenset({1, 8})
#: RST instead of FIN at close: nothing of a connection that failed stays in the archive.
LINGER_RST = struct.pack("ii", 1, 0)
#: Bytes of one read.
_READ = 1 << 16


async def open_place(vantage: Vantage) -> LocalPlace:
    assert isinstance(vantage.via, LocalVia)
    source = vantage.via.source
    if source is not None:
        try:
            tcp_socket(source.version, source).close()
        except OSError as error:
            raise VantageError(
                f"{source} cannot be used as a source address: {os.strerror(error.errno or 0)}",
                where=vantage.name,
                next="give this machine that address, or change `via` of the vantage",
            ) from error
    return LocalPlace(source)


class LocalPlace:
    lost = False  # this machine is always there

    def __init__(self, source: IPAddress | None) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()

    async def dial(self, address: IPAddress, port: int, deadline: float, byte_cap: int) -> PeerStream:
        """Raises DialFailed. ``deadline``: seconds to connect, and once more for all reads together."""
        if self._source is not None and self._source.version != address.version:
            raise DialFailed(Rung.INCONCLUSIVE, f"not asked: the source address is not IPv{address.version}")
        try:
            sock = tcp_socket(address.version, self._source)
        except OSError as error:
            raise DialFailed(Rung.INCONCLUSIVE, f"not asked: {os.strerror(error.errno or 0)}") from error
        try:
            await _connect(sock, address, port, deadline)
            stream = TcpStream(sock, byte_cap, self._loop)
        except BaseException:
            Readiness.of(self._loop).leave(sock.fileno())
            _reset_at_close(sock)
            sock.close()
            raise
        stream.expire_in(deadline)
        return stream

    async def aclose(self) -> None:
        """Nothing is held between dials."""


class TcpStream(PeerStream):
    """A connected socket, read and written without a transport of asyncio's, which costs as much as all the rest."""

    def __init__(self, sock: socket.socket, byte_cap: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(byte_cap, loop)
        self._sock: socket.socket | None = sock
        self._descriptor = sock.fileno()
        self._unsent = b""
        self._closing = False
        self._readiness = Readiness.of(self._loop)
        self._readiness.watch(self._descriptor, READING, self._ready)

    def write(self, data: bytes) -> None:
        self._piece = False
        if self._sock is None or self._closing:
            return
        if not self._unsent:
            data = data[self._sent(data) :]
            if not data or self._sock is None:
                return
            self._readiness.watch(self._descriptor, WRITING, self._ready)
        self._unsent += data

    def close(self) -> None:
        if self._sock is None or self._closing:
            return
        self._end("the connection was closed here")
        self._closing = True
        if not self._unsent:
            self._shut(None)

    def abort(self) -> None:
        """With what ``close`` has left unsent, that is lost."""
        self._end("the connection was aborted here")
        if self._sock is not None:
            _reset_at_close(self._sock)
            self._shut(None)

    def _ready(self, events: int) -> None:
        if self._unsent and events & select.EPOLLOUT:
            self._unsent = self._unsent[self._sent(self._unsent) :]
            if self._closing and not self._unsent:
                self._shut(None)
        if self._sock is None or self._fault is not None:
            return
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._shut(error)
            return
        if not data:
            self.eof_received()
            return
        self.data_received(data)
        if len(data) == _READ or events & ENDED:  # a shorter read has emptied it
            self._loop.call_soon(self._ready, events)  # after whoever waits for what has come

    def _acknowledge(self) -> None:
        """Some archives (DCMTK's, Orthanc's) write an answer in two pieces, and the second one waits for our ACK of the
        first: 90 ms for a C-FIND of Orthanc's with the kernel's delayed ACK, 3 ms without.
        """
        if self._sock is not None:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _sent(self, data: bytes) -> int:
        """How many bytes the kernel took; an error ends the connection."""
        assert self._sock is not None
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            with contextlib.suppress(OSError):  # what the peer said before it ended the connection
                self.data_received(self._sock.recv(_READ))
            self._shut(error)
            return 0

    def _shut(self, error: OSError | None) -> None:
        if self._sock is None:
            return
        self._readiness.leave(self._descriptor)
        self._unsent = b""
        self._sock.close()
        self._sock = None
        self.connection_lost(error)


def tcp_socket(version: int, source: IPAddress | None) -> socket.socket:
    sock = socket.socket(FAMILIES[version], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # for IPv6 sockets too
            sock.bind((str(source), 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _reset_at_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)


async def _connect(sock: socket.socket, address: IPAddress, port: int, deadline: float) -> None:
    _keep_icmp(sock, address.version, 1)
    code = sock.connect_ex((socket.inet_ntop(FAMILIES[address.version], address.packed), port))
    connected = _state(sock) in TCP_CONNECTED  # one that is near has answered by now
    answered = False
    if code == errno.EINPROGRESS and not connected:
        if not await _writable(sock, deadline):
            raise _no_answer(sock)
        answered = True
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        connected = _state(sock) in TCP_CONNECTED
    if code == 0 and not connected:
        # What made the socket ready is an ICMP message in its error queue, where it stands a moment before it counts
        # as the socket's own error, or, for a message that does not end the attempt, without ever doing so.
        if (icmp := _icmp_that_came(sock)) is not None:
            raise _unreachable(icmp)
        raise DialFailed(Rung.INCONCLUSIVE, "the attempt ended without an answer")
    if not connected:
        raise _failed(sock, code, answered)
    _keep_icmp(sock, address.version, 0)  # while it is on, an ICMP error would also end an established connection


async def _writable(sock: socket.socket, deadline: float) -> bool:
    """Whether the attempt ended inside the deadline. In one turn of the loop, what is ready counts before what is late.

    No ``asyncio.timeout``: it costs as much as the connection.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[bool] = loop.create_future()

    def settle(answered: bool) -> None:
        if not ready.done():
            ready.set_result(answered)

    lapse = Lapses.of(loop).after(deadline, lambda: settle(False))
    Readiness.of(loop).watch(sock.fileno(), CONNECTING, lambda _: settle(True))
    try:
        return await ready
    finally:
        lapse.cancel()


def _no_answer(sock: socket.socket) -> DialFailed:
    """The deadline has passed; only the kernel knows whether that was for want of an answer.

    A loop that was too busy to look would otherwise call an open port filtered.
    """
    if _state(sock) == TCP_SYN_SENT and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
        return DialFailed(Rung.FILTERED, "no answer inside the deadline")
    return DialFailed(Rung.INCONCLUSIVE, "an answer came only at the deadline, or was not looked at in time")


def _state(sock: socket.socket) -> int:
    """The kernel's own state of the connection (tcp_info.tcpi_state); 0 where it does not say."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return 0


def _failed(sock: socket.socket, code: int, answered: bool) -> DialFailed:
    if code == errno.ECONNREFUSED:  # on loopback at once
        return DialFailed(Rung.CLOSED, "connection refused")
    if answered and code == errno.ETIMEDOUT:
        return DialFailed(Rung.FILTERED, "no answer until the kernel gave up")
    if answered and (icmp := _icmp_that_came(sock)) is not None:
        return _unreachable(icmp)
    # No route, no neighbour, no source address, a filter of this machine's own: nobody else has said anything.
    return DialFailed(Rung.INCONCLUSIVE, f"this machine could not ask: {os.strerror(code)}")


def _keep_icmp(sock: socket.socket, version: int, on: int) -> None:
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, on)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, on)


def _unreachable(icmp: Icmp) -> DialFailed:
    return DialFailed(Rung.UNREACHABLE, f"somebody on the way says: {icmp}", icmp)


def _icmp_that_came(sock: socket.socket) -> Icmp | None:
    """The message behind the error, None where it did not come in a packet of somebody else's.

    A neighbour that does not answer ARP looks the same in SO_ERROR: there the kernel sends the ICMP message to
    itself, from an address of this machine.
    """
    try:
        _, ancillary, _, _ = sock.recvmsg(256, 512, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    for _, _, data in ancillary:
        if len(data) < EXTENDED_ERROR.size:
            continue
        _, origin, kind, code, *_ = EXTENDED_ERROR.unpack_from(data)
        offender = _offender(data[EXTENDED_ERROR.size :])
        if origin in ORIGINS_ICMP and offender is not None:
            ours = offender == str(sock.getsockname()[0])
            return None if ours else Icmp(version=ORIGINS_ICMP[origin], type=kind, code=code)
    return None


def _offender(address: bytes) -> str | None:
    """The address in a struct sockaddr_in or sockaddr_in6."""
    family = int.from_bytes(address[:2], "little" if struct.pack("=H", 1)[0] else "big")
    if family == socket.AF_INET and len(address) >= 8:
        return str(ip_address(address[4:8]))
    if family == socket.AF_INET6 and len(address) >= 24:
        return str(ip_address(address[8:24]))
    return None
