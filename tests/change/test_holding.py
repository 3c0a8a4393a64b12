"""``on_unknown: hold``: what is only unknown waits for a person, inside the device's timer, and is not confirmed so."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from remediate.change import change, looking, wave
from remediate.change.change import Desk
from remediate.model.change import Entry, State
from remediate.model.outcome import Outcome
from remediate.record import Record
from remediate.report import export, story
from remediate.testing import RecordThatStops, Stopped
from tests.change.fleet import DROPS, Fleet, fleet
from tests.quiet import Quiet

HOLD = "  on_unknown: hold\n"


class Canary:
    """An endpoint on loopback that can be taken away and brought back."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def die(self) -> None:
        self._listener.close()

    def live(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))


class Told(Quiet):
    """Takes the canary away at the push, brings it back at the hold of that number, presses Ctrl-C at another."""

    def __init__(self, canary: Canary, *, back_at: int = 0, stop_at: int = 0) -> None:
        self._canary, self._back_at, self._stop_at = canary, back_at, stop_at
        self.desk: Desk | None = None
        self.holds: list[str] = []
        self.alarms: list[str] = []

    def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
        if name == "push":
            self._canary.die()
        if name == "hold":
            self.holds.append(detail)
            if len(self.holds) == self._back_at:
                self._canary.live()
            if len(self.holds) == self._stop_at and self.desk is not None:
                self.desk.cancellation.request("stopped by SIGINT")

    def alarm(self, text: str) -> None:
        self.alarms.append(text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    monkeypatch.setattr(wave, "HOLD_PAUSE", 0.5)


@pytest.fixture
def canary() -> Iterator[Canary]:
    made = Canary()
    yield made
    made.die()


@pytest.fixture
def site(tmp_path: Path, canary: Canary) -> Iterator[Fleet]:
    with fleet(tmp_path / "fleet", (None,)) as made:
        yield with_canary(made, canary)


def with_canary(made: Fleet, canary: Canary) -> Fleet:
    hosts = yaml.safe_load((made.inventory / "hosts.yaml").read_text())
    hosts["internet"]["data"]["canaries"] = [{"address": "127.0.0.1", "port": canary.port}]
    (made.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    return made


def run(made: Fleet, file: Path, told: Told, keys: str = HOLD) -> Outcome:
    loaded, plan = made.planned(keys)
    with Record.open(file) as record, change.desk(loaded, record, told) as desk:
        desk.patience, told.desk = 2.0, desk
        return change.run(plan, desk)


def entries(file: Path) -> list[Entry]:
    with Record.open(file) as record:
        assert record.verify() == []
        return list(record.journal(record.changes()[-1].change))


def since_push(file: Path) -> list[str]:
    kinds = [entry.kind for entry in entries(file)]
    return kinds[kinds.index("all pushed") + 1 :]


def test_what_is_brought_back_in_time_is_confirmed(site: Fleet, canary: Canary, tmp_path: Path) -> None:
    told = Told(canary, back_at=2)
    done = run(site, tmp_path / "r.db", told)
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED)
    assert site.guarded() == {"archive-a": True}
    assert since_push(tmp_path / "r.db") == [
        "looked", "held", "looked", "held", "looked", "verified",
        "confirming", "device confirmed", "confirmed", "ended",
    ]  # fmt: skip
    assert len(told.holds) == 2
    assert told.alarms[0].startswith("held open, not confirmed: ")
    assert "internet" in told.alarms[0]
    held = [entry for entry in entries(tmp_path / "r.db") if entry.kind == "held"]
    assert 0 < held[1].data["seconds_left"] < held[0].data["seconds_left"] <= 48
    told_of = export.document(entries(tmp_path / "r.db"))
    assert sum(line.text.startswith("Held open after") for line in story.wave(told_of, told_of.waves[0])) == 2


def test_without_hold_it_is_taken_back_at_once(site: Fleet, canary: Canary, tmp_path: Path) -> None:
    told = Told(canary)
    done = run(site, tmp_path / "r.db", told, keys="")
    assert (done.exit_status, done.waves[0].state, told.holds) == (4, State.ROLLED_BACK, [])
    assert site.guarded() == {"archive-a": False}


def test_what_is_not_brought_back_is_taken_back(
    site: Fleet, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave, "KEPT_FREE", 0.6)
    told = Told(canary)
    done = run(site, tmp_path / "r.db", told)
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    held = [entry.data["seconds_left"] for entry in entries(tmp_path / "r.db") if entry.kind == "held"]
    assert len(held) == len(told.holds) > 0
    assert min(held) > 0, "nothing is held when nothing can be confirmed any more"
    assert site.guarded() == {"archive-a": False}
    assert "verified" not in since_push(tmp_path / "r.db")


def test_ctrl_c_takes_it_back(site: Fleet, canary: Canary, tmp_path: Path) -> None:
    told = Told(canary, stop_at=2)
    done = run(site, tmp_path / "r.db", told)
    assert (done.exit_status, done.waves[0].state, len(told.holds)) == (4, State.ROLLED_BACK, 2)
    assert "stopped by SIGINT" in done.reason
    assert site.guarded() == {"archive-a": False}


def test_what_is_known_to_be_wrong_is_not_held(canary: Canary, tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", (DROPS,)) as made:
        told = Told(canary)
        done = run(with_canary(made, canary), tmp_path / "r.db", told)
        assert (done.exit_status, done.waves[0].state, told.holds) == (4, State.ROLLED_BACK, [])


def test_it_is_held_again_after_a_crash(site: Fleet, canary: Canary, tmp_path: Path) -> None:
    loaded, plan = site.planned(HOLD)
    file = tmp_path / "r.db"
    at = (
        "planned",
        "preflight",
        "evidence",
        "live peers",
        "baseline",
        "arming",
        "pushing",
        "pushed",
        "all pushed",
        "looked",
        "held",
    )
    told = Told(canary)
    with (
        RecordThatStops.open(file, at=len(at)) as stopping,
        change.desk(loaded, stopping, told) as desk,
        pytest.raises(Stopped),
    ):
        desk.patience = 2.0
        change.run(plan, desk)
    assert tuple(entry.kind for entry in entries(file)) == at
    told = Told(canary, back_at=1)
    with Record.open(file) as record, change.desk(loaded, record, told) as desk:
        desk.patience = 2.0
        done = change.resume(change.unfinished(record)[0], desk)
    assert (done.exit_status, done.waves[0].state, len(told.holds)) == (0, State.CONFIRMED, 1)
    assert [entry.kind for entry in entries(file)].count("pushing") == 1
