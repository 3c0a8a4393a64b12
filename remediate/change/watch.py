"""How long a change waited for what."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from remediate.model.observation import Observation, Rung
from remediate.model.outcome import Waits


class Stopwatch:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._deadlines: list[tuple[float, float]] = []
        self._answers: list[tuple[float, float]] = []
        self._timer: list[tuple[float, float]] = []
        self._soak: list[tuple[float, float]] = []

    def asked(self, observations: Iterable[Observation]) -> None:
        """Observations of a round that has just ended."""
        for seen in observations:
            silent = seen.rung in (Rung.FILTERED, Rung.INCONCLUSIVE, Rung.NOT_DICOM, Rung.NOT_HTTP)
            began = seen.asked_at.timestamp()
            (self._deadlines if silent else self._answers).append((began, began + seen.elapsed))

    @contextmanager
    def waiting_for_timer(self) -> Iterator[None]:
        began = time.time()
        try:
            yield
        finally:
            self._timer.append((began, time.time()))

    @contextmanager
    def waiting_for_pacs(self) -> Iterator[None]:
        began = time.time()
        try:
            yield
        finally:
            self._answers.append((began, time.time()))

    @contextmanager
    def soaking(self) -> Iterator[None]:
        began = time.time()
        try:
            yield
        finally:
            self._soak.append((began, time.time()))

    def read(self) -> Waits:
        """Overlapping waits count once: first as the timer's, then as a deadline's, then as the PACS's."""
        timer = _length(self._timer)
        deadlines = _length(self._timer + self._deadlines) - timer
        pacs = _length(self._timer + self._deadlines + self._answers) - timer - deadlines
        total = time.monotonic() - self._began
        return Waits(total=total, deadlines=deadlines, pacs=pacs, timer=timer, soak=_length(self._soak))


def _length(spans: list[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total
