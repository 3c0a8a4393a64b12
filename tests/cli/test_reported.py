"""`remediate verify playbooks/post_incident_verify.yaml -e reported=FILE`."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.inventory import load
from remediate.model.change import Plan, State, Wave
from remediate.model.observation import CanaryReport, Observation, Rung
from remediate.model.verdict import Verdict
from remediate.policy import expectations
from remediate.record import Record
from remediate.testing import ScriptedPeer
from remediate.testing.dicom import rejects
from tests.cli.prompt import User

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "post_incident_verify.yaml"
TODAY = datetime.now(UTC).date()
#: Ours and nobody's: only the archive's address answers, and only on its own port.
HOSTS = """\
archive:
  groups: [pacs]
  data:
    ae_title: ARCHIVE
    addresses: {{outside: 127.0.0.1}}
    services: [{{kind: dicom, port: {port}}}]
    protected_by: [fw]
    access: {{peers: [{{name: ct-1, address: 127.0.7.10, ae_title: CT, roles: [query]}}]}}
second:
  groups: [pacs]
  data: {{ae_title: SECOND, addresses: {{outside: 127.0.0.2}}, services: [{{kind: dicom, port: {port}}}]}}
fw: {{hostname: 127.0.0.1, port: 9, username: x, platform: linux_nftables, groups: [firewalls],
      data: {{guard: {{interface: wan}}}}}}
internet: {{groups: [vantages], data: {{zone: outside, canaries: [{{address: 127.0.0.1, port: {port}}}]}}}}
clinic: {{groups: [vantages], data: {{zone: inside, peer: ct-1, via: {{local: {{source: 127.0.7.10}}}}}}}}
"""
SCOPE = """\
data:
  scope:
    - {{network: 127.0.0.0/24, reference: T-1, expires: {last}}}
    - {{network: 127.0.7.0/24, reference: T-2, expires: {last}}}
    - {{network: 127.0.9.0/24, reference: T-3, expires: {gone}}}
