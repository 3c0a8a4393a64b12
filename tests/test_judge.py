"""Expectations and observations → verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.judge import judge
from remediate.model.observation import UNREACHED, Observation, Rung
from remediate.model.site import Role
from remediate.model.verdict import Expectation, Judgement, Outcome, Purpose, Verdict
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


@given(st.sets(st.sampled_from(sorted({e.question.endpoint + e.question.vantage for e in EXPECTED})), min_size=1))
def test_a_missing_or_inconclusive_answer_is_never_a_pass(lost: set[str]) -> None:
    kept = [o for q, o in GOOD.items() if q.endpoint + q.vantage not in lost]
    assert verdict(kept).verdict is Verdict.INCONCLUSIVE
    unknown = [seen(q, Rung.INCONCLUSIVE, after=1) for q in GOOD if q.endpoint + q.vantage in lost]
    assert verdict(kept + unknown).verdict is Verdict.INCONCLUSIVE


def test_every_rung_is_reached_or_not_or_unknown() -> None:
    assert {r for r in Rung if not r.reachable} == UNREACHED | {Rung.INCONCLUSIVE}
