"""Every peer that a probe must survive: its own rung, in time, in little memory, and a RST at the end."""

from __future__ import annotations

import asyncio
import logging
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from remediate.model.observation import Observation, Rung
from remediate.model.site import Role
from remediate.testing import ScriptedPeer
from remediate.vantages import tls

from .misbehaving import (
    BOTH,
    CASES,
    ECHO,
    FIND,
    NAME,
    accepts_everything,
    answers,
    find_answered,
    is_echo,
    no_echo_please,
    pending_without_end,
    silent,
)
from .peers import Peer, Script, ac, ask, command, look, look_at, pdu

#: Bytes that a peer may cost, the double's own included.
MEMORY = 2 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    tls.Context("here")  # what is loaded and kept once is no peer's doing
    tracemalloc.start()
    try:
        yield
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < MEMORY


async def looks_at(script: Script, expected: int) -> tuple[Observation, list[Peer]]:
    """The observation, and the connections in the order of their ends."""
    async with ScriptedPeer(script) as scripted:
        observation = await look(scripted.port)
        peers = [await asyncio.to_thread(scripted.connection) for _ in range(expected)]
        with pytest.raises(TimeoutError):
            scripted.connection(within=0)
    return observation, peers


@pytest.mark.parametrize("name", CASES)
def test_peer(name: str) -> None:
    case = CASES[name]
    with little_memory():
        seen, peers = asyncio.run(looks_at(case.script, case.connections))
    assert (seen.rung, seen.reject, seen.status) == (case.rung, case.reject, case.status)
    assert case.detail in seen.detail
    assert peers[-1].reset is not case.released or "RST" in name


