"""Through a SOCKS5 server (RFC 1928) that opens the TCP connection, with a password (RFC 1929) or without.

What its reply to CONNECT (RFC 1928 6) says about the peer:

- 0x05 *connection refused*: closed.
- 0x06 *TTL expired*: filtered. Servers put connect(2)'s ETIMEDOUT here; a packet that truly ran out of hops got no
  further either.
- 0x03, 0x04 *network, host unreachable*: unreachable. An ICMP message becomes this reply, but so do a route or a
  neighbour that the server lacks itself, and with some servers every time-out. None of these is told from the others,
  so it is no more than what OpenSSH says, and counts where that does.
- 0x01 *general failure*, 0x02 *not allowed by ruleset*, 0x07, 0x08: the server's own affair, inconclusive.
- 0x00 *succeeded*: connected, where BND.PORT names the port that the server connects from. Without one (0) it may have
  said so before it tried (OpenSSH's ``ssh -D`` does): then only a byte from the peer proves that somebody was reached,
  and without one it is inconclusive.

We do this ourselves, because SOCKS libraries do not hand BND.PORT on, and cannot greet a server without a CONNECT.
"""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import ip_address

from remediate.errors import VantageError
from remediate.model.observation import Rung
from remediate.model.site import IPAddress, SocksVia, Vantage
from remediate.model.stream import ByteCapExceeded, DialFailed, StreamEnded, StreamReset
from remediate.vantages.local import TcpStream, tcp_socket
from remediate.vantages.pace import MAX_PENDING

#: Seconds for connecting to the server, and once more for its greeting and login.
SERVER_WAIT = 10.0
#: The server's own connect(2) gives up after about 130 s; only its words tell *filtered* from a slow vantage.
SERVER_CONNECT_WAIT = 140.0

VERSION, CONNECT, SUCCEEDED = 5, 1, 0
#: RFC 1928 3.
NO_AUTHENTICATION, USERNAME_PASSWORD, NO_ACCEPTABLE_METHOD = 0, 2, 0xFF
#: RFC 1928 5.
IPV4, DOMAIN, IPV6 = 1, 3, 4
MEANINGS = {
    1: (Rung.INCONCLUSIVE, "the SOCKS server could not connect, and does not say why"),
    2: (Rung.INCONCLUSIVE, "the SOCKS server's rules do not allow this connection"),
    3: (Rung.UNREACHABLE, "network unreachable, says the SOCKS server"),
    4: (Rung.UNREACHABLE, "host unreachable, says the SOCKS server"),
    5: (Rung.CLOSED, "connection refused, says the SOCKS server"),
    6: (Rung.FILTERED, "no answer before the time or the hops ran out, says the SOCKS server"),
    7: (Rung.INCONCLUSIVE, "the SOCKS server cannot open connections"),
    8: (Rung.INCONCLUSIVE, "the SOCKS server cannot reach that version of IP"),
}
NO_SOCKS5 = "what answers there does not speak SOCKS5"
ENDINGS = (StreamEnded, StreamReset, TimeoutError, ByteCapExceeded)


