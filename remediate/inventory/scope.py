"""What ``data`` of defaults.yaml says about the whole site: who allowed it to be asked, and how gently that is done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date

from remediate.inventory import fields
from remediate.inventory.document import Node
from remediate.inventory.files import Inherited
from remediate.model.site import Authorisation, IPAddress, IPNetwork, Limits, Site

DATE_RULE = "the last day on which it counts, such as 2027-03-31"
REFERENCE_RULE = "who allowed it, and where that is written (at most 200 characters)"
SCOPE_RULE = "a list such as [{network: 203.0.113.0/24, reference: TICKET-1, expires: 2027-03-31}]"
#: Connections and associations where the inventory says nothing: gentle, and no brake on a site of a usual size.
GENTLE = Limits(per_host=20, per_site=200, associations=8)
RATE = "connections a second, 0.01 to 10000"
RATES = {"per_host": RATE, "per_site": RATE}


def authorised(node: Node) -> tuple[Authorisation, ...]:
    found: dict[tuple[IPNetwork, str], Authorisation] = {}
    items = node.items(SCOPE_RULE)
    for item in items or []:
        one = _authorisation(item)
        if one is not None and (one.network, one.reference) in found:
            item.problem(f"{one.network} with {one.reference} stands twice")
        elif one is not None:
            found[one.network, one.reference] = one
    if items == []:
        node.problem("no network; allowed: at least one, or no scope at all: then the inventory's addresses are it")
    return tuple(found.values())


def _authorisation(item: Node) -> Authorisation | None:
    known = ("network", "reference", "expires")
    keys = item.mapping(known, required=known) or {}
    network = fields.network(keys["network"]) if "network" in keys else None
    reference = _reference(keys["reference"]) if "reference" in keys else None
    expires = _day(keys["expires"]) if "expires" in keys else None
    if network is None or reference is None or expires is None:
        return None
    return Authorisation(network=network, reference=reference, expires=expires)


def _reference(node: Node) -> str | None:
    text = node.string(REFERENCE_RULE)
    if text is not None and len(text) > 200:
        node.wrong(REFERENCE_RULE)
        return None
    return text


def _day(node: Node) -> date | None:
    text = node.string(DATE_RULE)
    if text is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
    except ValueError:  # the 31st of April
        pass
    node.wrong(DATE_RULE)
    return None


def limits(node: Node) -> Limits:
    keys = node.mapping((*RATES, "associations")) or {}
    found: dict[str, float | None] = {}
    for name, rule in RATES.items():
        if name in keys:
            found[name] = keys[name].number(0.01, 10_000, rule)
    if "associations" in keys:
        found["associations"] = keys["associations"].integer(1, 1000, "DICOM associations a round, 1 to 1000")
    given = {name: value for name, value in found.items() if value is not None}
    return Limits.model_validate({**GENTLE.model_dump(), **given})


def outside(site: Site, hosts: Mapping[str, Inherited]) -> None:
    """Every address that may be dialled is in an authorised network; whether that has ended is asked at each dial."""
    scope = site.scope()
    for name, key, address in _dialled(site):
        if not scope.covers(address):
            host = hosts[name]
            host.data.get(key, host.own.node).problem(f"{address} is in no network of data.scope (defaults.yaml)")


def ended(site: Site, today: date) -> tuple[str, ...]:
    """The addresses that may not be dialled any more, each with its reason."""
    scope = site.scope()
    found = [(name, key, address, scope.ended(address, today)) for name, key, address in _dialled(site)]
    return tuple(f"{name}: {key}: {address}: {words}" for name, key, address, words in found if words)


def _dialled(site: Site) -> Iterator[tuple[str, str, IPAddress]]:
    """Host, the key in its data, address."""
    for pacs in site.pacs.values():
        both = (*pacs.addresses.inside, *pacs.addresses.outside)
        yield from ((pacs.name, "addresses", address) for address in dict.fromkeys(one.address for one in both))
    for vantage in site.vantages.values():
        for address in dict.fromkeys(canary.address for canary in vantage.canaries):
            yield vantage.name, "canaries", address
