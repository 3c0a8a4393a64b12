"""Coroutine tasks, all on one event loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from nornir.core.exceptions import NornirSubTaskError
from nornir.core.inventory import Host
from nornir.core.processor import Processors
from nornir.core.task import MultiResult, Task

from remediate.errors import Interrupted
from remediate.runner.limits import LOOK_UP, Cancellation, catchable, deadline_of, instance_of, interrupted, too_late

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Loop:
    """One event loop in a daemon thread, started at its first use."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may cancel while this very thread holds it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._closed:
                coroutine.close()
                raise Interrupted("the runner is closed", next="make a new one")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, callback: Callable[[], object]) -> None:
        """Runs it on the loop, unless that has ended."""
        with self._lock:
            if self._loop is not None and not self._closed:
                self._loop.call_soon_threadsafe(callback)

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def close(self) -> None:
        with self._lock:
            self._closed, loop, thread, self._loop = True, self._loop, self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class OnLoop:
    """One run of a coroutine task on many hosts."""

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
        loop: Loop,
    ) -> None:
        self._task = task
        self._todo = iter(hosts)
        self._processors = processors
        self._results = results
        self._seconds = seconds
        self._most = most
        self._under_way: set[asyncio.Task[None]] = set()
        self._cancellation = cancellation
        self._loop = loop
        self._future: Future[None] | None = None

    def cancel(self) -> None:
        self._loop.call(self._cancel)

    def wait(self) -> None:
        """May be called again after a KeyboardInterrupt."""
        if self._future is None:
            self._future = self._loop.submit(self._all())
        while not wait([self._future], timeout=LOOK_UP).done:
            pass
        try:
            self._future.result()
        except CancelledError:  # the runner was closed; the hosts without a result are told so
            logger.warning("the runner was closed in the middle of task %r", self._task.name)

    def _cancel(self) -> None:
        for one in self._under_way:
            one.cancel()

    async def _all(self) -> None:
        """Each host has an asyncio task of its own; the end of one is what begins the next."""
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin()
        try:
            await self._ended
        finally:
            self._todo = iter(())  # where the loop is being closed, too

    def _begin(self) -> None:
        """As many hosts as may be under way at a time."""
        while (
            len(self._under_way) < self._most
            and not self._cancellation.requested
            and (host := next(self._todo, None)) is not None
        ):
            one = asyncio.ensure_future(self._one(host))
            one.add_done_callback(self._end)
            self._under_way.add(one)
        if not self._under_way and not self._ended.done():
            self._ended.set_result(None)

    def _end(self, one: asyncio.Task[None]) -> None:
        self._under_way.discard(one)
        if not one.cancelled() and (error := one.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)
        self._begin()

    async def _one(self, host: Host) -> None:
        instance = instance_of(CoroutineTask, self._task, self._task.task, self._processors)
        self._results[host.name] = await instance.begin(host, self._seconds, self._cancellation)


class CoroutineTask(Task):
    """What a coroutine task is given as its first argument. Subtasks: ``await task.arun(function, …)``."""

    async def begin(self, host: Host, seconds: float | None, cancellation: Cancellation) -> MultiResult:
        """Nornir's ``start``, awaited: the outcome comes first, then Nornir's own code makes the results of it."""
        self.host = host
        self._cancellation = cancellation
        function, processors = self.task, self.processors
        if self.parent_task is None:
            processors.task_instance_started(self, host)
        else:
            processors.subtask_instance_started(self, host)
        value, error, cancelled = await self._outcome(seconds)

        def outcome(_: Task, **__: Any) -> Any:
            if error is not None:
                raise error
            return value

        self.task, self.processors = outcome, Processors([_Completion(processors)]) if processors else processors
        try:
            results = self.start(host)
        finally:
            self.task, self.processors = function, processors
        if cancelled and self.parent_task is not None:
            raise asyncio.CancelledError  # the outermost one answers for it
        return results

    async def _outcome(self, seconds: float | None) -> tuple[Any, Exception | None, bool]:
        value: Any = None
        error: BaseException | None = None
        scope = None if seconds is None else asyncio.timeout(seconds)
        try:
            if scope is None:
                value = await self.task(self, **self.params)
            else:
                async with scope:
                    value = await self.task(self, **self.params)
        except BaseException as raised:  # SystemExit, too, would end the loop and lose every host's result
            error = raised
        if scope is not None and scope.expired():
            late = too_late(self.host, seconds)
            late.__cause__ = error
            return None, late, isinstance(error, asyncio.CancelledError)
        if isinstance(error, asyncio.CancelledError):
            return None, interrupted(self.host, self._cancellation, "cancelled"), True
        return value, catchable(error), False

    async def arun(self, task: Callable[..., Any], **kwargs: Any) -> MultiResult:
        """``Task.run`` for a coroutine function. NornirSubTaskError where it failed, as there."""
        if not inspect.iscoroutinefunction(task):
            raise TypeError(f"{task!r} is no coroutine function and would stop the loop; run it in an ordinary task")
        kwargs.setdefault("severity_level", self.severity_level)
        sub = CoroutineTask(
            task, self.nornir, self.global_dry_run, processors=self.processors, parent_task=self, **kwargs
        )
        results = await sub.begin(self.host, deadline_of(task, None), self._cancellation)
        self.results.append(results[0] if len(results) == 1 else results)  # type: ignore[arg-type]  # as Nornir does
        if results.failed:
            raise NornirSubTaskError(task=sub, result=results)
        return results

    def run(self, task: Callable[..., Any], **_: Any) -> MultiResult:
        raise TypeError(f"in a coroutine task, task.run({task!r}) would stop the loop: use `await task.arun(…)`")


class _Completion:
    """Passes on completions only: the start was told when it was one."""

    def __init__(self, processors: Processors) -> None:
        self.task_instance_completed = processors.task_instance_completed
        self.subtask_instance_completed = processors.subtask_instance_completed

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None
