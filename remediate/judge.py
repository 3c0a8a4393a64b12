"""Expectations and observations → verdicts. Pure; unknown is never a pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from remediate.model.observation import UNREACHED, CanaryReport, Observation, Question, Rung
from remediate.model.site import IPAddress, Role
from remediate.model.verdict import Expectation, Finding, Judgement, Outcome, Purpose, Unasked, Verdict

#: From which vantage to which address.
Way = tuple[str, IPAddress]
NOT_ATTRIBUTED = "not attributed"


def judge(
    pacs: str,
    expectations: Iterable[Expectation],
    observations: Iterable[Observation],
    canaries: Iterable[CanaryReport],
    *,
    not_asked: tuple[str, ...] = (),
    asked_after: datetime | None = None,
    reached_before: Collection[Question] = (),
    unasked: tuple[Unasked, ...] = (),
) -> Judgement:
    """The verdict on one PACS.

    ``canaries``: every report of the round; a vantage counts only if it has some and all are alive.
    ``asked_after``: evidence from before that moment is none.
    ``reached_before``: questions that got through at the baseline; *filtered* now is then credited to the guard, and
    *unreachable* counts as closed, see ``finding``.
    ``unasked``: the sides that its verdict may do without. Where something is asked of such a side, the answer counts.
    """
    expected = tuple(e for e in expectations if e.question.pacs == pacs)
    answers = {o.question: o for o in observations if o.question.pacs == pacs}
    alive = seeing(canaries)
    got_through = (*reached_before, *(o.question for o in answers.values() if o.rung.reachable))
    ways = {way(question) for question in got_through if question.pacs == pacs}
    care = [
        finding(e, answers.get(e.question), alive, asked_after).outcome is Outcome.MET
        for e in expected
        if e.purpose is Purpose.CARE_PATH
    ]
    # Where nobody inside looks, that is known of nobody, unless somebody has accepted just that.
    care_is_served = all(care) and (bool(care) or any(side.purpose is Purpose.CARE_PATH for side in unasked))
    findings = tuple(
        finding(
            e, answers.get(e.question), alive, asked_after, reached_before, ways=ways, care_is_served=care_is_served
        )
        for e in expected
    )
    return Judgement(
        pacs=pacs,
        verdict=_verdict(findings, unasked),
        findings=findings,
        vantages=tuple(dict.fromkeys(f.expectation.question.vantage for f in findings)),
        not_asked=not_asked,
        unasked=unasked,
    )


def seeing(canaries: Iterable[CanaryReport]) -> dict[str, bool]:
    """Which vantages are known to see anything: those of which every report says so."""
    alive: dict[str, bool] = {}
    for report in canaries:
        alive[report.vantage] = alive.get(report.vantage, True) and report.alive
    return alive


def way(question: Question) -> Way:
    return question.vantage, question.address


def finding(
    expectation: Expectation,
    observation: Observation | None,
    alive: Mapping[str, bool],
    asked_after: datetime | None = None,
    reached_before: Collection[Question] = (),
    *,
    ways: Collection[Way] = (),
    care_is_served: bool = False,
) -> Finding:
    """One expectation against its observation, None where there is none. ``alive``: see ``seeing``.

    ``ways``: on which something got through, at the baseline or in this round. ``care_is_served``: no care path of the
    archive is unmet or unknown. Both decide over *unreachable*: it may be the vantage's own want of a route, or the
    archive may be gone, so it is closed only where neither can be. An ICMP message that says that a rule forbids it is
    closed without: nobody says that of a host that is gone.
    """

    def found(outcome: Outcome, why: str = "", attributed: bool | None = None) -> Finding:
        return Finding(
            expectation=expectation, outcome=outcome, observation=observation, attributed=attributed, why=why
        )

    vantage = expectation.question.vantage
    if observation is None:
        return found(Outcome.UNKNOWN, "no answer was brought back")
    if asked_after is not None and observation.asked_at <= asked_after:
        return found(Outcome.UNKNOWN, "the evidence is older than the change")
    purpose, rung = expectation.purpose, observation.rung
    outcome, why = weigh(
        observation, purpose, expectation.rungs, expectation.negotiated, alive=alive.get(vantage, False)
    )
    if outcome is Outcome.MET and purpose is Purpose.OUTSIDE_CLOSED and rung is Rung.FILTERED:
        attributed = expectation.attributable or expectation.question in reached_before
        return found(outcome, "" if attributed else NOT_ATTRIBUTED, attributed)
    if outcome is Outcome.MET and purpose.forbids and rung is Rung.UNREACHABLE:
        attributed = expectation.attributable or way(expectation.question) in ways
        if observation.icmp is not None and observation.icmp.forbids:
            return found(outcome, "" if attributed else NOT_ATTRIBUTED, attributed)
        said = f"{rung} ({observation.detail})" if observation.detail else f"{rung}"
        if not attributed:
            return found(Outcome.UNKNOWN, f"{said}: {_uncredited(expectation)}", attributed)
        if not care_is_served:
            return found(Outcome.UNKNOWN, f"{said}: not every care path is served, so the archive itself may be gone")
        return found(outcome, attributed=attributed)
    return found(outcome, why)


def _uncredited(expectation: Expectation) -> str:
    """Why *unreachable* says nothing, and what would make it say something."""
    text = f"vantage {expectation.question.vantage} never reached the archive, and may have no way there"
    if expectation.purpose is not Purpose.OUTSIDE_CLOSED:
        return text
    return f"{text}; a canary `behind` the archive's device on port {expectation.question.port} would tell"


def weigh(
    observation: Observation,
    purpose: Purpose,
    rungs: frozenset[Rung],
    negotiated: frozenset[Role] = frozenset(),
    *,
    alive: bool,
) -> tuple[Outcome, str]:
    """What one answer is worth, and why. ``alive``: whether its vantage is known to see anything."""
    rung, forbidden = observation.rung, purpose.forbids
    if rung is Rung.INCONCLUSIVE:
        return Outcome.UNKNOWN, observation.detail or "could not be asked"
    if rung is Rung.BUSY and not (forbidden and rungs <= UNREACHED):
        # Where nothing at all may be reached, it is enough that something was.
        return Outcome.UNKNOWN, "rejected for the moment (2/3/x): what can be done there is unknown"
    if forbidden and rung.reachable and rung not in rungs:
        return Outcome.UNMET, f"reachable: {rung}"  # getting through is evidence, whatever a canary says
    if not alive:
        vantage = observation.question.vantage
        return Outcome.UNKNOWN, f"vantage {vantage} is not known to see anything: a canary is silent"
    if rung is Rung.TLS_CERTIFICATE_WANTED and rung not in rungs:
        return Outcome.UNKNOWN, f"{observation.detail or rung}: what the peer can do with its own was not asked"
    if rung not in rungs:
        return Outcome.UNMET, f"{rung}{f' ({observation.detail})' if observation.detail else ''}"
    if missing := negotiated - observation.negotiated:
        return Outcome.UNMET, f"presentation context not accepted for {', '.join(sorted(missing))}"
    return Outcome.MET, ""


def _verdict(findings: tuple[Finding, ...], unasked: tuple[Unasked, ...]) -> Verdict:
    def some(outcome: Outcome, purpose: Purpose) -> bool:
        return any(f.outcome is outcome and f.expectation.purpose is purpose for f in findings)

    if any(some(Outcome.UNMET, purpose) for purpose in Purpose if purpose.forbids):
        return Verdict.EXPOSED
    if some(Outcome.UNMET, Purpose.CARE_PATH):
        return Verdict.CARE_PATH_BROKEN
    # Both sides must have been asked: a closed port beside a dead archive is no protection.
    sides = {Purpose.OUTSIDE_CLOSED, Purpose.CARE_PATH}
    without = {side.purpose for side in unasked} - {f.expectation.purpose for f in findings}
    met = any(some(Outcome.MET, side) for side in sides) and all(some(Outcome.MET, side) for side in sides - without)
    if met and not any(some(Outcome.UNKNOWN, purpose) for purpose in Purpose):
        return Verdict.PROTECTED
    return Verdict.INCONCLUSIVE
