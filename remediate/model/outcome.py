"""How a change ended."""

from __future__ import annotations

from remediate.model.base import Value
from remediate.model.change import State
from remediate.model.verdict import Judgement


class Waits(Value):
    """Seconds of one run. ``deadlines``: until silence was taken for *filtered*; ``pacs``: for answers;
    ``timer``: for a device's revert timer; ``soak``: between waves; ``remainder``: everything else, our own work
    included."""

    total: float
    deadlines: float
    pacs: float
    timer: float
    soak: float = 0.0

    @property
    def remainder(self) -> float:
        return max(0.0, self.total - self.deadlines - self.pacs - self.timer - self.soak)


class WaveOutcome(Value):
    """``down``: device → seconds for which the push kept its services from answering, as it measured them;
    ``down_back``: taking it back.
    ``leaves_open``: control → what it does not give, of a wave that is in force. ``pushed``: whether a push was begun.
    """

    number: int
    state: State
    pacs: tuple[str, ...]
    reason: str = ""
    judgements: tuple[Judgement, ...] = ()
    down: dict[str, float] = {}
    down_back: dict[str, float] = {}
    leaves_open: dict[str, str] = {}
    pushed: bool = True


class Outcome(Value):
    """How a change ended. ``reason``: why it did not go through; "" when it did.

    ``stays``: the PACS whose waves stay confirmed although a later one did not go through; ``fallen``: those that were
    confirmed and are no longer as they were, with why. ``failed``: a wave was
    taken back or could not be done, other than by Ctrl-C or by the window. ``rollback``: what took ``stays`` back.
    ``emergency``: why it was run without the approval that it needed. ``reopens``: it took an earlier change back, so
    what it confirmed is open again.
    """

    change: str
    exit_status: int
    waves: tuple[WaveOutcome, ...]
    waits: Waits
    reason: str = ""
    stays: tuple[str, ...] = ()
    fallen: dict[str, str] = {}
    failed: bool = False
    rollback: Outcome | None = None
    emergency: str = ""
    reopens: bool = False
