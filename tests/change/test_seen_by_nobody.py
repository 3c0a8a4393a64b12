"""Archives that nobody inside looks at, that have nothing to close, and that serve somebody outside: whole changes."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from remediate.change import looking
from remediate.errors import DeviceUnreachable, PlanError
from remediate.model.change import Plan, State
from remediate.model.outcome import Outcome
from remediate.model.verdict import Grade, Verdict
from remediate.platforms.cisco_ios.driver import CiscoIos
from remediate.report import export, export_markdown, story, tables
from tests.change.fleet import Fleet, fleet
from tests.change.test_waves import Told, entries, run, states

ACCEPTED = "  accept_unseen: [archive-b]\n"
BY_NAME = "accepted by name (accept_unseen)"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "fleet", (None, None)) as made:
        yield made


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "fleet", (None,)) as made:
        yield made


def edit(made: Fleet, change: Callable[[dict[str, Any]], object]) -> None:
    file = made.inventory / "hosts.yaml"
    hosts = yaml.safe_load(file.read_text())
    change(hosts)
    file.write_text(yaml.safe_dump(hosts, sort_keys=False))


def shown(what: Plan | Outcome) -> str:
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(tables.plan(what, diff=False) if isinstance(what, Plan) else tables.outcome(what))
    return " ".join(console.export_text().split())


def markdown(file: Path) -> str:
    return export_markdown.as_markdown(export.document(entries(file)))


# -- nobody looks inside ------------------------------------------------------------------------------


def test_an_archive_that_nobody_inside_looks_at_is_refused_or_accepted_by_name(two: Fleet, tmp_path: Path) -> None:
    edit(two, lambda hosts: hosts.pop("clinic-b"))
    with pytest.raises(PlanError, match="no vantage inside looks at it") as refused:
        two.planned()
    assert refused.value.where == "archive-b"
    assert "accept_unseen: [archive-b]" in refused.value.next
    assert two.guarded() == {"archive-a": False, "archive-b": False}

    accepted = two.planned(ACCEPTED)
    assert f"archive-b: care path was not looked at: no vantage inside looks at it, which was {BY_NAME}" in shown(
        accepted[1]
    )
    assert "archive-b: simulated only, accepted by name: ct-b" in shown(accepted[1])
    done = run(accepted, tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED])
    assert {j.pacs: j.verdict for j in done.waves[0].judgements} == {
        "archive-a": Verdict.PROTECTED,
        "archive-b": Verdict.PROTECTED,
    }
    assert two.guarded() == {"archive-a": True, "archive-b": True}
    assert BY_NAME in shown(done)
    assert "archive-a: care path was not looked at" not in shown(done)

    found = entries(tmp_path / "r.db")
    looked = next(entry for entry in found if entry.kind == "looked")
    assert list(looked.data["unasked"]) == ["archive-b"]
    assert BY_NAME in looked.data["unasked"]["archive-b"]["care path"]
    document = export.document(found)
    assert [(e.grade, e.accepted) for e in document.evidence if e.peer == "ct-b"] == [(Grade.SIMULATED, True)]
    assert BY_NAME in export.as_json(document)
    assert "accepted by name (accept" in markdown(tmp_path / "r.db")

    again = run(two.planned(ACCEPTED), tmp_path / "r.db")
    assert (again.exit_status, states(again)) == (0, [State.UNCHANGED]), "no alarm every night"


def test_a_name_in_the_play_is_part_of_what_is_approved(two: Fleet) -> None:
    plain, accepted = two.planned()[1], two.planned(ACCEPTED)[1]
    assert plain.digest != accepted.digest
    assert (accepted.waves[0].accept_unseen, accepted.waves[0].unasked) == ((), {}), "somebody looks at it"


# -- nothing to close ---------------------------------------------------------------------------------


def beside(hosts: dict[str, Any], **changes: Any) -> None:
    """A second archive behind the same router, without an outside address: the first one's host itself."""
    first = hosts["archive-a"]["data"]
    service = first["services"][0]
    net = first["addresses"]["inside"].split(".")[1]
    data = {
        "ae_title": "ARCHIVE",
        "addresses": {"inside": f"127.{net}.10.105"},
        "services": [service],
        "protected_by": ["edge-a"],
        "access": {"peers": [{**first["access"]["peers"][0], "roles": ["store", "query"]}]},
    }
    hosts["archive-inside"] = {"groups": ["pacs"], "data": data | changes}


def test_an_archive_without_an_outside_address_costs_its_neighbour_nothing(one: Fleet, tmp_path: Path) -> None:
    edit(one, beside)
    planned = one.planned()
    wave = planned[1].waves[0]
    assert wave.pacs == ("archive-a", "archive-inside")
    assert [s.intent.pacs for c in wave.candidates for s in c.sections] == ["archive-a"]
    assert "archive-inside: nothing to close by acl: it has no outside address" in shown(planned[1])

    done = run(planned, tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED]), done.reason
    assert {j.pacs: j.verdict for j in done.waves[0].judgements} == {
        "archive-a": Verdict.PROTECTED,
        "archive-inside": Verdict.PROTECTED,
    }
    scope = "archive-inside: outside closed was not looked at: it has no outside address"
    assert scope in shown(done)
    made = export.document(entries(tmp_path / "r.db"))
    assert "archive-inside: nothing to close by acl: it has no outside address" in story.facts(made)
    assert scope in markdown(tmp_path / "r.db")
    again = run(one.planned(), tmp_path / "r.db")
    assert (again.exit_status, states(again)) == (0, [State.UNCHANGED])


