"""Waves of several sites: what a failed one leaves behind, soaking between them, windows in front of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.change import between, change, looking
from remediate.change.change import Desk
from remediate.change.devices import Progress
from remediate.errors import PlanError, UsageError
from remediate.inventory import Loaded
from remediate.model.change import Entry, Plan, State, Wave
from remediate.model.outcome import Outcome
from remediate.record import Record
from remediate.render import Renderer
from remediate.report import export, story, tables
from remediate.testing import RecordThatStops, Stopped
from tests.change.fleet import DROPS, Fleet, fleet
from tests.quiet import Quiet

SERIAL = "  serial: 1\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


@pytest.fixture
def good(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "fleet", (None, None)) as made:
        yield made


@pytest.fixture
def second_fails(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "fleet", (None, DROPS)) as made:
        yield made


class Told(Quiet):
    """``stages``, ``notes``: what was told. ``on``: a stage at which Ctrl-C is pressed."""

    def __init__(self, on: str = "") -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []
        self._on = on
        self.desk: Desk | None = None

    def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
        self.stages.append(f"{wave} {name}")
        if name == self._on and self.desk is not None:
            self.desk.cancellation.request("stopped by SIGINT")

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(
    planned: tuple[Loaded, Plan],
    file: Path,
    told: Told | None = None,
    *,
    undo: bool = False,
    hours: Sequence[datetime] = (),
) -> Outcome:
    """``hours``: what the clock says, asked once more each time; its last value stays."""
    loaded, plan = planned
    told = told or Told()
    with Record.open(file) as record, change.desk(loaded, record, told) as desk:
        desk.patience, told.desk = 2.0, desk
        clock = iter(hours)
        if hours:
            desk.now = lambda: next(clock, hours[-1])
        return change.run(plan, desk, undo=Renderer() if undo else None)


def entries(file: Path, number: int = -1) -> list[Entry]:
    with Record.open(file) as record:
        assert record.verify() == []
        return list(record.journal(record.changes()[number].change))


def states(done: Outcome) -> list[State]:
    return [wave.state for wave in done.waves]


# -- failing -------------------------------------------------------------------------------------------


def test_a_failed_wave_is_taken_back_and_says_what_stays(second_fails: Fleet, tmp_path: Path) -> None:
    told = Told()
    done = run(second_fails.planned(SERIAL), tmp_path / "r.db", told)
    assert states(done) == [State.CONFIRMED, State.ROLLED_BACK]
    assert (done.exit_status, done.stays, done.rollback) == (4, ("archive-a",), None)
    assert second_fails.guarded() == {"archive-a": True, "archive-b": False}
    assert "still confirmed: archive-a" in told.notes
    found = entries(tmp_path / "r.db")
    assert found[-1].data["stays"] == ["archive-a"]
    told_of = story.facts(export.document(found))
    assert "confirmed before that, and not taken back by this change: archive-a" in told_of
    assert tables.sentence(done).startswith("wave 2 (archive-b) was taken back. ")
    assert tables.sentence(done).endswith(f"`remediate rollback {done.change}` takes that back")
    headline = story.headline(export.document(found))
    assert headline.startswith(f"change {done.change} on archive-b was taken back: "), "archive-a is closed"


def test_rollback_all_takes_the_confirmed_ones_back_by_a_change_of_its_own(second_fails: Fleet, tmp_path: Path) -> None:
    done = run(second_fails.planned(SERIAL), tmp_path / "r.db", undo=True)
    assert done.rollback is not None
    assert (done.exit_status, states(done.rollback)) == (4, [State.CONFIRMED])
    assert second_fails.guarded() == {"archive-a": False, "archive-b": False}
    first, back = entries(tmp_path / "r.db", 0), entries(tmp_path / "r.db", 1)
    assert back[0].data["plan"]["inputs"]["takes back"] == first[0].change == done.change
    assert "confirmed" in [entry.kind for entry in back]


def test_some_of_the_hosts_may_fail_and_first_is_first(second_fails: Fleet, tmp_path: Path) -> None:
    keys = f"{SERIAL}  first: archive-b\n  max_fail_percentage: 50\n"
    done = run(second_fails.planned(keys), tmp_path / "r.db")
    assert [wave.pacs for wave in done.waves] == [("archive-b",), ("archive-a",)]
    assert states(done) == [State.ROLLED_BACK, State.CONFIRMED]
    assert (done.exit_status, done.stays) == (4, ("archive-a",))


def test_one_more_ends_the_change(second_fails: Fleet, tmp_path: Path) -> None:
    told = Told()
    keys = f"{SERIAL}  first: archive-b\n  max_fail_percentage: 49\n"
    done = run(second_fails.planned(keys), tmp_path / "r.db", told)
    assert states(done) == [State.ROLLED_BACK]
    assert "wave 2 not begun" in told.notes
    assert second_fails.guarded() == {"archive-a": False, "archive-b": False}


def wave(number: int, *pacs: str, most: float, play: str = "p") -> Wave:
    return Wave(
        number=number, play=play, pacs=pacs, vantages=("v",), revert_in=timedelta(seconds=60), max_fail_percentage=most
    )


@pytest.mark.parametrize(
    ("most", "failed", "spent"),
    [(0, [], False), (0, [1], True), (9, [1], True), (10, [1], False), (29, [1, 2], True), (30, [1, 2], False),
     (99, [1, 2, 3], True), (100, [1, 2, 3], False)],
)  # fmt: skip
def test_the_percentage_is_of_the_hosts_of_the_play(most: float, failed: list[int], spent: bool) -> None:
    tenth, fifth, rest = ("a",), ("b", "c"), tuple("defghij")
    waves = (wave(1, *tenth, most=most), wave(2, *fifth, most=most), wave(3, *rest, most=most))
    plan = Plan(tool="0", playbook="", inventory="", inputs={}, waves=(*waves, wave(4, "z", most=0, play="other")))
    states = {w.number: State.ROLLED_BACK if w.number in failed else State.CONFIRMED for w in plan.waves}
    assert between.spent(plan, {number: Progress(state) for number, state in states.items()}) is spent


# -- first ---------------------------------------------------------------------------------------------


def test_first_must_be_some_of_the_hosts(good: Fleet) -> None:
    _, plan = good.planned("  first: archive-b\n  serial: 100%\n")
    assert [one.pacs for one in plan.waves] == [("archive-b",), ("archive-a",)]
    _, plan = good.planned("  first: archive-b\n", limit="archive-a")
    assert [one.pacs for one in plan.waves] == [("archive-a",)]
    with pytest.raises(UsageError, match=r"play 'Close': first: no host or group is called archive-x"):
        good.planned("  first: archive-x\n")
    with pytest.raises(PlanError, match=r"first \(archive-a\) selects none of its hosts \(pacs,!archive-a\)"):
        good.planned("  first: archive-a\n", hosts="pacs,!archive-a")


# -- soaking -------------------------------------------------------------------------------------------


def test_the_next_wave_waits_also_after_a_crash(good: Fleet, tmp_path: Path) -> None:
    loaded, plan = good.planned(f"{SERIAL}  soak: 15\n")
    file = tmp_path / "r.db"
    kinds = ("planned", "preflight", "evidence", "live peers", "baseline", "arming", "pushing", "pushed", "all pushed",
             "looked", "verified", "confirming", "device confirmed", "confirmed", "soaking")  # fmt: skip
    with (
        RecordThatStops.open(file, at=len(kinds)) as stopping,
        change.desk(loaded, stopping, Quiet()) as desk,
        pytest.raises(Stopped),
    ):
        change.run(plan, desk)
    assert tuple(entry.kind for entry in entries(file)) == kinds
    told = Told()
    with Record.open(file) as record, change.desk(loaded, record, told) as desk:
        done = change.resume(change.unfinished(record)[0], desk)
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED])
    assert told.stages[:2] == ["1 soak", "2 preflight"]
    assert [entry.kind for entry in entries(file)].count("soaked") == 1
    found = entries(file)
    confirmed = next(e.at for e in found if e.kind == "confirmed")
    begun = next(e.at for e in found if e.kind == "preflight" and e.data["wave"] == 2)
    until = {e.data["until"] for e in found if e.kind == "soaking"}
    assert until == {(confirmed + timedelta(seconds=15)).isoformat()}, "the rest of it, not all of it again"
    assert begun >= confirmed + timedelta(seconds=15)


def test_ctrl_c_while_it_soaks(good: Fleet, tmp_path: Path) -> None:
    told = Told(on="soak")
    done = run(good.planned(f"{SERIAL}  soak: 14h\n"), tmp_path / "r.db", told, undo=True)
    assert (done.exit_status, states(done), done.stays) == (130, [State.CONFIRMED], ("archive-a",))
    assert done.rollback is None, "it was not a failure"
    assert "while wave 1 was left to soak" in done.reason
    assert "wave 2 not begun" in told.notes
    assert entries(tmp_path / "r.db")[-1].kind == "ended"
    assert good.guarded() == {"archive-a": True, "archive-b": False}


def test_what_is_seen_after_the_soak_may_end_the_change(good: Fleet, tmp_path: Path) -> None:
    """The archive of the first wave dies while it is left alone: was that the new rule? Nothing more is begun."""

    class Dies(Told):
        def stage(self, wave: int, name: str, detail: str = "") -> None:
            super().stage(wave, name, detail)
            if name == "soak":
                os.kill(archives()[1], signal.SIGKILL)

    told = Dies()
    done = run(good.planned(f"{SERIAL}  first: archive-b\n  soak: 1\n"), tmp_path / "r.db", told)
    assert (done.exit_status, states(done), done.stays) == (1, [State.CONFIRMED], ("archive-b",))
    assert done.reason.startswith("wave 1 is no longer as it was confirmed: archive-b: care path broken")
    assert "wave 2 not begun" in told.notes
    found = entries(tmp_path / "r.db")
    assert [entry.kind for entry in found][-4:] == ["confirmed", "soaking", "soaked", "ended"]
    assert good.guarded() == {"archive-a": False, "archive-b": True}


def archives() -> list[int]:
    """The processes that are archives of this test, in the order of their sites."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"embedded.pacs" in Path(f"/proc/{pid}/cmdline").read_bytes()]


