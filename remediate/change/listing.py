"""A list of targets, checked in a process of its own: an interpreter has one core, and here something else can be done.

It imports little, so that the check begins soon.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from remediate.errors import Inconclusive, RemediateError
from remediate.inventory import targets
from remediate.inventory.kept import Kept
from remediate.inventory.targets import Checked, Refused
from remediate.model.site import IPAddress, Scope

_FORKS = multiprocessing.get_context("fork")


@contextmanager
def checking(path: Path, refused: Refused, kept: Kept) -> Iterator[Callable[[], Checked]]:
    """What it yields waits for the end of the check, and raises as ``targets.check``."""
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_check, args=(path, refused, kept, theirs))
    process.start()
    theirs.close()

    def checked() -> Checked:
        try:
            found = ours.recv()
        except EOFError as error:
            raise Inconclusive("the list could not be checked: the process that did it has ended") from error
        if isinstance(found, RemediateError):
            raise found
        assert isinstance(found, Checked)  # nothing else is sent
        return found

    try:
        yield checked
    finally:
        process.kill()
        process.join()
        ours.close()


def _check(path: Path, refused: Refused, kept: Kept, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the first process that is told, and ends this one
    try:
        pipe.send(targets.check(path, refused, kept))
    except RemediateError as error:
        pipe.send(error)


def refusing(scope: Scope, source: IPAddress | None) -> Refused:
    """Why a target may not be asked."""
    today = datetime.now(UTC).date()

    def refused(address: IPAddress, port: int) -> str:  # noqa: ARG001 -- a scope is of addresses; the caller knows both
        if not scope.allows(address, today):
            if not scope.authorised or not scope.covers(address):
                return f"{address} is in no network of the scope"
            return scope.ended(address, today)
        if source is not None and source.version != address.version:
            return f"{address} cannot be asked from {source}"
        return ""

    return refused
