"""A clock for ``Record.open(clock=...)`` that can be turned."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Starts at ``at`` (without: now) and goes on from there, or stands still with ``stands=True``.

    It dates journal entries only. Observations and revert timers keep the machine's time, as they would if somebody
    set the clock of the database's host.
    """

    def __init__(self, at: datetime | None = None, *, stands: bool = False) -> None:
        self._at = at or datetime.now(UTC)
        self._began = time.monotonic()
        self._stands = stands

    def __call__(self) -> datetime:
        gone = 0.0 if self._stands else time.monotonic() - self._began
        return self._at + timedelta(seconds=gone)

    def turn(self, by: timedelta) -> None:
        """On, or with a negative duration back."""
        self._at += by
