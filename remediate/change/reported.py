"""What somebody reported as open: whose it is, whether it still is, and whether it was closed before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime

from remediate import tasks
from remediate.change import discovery, lanes, replaying
from remediate.change.gates import baseline_of
from remediate.change.looking import DEADLINE
from remediate.errors import (
    EXIT_EXPOSED,
    EXIT_INCONCLUSIVE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Interrupted,
    RecordError,
    UsageError,
)
from remediate.inventory import Loaded, ports
from remediate.inventory.kept import ANY_AE_TITLE
from remediate.inventory.ports import How
from remediate.inventory.reported import Addresses, Places
from remediate.judge import finding, seeing
from remediate.model.observation import CanaryReport, Observation
from remediate.model.reported import Before, Now, Reported, Whose
from remediate.model.site import IPAddress, Pacs, Scope, Service, Site, Vantage, Zone
from remediate.model.verdict import Expectation, Finding, Outcome, Purpose, Verdict
from remediate.playbook import Playbook
from remediate.policy import unreached
from remediate.record import Record
from remediate.runner import Cancellation, LoopRunner
from remediate.vantages import Lookout


@dataclass(frozen=True)
class Inquiry:
    """What is to be asked. ``whose``: every address of the list, nothing seen yet; ``expected``: by address."""

    loaded: Loaded
    addresses: Addresses
    vantages: tuple[str, ...]
    whose: tuple[Reported, ...]
    expected: Mapping[IPAddress, tuple[Expectation, ...]]

    @property
    def scope(self) -> Scope:
        """Beside the inventory's own: what is asked of the list, each of which an authorisation covers."""
        own = self.loaded.site.scope()
        return Scope(addresses=(own.addresses or frozenset()) | set(self.expected), authorised=own.authorised)

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        return tuple(one for some in self.expected.values() for one in some)


@dataclass(frozen=True)
class Answered:
    """``past``: whether there was a record to look into; ``doubts``: what of it cannot be relied on.

    ``stopped``: why not everything was asked; "" where it was.
    """

    addresses: tuple[Reported, ...]
    unreadable: Mapping[int, str]
    canaries: tuple[CanaryReport, ...]
    unopened: Mapping[str, str]
    past: bool
    doubts: tuple[str, ...] = ()
    stopped: str = ""

    def count(self, *kinds: Whose) -> int:
        return sum(one.whose in kinds for one in self.addresses)

    @property
    def exit_status(self) -> int:
        """What nobody could ask or read may be open; a list of which nothing could be asked has shown nothing."""
        if self.stopped:
            return EXIT_INTERRUPTED
        if any(one.now is Now.OPEN for one in self.addresses):
            return EXIT_EXPOSED
        ours = [one for one in self.addresses if one.whose.is_ours]
        known = ours and all(one.now is Now.CLOSED for one in ours)
        return EXIT_OK if known and not self.unreadable and not self.doubts else EXIT_INCONCLUSIVE


def inquiry(loaded: Loaded, book: Playbook, addresses: Addresses, limit: str | None, today: date) -> Inquiry:
    """Sorts the list; nothing is asked. Raises UsageError where no vantage stands outside."""
    (play,) = book.plays
    site = loaded.site
    outside = [name for name in play.vantages or site.vantages if site.vantages[name].zone is Zone.OUTSIDE]
    names = tuple(name for name in outside if site.vantages[name].peer is None)  # a peer may be let in
    if not names:
        raise UsageError(
            "what is open to the outside can only be seen from there, and no vantage is outside and in nobody's place",
            where=f"play {play.name!r}",
            next="name one with zone: outside and without peer in verify: {from: [...]}",
        )
    selected = set(loaded.select(play.hosts, limit))
    vantages = [site.vantages[name] for name in names]
    sorter = _Sorter(site, selected, today)
    whose = tuple(sorter.one(address, places) for address, places in addresses.found.items())
    expected = {one.address: made for one in whose if (made := tuple(_expected(site, one, vantages)))}
    return Inquiry(loaded, addresses, names, whose, expected)


