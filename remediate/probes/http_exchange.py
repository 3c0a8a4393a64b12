"""GET, and nothing else: HTTP/1.1 (RFC 9110, RFC 9112) over one line, on as few connections as the server lets."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import h11

from remediate.model.observation import Question, Tls
from remediate.model.stream import DialFailed, Line, Stream, StreamEnded, StreamReset, TlsFailed
from remediate.probes.found import FAILURES, STREAM_FAILURES

#: Bytes of headers, and of a body, that are read of one answer.
HEADER_CAP = 64 << 10
BODY_CAP = 64 << 10
#: Pieces of a body: one-byte chunks would keep the processor busy for a second, and everybody else waiting.
PIECES_CAP = 1024
#: 1xx responses before the one that counts.
INTERIM_CAP = 8
#: A TLS record's first byte: an alert, or a handshake (RFC 8446 5.1).
TLS_RECORDS = (b"\x15", b"\x16")
#: A path that may go into a request line; a longer one is nobody's front page.
PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,1023}")
#: PS3.18 10.1, and Orthanc's own: resources that name patients. No redirect leads there.
RESOURCES = frozenset({"studies", "series", "instances", "patients"})
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """``media_type``: without parameters. ``location``: the peer's text, for where_to only. ``body``: its beginning.

    ``whole``: whether the body came to its end.
    """

    status: int
    media_type: str
    location: str
    body: bytes
    whole: bool


class NoAnswer(Exception):
    """No HTTP came back. The text is ours.

    ``tls_record``: what came instead begins as TLS does. ``like_tls``: that, or an end without a word, which is what
    a TLS server has for a request in clear.
    """

    def __init__(self, detail: str, *, ended: bool = False, tls_record: bool = False) -> None:
        super().__init__(detail)
        self.tls_record = tls_record
        self.like_tls = ended or tls_record


class Client:
    """``async with``. ``get`` raises NoAnswer, and DialFailed for the very first connection."""

    def __init__(self, line: Line, question: Question) -> None:
        self._line = line
        self._host = question.endpoint
        self._stack = AsyncExitStack()
        self._open: _Conversation | None = None
        self._connected = False
        self._time_is_up = False
        self.tls = False
        #: Of the last TLS connection, a failed one included.
        self.handshake: Tls | None = None
        self.certificate_wanted = False
        #: Whether the server is known to speak TLS, whatever became of it.
        self.speaks_tls = False
        #: Whether something was served, or a password asked for, without TLS.
        self.served_in_clear = False

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.hang_up()

    async def switch(self, *, tls: bool) -> None:
        """From the next request on."""
        await self.hang_up()
        self.tls = tls

    async def hang_up(self) -> None:
        self._open = None
        await self._stack.aclose()

    async def get(self, target: str, accept: str = "*/*", most: int = BODY_CAP) -> Answer:
        """``most``: bytes of the body that are looked at; where there are more, the connection is aborted."""
        if self._time_is_up:
            raise NoAnswer(FAILURES[TimeoutError])
        kept = self._open is not None
        try:
            return await self._get(target, accept, most)
        except _Ended:
            if not kept:
                raise
        return await self._get(target, accept, most)  # RFC 9112 9.3.1: closed as idle while we asked

    async def _get(self, target: str, accept: str, most: int) -> Answer:
        try:
            conversation = self._open or await self._connect()
            answer = await conversation.exchange(self._request(target, accept), most)
        except TimeoutError as error:
            await self._stop()
            raise NoAnswer(f"no HTTP answer: {FAILURES[TimeoutError]}") from error
        except TlsFailed as error:
            self.certificate_wanted = error.certificate_wanted
            self.handshake = error.tls or self.handshake
            self.speaks_tls = self.speaks_tls or error.answered
            await self.hang_up()
            raise NoAnswer(error.what) from error
        except NoAnswer as error:
            self.speaks_tls = self.speaks_tls or error.tls_record
            await self.hang_up()
            raise
        if conversation.late:
            await self._stop()
        elif not conversation.next_cycle():
            await self.hang_up()
        if not self.tls and (200 <= answer.status < 300 or answer.status == 401):
            self.served_in_clear = True
        return answer

    async def _stop(self) -> None:
        self._time_is_up = True
        await self.hang_up()

    async def _connect(self) -> _Conversation:
        try:
            stream = await self._stack.enter_async_context(self._line.connect(tls=self.tls))
        except DialFailed as error:
            if not self._connected:
                raise
            raise NoAnswer(f"no further connection: {error.what}") from error
        self._connected = True
        if self.tls:
            self.handshake, self.speaks_tls = stream.tls, True
        self._open = _Conversation(stream)
        return self._open

    def _request(self, target: str, accept: str) -> h11.Request:
        headers = [
            ("Host", self._host),
            ("User-Agent", "remediate"),
            ("Accept", accept),
            ("Accept-Encoding", "identity"),  # without it any coding is welcome (RFC 9110 12.5.3)
        ]
        return h11.Request(method="GET", target=target, headers=headers)


class _Ended(NoAnswer):
    """The connection ended before a byte of the answer."""


class _Conversation:
    """One connection. ``late``: the deadline came amid a body."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_CAP)
        self.late = False

    async def exchange(self, request: h11.Request, most: int) -> Answer:
        """Raises NoAnswer, TlsFailed, and TimeoutError where not even the headers came in time."""
        for event in (request, h11.EndOfMessage()):
            self._stream.write(self._http.send(event) or b"")
        response = await self._response()
        body, whole = await self._body(most)
        headers = {name: value for name, value in response.headers if name in (b"content-type", b"location")}
        return Answer(
            status=response.status_code,
            media_type=_text(headers.get(b"content-type")).partition(";")[0].strip().lower(),
            location=_text(headers.get(b"location")),
            body=body,
            whole=whole,
        )

    def next_cycle(self) -> bool:
        """Whether the server takes another request on this connection."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def _response(self) -> h11.Response:
        first, interim = b"", 0
        try:
            while interim <= INTERIM_CAP:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    data = await self._stream.recv(65536)
                    first = first or data[:1]
                    self._http.receive_data(data)
                elif isinstance(event, h11.Response):
                    return event
                elif isinstance(event, h11.InformationalResponse):
                    interim += 1
                else:
                    break
        except h11.RemoteProtocolError as error:
            raise NoAnswer("the answer is not HTTP", tls_record=first in TLS_RECORDS) from error
        except (StreamEnded, StreamReset) as error:
            detail = f"no HTTP answer: {FAILURES[type(error)]}"
            if not first:
                raise _Ended(detail, ended=True) from error
            raise NoAnswer(detail, tls_record=first in TLS_RECORDS) from error
        except TimeoutError:
            raise
        except STREAM_FAILURES as error:
            raise NoAnswer(f"no HTTP answer: {FAILURES[type(error)]}") from error
        raise NoAnswer("no HTTP answer: 1xx without end")

    async def _body(self, most: int) -> tuple[bytes, bool]:
        """However it ends: the answer has come."""
        body, pieces = bytearray(), 0
        try:
            while len(body) <= most and pieces < PIECES_CAP:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    try:
                        self._http.receive_data(await self._stream.recv(65536))
                    except StreamEnded:
                        self._http.receive_data(b"")  # an end that may be in order (RFC 9112 6.3, rule 8)
                elif isinstance(event, h11.Data):
                    body += event.data
                    pieces += 1
                else:
                    return bytes(body), isinstance(event, h11.EndOfMessage)
        except TimeoutError:
            self.late = True
        except (h11.RemoteProtocolError, TlsFailed):
            pass
        except STREAM_FAILURES:
            pass
        return bytes(body[:most]), False


def _text(value: bytes | None) -> str:
    return (value or b"").decode("ascii", "replace")


def where_to(answer: Answer, question: Question, target: str, *, tls: bool) -> tuple[str, bool] | None:
    """Where a redirect leads: the path, and whether over TLS.

    None where that is another address or port, a name (which may be anybody), back from TLS into the clear, or a place
    that the server, not we, would be asking about: a query, or a resource that names patients.
    """
    scheme = "https" if tls else "http"
    try:
        url = urlsplit(urljoin(f"{scheme}://{question.endpoint}{target}", answer.location))
        address, port = ip_address(url.hostname or ""), url.port or DEFAULT_PORTS.get(url.scheme)
    except ValueError:
        return None
    path = url.path or "/"
    here = (address, port) == (question.address, question.port)
    if not answer.location or not here or url.scheme not in (("https",) if tls else DEFAULT_PORTS):
        return None
    if url.query or "@" in url.netloc or not PATH.fullmatch(path):
        return None
    return None if RESOURCES & set(path.lower().split("/")) else (path, url.scheme == "https")
