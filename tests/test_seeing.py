"""Whether anybody will see what a change does to an archive: known when it is planned."""

from __future__ import annotations

import io
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from rich.console import Console

from remediate import controls
from remediate.change import gates, seeing
from remediate.change.looking import judged
from remediate.errors import NotKnown, PlanError, VerificationFailed
from remediate.judge import judge
from remediate.model.change import State, Wave
from remediate.model.observation import Observation, Rung
from remediate.model.outcome import Outcome, Waits, WaveOutcome
from remediate.model.site import (
    Access,
    Addresses,
    Canary,
    Pacs,
    Peer,
    Published,
    Role,
    Service,
    ServiceKind,
    Site,
    Vantage,
    Zone,
)
from remediate.model.verdict import Expectation, Judgement, Purpose, Verdict
from remediate.playbook import Apply, Play
from remediate.policy import Expected, expectations, standing
from remediate.report import tables
from tests.factories import CLINIC, CT, INTERNET, READERS, canary, pacs, seen

INSIDE_ONLY = Addresses(inside=(Published(address=ip_address("10.10.0.5")),))
CONTROLS = sorted(controls.CONTROLS)
BEFORE_ARCHIVE = {"acl", "unpublish", "vpn_only"}
#: Another practice: it comes in by the published address, from a public one of its own.
PARTNER = Peer(name="partner", address=ip_address("192.0.2.77"), ae_title="PARTNER", roles=(Role.STORE, Role.QUERY))
AT_PARTNER = Vantage(
    name="at-partner",
    zone=Zone.OUTSIDE,
    peer="partner",
    canaries=(Canary(address=ip_address("203.0.113.1"), port=443),),
)
ALIVE = [canary(name) for name in ("internet", "clinic", "at-partner")]


def play(*names: str, accept: tuple[str, ...] = (), observe: bool = False) -> Play:
    tasks = tuple(Apply(name=name, control=name, observe=observe) for name in names)
    return Play(name="Close", hosts="pacs", tasks=tasks, accept_unseen=accept)


def with_partner(**changes: Any) -> Pacs:
    return pacs(access=pacs().access.model_copy(update={"peers": (CT, READERS, PARTNER)}), **changes)


def check(book: Play, archive: Pacs, *places: Vantage) -> Expected:
    """What is expected of it, once the plan has not been refused."""
    expected = controls.expectations(book.controls, archive, places)
    left = [name for name in book.controls if not controls.has_to_close(controls.control(name), archive)]
    bystanders = {archive.name} if len(left) == len(book.controls) else set()
    seeing.check(book, [archive], places, {archive.name: expected}, bystanders)
    return expected


def good(expectation: Expectation) -> Observation:
    """A password is asked for, which is what a stranger must see of a web service, and a peer may."""
    served = Rung.QUERY_ANSWERED if expectation.question.kind.is_dicom else Rung.HTTP_GUARDED
    stranger = expectation.question.anonymous or expectation.purpose is Purpose.OUTSIDE_CLOSED
    rung = Rung.FILTERED if stranger else served
    return seen(expectation.question, rung, after=1, negotiated=frozenset(Role))


def verdict(archive: Pacs, expected: Expected, book: Play, **wrong: Rung) -> Judgement:
    """``wrong``: vantage → what it sees instead of what it must."""
    answers = [
        seen(e.question, wrong[e.question.vantage], after=1) if e.question.vantage in wrong else good(e)
        for e in expected.expectations
    ]
    sides = seeing.unasked(archive.name, book, expected)
    return judge(archive.name, expected.expectations, answers, ALIVE, unasked=sides)


# -- nobody looks inside ------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("observe", [False, True])
def test_an_archive_that_nobody_inside_looks_at_stops_at_the_plan(control: str, observe: bool) -> None:
    with pytest.raises(PlanError) as refused:
        check(play(control, observe=observe), pacs(), INTERNET)
    assert refused.value.where == "pacs-north"
    assert "no vantage inside looks at it" in refused.value.what
    assert "ct-1, readers" in refused.value.what
    assert "{zone: inside, peer: NAME}" in refused.value.next
    assert refused.value.next.endswith("accept_unseen: [pacs-north]")