async def open_place(vantage: Vantage) -> SocksPlace:
    """The name is resolved here, once; the first of its addresses that greets us is kept for the run."""
    via = vantage.via
    assert isinstance(via, SocksVia)
    where = f"{vantage.name} ({via.host} port {via.port})"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(via.host, via.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise VantageError(
            f"the name of the SOCKS server cannot be resolved: {error.strerror or error}",
            where=where,
            next="correct `via` in the inventory, or give its address",
        ) from error
    first: VantageError | None = None
    for address in dict.fromkeys(ip_address(info[4][0]) for info in found):
        place = SocksPlace(where, address, via)
        try:
            await place.greet()
        except VantageError as error:
            first = first or error
        else:
            return place
    assert first is not None  # a name that is resolved has an address
    raise first


class SocksPlace:
    def __init__(self, where: str, server: IPAddress, via: SocksVia) -> None:
        self._where = where
        self._server = server
        self._via = via
        self._pending = asyncio.Semaphore(MAX_PENDING)
        self.lost = False

    async def dial(self, address: IPAddress, port: int, deadline: float, byte_cap: int) -> SocksStream:
        """Raises DialFailed; VantageError where the server cannot be reached or does not let us in.

        ``deadline``: seconds for all reads together; the connect is the server's, up to SERVER_CONNECT_WAIT.
        """
        async with self._pending:
            stream = await self._connect(byte_cap)
            try:
                await self._log_in(stream)
                await _ask(stream, address, port)
            except BaseException:
                stream.abort()
                raise
        stream.expire_in(deadline)
        return stream

    async def greet(self) -> None:
        """Raises VantageError unless the server is there and lets us in; nothing is asked of it."""
        stream = await self._connect(1024)
        try:
            await self._log_in(stream)
        finally:
            stream.abort()
            await stream.wait_closed()

    async def aclose(self) -> None:
        """Nothing is held between dials."""

    def error(self, what: str, next: str = "run it again") -> VantageError:
        return VantageError(what, where=self._where, next=next)

    async def _connect(self, byte_cap: int) -> SocksStream:
        """Once this failed, the vantage is lost."""
        if self.lost:
            raise self.error("the SOCKS server was lost")
        loop = asyncio.get_running_loop()
        sock = tcp_socket(self._server.version, None)
        try:
            async with asyncio.timeout(SERVER_WAIT):
                await loop.sock_connect(sock, (str(self._server), self._via.port))
        except (OSError, TimeoutError) as error:
            sock.close()
            self.lost = True
            reason = "no answer" if isinstance(error, TimeoutError) else os.strerror(error.errno or 0)
            raise self.error(
                f"the SOCKS server cannot be reached: {reason}", "see that it runs and can be reached from here"
            ) from error
        except BaseException:
            sock.close()
            raise
        stream = SocksStream(sock, byte_cap, loop, self)
        stream.expire_in(SERVER_WAIT)
        return stream

    async def _log_in(self, stream: SocksStream) -> None:
        """RFC 1928 3, RFC 1929 2."""
        user, password = self._via.username, self._via.password
        methods = [NO_AUTHENTICATION] if user is None else [NO_AUTHENTICATION, USERNAME_PASSWORD]
        try:
            stream.write(bytes([VERSION, len(methods), *methods]))
            version, method = await stream.exactly(2)
            if version != VERSION or method not in (*methods, NO_ACCEPTABLE_METHOD):
                raise self.error(NO_SOCKS5, "correct `via` in the inventory")
            if method == NO_ACCEPTABLE_METHOD:
                given = "no password" if user is None else "neither no password nor one"
                raise self.error(
                    f"the SOCKS server accepts {given}",
                    "write `via: {socks: user@host}` and `socks: {password: env:NAME}`, or allow this machine there",
                )
            if method == USERNAME_PASSWORD:
                assert user is not None and password is not None  # the inventory demands both
                secret = password.get_secret_value().encode()
                stream.write(bytes([1, len(user.encode())]) + user.encode() + bytes([len(secret)]) + secret)
                _, status = await stream.exactly(2)
                if status != 0:
                    raise self.error(
                        f"the SOCKS server does not let {user} in", "correct the user or `socks: {password: …}`"
                    )
        except ENDINGS as error:
            raise self.error(f"the SOCKS server did not greet us: {error}", "see whether it is overloaded") from error


class SocksStream(TcpStream):
    """The connection to the server, and once ``connected`` was said, the one to the peer behind it.

    A lost server looks like a peer that hangs up; whenever one does, the server is greeted once more.
    """

    def __init__(self, sock: socket.socket, byte_cap: int, loop: asyncio.AbstractEventLoop, place: SocksPlace) -> None:
        super().__init__(sock, byte_cap, loop)
        self._place = place
        self._connected = False
        self._ours = False

    def connected(self, *, proven: bool) -> None:
        self._connected = True
        self.proven = proven or self._unread > 0

    def data_received(self, data: bytes, _datatype: int | None = None) -> None:
        if self._connected:
            self.proven = True
        super().data_received(data)

    def close(self) -> None:
        self._ours = True
        super().close()

    def abort(self) -> None:
        self._ours = True
        super().abort()

    async def _more(self) -> None:
        try:
            await super()._more()
        except ENDINGS as error:
            if not self._connected or self._ours:
                raise
            if not self.proven:
                raise self._place.error(
                    "the SOCKS server said connected without a port of its own, and nothing came from there",
                    "a server that says so before it connects proves nothing; for `ssh -D`, write `via: {ssh: …}`",
                ) from error
            if isinstance(error, StreamEnded | StreamReset):
                await self._place.greet()
            raise


async def _ask(stream: SocksStream, address: IPAddress, port: int) -> None:
    """RFC 1928 4 and 6."""
    kind = IPV4 if address.version == 4 else IPV6
    stream.expire_in(SERVER_CONNECT_WAIT)
    try:
        stream.write(bytes([VERSION, CONNECT, 0, kind]) + address.packed + port.to_bytes(2, "big"))
        version, reply, _, kind = await stream.exactly(4)
        if version != VERSION or (reply == SUCCEEDED and kind not in (IPV4, DOMAIN, IPV6)):
            raise DialFailed(Rung.INCONCLUSIVE, NO_SOCKS5)
        if reply != SUCCEEDED:
            raise DialFailed(*MEANINGS.get(reply, MEANINGS[1]))
        length = (await stream.exactly(1))[0] if kind == DOMAIN else 4 if kind == IPV4 else 16
        bound = await stream.exactly(length + 2)
    except ENDINGS as error:
        raise DialFailed(Rung.INCONCLUSIVE, "the SOCKS server did not say how its connect ended") from error
    stream.connected(proven=bound[-2:] != b"\0\0")
