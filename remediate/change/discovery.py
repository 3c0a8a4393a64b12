"""A sweep over authorised ranges for archives that are in no inventory.

Each address is asked one port after the other, each answer counted and forgotten; only an address where something was
found is handed on.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from remediate import probes
from remediate.change import lanes
from remediate.errors import EXIT_EXPOSED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_OK, Interrupted
from remediate.inventory.kept import ANY_AE_TITLE
from remediate.inventory.ports import How, Place
from remediate.inventory.ranges import Ranges
from remediate.model.discovery import Beside, Discovered, Heard, Likeness
from remediate.model.observation import Observation, Question, Rung, Surface
from remediate.model.site import IPAddress, Limits, LocalVia, Scope, ServiceKind, Site, Vantage
from remediate.policy import PROBE_AE_TITLE
from remediate.runner import Cancellation, LoopRunner
from remediate.vantages import Lookout

#: It answered an A-ASSOCIATE-RQ as DICOM does; a rejection tells that too.
_DICOM = frozenset({Rung.REJECTED, Rung.BUSY, Rung.NO_CONTEXT, Rung.ASSOCIATED, Rung.ECHO})
#: It ended the connection at the A-ASSOCIATE-RQ, or speaks TLS and let us see no more.
_MAYBE_DICOM = frozenset({Rung.ABORTED, Rung.TLS_ONLY, Rung.TLS_CERTIFICATE_WANTED})
_DICOMWEB = frozenset({Surface.QIDO_RS, Surface.QIDO_RS_GUARDED, Surface.WADO_RS})
_ARCHIVE_WEB = frozenset({Surface.QIDO_RS, Surface.WADO_RS, Surface.CONSOLE, Surface.STATISTICS})
#: Other servers, too, keep a path from everybody, and call their pages so.
_MAYBE_WEB = frozenset({Surface.QIDO_RS_GUARDED, Surface.VIEWER})
#: A packet came from there, or from somebody on the way.
_LIFE = frozenset(rung for rung in Rung if rung.reachable) | {Rung.CLOSED, Rung.UNREACHABLE}
#: Seconds that an SSH or SOCKS server may take to say that nobody answered, and connections that it makes at a time.
_FAR_DEADLINE, _FAR_PENDING = 131.0, 64


class Known(NamedTuple):
    """What the inventory says of an address. ``ports``: of archive services seen there; None: any."""

    words: str
    ports: frozenset[int] | None


def known(site: Site) -> dict[IPAddress, Known]:
    """Archives, and their peers: a modality listens too."""
    found: dict[IPAddress, Known] = {}
    for pacs in site.pacs.values():
        for peer in pacs.access.peers:
            for address in (peer.address, peer.listens.address if peer.listens else None):
                if address is not None:
                    found[address] = Known(f"peer {peer.name} of {pacs.name}", None)
        for destination in pacs.access.destinations:
            found[destination.address] = Known(f"destination {destination.name} of {pacs.name}", None)
    archives: dict[IPAddress, dict[str, set[int]]] = {}
    for pacs in site.pacs.values():
        for published in (*pacs.addresses.inside, *pacs.addresses.outside):
            ports = {published.port_of(service) for service in pacs.services if published.has(service)}
            archives.setdefault(published.address, {}).setdefault(pacs.name, set()).update(ports)
    for address, names in archives.items():
        found[address] = Known(" and ".join(names), frozenset().union(*names.values()))
    return found


def heard(observation: Observation) -> Heard | None:
    """The service that answered, None where nothing of DICOM or the web did."""
    rung, question = observation.rung, observation.question
    if not rung.reachable or rung in (Rung.NOT_DICOM, Rung.NOT_HTTP):
        return None
    if question.kind.is_dicom:
        likeness = Likeness.ARCHIVE if rung in _DICOM else Likeness.POSSIBLE
        behind_tls = observation.tls is not None or rung in (Rung.TLS_ONLY, Rung.TLS_CERTIFICATE_WANTED)
        kind = ServiceKind.DICOM_TLS if behind_tls else ServiceKind.DICOM
    else:
        shown = observation.surfaces
        if shown & _ARCHIVE_WEB or rung is Rung.DATA_RETURNED:
            likeness = Likeness.ARCHIVE
        else:
            likeness = Likeness.POSSIBLE if shown & _MAYBE_WEB else Likeness.OTHER
        kind = ServiceKind.DICOMWEB if shown & _DICOMWEB else ServiceKind.WEB
    return Heard(
        kind=kind,
        port=question.port,
        rung=rung,
        likeness=likeness,
        negotiated=observation.negotiated,
        surfaces=observation.surfaces,
        stack=observation.stack,
    )


@dataclass(frozen=True)
class Hunt:
    """``all_others``: ports of How.OTHER are asked at every address, not only where an archive was found.

    ``deadline``: seconds to connect, and once more for the conversation.
    """

    ranges: Ranges
    vantage: Vantage
    scope: Scope
    limits: Limits
    places: tuple[Place, ...]
    known: Mapping[IPAddress, Known]
    all_others: bool = False
    deadline: float = 3.0

    @property
    def first(self) -> tuple[Place, ...]:
        return tuple(place for place in self.places if place.how is not How.OTHER or self.all_others)

    @property
    def beside(self) -> tuple[Place, ...]:
        """Asked where an archive was found."""
        return () if self.all_others else tuple(place for place in self.places if place.how is How.OTHER)

    @property
    def at_a_time(self) -> int:
        """Addresses under way: as many as the pace lets have a connection that nobody answers, and some more."""
        if not isinstance(self.vantage.via, LocalVia):
            return 2 * _FAR_PENDING
        if self.limits.per_site is None:
            return lanes.WAITING
        return max(16, min(lanes.WAITING, math.ceil(self.limits.per_site * (self.deadline + 1))))

    @property
    def seconds(self) -> tuple[float, float]:
        """About, at least: where every port is answered at once, and where none is."""
        each, count = len(self.first), self.ranges.count
        pace = count * each / self.limits.per_site if self.limits.per_site else 0.0
        alone = each / self.limits.per_host if self.limits.per_host else 0.0
        local = isinstance(self.vantage.via, LocalVia)
        silent = self.deadline if local else _FAR_DEADLINE
        rounds = math.ceil(count / min(count, self.at_a_time if local else _FAR_PENDING))
        return max(pace, alone), max(pace, alone, rounds * each * silent)


@dataclass
class Tally:
    """The denominators. Of ``asked`` addresses, ``answered``: something came back; ``not_askable``: no question could
    be put at all, as where this machine's own network has no such neighbour; ``partly``: some could not.

    ``found``: addresses that were handed on, by what they are like. ``blind``: why silence proves nothing.
    """

    addresses: int
    asked: int = 0
    answered: int = 0
    not_askable: int = 0
    partly: int = 0
    found: Counter[Likeness] = field(default_factory=Counter)
    new: Counter[Likeness] = field(default_factory=Counter)
    unlisted: int = 0
    rungs: Counter[Rung] = field(default_factory=Counter)
    stopped: bool = False
    why_stopped: str = ""
    blind: str = ""
    has_canaries: bool = False
    seconds: float = 0.0

    @property
    def not_asked(self) -> int:
        return self.addresses - self.asked

    @property
    def exit_status(self) -> int:
        """Silence everywhere is an answer only where a canary has shown that we would have heard one."""
        if self.stopped:
            return EXIT_INTERRUPTED
        if self.new[Likeness.ARCHIVE] or self.unlisted:
            return EXIT_EXPOSED
        deaf = not self.answered and (not self.has_canaries or self.not_askable == self.asked)
        unknown = self.new[Likeness.POSSIBLE] or self.partly or self.not_asked or self.blind or deaf
        return EXIT_INCONCLUSIVE if unknown else EXIT_OK


#: Takes each address where something was found, on the runner's loop.
Consumer = Callable[[Discovered], None]


def run(
    hunt: Hunt,
    consumer: Consumer,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
    tally: Tally,
    room: lanes.Room | None = None,
) -> None:
    """Asks, and says what was found. ``guarded``: what makes it stop in time; ``tally``: may be looked at meanwhile;
    ``room``: whether the consumer has some, nothing new is asked without.

    What was found of an address when it stops is handed on too. Raises VantageError where the vantage cannot be
    opened, and what a question raised: ScopeError, or a fault of the consumer.
    """
    cancellation = Cancellation()
    asker = LoopRunner(cancellation=cancellation)
    name = hunt.vantage.name
    lookout = Lookout(Site(vantages={name: hunt.vantage}, limits=hunt.limits), [name], scope=hunt.scope)
    asking = _Asking(hunt, lookout, consumer, tally)
    tally.has_canaries = bool(hunt.vantage.canaries)
    began = time.monotonic()

    def look_at_canaries() -> None:
        report = asker.submit(lookout.canaries(name)).result()
        if not report.alive:
            tally.blind = report.detail

    try:
        with guarded(cancellation):
            for error in asker.submit(lookout.open()).result().values():
                raise error
            look_at_canaries()
            lanes.ask_all(iter(hunt.ranges), asking.address, asker, room=room, most=hunt.at_a_time)
            if not cancellation.requested:
                look_at_canaries()
    finally:
        with contextlib.suppress(Interrupted):
            asker.submit(lookout.aclose()).result()
        asker.close()
        tally.stopped, tally.why_stopped = cancellation.requested, cancellation.reason
        tally.seconds = time.monotonic() - began


class _Asking:
    def __init__(self, hunt: Hunt, lookout: Lookout, consumer: Consumer, tally: Tally) -> None:
        self._hunt = hunt
        self._first, self._beside = hunt.first, hunt.beside
        self._lookout = lookout
        self._consumer = consumer
        self._tally = tally

    async def address(self, number: int, address: IPAddress) -> None:  # noqa: ARG002 -- the number is the list's
        """One port after the other."""
        one = _Address(self._hunt, self._lookout, address)
        whole = False
        try:
            for place in self._first:
                await one.ask(place)
            if one.looks_like_an_archive:
                for place in self._beside:
                    await one.ask(place)
            whole = True
        finally:
            self._count(one, whole=whole)
            if (found := one.found(whole=whole)) is not None:
                self._tally.found[found.likeness] += 1
                self._tally.new[found.likeness] += found.is_new
                self._tally.unlisted += bool(found.unlisted)
                self._consumer(found)

    def _count(self, one: _Address, *, whole: bool) -> None:
        tally = self._tally
        tally.rungs.update(one.rungs)
        if not whole:
            return
        tally.asked += 1
        tally.answered += not _LIFE.isdisjoint(one.rungs)
        unknown = one.rungs.count(Rung.INCONCLUSIVE)
        tally.not_askable += unknown == len(one.rungs)
        tally.partly += 0 < unknown < len(one.rungs)


class _Address:
    def __init__(self, hunt: Hunt, lookout: Lookout, address: IPAddress) -> None:
        self._hunt = hunt
        self._dial = lookout.round()  # whose count of associations is forgotten with it
        self._address = address
        self._services: list[Heard] = []
        self._others: list[Beside] = []
        self.rungs: list[Rung] = []

    @property
    def looks_like_an_archive(self) -> bool:
        return any(one.likeness is not Likeness.OTHER for one in self._services)

    async def ask(self, place: Place) -> None:
        question = self._question(place)
        if place.how is How.OTHER:
            rung = await probes.touch(self._dial, question, self._hunt.deadline)
            self._others.append(Beside(name=place.name, port=place.port, rung=rung))
        else:
            observation = await probes.observe(self._dial, question, self._hunt.deadline)
            rung = observation.rung
            if (service := heard(observation)) is not None:
                self._services.append(service)
            elif rung.reachable:
                self._others.append(Beside(name="unknown", port=place.port, rung=rung))
        # Whose words an SSH or SOCKS server repeats is not known: they are no sign of life, and may be its own.
        told = rung is not Rung.UNREACHABLE or isinstance(self._hunt.vantage.via, LocalVia)
        self.rungs.append(rung if told else Rung.INCONCLUSIVE)

    def _question(self, place: Place) -> Question:
        """An address is what a PACS is to the dial's gate and pace."""
        dicom = place.how is How.DICOM
        return Question(
            pacs=str(self._address),
            vantage=self._hunt.vantage.name,
            kind=place.kind,
            address=self._address,
            port=place.port,
            service_port=place.port,
            calling_ae_title=PROBE_AE_TITLE if dicom else None,
            called_ae_title=ANY_AE_TITLE if dicom else None,
            up_to=Rung.ASSOCIATED if dicom else None,  # that, or a rejection, is what tells DICOM
        )

    def found(self, *, whole: bool) -> Discovered | None:
        asked_for = self._hunt.all_others and any(other.rung.reachable for other in self._others)
        if not self.looks_like_an_archive and not asked_for:
            return None
        entry = self._hunt.known.get(self._address)
        listed = entry.ports if entry is not None else None
        sure = [one.port for one in self._services if one.likeness is Likeness.ARCHIVE]
        return Discovered(
            address=self._address,
            at=datetime.now(UTC),
            services=tuple(sorted(self._services, key=lambda one: one.port)),
            others=tuple(sorted(self._others, key=lambda one: one.port)),
            known_as=entry.words if entry is not None else "",
            unlisted=() if listed is None else tuple(sorted(port for port in sure if port not in listed)),
            whole=whole,
        )
