"""Rounds of looking: canaries, questions, canaries again, judged."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any

from nornir.core import Nornir
from pydantic import ConfigDict

from remediate import controls, runner, tasks
from remediate.change.patience import CARE_PATH, LOOK_DEADLINE
from remediate.change.watch import Stopwatch
from remediate.errors import Inconclusive, RemediateError, UsageError
from remediate.inventory import Loaded
from remediate.judge import judge
from remediate.model.base import Value
from remediate.model.observation import UNREACHED, CanaryReport, Observation, Question, Rung
from remediate.model.site import Site, Zone
from remediate.model.verdict import Expectation, Finding, Judgement, Outcome, Purpose, Unasked
from remediate.playbook import Playbook
from remediate.policy import Expected, counting
from remediate.runner import Cancellation, LoopRunner
from remediate.vantages import Lookout

#: See ``change.patience``.
DEADLINE = LOOK_DEADLINE
PATIENCE = CARE_PATH
_PAUSE = 1.0
#: Its end is that of the dial's own deadlines: how long a round takes depends on how many questions wait for a gate.
_ask = runner.deadline(None)(tasks.ask)
#: Answers that mean "not yet" on the care path, not "no". Refused or unreachable, too: nobody listens while an archive
#: starts, and a host that restarts is in nobody's neighbour table.
_NOT_YET = UNREACHED | {Rung.BUSY, Rung.NOT_DICOM, Rung.NOT_HTTP, Rung.ABORTED, Rung.INCONCLUSIVE}


class Look(Value):
    """One round: what was seen, the vantages that could see, and what that means.

    ``reached_earlier``: what got through before an earlier change of the record closed it, where that had to be asked.
    """

    observations: tuple[Observation, ...]
    canaries: tuple[CanaryReport, ...]
    judgements: tuple[Judgement, ...]
    reached_earlier: frozenset[Question] = frozenset()

    @property
    def reached(self) -> frozenset[Question]:
        return self.reached_earlier | {o.question for o in self.observations if o.rung.reachable}

    @property
    def not_credited(self) -> frozenset[str]:
        """The archives that are unreachable from a vantage of which nobody knows that it ever reached them."""
        return frozenset(
            j.pacs
            for j in self.judgements
            for f in j.findings
            if f.outcome is Outcome.UNKNOWN and f.observation is not None and f.observation.rung is Rung.UNREACHABLE
        )

    def record(self) -> dict[str, Any]:
        """For the journal: verdicts and facts, not the expectations, which are in the plan."""
        earlier = sorted(question.model_dump_json() for question in self.reached_earlier)
        return {
            **({"reached_earlier": [json.loads(text) for text in earlier]} if earlier else {}),
            "verdicts": {j.pacs: j.verdict for j in self.judgements},
            "unasked": {j.pacs: {side.purpose: side.why for side in j.unasked} for j in self.judgements if j.unasked},
            "observations": [o.model_dump(mode="json") for o in self.observations],
            "canaries": [c.model_dump(mode="json") for c in self.canaries],
            "unmet": [
                f"{f.outcome}: {f.expectation.purpose} of {j.pacs} from {f.expectation.question.vantage}, "
                f"{f.expectation.question.endpoint}: {f.why}"
                for j in self.judgements
                for f in j.findings
                if f.outcome is not Outcome.MET
            ],
        }


class Eyes:
    """The open vantages of one run, and the rounds that are made with them."""

    def __init__(self, site: Site, vantages: Sequence[str], nornir: Nornir, loop: LoopRunner, clock: Stopwatch) -> None:
        self._site = site
        self._nornir = nornir
        self._loop = loop
        self._clock = clock
        self.vantages = tuple(vantages)
        self._lookout: Lookout | None = Lookout(site, vantages)
        #: Called on the loop after each question, with how many of how many are done; it must not wait.
        self.told: Callable[[int, int], object] = lambda _done, _questions: None

    def open(self, *, all_needed: bool = True) -> dict[str, RemediateError]:
        """The vantages that could not be opened; what they would have seen is unknown.

        Raises Inconclusive for them where all are needed.
        """
        assert self._lookout is not None
        failed: dict[str, RemediateError] = self._loop.submit(self._lookout.open()).result()
        if failed and all_needed:
            raise Inconclusive(
                "; ".join(f"vantage {name}: {error}" for name, error in failed.items()),
                next="nothing was changed; bring the vantage back, or leave it out of `verify: {from: …}`",
            )
        return failed

    def reopen(self) -> None:
        """Every vantage anew: one that was lost may be there again. What is missing stays unknown."""
        assert self._lookout is not None
        self._loop.submit(self._lookout.aclose()).result()
        self.open(all_needed=False)

    def close(self) -> None:
        if self._lookout is not None:
            self._loop.submit(self._lookout.aclose()).result()
            self._lookout = None

    def canaries(self) -> tuple[CanaryReport, ...]:
        assert self._lookout is not None
        asked = [self._loop.submit(self._lookout.canaries(name)) for name in self.vantages]
        return tuple(report.result() for report in asked)

    def look(
        self,
        expectations: Sequence[Expectation],
        not_asked: Mapping[str, tuple[str, ...]],
        *,
        unasked: Mapping[str, tuple[Unasked, ...]] = MappingProxyType({}),
        asked_after: datetime | None = None,
        reached_before: Collection[Question] = (),
        patience: float = 0.0,
        until: float | None = None,
    ) -> Look:
        """Ask everything once, and a care path that does not answer yet again and again; of those that did not answer
        before either, where that is known, nothing more is awaited.

        ``patience``: seconds for which it is asked again; ``until``: ``time.monotonic()`` when the round must end.
        """
        began = time.monotonic()
        canaries = list(self.canaries())
        answers = {o.question: o for o in self.ask([e.question for e in expectations], until)}
        while True:
            look = judged(expectations, not_asked, answers.values(), canaries, asked_after, reached_before, unasked)
            again = [q for q in _not_yet(look.judgements) if not reached_before or q in reached_before]
            ends = began + patience if until is None else min(began + patience, until)
            if not again or time.monotonic() + _PAUSE >= ends:
                break
            with self._clock.waiting_for_pacs():
                time.sleep(_PAUSE)  # between two questions to an archive that is busy, not for something to happen
            answers |= {o.question: o for o in self.ask(again, until)}
        canaries += self.canaries()
        return judged(expectations, not_asked, answers.values(), canaries, asked_after, reached_before, unasked)

    def ask(self, questions: Iterable[Question], until: float | None = None) -> tuple[Observation, ...]:
        """Each once. ``until``: ``time.monotonic()``; what has no answer by then is left out."""
        assert self._lookout is not None
        by_pacs: dict[str, list[Question]] = {}
        # From inside first: an answer there takes a moment, a filtered port outside its whole deadline, and they wait
        # for one another at the gate.
        for question in sorted(dict.fromkeys(questions), key=self._outside):
            by_pacs.setdefault(question.pacs, []).append(question)
        if not by_pacs:
            return ()
        total, done = sum(map(len, by_pacs.values())), itertools.count(1)
        results = runner.run(
            self._nornir,
            _ask,
            hosts=tuple(by_pacs),
            questions=by_pacs,
            dial=self._lookout.round(),
            deadline=DEADLINE,
            until=until,
            told=lambda _: self.told(next(done), total),
        )
        seen: list[Observation] = []
        for result in results.values():
            if result.failed:
                raise_first(result.exception)
            seen += result.result
        self._clock.asked(seen)
        return tuple(seen)

    def _outside(self, question: Question) -> bool:
        return self._site.vantages[question.vantage].zone is Zone.OUTSIDE


def judged(
    expectations: Sequence[Expectation],
    not_asked: Mapping[str, tuple[str, ...]],
    observations: Iterable[Observation],
    canaries: Iterable[CanaryReport],
    asked_after: datetime | None = None,
    reached_before: Collection[Question] = (),
    unasked: Mapping[str, tuple[Unasked, ...]] = MappingProxyType({}),
    reached_earlier: Collection[Question] = (),
) -> Look:
    observations, canaries = tuple(observations), tuple(canaries)
    judgements = tuple(
        judge(
            pacs,
            expectations,
            observations,
            canaries,
            not_asked=not_asked.get(pacs, ()),
            asked_after=asked_after,
            reached_before=(*reached_before, *reached_earlier),
            unasked=unasked.get(pacs, ()),
        )
        for pacs in dict.fromkeys((*not_asked, *(e.question.pacs for e in expectations)))
    )
    return Look(
        observations=observations, canaries=canaries, judgements=judgements, reached_earlier=frozenset(reached_earlier)
    )


def _not_yet(judgements: Iterable[Judgement]) -> list[Question]:
    return [
        finding.expectation.question
        for judgement in judgements
        for finding in judgement.findings
        if finding.expectation.purpose is Purpose.CARE_PATH
        and finding.outcome is not Outcome.MET
        and finding.observation is not None
        and finding.observation.rung in _NOT_YET
    ]


def restored(before: Look, after: Look) -> list[str]:
    """What differs from the baseline, in words; [] proves that the baseline is back."""
    differences = []
    were = {(j.pacs, f.expectation): f for j in before.judgements for f in j.findings}
    for judgement in after.judgements:
        for finding in judgement.findings:
            was = were[judgement.pacs, finding.expectation]
            if not _alike(was, finding):
                asked = finding.expectation.question
                differences.append(
                    f"{judgement.pacs} {asked.endpoint} from {asked.vantage}: was {_seen(was)}, is {_seen(finding)}"
                )
    return differences


def _alike(was: Finding, now: Finding) -> bool:
    if was.observation is None or now.observation is None:
        return False
    if was.expectation.purpose is Purpose.CARE_PATH:
        return was.outcome is now.outcome
    return was.observation.rung == now.observation.rung or {was.observation.rung, now.observation.rung} <= UNREACHED


def _seen(finding: Finding) -> str:
    return finding.observation.rung.value if finding.observation else "not seen"


def raise_first(error: BaseException | None) -> None:
    """The exception of a failed task, as it was raised."""
    if error is not None:
        raise error


class Verified(Value):
    """``unopened``: the vantages that could not be used, and why."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    look: Look
    unopened: dict[str, RemediateError]


