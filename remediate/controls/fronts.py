"""Who carries out what an archive itself would have to do: the fronts that answer in its place, or else the archive."""

from __future__ import annotations

from collections.abc import Collection

from remediate.model.site import Pacs, Service, ServiceKind


def answering(pacs: Pacs, kinds: Collection[ServiceKind]) -> tuple[Service, ...]:
    """Of its services of these kinds those behind a front, where there is one; otherwise all of them."""
    services = tuple(service for service in pacs.services if service.kind in kinds)
    return tuple(service for service in services if service.front is not None) or services


def carriers(pacs: Pacs, services: Collection[Service]) -> tuple[str, ...]:
    """Without any service: the archive itself."""
    return tuple(dict.fromkeys(service.front or pacs.name for service in services)) or (pacs.name,)


def of(pacs: Pacs, services: Collection[Service], device: str) -> tuple[int, ...]:
    """Ports of those services that this device answers for."""
    return tuple(sorted(service.port for service in services if (service.front or pacs.name) == device))
