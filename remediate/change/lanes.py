"""Any number of things asked on one loop: what is under way is held, and nothing else.

A lane asks one thing after the other. What is answered soon needs few of them; what waits for an answer that may never
come has one to itself for so long.
"""

from __future__ import annotations

import asyncio
import math
import resource
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host, Hosts, Inventory
from nornir.core.task import Result

from remediate import runner
from remediate.errors import Interrupted, UsageError
from remediate.runner import CoroutineTask, LoopRunner

#: Connections that are answered at once, under way at a time: more would not make it faster, only later.
CONVERSATIONS = 128
#: Seconds without an end after which a question counts as one that waits for an answer that may never come; as many
#: of those are under way as there are descriptors, up to WAITING.
PATIENCE = 0.05
WAITING = 8000
#: What Nornir calls the one host of such a run: the machine that asks.
_HERE = "here"
#: Descriptors that are not connections.
_OTHER_DESCRIPTORS = 128
#: Turns of the loop that a question may need although all that it waits for comes at once.
_TURNS = 8
#: Seconds for which the loop may be kept from everything else by questions that need not wait at all.
_BREATH = 0.01

Unit = TypeVar("Unit")
Ask = Callable[[int, Any], Awaitable[None]]


class Room(Protocol):
    """Whether there is room for more answers, as an ``asyncio.Event`` says it."""

    def is_set(self) -> bool: ...

    async def wait(self) -> object: ...


def ask_all(
    units: Iterator[tuple[int, Unit]],
    ask: Callable[[int, Unit], Awaitable[None]],
    asker: LoopRunner,
    *,
    room: Room | None = None,
    most: int = WAITING,
) -> None:
    """Each with its number, all in one task of the runner's. Returns early once its cancellation was requested.
    ``room``: without it nothing new is begun. ``most``: under way at a time in all, where there are descriptors for
    them.

    Raises what the first failed one raised; nothing new is begun then.
    """
    nornir = Nornir(Inventory(Hosts({_HERE: Host(_HERE)})), runner=asker)
    most = min(most, _descriptors())
    (result,) = runner.run(nornir, _ask_all, units=units, ask=ask, room=room, most=most).values()
    if result.failed and not isinstance(result.exception, Interrupted):
        raise result.exception or UsageError("one of them failed without an error")


@runner.deadline(None)  # its end is that of the dial's own deadlines
async def _ask_all(
    task: CoroutineTask, units: Iterator[tuple[int, Any]], ask: Ask, room: Room | None, most: int
) -> Result:
    await _Lanes(units, ask, room, most).all()
    return Result(host=task.host)


class _Lanes:
    """CONVERSATIONS at a time. One that has not ended within PATIENCE gives its place to another, up to ``most``.
    Where the loop itself is late, patience is as much longer: what one is waiting for may have come, and more of them
    would only make it later.
    """

    def __init__(self, units: Iterator[tuple[int, Any]], ask: Ask, room: Room | None, most: int) -> None:
        self._units = units
        self._ask = ask
        self._room = room
        self._at_a_time = max(1, min(CONVERSATIONS, most))
        self._most = max(1, most)
        self._loop = asyncio.get_running_loop()
        #: With the loop's time at which each began its question.
        self._soon: dict[asyncio.Task[None], float] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._all_begun = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._breathed = self._loop.time()

    async def all(self) -> None:
        self._look_later()
        self._begin()
        try:
            await self._ended
        finally:
            self._all_begun = True
            self._looking.cancel()
            left = [*self._soon, *self._waiting]
            for lane in left:
                lane.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    @property
    def _free(self) -> bool:
        return len(self._soon) < self._at_a_time and len(self._soon) + len(self._waiting) < self._most

    def _begin(self) -> None:
        """As many lanes as there are places for."""
        while self._free and not self._all_begun:
            lane = asyncio.ensure_future(self._lane())
            self._soon[lane] = self._loop.time()
            lane.add_done_callback(self._end)
        if self._all_begun and not self._soon and not self._waiting and not self._ended.done():
            self._ended.set_result(None)

    def _end(self, lane: asyncio.Task[None]) -> None:
        if self._soon.pop(lane, None) is None:
            self._waiting.discard(lane)
        if not lane.cancelled() and (error := lane.exception()) is not None and not self._ended.done():
            self._all_begun = True
            self._ended.set_exception(error)
        self._begin()

    async def _lane(self) -> None:
        this = asyncio.current_task()
        assert this is not None
        while not self._all_begun:
            now = self._loop.time()
            if now - self._breathed > _BREATH or not (self._room is None or self._room.is_set()):
                self._soon[this] = math.inf  # it asks nothing now, and its place is not another's
                await asyncio.sleep(0)
                if self._room is not None:
                    await self._room.wait()
                self._breathed = self._loop.time()
                continue
            unit = next(self._units, None)
            if unit is None:
                self._all_begun = True
                return
            self._soon[this] = now
            await self._ask(*unit)
            if self._soon.pop(this, None) is None:
                self._waiting.discard(this)
                if not self._free:
                    return

    def _look_later(self) -> None:
        self._looking = self._loop.call_later(PATIENCE / 2, self._look)

    def _look(self) -> None:
        due = self._looking.when()
        now = self._loop.time()
        began_before = now - max(PATIENCE, _TURNS * (now - due))
        for lane in [one for one, since in self._soon.items() if since <= began_before]:
            del self._soon[lane]
            self._waiting.add(lane)
        self._begin()
        self._look_later()


def _descriptors() -> int:
    """How many connections this process may hold; its own limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WAITING + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = WAITING if soft == resource.RLIM_INFINITY else min(WAITING, soft - _OTHER_DESCRIPTORS)
    if most < 1:
        raise UsageError("this process may open too few files", next="raise the limit: ulimit -n 4096")
    return most