def test_a_vantage_in_the_place_of_another_archives_peer_is_none() -> None:
    elsewhere = CLINIC.model_copy(update={"peer": "mr-1"})
    with pytest.raises(PlanError, match="no vantage inside looks at it"):
        check(play("acl"), pacs(), INTERNET, elsewhere)
    check(play("acl"), pacs(), INTERNET, CLINIC, elsewhere)


def test_accepted_by_name_it_is_judged_on_the_outsides_proof_and_says_so() -> None:
    book = play("acl", accept=("pacs-north",))
    judgement = verdict(pacs(), check(book, pacs(), INTERNET), book)
    assert judgement.verdict is Verdict.PROTECTED
    (side,) = judgement.unasked
    assert side.purpose is Purpose.CARE_PATH
    assert "accepted by name" in side.why
    assert "simulation alone" in side.why


def test_what_was_accepted_hides_nothing() -> None:
    """Neither an exposure nor a silent vantage; and where somebody looks, what they see counts."""
    book = play("acl", accept=("pacs-north",))
    expected = check(book, pacs(), INTERNET)
    assert verdict(pacs(), expected, book, internet=Rung.ECHO).verdict is Verdict.EXPOSED
    assert verdict(pacs(), expected, book, internet=Rung.INCONCLUSIVE).verdict is Verdict.INCONCLUSIVE
    looked_at = check(book, pacs(), INTERNET, CLINIC)
    assert seeing.unasked("pacs-north", book, looked_at) == ()
    assert verdict(pacs(), looked_at, book, clinic=Rung.FILTERED).verdict is Verdict.CARE_PATH_BROKEN


def test_a_name_that_is_no_archives_is_refused() -> None:
    site = Site(pacs={"pacs-north": pacs(), "pacs-south": pacs(name="pacs-south")})
    seeing.check_names(play("acl", accept=("pacs-north", "pacs-south")), site)
    with pytest.raises(PlanError, match="accept_unseen names pacs-nort, and no PACS") as refused:
        seeing.check_names(play("acl", accept=("pacs-nort",)), site)
    assert refused.value.next == "did you mean pacs-north?"


@pytest.mark.parametrize("control", CONTROLS)
def test_nobody_outside_stops_at_the_plan_too(control: str) -> None:
    with pytest.raises(PlanError, match="no vantage outside looks at it"):
        check(play(control), pacs(), CLINIC)


def test_who_observes_needs_nobody_outside() -> None:
    check(play("acl", observe=True), pacs(), CLINIC)


# -- no outside address -------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CONTROLS)
def test_an_archive_without_an_outside_address_is_closed_to_it_already(control: str) -> None:
    inside_only = pacs(addresses=INSIDE_ONLY)
    assert controls.has_to_close(controls.control(control), inside_only) is (control not in BEFORE_ARCHIVE)
    assert controls.has_to_close(controls.control(control), pacs())
    book = play(control)
    judgement = verdict(inside_only, check(book, inside_only, INTERNET, CLINIC), book)
    assert judgement.verdict is Verdict.PROTECTED
    assert [side.why for side in judgement.unasked] == ["it has no outside address, so it is reached from inside only"]


@pytest.mark.parametrize("control", CONTROLS)
def test_nobody_need_look_at_an_archive_for_which_nothing_is_configured(control: str) -> None:
    inside_only = pacs(addresses=INSIDE_ONLY)
    if control in BEFORE_ARCHIVE:
        expected = check(play(control), inside_only, INTERNET)
        assert expected.expectations == ()
        assert judge("pacs-north", (), (), (), unasked=expected.unasked).verdict is Verdict.INCONCLUSIVE
    else:
        with pytest.raises(PlanError, match="no vantage inside"):
            check(play(control), inside_only, INTERNET)


def test_the_outside_is_not_missed_where_nothing_of_the_play_is_published() -> None:
    """Only the viewer is published, and the play is about DICOM."""
    outside = Published(address=ip_address("203.0.113.20"), services=(8042,))
    archive = pacs(addresses=Addresses(inside=INSIDE_ONLY.inside, outside=(outside,)))
    book = play("ae_title")
    judgement = verdict(archive, check(book, archive, INTERNET, CLINIC), book)
    assert judgement.verdict is Verdict.PROTECTED
    assert [side.why for side in judgement.unasked] == [
        "nothing that this play concerns is at an outside address of it"
    ]


