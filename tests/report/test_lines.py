"""Lines go out in a thread of their own: nothing is lost, and who asks is told when the reader is far behind."""

from __future__ import annotations

import asyncio
import threading

from remediate.report.lines import BACKLOG, CHUNK, Lines


class Reader:
    """Takes nothing until it is ``ready``."""

    def __init__(self) -> None:
        self.began, self.ready = threading.Event(), threading.Event()
        self.got: list[str] = []

    def take(self, lines: bytes) -> None:
        self.began.set()
        assert self.ready.wait(30)
        self.got += lines.decode().splitlines()


def test_there_is_no_room_while_the_reader_is_far_behind() -> None:
    reader = Reader()
    lines = Lines(reader.take)

    async def main() -> None:
        for number in range(BACKLOG + 2):  # one of them is in the reader's hands
            assert lines.room.is_set()
            lines.put("x" * CHUNK + str(number))
            assert await asyncio.to_thread(reader.began.wait, 30)
        assert not lines.room.is_set()
        reader.ready.set()
        async with asyncio.timeout(100):
            await lines.room.wait()

    asyncio.run(main())
    lines.close()
    assert [line[CHUNK:] for line in reader.got] == [str(number) for number in range(BACKLOG + 2)]


def test_what_was_put_is_written_though_the_loop_has_ended() -> None:
    """As after Ctrl-C, with a reader that comes back then."""
    reader = Reader()
    lines = Lines(reader.take)

    async def main() -> None:
        for number in range(3 * BACKLOG):
            lines.put("x" * CHUNK + str(number))
        lines.put("the last one")

    asyncio.run(main())
    reader.ready.set()
    lines.close()
    assert [line[CHUNK:] for line in reader.got[:-1]] == [str(number) for number in range(3 * BACKLOG)]
    assert reader.got[-1] == "the last one"
