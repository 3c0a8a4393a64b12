"""A large sweep: each target of a list asked once from this machine, each answer handed on as it comes.

Only what is under way is held, so neither the length of the list nor what it brings takes memory.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple

from remediate import probes
from remediate.change import lanes
from remediate.errors import EXIT_EXPOSED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_OK, Interrupted
from remediate.inventory.kept import Kept, Target
from remediate.judge import seeing, weigh
from remediate.model.observation import CanaryReport, Observation, Question, Rung
from remediate.model.site import Canary, IPAddress, Limits, LocalVia, Scope, Site, Vantage, Zone
from remediate.model.verdict import Outcome, Purpose
from remediate.policy import CLOSED, PROBE_AE_TITLE
from remediate.runner import Cancellation, LoopRunner
from remediate.vantages import Lookout

#: The one vantage of a sweep.
HERE = "here"


class Answer(NamedTuple):
    """What was asked, in which line of the list, and what it means that it was seen from outside."""

    line: int
    target: Target
    observation: Observation
    outcome: Outcome
    why: str


#: Takes each answer, on the runner's loop.
Consumer = Callable[[Answer], None]


@dataclass
class Tally:
    """The denominators. ``targets``: different ones in the list; what was neither asked nor counted was not reached
    before the end. ``blind``: why what was not reachable proves nothing; "" where every canary answered.
    """

    targets: int
    repeated: int
    rungs: Counter[Rung] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    stopped: bool = False
    why_stopped: str = ""
    blind: str = ""
    seconds: float = 0.0

    @property
    def not_asked(self) -> int:
        return self.targets - self.rungs.total()

    @property
    def could_not_be_asked(self) -> int:
        return self.rungs[Rung.INCONCLUSIVE]

    @property
    def exit_status(self) -> int:
        if self.stopped:
            return EXIT_INTERRUPTED
        if self.outcomes[Outcome.UNMET]:
            return EXIT_EXPOSED
        return EXIT_INCONCLUSIVE if self.outcomes[Outcome.UNKNOWN] or self.blind or self.not_asked else EXIT_OK


@dataclass(frozen=True)
class Sweep:
    """``up_to``: the highest rung that is asked for, None for all of the ladder. ``deadline``: seconds to connect, and
    once more for the conversation.
    """

    targets: Kept
    vantage: Vantage
    scope: Scope
    limits: Limits = field(default_factory=Limits)
    up_to: Rung | None = Rung.ECHO
    deadline: float = 3.0


def vantage(source: IPAddress | None, canaries: Iterable[Canary] = ()) -> Vantage:
    return Vantage(name=HERE, zone=Zone.OUTSIDE, via=LocalVia(source=source), canaries=tuple(canaries))


def run(
    sweep: Sweep,
    consumer: Consumer,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
    tally: Tally,
    room: lanes.Room | None = None,
) -> None:
    """Asks, and says what came. ``guarded``: what makes it stop in time; ``tally``: may be looked at meanwhile;
    ``room``: whether the consumer has some, nothing new is asked without.

    Raises what the first failed target raised that was not its own fault: ScopeError, or a fault of the consumer.
    """
    cancellation = Cancellation()
    asking = _Asking(sweep, consumer, tally, cancellation)
    began = time.monotonic()
    try:
        with guarded(cancellation):
            asking.all(room)
    finally:
        asking.close()
        tally.stopped, tally.why_stopped = cancellation.requested, cancellation.reason
        tally.seconds = time.monotonic() - began


class _Asking:
    def __init__(self, sweep: Sweep, consumer: Consumer, tally: Tally, cancellation: Cancellation) -> None:
        self._sweep = sweep
        self._consumer = consumer
        self._tally = tally
        self._cancellation = cancellation
        self._runner = LoopRunner(cancellation=cancellation)
        site = Site(vantages={HERE: sweep.vantage}, limits=sweep.limits)
        self._lookout = Lookout(site, [HERE], scope=sweep.scope)
        self._canaries: tuple[CanaryReport, ...] = ()
        self._alive: dict[str, bool] = {}

    def all(self, room: lanes.Room | None) -> None:
        for error in self._runner.submit(self._lookout.open()).result().values():
            raise error
        self._look_at_canaries()
        lanes.ask_all(self._sweep.targets.taken(), self.ask, self._runner, room=room)
        if not self._cancellation.requested:
            self._look_at_canaries()

    def close(self) -> None:
        with contextlib.suppress(Interrupted):
            self._runner.submit(self._lookout.aclose()).result()
        self._runner.close()

    def _look_at_canaries(self) -> None:
        report = self._runner.submit(self._lookout.canaries(HERE)).result()
        if not self._sweep.vantage.canaries:  # nothing is known of a list's targets, so none stands in for one
            report = report.model_copy(update={"alive": False})
        self._canaries = (*self._canaries, report)
        self._alive = seeing(self._canaries)
        if not report.alive:
            self._tally.blind = report.detail

    async def ask(self, line: int, target: Target) -> None:
        question = self._question(target)
        observation = await probes.observe(self._lookout.dial, question, self._sweep.deadline)
        outcome, why = weigh(observation, Purpose.OUTSIDE_CLOSED, CLOSED, alive=self._alive.get(HERE, False))
        self._consumer(Answer(line, target, observation, outcome, why))
        self._tally.rungs[observation.rung] += 1
        self._tally.outcomes[outcome] += 1

    def _question(self, target: Target) -> Question:
        """An address is what a PACS is to the dial's gate: one association at a time, whatever lines name it."""
        dicom = target.kind.is_dicom
        return Question(
            pacs=str(target.address),
            vantage=HERE,
            kind=target.kind,
            address=target.address,
            port=target.port,
            service_port=target.port,
            calling_ae_title=PROBE_AE_TITLE if dicom else None,
            called_ae_title=target.called_ae_title if dicom else None,
            up_to=self._sweep.up_to if dicom else None,
        )