@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7"])
def test_a_public_address_that_is_called_inside_stops_at_the_plan(address: str) -> None:
    archive = pacs(addresses=Addresses(inside=(*INSIDE_ONLY.inside, Published(address=ip_address(address)))))
    assert expectations(archive, [INTERNET, CLINIC]).unasked == ()
    with pytest.raises(PlanError, match=rf"its address {address} is a public one") as refused:
        check(play("acl"), archive, INTERNET, CLINIC)
    assert "addresses.outside" in refused.value.next


def bystander_wave(names: tuple[str, ...] = ("acl",)) -> Wave:
    return Wave(
        number=1,
        play="Close",
        pacs=("pacs-north", "pacs-inside"),
        vantages=("internet", "clinic"),
        revert_in=timedelta(minutes=5),
        nothing_to_close={"pacs-inside": ("acl",)},
        leaves_open=dict.fromkeys(names, "whatever"),
    )


def test_who_has_nothing_to_close_is_a_bystander_unless_something_is_configured_for_it() -> None:
    assert bystander_wave().bystanders == {"pacs-inside"}
    assert bystander_wave(("acl", "ae_title")).bystanders == frozenset()


@pytest.mark.parametrize("before", [Rung.QUERY_ANSWERED, Rung.CLOSED, Rung.INCONCLUSIVE])
@pytest.mark.parametrize("after", [Rung.QUERY_ANSWERED, Rung.CLOSED, Rung.INCONCLUSIVE])
def test_a_bystander_holds_nothing_up_but_is_not_harmed_either(before: Rung, after: Rung) -> None:
    """Two archives: what was wrong before with the one that has nothing to close is no reason; what the push did is."""
    services = (Service(kind=ServiceKind.DICOM, port=104),)
    neighbour = pacs(services=services)
    bystander = pacs(name="pacs-inside", addresses=INSIDE_ONLY, services=services)
    expected = {one.name: expectations(one, [INTERNET, CLINIC]) for one in (neighbour, bystander)}
    questions = [e for one in expected.values() for e in one.expectations]

    def look(rung: Rung) -> Any:
        answers = [
            seen(e.question, rung, after=1, negotiated=frozenset(Role)) if e.question.pacs == "pacs-inside" else good(e)
            for e in questions
        ]
        return judged(questions, {}, answers, ALIVE, unasked={name: one.unasked for name, one in expected.items()})

    gates.check_baseline(look(before), {"pacs-inside"})
    harmed = before is Rung.QUERY_ANSWERED and after is not Rung.QUERY_ANSWERED
    if not harmed:
        gates.check_after(look(after), bystanders={"pacs-inside"}, before=look(before))
        return
    with pytest.raises(VerificationFailed if after is Rung.CLOSED else NotKnown, match="pacs-inside"):
        gates.check_after(look(after), bystanders={"pacs-inside"}, before=look(before))


@pytest.mark.parametrize("peers", [(), (CT,)])
def test_that_nobody_looks_is_said_with_every_verdict(peers: tuple[Peer, ...]) -> None:
    archive = pacs(access=Access(peers=peers))
    lines = {"the outside: no vantage outside looks at it": (INTERNET,), "the care path: no vantage inside": (CLINIC,)}
    for start, places in lines.items():
        assert any(line.startswith(start) for line in expectations(archive, ()).not_asked)
        there = expectations(pacs(), places).not_asked
        assert not any(line.startswith(start) for line in there)


def test_every_inconclusive_says_why() -> None:
    unseen = judged((), {"pacs-a": (), "pacs-b": ()}, (), ALIVE)
    assert gates.reasons(unseen.judgements) == [
        f"{name}: inconclusive (no vantage outside looked at it and no vantage inside did)"
        for name in ("pacs-a", "pacs-b")
    ]
    outside = expectations(pacs(), [INTERNET]).expectations
    (line,) = gates.reasons(judged(outside, {}, map(good, outside), ALIVE).judgements)
    assert line == "pacs-north: inconclusive (no vantage inside did)"


