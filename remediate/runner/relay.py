"""Nornir's processors on a thread of their own."""

from __future__ import annotations

import logging
import queue
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nornir.core.processor import Processors

logger = logging.getLogger(__name__)


class _Relay:
    """A processor that hands every event on to others, in order, on one thread of its own.

    One that raises is logged and goes on to be told; ``close`` warns of it, once all is told.
    """

    def __init__(self, processors: Processors) -> None:
        self._processors = list(processors)
        self._events: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._failures: dict[str, str] = {}
        self._thread = threading.Thread(target=self._tell, name="processors", daemon=True)
        self._thread.start()

    def task_started(self, *args: Any) -> None:
        self._events.put(("task_started", args))

    def task_completed(self, *args: Any) -> None:
        self._events.put(("task_completed", args))

    def task_instance_started(self, *args: Any) -> None:
        self._events.put(("task_instance_started", args))

    def task_instance_completed(self, *args: Any) -> None:
        self._events.put(("task_instance_completed", args))

    def subtask_instance_started(self, *args: Any) -> None:
        self._events.put(("subtask_instance_started", args))

    def subtask_instance_completed(self, *args: Any) -> None:
        self._events.put(("subtask_instance_completed", args))

    def close(self) -> None:
        self._events.put(None)
        self._thread.join()

    def warn(self) -> None:
        for processor, reason in self._failures.items():
            warnings.warn(
                f"processor {processor} failed: {reason}; its output is incomplete", RuntimeWarning, stacklevel=4
            )

    def _tell(self) -> None:
        while (event := self._events.get()) is not None:
            name, args = event
            for processor in self._processors:
                try:
                    getattr(processor, name)(*args)
                except BaseException as error:  # a broken display must neither stop the run nor block its end
                    logger.exception("processor %r failed in %s", processor, name)
                    self._failures.setdefault(type(processor).__name__, f"{name}: {error!r}")


@contextmanager
def relayed(processors: Processors) -> Iterator[Processors]:
    """Processors behind a relay, all told at the end; those that stand behind one already stay as they are.

    None at all need no relay: waking a thread that has nothing to tell, twice a host, halves a runner's speed.
    """
    if not processors or any(isinstance(one, _Relay) for one in processors):
        yield processors
        return
    relay = _Relay(processors)
    try:
        yield Processors([relay])
    finally:
        relay.close()
    relay.warn()
