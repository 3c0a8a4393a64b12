"""The web probe, put to servers that a test scripts."""

from __future__ import annotations

import asyncio
import json
import re
import tracemalloc
from contextlib import AsyncExitStack
from urllib.parse import parse_qs, urlsplit

import pytest

from remediate.errors import RemediateError
from remediate.model.observation import Counts, Rung, Surface
from remediate.model.site import ServiceKind
from remediate.model.stream import DialFailed, TlsFailed
from remediate.probes import web
from remediate.probes.dicomweb import ROOTS
from remediate.probes.found import Found
from remediate.probes.http_exchange import PIECES_CAP, Answer, Client, NoAnswer, where_to
from remediate.probes.web import SIGNS, Sign
from remediate.vantages import tls

from .canned import Canned
from .peers import Peer, Script, look_at, question
from .web_site import NOT_FOUND, data, html, http, pages, visit

NAME = "MADEUP^PATIENT"
STUDIES = f'[{{"0020000D":{{"vr":"UI","Value":["2.25.1"]}},"00100010":{{"Value":["{NAME}"]}}}}]'
STATISTICS = {"CountInstances": 30, "CountPatients": 10, "CountSeries": 20, "CountStudies": 12, "TotalDiskSize": "1"}


def says(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        peer.received += await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(answer)

    return script


async def closes(peer: Peer) -> None:
    peer.fin()


@pytest.mark.parametrize(
    ("script", "rung", "status"),
    [
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Rung.HTTP_ANSWERED, 200),
        (says(b"HTTP/1.0 200 OK\r\n\r\nok"), Rung.HTTP_ANSWERED, 200),
        (says(b"HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.1/\r\n\r\n"), Rung.HTTP_ANSWERED, 301),
        (says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\n\r\n"), Rung.HTTP_ANSWERED, 404),
        (says(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=MADEUP\r\n\r\n"), Rung.HTTP_GUARDED, 401),
        (says(b"HTTP/1.1 403 No\r\n\r\n"), Rung.HTTP_GUARDED, 403),
        (says(b"HTTP/1.1 400 No\r\n\r\n"), Rung.HTTP_ERROR, 400),
        (says(b"HTTP/1.1 502 No\r\n\r\n"), Rung.HTTP_ERROR, 502),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), Rung.HTTP_ANSWERED, 200),
        (says(b"SSH-2.0-x\r\n"), Rung.NOT_HTTP, None),
        (says(b""), Rung.NOT_HTTP, None),
        (closes, Rung.NOT_HTTP, None),
    ],
)
def test_the_front_page_makes_the_rung(script: Script, rung: Rung, status: int | None) -> None:
    seen, peer = asyncio.run(look_at(script, ServiceKind.WEB))
    assert (seen.rung, seen.status) == (rung, status)
    assert "MADEUP" not in seen.model_dump_json()
    assert script is closes or bytes(peer.received).startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")


# -- what is sent -------------------------------------------------------------------------------------


def test_only_gets_leave_and_no_key_but_ours() -> None:
    seen, asked = visit(pages({}), ServiceKind.DICOMWEB, called="A/B C")
    assert seen.surfaces == frozenset()
    assert len(asked.connections) == 1, "the server kept the connection alive"
    assert 5 < len(asked.requests) <= 20
    for request in asked.requests:
        assert re.fullmatch(rb"GET [!-~]+ HTTP/1\.1", request.split(b"\r\n")[0])
        assert b"\r\naccept-encoding: identity\r\n" in request.lower()  # a coded list would not be known for one
        assert b"content-length" not in request.lower() and b"transfer-encoding" not in request.lower()
    queries = [parse_qs(url.query) for url in map(urlsplit, asked.targets) if url.query]
    assert len(queries) == len(ROOTS)
    for query in queries:
        assert set(query) == {"StudyInstanceUID", "limit"} and query["limit"] == ["1"]
    uids = [uid for target in asked.targets for uid in re.findall(r"(?:UID=|studies/)([0-9.]+)", target)]
    assert uids and all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert len(uids) == len(set(uids)), "each is random"
    assert any(target.startswith("/dcm4chee-arc/aets/A%2FB%20C/rs/studies?") for target in asked.targets)


def test_a_server_that_answers_everything_is_asked_a_bounded_number_of_times() -> None:
    seen, asked = visit(lambda _: html("a page for every path"), called="ARCHIVE")
    assert seen.surfaces == {Surface.PLAIN_HTTP}
    assert len(asked.requests) <= 20


def test_up_to_the_front_page() -> None:
    seen, asked = visit(pages({"/": html("x")}), up_to=Rung.HTTP_ANSWERED)
    assert (seen.rung, asked.targets) == (Rung.HTTP_ANSWERED, ["/"])


def test_a_new_connection_where_the_server_ends_each() -> None:
    closing = {"/": ("200 OK\r\nConnection: close", b""), "/statistics": data(json.dumps(STATISTICS))}
    seen, asked = visit(pages(closing))
    assert Surface.STATISTICS in seen.surfaces
    assert len(asked.connections) == 2 and seen.detail == ""


def test_a_connection_that_ends_unannounced_is_opened_again() -> None:
    seen, asked = visit(pages({"/statistics": data(json.dumps(STATISTICS))}), last=lambda answers: answers == 2)
    assert Surface.STATISTICS in seen.surfaces and seen.detail == ""
    assert len(asked.connections) >= 3


# -- redirects ----------------------------------------------------------------------------------------

HERE = question(8042, ServiceKind.WEB)


@pytest.mark.parametrize(
    ("location", "secure", "place"),
    [
        ("/app/explorer.html", False, ("/app/explorer.html", False)),
        ("app/", False, ("/app/", False)),
        ("http://127.0.0.1:8042/app/", False, ("/app/", False)),
        ("http://127.0.0.1:8042", False, ("/", False)),
        ("https://127.0.0.1:8042/x", False, ("/x", True)),
        ("https://127.0.0.1:8042/x#y", True, ("/x", True)),
        ("http://127.0.0.1:8042/x", True, None),  # back into the clear
        ("http://127.0.0.1/x", False, None),  # port 80
        ("https://127.0.0.1/x", False, None),
        ("http://127.0.0.2:8042/", False, None),
        ("//127.0.0.2:8042/", False, None),
        ("http://localhost:8042/", False, None),  # a name may be anybody
        ("http://127.1:8042/", False, None),
        ("http://[::ffff:127.0.0.1]:8042/", False, None),
        ("http://user@127.0.0.1:8042/", False, None),
        ("http://127.0.0.1:99999/", False, None),
        ("http://[::1", False, None),
        ("ftp://127.0.0.1:8042/", False, None),
        ("javascript:alert(1)", False, None),
        ("/search?PatientName=*", False, None),
        ("/dicom-web/studies", False, None),
        ("/x\r\nEvil: 1", False, None),
        ("/\ufffd", False, None),
        ("/" + "a" * 2000, False, None),
        ("", False, None),
    ],
)
def test_where_a_redirect_may_lead(location: str, secure: bool, place: tuple[str, bool] | None) -> None:
    answer = Answer(301, "", location, b"", whole=True)
    assert where_to(answer, HERE, "/", tls=secure) == place


def test_a_redirect_on_the_spot_is_followed() -> None:
    moved = ("301 Moved\r\nLocation: /app/explorer.html", b"")
    seen, asked = visit(pages({"/": moved, "/app/explorer.html": html("Orthanc Explorer")}))
    assert (seen.rung, seen.status) == (Rung.HTTP_ANSWERED, 200)
    assert seen.surfaces == {Surface.PLAIN_HTTP, Surface.CONSOLE}
    assert asked.targets.count("/app/explorer.html") == 1, "the page was seen already"


def test_a_redirect_without_end_is_left() -> None:
    seen, asked = visit(pages({"/": ("302 Found\r\nLocation: /", b"")}))
    assert seen.status == 302 and asked.targets.count("/") == 4
    assert Surface.PLAIN_HTTP not in seen.surfaces


@pytest.mark.parametrize(
    "elsewhere", ["http://127.0.0.2:{port}/", "http://127.0.0.1:{other}/", "https://[::1]:{port}/"]
)
def test_no_packet_follows_a_redirect_to_elsewhere(elsewhere: str) -> None:
    async def main() -> tuple[str, int]:
        met = 0

        async def trap(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal met
            met += 1
            writer.close()

        async def moved(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            port = peer.writer.get_extra_info("sockname")[1]
            if port not in trapped:
                trapped.add(port)
                await traps.enter_async_context(await asyncio.start_server(trap, "127.0.0.2", port))
            location = elsewhere.format(port=port, other=other.sockets[0].getsockname()[1])
            await peer.say(http(f"302 Found\r\nConnection: close\r\nLocation: {location}"))
            peer.fin()

        trapped: set[int] = set()
        async with AsyncExitStack() as traps:
            other = await traps.enter_async_context(await asyncio.start_server(trap, "127.0.0.1", 0))
            seen, _ = await look_at(moved, ServiceKind.WEB)
        return seen.detail, met

    detail, met = asyncio.run(main())
    assert "a redirect to elsewhere, not followed" in detail
    assert met == 0


# -- DICOMweb -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ServiceKind.WEB, ServiceKind.DICOMWEB])
@pytest.mark.parametrize(
    ("answer", "surfaces", "rung"),
    [
        (data("[]"), {Surface.QIDO_RS}, Rung.HTTP_ANSWERED),
        (data(" [ ]\n", "application/json"), {Surface.QIDO_RS}, Rung.HTTP_ANSWERED),
        (("204 No Content", b""), {Surface.QIDO_RS}, Rung.HTTP_ANSWERED),
        (data(STUDIES), {Surface.QIDO_RS}, Rung.DATA_RETURNED),
        (data(STUDIES * 500, "application/json"), {Surface.QIDO_RS}, Rung.DATA_RETURNED),
        (("401 Unauthorized", b""), {Surface.QIDO_RS_GUARDED}, Rung.HTTP_ANSWERED),
        (("403 Forbidden", b""), {Surface.QIDO_RS_GUARDED}, Rung.HTTP_ANSWERED),
        (data('["a", "b"]'), set(), Rung.HTTP_ANSWERED),
        (data('[{"name": "x"}]', "application/json"), set(), Rung.HTTP_ANSWERED),
        (data("[]", "text/html"), set(), Rung.HTTP_ANSWERED),
        (("500 Oops", b""), set(), Rung.HTTP_ANSWERED),
    ],
)
def test_a_query_is_open_guarded_or_not_there(
    answer: tuple[str, bytes], surfaces: set[Surface], rung: Rung, kind: ServiceKind
) -> None:
    seen, asked = visit(pages({"/": ("404 No", b""), "/dicom-web/studies": answer}), kind)
    assert seen.surfaces - {Surface.PLAIN_HTTP} == surfaces
    assert seen.rung is rung
    assert NAME not in seen.model_dump_json()
    if surfaces == {Surface.QIDO_RS}:
        assert not any(target.startswith("/dicomweb/") for target in asked.targets), "one root was enough"


def test_data_are_left_unread() -> None:
    """The answer is cut off: the connection is aborted, and the rest of what is asked comes on another."""
    known = {"/": html("x"), "/dicom-web/studies": data(STUDIES * 500)}
    seen, asked = visit(pages(known))
    assert seen.rung is Rung.DATA_RETURNED
    assert "/dicom-web/studies" in asked.connections[0][-1].decode()
    assert len(asked.connections) == 2


@pytest.mark.parametrize("status", ["401 No", "403 No", "204 No Content"])
def test_a_server_that_says_the_same_to_every_path_has_no_query(status: str) -> None:
    same = pages({}, (status, b""))
    seen, _ = visit(same, ServiceKind.WEB)
    assert not seen.surfaces & {Surface.QIDO_RS, Surface.QIDO_RS_GUARDED}
    if not status.startswith("204"):
        seen, _ = visit(same, ServiceKind.DICOMWEB)
        assert Surface.QIDO_RS_GUARDED in seen.surfaces, "here the inventory says that it is there"


def test_a_query_open_behind_a_guarded_front_page_is_open() -> None:
    seen, _ = visit(pages({"/": ("401 No", b""), "/dicom-web/studies": data("[]")}))
    assert (seen.rung, seen.status) == (Rung.HTTP_ANSWERED, 401)


def test_the_archives_own_title_is_in_dcm4chees_path() -> None:
    known = {"/dcm4chee-arc/aets/ARCHIVE/rs/studies": ("204 No Content", b"")}
    seen, _ = visit(pages(known), called="ARCHIVE")
    assert Surface.QIDO_RS in seen.surfaces
    seen, asked = visit(pages(known), called=None)
    assert Surface.QIDO_RS not in seen.surfaces
    assert not any("aets" in target for target in asked.targets)


@pytest.mark.parametrize(
    ("study", "beside", "there"),
    [
        ("406 Not Acceptable", "404 No", True),
        ("400 Bad Request", "404 No", True),
        ("406 Not Acceptable", "406 Not Acceptable", False),
        ("400 Bad Request", "400 Bad Request", False),
        ("404 No", "404 No", False),
        ("401 No", "404 No", False),
        ("200 OK", "404 No", False),
    ],
)
def test_wado_rs_is_said_only_where_a_pair_of_answers_shows_it(study: str, beside: str, there: bool) -> None:
    def page(target: str) -> tuple[str, bytes]:
        if target.startswith("/dicom-web/studies?"):
            return data("[]")
        if target.startswith("/dicom-web/studies/2.25."):
            return study, b""
        return (beside, b"") if "/2.25." in target else NOT_FOUND

    seen, _ = visit(page)
    assert (Surface.WADO_RS in seen.surfaces) is there


# -- viewers, consoles, listings, statistics ----------------------------------------------------------


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: f"{sign.surface} {sign.path}")
def test_every_sign_is_seen_at_its_path_and_on_the_front_page(sign: Sign) -> None:
    assert sign.source
    pages_of_it = [html(word.decode().title()) for word in sign.title]
    pages_of_it += [html("x", word.decode().upper()) for word in sign.text]
    for page in pages_of_it:
        for path in {"/", sign.path or "/"}:
            seen, _ = visit(pages({path: page}))
            assert seen.surfaces == {Surface.PLAIN_HTTP, sign.surface}


@pytest.mark.parametrize(
    "page",
    [
        ("404 No\r\nContent-Type: text/html", html("Orthanc Explorer")[1]),
        ("200 OK\r\nContent-Type: text/plain", html("Orthanc Explorer")[1]),
        html("News", "We moved from Orthanc Explorer to OHIF Viewer; see the index of /x"),
        ("200 OK\r\nContent-Type: text/html", b"<title"),
        ("200 OK\r\nContent-Type: text/html", b"<title>" + b"a" * 300 + b"Orthanc Explorer"),
    ],
)
def test_what_only_looks_like_a_sign(page: tuple[str, bytes]) -> None:
    seen, _ = visit(lambda _: page)
    assert seen.surfaces <= {Surface.PLAIN_HTTP}


def test_no_title_or_name_is_kept() -> None:
    seen, _ = visit(lambda _: html(f"DICOM viewer of {NAME}", f"Index of / {NAME} [To Parent Directory]"))
    assert seen.surfaces == {Surface.PLAIN_HTTP, Surface.VIEWER, Surface.DIRECTORY_LISTING}
    assert NAME not in seen.model_dump_json()


@pytest.mark.parametrize("count", [True, False])
def test_statistics_are_counted_only_where_that_was_asked_for(count: bool) -> None:
    seen, asked = visit(pages({"/statistics": data(json.dumps(STATISTICS), "application/json")}), count=count)
    assert Surface.STATISTICS in seen.surfaces
    assert seen.counts == (Counts(studies=12, instances=30, patients=10) if count else None)
    assert asked.targets.count("/statistics") == 1


@pytest.mark.parametrize(
    "said",
    [
        "[" * 50_000,
        '{"CountStudies":' * 10_000,
        json.dumps(STATISTICS | {"CountStudies": True}),
        json.dumps(STATISTICS | {"CountStudies": "12"}),
        json.dumps(STATISTICS | {"CountStudies": -1}),
        json.dumps(STATISTICS | {"CountStudies": 1 << 80}),
        '{"CountStudies": 1' + "0" * 9000 + ', "CountInstances": 1, "CountPatients": 1}',
        '{"CountStudies": NaN, "CountInstances": 1, "CountPatients": 1}',
        json.dumps({"CountStudies": 1}),
        json.dumps([STATISTICS]),
        json.dumps(STATISTICS | {"x": "y" * 70_000}),
        "\x00",
    ],
)
def test_statistics_that_are_none(said: str) -> None:
    seen, _ = visit(pages({"/statistics": data(said, "application/json")}), count=True)
    assert seen.counts is None and Surface.STATISTICS not in seen.surfaces


# -- misbehaviour -------------------------------------------------------------------------------------


def endless(head: bytes, more: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(head)
        while True:
            await peer.say(more)
            await asyncio.sleep(0)  # the prober, on the same loop, has its turn

    return script


def slow(answer: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        for byte in answer:
            await peer.say(bytes([byte]))
            await asyncio.sleep(0.02)  # what makes it slow

    return script


async def silent_after_the_first(peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.say(http("200 OK"))
    await peer.rest()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "rung"),
    [
        pytest.param(endless(OK, b"X-More: " + b"a" * 4000 + b"\r\n"), Rung.NOT_HTTP, id="endless headers"),
        pytest.param(endless(OK + b"X: ", b"a" * 4096), Rung.NOT_HTTP, id="an endless header"),
        pytest.param(endless(b"", b"H" * 4096), Rung.NOT_HTTP, id="an endless status line"),
        pytest.param(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 200), Rung.NOT_HTTP, id="1xx for ever"),
        pytest.param(endless(OK + b"\r\n", bytes(4096)), Rung.HTTP_ANSWERED, id="an endless body"),
        pytest.param(endless(CHUNKED, b"1\r\na\r\n" * 700), Rung.HTTP_ANSWERED, id="endless chunks"),
        pytest.param(endless(CHUNKED + b"5;", b"a" * 4096), Rung.HTTP_ANSWERED, id="an endless chunk extension"),
        pytest.param(says(CHUNKED + b"zz\r\n"), Rung.HTTP_ANSWERED, id="chunked nonsense"),
        pytest.param(says(CHUNKED + b"FFFFFFFFFFFFFFFFFFFF\r\n"), Rung.HTTP_ANSWERED, id="a huge chunk"),
        pytest.param(says(OK + b"Content-Length: 99999999999999\r\n\r\nx"), Rung.HTTP_ANSWERED, id="a huge length"),
        pytest.param(says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), Rung.NOT_HTTP, id="two lengths"),
        pytest.param(says(b"\x15\x03\x01\0\2\2\x46"), Rung.TLS_ONLY, id="a TLS alert, then silence"),
        pytest.param(slow(OK + b"\r\n" + b"x" * 1000), Rung.HTTP_ANSWERED, id="slow bytes"),
        pytest.param(slow(b"HTTP/1.1 200 " + b"O" * 1000), Rung.NOT_HTTP, id="a slow status line"),
        pytest.param(silent_after_the_first, Rung.HTTP_ANSWERED, id="silence after the first answer"),
    ],
)
def test_each_misbehaviour_ends_inside_the_deadline_and_takes_little_memory(script: Script, rung: Rung) -> None:
    deadline = 0.8
    tls.Context("here")  # what is imported once is not the peer's doing
    tracemalloc.start()
    try:
        seen, _ = asyncio.run(look_at(script, ServiceKind.WEB, deadline))  # some of the peers never end
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.rung is rung
    assert peak < 2 << 20


def test_an_end_amid_a_chunk_does_not_spin() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(CHUNKED + b"5")
        peer.fin()

    seen, _ = asyncio.run(look_at(script, ServiceKind.WEB))
    assert seen.rung is Rung.HTTP_ANSWERED


def test_one_byte_chunks_are_not_followed_to_their_end() -> None:
    """All of them have come already: without a cap the loop would be busy with them, and nobody else asked."""

    async def main() -> Answer:
        async with Client(Canned(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"), HERE) as client:
            return await client.get("/")

    answer = asyncio.run(main())
    assert len(answer.body) == PIECES_CAP and not answer.whole


def test_nothing_is_dialled_after_the_deadline() -> None:
    line = Canned(OK + b"\r\nhalf a page", OK + b"\r\n", gone=TimeoutError())

    async def main() -> Answer:
        async with Client(line, HERE) as client:
            answer = await client.get("/")
            with pytest.raises(NoAnswer):
                await client.get("/statistics")
            return answer

    answer = asyncio.run(main())
    assert (answer.body, answer.whole, line.connections) == (b"half a page", False, 1)


@pytest.mark.parametrize(("interim", "rung"), [(8, Rung.HTTP_ANSWERED), (9, Rung.NOT_HTTP)])
def test_1xx_are_borne_a_while(interim: int, rung: Rung) -> None:
    answer = b"HTTP/1.1 102 Processing\r\n\r\n" * interim + http("200 OK")
    seen, _ = asyncio.run(look_at(says(answer), ServiceKind.WEB))
    assert seen.rung is rung


@pytest.mark.parametrize(
    ("after", "rung"),
    [
        (TlsFailed("alert", alert=True), Rung.TLS_ONLY),
        (TlsFailed("the answer is not TLS"), Rung.NOT_HTTP),
        (TlsFailed("wanted", certificate_wanted=True), Rung.TLS_CERTIFICATE_WANTED),
        (DialFailed(Rung.FILTERED, "no answer"), Rung.NOT_HTTP),
        (OK + b"Content-Length: 0\r\n\r\n", Rung.HTTP_ANSWERED),
        (b"", Rung.TLS_ONLY),
    ],
)
def test_what_became_of_tls_after_an_end_without_a_word(after: bytes | RemediateError, rung: Rung) -> None:
    found = Found(Rung.NOT_HTTP)
    asyncio.run(web.ask(Canned(b"", after), HERE, found))
    assert found.rung is rung
    assert Surface.PLAIN_HTTP not in found.surfaces
