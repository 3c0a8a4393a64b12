"""DICOM: association, C-ECHO, and the C-FIND that asks for nobody."""

from __future__ import annotations

import asyncio

from remediate.model.observation import Question, Rung
from remediate.model.stream import Line, Stream, StreamEnded, StreamReset
from remediate.probes import upper_layer as ul
from remediate.probes.found import FAILURES, STREAM_FAILURES, Found

FIRST = Rung.NOT_DICOM

#: Seconds that a peer has to answer an A-RELEASE-RQ; by then everything is known.
RELEASE_WAIT = 1.0
#: PS3.4 C.4.1.1.4: a C-FIND-RSP with one of these carries a match.
PENDING = (0xFF00, 0xFF01)
#: First bytes of what else lives on such ports.
OTHERS = {ord("S"): "SSH or another text protocol", ord("H"): "HTTP", 0x15: "TLS", 0x16: "TLS"}


async def ask(line: Line, question: Question, found: Found) -> None:
    async with line.connect() as stream:
        await _associate(stream, question, found)


async def _associate(stream: Stream, question: Question, found: Found) -> None:
    assert question.calling_ae_title is not None and question.called_ae_title is not None
    # At once: a connection without an A-ASSOCIATE-RQ makes some archives wait for it and serve nobody.
    stream.write(ul.association_request(question.calling_ae_title, question.called_ae_title))
    climb = _Climb(stream, found)
    try:
        await climb.run()
        return
    except ul.Malformed as error:
        found.detail = f"{error} after the {climb.asked}"
    except ul.Aborted:
        found.rung, found.detail = climb.if_ended, f"A-ABORT after the {climb.asked}"
    except (StreamEnded, StreamReset) as error:
        found.rung, found.detail = climb.if_ended, f"{FAILURES[type(error)]} after the {climb.asked}"
    except STREAM_FAILURES as error:  # time or bytes are used up
        found.detail = f"connected, {FAILURES[type(error)]} after the {climb.asked}"
    stream.write(ul.A_ABORT_BYTES)


class _Climb:
    """``asked``: what was sent last. ``if_ended``: the rung if the peer ends the conversation now."""

    def __init__(self, stream: Stream, found: Found) -> None:
        self.stream = stream
        self.found = found
        self.asked = "A-ASSOCIATE-RQ"
        self.if_ended = Rung.ABORTED

    async def run(self) -> None:
        accepted = await self._associate()
        if accepted is None:
            return
        if not accepted.contexts:
            self._reach(Rung.NO_CONTEXT)
        else:
            self._reach(Rung.ASSOCIATED)
            self.found.negotiated = frozenset(role for i in accepted.contexts if (role := ul.ROLE[i]) is not None)
            if ul.CONTEXT_ID[ul.VERIFICATION] in accepted.contexts:
                await self._echo(accepted.max_length)
            if ul.CONTEXT_ID[ul.STUDY_ROOT_FIND] in accepted.contexts and await self._find(accepted.max_length):
                return
        await self._release()

    def _reach(self, rung: Rung) -> None:
        self.found.rung = self.if_ended = rung

    async def _associate(self) -> ul.Accepted | None:
        kind = (await self.stream.exactly(1))[0]
        if kind not in (ul.ASSOCIATE_AC, ul.ASSOCIATE_RJ, ul.ABORT):
            raise ul.Malformed(OTHERS.get(kind, "something else than DICOM"))
        body = await self.stream.exactly(ul.pdu_length(await self.stream.exactly(5)))
        if kind == ul.ASSOCIATE_AC:
            return ul.accepted(body)
        if len(body) < 4:
            raise ul.Malformed("a PDU that is too short")
        if kind == ul.ABORT:
            raise ul.Aborted
        result, source, reason = body[1:4]  # PS3.8 9.3.4
        self.found.reject = (result, source, reason)
        self.found.rung = Rung.BUSY if result == 2 else Rung.REJECTED
        return None

    async def _echo(self, max_length: int) -> None:
        self.asked = "C-ECHO"
        self.stream.write(ul.c_echo(max_length))
        response = await ul.response(self.stream, ul.ECHO_RSP)
        if response.status == 0:
            self._reach(Rung.ECHO)
        else:
            self.found.detail = f"C-ECHO status 0x{response.status:04X}"
        if response.more:
            raise ul.Malformed("a data set in the response")

    async def _find(self, max_length: int) -> bool:
        """Whether data came; the association is aborted then."""
        self.asked = "C-FIND"
        self.if_ended = Rung.ABORTED_AFTER_FIND
        self.stream.write(ul.c_find(max_length))
        response = await ul.response(self.stream, ul.FIND_RSP)
        self.found.status = response.status
        if response.status in PENDING:
            self.stream.write(ul.A_ABORT_BYTES)
            self.stream.abort()  # what has come already is dropped unread
            self.found.rung = Rung.DATA_RETURNED
            if not response.more:
                self.found.detail = "a match without an identifier"
            return True
        self._reach(Rung.QUERY_REFUSED if response.status else Rung.QUERY_ANSWERED)
        return False

    async def _release(self) -> None:
        """PS3.8 9.3.6. What comes instead of an answer changes nothing of what was found."""
        self.stream.write(ul.A_RELEASE_RQ_BYTES)
        try:
            async with asyncio.timeout(RELEASE_WAIT):
                if (await self.stream.exactly(1))[0] == ul.RELEASE_RP:
                    self.stream.close()  # it is the requestor that closes
                    return
        except STREAM_FAILURES:
            pass  # aborted below, as after any other answer
        self.stream.write(ul.A_ABORT_BYTES)