class _Sorter:
    def __init__(self, site: Site, selected: Collection[str], today: date) -> None:
        self._site = site
        self._selected = selected
        self._today = today
        self._known = discovery.known(site)
        self._archives: dict[IPAddress, list[Pacs]] = {}
        for pacs in site.pacs.values():
            for address in {p.address for p in (*pacs.addresses.inside, *pacs.addresses.outside)}:
                self._archives.setdefault(address, []).append(pacs)

    def one(self, address: IPAddress, places: Places) -> Reported:
        there = self._archives.get(address, [])
        archives = [pacs for pacs in there if pacs.name in self._selected] or there
        whose, why = self._whose(address, archives)
        known = self._known.get(address)
        return Reported(
            address=address,
            ports=tuple(sorted(places.ports)),
            lines=tuple(places.lines),
            whose=whose,
            known_as=known.words if known else "",
            protected_by={pacs.name: pacs.protected_by for pacs in archives},
            why_not_asked=why,
        )

    def _whose(self, address: IPAddress, archives: Sequence[Pacs]) -> tuple[Whose, str]:
        scope = Scope(addresses=None, authorised=self._site.authorised)
        if not (scope.covers(address) if scope.authorised else archives):
            return Whose.FOREIGN, "nothing was sent: it is in no network of scope"
        if ended := scope.ended(address, self._today):
            return Whose.ENDED, f"{ended}; nothing was sent"
        if not archives:
            return Whose.UNLISTED, ""
        if all(pacs.name not in self._selected for pacs in archives):
            return Whose.LEFT_OUT, "hosts or --limit leave it out"
        return Whose.ARCHIVE, ""


def _expected(site: Site, one: Reported, vantages: Sequence[Vantage]) -> Iterator[Expectation]:
    """An archive's services there, and the ports of the list; of an unknown host, those or the usual ones."""
    given = ports.chosen(map(str, one.ports)) if one.ports else ()
    if one.whose is Whose.UNLISTED:
        places = given or tuple(place for place in ports.PLACES if place.how is not How.OTHER)
        wanted = [(one.address, Service(kind=place.kind, port=place.port), place.port) for place in places]
        yield from unreached(str(one.address), wanted, ANY_AE_TITLE, vantages)
    if one.whose is not Whose.ARCHIVE:
        return
    told: set[int] = set()
    for name in one.protected_by:
        pacs = site.pacs[name]
        seen = {
            published.port_of(service): (one.address, service, published.port_of(service))
            for published in (*pacs.addresses.outside, *pacs.addresses.inside)
            if published.address == one.address
            for service in pacs.services
            if published.has(service)
        }
        told |= set(seen)
        yield from unreached(name, seen.values(), pacs.ae_title, vantages)
    rest = [(one.address, Service(kind=p.kind, port=p.port), p.port) for p in given if p.port not in told]
    first = site.pacs[next(iter(one.protected_by))]
    yield from unreached(first.name, rest, first.ae_title, vantages)


