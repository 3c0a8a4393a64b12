"""DICOM: association, C-ECHO, and the C-FIND that asks for nobody; plain, and inside TLS where plain is not taken.

One question makes at most two associations, and three connections: a plain one; one inside TLS, if the plain one was
not understood; and one more without a C-ECHO, if that was what ended the association.
"""

from __future__ import annotations

import asyncio

from remediate.model.observation import Question, Rung
from remediate.model.site import ServiceKind
from remediate.model.stream import DialFailed, Line, Stream, StreamEnded, StreamReset, TlsFailed
from remediate.probes import upper_layer as ul
from remediate.probes.found import FAILURES, STREAM_FAILURES, Found

FIRST = Rung.NOT_DICOM

#: Seconds that a peer has to answer an A-RELEASE-RQ; by then everything is known.
RELEASE_WAIT = 1.0
#: Seconds of silence after which a port that is declared as TLS is asked inside TLS.
PLAIN_WAIT = 2.0
#: PS3.4 C.4.1.1.4: a C-FIND-RSP with one of these carries a match.
PENDING = (0xFF00, 0xFF01)
#: RFC 8446 5.1: the first byte of an alert and of a handshake record.
TLS_RECORDS = (0x15, 0x16)
#: First bytes of what else lives on such ports.
OTHERS = {ord("S"): "SSH or another text protocol", ord("H"): "HTTP", **dict.fromkeys(TLS_RECORDS, "TLS")}


async def ask(line: Line, question: Question, found: Found) -> None:
    """Plain first, on a port that is declared as TLS too: a TLS server ends a plain A-ASSOCIATE-RQ at once, but a
    DICOM server may take a ClientHello for the head of a huge PDU and wait for the rest of it, serving nobody.
    """
    async with line.connect() as stream:
        climb = _Climb(stream, question, found)
        await climb.run()
    if climb.tls_instead:
        await _inside_tls(line, question, found, known=climb.first_byte in TLS_RECORDS)
        return
    if question.kind is ServiceKind.DICOM_TLS and climb.first_byte in ul.ANSWERS:
        found.note("it answers without TLS")
    if climb.echo_ended_it:
        await _without_echo(line, question, found, tls=False)


async def _inside_tls(line: Line, question: Question, found: Found, *, known: bool) -> None:
    """``known``: that it is TLS, whatever comes of the handshake."""
    try:
        async with line.connect(tls=True) as stream:
            found.rung, found.detail, found.tls = Rung.TLS_ONLY, "", stream.tls
            climb = _Climb(stream, question, found)
            await climb.run()
    except DialFailed as error:
        found.note(f"with TLS: {error.what}")
        return
    except TlsFailed as error:
        found.tls = error.tls
        if error.certificate_wanted:
            found.rung, found.detail = Rung.TLS_CERTIFICATE_WANTED, error.what
        elif known or error.answered:
            found.rung, found.detail = Rung.TLS_ONLY, error.what
        else:
            found.note(f"with TLS: {error.what}")
        return
    if climb.echo_ended_it:
        await _without_echo(line, question, found, tls=True)


async def _without_echo(line: Line, question: Question, found: Found, *, tls: bool) -> None:
    """An archive may refuse the C-ECHO with an abort, and answer a C-FIND all the same."""
    found.note("asked again without it")
    try:
        async with line.connect(tls=tls) as stream:
            await _Climb(stream, question, found, echo=False).run()
    except (DialFailed, TlsFailed) as error:
        found.note(error.what)