def verify(
    loaded: Loaded,
    playbook: Playbook | None,
    limit: str | None,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
    told: Callable[[int, int], object] | None = None,
    *,
    count: bool = False,
) -> Verified:
    """Look once, as a playbook's plays do, or from everywhere at everything. No device is logged in to.

    ``guarded``: what makes Ctrl-C safe around it. ``told``: see ``Eyes``. ``count``: see ``policy.counting``.
    """
    wanted, used = views(loaded, playbook, limit)
    with opened(loaded, used, guarded) as (eyes, unopened):
        eyes.told = told or eyes.told
        look = eyes.look(
            [counting(e, loaded.site.vantages) if count else e for one in wanted.values() for e in one.expectations],
            {name: one.not_asked for name, one in wanted.items()},
            unasked={name: one.unasked for name, one in wanted.items()},
        )
    return Verified(look=look, unopened=unopened)


@contextmanager
def opened(
    loaded: Loaded, vantages: Iterable[str], guarded: Callable[[Cancellation], AbstractContextManager[None]]
) -> Iterator[tuple[Eyes, dict[str, RemediateError]]]:
    """Eyes of their own, and the vantages that could not be opened."""
    cancellation = Cancellation()
    loop = LoopRunner(cancellation=cancellation)
    nornir = tasks.framework(loaded.nornir, loaded.site, loop)
    eyes = Eyes(loaded.site, tuple(dict.fromkeys(vantages)), nornir, loop, Stopwatch())
    try:
        with guarded(cancellation), closing(eyes):
            yield eyes, eyes.open(all_needed=False)
    finally:
        loop.close()