# -- windows -------------------------------------------------------------------------------------------

NIGHT = '  window: {from: "02:00", to: "04:00", timezone: UTC}\n'
OPEN, LATE, NOON = (datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (2, 4, 12))


def test_nothing_begins_outside_the_window(good: Fleet, tmp_path: Path) -> None:
    done = run(good.planned(SERIAL + NIGHT), tmp_path / "r.db", hours=[NOON])
    assert (done.exit_status, states(done)) == (3, [State.STOPPED])
    assert "the window is closed; it next opens for long enough at 2026-11-21 02:00 UTC" in done.reason
    assert [entry.kind for entry in entries(tmp_path / "r.db")] == ["planned", "stopped", "ended"]


def test_it_is_asked_again_right_before_the_push(good: Fleet, tmp_path: Path) -> None:
    done = run(good.planned(SERIAL + NIGHT), tmp_path / "r.db", hours=[OPEN, LATE])
    assert (done.exit_status, states(done)) == (3, [State.STOPPED])
    kinds = [entry.kind for entry in entries(tmp_path / "r.db")]
    assert kinds == ["planned", "preflight", "evidence", "live peers", "baseline", "stopped", "ended"]
    assert good.guarded() == {"archive-a": False, "archive-b": False}


def test_it_closes_between_two_waves(good: Fleet, tmp_path: Path) -> None:
    hours = [OPEN, OPEN, LATE]  # at each preflight, and at each push
    done = run(good.planned(SERIAL + NIGHT), tmp_path / "r.db", undo=True, hours=hours)
    assert (done.exit_status, states(done)) == (3, [State.CONFIRMED, State.STOPPED])
    assert (done.stays, done.rollback) == (("archive-a",), None)
    assert good.guarded() == {"archive-a": True, "archive-b": False}


def test_a_window_that_can_never_be_long_enough_is_no_plan(good: Fleet) -> None:
    with pytest.raises(PlanError, match=r"push, verify and rollback may take 4 min .* is never open that long"):
        good.planned('  window: {from: "02:00", to: "02:03", timezone: UTC}\n')


def test_the_worst_time_is_in_the_plan_and_hashed(good: Fleet) -> None:
    _, plan = good.planned(SERIAL + NIGHT)
    first = plan.waves[0]
    assert timedelta(minutes=4) < first.takes_at_most < timedelta(minutes=10)
    assert first.window is not None
    wider = first.model_copy(update={"window": first.window.model_copy(update={"to": 1440})})
    assert plan.model_copy(update={"waves": (wider, *plan.waves[1:])}).digest != plan.digest
