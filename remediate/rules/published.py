"""That an archive is no longer published by translation: the entries that say so, and whether entries do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from remediate.model.base import Port
from remediate.model.rule import Unpublished, UnpublishIntent
from remediate.model.site import IPAddress


def unpublished(intent: UnpublishIntent) -> tuple[Unpublished, ...]:
    seen = [(door.address, port) for door in intent.doors for port in door.seen]
    return tuple(unpublished_entry(intent.section, intent.interfaces, address, port) for address, port in seen)


def unpublished_entry(section: str, interfaces: Iterable[str], address: IPAddress, port: Port) -> Unpublished:
    by = tuple(sorted(set(interfaces)))
    return Unpublished(interfaces=by, address=address, port=port, note=f"{section}: no longer published")


def prove_unpublished(intent: UnpublishIntent, there: Sequence[object]) -> Iterator[str]:
    """With what the entries do other than the intent; each names single interfaces, one address and one port."""
    done = {(i, one.address, one.port) for one in there if isinstance(one, Unpublished) for i in one.interfaces}
    meant = {(i, door.address, port) for door in intent.doors for port in door.seen for i in intent.interfaces}
    for interface, address, port in sorted(done ^ meant, key=str):
        one, other = (
            ("untouched", "unpublished") if (interface, address, port) in done else ("unpublished", "untouched")
        )
        yield f"TCP to {address} port {port} by {interface}: meant to be {one}, would be {other}"
    if any(not isinstance(one, Unpublished) for one in there):
        yield f"section {intent.section} would filter, which nobody asked for"
