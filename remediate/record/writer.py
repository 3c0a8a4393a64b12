"""The one thread of a process that writes: what waits is committed together, and each caller learns its own fate."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from remediate.errors import RecordError

T = TypeVar("T")
#: How many waiting writes one commit takes at most.
MOST = 200
#: Seconds for which a record that has gone away is waited for, as for one that is locked, and between two looks:
#: nothing tells when a file system is there again.
GONE, _LOOK = 60.0, 0.1

_Item = tuple[Callable[[sa.Connection], Any], "Future[Any]"]


class Writer:
    """``there``: whether what is written still gets to where it belongs. ``ready``: is told of each transaction first,
    and refuses it by an error."""

    def __init__(
        self, engine: sa.Engine, there: Callable[[], bool], ready: Callable[[sa.Connection], None] = lambda _: None
    ) -> None:
        self._engine = engine
        self._there = there
        self._ready = ready
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # nothing is queued behind the end mark
        self._closed = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)
        self._thread.start()

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What ``work`` returned, once it is committed. What it or the commit raised is raised here."""
        if os.getpid() != self._pid:
            raise RecordError(
                "the record was opened in another process, before a fork", next="open the record in each process"
            )
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RecordError("the record is closed", next="open it again")
            self._queue.put((work, future))
        return future.result()

    def close(self) -> None:
        """Commits what waits and ends the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if os.getpid() == self._pid:
            self._thread.join()

    def _run(self) -> None:
        batch: list[_Item | None] = []
        while None not in batch:  # the end mark is always the last
            batch = [self._queue.get()]
            while len(batch) < MOST and not self._queue.empty():  # nobody else takes from it
                batch.append(self._queue.get())
            if items := [item for item in batch if item is not None]:
                self._commit(items)

    def _commit(self, batch: list[_Item]) -> None:
        results: list[Any] = []
        refused = False
        try:
            self._wait_for_it()
            with self._connected() as connection:
                self._ready(connection)
                for work, _ in batch:
                    refused = True
                    results.append(work(connection))
                    refused = False
                connection.commit()
            self._wait_for_it()  # what was written to a file that is nowhere any more was not written
        except BaseException as error:  # every caller waits for its answer; none may be left without one
            if refused and len(batch) > 1:
                # One of them could not be written, and all were taken back: once more, each by itself.
                # After a failed commit nothing is tried again, since it may have happened.
                for one in batch:
                    self._commit([one])
                return
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)

    def _connected(self) -> sa.Connection:
        """A database server that restarts is waited for, before anything was asked of it."""
        until = time.monotonic() + GONE
        while True:
            try:
                return self._engine.connect()
            except OperationalError:
                if self._engine.dialect.name == "sqlite" or time.monotonic() > until:
                    raise
            time.sleep(_LOOK)

    def _wait_for_it(self) -> None:
        until = time.monotonic() + GONE
        while not self._there():
            if time.monotonic() > until:
                raise RecordError(
                    "the record cannot be used: it is no longer the one that was opened, or not there",
                    where=str(self._engine.url.database),
                    next="bring the file back that was there (is its file system mounted?); no device is touched "
                    "without a record",
                )
            time.sleep(_LOOK)
