"""The doubles do what they say, so that tests made with them can be believed."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.errors import TemplateError, Unprovable, UsageError
from remediate.model.change import State
from remediate.record import Record
from remediate.render import STARTER, Renderer
from remediate.testing import (
    Clock,
    JournalThatStops,
    Peer,
    RecordThatStops,
    ScriptedPeer,
    Stopped,
    render_and_prove,
    simulated_router,
    simulated_site,
)
from remediate.testing.dicom import rejects, silent
from tests.factories import FIREWALL, NOON, pacs
from tests.quiet import Quiet

# -- journals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "durable"), [(False, ["first", "second", "third"]), (True, ["first", "second"])])
def test_a_journal_that_stops(tmp_path: Path, lost: bool, durable: list[str]) -> None:
    with Record.open(tmp_path / "record.db") as record:
        journal = JournalThatStops(record.begin("c-1", kind="first", data={}), 3, lost=lost)
        assert journal.append("second", {}).seq == 2
        for kind in ("third", "fourth"):
            with pytest.raises(Stopped):
                journal.append(kind, {})
    with Record.open(tmp_path / "record.db") as again:
        assert [entry.kind for entry in again.journal("c-1")] == durable
        assert again.verify() == []


def test_of_many_threads_none_writes_more_than_may_be(tmp_path: Path) -> None:
    with Record.open(tmp_path / "record.db") as record:
        journal = JournalThatStops(record.begin("c-1", data={}), 5)
        stopped = []

        def write() -> None:
            try:
                journal.append("step", {})
            except Stopped as error:
                stopped.append(error)

        threads = [threading.Thread(target=write) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(journal)) == 5
        assert len(stopped) == 20 - 3, "the fifth is durable, and says that it is the last"


@pytest.mark.parametrize("lost", [False, True])
def test_a_record_that_stops_at_the_first_entry(tmp_path: Path, lost: bool) -> None:
    with RecordThatStops.open(tmp_path / "record.db", at=1, lost=lost) as record:
        with pytest.raises(Stopped):
            record.begin("c-1", data={})
        assert len(record.changes()) == (0 if lost else 1)


def test_a_record_goes_on_where_it_is_told_to(tmp_path: Path) -> None:
    with RecordThatStops.open(tmp_path / "record.db") as record:
        record.begin("c-1", data={}).append("ended", {})
    with RecordThatStops.open(tmp_path / "record.db", at=3) as record, pytest.raises(Stopped):
        record.journal("c-1").append("third", {})


# -- the clock ----------------------------------------------------------------------------------------


def test_a_clock() -> None:
    still = Clock(NOON, stands=True)
    assert still() == still() == NOON
    still.turn(timedelta(hours=-1))
    assert still() == NOON - timedelta(hours=1)
    going = Clock(NOON)
    first = going()
    assert NOON <= first < going()
    before = datetime.now(UTC)
    assert before <= Clock()() <= datetime.now(UTC)


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1)])
def test_with_a_wrong_clock_nothing_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    """Evidence that seems older than the push is none, and a timer that seems to have ended is not waited for."""
    monkeypatch.setattr(looking, "DEADLINE", 1.0)
    clock = Clock()
    clock.turn(by)
    with simulated_site(tmp_path / "site") as site:
        loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        plan = planning.make(loaded, book, Renderer())
        with Record.open(tmp_path / "record.db", clock=clock) as record:
            with change.desk(loaded, record, Quiet()) as desk:
                desk.patience = 2.0
                done = change.run(plan, desk)
            assert [wave.state for wave in done.waves] == [State.ROLLED_BACK]
            assert "device confirmed" not in [entry.kind for entry in record.journal(done.change)]


# -- the scripted peer --------------------------------------------------------------------------------


def test_a_scripted_peer_speaks_on_a_thread_of_its_own() -> None:
    with ScriptedPeer(rejects(1, 1, 3)) as peer:
        with socket.create_connection((peer.address, peer.port), 5) as client:
            client.sendall(b"\x01\0\0\0\0\x02ab")
            assert client.recv(64) == b"\x03\0\0\0\0\x04\0\1\1\3"
        assert bytes(peer.connection().received) == b"\x01\0\0\0\0\x02ab"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((peer.address, peer.port), 5)


def test_a_mistake_in_a_script_is_told() -> None:
    async def wrong(peer: Peer) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ScriptedPeer(wrong) as peer:
        socket.create_connection((peer.address, peer.port), 5).close()
        peer.connection()


def test_nobody_came() -> None:
    with ScriptedPeer(silent) as peer, pytest.raises(TimeoutError, match=r"within 0\.1 s"):
        peer.connection(within=0.1)


def test_a_client_that_stays_does_not_hold_the_peer_up() -> None:
    with ScriptedPeer(silent) as peer:
        client = socket.create_connection((peer.address, peer.port), 5)
        client.settimeout(100)
    assert client.recv(1) == b"", "the peer has ended it"
    client.close()


def test_a_port_that_is_taken() -> None:
    with ScriptedPeer(silent) as first, pytest.raises(OSError), ScriptedPeer(silent, port=first.port):
        pass


# -- templates and the router -------------------------------------------------------------------------


def test_a_template_that_comes_along_is_proved() -> None:
    made = render_and_prove(pacs(), FIREWALL)
    assert "drop" in made.text
    assert made.diff and made.inverse


def test_a_template_that_does_not_render_and_one_that_cannot_be_read(tmp_path: Path) -> None:
    name = f"{FIREWALL.platform}/acl.j2"
    (tmp_path / FIREWALL.platform).mkdir()
    (tmp_path / name).write_text("{{ nothing_of_that_name }}")
    with pytest.raises(TemplateError, match="does not render"):
        render_and_prove(pacs(), FIREWALL, tmp_path)
    (tmp_path / name).write_text((STARTER / name).read_text() + "\nthis is not nft\n")
    with pytest.raises(Unprovable):
        render_and_prove(pacs(), FIREWALL, tmp_path)


def test_a_router_that_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="did not start"), simulated_router(tmp_path, "", misbehave=["dances"]):
        pass
    assert "unknown: dances" in capfd.readouterr().err
