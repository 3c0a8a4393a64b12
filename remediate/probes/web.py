"""HTTP: one plain GET of ``/``. No redirect is followed, no body is kept."""

from __future__ import annotations

import h11

from remediate.model.observation import Question, Rung
from remediate.model.stream import Line, Stream
from remediate.probes.found import FAILURES, STREAM_FAILURES, Found

FIRST = Rung.NOT_HTTP
#: Bytes of a response that are read, and thrown away, for the server's sake.
BODY_CAP = 64 << 10
HEADER_CAP = 64 << 10


async def ask(line: Line, question: Question, found: Found) -> None:
    async with line.connect() as stream:
        await _converse(stream, question, found)


async def _converse(stream: Stream, question: Question, found: Found) -> None:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_CAP)
    headers = [("Host", question.endpoint), ("User-Agent", "remediate"), ("Accept", "*/*"), ("Connection", "close")]
    for event in (h11.Request(method="GET", target="/", headers=headers), h11.EndOfMessage()):
        stream.write(http.send(event) or b"")
    try:
        await _read(stream, http, found)
    except h11.RemoteProtocolError:
        if found.status is None:
            found.detail = "connected, the answer is not HTTP"
    except STREAM_FAILURES as error:
        if found.status is None:
            found.detail = f"connected, no HTTP answer: {FAILURES[type(error)]}"


async def _read(stream: Stream, http: h11.Connection, found: Found) -> None:
    read = 0
    while read < BODY_CAP:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.recv(65536))
        elif isinstance(event, h11.Response):
            found.status = event.status_code
            found.rung = _rung(event.status_code)
        elif isinstance(event, h11.Data):
            read += len(event.data)
        elif not isinstance(event, h11.InformationalResponse):
            return  # the end of the message, or of the conversation


def _rung(status: int) -> Rung:
    if status in (401, 403):
        return Rung.HTTP_GUARDED
    return Rung.HTTP_ANSWERED if status < 500 else Rung.HTTP_ERROR
