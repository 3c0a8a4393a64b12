"""The stamp of an authority outside shows when an anchor was there, and that it is still the same."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from remediate.errors import RecordError, RemediateError, SignatureError
from remediate.record import timestamp
from tests.record.tsa import Authority, answered, serving

TEXT = b'{"at": "2026-01-01T00:00:00Z"}\n'


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[Authority]:
    with serving(Authority(tmp_path / "tsa")) as standing:
        yield standing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "anchor.json"
    found.write_bytes(TEXT)
    return found


def stamped(path: Path, tsa: Authority) -> None:
    timestamp.beside(path).write_bytes(timestamp.ask(tsa.url, tsa.ca, path.read_bytes()))


def refused(kind: type[RemediateError], tsa: Authority, **more: Path) -> RemediateError:
    with pytest.raises(kind) as found:
        timestamp.ask(tsa.url, more.get("ca", tsa.ca), TEXT)
    assert found.value.where
    assert found.value.next
    return found.value


def test_it_says_when_and_openssl_alone_says_so_too(tsa: Authority, path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    stamped(path, tsa)
    assert before <= timestamp.check(path, tsa.ca) <= datetime.now(UTC)
    assert [kind for kind, _ in tsa.queries] == ["application/timestamp-query"]
    argv = ["openssl", "ts", "-verify", "-data", str(path), "-in", str(timestamp.beside(path)), "-CAfile", str(tsa.ca)]
    assert "Verification: OK" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_the_authority_itself_may_be_what_is_trusted(tsa: Authority, path: Path) -> None:
    (tsa.folder / "only.pem").write_bytes((tsa.folder / "tsa.pem").read_bytes())
    timestamp.beside(path).write_bytes(timestamp.ask(tsa.url, tsa.folder / "only.pem", TEXT))
    assert timestamp.check(path, tsa.folder / "only.pem")


def test_an_anchor_that_was_changed_since(tsa: Authority, path: Path) -> None:
    stamped(path, tsa)
    path.write_bytes(TEXT + b" ")
    with pytest.raises(SignatureError, match="the time stamp is of something else than this anchor"):
        timestamp.check(path, tsa.ca)


def test_a_stamp_of_something_else_is_not_taken(tsa: Authority) -> None:
    other = timestamp.ask(tsa.url, tsa.ca, b"other")
    tsa.answers = lambda handler, _: answered(handler, other)
    assert refused(SignatureError, tsa).what == "the time stamp is of something else than this anchor"


def test_an_old_answer_sent_again_is_not_taken(tsa: Authority) -> None:
    old = timestamp.ask(tsa.url, tsa.ca, TEXT)
    tsa.answers = lambda handler, _: answered(handler, old)
    assert refused(SignatureError, tsa).what == "the time stamp answers another question (its nonce)"


def test_a_signer_whom_nobody_trusts(tsa: Authority, path: Path, tmp_path: Path) -> None:
    another = Authority(tmp_path / "another")
    assert "who signed the time stamp does not count: " in refused(SignatureError, tsa, ca=another.ca).what
    stamped(path, tsa)
    with pytest.raises(SignatureError, match="who signed the time stamp does not count: "):
        timestamp.check(path, another.ca)


def test_a_signer_that_has_expired(tmp_path: Path) -> None:
    with serving(Authority(tmp_path / "expired", lasts=timedelta(days=-1))) as tsa:
        what = refused(SignatureError, tsa).what
    assert what == "who signed the time stamp does not count: certificate has expired"


def test_a_signer_that_had_expired_when_it_stamped(tmp_path: Path, path: Path) -> None:
    tsa = Authority(tmp_path / "expired", lasts=timedelta(days=-1))
    argv = ["openssl", "ts", "-query", "-data", str(path), "-sha256", "-cert"]
    query = subprocess.run(argv, capture_output=True, check=True).stdout
    timestamp.beside(path).write_bytes(tsa.stamp(query))
    with pytest.raises(SignatureError, match="does not count: certificate has expired"):
        timestamp.check(path, tsa.ca)


def test_a_stamp_outlives_its_signers_certificate(tmp_path: Path, path: Path) -> None:
    for lasts in (3, 10, 30):  # a machine may be too slow for the first
        with serving(Authority(tmp_path / f"short{lasts}", lasts=timedelta(seconds=lasts))) as tsa:
            try:
                stamped(path, tsa)
            except SignatureError:
                continue
            break
    while datetime.now(UTC) <= tsa.now + tsa.lasts + timedelta(seconds=1):
        time.sleep(0.1)
    argv = ["openssl", "ts", "-verify", "-data", str(path), "-in", str(timestamp.beside(path)), "-CAfile", str(tsa.ca)]
    assert "certificate has expired" in subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    assert timestamp.check(path, tsa.ca) <= tsa.now + tsa.lasts


def test_a_stamp_that_was_tampered_with(tsa: Authority, path: Path) -> None:
    stamped(path, tsa)
    stamp = bytearray(timestamp.beside(path).read_bytes())
    stamp[-3] ^= 1
    timestamp.beside(path).write_bytes(stamp)
    with pytest.raises(SignatureError, match=r"the time stamp does not count: signature failure"):
        timestamp.check(path, tsa.ca)


def test_an_authority_that_grants_nothing(tmp_path: Path) -> None:
    with serving(Authority(tmp_path / "strict", digests="sha512")) as tsa:
        found = refused(SignatureError, tsa)
    assert found.what.startswith("the time-stamp authority grants no stamp: status code: rejection")
    assert "badAlg" in found.what


@pytest.mark.parametrize("body", [b"", b"<html>\x1b[2Jhello</html>" * 9, b"0\x80", b"0\x03\x02\x01"])
def test_what_is_no_stamp(tsa: Authority, path: Path, body: bytes) -> None:
    tsa.answers = lambda handler, _: answered(handler, body)
    assert refused(SignatureError, tsa).what == "this is no time stamp"
    timestamp.beside(path).write_bytes(body)
    with pytest.raises(SignatureError, match="this is no time stamp"):
        timestamp.check(path, tsa.ca)


def test_an_answer_that_was_cut(tsa: Authority) -> None:
    tsa.answers = lambda handler, query: answered(handler, tsa.stamp(query)[:-20])
    assert refused(SignatureError, tsa).what == "this is no time stamp"


def test_nothing_beside_the_anchor(tsa: Authority, path: Path) -> None:
    with pytest.raises(SignatureError, match="the time stamp cannot be read: No such file"):
        timestamp.check(path, tsa.ca)


def test_certificates_that_are_none(tsa: Authority, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(SignatureError, tsa, ca=tmp_path / "nowhere").what
    assert tsa.queries == [], "nobody is asked for what cannot be checked"
    (tmp_path / "junk.pem").write_text("junk")
    found = refused(SignatureError, tsa, ca=tmp_path / "junk.pem")
    assert (found.what, found.where) == ("there is no certificate in it", str(tmp_path / "junk.pem"))


# -- no answer -----------------------------------------------------------------------------------------


def test_nobody_there(tsa: Authority) -> None:
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        tsa.url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        assert refused(RecordError, tsa).what == "the time-stamp authority gives no answer: Connection refused"


def test_another_status(tsa: Authority) -> None:
    tsa.answers = lambda handler, _: answered(handler, b"", 503)
    tsa.url += "?key=Tr0ub4dor"
    found = refused(RecordError, tsa)
    assert found.what.endswith("gives no answer: it answers with HTTP status 503")
    assert found.where == tsa.url.partition("?")[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_sent_elsewhere(tsa: Authority, tmp_path: Path, status: int) -> None:
    with serving(Authority(tmp_path / "elsewhere")) as elsewhere:
        tsa.answers = lambda handler, _: answered(handler, b"", status, Location=elsewhere.url)
        assert refused(RecordError, tsa).what.endswith(f"it answers with HTTP status {status}")
        assert elsewhere.queries == []


def test_an_answer_without_end(tsa: Authority) -> None:
    tsa.answers = lambda handler, _: answered(handler, b"0" * (timestamp.MOST + 1))
    assert refused(RecordError, tsa).what.endswith(f"its answer is longer than {timestamp.MOST} bytes")


def test_an_answer_byte_by_byte(tsa: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, all of them never."""

    def drip(handler: BaseHTTPRequestHandler, query: bytes) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not tsa.ended.wait(0.1):
            handler.wfile.write(b"x")

    tsa.answers = drip
    monkeypatch.setattr(timestamp, "DEADLINE", 2.0)
    assert refused(RecordError, tsa).what.endswith("gives no answer: no whole answer within 2 s")


def test_a_server_that_hangs_up(tsa: Authority) -> None:
    tsa.answers = lambda *_: None
    assert "gives no answer: Remote end closed connection" in refused(RecordError, tsa).what


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "tsa.example",
        "http://",
        "http://[::1/",
        "http://127.0.0.1:x/",
        "http://127.0.0.1:99999/",
        "https://me:Tr0ub4dor@127.0.0.1/",
    ],
)
def test_an_address_that_is_none(tsa: Authority, url: str) -> None:
    tsa.url = url
    found = refused(RecordError, tsa)
    assert found.what == "the address of the time-stamp authority is not one that can be asked"
    assert "Tr0ub4dor" not in str(found)


def test_a_certificate_of_the_server_that_nobody_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Authority(tmp_path / "tls"), tls=True) as tsa:
        assert "certificate verify failed" in refused(RecordError, tsa).what
        assert tsa.queries == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tsa.ca))
        assert timestamp.ask(tsa.url, tsa.ca, TEXT)


def test_no_openssl(tsa: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SignatureError, match="openssl is not installed"):
        timestamp.ask(tsa.url, tsa.ca, TEXT)
