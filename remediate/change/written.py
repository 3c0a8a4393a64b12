"""Lines on their way to a reader, who may be slow: he holds up a sweep, but not its end."""

from __future__ import annotations

import math
import os
import select
import time

from remediate.runner import Cancellation

#: Seconds for what still comes once a sweep was stopped, and for a reader to take what he was not fast enough for.
ENDING = 0.7
_TICK = 0.1


class Ending:
    """Whether the time is over that is left once it was stopped."""

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation
        self._until = math.inf

    @property
    def is_over(self) -> bool:
        now = time.monotonic()
        if self._cancellation.requested and self._until == math.inf:
            self._until = now + ENDING
        return now >= self._until


class Written:
    """``descriptor``: where to, such as standard output's; None for nowhere."""

    def __init__(self, descriptor: int | None, cancellation: Cancellation, ending: Ending) -> None:
        self._descriptor = descriptor
        self._cancellation = cancellation
        self._ending = ending

    def write(self, lines: bytes) -> None:
        """Waits for the reader; one who is gone stops the sweep."""
        while lines and self._descriptor is not None and not self._ending.is_over:
            if not select.select([], [self._descriptor], [], _TICK)[1]:
                continue
            try:
                # What is announced as room is at least that much, so this does not wait.
                lines = lines[os.write(self._descriptor, lines[: select.PIPE_BUF]) :]
            except OSError as error:
                self._descriptor = None
                self._cancellation.request(f"the lines cannot be written: {error.strerror}")
