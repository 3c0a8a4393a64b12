"""One JSON line for each answer of a sweep, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import lru_cache

from pydantic_core import to_json

from remediate.inventory.kept import Target
from remediate.model.observation import Counts, Observation, Rung, Stack, Surface, Tls
from remediate.model.site import Role, ServiceKind
from remediate.model.verdict import Outcome

#: Bytes that are written at once, and seconds after which fewer are.
CHUNK, FLUSH = 32 << 10, 0.2
#: Chunks that may wait for a reader that is slow.
BACKLOG = 8


def line(number: int, target: Target, seen: Observation, outcome: Outcome, why: str) -> str:
    """Its fields are documented in docs/output.md."""
    asked = seen.question
    facts = seen.reject, seen.status, seen.negotiated, seen.surfaces, seen.counts, seen.tls, seen.stack, seen.detail
    return (
        f'{{"line":{number},"address":"{asked.pacs}","port":{asked.port},'
        f'"asked_at":"{seen.asked_at.isoformat()}","elapsed":{seen.elapsed:.6f},'
        f"{_named(target.name, target.kind, asked.called_ae_title)},{_told(seen.rung, outcome, why, *facts)}"
    )


@lru_cache(maxsize=256)
def _named(name: str | None, kind: ServiceKind, called_ae_title: str | None) -> str:
    return to_json({"name": name, "kind": kind, "called_ae_title": called_ae_title}).decode()[1:-1]


@lru_cache(maxsize=256)
def _told(
    rung: Rung,
    outcome: Outcome,
    why: str,
    reject: tuple[int, int, int] | None,
    status: int | None,
    negotiated: frozenset[Role],
    surfaces: frozenset[Surface],
    counts: Counts | None,
    tls: Tls | None,
    stack: Stack | None,
    detail: str,
) -> str:
    """The rest of the line: most of a sweep's answers are alike."""
    told = {
        "rung": rung,
        "outcome": outcome,
        "why": why,
        "reject": reject,
        "status": status,
        "negotiated": sorted(negotiated),
        "surfaces": sorted(surfaces),
        "counts": counts,
        "tls": tls,
        "stack": stack,
        "detail": detail,
    }
    return to_json(told).decode()[1:]


class Lines:
    """Writes in a thread of its own, so that a slow reader delays the next questions, and never an answer's reading.

    ``write``: takes whole lines, and may take its time; once it raises OSError, what comes after is dropped.
    ``room``: whether the reader is not far behind; for the loop on which ``put`` is called.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write_out = write
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.room = asyncio.Event()
        self.room.set()
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="lines", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """On one loop only."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._lines.append(text)
        self._size += len(text)
        if self._size >= CHUNK:
            self._flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH, self._flush)

    def close(self) -> None:
        """From another thread, once nothing more is put."""
        self._hand_over()
        self._chunks.put(None)
        self._thread.join()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hand_over()
        if self._chunks.qsize() > BACKLOG:
            self.room.clear()
            self._chunks.put(b"")  # behind the others: once it is their turn, there is room

    def _hand_over(self) -> None:
        if self._lines:
            self._lines.append("")
            self._chunks.put("\n".join(self._lines).encode())
            self._lines, self._size = [], 0

    def _write(self) -> None:
        gone = False
        while (chunk := self._chunks.get()) is not None:
            if not chunk and self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for room
                    self._loop.call_soon_threadsafe(self.room.set)
            elif not gone:
                try:
                    self._write_out(chunk)
                except OSError:  # nobody reads any more, and stops us in his own time
                    gone = True
