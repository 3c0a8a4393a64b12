"""TLS over any vantage's stream, to see and judge a server: nothing of the server's decides whether we go on."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from functools import cached_property

from remediate.errors import VantageError
from remediate.inventory.certificate import show
from remediate.model.observation import Tls
from remediate.model.site import ClientCertificate, IPAddress
from remediate.model.stream import ByteCapExceeded, StreamEnded, StreamReset, TlsFailed
from remediate.vantages.stream import PeerStream
from remediate.vantages.tls_facts import Handshake

#: Bytes that are looked at in one turn of the loop: thousands of tiny messages must not hold up everybody else.
TURN = 1 << 14
#: The best first, as BCP 195 orders them, then everything that this OpenSSL still has: NULL and anonymous ones last.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DEFAULT:ALL:COMPLEMENTOFALL:!PSK:!SRP:@SECLEVEL=0"
#: openssl/ssl.h, in ``ssl`` from Python 3.12: a server from before RFC 5746 is not turned away.
LEGACY_SERVER_CONNECT = 0x4
#: Content types of a record (RFC 8446 5.1).
ALERT, HANDSHAKE = 21, 22
FATAL = b"\x02"
HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED = 40, 116
#: RFC 8446 6, RFC 5246 7.2: the alerts with which a server judges a client's certificate, none at all included.
CERTIFICATE_ALERTS = frozenset({HANDSHAKE_FAILURE, 42, 43, 44, 45, 46, 48, CERTIFICATE_REQUIRED})
#: How a handshake ends where the peer says nothing in TLS.
ENDED: dict[type[Exception], str] = {
    StreamEnded: "the connection was closed in the TLS handshake",
    StreamReset: "the connection was reset in the TLS handshake",
    ByteCapExceeded: "more than a probe reads came in the TLS handshake",
    TimeoutError: "no answer to the TLS handshake in time",
}


class Context:
    """How a vantage speaks TLS. Raises VantageError where its client certificate cannot be used.

    An archive from before TLS 1.2 must be seen and judged, so old versions and weak ciphers are offered here, and
    only here; no certificate is verified, since what is wrong with one is a fact to be reported.
    """

    def __init__(self, vantage: str, certificate: ClientCertificate | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers(CIPHERS)
        context.options |= LEGACY_SERVER_CONNECT
        context.options |= ssl.OP_NO_RENEGOTIATION  # a write never has to wait for a read
        context.sslobject_class = _Session
        # The only way that ssl has to see an alert's number, and that a client certificate was asked for.
        context._msg_callback = _note  # type: ignore[attr-defined]  # for debugging, so not in the type stubs
        if certificate is not None and (why := show(certificate, context)):
            raise VantageError(
                f"the client certificate cannot be used: {why}",
                where=vantage,
                next="correct data.client_certificate in the inventory",
            )
        self._context = context
        self.ciphers = {int(one["id"]) & 0xFFFF: one for one in context.get_ciphers()}

    def session(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> _Session:
        session = self._context.wrap_bio(incoming, outgoing)
        assert isinstance(session, _Session)
        return session


class _Session(ssl.SSLObject):
    """One connection's state, and what its server has said."""

    @cached_property
    def seen(self) -> Handshake:
        return Handshake()


def _note(session: _Session, direction: str, _version: int, content: int, kind: int, data: bytes) -> None:
    if direction != "read":
        return
    if content == HANDSHAKE:
        session.seen.message(kind, data)
    elif content == ALERT and data[:1] == FATAL:
        session.seen.alert = data[1]


async def secure(peer: PeerStream, context: Context, address: IPAddress) -> TlsStream:
    """Shakes hands. Raises TlsFailed for whatever the peer does, and VantageError where the vantage is gone."""
    stream = TlsStream(peer, context, address)
    try:
        await stream.shake_hands()
    except tuple(ENDED) as error:
        raise TlsFailed(ENDED[type(error)], tls=stream.judged()) from error
    return stream


class TlsStream:
    """A model Stream over another one, whose byte cap and deadline are its own."""

    proven = True  # it shakes hands before anybody reads from it

    def __init__(self, peer: PeerStream, context: Context, address: IPAddress) -> None:
        self._peer = peer
        self._context = context
        self._address = address
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.session(self._incoming, self._outgoing)
        self._buffer = bytearray()
        self._fault: Exception | None = None
        self.tls: Tls | None = None

    async def shake_hands(self) -> None:
        while True:
            try:
                self._session.do_handshake()
            except ssl.SSLWantReadError:
                await self._feed()
            except ssl.SSLError as error:
                raise self._failed("in the handshake") from error
            else:
                break
        self._flush()
        self.tls = self.judged()

    def judged(self) -> Tls | None:
        """What was seen of the handshake until now."""
        return self._session.seen.judged(self._address, self._context.ciphers, datetime.now(UTC))

    # -- model.stream.Stream ----------------------------------------------------------------------

    async def recv(self, most: int) -> bytes:
        while not self._buffer:
            await self._more()
        return self._take(most)

    async def exactly(self, n: int) -> bytes:
        while len(self._buffer) < n:
            await self._more()
        return self._take(n)

    def write(self, data: bytes) -> None:
        """Never raises: that the session has ended is what the next read says."""
        with contextlib.suppress(ssl.SSLError):
            while data:
                data = data[self._session.write(data) :]
        self._flush()

    def close(self) -> None:
        if self._fault is None:
            with contextlib.suppress(ssl.SSLError):  # it wants to read the peer's own close_notify: nobody waits for it
                self._session.unwrap()
            self._flush()
        self._end("the connection was closed here")
        self._peer.close()

    def abort(self) -> None:
        self._end("the connection was aborted here")
        self._peer.abort()

    def hurry(self, seconds: float) -> None:
        self._peer.hurry(seconds)

    # -- inside -----------------------------------------------------------------------------------

    async def _more(self) -> None:
        """Decrypts what came, or waits for more to come."""
        if self._fault is not None:
            raise self._fault
        try:
            data = self._session.read(TURN)
        except ssl.SSLWantReadError:
            await self._feed()
        except ssl.SSLZeroReturnError:
            self._fault = StreamEnded("the peer ended the TLS session")
        except ssl.SSLError as error:
            self._fault = self._failed("after the handshake")
            self._fault.__cause__ = error
        else:
            self._buffer += data
            if not data:
                self._fault = StreamEnded("the peer ended the TLS session")

    async def _feed(self) -> None:
        self._flush()
        data = await self._peer.recv(TURN)
        await asyncio.sleep(0)
        self._incoming.write(data)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._peer.write(data)

    def _failed(self, when: str) -> TlsFailed:
        """What the session's failure means. What OpenSSL says of it may quote the peer."""
        seen, tls = self._session.seen, self.tls or self.judged()
        if seen.alert is not None:
            wanted = seen.certificate_requested and seen.alert in CERTIFICATE_ALERTS
            what = "the server wants a client certificate" if wanted else "the server ended it"
            return TlsFailed(f"{what}: TLS alert {seen.alert} {when}", certificate_wanted=wanted, tls=tls, alert=True)
        if tls is None:
            return TlsFailed("the answer is not TLS")
        return TlsFailed(f"what the server sent {when} is not valid TLS", tls=tls)

    def _take(self, most: int) -> bytes:
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def _end(self, why: str) -> None:
        self._fault = self._fault or StreamEnded(why)
        self._buffer.clear()
