"""The pairs of AE titles, asked of archives on loopback: what is sent from where, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from remediate import inventory
from remediate.change import titles
from remediate.testing import Peer, ScriptedPeer
from remediate.testing.dicom import ac, pdu
from remediate.titles import Inference, TitleFinding

Filter = Callable[[str, str], tuple[int, int, int] | None]

HOSTS = """\
archive:
  hostname: 127.0.0.1
  groups: [pacs]
  data:
    ae_title: ARCHIVE
    addresses: {{inside: 127.0.0.1, outside: 127.0.0.1}}
    services: [{{kind: dicom, port: {port}}}]
    access:
      peers:
        - {{name: ct-1, address: 127.0.0.1, ae_title: CLINICMOD, roles: [store]}}
street: {{groups: [vantages], data: {{zone: outside, via: local, canaries: [{{address: 127.0.0.1, port: 9}}]}}}}
clinic: {{groups: [vantages], data: {{zone: inside, peer: ct-1, via: local}}}}
corridor: {{groups: [vantages], data: {{zone: inside, via: local}}}}
"""


@contextmanager
def archive(judges: Filter) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Its port, and the calling and called AE titles that came, in order."""
    came: list[tuple[str, str]] = []

    async def script(peer: Peer) -> None:
        request = await peer.pdu()
        called, calling = (request[at : at + 16].decode().strip() for at in (10, 26))
        came.append((calling, called))
        reason = judges(calling, called)
        if reason is not None:
            await peer.say(pdu(0x03, bytes([0, *reason])))
            return
        await peer.say(ac([(1, 0)]))
        assert (await peer.pdu())[0] == 0x05  # nothing but the association is asked for
        await peer.say(pdu(0x06, bytes(4)))

    with ScriptedPeer(script) as peer:
        yield peer.port, came


def found(folder: Path, port: int, *, taken: bool = False) -> dict[str, TitleFinding]:
    """``taken``: the vantage outside stands in the peer's place."""
    folder.mkdir(exist_ok=True)
    hosts = HOSTS.format(port=port)
    (folder / "hosts.yaml").write_text(hosts.replace("zone: outside", "zone: outside, peer: ct-1") if taken else hosts)
    loaded = inventory.load(folder)
    lines = titles.ask(loaded, None, None, lambda _: nullcontext())
    assert {line.pacs for line in lines} == {"archive"}
    return {line.vantage: line for line in lines}


def called_check(calling: str, called: str) -> tuple[int, int, int] | None:
    return None if called == "ARCHIVE" else (1, 1, 7)


def calling_check(calling: str, called: str) -> tuple[int, int, int] | None:
    return None if calling == "CLINICMOD" else (1, 1, 7)  # a false reason, as dcmqrscp gives it


def both(calling: str, called: str) -> tuple[int, int, int] | None:
    return called_check(calling, called) or ((1, 1, 3) if calling_check(calling, called) else None)


@pytest.mark.parametrize(
    ("judges", "clinic", "street"),
    [
        (lambda *_: None, ("AAAA", Inference.NO_FILTER), ("--AA", Inference.NO_FILTER)),
        (called_check, ("ARAR", Inference.CALLED), ("--AR", Inference.CALLED)),
        (calling_check, ("AARR", Inference.CALLING), ("--RR", Inference.UNKNOWN)),
        (both, ("ARRR", Inference.BOTH), ("--RR", Inference.CALLER_REFUSED)),
        (lambda *_: (1, 1, 1), ("RRRR", Inference.UNKNOWN), ("--RR", Inference.UNKNOWN)),
    ],
)
def test_each_filter(
    judges: Filter, clinic: tuple[str, Inference], street: tuple[str, Inference], tmp_path: Path
) -> None:
    with archive(judges) as (port, came):
        seen = found(tmp_path, port)
    assert (seen["clinic"].pattern, seen["clinic"].inference) == clinic
    assert (seen["street"].pattern, seen["street"].inference) == street
    assert (seen["corridor"].pattern, seen["corridor"].inference) == street
    assert len(came) == 8
    # A peer's title goes out from that peer's own place only; every other one is known as ours.
    assert sum(calling == "CLINICMOD" for calling, _ in came) == 2
    assert all(calling.startswith("RMD") for calling, _ in came if calling != "CLINICMOD")
    assert all(called.startswith("RMD") for _, called in came if called != "ARCHIVE")


def test_from_outside_a_peers_title_is_sent_from_its_own_place_only(tmp_path: Path) -> None:
    with archive(calling_check) as (port, came):
        assert found(tmp_path / "taken", port, taken=True)["street"].pattern == "AARR"
        assert sum(calling == "CLINICMOD" for calling, _ in came) == 4
        came.clear()
        assert found(tmp_path / "stranger", port)["street"].pattern == "--RR"
        assert sum(calling == "CLINICMOD" for calling, _ in came) == 2  # the clinic's own


def test_a_busy_archive_is_asked_again_and_then_inconclusive(tmp_path: Path) -> None:
    with archive(lambda *_: (2, 3, 2)) as (port, came):
        seen = found(tmp_path, port)
    assert {line.inference for line in seen.values()} == {Inference.INCONCLUSIVE}
    assert seen["clinic"].pattern.startswith("TTT")
    assert len(came) >= 8  # and more where the inventory allows more associations


def test_where_nobody_answers_one_pair_is_enough(tmp_path: Path) -> None:
    with archive(called_check) as (port, _):
        pass
    seen = found(tmp_path, port)
    assert {(line.pattern, line.inference) for line in seen.values()} == {("--?-", Inference.NOT_REACHED)}
