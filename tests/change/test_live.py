"""Who is connected now, and whom of them a change would cut off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from remediate import inventory
from remediate.change import live, peers
from remediate.controls.acl import CONTROL as ACL
from remediate.errors import InventoryError, PeersCut
from remediate.model.change import Candidate, Section
from remediate.model.peers import Connection, Covered, LivePeers, Noted, PeersSeen, Use
from remediate.model.rule import Caller, CallerIntent, Intent
from remediate.model.site import Access, Addressing, Peer, Role, Site
from remediate.report import peers as report
from remediate.rules import entries
from tests import factories

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STRANGER = ip_address("203.0.113.66")
PACS = factories.pacs()
SITE = Site(pacs={PACS.name: PACS}, devices={"fw-north": factories.FIREWALL})
IOS = factories.FIREWALL.model_copy(update={"name": "edge", "platform": "cisco_ios"})


def intent(addressing: Addressing = Addressing.REAL) -> Intent:
    return ACL.intent(PACS, factories.FIREWALL, addressing)


def candidate(wanted: Intent | CallerIntent, device: str = "fw-north") -> Candidate:
    rules = entries(wanted) if isinstance(wanted, Intent) else ()
    section = Section(name=wanted.section, intent=wanted, rules=rules, previous=None)
    more = dict.fromkeys(("text", "inverse", "base", "diff"), "")
    return Candidate(device=device, platform="any", sections=(section,), **more)


def to(source: Any = STRANGER, port: int = 104, **more: Any) -> Connection:
    return Connection(**({"source": source, "port": port, "archive": "10.10.0.5", "interface": "wan"} | more))


def cut(*seen: Connection, wanted: Intent | CallerIntent | None = None, **devices: LivePeers) -> list[live.Cut]:
    views = devices or {"fw-north": LivePeers(connections=seen, how="connection tracking")}
    return list(live.cut_by(candidate(wanted or intent()), SITE, {n.replace("_", "-"): v for n, v in views.items()}))


def test_a_stranger_who_is_connected_would_be_cut_off() -> None:
    (one,) = cut(to(), to(), to(port=8042))
    assert (one.address, one.ports, one.sessions, one.listed) == (STRANGER, (104, 8042), 3, ())


@pytest.mark.parametrize(
    "seen",
    [
        to("10.20.0.10"),  # a peer, on a port that its roles need
        to(interface="clinic"),  # the guard does not stand there
        to(established=False),
        to(port=2222),  # no service
        to(archive="10.10.0.6"),  # another archive's
    ],
    ids=["peer", "interface", "over", "port", "archive"],
)
def test_nobody_else_is(seen: Connection) -> None:
    assert cut(seen) == []


def test_where_the_interface_is_not_known_it_may_be_the_guarded_one() -> None:
    assert len(cut(to(interface=""))) == 1


def test_a_peer_on_a_port_that_it_is_not_listed_for_is_not_listed() -> None:
    pacs = PACS.model_copy(update={"access": Access(peers=(Peer(name="w", address=STRANGER, roles=(Role.WEB,)),))})
    found = live.cut_by(
        candidate(ACL.intent(pacs, factories.FIREWALL, Addressing.REAL)),
        SITE.model_copy(update={"pacs": {pacs.name: pacs}}),
        {"fw-north": LivePeers(connections=(to(), to(port=8042)), how="x")},
    )
    assert [(one.ports, one.listed) for one in found] == [((104,), ())]


def test_a_listed_peer_who_should_come_by_vpn_is_named_and_does_not_stop_it() -> None:
    (one,) = cut(to("10.99.0.7"))
    assert one.listed == ("readers",)
    live.Live(seen={}, cut=(one,)).check()


def test_a_firewall_that_can_tell_is_believed_before_the_archive() -> None:
    telling = LivePeers(connections=(), how="connection tracking")
    archive = LivePeers(connections=(to(archive=None, interface=""),), how="its open connections")
    assert cut(fw_north=telling, pacs_north=archive) == []
    (one,) = cut(fw_north=LivePeers(cannot="no list"), pacs_north=archive)
    assert one.told == "its open connections of pacs-north shows"
    assert cut(fw_north=LivePeers(cannot="no list")) == []


def test_an_archive_that_lets_in_only_its_callers() -> None:
    caller = Caller(peer="ct-1", ae_title="CLINICMOD", address="10.20.0.10", roles=(Role.STORE,))
    wanted = CallerIntent(pacs=PACS.name, control="ae_title", device=PACS.name, ae_title="A", callers=(caller,))
    seen = {
        PACS.name: LivePeers(
            connections=tuple(
                to(source, port, archive=None) for source in ("10.20.0.10", STRANGER) for port in (104, 8042)
            ),
            how="its open connections",
        )
    }
    found = live.cut_by(candidate(wanted, PACS.name), SITE, seen)
    assert [(one.address, one.ports) for one in found] == [(STRANGER, (104,))]  # the web is no association


def test_it_stops_unless_accepted_by_name() -> None:
    (one,) = cut(to())
    with pytest.raises(PeersCut) as error:
        live.Live(seen={}, cut=(one,)).check()
    assert "203.0.113.66" in error.value.what and "--accept 203.0.113.66" in error.value.next
    assert error.value.exit_status == 1
    live.Live(seen={}, cut=(one.model_copy(update={"accepted": True}),)).check()


def test_the_record_has_every_connection() -> None:
    made = live.Live(
        seen={"fw-north": LivePeers(connections=(to(), to()), how="x"), "edge": LivePeers(cannot="no list")}, cut=()
    ).record()
    assert made["connections"] == [
        {
            "device": "fw-north",
            "address": "203.0.113.66",
            "port": 104,
            "interface": "wan",
            "established": True,
            "count": 2,
        }
    ]
    assert made["cannot_tell"] == {"edge": "no list"}


# -- remediate peers --------------------------------------------------------------------------------------


def use(address: str, *, days: float = 0, **more: Any) -> Use:
    values = {"address": address, "port": 104, "first": NOW - timedelta(days=days), "last": NOW, "times": 1}
    return Use(**(values | {"said_by": "flow records, f.csv"} | more))


def seen(*uses: Use, look_back: timedelta = timedelta(days=40), **more: Any) -> PeersSeen:
    values: dict[str, Any] = {"files": (Covered(file="f.csv", format="flow records"),), "look_back": look_back}
    return PeersSeen(pacs=PACS.name, at=NOW, peers=peers.merged(PACS, uses), **(values | more))


def test_all_that_is_known_of_an_address_comes_together() -> None:
    (one,) = peers.merged(
        PACS,
        [
            use("10.20.0.77", days=30, times=4),
            use("10.20.0.77", port=8042, ae_title="CT77", said_by="Orthanc's log, o.log"),
            use("10.20.0.77", live=True, said_by="connection tracking of fw-north"),
        ],
    )
    assert (one.ports, one.ae_titles, one.open_now, one.is_listed) == ((104, 8042), ("CT77",), True, False)
    assert one.last - one.first == timedelta(days=30)
    assert one.times == {"Orthanc's log, o.log": 1, "connection tracking of fw-north": 1, "flow records, f.csv": 4}


def test_whoever_is_not_listed_comes_first() -> None:
    found = peers.merged(PACS, [use("10.20.0.10"), use("10.20.0.77"), use("10.99.0.3", port=8042)])
    assert [(str(one.address), one.listed, one.unlisted_ports) for one in found] == [
        ("10.20.0.77", (), (104,)),
        ("10.99.0.3", ("readers",), (8042,)),
        ("10.20.0.10", ("ct-1",), ()),
    ]


def test_what_is_to_be_pasted_is_yaml_and_the_inventory_asks_for_what_is_missing(tmp_path: Path) -> None:
    title = "X: ]# 'Y"
    text = report.yaml(
        seen(use("10.20.0.77", ae_title=title), use("10.20.0.10"), use("10.20.0.78", port=8042), use("10.20.0.79"))
    )
    pasted = yaml.safe_load(text)
    assert [(one["address"], one.get("ae_title")) for one in pasted] == [
        ("10.20.0.77", title),
        ("10.20.0.78", None),
        ("10.20.0.79", "FILL_IN"),
    ]
    hosts = {
        "pacs-north": {
            "groups": ["pacs"],
            "data": {
                "ae_title": "A",
                "addresses": {"inside": "10.10.0.5"},
                "services": [{"kind": "dicom", "port": 104}, {"kind": "web", "port": 8042}],
                "access": {"peers": pasted},
            },
        }
    }
    path = tmp_path / "hosts.yaml"
    path.write_text(yaml.safe_dump(hosts))
    with pytest.raises(InventoryError, match="still to be filled in") as error:
        inventory.load(tmp_path)
    assert len(error.value.problems) == 7  # three names, three lists of roles, one AE title
    for number, one in enumerate(pasted):
        one |= {"name": f"x{number}", "roles": ["web" if number == 1 else "store"]}
    pasted[2]["ae_title"] = "CT79"
    path.write_text(yaml.safe_dump(hosts))
    listed = inventory.load(tmp_path).site.pacs["pacs-north"].access.peers
    assert [str(peer.address) for peer in listed] == ["10.20.0.77", "10.20.0.78", "10.20.0.79"]


@pytest.mark.parametrize(("days", "short"), [(30.99, True), (31, False)])
def test_a_short_look_back_is_said(days: float, short: bool) -> None:
    made = seen(use("10.20.0.77"), look_back=timedelta(days=days))
    assert any("less than 31 days" in text for text in report.warnings(made)) is short
    assert report.document(made)["long_enough"] is not short


def test_without_a_file_it_is_said_that_there_is_no_look_back() -> None:
    assert any("no look-back" in text for text in report.warnings(seen(files=(), look_back=timedelta(0))))


def test_what_lies_between_two_files_is_not_covered() -> None:
    def file(first: int, last: int) -> Covered:
        return Covered(file="f", format="f", first=NOW + timedelta(days=first), last=NOW + timedelta(days=last))

    assert peers.span([file(20, 30), file(0, 5), file(3, 7), file(4, 5)]) == timedelta(days=17)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)))
def test_the_look_back_is_the_days_that_a_file_covers(spans: list[list[int]]) -> None:
    files = [
        Covered(file="f", format="f", first=NOW + timedelta(days=a), last=NOW + timedelta(days=b)) for a, b in spans
    ]
    days = {day for a, b in spans for day in range(a, b)}
    assert peers.span(files) == timedelta(days=len(days))


def test_a_guard_that_only_observes_cuts_nobody_off() -> None:
    assert cut(to(), wanted=intent().model_copy(update={"observe": True})) == []


def test_whom_a_guard_has_noted_is_listed() -> None:
    note = Noted(source=STRANGER, port=104, archive="10.10.0.5", last=NOW, packets=7)
    other = note.model_copy(update={"archive": ip_address("10.10.0.6")})
    (one,) = peers.of_live(PACS, "fw-north", LivePeers(noted=(note, other), cannot="off"), NOW)
    assert (one.address, one.port, one.times, one.live) == (STRANGER, 104, 7, False)
