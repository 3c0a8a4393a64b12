"""The look at one PACS for other people's Nornir scripts: an ordinary task, whatever runs it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from nornir.core.task import Result, Task

from remediate.errors import Inconclusive, UsageError
from remediate.inventory import site_of
from remediate.judge import judge
from remediate.model.observation import CanaryReport, Observation, Question
from remediate.model.site import Site
from remediate.model.verdict import Outcome
from remediate.policy import expectations
from remediate.tasks.asking import answers
from remediate.vantages import Lookout

T = TypeVar("T")


def verify_exposure(task: Task, vantages: Sequence[str] | None = None, deadline: float = 5.0) -> Result:
    """For other people's scripts: look at one PACS from some vantages, or from all, and change nothing.

    An ordinary function, for Nornir's own runners and for ours, on an inventory of the plugin RemediateInventory.
    ``deadline``: seconds, see ``model.stream.Dial``. The result is a ``Judgement``. It has failed only where a question
    could not be asked; the judgement is there all the same. Raises UsageError for a host that is no PACS.
    """
    site = site_of(task.nornir.inventory)
    pacs = site.pacs.get(task.host.name)
    if pacs is None:
        raise UsageError(
            "this host is no PACS", where=task.host.name, next='choose some: nr.filter(F(has_parent_group="pacs"))'
        )
    names = tuple(site.vantages if vantages is None else dict.fromkeys(vantages))
    if unknown := [name for name in names if name not in site.vantages]:
        raise UsageError(f"no vantage is called {unknown[0]}", next=f"there are: {', '.join(site.vantages)}")
    if not names:
        raise UsageError("there is no vantage to look from", next="add one to the inventory")
    expected = expectations(pacs, [site.vantages[name] for name in names])
    with _shared.between_hosts(site, names) as lookout:
        unusable = lookout.unusable
        seen, canaries = lookout.round([e.question for e in expected.expectations], deadline)
    found = judge(
        pacs.name,
        expected.expectations,
        seen,
        canaries,
        not_asked=expected.not_asked,
        unasked=expected.unasked,
    )
    whys = {f.expectation.question: f.why for f in found.findings if f.outcome is Outcome.UNKNOWN}
    error = None
    if whys:
        reasons = [f"vantage {name}: {why.what}" for name, why in unusable.items()] or list(
            dict.fromkeys(whys.values())
        )
        what = f"{len(whys)} questions could not be asked: {'; '.join(reasons)}"
        error = Inconclusive(what, where=pacs.name, next="mend that, and look again")
    return Result(host=task.host, result=found, failed=error is not None, exception=error)


class _OpenLookout:
    """Vantages on a loop in a thread of its own. ``users``: the hosts that look from there now.

    ``unusable``: the vantages that could not be opened; every question from there stays without an answer.
    """

    def __init__(self, site: Site, vantages: tuple[str, ...]) -> None:
        self.users = 0
        self._vantages = vantages
        self._lookout = Lookout(site, vantages)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vantages", daemon=True)
        self._thread.start()
        try:
            self.unusable = self._wait(self._lookout.open())
        except BaseException:
            self.close()
            raise

    def round(
        self, questions: Sequence[Question], deadline: float
    ) -> tuple[tuple[Observation, ...], list[CanaryReport]]:
        """Canaries, questions, canaries again."""
        return self._wait(self._round(dict.fromkeys(questions), deadline))

    async def _round(
        self, questions: Iterable[Question], deadline: float
    ) -> tuple[tuple[Observation, ...], list[CanaryReport]]:
        canaries = await self._canaries()
        seen = await answers(questions, self._lookout.round(), deadline)
        return seen, canaries + await self._canaries()

    async def _canaries(self) -> list[CanaryReport]:
        return await asyncio.gather(*(self._lookout.canaries(name) for name in self._vantages))

    def close(self) -> None:
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """What a Ctrl-C left behind goes first."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._lookout.aclose()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _Shared:
    """Opened by the first host that looks, closed by the last: an SSH server takes only a few logins at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, tuple[str, ...]], _OpenLookout] = {}

    @contextmanager
    def between_hosts(self, site: Site, vantages: tuple[str, ...]) -> Iterator[_OpenLookout]:
        key = (id(site), vantages)  # nobody else has that id while the lookout holds the site
        with self._lock:
            if key not in self._open:
                self._open[key] = _OpenLookout(site, vantages)
            lookout = self._open[key]
            lookout.users += 1
        try:
            yield lookout
        finally:
            with self._lock:
                lookout.users -= 1
                if not lookout.users:
                    del self._open[key]
                    lookout.close()


#: Nornir gives a task nothing that its hosts share and that has an end; this is empty whenever no task runs.
_shared = _Shared()
