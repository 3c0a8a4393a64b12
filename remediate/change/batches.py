"""Any number of things asked on one loop, a batch at a time: only what is under way is held."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

from nornir.core import Nornir
from nornir.core.inventory import Host, Hosts, Inventory
from nornir.core.task import Result

from remediate import runner
from remediate.errors import Interrupted, UsageError
from remediate.runner import Cancellation, CoroutineTask, LoopRunner
from remediate.runner.limits import LOOK_UP

#: Things of one run of the runner; the next one begins while the last answers of this one are waited for.
BATCH = 4096
#: Connections that are answered at once, under way at a time: more would not make it faster, only later.
CONVERSATIONS = 128
#: Seconds without an end after which a question counts as one that waits for an answer that may never come; as many
#: of those are under way as there are descriptors, up to WAITING.
PATIENCE = 0.05
WAITING = 8000
#: Descriptors that are not connections.
_OTHER_DESCRIPTORS = 128

Unit = TypeVar("Unit")


def loop_runner(cancellation: Cancellation, most: int = WAITING) -> LoopRunner:
    """``most``: under way at a time in all, where there are descriptors for them."""
    # Two batches at a time: what is said of one here is half of what there is.
    return LoopRunner(
        max_coroutines=max(1, min(CONVERSATIONS, most) // 2),
        patience=PATIENCE,
        most_coroutines=max(1, min(_descriptors(), most) // 2),
        cancellation=cancellation,
    )


def ask_all(
    units: Iterator[tuple[int, Unit]],
    ask: Callable[[int, Unit], Awaitable[None]],
    asker: LoopRunner,
    *,
    size: int = BATCH,
) -> None:
    """Each with its number, which no other has. Returns early once the runner's cancellation was requested: the
    sooner, the smaller the batches are, since a runner has a result for everything in them.

    Raises what the first failed one raised; nothing new is begun then.
    """
    batches = _batches(units, size)
    with ThreadPoolExecutor(2, thread_name_prefix="batch") as pool:
        running: set[Future[None]] = set()
        while not asker.cancellation.requested and (batch := next(batches, None)) is not None:
            running.add(pool.submit(_run, batch, ask, asker))
            if len(running) == 2:
                _, running = _waited(running, all_of_them=False)
        _waited(running, all_of_them=True)


def _batches(units: Iterator[tuple[int, Any]], size: int) -> Iterator[Inventory]:
    while some := list(islice(units, size)):
        yield Inventory(Hosts({str(number): Host(str(number), data={"unit": unit}) for number, unit in some}))


def _run(batch: Inventory, ask: Callable[[int, Any], Awaitable[None]], asker: LoopRunner) -> None:
    for result in runner.run(Nornir(batch, runner=asker), _ask, ask=ask).values():
        if result.failed and not isinstance(result.exception, Interrupted):
            asker.cancellation.request(f"{result.exception}")
            raise result.exception or UsageError("one of them failed without an error")


@runner.deadline(None)  # its end is that of the dial's own deadlines
async def _ask(task: CoroutineTask, ask: Callable[[int, Any], Awaitable[None]]) -> Result:
    """One that is cancelled has simply ended: Nornir would write a traceback for each, which takes seconds."""
    with contextlib.suppress(asyncio.CancelledError):
        await ask(int(task.host.name), task.host.data["unit"])
    return Result(host=task.host)


def _waited(running: set[Future[None]], *, all_of_them: bool) -> tuple[set[Future[None]], set[Future[None]]]:
    """Done and not done; raises what one of them raised. In short steps: a signal handler must be able to run."""
    while True:
        done, left = wait(running, timeout=LOOK_UP, return_when="ALL_COMPLETED" if all_of_them else "FIRST_COMPLETED")
        if not left or (done and not all_of_them):
            for one in done:
                one.result()
            return done, left


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
