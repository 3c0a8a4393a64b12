"""Somebody else's work on the device is neither confirmed, saved, undone nor overwritten by ours. On the simulated
router, where a colleague has a login of his own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, guarding, looking, planning
from remediate.errors import PendingChange, PlanError
from remediate.inventory import Loaded
from remediate.lab.embedded.site import EmbeddedSite
from remediate.model.change import Plan, State
from remediate.model.outcome import Outcome
from remediate.platforms.cisco_ios.driver import DEVICE_TYPE
from remediate.platforms.session import Session
from remediate.record import Record
from remediate.render import STARTER, Renderer
from remediate.testing import simulated_site
from tests.quiet import Quiet

ROUTER = "edge-router"
THEIRS = "description somebody works here"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedSite]:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    with simulated_site(tmp_path / "site") as made:
        yield made


@pytest.fixture
def loaded(site: EmbeddedSite) -> Loaded:
    return inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))


def planned(site: EmbeddedSite, loaded: Loaded) -> Plan:
    book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
    return planning.make(loaded, book, Renderer())


@contextmanager
def colleague(loaded: Loaded) -> Iterator[Session]:
    with Session(loaded.site.devices[ROUTER], loaded.site.logins[ROUTER], DEVICE_TYPE) as session:
        session.enable()
        yield session


def edit(session: Session, *lines: str, how: str = "configure terminal") -> None:
    for line in (how, *lines, "end"):
        session.say(line)


def run(plan: Plan, loaded: Loaded, tmp_path: Path) -> tuple[Outcome, list[str]]:
    with Record.open(tmp_path / "record.db") as record, change.desk(loaded, record, Quiet()) as desk:
        done = change.run(plan, desk)
        return done, [entry.kind for entry in record.journal(done.change)]


def test_an_edit_after_the_plan_stops_it(site: EmbeddedSite, loaded: Loaded, tmp_path: Path) -> None:
    plan = planned(site, loaded)
    with colleague(loaded) as session:
        edit(session, "interface GigabitEthernet0/1", THEIRS)
        session.say("write memory")
        done, kinds = run(plan, loaded, tmp_path)
        assert [wave.state for wave in done.waves] == [State.STOPPED]
        assert "not the one that the plan was made for" in done.reason
        assert "pushing" not in kinds
        running = session.say("show running-config").text
        assert THEIRS in running and "remediate" not in running


def test_a_pending_change_of_theirs_stops_it(site: EmbeddedSite, loaded: Loaded, tmp_path: Path) -> None:
    plan = planned(site, loaded)
    with colleague(loaded) as session:
        edit(session, how="configure terminal revert timer 9")
        done, kinds = run(plan, loaded, tmp_path)
        assert [wave.state for wave in done.waves] == [State.STOPPED]
        assert "pushing" not in kinds
        assert "Timer value: 9 min" in session.say("show archive config rollback timer").text


def test_a_pending_change_of_theirs_is_no_plan(site: EmbeddedSite, loaded: Loaded) -> None:
    """Also where it has changed something already, which makes running and startup differ."""
    with colleague(loaded) as session:
        edit(session, "interface GigabitEthernet0/1", THEIRS, how="configure terminal revert timer 9")
        with pytest.raises(PendingChange, match=r"a provisional change of admin, set at .* is on the device") as caught:
            planned(site, loaded)
        assert caught.value.exit_status == 3
        assert "Timer value: 9 min" in session.say("show archive config rollback timer").text


def test_a_template_that_changes_what_is_not_ours(site: EmbeddedSite, loaded: Loaded, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    (templates / "cisco_ios").mkdir(parents=True)
    text = (STARTER / "cisco_ios" / "acl.j2").read_text()
    (templates / "cisco_ios" / "acl.j2").write_text(
        f"ip access-list extended OUTSIDE-IN\n no permit icmp any any\n{text}"
    )
    device = loaded.site.devices[ROUTER]
    spec = platforms.platform(device.platform)
    with colleague(loaded):
        driver = spec.connect(device, loaded.site.logins[ROUTER])
        try:
            running = driver.running_config()
        finally:
            driver.close()
    intent = controls.control("acl").intent(loaded.site.pacs["archive"], device, spec.capabilities.addressing)
    sections = guarding.sections(device, [intent], running)
    with pytest.raises(PlanError, match="something that is not ours"):
        guarding.candidate(device, sections, running, Renderer(templates))