@pytest.mark.parametrize("trouble", ["down", "nobody looks", "no device"])
def test_whatever_is_wrong_with_it_does_not_hold_up_its_neighbour(one: Fleet, tmp_path: Path, trouble: str) -> None:
    changes: dict[str, Any] = {
        "down": {"services": [{"kind": "dicom", "port": 9}]},
        "nobody looks": {"access": {"peers": []}},
        "no device": {"protected_by": []},
    }
    edit(one, lambda hosts: beside(hosts, **changes[trouble]))
    done = run(one.planned(), tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED]), done.reason
    judged = {j.pacs: j.verdict for j in done.waves[0].judgements}
    broken = {"down": Verdict.CARE_PATH_BROKEN, "no device": Verdict.PROTECTED}
    assert judged == {"archive-a": Verdict.PROTECTED} | (
        {"archive-inside": broken[trouble]} if trouble in broken else {}
    )


def test_alone_it_is_no_success_where_nobody_looked(one: Fleet, tmp_path: Path) -> None:
    edit(one, lambda hosts: beside(hosts, access={"peers": []}))
    done = run(one.planned(limit="archive-inside"), tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (3, [State.UNCHANGED])


# -- a peer that comes in by the published address ----------------------------------------------------


def partner(hosts: dict[str, Any], listed: int = 7) -> None:
    """Another practice at 127.NET.40.7, outside the router; ``listed``: the last byte that ``access`` has of it."""
    data = hosts["archive-a"]["data"]
    place = f"127.{data['addresses']['outside'].split('.')[1]}.40"
    data["access"]["peers"].append(
        {"name": "partner", "address": f"{place}.{listed}", "ae_title": "PARTNER", "roles": ["store", "query"]}
    )
    hosts["at-partner"] = {
        "groups": ["vantages"],
        "data": {
            **hosts["internet"]["data"],
            "peer": "partner",
            "via": {"local": {"source": f"{place}.7"}},
        },
    }


def test_a_peer_outside_is_seen_to_be_served_at_the_published_address(one: Fleet, tmp_path: Path) -> None:
    edit(one, partner)
    planned = one.planned()
    assert planned[1].waves[0].simulated == {}
    done = run(planned, tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED]), done.reason
    published = planned[0].site.pacs["archive-a"].addresses.outside[0].address
    evidence = [one for one in export.document(entries(tmp_path / "r.db")).evidence if one.peer == "partner"]
    assert {(e.grade, e.vantage, e.endpoint.partition(":")[0], e.last) for e in evidence} == {
        (Grade.DIRECT, "at-partner", str(published), "met")
    }


def test_a_peer_outside_who_is_cut_off_has_it_taken_back(one: Fleet, tmp_path: Path) -> None:
    """Its address in ``access`` is not the one that it comes from."""
    edit(one, lambda hosts: partner(hosts, listed=8))
    done = run(one.planned(), tmp_path / "r.db")
    assert (done.exit_status, states(done)) == (4, [State.ROLLED_BACK])
    assert "care path from at-partner" in done.reason
    assert one.guarded() == {"archive-a": False}


# -- evidence -----------------------------------------------------------------------------------------


def test_who_came_is_in_the_record_before_anything_is_armed(one: Fleet, tmp_path: Path) -> None:
    """Somebody outside is connected, and stays so: the push ends that, and takes the translation away."""
    planned = one.planned("  accept: [ward]\n")
    published = planned[0].site.pacs["archive-a"].addresses.outside[0].address
    stranger = f"127.{str(published).split('.')[1]}.66.7"
    port = planned[0].site.pacs["archive-a"].services[0].port
    with socket.create_connection((str(published), port), source_address=(stranger, 0)):
        done = run(planned, tmp_path / "r.db")
    assert done.exit_status == 0, done.reason
    found = entries(tmp_path / "r.db")
    kinds = [entry.kind for entry in found]
    assert kinds.index("evidence") < kinds.index("baseline") < kinds.index("arming")
    traces = found[kinds.index("evidence")].data["evidence"]["edge-a"]
    assert (stranger, str(published)) in {(t["source"], t["published"]) for t in traces["translations"]}
    hit = [c for c in traces["counters"] if f"{published}/32" in c["destinations"] and c["packets"]]
    assert {counter["place"] for counter in hit} == {"OUTSIDE-IN"}
    assert traces["lacks"] == []
    document = export.document(found)
    assert document.waves[0].kept is not None
    assert stranger in export.as_json(document)
    assert f"edge-a: {stranger} to {published} port {port}" in markdown(tmp_path / "r.db")
    told = [more for line in story.wave(document, document.waves[0]) for more in line.more]
    assert any(text.startswith(f"edge-a: {stranger} to {published}") for text in told), "on the screen, too"


def test_a_device_that_shows_nothing_stops_nothing(one: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is lost in the middle: the next step logs in afresh."""

    def lost(self: CiscoIos, *_: object) -> None:
        self.abort()
        raise DeviceUnreachable("the session ended", where="edge-a")

    monkeypatch.setattr(CiscoIos, "evidence", lost)
    told = Told()
    done = run(one.planned(), tmp_path / "r.db", told)
    assert (done.exit_status, states(done)) == (0, [State.CONFIRMED]), done.reason
    assert "edge-a: not kept as evidence: could not be asked: the session ended" in told.notes
    assert "not kept: could not be asked" in markdown(tmp_path / "r.db")
