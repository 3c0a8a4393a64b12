"""What ends a task before it is done, and the failed result that says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nornir.core.inventory import Host
from nornir.core.processor import Processors
from nornir.core.task import MultiResult, Result, Task

from remediate.errors import DeadlineExceeded, Interrupted

F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound=Task)

_DEADLINE = "remediate_deadline"
#: Seconds that the main thread waits at most without looking up. CPython runs signal handlers between its own steps:
#: a Ctrl-C that comes just before it blocks on a lock is not noticed until the lock gives way.
LOOK_UP = 0.5


def deadline(seconds: float | None) -> Callable[[F], F]:
    """Gives a task a deadline of its own, from its start on each host; it wins over the runner's. None: no end.

    A coroutine subtask's is kept too; in a thread only that of the outermost task is.
    """

    def mark(function: F) -> F:
        setattr(function, _DEADLINE, seconds)
        return function

    return mark


def deadline_of(function: Callable[..., Any], otherwise: float | None) -> float | None:
    seconds: float | None = getattr(function, _DEADLINE, otherwise)
    return seconds


class Cancellation:
    """Asks a run to end: nothing more is started. For any thread and for signal handlers; it cannot be taken back."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in while this very thread holds it
        self._reason: str | None = None
        self._callbacks: list[Callable[[], object]] = []

    def request(self, reason: str = "stopped by the operator") -> None:
        """The first reason is the one that is told."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
                for callback in tuple(self._callbacks):
                    callback()

    @property
    def requested(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> str:
        return self._reason or ""

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """``callback`` runs in the thread that requests, within this context."""
        with self._lock:
            self._callbacks.append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


def not_run(task: Task, host: Host, cancellation: Cancellation) -> MultiResult:
    error = interrupted(host, cancellation, "not started" if cancellation.requested else "not finished")
    result = Result(host, result=str(error), failed=True, exception=error, severity_level=logging.ERROR)
    result.name = task.name  # type: ignore[assignment]  # Nornir declares it as None and assigns it so itself
    results = MultiResult(task.name)
    results.append(result)
    return results


def interrupted(host: Host, cancellation: Cancellation, what: str) -> Interrupted:
    reason = cancellation.reason or "the runner was closed"
    return Interrupted(f"{what}: {reason}", where=host.name, next="the journal says what was done before")


def too_late(host: Host, seconds: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"not finished after {seconds:g} s", where=host.name, next="look at the host itself: the step may have happened"
    )


def catchable(error: BaseException | None) -> Exception | None:
    """Nornir makes a failed result of an Exception; anything else would pass it by, and the host would vanish."""
    if error is None or isinstance(error, Exception):
        return error
    other = RuntimeError(f"the task raised {error!r}")
    other.__cause__ = error
    return other


def instance_of(kind: type[K], task: Task, function: Callable[..., Any], processors: Processors) -> K:
    """A copy of ``task`` for one host, as ``Task.copy`` makes it, of another class and with another function."""
    return kind(
        function,
        task.nornir,
        task.global_dry_run,
        processors,
        task.name,
        task.severity_level,
        task.parent_task,
        **task.params,
    )
