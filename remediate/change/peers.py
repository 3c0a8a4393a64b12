"""``remediate peers``: who uses an archive, now and in what was kept of the past, beside ``access``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from remediate import tasks
from remediate.change import live, lookback
from remediate.change.durations import DEVICE_DEADLINE
from remediate.inventory import Loaded
from remediate.model.peers import Covered, LivePeers, PeersSeen, SeenPeer, Use
from remediate.model.site import Addressing, IPAddress, Pacs
from remediate.runner import LoopRunner


def find(loaded: Loaded, pacs: Pacs, files: Sequence[Path], now: datetime) -> PeersSeen:
    """``now``: UTC. Raises UsageError for a file that cannot be read; a device that cannot be asked is named."""
    kept = [lookback.read(path, pacs, now) for path in files]  # before a device is logged in to
    seen = _live(loaded, pacs)
    uses = [use for _, found in kept for use in found]
    for name, one in seen.items():
        uses += of_live(pacs, name, one, now)
    return PeersSeen(
        pacs=pacs.name,
        at=now,
        peers=merged(pacs, uses),
        asked={name: one.how for name, one in seen.items() if not one.cannot},
        cannot_tell={name: one.cannot for name, one in seen.items() if one.cannot},
        files=tuple(covered for covered, _ in kept),
        look_back=span([covered for covered, _ in kept]),
    )


def _live(loaded: Loaded, pacs: Pacs) -> dict[str, LivePeers]:
    site = loaded.site
    names = [name for name in dict.fromkeys((*pacs.protected_by, *pacs.fronts, pacs.name)) if name in site.devices]
    loop = LoopRunner(num_workers=max(1, len(names)), deadline=DEVICE_DEADLINE)
    nornir = tasks.framework(loaded.nornir, site, loop)
    try:
        return live.ask(dict.fromkeys(names, (pacs,)), nornir, nornir)
    finally:
        nornir.close_connections(on_good=True, on_failed=True)
        loop.close()


def of_live(pacs: Pacs, device: str, seen: LivePeers, now: datetime) -> Iterable[Use]:
    for one in live.of_archive(pacs, device, seen):
        yield Use(
            address=one.source,
            port=one.port,
            first=now,
            last=now,
            times=1,
            said_by=f"{seen.how} of {device}",
            live=one.established,
        )
    addresses = {door.address for door in pacs.doors(Addressing.REAL)}
    ports = {service.port for service in pacs.services}
    for note in seen.noted:
        if note.archive in addresses and note.port in ports:
            by = f"packets, noted by the guard of {device}"
            yield Use(
                address=note.source, port=note.port, first=note.last, last=note.last, times=note.packets, said_by=by
            )


def merged(pacs: Pacs, uses: Iterable[Use]) -> tuple[SeenPeer, ...]:
    """By address, whoever is not listed first, and of these the one that was seen last."""
    by: dict[IPAddress, list[Use]] = {}
    for use in uses:
        by.setdefault(use.address, []).append(use)
    found = [_peer(pacs, address, theirs) for address, theirs in by.items()]
    return tuple(sorted(found, key=lambda one: (one.is_listed, -one.last.timestamp(), int(one.address))))


def _peer(pacs: Pacs, address: IPAddress, uses: Sequence[Use]) -> SeenPeer:
    ports = sorted({use.port for use in uses if use.port is not None})
    dicom = {service.port for service in pacs.services if service.kind.is_dicom}
    times: dict[str, int] = {}
    for use in uses:
        times[use.said_by] = times.get(use.said_by, 0) + use.times
    return SeenPeer(
        address=address,
        ports=tuple(ports),
        ae_titles=tuple(sorted({use.ae_title for use in uses if use.ae_title})),
        first=min(use.first for use in uses),
        last=max(use.last for use in uses),
        times=dict(sorted(times.items())),
        listed=live.listed(pacs, address),
        unlisted_ports=tuple(port for port in ports if not live.listed(pacs, address, port)),
        dicom=any(use.port is None or use.port in dicom for use in uses),
        open_now=any(use.live for use in uses),
    )


def span(files: Iterable[Covered]) -> timedelta:
    """The time that the files cover together; what lies between two of them is not covered."""
    total, until = timedelta(0), None
    for first, last in sorted((one.first, one.last) for one in files if one.first and one.last):
        begin = first if until is None else max(first, until)
        total += max(last - begin, timedelta(0))
        until = last if until is None else max(until, last)
    return total