def views(loaded: Loaded, playbook: Playbook | None, limit: str | None) -> tuple[dict[str, Expected], tuple[str, ...]]:
    """What is expected of each PACS, and the vantages needed for it. Raises UsageError where there are none."""
    site = loaded.site
    wanted: dict[str, Expected] = {}
    used: list[str] = []
    for hosts, vantages, names in _views(playbook, site):
        used += vantages
        for name in loaded.select(hosts, limit):
            places = [site.vantages[v] for v in vantages]
            one = controls.expectations(names, site.pacs[name], places)
            was = wanted.get(name, Expected(expectations=(), not_asked=(), unasked=one.unasked))
            wanted[name] = Expected(
                expectations=tuple(dict.fromkeys(was.expectations + one.expectations)),
                not_asked=tuple(dict.fromkeys(was.not_asked + one.not_asked)),
                # What one play has no question about, another one may have, and nobody to ask it.
                unasked=tuple(side for side in was.unasked if side.purpose in {own.purpose for own in one.unasked}),
            )
    if not used:
        raise UsageError("there is no vantage to look from", next="add one to the inventory")
    return wanted, tuple(dict.fromkeys(used))


def _views(playbook: Playbook | None, site: Site) -> Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Pattern, vantages and controls of each play."""
    if playbook is None:
        yield "all", tuple(site.vantages), ()
        return
    for play in playbook.plays:
        yield play.hosts, play.vantages or tuple(site.vantages), play.controls