def test_a_dropped_syn() -> None:
    """A listener whose queue is full drops what comes, as the kernel does for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        seen = ask(port)
        for one in waiting:
            one.close()
    assert seen.rung is Rung.FILTERED


def test_the_second_association_asks_only_what_the_first_one_could_not() -> None:
    _, (first, second) = asyncio.run(looks_at(no_echo_please(command(FIND, 0x8020, 0)), 2))
    assert first.received[0] == second.received[0] == 0x01
    (length,) = {int.from_bytes(peer.received[2:6], "big") + 6 for peer in (first, second)}
    assert is_echo(bytes(first.received[length:])) and not is_echo(bytes(second.received[length:]))
    assert first.reset and not second.reset


@pytest.mark.parametrize(
    ("up_to", "rung", "pdus"),
    [
        (Rung.ASSOCIATED, Rung.ASSOCIATED, [0x01, 0x05]),
        (Rung.ECHO, Rung.ECHO, [0x01, 0x04, 0x05]),
        (None, Rung.QUERY_ANSWERED, [0x01, 0x04, 0x04, 0x04, 0x05]),
    ],
)
def test_up_to(up_to: Rung | None, rung: Rung, pdus: list[int]) -> None:
    async def main() -> tuple[Observation, list[int]]:
        asked: list[int] = []

        async def script(peer: Peer) -> None:
            answer = {0x01: [BOTH], 0x04: [command(ECHO, 0x8030, 0), b"", command(FIND, 0x8020, 0)]}
            answer[0x05] = [pdu(0x06, bytes(4))]
            while True:
                kind = (await peer.pdu())[0]
                asked.append(kind)
                await peer.say(answer[kind].pop(0))
                if kind == 0x05:
                    return

        async with ScriptedPeer(script) as scripted:
            seen = await look(scripted.port, up_to=up_to)
            peer = await asyncio.to_thread(scripted.connection)
        assert not peer.reset
        return seen, asked

    seen, asked = asyncio.run(main())
    assert (seen.rung, asked, seen.detail) == (rung, pdus, "")
    assert seen.negotiated == {Role.QUERY}


def test_up_to_an_echo_is_enough_where_the_echo_is_refused() -> None:
    async def main() -> Observation:
        async with ScriptedPeer(no_echo_please(command(FIND, 0x8020, 0))) as scripted:
            seen = await look(scripted.port, up_to=Rung.ECHO)
            await asyncio.to_thread(scripted.connection)
            with pytest.raises(TimeoutError):
                scripted.connection(within=0)
        return seen

    assert asyncio.run(main()).rung is Rung.ASSOCIATED


@pytest.mark.parametrize(
    ("uid", "version", "name"),
    [
        (b"1.2.276.0.7230010.3.0.3.6.7", b"OFFIS_DCMTK_367", "DCMTK"),
        (b"1.2.276.0.7230010.3.0.3.6.7\0", b"", "DCMTK"),
        (b"1.2.276.0.7230010.3.0", b"", "DCMTK"),
        (b"1.2.276.0.7230010.3.01", b"", None),
        (b"9.9.9", b"OFFIS_DCMTK_367", "DCMTK"),
        (b"1.2.40.0.13.1.3", b"dcm4che-5.31.0", "dcm4che"),
        (b"1.2.40.0.13.1.33", b"", None),
        (b"1.2.826.0.1.3680043.9.3811.3.0.4", b"PYNETDICOM_304", "pynetdicom"),
        (b"1.2.826.0.1.3680043.2.135.1066.101", b"1.4.17", "Conquest"),
        (b"1.3.6.1.4.1.30071.8", b"fo-dicom 5.1.2", "fo-dicom"),
        (b"1.2.826.0.1.3680043.2.1143.107.104.103.115.3.0.24", b"GDCM 3.0.24", "GDCM"),
        (b"9.9.9", b"MADEUP PATIENT", None),
        (b"", b"", None),
    ],
)
def test_the_stack_is_told_in_our_own_words(uid: bytes, version: bytes, name: str | None) -> None:
    seen, _ = asyncio.run(look_at(answers(ac([(ECHO, 0)], uid=uid, version=version))))
    assert (seen.stack.name if seen.stack else None) == name
    told = f"{seen.stack} {seen.detail}"
    assert not any(text in told for text in ("MADEUP", "9.9.9", "367", "5.31.0"))


def test_ends_with_an_abort_and_a_reset() -> None:
    _, peer = asyncio.run(look_at(silent))
    assert peer.received.endswith(b"\x07\0\0\0\0\x04\0\0\0\0")
    assert peer.reset


def test_ends_with_a_release_when_all_went_well() -> None:
    seen, peer = asyncio.run(look_at(accepts_everything))
    assert peer.received.endswith(b"\x05\0\0\0\0\x04\0\0\0\0")
    assert seen.negotiated == {Role.STORE, Role.QUERY, Role.RETRIEVE, Role.MWL, Role.MPPS, Role.STGCMT}
    assert seen.detail == ""


def test_the_query_asks_for_one_random_study_only() -> None:
    _, first = asyncio.run(look_at(accepts_everything))
    _, second = asyncio.run(look_at(accepts_everything))
    level = b"\x08\0\x52\0\x06\0\0\0STUDY "
    keys = []
    for peer in (first, second):
        identifier = bytes(peer.received).split(level)[1].split(b"\x05\0\0\0\0\x04")[0]
        assert identifier.startswith(b"\x20\0\x0d\0") and identifier[8:].startswith(b"2.25.")
        assert len(identifier) == 8 + int.from_bytes(identifier[4:8], "little")  # nothing else is asked for
        keys.append(identifier[8:])
    assert keys[0] != keys[1]


def test_the_request_goes_out_before_the_peer_has_said_a_word() -> None:
    _, peer = asyncio.run(look_at(silent))
    assert peer.received[0] == 0x01
    assert peer.received[10:26] == b"ARCHIVE".ljust(16) and peer.received[26:42] == b"RMDTEST".ljust(16)


@pytest.mark.parametrize("script", [pending_without_end, find_answered(command(FIND, 0x8020, 0xA700, comment=NAME))])
def test_nothing_of_what_a_peer_returns_is_kept_or_logged(script: Script, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen, _ = asyncio.run(look_at(script))
    assert seen.rung in (Rung.DATA_RETURNED, Rung.QUERY_REFUSED)
    assert "MADEUP" not in seen.model_dump_json() + repr(seen) + caplog.text
