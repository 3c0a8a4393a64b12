"""Cisco IOS and IOS XE over SSH: extended access lists, static translation, and the device's own revert timer (rollback
confirmed change).

IPv4 only: an archive that is published under an IPv6 address is refused at plan time. Fragments but the first have no
ports: a permitted peer's pass, others' fare as before; without their first one they are no connection.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cache, partial, reduce
from itertools import combinations
from operator import and_
from typing import Any, TypeVar

from remediate.errors import PlanError
from remediate.model.change import Capabilities, Items, Unit
from remediate.model.device import Device, Login
from remediate.model.rule import Intent, PortRange, Rule, Unpublished, UnpublishIntent
from remediate.model.site import Addressing, IPAddress, IPNetwork
from remediate.platforms import FilterState, unit
from remediate.platforms.cisco_ios import lacking, published, telling
from remediate.platforms.cisco_ios.acl import core, others_before
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.driver import DEVICE_TYPE, CiscoIos
from remediate.platforms.cisco_ios.notes import notes
from remediate.platforms.cisco_ios.plan import edits
from remediate.platforms.cisco_ios.published import switches
from remediate.platforms.cisco_ios.simulate import simulate
from remediate.platforms.cisco_ios.state import State, state_of_text
from remediate.platforms.cisco_ios.state import state as read_state
from remediate.platforms.session import Session
from remediate.rules import Packet, entries, unpublished
from remediate.rules.proof import representatives, wanted
from remediate.rules.simulate import among, within

E = TypeVar("E", Rule, Unpublished)


class Spec:
    name = "cisco_ios"
    intents = (Intent, UnpublishIntent)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=1),
        revert_max=timedelta(minutes=120),
        revert_step=timedelta(minutes=1),
        price="the device goes back to its whole configuration of before: what others change meanwhile is lost too",
        addressing=Addressing.PUBLISHED,
        atomic=False,
        stateful=False,
        survives_reboot=False,
    )

    def expressed(self, intent: Intent | UnpublishIntent) -> Items:
        """Of a filter, one source, one destination and one port in each: those of the inbound lists, then of the
        outbound ones.
        """
        if isinstance(intent, Intent) and intent.observe:
            raise PlanError(
                "this platform cannot observe: the counters of an access list do not say who it was",
                where=intent.device,
                next="hand in flow records of it instead: remediate peers PACS --from FILE; leave out mode: observe",
            )
        if any(door.address.version == 6 for door in intent.doors):
            raise PlanError(
                f"{intent.pacs} is published under an IPv6 address, and this platform guards IPv4 only",
                where=intent.device,
                next="guard that address on another device (protected_by), or take it out of the inventory",
            )
        if isinstance(intent, UnpublishIntent):
            return unpublished(intent)
        rules = [single for rule in entries(intent) for single in _singles(rule)]
        lists: dict[tuple[str, tuple[Rule, ...]], list[str]] = {}  # interfaces whose lists would be the same
        for side in ("ingress", "egress"):
            for interface in sorted({interface for rule in rules for interface in getattr(rule, side)}):
                here = dict.fromkeys(core(rule) for rule in rules if interface in getattr(rule, side))
                lists.setdefault((side, tuple(here)), []).append(interface)
        return tuple(
            rule.model_copy(update={side: tuple(interfaces)})
            for (side, here), interfaces in lists.items()
            for rule in here
        )

    def objections(self, state: FilterState, intents: Sequence[Intent | UnpublishIntent]) -> tuple[str, ...]:
        """What is already in the lists is let through as before; the proof says so of every packet. Raises PlanError
        where nothing is published that could be switched off.
        """
        unpublishing = [intent for intent in intents if isinstance(intent, UnpublishIntent)]
        return tuple(wrong for intent in unpublishing for wrong in published.objections(_known(state), intent))

    def remarks(self, state: FilterState, intents: Sequence[Intent | UnpublishIntent]) -> tuple[str, ...]:
        """Of translations, which lines are removed, and which stay. Of a filter, where a new list will stand, and what
        somebody has taken out of the guard. Of both, which rights no look can find.
        """
        said: list[str] = []
        for intent in intents:
            if isinstance(intent, UnpublishIntent):
                said += published.remarks(_known(state), intent)
            else:
                said += telling.remarks(_known(state).config, intent, _all(Rule, self.expressed(intent)) or ())
        asks = lacking.asks_a_server(_known(state).config)
        return (*said, *([asks] if asks else []))

    def read(self, device: Device, running: str) -> State:
        return state_of_text(device, running)

    def context(self, device: Device, state: FilterState, printed: Mapping[str, Items | None]) -> dict[str, Any]:
        config = _known(state).config
        switched = {name: _all(Unpublished, rules) for name, rules in printed.items() if _switches(config, name, rules)}
        filters = {name: _all(Rule, rules) for name, rules in printed.items() if name not in switched}
        return {
            "lead": next(iter(filters), ""),
            **edits(device, config, filters)._asdict(),
            "switches": switches(device, config, switched),
        }

    def simulate(self, device: Device, state: FilterState, text: str) -> State:
        return read_state(device, simulate(_known(state).config, text))

    def prove(
        self, device: Device, before: FilterState, after: FilterState, intents: Sequence[Intent | UnpublishIntent]
    ) -> tuple[str, ...]:
        """``foreign`` is the same: others' entries, in the same order, behind ours. So whatever they are, a packet that
        no entry of ours matches fares as before; and of the static translations only those are gone that are noted. Of
        ours, each section does just what its intent says, and no two quarrel.
        """
        wanted_sections = {intent.section: intent for intent in intents}
        wrong = [
            f"section {name} on {device.name} would change, which nobody asked for"
            for name in set(before.sections) | set(after.sections)
            if name not in wanted_sections and before.sections.get(name) != after.sections.get(name)
        ]
        if before.foreign != after.foreign:
            wrong.append(f"something on {device.name} that is not ours would change")
        for name, intent in wanted_sections.items():
            if isinstance(intent, UnpublishIntent):
                wrong += published.prove(intent, _known(after))
            else:
                there = _all(Rule, after.sections.get(name, ())) or ()
                if any(map(others_before, there)):
                    wrong.append(f"section {name} on {device.name} would stand behind others' entries")
                wrong += _carried_out(intent, there)
        filters = {name: _all(Rule, rules) or () for name, rules in after.sections.items()}
        wrong += _quarrels(filters, wanted_sections)
        return tuple(wrong)

    def connect(self, device: Device, login: Login) -> CiscoIos:
        session = Session(device, login, DEVICE_TYPE)
        try:
            return CiscoIos(device, session)
        except BaseException:  # Ctrl-C too: no session is left open
            session.close()
            raise

    def try_login(self, device: Device, login: Login) -> Unit:
        """Logged in is who has a prompt and sees commands answered; the session's own set-up is two of them."""
        with Session(device, login, DEVICE_TYPE) as session:
            return unit.of_ios(session)


