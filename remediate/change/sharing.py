"""One sweep in several processes: asking is computing, and an interpreter has one core.

They are forked before anything else runs in this one, and take the targets part by part. Each asks as ``sweep.run``
does and sends lines and counts through a pipe; this one alone writes. A process whose pipe to here is gone stops by
itself.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Protocol

from remediate.change import sweep as sweeping
from remediate.change.lanes import Room
from remediate.change.sweep import Answer, Sweep, Tally
from remediate.change.written import Ending, Written
from remediate.errors import Inconclusive, RemediateError
from remediate.model.observation import Rung
from remediate.model.verdict import Outcome
from remediate.runner import Cancellation

#: Targets that are worth a process of their own.
WORTH = 2048
_TICK = 0.1


class Lines(Protocol):
    """Where lines go; ``report.lines.Lines``."""

    @property
    def room(self) -> Room: ...

    def put(self, text: str) -> None: ...

    def close(self) -> None: ...


class Output(Protocol):
    """How answers become lines, and where to: all that a sweep's caller says about its output."""

    def line(self, answer: Answer) -> str: ...

    def lines(self, write: Callable[[bytes], object]) -> Lines: ...


def run(
    sweep: Sweep,
    output: Output,
    descriptor: int | None,
    tally: Tally,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
) -> None:
    """``descriptor``: where the lines go, None for nowhere. ``tally``: is kept up to date.

    Raises what a process could not go on with; the others are stopped then.
    """
    shares = max(1, min(len(os.sched_getaffinity(0)), tally.targets // WORTH))
    forks = multiprocessing.get_context("fork")
    began = time.monotonic()
    processes: dict[Connection, multiprocessing.process.BaseProcess] = {}
    parts: dict[Connection, tuple[Counter[Rung], Counter[Outcome]]] = {}
    cancellation = Cancellation()
    gc.freeze()
    for _ in range(shares):
        mine, theirs = forks.Pipe()
        process = forks.Process(target=_share, args=(sweep, shares, output, theirs, (*processes, mine)))
        process.start()
        theirs.close()
        processes[mine] = process
    ending = Ending(cancellation)
    written = Written(descriptor, cancellation, ending)
    failed: RemediateError | None = None
    with guarded(cancellation), cancellation.calling(lambda: _tell(processes, cancellation.reason)):
        while processes and not ending.is_over:
            for ours in wait(list(processes), timeout=_TICK):
                assert isinstance(ours, Connection)  # nothing else is waited for
                try:
                    lines, rungs, outcomes, blind, error = ours.recv()
                except (EOFError, OSError):
                    processes.pop(ours).join()
                    continue
                parts[ours] = rungs, outcomes
                tally.blind = tally.blind or blind
                tally.rungs = sum((part[0] for part in parts.values()), Counter())
                tally.outcomes = sum((part[1] for part in parts.values()), Counter())
                tally.seconds = time.monotonic() - began
                if error is not None and failed is None:
                    failed = error
                    cancellation.request("a part of the sweep failed")
                written.write(lines)
    for left in processes.values():
        left.kill()
        left.join()
    tally.seconds = time.monotonic() - began
    tally.stopped, tally.why_stopped = cancellation.requested, cancellation.reason
    if failed is not None:
        raise failed
    if tally.not_asked and not tally.stopped:
        raise Inconclusive(
            f"a part of the sweep ended early: {tally.not_asked} targets have no answer",
            next="look for messages above, and ask those again",
        )


def _tell(processes: dict[Connection, multiprocessing.process.BaseProcess], reason: str) -> None:
    for ours in tuple(processes):
        try:
            ours.send(reason)
        except OSError:  # it has ended by itself
            continue


def _share(sweep: Sweep, of: int, output: Output, pipe: Connection, others: tuple[Connection, ...]) -> None:
    """In a process of its own."""
    for signalled in (signal.SIGINT, signal.SIGTERM):  # it is the first process that is told, and tells us
        signal.signal(signalled, signal.SIG_IGN)
    for other in others:  # or they would be open here after their owner has gone
        other.close()
    tally = Tally(0, 0)
    sending = threading.Lock()

    def send(lines: bytes, error: RemediateError | None = None) -> None:
        with sending:
            pipe.send((lines, Counter(tally.rungs), Counter(tally.outcomes), tally.blind, error))

    lines = output.lines(send)

    def consume(answer: Answer) -> None:
        lines.put(output.line(answer))

    @contextmanager
    def guarded(cancellation: Cancellation) -> Iterator[None]:
        threading.Thread(target=_stopped, args=(pipe, cancellation), daemon=True).start()
        yield

    limits = sweep.limits
    if limits.per_site is not None:
        limits = limits.model_copy(update={"per_site": limits.per_site / of})
    try:
        error = None
        try:
            sweeping.run(replace(sweep, limits=limits), consume, guarded, tally, lines.room)
        except RemediateError as raised:
            error = raised
        lines.close()
        send(b"", error)
    except OSError:  # the first process has gone
        os._exit(1)


def _stopped(pipe: Connection, cancellation: Cancellation) -> None:
    try:
        reason = pipe.recv()
    except (EOFError, OSError):
        reason = "the first process has gone"
    cancellation.request(reason)
