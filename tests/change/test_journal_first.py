"""A device is written only after the journal entry is durable, and a crash at any entry leaves a change that
`resume` ends: confirmed, or as before. On the simulated router, which enforces what it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.lab.embedded.site import EmbeddedSite
from remediate.model.change import Entry, Pending, Plan, State
from remediate.record import Record
from remediate.render import Renderer
from remediate.testing import RecordThatStops, Stopped, simulated_site
from tests.quiet import Quiet

#: The entries of a change of one wave on one device that goes through.
KINDS = (
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
    "verified",
    "confirming",
    "device confirmed",
    "confirmed",
    "ended",
)
#: Up to here the router must not have been touched, whether the entry is durable or lost.
UNTOUCHED = KINDS[: KINDS.index("pushing") + 1]
ROUTER = "edge-router"


class Seen(NamedTuple):
    running: str
    pending: Pending | None
    guarded: bool


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedSite]:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    with simulated_site(tmp_path / "site") as made:
        yield made


def router(site: EmbeddedSite) -> Seen:
    found = inventory.load(site.inventory).site
    spec = platforms.platform("cisco_ios")
    session = spec.connect(found.devices[ROUTER], found.logins[ROUTER])
    try:
        running = session.running_config()
        return Seen(running, session.pending(), bool(spec.read(found.devices[ROUTER], running).sections))
    finally:
        session.close()


def planned(site: EmbeddedSite) -> tuple[inventory.Loaded, Plan]:
    loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
    book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
    return loaded, planning.make(loaded, book, Renderer())


def stopped_at(site: EmbeddedSite, file: Path, number: int, *, lost: bool) -> list[str]:
    """Runs the change until its journal stops; the kinds of the entries that are durable."""
    loaded, plan = planned(site)
    with RecordThatStops.open(file, at=number, lost=lost) as record, change.desk(loaded, record, Quiet()) as desk:
        with pytest.raises(Stopped):
            change.run(plan, desk)
        return [entry.kind for one in record.changes() for entry in record.journal(one.change)]


def resumed(site: EmbeddedSite, file: Path) -> tuple[list[Entry], set[State]]:
    """The whole journal, and the states of the waves that `resume` dealt with."""
    loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
    with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
        states: set[State] = set()
        for name in change.unfinished(record):
            states = {wave.state for wave in change.resume(name, desk).waves}
        assert change.unfinished(record) == []
        assert record.verify() == []
        return [entry for one in record.changes() for entry in record.journal(one.change)], states


def test_these_are_all_the_entries(site: EmbeddedSite, tmp_path: Path) -> None:
    """Otherwise the tests below would leave one out."""
    loaded, plan = planned(site)
    with Record.open(tmp_path / "record.db") as record, change.desk(loaded, record, Quiet()) as desk:
        done = change.run(plan, desk)
        assert tuple(entry.kind for entry in record.journal(done.change)) == KINDS


@pytest.mark.parametrize("lost", [False, True], ids=["durable", "lost"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_entry(site: EmbeddedSite, tmp_path: Path, kind: str, lost: bool) -> None:
    file, number = tmp_path / "record.db", KINDS.index(kind) + 1
    before = router(site)
    assert not before.guarded
    durable = stopped_at(site, file, number, lost=lost)
    assert tuple(durable) == KINDS[: number - lost]
    at_crash = router(site)
    if kind in UNTOUCHED:
        assert at_crash == before
        assert at_crash.pending is None
    elif "device confirmed" not in durable and not (kind == "device confirmed" and lost):
        assert at_crash.pending is not None and at_crash.pending.ours, "the router takes it back alone"

    entries, states = resumed(site, file)
    after = router(site)
    assert after.pending is None
    kinds = [entry.kind for entry in entries]
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    if not kinds:
        assert after == before
    elif "confirmed" in kinds:
        assert after.guarded
        assert states <= {State.CONFIRMED}
    else:
        assert states == {State.ROLLED_BACK}
        assert after.running == before.running