def _known(state: FilterState) -> State:
    assert isinstance(state, State)
    return state


def _switches(config: Config, name: str, rules: Items | None) -> bool:
    """Whether a section is one of translations, not of a filter."""
    return name in notes(config) or any(isinstance(rule, Unpublished) for rule in rules or ())


def _all(kind: type[E], rules: Items | None) -> tuple[E, ...] | None:
    return None if rules is None else tuple(rule for rule in rules if isinstance(rule, kind))


def _singles(rule: Rule) -> Iterable[Rule]:
    for source in rule.sources or (None,):
        for destination in rule.destinations or (None,):
            for source_port in rule.source_ports or (None,):
                for destination_port in rule.destination_ports or (None,):
                    yield rule.model_copy(
                        update={
                            "sources": _unless_any(source),
                            "destinations": _unless_any(destination),
                            "source_ports": (source_port,) if source_port else (),
                            "destination_ports": (destination_port,) if destination_port else (),
                            "note": "",
                        }
                    )


def _unless_any(network: Any) -> tuple[Any, ...]:
    return (network,) if network is not None and network.prefixlen else ()


def _carried_out(intent: Intent, rules: Sequence[Rule]) -> Iterable[str]:
    """Each list by itself: a packet passes a guarded interface coming in, or going out.

    One that does both is decided twice, and only archives that send to each other by way of the outside do that.
    """
    first_match = _matcher(rules)
    for packet in representatives(intent, rules):
        if (packet.ingress in intent.interfaces) == (packet.egress in intent.interfaces):
            continue
        rule = first_match(packet)
        done, meant = rule.action if rule else None, wanted(intent, packet)
        if done is not meant:
            yield (
                f"{packet.source}:{packet.source_port} -> {packet.destination}:{packet.destination_port} in "
                f"{packet.ingress}, out {packet.egress}: meant {meant or 'untouched'}, would be {done or 'untouched'}"
            )


def _matcher(rules: Sequence[Rule]) -> Callable[[Packet], Rule | None]:
    """First match, each axis asked once for each value on it: entries are many, and the packets their product."""
    axes: list[tuple[Callable[[Any, Any], bool], list[Any]]] = [
        (_named, [rule.ingress for rule in rules]),
        (_named, [rule.egress for rule in rules]),
        (_among, [rule.sources for rule in rules]),
        (_among, [rule.destinations for rule in rules]),
        (_within, [rule.source_ports for rule in rules]),
        (_within, [rule.destination_ports for rule in rules]),
    ]
    of = [cache(partial(_bits, [partial(holds, values) for values in axis])) for holds, axis in axes]

    def first(packet: Packet) -> Rule | None:
        bits = reduce(and_, (ask(value) for ask, value in zip(of, packet, strict=True)))
        return rules[(bits & -bits).bit_length() - 1] if bits else None

    return first


def _bits(conditions: Sequence[Callable[[Any], bool]], value: Any) -> int:
    return sum(1 << at for at, holds in enumerate(conditions) if holds(value))


def _named(names: Sequence[str], name: str) -> bool:
    return not names or name in names


def _among(networks: Sequence[IPNetwork], address: IPAddress) -> bool:
    return among(address, networks)


def _within(ranges: Sequence[PortRange], port: int) -> bool:
    return within(port, ranges)


def _quarrels(sections: Mapping[str, Sequence[Rule]], touched: Collection[str]) -> Iterable[str]:
    """On IOS the first section that matches decides, permits too: two that overlap must say the same."""
    for (one, rules), (other, others) in combinations(sections.items(), 2):
        if {one, other} & set(touched) and any(
            a.action is not b.action and _overlap(a, b) for a in rules for b in others
        ):
            yield f"sections {one} and {other} say different things about the same packets"


def _overlap(one: Rule, other: Rule) -> bool:
    def meet(a: Sequence[Any], b: Sequence[Any], both: Any) -> bool:
        return not a or not b or any(both(x, y) for x in a for y in b)

    return (
        bool({*one.ingress} & {*other.ingress} or {*one.egress} & {*other.egress})
        and meet(one.sources, other.sources, lambda x, y: x.overlaps(y))
        and meet(one.destinations, other.destinations, lambda x, y: x.overlaps(y))
        and meet(one.source_ports, other.source_ports, lambda x, y: x.first <= y.last and y.first <= x.last)
        and meet(one.destination_ports, other.destination_ports, lambda x, y: x.first <= y.last and y.first <= x.last)
    )


SPEC = Spec()
