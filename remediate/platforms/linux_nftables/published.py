"""What a firewall publishes of an archive by translation, and its being switched off. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from remediate.errors import PlanError
from remediate.model.rule import UnpublishIntent
from remediate.model.site import Door
from remediate.platforms import FilterState
from remediate.platforms.linux_nftables.forwards import Flow, Forward, forwards
from remediate.platforms.linux_nftables.parser import NAT_PRIORITY


def objections(state: FilterState, intent: UnpublishIntent) -> Iterator[str]:
    """Whose forwards would be switched off beside the archive's, as far as that can be read.

    Raises PlanError where nothing of it is published here, or by what cannot be switched off. Once our section stands,
    a forward may have been removed for good.
    """
    for door in intent.doors:
        found = _of_door(state, intent, door)
        for port, one in found:
            if one.to is None:
                yield (
                    f"nobody can tell where this rule leads what comes to {door.address} port {port}, so it may be "
                    f"somebody else's: {_rule(one)}"
                )
            elif one.to not in intent.own:
                yield f"{door.address} port {port} is {one.to}'s, not {intent.pacs}'s: {_rule(one)}"
            elif one.first:
                raise PlanError(
                    f"no chain of ours can come before this rule, so it would go on publishing: {_rule(one)}",
                    where=intent.device,
                    next=f"give its chain a priority above {NAT_PRIORITY} (dstnat is -100), or use acl",
                )
    published = [door for door in intent.doors if list(_of_door(state, intent, door))]
    missing = [door for door in intent.doors if door not in published]
    if missing and intent.section not in state.sections and not (published and intent.others):
        seen = ", ".join(str(door.address) for door in missing)
        raise PlanError(
            f"nothing here is published by this device: no rule of it translates {seen}, coming in by "
            f"{', '.join(intent.interfaces)}, to {intent.pacs}",
            where=intent.device,
            next="use acl; or correct its addresses, ports and guard.interface in the inventory",
        )


def remarks(state: FilterState, intent: UnpublishIntent) -> Iterator[str]:
    by_rule: dict[str, list[str]] = {}
    for door in intent.doors:
        found = _of_door(state, intent, door)
        for port, one in found:
            by_rule.setdefault(_rule(one), []).append(f"{door.address} port {port}")
        if not found:
            others = f"; {' or '.join(intent.others)} may" if intent.others else ""
            yield f"it does not publish {door.address} (any more){others}"
        elif left := [port for port in door.seen if port not in {port for port, _ in found}]:
            yield f"of {door.address} it publishes no port {', '.join(map(str, left))}"
    for rule, seen in by_rule.items():
        yield f"stays where it is, and is switched off for what comes in to {', '.join(seen)}: {rule}"


def _of_door(state: FilterState, intent: UnpublishIntent, door: Door) -> list[tuple[int, Forward]]:
    return [
        (port, one)
        for port in door.seen
        for one in forwards(state.foreign, Flow(intent.interfaces, door.address, port))
    ]


def _rule(one: Forward) -> str:
    return f"{one.where}: {one.text}"
