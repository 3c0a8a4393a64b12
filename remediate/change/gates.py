"""What a round of looking must show before a change goes on. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from remediate.change.looking import Look, judged
from remediate.errors import CarePathBroken, Inconclusive, NotKnown, PeersNotSeen, VerificationFailed
from remediate.model.change import Wave
from remediate.model.observation import CanaryReport, Observation
from remediate.model.verdict import Outcome, Purpose, Verdict


def baseline_of(wave: Wave, data: dict[str, Any]) -> Look:
    """The baseline, from its journal entry."""
    return judged(
        wave.expectations,
        wave.not_asked,
        TypeAdapter(tuple[Observation, ...]).validate_python(data["observations"]),
        TypeAdapter(tuple[CanaryReport, ...]).validate_python(data["canaries"]),
    )


def check_simulated(wave: Wave) -> None:
    """Raises PeersNotSeen for a peer of which nobody will see whether it is still served, unless that is accepted."""
    if wave.reopens or wave.observes:
        return
    unseen = {
        pacs: [name for name in names if name not in wave.accept_simulated] for pacs, names in wave.simulated.items()
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


def check_baseline(look: Look, shut_out: Mapping[str, Collection[str]] = MappingProxyType({})) -> list[tuple[str, str]]:
    """Unknown stops; so does a care path that is broken already. An exposure is what we came for.

    ``shut_out``: PACS → peers that the guard itself denies and this change lets pass again. Those of them whose care
    path is broken are returned, each as PACS and peer: to mend that is what we came for too.
    """
    findings = [(j.pacs, f) for j in look.judgements for f in j.findings]
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


def check_after(look: Look, *, observes: bool = False) -> None:
    """Raises NotKnown where nothing is known to be wrong, otherwise VerificationFailed.

    ``observes``: the outside may be open as before; its peers are served, and nothing is unknown.
    """
    if observes:
        _check_observed(look)
        return
    wrong = [
        f"{j.pacs}: {j.verdict} ({f.expectation.purpose} from {f.expectation.question.vantage}, "
        f"{f.expectation.question.endpoint}: {f.why})"
        for j in look.judgements
        if j.verdict is not Verdict.PROTECTED
        for f in j.findings
        if f.outcome is not Outcome.MET
    ]
    silent = [f"vantage {c.vantage}: {c.detail}" for c in look.canaries if not c.alive]
    unsaid = [f"{j.pacs}: {j.verdict}" for j in look.judgements if j.verdict is not Verdict.PROTECTED]
    if wrong or silent or unsaid:
        known = any(f.outcome is Outcome.UNMET for j in look.judgements for f in j.findings)
        raise (VerificationFailed if known else NotKnown)(
            "; ".join(dict.fromkeys(wrong + silent)) or "; ".join(unsaid),
            next="the change was taken back; mend the cause, then plan again",
        )


def _check_observed(look: Look) -> None:
    findings = [(j.pacs, f) for j in look.judgements for f in j.findings if f.outcome is not Outcome.MET]
    wrong = [
        f"{pacs} from {f.expectation.question.vantage}, {f.expectation.question.endpoint}: {f.why}"
        for pacs, f in findings
        if f.outcome is Outcome.UNKNOWN or f.expectation.purpose is Purpose.CARE_PATH
    ]
    wrong += [f"vantage {c.vantage}: {c.detail}" for c in look.canaries if not c.alive]
    if not wrong and not served(look):
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
