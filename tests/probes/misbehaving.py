"""Peers that a probe must survive, each with its own rung: the list of the field notes, and more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from remediate.model.observation import Rung
from remediate.probes import upper_layer as ul

from .peers import Peer, Script, ac, command, data, pdu

ECHO, FIND = ul.CONTEXT_ID[ul.VERIFICATION], ul.CONTEXT_ID[ul.STUDY_ROOT_FIND]
BOTH = ac([(ECHO, 0), (FIND, 0)])
ECHO_OK = command(ECHO, 0x8030, 0)
NAME = b"MADEUP^PATIENT^NAME"
IDENTIFIER = b"\x10\0\x10\0\x13\0\0\0" + NAME


def answers(*replies: bytes) -> Script:
    """One reply to each PDU of the prober; then silence."""

    async def script(peer: Peer) -> None:
        for reply in replies:
            await peer.pdu()
            await peer.say(reply)

    return script


def find_answered(*replies: bytes) -> Script:
    """A C-FIND-RQ is two PDUs: the command, the identifier."""

    async def script(peer: Peer) -> None:
        await answers(BOTH, ECHO_OK)(peer)
        await peer.pdu()
        await answers(b"".join(replies))(peer)

    return script


async def silent(peer: Peer) -> None:
    pass


async def one_byte_at_a_time(peer: Peer) -> None:
    for i in range(len(BOTH)):
        await peer.say(BOTH[i : i + 1])
        await asyncio.sleep(0.05)  # the peer's slowness is what is tested


async def floods(peer: Peer) -> None:
    await peer.say(pdu(0x02, b"", 0xFFFFFFFF))
    while True:
        await peer.say(bytes(65536))


async def fin_at_once(peer: Peer) -> None:
    await peer.reader.read(65536)
    peer.fin()


async def rst_at_once(peer: Peer) -> None:
    await peer.reader.read(65536)
    peer.rst()


async def tls_alert(peer: Peer) -> None:
    """Whatever is said; the alert is handshake_failure (RFC 8446 6)."""
    await peer.reader.read(1)
    await peer.say(b"\x15\x03\x03\x00\x02\x02\x28")


async def truncated_rejection(peer: Peer) -> None:
    await answers(b"\x03\0\0\0\0\x04\0\1")(peer)
    peer.fin()


async def fin_after_find(peer: Peer) -> None:
    await find_answered(b"")(peer)
    peer.fin()


async def rst_after_find(peer: Peer) -> None:
    await find_answered(b"")(peer)
    peer.rst()


async def abort_after_echo(peer: Peer) -> None:
    await answers(ac([(ECHO, 0)]), ECHO_OK + pdu(0x07, bytes(4)))(peer)


async def rst_in_answer_to_echo(peer: Peer) -> None:
    await answers(ac([(ECHO, 0)]))(peer)
    await peer.pdu()
    peer.rst()


def is_echo(message: bytes) -> bool:
    """Whether a P-DATA-TF is for the presentation context of the C-ECHO."""
    return message[0] == 0x04 and message[10] == ECHO


def no_echo_please(*after_find: bytes, end: bytes = pdu(0x07, bytes(4))) -> Script:
    """Ends the association at a C-ECHO, and answers a C-FIND."""

    async def script(peer: Peer) -> None:
        await answers(BOTH)(peer)
        if is_echo(await peer.pdu()):
            await peer.say(end)
            if not end:
                peer.rst()
            return
        await answers(b"".join(after_find), pdu(0x06, bytes(4)))(peer)

    return script


async def pending_without_end(peer: Peer) -> None:
    await find_answered(b"")(peer)
    while True:
        await peer.say((command(FIND, 0x8020, 0xFF00, data_set=1) + data(FIND, 2, IDENTIFIER)) * 200)


async def accepts_everything(peer: Peer) -> None:
    await answers(ac([(i, 0) for i in ul.ROLE]), ECHO_OK)(peer)
    await peer.pdu()
    await answers(command(FIND, 0x8020, 0), pdu(0x06, bytes(4)))(peer)


@dataclass(frozen=True)
class Case:
    script: Script
    rung: Rung
    detail: str = ""
    reject: tuple[int, int, int] | None = None
    status: int | None = None
    released: bool = False  # ends with A-RELEASE and FIN, where every other one ends with a reset
    connections: int = 1


CASES = {
    "silence": Case(silent, Rung.NOT_DICOM, "connected, no answer"),
    "one byte, then silence": Case(answers(b"\x02"), Rung.NOT_DICOM, "no answer in time"),
    "one byte at a time": Case(one_byte_at_a_time, Rung.NOT_DICOM, "no answer in time"),
    "length 0": Case(answers(pdu(0x02, b"")), Rung.NOT_DICOM, "malformed"),
    "length 0, rejection": Case(answers(pdu(0x03, b"")), Rung.NOT_DICOM, "too short"),
    "length 0xFFFFFFFF, stalled": Case(answers(pdu(0x02, b"", 0xFFFFFFFF)), Rung.NOT_DICOM, "declares more"),
    "length 0xFFFFFFFF, flooding": Case(floods, Rung.NOT_DICOM, "declares more"),
    "FIN at once": Case(fin_at_once, Rung.ABORTED, "connection closed after the A-ASSOCIATE-RQ", connections=2),
    "RST at once": Case(rst_at_once, Rung.ABORTED, "connection reset after the A-ASSOCIATE-RQ", connections=2),
    "A-ABORT": Case(answers(pdu(0x07, b"\0\0\2\0")), Rung.ABORTED, "A-ABORT after the A-ASSOCIATE-RQ"),
    "AC, and A-RELEASE-RQ at once": Case(
        answers(ac([(ECHO, 0), (FIND, 0)]) + pdu(0x05, bytes(4))), Rung.ABORTED, "A-RELEASE-RQ after the C-ECHO"
    ),
    "truncated rejection": Case(truncated_rejection, Rung.ABORTED, "connection closed"),
    "rejection 9/9/99": Case(answers(pdu(0x03, b"\0\x09\x09\x63")), Rung.REJECTED, reject=(9, 9, 99)),
    "rejection 1/1/3": Case(answers(pdu(0x03, b"\0\1\1\3")), Rung.REJECTED, reject=(1, 1, 3)),
    "rejection 2/3/1": Case(answers(pdu(0x03, b"\0\2\3\1")), Rung.BUSY, reject=(2, 3, 1)),
    "AC without items": Case(answers(pdu(0x02, bytes(68))), Rung.NO_CONTEXT),
    "AC, all refused": Case(answers(ac([(ECHO, 3), (FIND, 1)])), Rung.NO_CONTEXT),
    "AC, a context never proposed": Case(answers(ac([(251, 0)])), Rung.NO_CONTEXT),
    "AC, an even context": Case(answers(ac([(2, 0)])), Rung.NO_CONTEXT),
    "AC, duplicates that differ": Case(answers(ac([(ECHO, 0), (ECHO, 3)])), Rung.NO_CONTEXT),
    "AC, duplicates that agree": Case(answers(ac([(ECHO, 0), (ECHO, 0)]), ECHO_OK), Rung.ECHO),
    "AC, an item that overruns": Case(answers(pdu(0x02, bytes(68) + b"\x21\0\0\2\1")), Rung.NOT_DICOM, "malformed"),
    "AC, titles not ASCII": Case(
        answers(ac([(ECHO, 0)], title=b"\xe9\xff" * 8, version="Jürgen".encode("latin-1")), ECHO_OK), Rung.ECHO
    ),
    "SSH banner": Case(answers(b"SSH-2.0-OpenSSH_9.2\r\n"), Rung.NOT_DICOM, "SSH"),
    "HTTP 400": Case(answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Rung.NOT_DICOM, "HTTP"),
    "TLS alert": Case(tls_alert, Rung.TLS_ONLY, "TLS alert 40 in the handshake", connections=2),
    "its own request back": Case(answers(pdu(0x01, bytes(68))), Rung.NOT_DICOM, "something else"),
    "silence after AC": Case(answers(BOTH), Rung.ASSOCIATED, "no answer in time after the C-ECHO"),
    "RST in answer to echo": Case(rst_in_answer_to_echo, Rung.ASSOCIATED, "connection reset after the C-ECHO"),
    "A-ABORT in answer to echo, C-FIND answered": Case(
        no_echo_please(command(FIND, 0x8020, 0)),
        Rung.QUERY_ANSWERED,
        "A-ABORT after the C-ECHO; asked again without it",
        status=0,
        connections=2,
        released=True,
    ),
    "RST in answer to echo, C-FIND refused": Case(
        no_echo_please(command(FIND, 0x8020, 0xA900), end=b""),
        Rung.QUERY_REFUSED,
        "connection reset after the C-ECHO; asked again without it",
        status=0xA900,
        connections=2,
        released=True,
    ),
    "A-ABORT in answer to echo, and to C-FIND": Case(
        no_echo_please(pdu(0x07, bytes(4))),
        Rung.ABORTED_AFTER_FIND,
        "A-ABORT after the C-ECHO; asked again without it; A-ABORT after the C-FIND",
        connections=2,
    ),
    "echo refused": Case(answers(ac([(ECHO, 0)]), command(ECHO, 0x8030, 0x0122)), Rung.ASSOCIATED, "0x0122"),
    "echo with a data set": Case(answers(BOTH, command(ECHO, 0x8030, 0, data_set=1)), Rung.ECHO, "a data set"),
    "another message than the echo": Case(answers(BOTH, command(ECHO, 0x8020, 0)), Rung.ASSOCIATED, "another message"),
    "a response without status": Case(answers(BOTH, command(ECHO, 0x8030, None)), Rung.ASSOCIATED, "another message"),
    "a response in fragments": Case(
        answers(ac([(ECHO, 0)]), data(ECHO, 1, ECHO_OK[12:30]) + data(ECHO, 3, ECHO_OK[30:])), Rung.ECHO
    ),
    "a response without end": Case(answers(BOTH, data(ECHO, 1, bytes(4000)) * 9), Rung.ASSOCIATED, "without end"),
    "a command set that overruns": Case(
        answers(BOTH, data(ECHO, 3, ECHO_OK[12:-1])), Rung.ASSOCIATED, "malformed command set"
    ),
    "P-DATA of nothing": Case(answers(BOTH, pdu(0x04, bytes(6))), Rung.ASSOCIATED, "malformed P-DATA-TF"),
    "abort after the echo": Case(abort_after_echo, Rung.ECHO),
    "silence after the C-FIND": Case(find_answered(b""), Rung.ECHO, "no answer in time after the C-FIND"),
    "A-ABORT after the C-FIND": Case(
        find_answered(pdu(0x07, bytes(4))),
        Rung.ABORTED_AFTER_FIND,
        "A-ABORT after the C-FIND, the C-ECHO was answered",
    ),
    "FIN after the C-FIND": Case(fin_after_find, Rung.ABORTED_AFTER_FIND, "connection closed"),
    "RST after the C-FIND": Case(rst_after_find, Rung.ABORTED_AFTER_FIND, "connection reset"),
    "final 0xA700": Case(find_answered(command(FIND, 0x8020, 0xA700)), Rung.QUERY_REFUSED, status=0xA700),
    "final 0xC000": Case(find_answered(command(FIND, 0x8020, 0xC000)), Rung.QUERY_REFUSED, status=0xC000),
    "pending without end": Case(pending_without_end, Rung.DATA_RETURNED, status=0xFF00),
    "pending without an identifier": Case(
        find_answered(command(FIND, 0x8020, 0xFF01)),
        Rung.DATA_RETURNED,
        "a match without an identifier",
        status=0xFF01,
    ),
    "release never answered": Case(find_answered(command(FIND, 0x8020, 0)), Rung.QUERY_ANSWERED, status=0),
    "accepts everything": Case(accepts_everything, Rung.QUERY_ANSWERED, status=0, released=True),
}
