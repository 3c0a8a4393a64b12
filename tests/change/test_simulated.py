"""Peers in whose place no vantage stands: named, and accepted by name before anything is pushed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from remediate import playbook
from remediate.change import gates, looking
from remediate.cli import common
from remediate.errors import PeersNotSeen
from remediate.inventory import fields
from remediate.model.change import Plan, State, Wave
from remediate.model.site import Addresses, Zone
from remediate.model.verdict import Grade
from remediate.policy import simulated
from remediate.report import export, export_markdown, tables
from tests import factories
from tests.change.fleet import Fleet, fleet
from tests.change.test_waves import entries, run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


@pytest.fixture
def with_ward(tmp_path: Path) -> Iterator[Fleet]:
    """Two archives; nobody stands in the place of the second one's ward."""
    with fleet(tmp_path / "fleet", (None,)) as made:
        file = made.inventory / "hosts.yaml"
        hosts = yaml.safe_load(file.read_text())
        hosts["archive-a"]["data"]["access"]["peers"].append(
            {"name": "ward", "network": "192.0.2.0/28", "roles": ["web"]}
        )
        file.write_text(yaml.safe_dump(hosts, sort_keys=False))
        yield made


def shown(plan: Plan) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables.plan(plan, diff=False))
    return " ".join(console.export_text().split())


def test_it_stops_before_the_push_unless_accepted_by_name(with_ward: Fleet, tmp_path: Path) -> None:
    loaded, plan = with_ward.planned()
    assert plan.waves[0].simulated == {"archive-a": ("ward",)}
    assert "SIMULATED ONLY, not accepted: ward; it is not pushed without --accept ward" in shown(plan)
    stopped = run((loaded, plan), tmp_path / "one.db")
    assert (stopped.exit_status, [wave.state for wave in stopped.waves]) == (3, [State.STOPPED])
    assert "no vantage stands in their place: ward of archive-a" in stopped.reason
    assert not {"arming", "pushing"} & {entry.kind for entry in entries(tmp_path / "one.db")}
    assert with_ward.guarded() == {"archive-a": False}

    accepted = with_ward.planned("  accept: [ward, 127.0.0.66]\n")[1]
    assert (accepted.waves[0].accept, accepted.waves[0].accept_simulated) == ((ip_address("127.0.0.66"),), ("ward",))
    assert "simulated only, accepted by name: ward" in shown(accepted)
    assert accepted.digest != plan.digest, "who approves it approves that"
    done = run((loaded, accepted), tmp_path / "one.db")
    assert (done.exit_status, [wave.state for wave in done.waves]) == (0, [State.CONFIRMED])
    made = export.document(entries(tmp_path / "one.db"))
    (evidence,) = [one for one in made.evidence if one.peer == "ward"]
    assert (evidence.grade, evidence.accepted, evidence.last) == (Grade.SIMULATED, True, None)
    assert "simulated, accepted by name" in export_markdown.as_markdown(made)

    again = run(with_ward.planned(), tmp_path / "one.db")
    assert (again.exit_status, [wave.state for wave in again.waves]) == (0, [State.UNCHANGED])


def wave(**more: object) -> Wave:
    values: dict[str, object] = {"simulated": {"pacs-north": ("ward", "partner")}, "accept_simulated": ("ward",)}
    fixed: dict[str, object] = {"number": 1, "play": "x", "pacs": ("pacs-north",), "vantages": ("internet",)}
    return Wave.model_validate({**fixed, "revert_in": timedelta(minutes=5), **values, **more})


def test_each_of_them_must_be_accepted() -> None:
    with pytest.raises(PeersNotSeen) as raised:
        gates.check_simulated(wave())
    assert "place: partner of pacs-north" in raised.value.what
    assert raised.value.next.endswith(": --accept partner")
    gates.check_simulated(wave(accept_simulated=("partner", "ward")))


@pytest.mark.parametrize("what", ["observes", "reopens"])
def test_what_denies_nobody_needs_no_word(what: str) -> None:
    gates.check_simulated(wave(**{what: True}))


@pytest.mark.parametrize("zone", list(Zone))
def test_a_vantage_in_a_peers_place_sees_it_served_inside_and_outside(zone: Zone) -> None:
    place = factories.CLINIC.model_copy(update={"zone": zone})
    assert "ct-1" not in simulated(factories.pacs(), [factories.INTERNET, place])
    inside_only = factories.pacs(addresses=Addresses(inside=factories.pacs().addresses.inside))
    assert ("ct-1" in simulated(inside_only, [factories.INTERNET, place])) is (zone is Zone.OUTSIDE)


def test_outside_is_nobodys_place_who_comes_by_the_vpn() -> None:
    place = factories.CLINIC.model_copy(update={"zone": Zone.OUTSIDE, "peer": "readers"})
    assert "readers" in simulated(factories.pacs(), [place])


def test_on_the_command_line() -> None:
    given = common.accepted(["203.0.113.66", "ward", "2001:db8::1"])
    assert given == ((ip_address("203.0.113.66"), ip_address("2001:db8::1")), ("ward",))
    plan = Plan(tool="0", playbook="x", inventory="x", inputs={}, waves=(wave(),))
    (made,) = common.accepting(plan, common.accepted(["partner", "ward"])).waves
    assert made.accept_simulated == ("ward", "partner")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ward", True),
        ("ct-1", True),
        ("203.0.113.66", False),
        ("203.0.113.999", False),
        ("cafe::1", False),
        ("-x", False),
    ],
)
def test_what_may_be_a_peers_name(text: str, name: bool) -> None:
    assert fields.is_peer_name(text) is name


def test_in_a_playbook(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text("- {name: x, hosts: pacs, accept: ward, tasks: [{name: x, apply: acl}]}\n")
    (play,) = playbook.load(path).plays
    assert (play.accept, play.accept_simulated) == ((), ("ward",))
