"""Many timers of a few lengths, hardly any of which runs out: the loop has one for each length, not one for each.

asyncio keeps every timer in a heap until it is due, also one that was cancelled; a sweep makes several for each target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary


class Lapse:
    """``cancel`` may be called more than once, and after it has run out."""

    __slots__ = ("_of", "_told")

    def __init__(self, of: _Length, told: Callable[[], object]) -> None:
        self._of = of
        self._told = told

    def cancel(self) -> None:
        self._of.due.pop(self, None)

    def ran_out(self) -> None:
        self._told()


class _Length:
    """``due``: the loop's times, the soonest first: all of them have the same length."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, over: Callable[[float], object]) -> None:
        self.due: dict[Lapse, float] = {}
        self._loop = loop
        self._seconds = seconds
        self._over = over
        loop.call_later(seconds, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        while self.due:
            first, due = next(iter(self.due.items()))
            if due > now:
                self._loop.call_at(due, self._look)
                return
            del self.due[first]
            first.ran_out()
        self._over(self._seconds)


class Lapses:
    """Of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lengths: dict[float, _Length] = {}

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Lapses:
        one = _OF_LOOP.get(loop)
        if one is None:
            one = _OF_LOOP[loop] = cls(loop)
        return one

    def after(self, seconds: float, told: Callable[[], object]) -> Lapse:
        """``told`` is called on the loop, and raises nothing. What the loop finds readable in the turn in which the
        time is up comes before it.
        """
        length = self._lengths.get(seconds)
        if length is None:
            length = self._lengths[seconds] = _Length(self._loop, seconds, self._lengths.pop)
        lapse = Lapse(length, told)
        length.due[lapse] = self._loop.time() + seconds
        return lapse


_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, Lapses] = WeakKeyDictionary()
