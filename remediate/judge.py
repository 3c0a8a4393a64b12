"""Expectations and observations → verdicts. Pure; unknown is never a pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from remediate.model.observation import UNREACHED, CanaryReport, Observation, Question, Rung
from remediate.model.verdict import Expectation, Finding, Judgement, Outcome, Purpose, Verdict


def judge(
    pacs: str,
    expectations: Iterable[Expectation],
    observations: Iterable[Observation],
    canaries: Iterable[CanaryReport],
    *,
    not_asked: tuple[str, ...] = (),
    asked_after: datetime | None = None,
    reached_before: Collection[Question] = (),
) -> Judgement:
    """The verdict on one PACS.

    ``canaries``: every report of the round; a vantage counts only if it has some and all are alive.
    ``asked_after``: evidence from before that moment is none.
    ``reached_before``: questions that got through at the baseline; *filtered* now is then credited to the guard.
    """
    answers = {o.question: o for o in observations if o.question.pacs == pacs}
    alive = seeing(canaries)
    findings = tuple(
        finding(e, answers.get(e.question), alive, asked_after, reached_before)
        for e in expectations
        if e.question.pacs == pacs
    )
    return Judgement(
        pacs=pacs,
        verdict=_verdict(findings),
        findings=findings,
        vantages=tuple(dict.fromkeys(f.expectation.question.vantage for f in findings)),
        not_asked=not_asked,
    )


def seeing(canaries: Iterable[CanaryReport]) -> dict[str, bool]:
    """Which vantages are known to see anything: those of which every report says so."""
    alive: dict[str, bool] = {}
    for report in canaries:
        alive[report.vantage] = alive.get(report.vantage, True) and report.alive
    return alive


def finding(
    expectation: Expectation,
    observation: Observation | None,
    alive: Mapping[str, bool],
    asked_after: datetime | None = None,
    reached_before: Collection[Question] = (),
) -> Finding:
    """One expectation against its observation, None where there is none. ``alive``: see ``seeing``."""

    def found(outcome: Outcome, why: str = "", attributed: bool | None = None) -> Finding:
        return Finding(
            expectation=expectation, outcome=outcome, observation=observation, attributed=attributed, why=why
        )

    vantage = expectation.question.vantage
    if observation is None:
        return found(Outcome.UNKNOWN, "no answer was brought back")
    if asked_after is not None and observation.asked_at <= asked_after:
        return found(Outcome.UNKNOWN, "the evidence is older than the change")
    rung = observation.rung
    if rung is Rung.INCONCLUSIVE:
        return found(Outcome.UNKNOWN, observation.detail or "could not be asked")
    outside = expectation.purpose is Purpose.OUTSIDE_CLOSED
    if rung is Rung.BUSY and not (outside and expectation.rungs <= UNREACHED):
        # Where nothing at all may be reached, it is enough that something was.
        return found(Outcome.UNKNOWN, "rejected for the moment (2/3/x): what can be done there is unknown")
    if outside and rung.reachable and rung not in expectation.rungs:
        return found(Outcome.UNMET, f"reachable: {rung}")  # getting through is evidence, whatever a canary says
    if not alive.get(vantage, False):
        return found(Outcome.UNKNOWN, f"vantage {vantage} is not known to see anything: a canary is silent")
    if rung is Rung.TLS_CERTIFICATE_WANTED and rung not in expectation.rungs:
        return found(Outcome.UNKNOWN, f"{observation.detail or rung}: what the peer can do with its own was not asked")
    if rung not in expectation.rungs:
        return found(Outcome.UNMET, f"{rung}{f' ({observation.detail})' if observation.detail else ''}")
    missing = expectation.negotiated - observation.negotiated
    if missing:
        return found(Outcome.UNMET, f"presentation context not accepted for {', '.join(sorted(missing))}")
    if outside and rung is Rung.FILTERED:
        attributed = expectation.attributable or expectation.question in reached_before
        return found(Outcome.MET, "" if attributed else "not attributed", attributed)
    return found(Outcome.MET)


def _verdict(findings: tuple[Finding, ...]) -> Verdict:
    def some(outcome: Outcome, purpose: Purpose) -> bool:
        return any(f.outcome is outcome and f.expectation.purpose is purpose for f in findings)

    if some(Outcome.UNMET, Purpose.OUTSIDE_CLOSED):
        return Verdict.EXPOSED
    if some(Outcome.UNMET, Purpose.CARE_PATH):
        return Verdict.CARE_PATH_BROKEN
    # Both sides must have been asked: a closed port beside a dead archive is no protection.
    if all(some(Outcome.MET, purpose) and not some(Outcome.UNKNOWN, purpose) for purpose in Purpose):
        return Verdict.PROTECTED
    return Verdict.INCONCLUSIVE