# -- a peer that comes in by the published address ----------------------------------------------------


def test_in_a_peers_place_outside_the_archive_must_serve_it_at_its_published_address() -> None:
    expected = expectations(with_partner(), [INTERNET, AT_PARTNER])
    theirs = [e for e in expected.expectations if e.question.vantage == "at-partner"]
    assert {(e.purpose, str(e.question.address), e.question.port, e.role) for e in theirs} == {
        (Purpose.CARE_PATH, "203.0.113.20", 11112, Role.STORE),
        (Purpose.CARE_PATH, "203.0.113.20", 11112, Role.QUERY),
    }
    assert {e.question.calling_ae_title for e in theirs} == {"PARTNER"}
    assert not any("partner" in line and "simulated" in line for line in expected.not_asked)


def test_for_an_archive_that_does_not_name_it_that_vantage_is_a_stranger_outside() -> None:
    """Two archives behind one address: the neighbour's guard lets nobody in whom only the first one names."""
    found = expectations(pacs(name="pacs-south"), [AT_PARTNER]).expectations
    assert {e.purpose for e in found} == {Purpose.OUTSIDE_CLOSED}
    assert not any(e.question.calling_ae_title == "PARTNER" for e in found)


def test_it_is_no_witness_that_the_archive_is_closed_outside() -> None:
    book = play("acl")
    with pytest.raises(PlanError, match="no vantage outside looks at it"):
        check(book, with_partner(), AT_PARTNER, CLINIC)
    judgement = verdict(with_partner(), check(book, with_partner(), INTERNET, AT_PARTNER), book)
    assert judgement.verdict is Verdict.PROTECTED
    assert judgement.unasked == (), "from the partner's place the care path was seen"


@pytest.mark.parametrize("rung", [Rung.FILTERED, Rung.CLOSED, Rung.UNREACHABLE])
def test_a_guard_that_cuts_it_off_breaks_the_care_path(rung: Rung) -> None:
    book = play("acl")
    expected = check(book, with_partner(), INTERNET, CLINIC, AT_PARTNER)
    assert verdict(with_partner(), expected, book, **{"at-partner": rung}).verdict is Verdict.CARE_PATH_BROKEN


@pytest.mark.parametrize("control", ["unpublish", "vpn_only"])
def test_what_shuts_the_published_address_to_all_is_refused_for_it(control: str) -> None:
    with pytest.raises(PlanError, match="peer partner comes in by the published address") as refused:
        check(play(control), with_partner(), INTERNET, CLINIC, AT_PARTNER)
    assert "via: vpn" in refused.value.next
    check(play(control), with_partner(), INTERNET, CLINIC)


@pytest.mark.parametrize(
    ("peer", "stands"),
    [
        (PARTNER, True),
        (PARTNER.model_copy(update={"via": "vpn"}), False),
        (PARTNER.model_copy(update={"address": ip_address("2001:db8::77")}), False),
    ],
)
def test_whose_place_outside_can_be(peer: Peer, stands: bool) -> None:
    archive = pacs(access=pacs().access.model_copy(update={"peers": (CT, peer)}))
    assert (standing(archive, AT_PARTNER) is not None) is stands
    purposes = {e.purpose for e in expectations(archive, [AT_PARTNER]).expectations}
    assert purposes == {Purpose.CARE_PATH if stands else Purpose.OUTSIDE_CLOSED}


def test_of_several_waves_each_ones_reason_is_on_the_screen() -> None:
    waves = tuple(
        WaveOutcome(number=n, state=State.ROLLED_BACK, pacs=(f"pacs-{n}",), reason=f"reason {n}") for n in (1, 2)
    )
    waits = Waits(total=1, deadlines=0, pacs=0, timer=0)
    done = Outcome(change="c", exit_status=4, waves=waves, waits=waits, reason="reason 1")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables.outcome(done))
    text = console.export_text()
    assert "change c: taken back. reason 1" in text
    assert "wave 2: rolled back. reason 2" in text
    assert text.count("reason 1") == 1