def ask(
    inquiry: Inquiry,
    record: Record | None,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
    told: Callable[[int, int], object] = lambda _done, _questions: None,
) -> Answered:
    """Once, from outside, with the canaries before and after. No device is logged in to, and the record is only read.

    ``guarded``: what makes it stop in time. ``told``: how many of how many questions are done; it must not wait.
    """
    before, doubts = history(record, set(inquiry.expected)) if record else ({}, ())
    cancellation = Cancellation()
    asker = LoopRunner(cancellation=cancellation)
    lookout = Lookout(inquiry.loaded.site, inquiry.vantages, scope=inquiry.scope)
    asked = inquiry.expectations
    seen: dict[Expectation, Observation] = {}
    dial = lookout.round()

    async def one(number: int, expected: Expectation) -> None:  # noqa: ARG001 -- the number is the list's
        for observation in await tasks.answers((expected.question,), dial, DEADLINE):
            seen[expected] = observation
        told(len(seen), len(asked))

    def canaries() -> list[CanaryReport]:
        return [asker.submit(lookout.canaries(name)).result() for name in inquiry.vantages] if asked else []

    reports: list[CanaryReport] = []
    unopened: dict[str, str] = {}
    try:
        with guarded(cancellation):
            if asked:
                unopened = {name: str(error) for name, error in asker.submit(lookout.open()).result().items()}
            reports = canaries()
            lanes.ask_all(iter(enumerate(asked)), one, asker)
            if not cancellation.requested:
                reports += canaries()
    finally:
        with contextlib.suppress(Interrupted):
            asker.submit(lookout.aclose()).result()
        asker.close()
    alive = seeing(reports)
    return Answered(
        addresses=tuple(
            one.model_copy(
                update={
                    "findings": tuple(finding(e, seen.get(e), alive) for e in inquiry.expected.get(one.address, ())),
                    "before": before.get(one.address),
                }
            )
            for one in inquiry.whose
        ),
        unreadable=inquiry.addresses.unreadable,
        canaries=tuple(reports),
        unopened=unopened,
        past=record is not None,
        doubts=doubts,
        stopped=cancellation.reason if cancellation.requested else "",
    )


@dataclass(frozen=True)
class _Round:
    """What one look of one change saw of one archive from outside: address and port → closed."""

    at: datetime
    change: str
    protected: bool
    closed: Mapping[tuple[IPAddress, int], bool]


def history(record: Record, addresses: Collection[IPAddress]) -> tuple[dict[IPAddress, Before], tuple[str, ...]]:
    """What the changes of the record saw of them, and what of the record cannot be relied on."""
    rounds: list[_Round] = []
    doubts: list[str] = []
    for name in (summary.change for summary in record.changes()):
        problems = record.verify(name)
        try:
            found = list(_rounds(record, name))
        except RecordError as error:
            problems = [*problems, error.what]
            found = []
        if problems:
            doubts.append(f"change {name}: {problems[0]}; what it saw does not count")
        else:
            rounds += found
    before: dict[IPAddress, Before] = {}
    for one in sorted(rounds, key=lambda one: one.at):
        for address in {address for address, _ in one.closed} & set(addresses):
            _remember(before, address, one)
    return before, tuple(doubts)


def _remember(before: dict[IPAddress, Before], address: IPAddress, one: _Round) -> None:
    seen = {port: closed for (where, port), closed in one.closed.items() if where == address}
    was = before.get(address)
    if one.protected and all(seen.values()):
        ports = tuple(sorted(seen))
        if was is None or was.opened_by is not None:
            was = Before(change=one.change, at=one.at, ports=ports)
        before[address] = was.model_copy(update={"ports": ports})
    elif was is not None and was.opened_by is None and any(not seen.get(port, True) for port in was.ports):
        before[address] = was.model_copy(update={"opened_by": one.change, "opened_at": one.at})


def _rounds(record: Record, name: str) -> Iterator[_Round]:
    entries = list(record.journal(name))
    plan, _ = replaying.replay(entries)
    waves = {wave.number: wave for wave in plan.waves} if plan else {}
    for entry in entries:
        if "observations" not in entry.data or entry.data.get("wave") not in waves:
            continue
        for judgement in baseline_of(waves[entry.data["wave"]], entry.data).judgements:
            closed: dict[tuple[IPAddress, int], bool] = {}
            for one in _outside(judgement.findings):
                place = (one.expectation.question.address, one.expectation.question.port)
                closed[place] = closed.get(place, True) and one.outcome is Outcome.MET
            protected = entry.data["verdicts"].get(judgement.pacs) == Verdict.PROTECTED
            yield _Round(entry.at, name, protected, closed)


def _outside(findings: Iterable[Finding]) -> Iterator[Finding]:
    """What is known only: of an unknown port nothing follows."""
    for one in findings:
        if one.expectation.purpose is Purpose.OUTSIDE_CLOSED and one.outcome is not Outcome.UNKNOWN:
            yield one
