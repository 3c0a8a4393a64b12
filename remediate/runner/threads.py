"""Ordinary tasks: one host to a thread, deadlines kept from outside."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from nornir.core.inventory import Host
from nornir.core.processor import Processors
from nornir.core.task import MultiResult, Task

from remediate.runner.limits import LOOK_UP, Cancellation, catchable, instance_of, too_late

logger = logging.getLogger(__name__)

#: Seconds between two looks for connections that a task opened after its deadline.
_TICK = 0.1


class _Attempt:
    """One host in one thread. ``expired`` is set while it runs, or never."""

    def __init__(self, host: Host, seconds: float | None) -> None:
        self.host = host
        self.seconds = seconds
        self.until = None if seconds is None else time.monotonic() + seconds
        self.expired = False
        self.aborted: list[Any] = []

    def abort_connections(self) -> None:
        """Each open connection once; those that the task opens later, at a later call."""
        for plugin in list(self.host.connections.values()):
            connection = getattr(plugin, "connection", None)
            abort = getattr(connection, "abort", None)
            if abort is None or any(connection is known for known in self.aborted):
                continue
            self.aborted.append(connection)
            try:
                abort()
            except Exception:  # the other hosts' deadlines must be kept all the same
                logger.exception("Host %r: a connection could not be aborted", self.host.name)


class InThreads:
    """One run of an ordinary task on many hosts; ``wait`` keeps the deadlines, in the caller's thread."""

    def __init__(
        self,
        task: Task,
        hosts: list[Host],
        processors: Processors,
        results: dict[str, MultiResult],
        *,
        seconds: float | None,
        most: int,
        cancellation: Cancellation,
    ) -> None:
        self._task = task
        self._todo = iter(hosts)
        self._processors = processors
        self._results = results
        self._seconds = seconds
        self._cancellation = cancellation
        self._changed = threading.Condition()
        self._running: set[_Attempt] = set()
        self._ended = 0
        self._threads = [
            threading.Thread(target=self._worker, name=f"{task.name}-{number}", daemon=True)
            for number in range(min(most, len(hosts)))
        ]

    def cancel(self) -> None:
        """What runs is left to finish: it may be in the middle of a device's configuration."""

    def wait(self) -> None:
        """May be called again after a KeyboardInterrupt."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()
        while self._going_on():
            for attempt in self._late():
                attempt.abort_connections()
        for thread in self._threads:
            thread.join()

    def _going_on(self) -> bool:
        """Waits for something to do: a task that began or ended, a deadline, another look at a late one."""
        with self._changed:
            now = time.monotonic()
            pauses = [_TICK if one.expired else one.until - now for one in self._running if one.until is not None]
            if self._ended < len(self._threads):
                self._changed.wait(max(0.0, min([LOOK_UP, *pauses])))
            return self._ended < len(self._threads)

    def _late(self) -> list[_Attempt]:
        """From here on their result is DeadlineExceeded, even if they should end before they are aborted."""
        with self._changed:
            now = time.monotonic()
            late = [one for one in self._running if one.until is not None and one.until <= now]
            for one in late:
                one.expired = True
            return late

    def _worker(self) -> None:
        try:
            while not self._cancellation.requested:
                with self._changed:
                    host = next(self._todo, None)
                    if host is None:
                        return
                    attempt = _Attempt(host, self._seconds)
                    self._running.add(attempt)
                    self._changed.notify()
                self._results[host.name] = self._instance(attempt).start(host)
        finally:
            with self._changed:
                self._ended += 1
                self._changed.notify()

    def _instance(self, attempt: _Attempt) -> Task:
        """The deadline sits inside Nornir's ``start``, so that a late task has a result like any other."""
        function = self._task.task

        def bounded(task: Task, **params: Any) -> Any:
            value: Any = None
            error: BaseException | None = None
            try:
                value = function(task, **params)
            except BaseException as raised:  # also SystemExit, which would end this thread without a result
                error = raised
            with self._changed:
                self._running.discard(attempt)
            if attempt.expired:
                raise too_late(attempt.host, attempt.seconds) from error
            if (caught := catchable(error)) is not None:
                raise caught
            return value

        return instance_of(_ThreadTask, self._task, bounded, self._processors)


class _ThreadTask(Task):
    def run(self, task: Callable[..., Any], **kwargs: Any) -> MultiResult:
        if inspect.iscoroutinefunction(task):
            raise TypeError(f"{task!r} is a coroutine function: run it as a task of its own, or from a coroutine task")
        return super().run(task, **kwargs)
