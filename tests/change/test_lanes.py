"""How many are asked at a time, and when nobody is."""

from __future__ import annotations

import asyncio

from remediate.change import lanes
from remediate.runner import LoopRunner


class Room:
    """Full from the tenth answer on, and for several times what makes a place another's."""

    def __init__(self) -> None:
        self.answers = 0
        self.after_the_wait: int | None = None

    def is_set(self) -> bool:
        return self.answers < 10 or self.after_the_wait is not None

    async def wait(self) -> None:
        if not self.is_set():
            await asyncio.sleep(4 * lanes.PATIENCE)
            self.after_the_wait = self.after_the_wait or self.answers


def test_without_room_nothing_is_begun() -> None:
    room = Room()

    async def ask(number: int, unit: str) -> None:
        room.answers += 1

    asker = LoopRunner()
    try:
        lanes.ask_all(iter(enumerate("x" * 1000)), ask, asker, room=room)
    finally:
        asker.close()
    assert room.after_the_wait == 10
    assert room.answers == 1000
