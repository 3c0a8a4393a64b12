"""The runner itself, and ``run`` for one stage of a change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task

from remediate.errors import UsageError
from remediate.runner.limits import Cancellation, deadline_of, not_run
from remediate.runner.loop import Loop, OnLoop
from remediate.runner.relay import relayed
from remediate.runner.threads import InThreads

T = TypeVar("T")


class LoopRunner:
    """num_workers: threads for ordinary tasks; max_coroutines: hosts at a time for coroutine tasks.

    deadline: seconds for a task on one host, from its start there; an ordinary task's connections are aborted then.
    """

    def __init__(
        self,
        num_workers: int = 20,
        max_coroutines: int = 200,
        deadline: float | None = None,
        *,
        cancellation: Cancellation | None = None,
        loop: Loop | None = None,
    ) -> None:
        if num_workers < 1 or max_coroutines < 1:
            raise UsageError("a runner needs at least one worker", next="num_workers and max_coroutines are 1 or more")
        self.num_workers = num_workers
        self.max_coroutines = max_coroutines
        self.deadline = deadline
        self.cancellation = cancellation or Cancellation()
        self._loop = loop or Loop()

    def with_cancellation(self, cancellation: Cancellation) -> LoopRunner:
        """The same runner on the same loop under another cancellation: what is taken back is not cancelled too."""
        return LoopRunner(
            self.num_workers,
            self.max_coroutines,
            self.deadline,
            cancellation=cancellation,
            loop=self._loop,
        )

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs it on the loop that the coroutine tasks use. Not to be waited for on that loop itself."""
        return self._loop.submit(coroutine)

    def close(self) -> None:
        """Ends the loop and what still runs on it."""
        self._loop.close()

    def run(self, task: Task, hosts: list[Host]) -> AggregatedResult:
        """KeyboardInterrupt: requests the cancellation and is raised again once all is joined, a second at once."""
        if self._loop.is_here():
            raise RuntimeError("a run was started on the loop that it would wait for; start it in a thread")
        results: dict[str, MultiResult] = {}
        seconds = deadline_of(task.task, self.deadline)
        stop = self.cancellation
        with relayed(task.processors) as processors:
            work: OnLoop | InThreads
            if inspect.iscoroutinefunction(task.task):
                most, loop = self.max_coroutines, self._loop
                work = OnLoop(
                    task, hosts, processors, results, seconds=seconds, most=most, cancellation=stop, loop=loop
                )
            else:
                most = self.num_workers
                work = InThreads(task, hosts, processors, results, seconds=seconds, most=most, cancellation=stop)
            with stop.calling(work.cancel):
                interrupt = _finish(work, stop)
        if interrupt is not None:
            raise interrupt
        result = AggregatedResult(task.name)
        for host in hosts:
            result[host.name] = results.get(host.name) or not_run(task, host, stop)
        return result


def _finish(work: OnLoop | InThreads, cancellation: Cancellation) -> KeyboardInterrupt | None:
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            work.wait()
        except KeyboardInterrupt as pressed:
            if interrupt is not None:
                raise
            interrupt = pressed
            cancellation.request("interrupted from the keyboard")
        else:
            return interrupt


def run(
    nornir: Nornir,
    task: Callable[..., Any],
    *,
    hosts: Iterable[str] | None = None,
    on_failed: bool = True,
    **params: Any,
) -> AggregatedResult:
    """``nornir.run`` for one stage: on the hosts named, or all; those that failed in an earlier stage included.

    The processors' whole-task events go through the relay as well, and ``raise_on_error`` of the configuration
    does not count, so that no result is lost. UsageError: an unknown host, or none at all.
    """
    names = set(nornir.inventory.hosts) if hosts is None else set(hosts)
    if unknown := names - set(nornir.inventory.hosts):
        raise UsageError(f"not in the inventory: {', '.join(sorted(unknown))}", next="`remediate inventory show`")
    if not on_failed:
        names -= nornir.data.failed_hosts
    if not names:
        raise UsageError("no host was selected, so nothing was asked or changed", next="look at --limit and `hosts:`")
    if on_failed:
        nornir.data.reset_failed_hosts()
    with relayed(nornir.processors) as processors:
        chosen = nornir.filter(filter_func=lambda host: host.name in names).with_processors(processors)
        return chosen.run(task, raise_on_error=False, **params)
