"""FTP: the greeting (RFC 959 5.4), then QUIT. No login, no listing."""

from __future__ import annotations

from remediate.model.observation import Question, Rung
from remediate.model.stream import Line, Stream
from remediate.probes.found import FAILURES, STREAM_FAILURES, Found

FIRST = Rung.OPEN
GREETING_CAP = 1024


async def ask(line: Line, question: Question, found: Found) -> None:  # noqa: ARG001  (a Probe's signature)
    async with line.connect() as stream:
        await _converse(stream, found)


async def _converse(stream: Stream, found: Found) -> None:
    greeting = b""
    try:
        while b"\n" not in greeting and len(greeting) < GREETING_CAP:
            greeting += await stream.recv(GREETING_CAP)
    except STREAM_FAILURES as error:
        found.detail = f"connected, no FTP greeting: {FAILURES[type(error)]}"
        return
    if greeting.startswith(b"220"):
        found.detail = "FTP greeting 220"
        stream.write(b"QUIT\r\n")
    else:
        found.detail = "connected, no FTP greeting"
