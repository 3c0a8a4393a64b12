"""Expectations and observations → verdicts."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.judge import judge
from remediate.model.observation import UNREACHED, Icmp, Observation, Rung
from remediate.model.site import Canary, Role
from remediate.model.verdict import Expectation, Judgement, Outcome, Purpose, Unasked, Verdict
from remediate.policy import expectations
from tests.factories import CLINIC, INTERNET, NOON, canary, pacs, seen

EXPECTED = expectations(pacs(), [INTERNET, CLINIC]).expectations
ROLES = frozenset({Role.STORE, Role.QUERY, Role.RETRIEVE})


def answer(expectation: Expectation, outside: Rung = Rung.FILTERED, after: float = 1.0) -> Observation:
    if expectation.purpose is Purpose.OUTSIDE_CLOSED:
        return seen(expectation.question, outside, after=after)
    rung = Rung.QUERY_ANSWERED if expectation.question.kind.is_dicom else Rung.HTTP_ANSWERED
    return seen(expectation.question, rung, after=after, negotiated=ROLES)


GOOD = {e.question: answer(e) for e in EXPECTED}
#: Not asked, rejected for the moment, and asked without the peer's certificate.
UNSAID = (Rung.INCONCLUSIVE, Rung.BUSY, Rung.TLS_CERTIFICATE_WANTED)
ALIVE = [canary("internet"), canary("clinic"), canary("internet"), canary("clinic")]


def verdict(observations: list[Observation], canaries: object = None, **more: object) -> Judgement:
    return judge("pacs-north", EXPECTED, observations, canaries or ALIVE, **more)  # type: ignore[arg-type]  # tests vary it


def test_closed_outside_and_served_inside_is_protected() -> None:
    assert verdict(list(GOOD.values())).verdict is Verdict.PROTECTED


@pytest.mark.parametrize("rung", [rung for rung in Rung if rung.reachable])
def test_anything_that_gets_through_from_outside_is_exposed_even_with_a_dead_canary(rung: Rung) -> None:
    wrong = {e.question: answer(e, rung) for e in EXPECTED}
    assert verdict(list(wrong.values())).verdict is Verdict.EXPOSED
    assert verdict(list(wrong.values()), [canary("internet", alive=False), canary("clinic")]).verdict is Verdict.EXPOSED


@pytest.mark.parametrize(
    "rung", [r for r in Rung if r not in (Rung.QUERY_ANSWERED, Rung.DATA_RETURNED) and r not in UNSAID]
)
def test_a_peer_that_may_query_and_cannot_is_a_broken_care_path(rung: Rung) -> None:
    dicom = next(e.question for e in EXPECTED if e.role is Role.QUERY)
    wrong = {**GOOD, dicom: seen(dicom, rung, after=1, negotiated=ROLES)}
    assert verdict(list(wrong.values())).verdict is Verdict.CARE_PATH_BROKEN


@pytest.mark.parametrize("rung", UNSAID)
def test_what_says_nothing_of_what_a_peer_can_do(rung: Rung) -> None:
    dicom = next(e.question for e in EXPECTED if e.role is Role.QUERY)
    judged = verdict(list({**GOOD, dicom: seen(dicom, rung, after=1)}.values()))
    assert judged.verdict is Verdict.INCONCLUSIVE


def test_a_transient_rejection_outside_is_exposure_only_where_nothing_may_be_reached() -> None:
    busy = {e.question: answer(e, Rung.BUSY) for e in EXPECTED}
    assert verdict(list(busy.values())).verdict is Verdict.EXPOSED
    left = expectations(pacs(), [INTERNET, CLINIC], {104: UNREACHED | {Rung.REJECTED}}).expectations
    assert judge("pacs-north", left, busy.values(), ALIVE).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("role", [Role.STORE, Role.RETRIEVE])
def test_a_context_that_is_not_accepted_breaks_that_role_only(role: Role) -> None:
    dicom = next(e.question for e in EXPECTED if e.role is Role.QUERY)
    wrong = {**GOOD, dicom: seen(dicom, Rung.QUERY_ANSWERED, after=1, negotiated=ROLES - {role})}
    judged = verdict(list(wrong.values()))
    assert judged.verdict is Verdict.CARE_PATH_BROKEN
    assert [f.expectation.role for f in judged.findings if f.outcome is Outcome.UNMET] == [role]


@pytest.mark.parametrize("dead", ["internet", "clinic"])
def test_a_dead_canary_makes_silence_unknown(dead: str) -> None:
    canaries = [canary("internet"), canary("clinic"), canary(dead, alive=False)]
    assert verdict(list(GOOD.values()), canaries).verdict is Verdict.INCONCLUSIVE


def test_a_vantage_without_a_report_is_dead() -> None:
    assert verdict(list(GOOD.values()), [canary("clinic")]).verdict is Verdict.INCONCLUSIVE


def test_old_evidence_is_none() -> None:
    assert verdict(list(GOOD.values()), asked_after=NOON).verdict is Verdict.PROTECTED
    old = [answer(e, after=0.0) for e in EXPECTED]
    assert verdict(old, asked_after=NOON).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("side", list(Purpose))
def test_one_side_alone_is_no_protection(side: Purpose) -> None:
    one_side = [e for e in EXPECTED if e.purpose is side]
    assert judge("pacs-north", one_side, GOOD.values(), ALIVE).verdict is Verdict.INCONCLUSIVE


def test_nothing_expected_is_not_a_pass() -> None:
    assert judge("pacs-north", [], [], []).verdict is Verdict.INCONCLUSIVE


def test_filtered_is_credited_to_the_guard_only_if_it_got_through_before() -> None:
    outside = [e.question for e in EXPECTED if e.purpose is Purpose.OUTSIDE_CLOSED]
    judged = verdict(list(GOOD.values()), reached_before={outside[0]})
    assert [f.attributed for f in judged.findings if f.expectation.question in outside] == [True, False]


# -- unreachable --------------------------------------------------------------------------------------

OUTSIDE = [e for e in EXPECTED if e.purpose is Purpose.OUTSIDE_CLOSED]
FORBIDDEN = [Icmp(version=4, type=3, code=code) for code in (9, 10, 13)] + [Icmp(version=6, type=1, code=1)]
GONE = [Icmp(version=4, type=3, code=code) for code in (0, 1)] + [Icmp(version=6, type=1, code=3)]


def unreachable(*expectations: Expectation, icmp: Icmp | None = None) -> list[Observation]:
    """The round in which these, or all from outside, are answered so, as OpenSSH says it or with the code."""
    asked = expectations or OUTSIDE
    said = {
        e.question: seen(e.question, Rung.UNREACHABLE, after=1, icmp=icmp, detail="no route to host") for e in asked
    }
    return list({**GOOD, **said}.values())


def outside(judgement: Judgement) -> list[tuple[Outcome, bool | None]]:
    of_it = [f for f in judgement.findings if f.expectation.purpose is Purpose.OUTSIDE_CLOSED]
    return [(f.outcome, f.attributed) for f in of_it]


@pytest.mark.parametrize("icmp", [None, *GONE])
def test_unreachable_is_closed_only_where_the_vantage_reached_the_archive_before(icmp: Icmp | None) -> None:
    judged = verdict(unreachable(icmp=icmp))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert {f.outcome for f in judged.findings if f.expectation in OUTSIDE} == {Outcome.UNKNOWN}
    assert all("internet never reached the archive" in f.why for f in judged.findings if f.expectation in OUTSIDE)
    before = {e.question for e in OUTSIDE}
    assert verdict(unreachable(icmp=icmp), reached_before=before).verdict is Verdict.PROTECTED
    assert outside(verdict(unreachable(icmp=icmp), reached_before=before)) == [(Outcome.MET, True)] * 2
    elsewhere = {q.model_copy(update={"vantage": "other"}) for q in before}
    assert verdict(unreachable(icmp=icmp), reached_before=elsewhere).verdict is Verdict.INCONCLUSIVE
    another = {q.model_copy(update={"pacs": "pacs-south"}) for q in before}
    assert verdict(unreachable(icmp=icmp), reached_before=another).verdict is Verdict.INCONCLUSIVE


def test_one_port_of_the_archive_that_was_reached_shows_the_way_to_all() -> None:
    """A router that answers with ICMP for the one that is closed already."""
    first, _ = OUTSIDE
    assert verdict(unreachable(), reached_before={first.question}).verdict is Verdict.PROTECTED
    now_open = [seen(first.question, Rung.ECHO, after=1) if o.question == first.question else o for o in unreachable()]
    judged = verdict(now_open)
    assert judged.verdict is Verdict.EXPOSED
    assert outside(judged) == [(Outcome.UNMET, None), (Outcome.MET, True)]


def test_some_probes_meet_the_icmp_message_and_others_silence() -> None:
    """A router that sends one in 500 ms."""
    first, second = OUTSIDE
    assert verdict(unreachable(second), reached_before={e.question for e in OUTSIDE}).verdict is Verdict.PROTECTED
    assert verdict(unreachable(second), reached_before={first.question}).verdict is Verdict.PROTECTED
    judged = verdict(unreachable(second))
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert outside(judged) == [(Outcome.MET, False), (Outcome.UNKNOWN, False)]


def test_a_canary_behind_the_same_device_on_that_port_shows_it_too() -> None:
    behind = [Canary(address=ip_address("203.0.113.30"), port=port, behind="fw-north") for port in (11112, 8042)]
    near = Canary(address=ip_address("203.0.113.1"), port=443)
    for canaries, is_protected in ((behind, True), (behind[:1], False), ([near], False)):
        looks = INTERNET.model_copy(update={"canaries": (near, *canaries)})
        expected = expectations(pacs(), [looks, CLINIC]).expectations
        judged = judge("pacs-north", expected, unreachable(), ALIVE)
        assert judged.verdict is (Verdict.PROTECTED if is_protected else Verdict.INCONCLUSIVE)
        whys = [f.why for f in judged.findings if f.outcome is Outcome.UNKNOWN]
        assert all("a canary `behind` the archive's device on port" in why for why in whys)
        blind = judge("pacs-north", expected, unreachable(), [canary("internet", alive=False), canary("clinic")])
        assert blind.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("rung", [Rung.CLOSED, Rung.FILTERED, Rung.UNREACHABLE, Rung.INCONCLUSIVE])
def test_unreachable_says_nothing_while_a_peer_is_not_served(rung: Rung) -> None:
    """The archive itself may be gone."""
    care = next(e.question for e in EXPECTED if e.role is Role.QUERY)
    gone = [seen(care, rung, after=1) if o.question == care else o for o in unreachable()]
    judged = verdict(gone, reached_before={e.question for e in OUTSIDE})
    assert judged.verdict is (Verdict.INCONCLUSIVE if rung is Rung.INCONCLUSIVE else Verdict.CARE_PATH_BROKEN)
    whys = {f.why for f in judged.findings if f.expectation in OUTSIDE}
    assert whys == {"unreachable (no route to host): not every care path is served, so the archive itself may be gone"}


def test_unreachable_says_nothing_where_nobody_inside_looks_unless_that_is_accepted() -> None:
    alone = [e for e in EXPECTED if e.purpose is not Purpose.CARE_PATH]
    before = {e.question for e in OUTSIDE}
    judged = judge("pacs-north", alone, unreachable(), ALIVE, reached_before=before)
    assert {f.outcome for f in judged.findings if f.expectation in OUTSIDE} == {Outcome.UNKNOWN}
    accepted = (Unasked(purpose=Purpose.CARE_PATH, why="accepted by name"),)
    judged = judge("pacs-north", alone, unreachable(), ALIVE, reached_before=before, unasked=accepted)
    assert outside(judged) == [(Outcome.MET, True)] * 2


@pytest.mark.parametrize("icmp", FORBIDDEN)
def test_who_says_that_a_rule_forbids_it_is_believed_like_silence(icmp: Icmp) -> None:
    judged = verdict(unreachable(icmp=icmp))
    assert judged.verdict is Verdict.PROTECTED
    assert outside(judged) == [(Outcome.MET, False)] * 2
    before = {e.question for e in OUTSIDE}
    assert outside(verdict(unreachable(icmp=icmp), reached_before=before)) == [(Outcome.MET, True)] * 2
    assert verdict(unreachable(icmp=icmp), [canary("internet", alive=False), canary("clinic")]).verdict is (
        Verdict.INCONCLUSIVE
    )


def test_the_rung_is_read_from_records_of_before_under_its_old_name() -> None:
    assert Rung("administratively unreachable") is Rung.UNREACHABLE
    old = unreachable()[0].model_dump(mode="json") | {"rung": "administratively unreachable"}
    del old["icmp"]
    assert Observation.model_validate(old).rung is Rung.UNREACHABLE
    with pytest.raises(ValueError, match="no such rung"):
        Rung("no such rung")


@given(st.sets(st.sampled_from(sorted({e.question.endpoint + e.question.vantage for e in EXPECTED})), min_size=1))
def test_a_missing_or_inconclusive_answer_is_never_a_pass(lost: set[str]) -> None:
    kept = [o for q, o in GOOD.items() if q.endpoint + q.vantage not in lost]
    assert verdict(kept).verdict is Verdict.INCONCLUSIVE
    unknown = [seen(q, Rung.INCONCLUSIVE, after=1) for q in GOOD if q.endpoint + q.vantage in lost]
    assert verdict(kept + unknown).verdict is Verdict.INCONCLUSIVE


def test_every_rung_is_reached_or_not_or_unknown() -> None:
    assert {r for r in Rung if not r.reachable} == UNREACHED | {Rung.INCONCLUSIVE}
