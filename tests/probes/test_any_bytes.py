"""Whatever bytes come, and however a connection ends: an observation, and nothing of the bytes in it."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediate.errors import RemediateError
from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import ServiceKind
from remediate.model.stream import ByteCapExceeded, DialFailed, StreamEnded, StreamReset, TlsFailed
from remediate.probes import PROBES, observe
from remediate.probes import upper_layer as ul
from remediate.probes.found import Found
from remediate.testing.dicom import ac, item

from .canned import GOOD, TLS, Canned
from .peers import Peer, look_at, question


@st.composite
def almost_good(draw: st.DrawFn) -> bytes:
    """A conversation with a few bytes changed, lost or added."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@settings(max_examples=500, deadline=None)
@given(data=almost_good(), kind=st.sampled_from(ServiceKind))
def test_no_bytes_make_a_reader_raise(data: bytes, kind: ServiceKind) -> None:
    probe = import_module(PROBES[kind])
    found = Found(probe.FIRST)
    asyncio.run(probe.ask(Canned(data), question(104, kind), found))
    assert found.rung.reachable


ENDS = (
    StreamEnded("closed"),
    StreamReset("reset"),
    ByteCapExceeded("much"),
    TimeoutError("late"),
    TlsFailed("the server wants a client certificate", certificate_wanted=True, tls=TLS),
    TlsFailed("the server ended it", alert=True),
)
FAILURES = (
    DialFailed(Rung.CLOSED, "connection refused"),
    DialFailed(Rung.INCONCLUSIVE, "not asked"),
    TlsFailed("the answer is not TLS"),
    TlsFailed("the server ended it", alert=True),
    TlsFailed("the server wants a client certificate", certificate_wanted=True, tls=TLS),
)


@settings(max_examples=500, deadline=None)
@given(
    first=almost_good() | st.just(b""),
    more=st.lists(almost_good() | st.sampled_from(FAILURES), max_size=3),
    gone=st.sampled_from(ENDS),
    kind=st.sampled_from([ServiceKind.DICOM, ServiceKind.DICOM_TLS]),
    up_to=st.sampled_from([None, Rung.ASSOCIATED, Rung.ECHO]),
)
def test_whatever_a_dicom_peer_does(
    first: bytes, more: list[bytes | RemediateError], gone: Exception, kind: ServiceKind, up_to: Rung | None
) -> None:
    line = Canned(first, *more, gone=gone)

    seen = asyncio.run(observe(Dialled(line), question(104, kind, up_to=up_to), 1.0))
    told(seen)
    assert line.connections <= 3
    if up_to is not None:
        assert seen.rung not in BEYOND[up_to] and seen.status is None


FOUND = {Rung.ABORTED_AFTER_FIND, Rung.QUERY_REFUSED, Rung.QUERY_ANSWERED, Rung.DATA_RETURNED}
BEYOND = {Rung.ECHO: FOUND, Rung.ASSOCIATED: FOUND | {Rung.ECHO}}


class Dialled:
    """A dial that has one line."""

    def __init__(self, line: Canned) -> None:
        self.line = line

    def __call__(self, question: Question, deadline: float) -> Dialled:  # noqa: ARG002  (a Dial's signature)
        return self

    async def __aenter__(self) -> Canned:
        return self.line

    async def __aexit__(self, *exc_info: object) -> None:
        pass


def told(seen: Observation) -> None:
    assert seen.rung.reachable
    assert "MADEUP" not in seen.model_dump_json()
    assert seen.rung is not Rung.DATA_RETURNED or seen.status in (0xFF00, 0xFF01)
    assert (seen.reject is not None) == (seen.rung in (Rung.REJECTED, Rung.BUSY))
    assert not seen.negotiated or seen.rung not in (Rung.REJECTED, Rung.NOT_DICOM, Rung.TLS_ONLY)


#: PS3.8 9.3.3: application context, presentation context, user information; their parts; and others.
KINDS = st.sampled_from([0x10, 0x21, 0x40, 0x50, 0x51, 0x52, 0x55]) | st.integers(0, 255)
ITEMS = st.recursive(
    st.builds(item, KINDS, st.binary(max_size=6)),
    lambda inner: st.builds(item, KINDS, st.lists(inner, max_size=4).map(b"".join)),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(body=st.binary(max_size=200) | st.lists(ITEMS, max_size=5).map(lambda items: bytes(68) + b"".join(items)))
def test_an_a_associate_ac_is_read_or_malformed(body: bytes) -> None:
    try:
        accepted = ul.accepted(body)
    except ul.Malformed:
        return
    assert accepted.contexts <= ul.ROLE.keys()
    assert accepted.max_length == 0 or 64 <= accepted.max_length < 1 << 32


@settings(max_examples=500, deadline=None)
@given(results=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 4)), max_size=30))
def test_a_context_counts_where_every_answer_about_it_is_acceptance(results: list[tuple[int, int]]) -> None:
    contexts = ul.accepted(ac(results)[6:]).contexts
    for i in range(256):
        answers = {result for context, result in results if context == i}
        assert (i in contexts) == (i in ul.ROLE and answers == {0})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=300) | almost_good(), fin=st.booleans(), kind=st.sampled_from(ServiceKind))
def test_no_bytes_make_a_probe_raise_or_linger(data: bytes, fin: bool, kind: ServiceKind) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(data)
        if fin:
            peer.fin()

    seen, _ = asyncio.run(look_at(script, kind, 0.05))  # the peer waits for ever
    assert seen.rung.reachable


@pytest.mark.parametrize("gone", ENDS)
def test_a_second_connection_that_fails_takes_nothing_away(gone: Exception) -> None:
    """The C-ECHO is answered with an abort, and the second association with nothing."""
    first = GOOD[0] + GOOD[11]
    for second in (b"", *FAILURES):
        found = Found(Rung.NOT_DICOM)
        probe = import_module(PROBES[ServiceKind.DICOM])
        asyncio.run(probe.ask(Canned(first, second, gone=gone), question(104), found))
        assert found.rung is Rung.ASSOCIATED
        assert found.detail.startswith("A-ABORT after the C-ECHO; asked again without it; ")
