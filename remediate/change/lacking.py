"""What a section of the guard lacks on its device, since somebody has taken it out there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from remediate.errors import DriftError
from remediate.model.change import Items, Section, Wave
from remediate.model.rule import Action, Intent, Rule

_SIDES = ("ingress", "egress", "sources", "destinations")


def check_left(change: str, device: str, section: Section, there: Items | None) -> None:
    """Raises DriftError unless what a change left of a section is there, all of it or some of its rules.

    A value of an archive's configuration that is gone may have gone for a reason, so of these all must be there.
    """
    if there == section.rules:
        return
    if there is None:
        raise DriftError(
            f"section {section.name} of the guard is not what change {change} left",
            where=device,
            next="nothing of it is there any more, so there is nothing to take back; remediate run puts it there again",
        )
    more = _singles(there) - _singles(section.rules)
    if more or not all(isinstance(item, Rule) for item in there):
        raise DriftError(
            f"section {section.name} of the guard is not what change {change} left",
            where=device,
            next="see what changed it since (remediate record list), and take that back first",
        )


def shut_out(wave: Wave) -> dict[str, dict[str, tuple[str, ...]]]:
    """PACS → peer → the devices whose guard denies it now and, as this wave leaves it, lets it pass."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for made in wave.candidates:
        for section in made.sections:
            for peer in _peers(section):
                peers = found.setdefault(section.intent.pacs, {})
                peers[peer] = (*peers.get(peer, ()), made.device)
    return found


def _peers(section: Section) -> Iterator[str]:
    intent = section.intent
    there = [rule for rule in section.previous or () if isinstance(rule, Rule)]
    if not isinstance(intent, Intent) or not any(rule.action is Action.DENY for rule in there):
        return
    lost = {
        network
        for action, _, _, *networks, _, _ in _singles(section.rules) - _singles(there)
        for network in networks
        if action is Action.PERMIT
    }
    yield from (permit.peer for permit in intent.permits if permit.source in lost)


def _singles(items: Iterable[object] | None) -> set[tuple[object, ...]]:
    return {one for item in items or () for one in _single(item)}


def _single(item: object) -> Iterator[tuple[object, ...]]:
    """Of a rule, one for each interface, source and destination: how they are put together is no matter."""
    if not isinstance(item, Rule):
        yield (item,)
        return
    for parts in product(*((getattr(item, side) or (None,)) for side in _SIDES)):
        yield (item.action, *parts, item.source_ports, item.destination_ports)
