"""DICOM inside TLS: plain first, then the whole ladder inside; what a server wants of a client, early and late."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from remediate.model.observation import Observation, Rung
from remediate.model.site import ClientCertificate, Role, ServiceKind
from remediate.testing import Peer, Script, ScriptedPeer
from remediate.testing.dicom import answers, rejects, silent
from tests.vantages.certificates import Made, TlsPeer, make, server_context

from .misbehaving import BOTH, ECHO, FIND, accepts_everything, no_echo_please
from .peers import DEADLINE, command, look, pdu

EITHER_KIND = pytest.mark.parametrize("kind", [ServiceKind.DICOM, ServiceKind.DICOM_TLS])
EITHER_VERSION = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("server"), "server")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("clinic"), "clinic")


def ask(
    script: Script,
    context: ssl.SSLContext | None,
    kind: ServiceKind = ServiceKind.DICOM,
    *,
    up_to: Rung | None = None,
    shown: ClientCertificate | None = None,
    anonymous: bool = False,
    deadline: float = DEADLINE,
) -> tuple[Observation, int]:
    """And how many connections ran the script: inside TLS, where there is a context."""

    async def main() -> tuple[Observation, int]:
        ran = 0

        async def counted(peer: Peer) -> None:
            nonlocal ran
            ran += 1
            await script(peer)

        async with ScriptedPeer(counted, tls=context) as scripted:
            seen = await look(scripted.port, kind, deadline, up_to=up_to, certificate=shown, anonymous=anonymous)
        return seen, ran

    return asyncio.run(main())


async def closes(peer: Peer) -> None:
    await peer.pdu()
    peer.writer.close()


async def speaks_http(peer: Peer) -> None:
    await peer.pdu()
    await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def aborts(peer: Peer) -> None:
    await peer.pdu()
    await peer.say(pdu(0x07, bytes(4)))


async def half_a_rejection(peer: Peer) -> None:
    await peer.pdu()
    await peer.say(b"\x03\0\0\0\0\x04\0\1")
    peer.writer.close()


@EITHER_KIND
@EITHER_VERSION
def test_the_whole_ladder_inside(kind: ServiceKind, version: ssl.TLSVersion, server: Made) -> None:
    seen, ran = ask(accepts_everything, server_context(server, version), kind)
    assert (seen.rung, seen.status, seen.detail, ran) == (Rung.QUERY_ANSWERED, 0, "", 1)
    assert Role.QUERY in seen.negotiated
    assert seen.tls is not None and seen.tls.version == {2: "TLSv1.2", 3: "TLSv1.3"}[version - 0x0301]


@pytest.mark.parametrize(
    ("script", "rung", "detail", "inside"),
    [
        (rejects(1, 1, 3), Rung.REJECTED, "", 1),
        (rejects(2, 3, 2), Rung.BUSY, "", 1),
        (aborts, Rung.ABORTED, "A-ABORT", 1),
        (half_a_rejection, Rung.ABORTED, "connection closed", 1),
        (answers(BOTH, command(ECHO, 0x8030, 0)), Rung.ECHO, "no answer in time after the C-FIND", 1),
        (no_echo_please(command(FIND, 0x8020, 0)), Rung.QUERY_ANSWERED, "asked again without it", 2),
        (silent, Rung.TLS_ONLY, "no answer in time", 1),
        (closes, Rung.TLS_ONLY, "connection closed", 1),
        (speaks_http, Rung.TLS_ONLY, "HTTP", 1),
    ],
)
def test_each_rung_inside(script: Script, rung: Rung, detail: str, inside: int, server: Made) -> None:
    context = server_context(server, ssl.TLSVersion.TLSv1_3)
    seen, ran = ask(script, context)
    assert (seen.rung, ran) == (rung, inside)
    assert detail in seen.detail
    assert seen.tls is not None


def by_hand(context: ssl.SSLContext, *, plain: Script) -> Script:
    """A server that says in an alert why it turns a client away, and inside rejects it. ``plain``: for the others."""

    async def script(peer: Peer) -> None:
        first = await peer.reader.read(65536)
        if first[0] != 0x16:
            await plain(peer)
            return
        inside = TlsPeer(context, peer.reader, peer.writer)
        inside.incoming.write(first)
        if await inside.shake_hands():
            await inside.read(65536)
            await inside.write(pdu(0x03, b"\0\1\1\3"))

    return script


async def resets(peer: Peer) -> None:
    peer.rst()


@EITHER_KIND
@EITHER_VERSION
def test_a_client_certificate_is_wanted(
    kind: ServiceKind, version: ssl.TLSVersion, server: Made, clinic: Made, tmp_path: Path
) -> None:
    """With TLS 1.3 the handshake succeeds, and the alert comes at the first read."""
    script = by_hand(server_context(server, version, trusts=clinic), plain=resets)
    for shown in (None, make(tmp_path, "foreign").shown):
        seen, ran = ask(script, None, kind, shown=shown)
        assert (seen.rung, seen.reject, ran) == (Rung.TLS_CERTIFICATE_WANTED, None, 2)
        assert seen.tls is not None
    seen, ran = ask(script, None, kind, shown=clinic.shown)
    assert (seen.rung, seen.reject, ran) == (Rung.REJECTED, (1, 1, 3), 2)
    assert seen.tls is not None and seen.tls.client_certificate
    seen, ran = ask(script, None, kind, shown=clinic.shown, anonymous=True)
    assert (seen.rung, ran) == (Rung.TLS_CERTIFICATE_WANTED, 2), "what it has is not shown"


def test_a_server_that_gives_up_in_the_handshake_without_a_word(server: Made, clinic: Made) -> None:
    context = server_context(server, ssl.TLSVersion.TLSv1_2, trusts=clinic)
    seen, ran = ask(accepts_everything, context)  # asyncio's server drops its own alert
    assert (seen.rung, ran) == (Rung.TLS_ONLY, 0)
    assert seen.tls is not None


@pytest.mark.parametrize(("up_to", "rung"), [(Rung.ASSOCIATED, Rung.ASSOCIATED), (Rung.ECHO, Rung.ECHO)])
def test_up_to_inside(up_to: Rung, rung: Rung, server: Made) -> None:
    heard: list[int] = []

    async def script(peer: Peer) -> None:
        answer = {0x01: BOTH, 0x04: command(ECHO, 0x8030, 0), 0x05: pdu(0x06, bytes(4))}
        while not heard or heard[-1] != 0x05:
            heard.append((await peer.pdu())[0])
            await peer.say(answer[heard[-1]])

    seen, _ = ask(script, server_context(server, ssl.TLSVersion.TLSv1_3), up_to=up_to)
    assert seen.rung is rung
    assert heard == ([0x01, 0x05] if up_to is Rung.ASSOCIATED else [0x01, 0x04, 0x05])


@EITHER_KIND
def test_plain_dicom_is_asked_plain_once(kind: ServiceKind) -> None:
    seen, ran = ask(accepts_everything, None, kind)
    assert (seen.rung, seen.tls, ran) == (Rung.QUERY_ANSWERED, None, 1)
    assert seen.detail == ("it answers without TLS" if kind is ServiceKind.DICOM_TLS else "")


@EITHER_KIND
def test_silence_is_asked_inside_tls_only_where_tls_is_declared(kind: ServiceKind, server: Made) -> None:
    """This server waits for the rest of whatever does not look like TLS."""
    script = by_hand(server_context(server, ssl.TLSVersion.TLSv1_3), plain=silent)
    seen, ran = ask(script, None, kind, deadline=2.5)
    if kind is ServiceKind.DICOM_TLS:
        assert (seen.rung, seen.reject, ran) == (Rung.REJECTED, (1, 1, 3), 2)
    else:
        assert (seen.rung, seen.tls, ran) == (Rung.NOT_DICOM, None, 1)


def test_what_is_not_tls_either_stays_what_it_was() -> None:
    async def ends_it(peer: Peer) -> None:
        await peer.reader.read(65536)
        peer.fin()

    seen, ran = ask(ends_it, None)
    assert (seen.rung, seen.tls, ran) == (Rung.ABORTED, None, 2)
    assert seen.detail.startswith("connection closed after the A-ASSOCIATE-RQ; with TLS: ")
