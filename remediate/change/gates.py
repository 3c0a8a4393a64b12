"""What a round of looking must show before a change goes on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from remediate.change.looking import Look, judged
from remediate.errors import CarePathBroken, Inconclusive, NotKnown, PeersNotSeen, VerificationFailed
from remediate.model.change import Wave
from remediate.model.observation import CanaryReport, Observation, Question
from remediate.model.verdict import Judgement, Outcome, Purpose, Verdict


def baseline_of(wave: Wave, data: dict[str, Any]) -> Look:
    """The baseline, from its journal entry."""
    return judged(
        wave.expectations,
        wave.not_asked,
        TypeAdapter(tuple[Observation, ...]).validate_python(data["observations"]),
        TypeAdapter(tuple[CanaryReport, ...]).validate_python(data["canaries"]),
        unasked=wave.unasked,
        reached_earlier=TypeAdapter(tuple[Question, ...]).validate_python(data.get("reached_earlier", ())),
    )


def credited(wave: Wave, baseline: Look, earlier: Collection[Question]) -> Look:
    """The same baseline, judged by what got through before an earlier change."""
    seen = baseline.observations, baseline.canaries
    return judged(wave.expectations, wave.not_asked, *seen, unasked=wave.unasked, reached_earlier=earlier)


def check_simulated(wave: Wave) -> None:
    """Raises PeersNotSeen for a peer of which nobody will see whether it is still served, unless that is accepted."""
    if wave.reopens or wave.observes:
        return
    unseen = {
        pacs: [name for name in names if name not in wave.accept_simulated]
        for pacs, names in wave.simulated.items()
        if pacs not in wave.accept_unseen
    }
    if not any(unseen.values()):
        return
    names = "; ".join(f"{', '.join(found)} of {pacs}" for pacs, found in unseen.items() if found)
    accept = " ".join(f"--accept {name}" for name in dict.fromkeys(n for found in unseen.values() for n in found))
    raise PeersNotSeen(
        f"that these peers stay served would be simulated only, since no vantage stands in their place: {names}",
        next="nothing was changed; add vantages with `peer:`, or let the simulation be proof enough for them, by name: "
        + accept,
    )


def check_baseline(
    look: Look, bystanders: Collection[str] = (), shut_out: Mapping[str, Collection[str]] = MappingProxyType({})
) -> list[tuple[str, str]]:
    """Unknown stops; so does a care path that is broken already. An exposure is what we came for.

    ``bystanders``: archives for which nothing is configured; whatever is wrong with them was so before.
    ``shut_out``: PACS → peers that the guard itself denies and this change lets pass again. Those of them whose care
    path is broken are returned, each as PACS and peer: to mend that is what we came for too.
    """
    findings = [(j.pacs, f) for j in look.judgements if j.pacs not in bystanders for f in j.findings]
    unknown = [
        f"{pacs} from {f.expectation.question.vantage}: {f.why}" for pacs, f in findings if f.outcome is Outcome.UNKNOWN
    ]
    if unknown:
        raise Inconclusive(
            "the baseline is not known: " + "; ".join(dict.fromkeys(unknown)),
            next="nothing was changed; mend the vantage or the archive, and run again",
        )
    unmet = [
        (pacs, f) for pacs, f in findings if f.outcome is Outcome.UNMET and f.expectation.purpose is Purpose.CARE_PATH
    ]
    broken = [
        f"{pacs}, peer {f.expectation.peer or '-'}: {f.why}"
        for pacs, f in unmet
        if f.expectation.peer not in shut_out.get(pacs, ())
    ]
    if broken:
        raise CarePathBroken(
            "a care path is broken before anything was changed: " + "; ".join(dict.fromkeys(broken)),
            next="nothing was changed; see that the archive serves its peers, or correct `access`, and run again",
        )
    return list(dict.fromkeys((pacs, f.expectation.peer) for pacs, f in unmet if f.expectation.peer))


def check_after(
    look: Look, *, observes: bool = False, bystanders: Collection[str] = (), before: Look | None = None
) -> None:
    """Raises NotKnown where nothing is known to be wrong, otherwise VerificationFailed.

    ``observes``: the outside may be open as before; its peers are served, and nothing is unknown.
    ``bystanders``: archives for which nothing is configured: of these counts only what was as it must be ``before``.
    """
    if bystanders:
        look = _without_what_was_so(look, bystanders, before)
    if observes:
        _check_observed(look)
        return
    silent = [f"vantage {c.vantage}: {c.detail}" for c in look.canaries if not c.alive]
    if wrong := [*reasons(look.judgements), *silent]:
        known = any(f.outcome is Outcome.UNMET for j in look.judgements for f in j.findings)
        raise (VerificationFailed if known else NotKnown)(
            "; ".join(dict.fromkeys(wrong)), next="the change was taken back; mend the cause, then plan again"
        )


def reasons(judgements: Iterable[Judgement]) -> list[str]:
    """Why each archive that is not protected is not called so; none is without one."""
    lines: list[str] = []
    for judgement in judgements:
        if judgement.verdict is Verdict.PROTECTED:
            continue
        said = f"{judgement.pacs}: {judgement.verdict}"
        findings = [f for f in judgement.findings if f.outcome is not Outcome.MET]
        lines += [
            f"{said} ({f.expectation.purpose} from {f.expectation.question.vantage}, "
            f"{f.expectation.question.endpoint}: {f.why})"
            for f in findings
        ] or [f"{said} ({_why_unsaid(judgement)})"]
    return list(dict.fromkeys(lines))


def _why_unsaid(judgement: Judgement) -> str:
    """Of a verdict that no finding tells: which side nobody was asked about."""
    asked = {f.expectation.purpose for f in judgement.findings}
    without = {side.purpose for side in judgement.unasked}
    sides = [side for side in (Purpose.OUTSIDE_CLOSED, Purpose.CARE_PATH) if side not in asked | without]
    said = {Purpose.OUTSIDE_CLOSED: "no vantage outside looked at it", Purpose.CARE_PATH: "no vantage inside did"}
    return " and ".join(said[side] for side in sides) or "nothing was asked of it"


def _without_what_was_so(look: Look, bystanders: Collection[str], before: Look | None) -> Look:
    """The round without those archives, but for what a push may have broken of them: that stands as it was judged."""
    met = {
        (j.pacs, f.expectation)
        for j in (before.judgements if before else ())
        for f in j.findings
        if f.outcome is Outcome.MET
    }
    judgements = [
        judgement
        for judgement in look.judgements
        if judgement.pacs not in bystanders
        or any(f.outcome is not Outcome.MET and (judgement.pacs, f.expectation) in met for f in judgement.findings)
    ]
    return look.model_copy(update={"judgements": tuple(judgements)})


def _check_observed(look: Look) -> None:
    findings = [(j.pacs, f) for j in look.judgements for f in j.findings if f.outcome is not Outcome.MET]
    wrong = [
        f"{pacs} from {f.expectation.question.vantage}, {f.expectation.question.endpoint}: {f.why}"
        for pacs, f in findings
        if f.outcome is Outcome.UNKNOWN or f.expectation.purpose is Purpose.CARE_PATH
    ]
    wrong += [f"vantage {c.vantage}: {c.detail}" for c in look.canaries if not c.alive]
    seen = [j for j in look.judgements if all(side.purpose is not Purpose.CARE_PATH for side in j.unasked)]
    if not wrong and not served(look) and (seen or not look.judgements):
        wrong = ["no peer is known to be served"]
    if wrong:
        known = any(f.outcome is Outcome.UNMET and f.expectation.purpose is Purpose.CARE_PATH for _, f in findings)
        raise (VerificationFailed if known else NotKnown)(
            "; ".join(dict.fromkeys(wrong)), next="the change was taken back; mend the cause, then plan again"
        )


def served(look: Look | None) -> bool:
    return look is not None and any(
        f.outcome is Outcome.MET and f.expectation.purpose is Purpose.CARE_PATH
        for j in look.judgements
        for f in j.findings
    )
