"""How a change ended."""

from __future__ import annotations

from remediate.model.base import Value
from remediate.model.change import State
from remediate.model.verdict import Judgement


class Waits(Value):
    """Seconds of one run. ``deadlines``: until silence was taken for *filtered*; ``pacs``: for answers;
    ``timer``: for a device's revert timer; ``remainder``: everything else, our own work included."""

    total: float
    deadlines: float
    pacs: float
    timer: float

    @property
    def remainder(self) -> float:
        return max(0.0, self.total - self.deadlines - self.pacs - self.timer)


class WaveOutcome(Value):
    number: int
    state: State
    pacs: tuple[str, ...]
    reason: str = ""
    judgements: tuple[Judgement, ...] = ()


class Outcome(Value):
    """How a change ended. ``reason``: why it did not go through; "" when it did."""

    change: str
    exit_status: int
    waves: tuple[WaveOutcome, ...]
    waits: Waits
    reason: str = ""
