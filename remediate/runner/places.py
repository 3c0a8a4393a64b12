"""How many coroutine tasks are under way: so many that end soon, and many more that only wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

#: Turns of the loop that a task may need although all that it waits for comes at once.
_TURNS = 8


class Places:
    """``most`` at a time. With ``patience``, in seconds, one that has not ended by then gives its place to another, up
    to ``in_all``. Where the loop itself is late, patience is as much longer: what one is waiting for may have come, and
    more of them would only make it later.
    """

    def __init__(self, most: int, patience: float | None, in_all: int) -> None:
        self._most = most
        self._patience = patience
        self._in_all = in_all
        #: With the loop's time at which each began, the oldest first.
        self._soon: dict[asyncio.Task[None], float] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def free(self) -> bool:
        return len(self._soon) < self._most and len(self._soon) + len(self._waiting) < self._in_all

    def taken(self) -> Collection[asyncio.Task[None]]:
        return [*self._soon, *self._waiting] if self._waiting else self._soon.keys()

    def take(self, one: asyncio.Task[None], more: Callable[[], None]) -> None:
        """``more`` is called when a place is free that was not given back."""
        loop = asyncio.get_running_loop()
        self._soon[one] = loop.time()
        if self._patience is not None and self._timer is None:
            self._look_later(loop, self._patience, more)

    def give(self, one: asyncio.Task[None]) -> None:
        if self._soon.pop(one, None) is None:
            self._waiting.discard(one)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self, loop: asyncio.AbstractEventLoop, patience: float, more: Callable[[], None]) -> None:
        due = loop.time() + patience / 2
        self._timer = loop.call_at(due, self._look, loop, due, patience, more)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float, patience: float, more: Callable[[], None]) -> None:
        self._timer = None
        now = loop.time()
        began_before = now - max(patience, _TURNS * (now - due))
        old = [one for one, since in self._soon.items() if since <= began_before]
        for one in old:
            del self._soon[one]
        self._waiting.update(old)
        more()
        if self._soon and self._timer is None:
            self._look_later(loop, patience, more)
