"""A colleague's hand in the guard's own entries, on the simulated router: what `run` and `rollback` make of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate import inventory, platforms
from remediate.change import change, looking
from remediate.errors import DriftError
from remediate.model.change import State
from remediate.model.outcome import Outcome
from remediate.record import Record
from remediate.render import Renderer
from tests.faults.sites import Site, standing_site
from tests.quiet import Quiet

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 4.0)  # loopback answers soon, or never


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The peer comes in by the guarded interface too, to the published address."""
    with standing_site(tmp_path, minute=20.0) as made:
        hosts = made.made.inventory / "hosts.yaml"
        i = made.made.layout
        text = hosts.read_text()
        assert text.count(f"inside: {i.inside}") == 1
        hosts.write_text(text.replace(f"inside: {i.inside}", f"inside: {i.published}"))
        made.patience = 30.0  # only as long as a peer is not served
        yield made


def run(site: Site) -> None:
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED), done.reason


class Listening(Quiet):
    def __init__(self) -> None:
        self.alarms: list[str] = []

    def alarm(self, text: str) -> None:
        self.alarms.append(text)


def rolled_back(site: Site) -> Outcome:
    loaded = inventory.load(site.made.inventory, platforms=set(platforms.PLATFORMS))
    with Record.open(site.record) as record, change.desk(loaded, record, Quiet()) as desk:
        desk.patience = site.patience
        newest = record.changes()[-1].change
        return change.run(change.taking_back(newest, desk, Renderer()), desk)


def entries(site: Site, name: str = "OUTSIDE-IN") -> list[str]:
    text = site.now().running
    found = re.search(rf"^ip access-list extended {re.escape(name)}\n((?: .*\n)*)", text, re.MULTILINE)
    return [" ".join(line.split()) for line in found[1].splitlines()] if found else []


def in_list(*lines: str) -> tuple[str, ...]:
    return ("configure terminal", "ip access-list extended OUTSIDE-IN", *lines, "end")


def test_a_peer_that_our_own_denial_shuts_out_is_let_in_again(site: Site) -> None:
    run(site)
    guarded = entries(site)
    assert guarded[0].startswith("permit tcp host")
    site.colleague(*in_list("no 1"), "write memory")
    assert entries(site) == guarded[1:]
    loaded, plan = site.plan()
    (said,) = [one for one in plan.warnings if "somebody has taken" in one]
    assert "1 of the" in said and "it is the guard's own denials that shut out ct-1" in said
    heard = Listening()
    with Record.open(site.record) as record, change.desk(loaded, record, heard) as desk:
        desk.patience = site.patience
        done = change.run(plan, desk)
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED), done.reason
    (alarm,) = heard.alarms
    assert "ct-1 does not reach archive, and the guard's own denials on edge-router are the cause" in alarm
    assert entries(site) == guarded
    site.check_in_force()


@pytest.mark.parametrize(
    "typed",
    [
        ("configure terminal", "ip access-list resequence OUTSIDE-IN 100 10", "end"),
        in_list("no 1"),
        ("configure terminal", "ip access-list resequence OUTSIDE-IN 10 10", "end", *in_list("no 20", "no 30")),
    ],
    ids=["renumbered", "one taken out", "renumbered, two taken out"],
)
def test_what_is_left_of_the_guard_is_taken_back(site: Site, typed: tuple[str, ...]) -> None:
    before = entries(site)
    run(site)
    site.colleague(*typed, "write memory")
    done = rolled_back(site)
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED), done.reason
    assert entries(site) == before
    assert "RMD" not in site.now().running
    assert not site.now().guarded


def test_where_nothing_is_left_of_it_that_is_said(site: Site) -> None:
    run(site)
    names = [name for name in re.findall(r"ip access-list extended (\S+)", site.now().running) if "RMD" in name]
    own = [line for line in entries(site) if line.startswith(("permit tcp host", "deny tcp"))]
    lines = ["interface GigabitEthernet0/0", " no ip access-group RMD1-out.GigabitEthernet0_0 out"]
    lines += [f"no ip access-list extended {name}" for name in names]
    site.colleague("configure terminal", *lines, "end", *in_list(*(f"no {line}" for line in own)), "write memory")
    with pytest.raises(DriftError, match="nothing of it is there any more") as caught:
        rolled_back(site)
    assert "there is nothing to take back" in (caught.value.next or "")