"""


class Site:
    def __init__(self, user: User, port: int) -> None:
        self.user, self.port = user, port
        user.write("inventory/hosts.yaml", HOSTS.format(port=port))
        user.write(
            "inventory/defaults.yaml", SCOPE.format(last=TODAY + timedelta(days=2), gone=TODAY - timedelta(days=2))
        )

    def ask(self, listed: str, *more: str) -> tuple[int, dict[str, dict[str, object]], dict[str, object]]:
        self.user.write("list.txt", listed)
        said = self.user.types("verify", str(PLAYBOOK), "-e", "reported=list.txt", "--format", "json", *more)
        assert said.out, said.err
        made = json.loads(said.out)
        return said.status, {one["address"]: one for one in made["addresses"]}, made

    def remember(self, change: str, verdict: Verdict, rung: Rung) -> None:
        """A change that looked at the archive once, as one writes it."""
        loaded = load(self.user.folder / "inventory").site
        made = expectations(loaded.pacs["archive"], [loaded.vantages["internet"]])
        wave = Wave(
            number=1,
            play="x",
            pacs=("archive",),
            vantages=("internet",),
            revert_in=timedelta(minutes=5),
            expectations=made.expectations,
        )
        plan = Plan(tool="0", playbook="x", inventory="x", inputs={}, waves=(wave,))
        now = datetime.now(UTC)
        with Record.open(self.user.record) as record:
            journal = record.begin(change, data={"plan": plan.model_dump(mode="json"), "plan_sha256": plan.digest})
            seen = [
                Observation(question=e.question, rung=rung, asked_at=now, answered_at=now, elapsed=0.1)
                for e in made.expectations
            ]
            journal.append(
                "looked",
                {
                    "wave": 1,
                    "state": State.PUSHED,
                    "verdicts": {"archive": verdict},
                    "observations": [one.model_dump(mode="json") for one in seen],
                    "canaries": [CanaryReport(vantage="internet", alive=True, at=now).model_dump(mode="json")],
                },
            )


@pytest.fixture
def site(user: User) -> Iterator[Site]:
    with ScriptedPeer(rejects(1, 1, 7)) as peer:
        yield Site(user, peer.port)


def test_whose_they_are_and_what_is_open(site: Site) -> None:
    status, found, made = site.ask(
        f"127.0.0.1:{site.port}\n127.0.0.2\n203.0.113.9\nrubbish\n127.0.0.77:{site.port}\n127.0.9.1\n127.0.7.10\n"
    )
    assert status == 1
    assert {name: (one["whose"], one["now"]) for name, one in found.items()} == {
        "127.0.0.1": ("an archive of the inventory", "open"),
        "127.0.0.2": ("an archive of the inventory", "closed"),
        "203.0.113.9": ("not ours", "not asked"),
        "127.0.0.77": ("in scope, and no archive of the inventory", "closed"),
        "127.0.9.1": ("in scope, but the authorisation has ended", "not asked"),
        "127.0.7.10": ("in scope, and no archive of the inventory", "closed"),
    }
    assert (found["127.0.0.1"]["known_as"], found["127.0.0.1"]["protected_by"]) == ("archive", {"archive": ["fw"]})
    assert found["127.0.0.1"]["open_ports"] == [site.port]
    assert found["127.0.7.10"]["known_as"] == "peer ct-1 of archive"
    assert made["unreadable"] == [{"line": 4, "why": "no IP address of one host (names are not looked up)"}]
    assert made["summary"] == {
        "reported": 6, "ours": 5, "not_ours": 1, "open": 1, "closed": 3, "unknown": 0, "not_asked": 1, "came_back": 0,
        "unreadable_lines": 1,
    }  # fmt: skip


def test_nothing_out_of_scope_is_sent_a_packet(site: Site) -> None:
    site.user.write("list.txt", "127.0.0.2\n203.0.113.9:104\n127.0.9.1:104\n127.8.8.8\n")
    said = site.user.types("verify", str(PLAYBOOK), "-e", "reported=list.txt")
    asked = {where[0] for call, where in said.network if call == "socket.connect" and isinstance(where, tuple)}
    assert asked == {"127.0.0.1", "127.0.0.2"}  # the canary, and what is in scope
    assert said.status == 3
    assert "not ours, or not in scope; nothing was sent: 2\n  127.8.8.8\n  203.0.113.9\n" in said.out


def test_without_scope_the_archives_alone_are_ours(site: Site) -> None:
    site.user.write("inventory/defaults.yaml", "{}\n")
    status, found, _ = site.ask("127.0.0.2\n127.0.0.77\n")
    assert (status, [one["whose"] for one in found.values()]) == (0, ["an archive of the inventory", "not ours"])


@pytest.mark.parametrize(
    ("listed", "more", "status"),
    [
        ("127.0.0.2\n", (), 0),
        ("127.0.0.2\n203.0.113.9\n", (), 0),  # what is not ours says nothing about us
        ("127.0.0.2\nrubbish\n", (), 3),  # it may have been one of ours
        ("203.0.113.9\n", (), 3),  # nothing was asked
        ("127.0.0.2\n127.0.0.1\n", ("--limit", "second"), 3),  # one of ours was left out
        ("127.0.0.2\n127.0.9.1\n", (), 3),
    ],
)
def test_the_exit_status(site: Site, listed: str, more: tuple[str, ...], status: int) -> None:
    assert site.ask(listed, *more)[0] == status


def test_with_a_silent_canary_nothing_is_called_closed(site: Site) -> None:
    hosts = site.user.folder / "inventory" / "hosts.yaml"
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        canary = "canaries: [{{address: 127.0.0.1, port: {}}}]"
        hosts.write_text(hosts.read_text().replace(canary.format(site.port)[1:-1], canary.format(port)[1:-1]))
        status, found, _ = site.ask("127.0.0.2\n")
    assert (status, found["127.0.0.2"]["now"]) == (3, "unknown")


# -- what the record says -----------------------------------------------------------------------------------


def test_it_came_back(site: Site) -> None:
    site.remember("20260101-a", Verdict.EXPOSED, Rung.ECHO)
    site.remember("20260102-b", Verdict.PROTECTED, Rung.FILTERED)
    status, found, made = site.ask("127.0.0.1\n")
    before = found["127.0.0.1"]["before"]
    assert isinstance(before, dict)
    assert (status, found["127.0.0.1"]["came_back"], before["change"]) == (1, [site.port], "20260102-b")
    assert (before["opened_by"], made["record"]) == (None, True)
    said = site.user.types("verify", str(PLAYBOOK), "-e", "reported=list.txt")
    assert f"CAME BACK: port {site.port} was protected since" in " ".join(said.out.split())


def test_who_opened_it_again_is_said(site: Site) -> None:
    site.remember("20260102-b", Verdict.PROTECTED, Rung.FILTERED)
    site.remember("20260103-c", Verdict.EXPOSED, Rung.ECHO)
    _, found, _ = site.ask("127.0.0.1\n")
    before = found["127.0.0.1"]["before"]
    assert isinstance(before, dict)
    assert (before["change"], before["opened_by"]) == ("20260102-b", "20260103-c")


@pytest.mark.parametrize(("verdict", "rung"), [(Verdict.CARE_PATH_BROKEN, Rung.CLOSED), (Verdict.EXPOSED, Rung.ECHO)])
def test_what_was_never_protected_did_not_come_back(site: Site, verdict: Verdict, rung: Rung) -> None:
    site.remember("20260101-a", verdict, rung)
    _, found, _ = site.ask("127.0.0.1\n")
    assert (found["127.0.0.1"]["came_back"], found["127.0.0.1"]["before"]) == ([], None)


def test_another_port_than_the_one_that_was_closed_did_not_come_back(site: Site) -> None:
    site.remember("20260102-b", Verdict.PROTECTED, Rung.FILTERED)
    with ScriptedPeer(rejects(1, 1, 7)) as other:
        hosts = site.user.folder / "inventory" / "hosts.yaml"
        old = f"services: [{{kind: dicom, port: {site.port}}}]\n    protected_by"
        assert old in hosts.read_text()
        hosts.write_text(hosts.read_text().replace(old, old.replace(str(site.port), str(other.port))))
        _, found, _ = site.ask(f"127.0.0.1:{other.port}\n")
    assert (found["127.0.0.1"]["now"], found["127.0.0.1"]["came_back"]) == ("open", [])


def test_what_a_record_says_that_was_tampered_with_does_not_count(site: Site) -> None:
    site.remember("20260102-b", Verdict.PROTECTED, Rung.FILTERED)
    raw = sqlite3.connect(site.user.record)
    raw.execute("update remediate_entry set at = '2026-01-01T00:00:00+00:00' where seq = 2")
    raw.commit()
    raw.close()
    status, found, made = site.ask("127.0.0.2\n")
    assert (status, found["127.0.0.2"]["before"]) == (3, None)
    assert "the record cannot be relied on: change 20260102-b: " in str(made["notes"])


def test_without_a_record_nobody_can_tell(site: Site) -> None:
    said_status, _, made = site.ask("127.0.0.2\n")
    assert (said_status, made["record"]) == (0, False)
    assert "nobody can tell what came back" in str(made["notes"])
    assert not site.user.record.exists()


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("verify {play} -e reported=nothing.txt", "nothing.txt: the list of reported addresses cannot be read"),
        ("verify {play} -e report=list.txt", "-e: report: unknown variable; did you mean reported?"),
        ("verify {play} -e reported=list.txt --format junit", "is answered with a table or JSON"),
        ("verify {play} -e reported=list.txt --count", "is answered with a table or JSON"),
        ("verify book.yaml -e reported=list.txt", "reported beside other tasks; allowed: a verify task"),
        ("plan {play} -e reported=list.txt", "this playbook only asks about reported addresses"),
        ("run {play} -e reported=list.txt", "this playbook only asks about reported addresses"),
    ],
)
def test_a_refusal_comes_before_the_first_packet(user: User, command: str, told: str) -> None:
    user.write("list.txt", "127.0.0.1\n")
    said = user.types(*command.format(play=PLAYBOOK).split())
    assert (said.status, said.network, said.out) == (2, [], "")
    assert told in said.err and "next:" in said.err


def test_a_list_that_the_playbook_names_starts_at_the_playbook(site: Site) -> None:
    play = PLAYBOOK.read_text()
    site.user.write("books/look.yaml", play)
    site.user.write("books/reported.csv", "ip\n127.0.0.2\n")
    assert site.user.types("verify", "books/look.yaml").status == 0
    site.user.write("books/two.yaml", play + play.replace("{reported: reported.csv}", "{}"))
    said = site.user.types("verify", "books/two.yaml")
    assert (said.status, said.network) == (2, [])
    assert "a play with reported beside others; allowed: it alone" in said.err


def test_what_would_be_asked_is_listed_and_not_asked(site: Site) -> None:
    site.user.write("list.txt", f"127.0.0.1\n127.0.0.77:{site.port}\n203.0.113.9\n")
    said = site.user.types("verify", str(PLAYBOOK), "-e", "reported=list.txt", "--list-probes")
    assert (said.status, said.network) == (0, [])
    assert f"dicom at 127.0.0.1:{site.port} of archive, from internet" in said.out
    assert f"dicom at 127.0.0.77:{site.port}" in said.out and "203.0.113.9" not in said.out
