"""Time stamps of anchors by an authority outside (TSA, RFC 3161): asked for by HTTP, checked by ``openssl ts``.

A signature says who; the stamp says when, by a clock and a key that are neither the signer's nor the record's. It is of
the anchor's file as it is, and kept beside it, so that openssl alone can check it too.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from remediate.errors import RecordError, SignatureError
from remediate.record import programs

#: Seconds for the whole answer: name, proxy, TLS and body.
DEADLINE = 30.0
#: Bytes; a token with its chain has some thousand.
MOST = 1 << 18
#: openssl ts -reply -text, of the part that is signed. Nothing before it there is free text.
_GENERATED = re.compile(r"^Time stamp: (\w+ +\d+ [\d:]+)(?:\.\d+)? (\d{4}) GMT$", re.MULTILINE)
#: ERR_print_errors(3): thread:error:number:library:function:reason:file:line:more
_REASON = re.compile(r":error:[0-9A-F]+:(?P<library>[^:]*):[^:]*:(?P<reason>[^:]*):[^:]*:\d+:(?P<more>.*)")


def beside(anchor: Path) -> Path:
    return anchor.with_name(f"{anchor.name}.tsr")


def ask(url: str, ca: Path, stamped: bytes) -> bytes:
    """The answer of the TSA, checked: granted for just that, to just this question, by a signer whom ``ca`` trusts now.

    RecordError: there was no answer; SignatureError: it does not count.
    """
    _readable(ca)
    with tempfile.TemporaryDirectory(prefix="remediate-") as folder:
        query = Path(folder) / "query.tsq"
        made = _openssl("-query", "-sha256", "-digest", _imprint(stamped), "-cert", "-out", str(query))
        if made.returncode:
            raise SignatureError(
                f"openssl makes no time-stamp request: {_plain(made.stderr)}", next="try: openssl ts -query -digest 00"
            )
        answer = _posted(url, query.read_bytes())
        path = Path(folder) / "answer.tsr"
        path.write_bytes(answer)
        _verified(path, ca, ["-queryfile", str(query)], where=_shown(url))
        _generated(path, _shown(url))
    return answer


def check(anchor: Path, ca: Path) -> datetime:
    """When it was stamped, as the TSA says. SignatureError: the stamp is missing, or of something else, or by another.

    A TSA's certificate counts if it was valid at that time: it is long expired when the record is looked at.
    """
    _readable(ca)
    path = beside(anchor)
    try:
        stamped, answer = anchor.read_bytes(), path.read_bytes()
    except OSError as error:
        raise SignatureError(
            f"the time stamp cannot be read: {error.strerror}",
            where=str(path),
            next="keep beside the anchor what record anchor --tsa wrote there; without --tsa-ca none is asked for",
        ) from error
    with tempfile.TemporaryDirectory(prefix="remediate-") as folder:
        copy = Path(folder) / "answer.tsr"
        copy.write_bytes(answer)
        at = _generated(copy, str(path))
        arguments = ["-digest", _imprint(stamped), "-attime", str(int(at.timestamp()))]
        _verified(copy, ca, arguments, where=str(path))
    return at


def _imprint(stamped: bytes) -> str:
    return hashlib.sha256(stamped).hexdigest()


def _readable(ca: Path) -> None:
    try:
        ca.read_bytes()
    except OSError as error:
        raise SignatureError(
            f"the certificates of the time-stamp authority cannot be read: {error.strerror}",
            where=str(ca),
            next="give a file of certificates (PEM): the authority's own, or its CA's",
        ) from error


# -- asking --------------------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was asked of one host goes to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


def _posted(url: str, query: bytes) -> bytes:
    """RFC 3161 3.4. The deadline holds for a server, too, that sends a byte now and then."""
    try:
        parts = urlsplit(url)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        fit = False
    if not fit:
        raise RecordError(
            "the address of the time-stamp authority is not one that can be asked",
            where="--tsa",
            next="give http://HOST/PATH or https://HOST/PATH, without a login",
        )
    answer: Future[bytes] = Future()
    threading.Thread(target=_exchange, args=(url, query, answer), daemon=True).start()
    try:
        found = answer.result(DEADLINE)
    except urllib.error.HTTPError as error:
        error.close()
        _no_answer(url, f"it answers with HTTP status {error.code}", error)
    except urllib.error.URLError as error:
        _no_answer(url, getattr(error.reason, "strerror", None) or str(error.reason), error)
    except TimeoutError as error:
        _no_answer(url, f"no whole answer within {DEADLINE:.0f} s", error)
    except (OSError, http.client.HTTPException, ValueError) as error:
        _no_answer(url, f"{error or type(error).__name__}", error)
    if len(found) > MOST:
        _no_answer(url, f"its answer is longer than {MOST} bytes", None)
    return found


def _exchange(url: str, query: bytes, answer: Future[bytes]) -> None:
    request = urllib.request.Request(  # noqa: S310 -- its scheme was looked at
        url, query, {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=DEADLINE) as response:
            answer.set_result(response.read(MOST + 1))
    except BaseException as error:  # it is raised where it is waited for
        answer.set_exception(error)


def _no_answer(url: str, why: str, cause: Exception | None) -> NoReturn:
    raise RecordError(
        f"the time-stamp authority gives no answer: {_plain(why)}",
        where=_shown(url),
        next="look at the address and the way there; without --tsa the anchor is only signed",
    ) from cause


# -- checking ------------------------------------------------------------------------------------------


def _generated(answer: Path, where: str) -> datetime:
    done = _openssl("-reply", "-in", str(answer), "-token_out", "-text")
    found = _GENERATED.search(done.stdout)
    if done.returncode or found is None:
        _no_stamp(where)
    return datetime.strptime(f"{found[1]} {found[2]}", "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


def _verified(answer: Path, ca: Path, arguments: list[str], where: str) -> None:
    """A certificate of the TSA itself may be what is trusted; openssl would ask for its root, too."""
    done = _openssl("-verify", "-in", str(answer), "-CAfile", str(ca), "-partial_chain", *arguments)
    if done.returncode == 0 and "Verification: OK" in done.stdout + done.stderr:
        return
    found = _REASON.search(done.stderr)
    if "Error loading file" in done.stderr:
        raise SignatureError(
            "there is no certificate in it",
            where=str(ca),
            next="give a file of certificates (PEM): the authority's own, or its CA's",
        )
    if found is None or found["library"] == "asn1 encoding routines":
        _no_stamp(where)
    reason, more = _plain(found["reason"]), _plain(found["more"])
    if reason == "no time stamp token":
        raise SignatureError(
            f"the time-stamp authority grants no stamp: {more}",
            where=where,
            next="ask whoever runs it, or name another",
        )
    if reason == "message imprint mismatch":
        raise SignatureError(
            "the time stamp is of something else than this anchor",
            where=where,
            next="the anchor or its stamp was exchanged or changed: find out by whom",
        )
    if reason == "nonce mismatch":
        raise SignatureError(
            "the time stamp answers another question (its nonce)",
            where=where,
            next="an old answer was sent again: look who answers there",
        )
    if reason == "certificate verify error":
        raise SignatureError(
            f"who signed the time stamp does not count: {more.removeprefix('Verify error:')}",
            where=where,
            next=f"see that {ca} has the certificate of that authority, or of its CA, and that it is valid",
        )
    raise SignatureError(
        f"the time stamp does not count: {reason}{more and f' ({more})'}", where=where, next="have it stamped again"
    )


def _no_stamp(where: str) -> NoReturn:
    raise SignatureError("this is no time stamp", where=where, next="it is what an RFC 3161 authority answers, in DER")


def _openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run(
        ["openssl", "ts", *arguments],
        text="",
        deadline=DEADLINE,
        install="install the command openssl, 3.0 or newer",
        attempt="try: openssl ts -help",
    )


def _shown(url: str) -> str:
    """Without its query: a key for the authority's service may be in it."""
    return url.partition("?")[0]


def _plain(text: str) -> str:
    """A peer's words: one line of bounded length, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)[:300].strip()