class _Climb:
    """One association. ``echo``: False the second time, which only adds to what the first one found.

    ``first_byte``: of what the peer sent, None for nothing. ``asked``: what was sent last. ``if_ended``: the rung if
    the peer ends the conversation now. ``tls_instead``: the peer may understand TLS only. ``echo_ended_it``: the peer
    ended the association at the C-ECHO, and there was more to ask.
    """

    def __init__(self, stream: Stream, question: Question, found: Found, *, echo: bool = True) -> None:
        self.stream = stream
        self.question = question
        self.found = found
        self.echo = echo
        self.first_byte: int | None = None
        self.asked = "A-ASSOCIATE-RQ"
        # Inside TLS, an end without a word tells nothing of DICOM.
        self.if_ended = Rung.ABORTED if echo and stream.tls is None else found.rung
        self.tls_instead = False
        self.echo_ended_it = False

    async def run(self) -> None:
        calling, called = self.question.calling_ae_title, self.question.called_ae_title
        assert calling is not None and called is not None
        # At once: a connection without an A-ASSOCIATE-RQ makes some archives wait for it and serve nobody.
        self.stream.write(ul.association_request(calling, called, echo_only=self.question.up_to is Rung.ECHO))
        try:
            await self._climb()
            return
        except ul.Malformed as error:
            self._note(str(error))
            self.tls_instead = self.first_byte in TLS_RECORDS
        except ul.Aborted:
            self._ended("A-ABORT")
        except ul.Released:
            self._note("A-RELEASE-RQ")
            if self.found.rung is Rung.ASSOCIATED:  # nothing was served: so an archive refuses that decides too late
                self.found.rung = Rung.ABORTED
        except (StreamEnded, StreamReset) as error:
            self._ended(FAILURES[type(error)])
            self.tls_instead = self.first_byte is None
        except TlsFailed as error:  # TLS 1.3 asks for a client certificate only after the handshake
            if error.certificate_wanted and self.found.rung is Rung.TLS_ONLY:
                self.found.rung = Rung.TLS_CERTIFICATE_WANTED
            self.found.tls = error.tls or self.found.tls
            self.found.note(error.what)
        except STREAM_FAILURES as error:  # time or bytes are used up
            self._note(f"connected, {FAILURES[type(error)]}")
            self.tls_instead = self.first_byte is None and self.question.kind is ServiceKind.DICOM_TLS
        self.stream.write(ul.A_ABORT_BYTES)

    def _note(self, how: str) -> None:
        answered = ", the C-ECHO was answered" if self.asked == "C-FIND" and self.found.rung is Rung.ECHO else ""
        self.found.note(f"{how} after the {self.asked}{answered}")

    def _ended(self, how: str) -> None:
        """By the peer."""
        self._note(how)
        self.found.rung = self.if_ended

    async def _climb(self) -> None:
        accepted = await self._associate()
        if accepted is None:
            return
        asked = self.question.up_to
        if (
            accepted.contexts
            and asked is not Rung.ASSOCIATED
            and await self._ask(accepted, find=asked is not Rung.ECHO)
        ):
            return
        await self._release()

    def _reach(self, rung: Rung) -> None:
        self.found.rung = self.if_ended = rung

    async def _associate(self) -> ul.Accepted | None:
        """None for a rejection."""
        if self._may_be_tls():
            async with asyncio.timeout(PLAIN_WAIT):
                kind = self.first_byte = (await self.stream.exactly(1))[0]
        else:
            kind = self.first_byte = (await self.stream.exactly(1))[0]
        if kind not in ul.ANSWERS:
            raise ul.Malformed(OTHERS.get(kind, "something else than DICOM"))
        if self.echo:
            self.if_ended = Rung.ABORTED
        body = await self.stream.exactly(ul.pdu_length(await self.stream.exactly(5)))
        if kind == ul.ASSOCIATE_AC:
            accepted = ul.accepted(body)
            if self.echo:
                self._accepted(accepted)
            return accepted
        if len(body) < 4:
            raise ul.Malformed("a PDU that is too short")
        if kind == ul.ABORT:
            raise ul.Aborted
        if not self.echo:
            self.found.note("rejected")
            return None
        result, source, reason = body[1:4]  # PS3.8 9.3.4
        self.found.reject = (result, source, reason)
        self.found.rung = Rung.BUSY if result == 2 else Rung.REJECTED
        return None

    def _accepted(self, accepted: ul.Accepted) -> None:
        self._reach(Rung.ASSOCIATED if accepted.contexts else Rung.NO_CONTEXT)
        self.found.negotiated = frozenset(role for i in accepted.contexts if (role := ul.ROLE[i]) is not None)
        self.found.stack = accepted.stack

    def _may_be_tls(self) -> bool:
        return self.question.kind is ServiceKind.DICOM_TLS and self.stream.tls is None

    async def _ask(self, accepted: ul.Accepted, *, find: bool) -> bool:
        """Whether data came; the association is aborted then."""
        find = find and ul.CONTEXT_ID[ul.STUDY_ROOT_FIND] in accepted.contexts
        if self.echo and ul.CONTEXT_ID[ul.VERIFICATION] in accepted.contexts:
            try:
                await self._echo(accepted.max_length)
            except (ul.Aborted, StreamEnded, StreamReset):
                self.echo_ended_it = find
                raise
        return find and await self._find(accepted.max_length)

    async def _echo(self, max_length: int) -> None:
        self.asked = "C-ECHO"
        self.stream.write(ul.c_echo(max_length))
        response = await ul.response(self.stream, ul.ECHO_RSP)
        if response.status == 0:
            self._reach(Rung.ECHO)
        else:
            self.found.note(f"C-ECHO status 0x{response.status:04X}")
        if response.more:
            raise ul.Malformed("a data set in the response")

    async def _find(self, max_length: int) -> bool:
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
                self.found.note("a match without an identifier")
            return True
        self._reach(Rung.QUERY_REFUSED if response.status else Rung.QUERY_ANSWERED)
        return False

    async def _release(self) -> None:
        """PS3.8 9.3.6. What comes instead of an answer changes nothing of what was found."""
        self.stream.write(ul.A_RELEASE_RQ_BYTES)
        self.stream.hurry(RELEASE_WAIT)
        try:
            if (await self.stream.exactly(1))[0] == ul.RELEASE_RP:
                self.stream.close()  # it is the requestor that closes
                return
        except TlsFailed:
            pass
        except STREAM_FAILURES:
            pass  # aborted below, as after any other answer
        self.stream.write(ul.A_ABORT_BYTES)
