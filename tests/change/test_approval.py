"""Two people answer for a change: which signatures count, and what happens without them."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from remediate.change import approval, change, looking
from remediate.change.approval import APPROVER, Approval, Hand
from remediate.errors import EXIT_USAGE, NotApproved, RemediateError, SignatureError, UsageError
from remediate.inventory import Loaded
from remediate.model.change import Entry, Plan, State
from remediate.model.outcome import Outcome
from remediate.record import Record, signing
from remediate.report import export, story, tables, telling
from remediate.testing import RecordThatStops, Stopped
from tests.change.fleet import Fleet, fleet
from tests.change.people import People
from tests.quiet import Quiet

CHANGE = "20260102-120000-abcd"


@pytest.fixture
def people(tmp_path: Path) -> People:
    """alice and bob count; eve does not."""
    made = People(tmp_path)
    for name in ("alice", "bob", "eve"):
        made.add(name)
    made.strike_out("eve")
    return made


@pytest.fixture
def plan(people: People) -> Plan:
    return Plan(
        tool="0",
        playbook="/book.yaml",
        inventory="/inventory",
        inputs={},
        waves=(),
        allowed_signers=(str(people.allowed_signers),),
    )


def hand(people: People, name: str, principal: str | None = None) -> Hand:
    return Hand(people.folder / name, principal)


def approved(people: People, plan: Plan, name: str = "alice", principal: str | None = None) -> Approval:
    return approval.approve(plan, hand(people, name, principal))[0]


def refused(plan: Plan, given: Approval | None, operator: Hand | None) -> RemediateError:
    with pytest.raises((NotApproved, SignatureError)) as caught:
        approval.check(plan, given, operator, CHANGE)
    assert caught.value.exit_status == EXIT_USAGE
    assert caught.value.next
    return caught.value


# -- which signatures count ----------------------------------------------------------------------------


def test_two_people(people: People, plan: Plan) -> None:
    found = approval.check(plan, approved(people, plan), hand(people, "bob"), CHANGE)["signatures"]
    assert (found["approver"]["principal"], found["operator"]["principal"]) == ("alice", "bob")
    assert found["approver"]["fingerprint"] != found["operator"]["fingerprint"]


def test_ssh_keygen_itself_agrees(people: People, plan: Plan, tmp_path: Path) -> None:
    """The signature is one of OpenSSH's, over the plan's hash, as the docs say."""
    (tmp_path / "sig").write_text(approved(people, plan).signature)
    argv = ["ssh-keygen", "-Y", "verify", "-f", str(people.allowed_signers), "-I", "alice"]
    argv += ["-n", "remediate-plan", "-s", str(tmp_path / "sig")]
    assert (
        subprocess.run(argv, input=f"{plan.digest}\n", text=True, check=False, stdout=subprocess.PIPE).returncode == 0
    )
    assert subprocess.run(argv, input=f"{plan.digest}x\n", text=True, check=False, capture_output=True).returncode != 0


def test_a_key_that_an_agent_holds(people: People, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(people.folder / "agent")], stdout=subprocess.PIPE, text=True)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(people.folder / "agent"))
        subprocess.run(["ssh-add", "-q", str(people.folder / "alice")], check=True)
        (people.folder / "alice").unlink()
        assert approval.approve(plan, hand(people, "alice.pub"))[1].principal == "alice"
    finally:
        agent.terminate()
        agent.communicate()


def test_none(people: People, plan: Plan) -> None:
    assert "needs a second person's approval, and there is none" in str(refused(plan, None, hand(people, "bob")))
    assert "who runs an approved plan signs too" in str(refused(plan, approved(people, plan), None))


def test_the_same_person(people: People, plan: Plan) -> None:
    given = approved(people, plan)
    assert "are the same person" in str(refused(plan, given, hand(people, "alice")))
    people.add("carol", principals="carol,alice")  # another key of a person who is already there
    assert "are the same person" in str(refused(plan, given, hand(people, "carol", "carol")))


def test_the_same_key_under_two_names(people: People, plan: Plan) -> None:
    people.lines["alias"] = people.lines["alice"].replace("alice", "bert", 1)
    people.write()
    error = refused(plan, approved(people, plan, "alice", "alice"), hand(people, "alice", "bert"))
    assert "are the same person" in str(error)


def test_a_changed_plan(people: People, plan: Plan) -> None:
    given = approved(people, plan)
    other = plan.model_copy(update={"warnings": ("x",)})
    error = refused(other, given, hand(people, "bob"))
    assert error.what == (f"the approval is for another plan\n  approved: {plan.digest}\n  this one: {other.digest}")
    forged = given.model_copy(update={"plan_sha256": other.digest})
    error = refused(other, forged, hand(people, "bob"))
    assert "the approval does not count: the signature does not fit: " in error.what
    assert other.digest in error.what


def test_a_signature_for_another_purpose(people: People, plan: Plan) -> None:
    """What somebody signed as the operator of a run does not approve anything."""
    signature = signing.sign(people.folder / "alice", "remediate-run", f"{plan.digest}\n")
    given = approved(people, plan).model_copy(update={"signature": signature})
    assert "the approval does not count: the signature does not fit" in str(refused(plan, given, hand(people, "bob")))


def test_who_does_not_count(people: People, plan: Plan) -> None:
    with pytest.raises(SignatureError, match="is not among the allowed signers"):
        approved(people, plan, "eve")
    given = approved(people, plan)
    assert "is not among the allowed signers" in str(refused(plan, given, hand(people, "eve")))
    people.strike_out("alice")
    assert "is not among the allowed signers" in str(refused(plan, given, hand(people, "bob")))


def test_who_counts_no_more_or_not_yet(people: People, plan: Plan) -> None:
    given = approved(people, plan)
    people.add("alice", options='valid-before="20200101"')
    assert "has expired (verify time" in str(refused(plan, given, hand(people, "bob")))
    people.add("alice", options='valid-after="20990101"')
    assert "is not yet valid (" in str(refused(plan, given, hand(people, "bob")))


def test_who_counts_for_something_else(people: People, plan: Plan) -> None:
    people.add("alice", options='namespaces="git"')
    with pytest.raises(SignatureError, match="does not count for alice and remediate-plan"):
        approved(people, plan)
    people.add("bob", options=f'namespaces="{APPROVER}"')
    people.add("alice")
    assert "does not count for bob and remediate-run" in str(refused(plan, approved(people, plan), hand(people, "bob")))


def test_a_pattern_is_nobody(people: People, plan: Plan) -> None:
    people.add("alice", principals="*@clinic.example")
    with pytest.raises(SignatureError, match=r"may be anybody of \*@clinic.example"):
        approved(people, plan)
    _, signer = approval.approve(plan, hand(people, "alice", "al@clinic.example"))
    assert signer.principal == "al@clinic.example"
    with pytest.raises(SignatureError, match="does not count for al@elsewhere"):
        approved(people, plan, "alice", "al@elsewhere.example")


def test_every_file_that_a_play_names_must_know_them(people: People, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(people.lines["bob"] + "\n")
    both = plan.model_copy(update={"allowed_signers": (*plan.allowed_signers, str(tmp_path / "other"))})
    with pytest.raises(SignatureError, match="is not among the allowed signers"):
        approved(people, both)


def test_what_cannot_be_signed_or_read(people: People, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="the key could not sign: Couldn't load public key"):
        approved(people, plan, "nobody")
    gone = plan.model_copy(update={"allowed_signers": (str(tmp_path / "gone"),)})
    with pytest.raises(SignatureError, match="the allowed signers cannot be read: No such file"):
        approved(people, gone)
    with pytest.raises(UsageError, match="the plan asks for no approval"):
        approved(people, plan.model_copy(update={"allowed_signers": ()}))
    path = approval.place(tmp_path / "plan.json")
    path.write_text("{}")
    with pytest.raises(NotApproved, match="this is not an approval"):
        approval.read(tmp_path / "plan.json")
    junk = approved(people, plan).model_copy(update={"signature": "junk"})
    assert "the approval does not count" in str(refused(plan, junk, hand(people, "bob")))


def test_without_ssh_keygen(people: People, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(people.folder))
    with pytest.raises(SignatureError, match="ssh-keygen is not installed"):
        approved(people, plan)


# -- the change ----------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    with fleet(tmp_path / "fleet") as made:
        yield made


def planned(site: Fleet, people: People) -> tuple[Loaded, Plan]:
    return site.planned(f"  approval: {{allowed_signers: {people.allowed_signers}}}\n")


def run(loaded: Loaded, plan: Plan, file: Path, given: Approval | None, who: Hand | None) -> Outcome:
    with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
        return change.run(plan, desk, approval=given, hand=who)


def entries(file: Path) -> list[Entry]:
    with Record.open(file) as record:
        assert record.verify() == []
        return [entry for one in record.changes() for entry in record.journal(one.change)]


def test_the_three_signatures_are_in_the_record(site: Fleet, people: People, tmp_path: Path) -> None:
    loaded, plan = planned(site, people)
    done = run(loaded, plan, tmp_path / "r.db", approved(people, plan), hand(people, "bob"))
    assert (done.exit_status, [wave.state for wave in done.waves]) == (0, [State.CONFIRMED])
    found = entries(tmp_path / "r.db")
    assert [e.kind for e in found][:3] == ["planned", "approved", "preflight"]
    assert [e.kind for e in found][-2:] == ["closed", "ended"]
    assert set(found[1].data["signatures"]) == {"approver", "operator"}
    told = export.document(found)
    assert [(one.role, one.principal) for one in told.change.signatures] == [
        ("approver", "alice"), ("operator", "bob"), ("closer", "bob")
    ]  # fmt: skip
    facts = story.facts(told)
    assert any(line.startswith("the plan was approved by alice (SHA256:") for line in facts)
    assert any(line.startswith("its end was signed by bob (SHA256:") for line in facts)
    shown = Console(file=io.StringIO(), width=200)
    shown.print(telling.told(told, found))
    assert "signatures: approver alice, operator bob" in shown.file.getvalue()  # type: ignore[attr-defined]
    signed = [one for at in (1, -2) for one in found[at].data["signatures"].values()]
    assert [one["principal"] for one in signed] == ["alice", "bob", "bob"]
    assert signed[2]["message"] == f"{done.change} {found[-3].seq} {found[-3].hash}\n"
    for one in signed:  # by somebody who has only the record and the file
        signer = signing.verify(
            one["signature"], one["namespace"], one["message"], people.allowed_signers, one["principal"]
        )
        assert signer.fingerprint == one["fingerprint"]


def test_without_approval_nothing_is_even_recorded(site: Fleet, people: People, tmp_path: Path) -> None:
    loaded, plan = planned(site, people)
    for given, who in ((None, hand(people, "bob")), (approved(people, plan), hand(people, "alice"))):
        with pytest.raises(NotApproved):
            run(loaded, plan, tmp_path / "r.db", given, who)
    assert entries(tmp_path / "r.db") == []
    assert site.guarded() == {"archive-a": False}


def test_an_emergency_is_marked(site: Fleet, people: People, tmp_path: Path) -> None:
    loaded, plan = planned(site, people)
    urgent = plan.model_copy(update={"emergency": "patient data is being taken"})
    assert urgent.digest != plan.digest
    done = run(loaded, urgent, tmp_path / "r.db", None, None)
    assert (done.exit_status, done.emergency) == (0, "patient data is being taken")
    found = entries(tmp_path / "r.db")
    assert found[0].data["emergency"] == found[0].data["plan"]["emergency"] == "patient data is being taken"
    assert "approved" not in [entry.kind for entry in found]
    told = export.document(found)
    assert told.change.emergency == "patient data is being taken"
    assert "EMERGENCY, run without approval: patient data is being taken" in story.facts(told)
    shown = Console(file=io.StringIO(), width=200)
    shown.print(tables.plan(urgent, diff=False), tables.outcome(done))
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("EMERGENCY, without approval: patient data is being taken") == 2


@pytest.mark.parametrize(("lost", "expected"), [(True, State.STOPPED), (False, State.CONFIRMED)])
def test_a_crash_right_at_the_approval(
    site: Fleet, people: People, tmp_path: Path, lost: bool, expected: State
) -> None:
    """What was never approved in the record is not pushed by `resume`."""
    loaded, plan = planned(site, people)
    file = tmp_path / "r.db"
    with (
        RecordThatStops.open(file, at=2, lost=lost) as stopping,
        change.desk(loaded, stopping, Quiet()) as desk,
        pytest.raises(Stopped),
    ):
        change.run(plan, desk, approval=approved(people, plan), hand=hand(people, "bob"))
    with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
        done = change.resume(change.unfinished(record)[0], desk, hand=hand(people, "bob"))
    assert [wave.state for wave in done.waves] == [expected]
    assert site.guarded() == {"archive-a": expected is State.CONFIRMED}
    assert done.exit_status == (2 if lost else 0)


def test_the_end_is_recorded_though_it_cannot_be_signed(site: Fleet, people: People, tmp_path: Path) -> None:
    loaded, plan = planned(site, people)
    given = approved(people, plan)

    class Forgetful(Quiet):
        def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
            (people.folder / "bob").unlink(missing_ok=True)

    with Record.open(tmp_path / "r.db") as record, change.desk(loaded, record, Forgetful()) as desk:
        done = change.run(plan, desk, approval=given, hand=hand(people, "bob"))
    assert done.exit_status == 0
    assert [e.kind for e in entries(tmp_path / "r.db")][-2:] == ["confirmed", "ended"]


def test_the_file_beside_the_plan(people: People, plan: Plan, tmp_path: Path) -> None:
    made = approved(people, plan)
    path = tmp_path / "plan.json"
    assert approval.read(path) is None
    approval.place(path).write_text(approval.as_text(made))
    assert approval.place(path).name == "plan.json.approval"
    assert approval.read(path) == made
    assert set(json.loads(approval.as_text(made))) == {"plan_sha256", "principal", "signature", "at"}
    assert made.at <= datetime.now(UTC)
