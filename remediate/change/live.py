"""Who uses the archives now, and whom of them a wave would cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nornir.core import Nornir

from remediate import runner, tasks
from remediate.errors import DeviceError, Inconclusive, PeersCut
from remediate.model.base import Value
from remediate.model.change import Candidate, Wave
from remediate.model.peers import Connection, LivePeers
from remediate.model.rule import AnyIntent, CallerIntent, Intent, TlsIntent, UnpublishIntent, WebLoginIntent
from remediate.model.site import Addressing, IPAddress, Pacs, Site


class Cut(Value):
    """One address that has connections open which the candidate for ``device`` would end. ``told``: who sees them.

    ``listed``: the peers in ``access`` that are there for all of these ports.
    """

    pacs: str
    device: str
    address: IPAddress
    ports: tuple[int, ...]
    sessions: int
    told: str
    listed: tuple[str, ...] = ()
    accepted: bool = False


class Live(Value):
    """What was seen before a push, by device."""

    seen: dict[str, LivePeers]
    cut: tuple[Cut, ...]

    def record(self) -> dict[str, Any]:
        """For the journal: this is what the push may end, so it is kept first."""
        counted = Counter(
            (device, str(one.source), one.port, one.interface, one.established)
            for device, live in self.seen.items()
            for one in live.connections
        )
        keys = ("device", "address", "port", "interface", "established")
        return {
            "told": {name: live.how for name, live in self.seen.items() if not live.cannot},
            "cannot_tell": {name: live.cannot for name, live in self.seen.items() if live.cannot},
            "connections": [
                dict(zip(keys, key, strict=True)) | {"count": count} for key, count in sorted(counted.items())
            ],
            "noted": {
                name: [one.model_dump(mode="json") for one in live.noted]
                for name, live in self.seen.items()
                if live.noted
            },
            "cut": [one.model_dump(mode="json") for one in self.cut],
        }

    def notes(self) -> Iterator[str]:
        for name, live in self.seen.items():
            if live.cannot:
                yield f"{name} cannot tell who uses the archive now: {live.cannot}"
        for one in self.cut:
            why = f"listed as {', '.join(one.listed)}" if one.listed else "accepted" if one.accepted else "not listed"
            yield f"{one.address} is connected to {one.pacs} and would be cut off: {why}"

    def check(self) -> None:
        """Raises PeersCut."""
        wrong = [one for one in self.cut if not one.listed and not one.accepted]
        if not wrong:
            return
        texts = [
            f"{one.address}, which {one.told} connected to port {_ports(one.ports)} of {one.pacs}" for one in wrong
        ]
        addresses = " ".join(f"--accept {one}" for one in dict.fromkeys(str(one.address) for one in wrong))
        raise PeersCut(
            f"this would cut off who uses the archive now and is not in `access`: {'; '.join(texts)}",
            next=f"nothing was changed; name them in access.peers and plan again, or let them be cut off: {addresses}",
        )


def look(wave: Wave, site: Site, nornir: Nornir, steady: Nornir) -> Live:
    """Asks the devices that the wave changes, and its archives where there is a login."""
    archives = [site.pacs[name] for name in wave.pacs]
    changed = {candidate.device for candidate in wave.candidates}
    asked = dict.fromkeys(changed, archives)
    asked |= {pacs.name: [pacs] for pacs in archives if pacs.name in site.devices}
    seen = ask(asked, nornir, steady, keep=changed)
    found = (cut for candidate in wave.candidates for cut in cut_by(candidate, site, seen))
    accepted = frozenset(wave.accept)
    return Live(
        seen=dict(sorted(seen.items())),
        cut=tuple(one.model_copy(update={"accepted": one.address in accepted}) for one in found),
    )


def ask(
    asked: Mapping[str, Sequence[Pacs]], nornir: Nornir, steady: Nornir, *, keep: Collection[str] = ()
) -> dict[str, LivePeers]:
    """Device → the archives that it is asked about. One that cannot be asked cannot tell.

    ``keep``: whose session stays open, for what comes next.
    """
    wanted = {
        name: (
            {door.address for pacs in archives for door in pacs.doors(Addressing.REAL)},
            {service.port for pacs in archives for service in pacs.services},
        )
        for name, archives in asked.items()
    }
    if not wanted:
        return {}
    found: dict[str, LivePeers] = {}
    for name, result in runner.run(nornir, tasks.live_peers, hosts=tuple(wanted), wanted=wanted).items():
        if result.exception is None:
            found[name] = result[0].result
        elif isinstance(result.exception, DeviceError | Inconclusive):
            found[name] = LivePeers(cannot=f"could not be asked: {result.exception.what}")
        else:
            raise result.exception
    if others := tuple(name for name in wanted if name not in keep):
        runner.run(steady, tasks.close_session, hosts=others)
    return found


def of_archive(pacs: Pacs, device: str, live: LivePeers) -> tuple[Connection, ...]:
    """The connections to that archive and its fronts, of all that the device sees; without what a front passes on."""
    addresses = {door.address for door in pacs.doors(Addressing.REAL)}
    front = device in pacs.fronts
    ports = {service.port for service in pacs.services if not front or service.front == device}
    here = front or device == pacs.name
    return tuple(
        one
        for one in live.connections
        if one.port in ports
        and one.source not in addresses
        and (one.archive in addresses if one.archive is not None else here)
    )


def listed(pacs: Pacs, address: IPAddress, port: int | None = None) -> tuple[str, ...]:
    """The peers in ``access`` whose place that is, and that are there for that port."""
    services = [service for service in pacs.services if service.port == port]
    return tuple(
        peer.name
        for peer in pacs.access.peers
        if peer.source.version == address.version
        and address in peer.source
        and (port is None or any(peer.uses(service) for service in services))
    )


def cut_by(candidate: Candidate, site: Site, seen: Mapping[str, LivePeers]) -> Iterable[Cut]:
    """By what its sections mean; that its text does just that is proved at plan time.

    A firewall that can tell sees all that passes it. Where it cannot, whoever the archive itself names counts.
    """
    for section in candidate.sections:
        if section.rules is None:
            continue
        pacs, intent = site.pacs[section.intent.pacs], section.intent
        views = [name for name in (candidate.device, pacs.name) if name in seen and not seen[name].cannot]
        if not views:
            continue
        ports: dict[IPAddress, Counter[int]] = {}
        for one in of_archive(pacs, views[0], seen[views[0]]):
            if one.established and _cut(intent, one, pacs):
                ports.setdefault(one.source, Counter())[one.port] += 1
        for address, used in sorted(ports.items(), key=lambda item: (item[0].version, int(item[0]))):
            known = [set(listed(pacs, address, port)) for port in used]
            yield Cut(
                pacs=pacs.name,
                device=candidate.device,
                address=address,
                ports=tuple(sorted(used)),
                sessions=used.total(),
                told=f"{seen[views[0]].how} of {views[0]} shows",
                listed=tuple(sorted(set.union(*known))) if all(known) else (),
            )


def _cut(intent: AnyIntent, one: Connection, pacs: Pacs) -> bool:
    if isinstance(intent, WebLoginIntent):  # whoever has a password goes on
        return False
    if isinstance(intent, CallerIntent | TlsIntent):
        if isinstance(intent, TlsIntent):
            peers = (p.source for p in intent.peers if p.source.version == one.source.version)
            return one.port in intent.ports and not any(one.source in source for source in peers)
        if not any(service.port == one.port and service.kind.is_dicom for service in pacs.services):
            return False
        return all(caller.address != one.source for caller in intent.callers)
    if isinstance(intent, UnpublishIntent):  # one that was opened to the archive itself is told as cut all the same
        own = {port for door in intent.doors for port, _ in door.ports}
        return one.port in own and one.interface in ("", *intent.interfaces)
    if intent.observe:
        return False
    for door in intent.doors:
        if one.port not in {own for own, _ in door.ports} or door.address.version != one.source.version:
            continue
        if one.archive is not None and door.address != one.archive:
            continue
        by = [name for name in intent.stands_on(door) if one.interface in ("", name)]
        if not all(_permitted(intent, one, interface) for interface in by):
            return True
    return False


def _permitted(intent: Intent, one: Connection, interface: str) -> bool:
    return any(
        permit.source.version == one.source.version
        and one.source in permit.source
        and one.port in permit.ports
        and intent.counts_on(interface, permit)
        for permit in intent.permits
    )


def _ports(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))
