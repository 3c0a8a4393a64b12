"""FTP: the greeting, an anonymous login (RFC 1635), whether files are listed, then QUIT (RFC 959).

The listing is asked for with STAT (RFC 959 4.1.3), which answers over this connection: LIST would need one to another
port. Its lines are counted, not read. AUTH TLS is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

from remediate.model.observation import Question, Rung, Surface
from remediate.model.stream import Line, Stream
from remediate.probes.found import EVERYTHING, FAILURES, STREAM_FAILURES, Found

FIRST = Rung.OPEN
#: Bytes of one reply. A listing that is longer is one all the same.
REPLY_CAP = 64 << 10
#: RFC 959 4.2.1: directory status, file status. 211 is the server's own status.
LISTINGS = (212, 213)
#: RFC 959 4.2: what says that somebody is in, and how a lasting refusal begins; 4 would be one for now.
LOGGED_IN, REFUSED = 230, 5


class _NoReply(Exception):
    """Not FTP. The text is ours."""


@dataclass(frozen=True)
class _Reply:
    """RFC 959 4.2. ``inside``: how many lines stand between the first and the last. ``whole``: read to its end."""

    code: int
    inside: int
    whole: bool


async def ask(line: Line, question: Question, found: Found) -> None:
    async with line.connect() as stream:
        found.detail = "connected, no FTP greeting"
        try:
            await _converse(_Control(stream), question, found)
        except _NoReply as error:
            found.detail += f": {error}"
        except STREAM_FAILURES as error:
            found.detail += f": {FAILURES[type(error)]}"


async def _converse(control: _Control, question: Question, found: Found) -> None:
    greeting = await control.reply()
    if greeting.code != 220 or not greeting.whole:
        return
    found.detail = "FTP greeting 220"
    if question.up_to in EVERYTHING:
        await _beyond(control, found)
    control.send("QUIT")


async def _beyond(control: _Control, found: Found) -> None:
    answer = await _anonymous(control)
    if answer.code != LOGGED_IN:
        found.note("anonymous login refused")
        if answer.code // 100 == REFUSED:
            found.rung = Rung.FTP_GUARDED
        return
    found.note("anonymous login accepted")
    found.surfaces.add(Surface.ANONYMOUS_FTP)
    listing = await control.command("STAT /")
    if listing.code in LISTINGS and listing.inside:
        found.surfaces.add(Surface.DIRECTORY_LISTING)


async def _anonymous(control: _Control) -> _Reply:
    answer = await control.command("USER anonymous")
    if answer.code in (331, 332):
        answer = await control.command("PASS anonymous@")
    return answer


class _Control:
    """The control connection."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""

    def send(self, command: str) -> None:
        self._stream.write(f"{command}\r\n".encode("ascii"))

    async def command(self, command: str) -> _Reply:
        self.send(command)
        return await self.reply()

    async def reply(self) -> _Reply:
        """Raises _NoReply, and what a stream raises."""
        first = await self._line()
        code = first[:3]
        if not (code.isdigit() and first[3:4] in (b" ", b"-", b"")):
            raise _NoReply("something else came")
        inside, read = 0, len(first)
        if first[3:4] == b"-":
            while not (last := await self._line()).startswith(code + b" "):
                inside += 1
                read += len(last) + 1
                if read > REPLY_CAP:
                    return _Reply(int(code), inside, whole=False)
        return _Reply(int(code), inside, whole=True)

    async def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > REPLY_CAP:
                raise _NoReply("a line without end")
            self._buffer += await self._stream.recv(4096)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")
