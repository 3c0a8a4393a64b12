"""What `remediate discover` prints: inventory entries to fill in, a table, a JSON document.

The document's fields are in docs/discover.md. Within one version of the schema a field is never renamed or given
another meaning; new ones may come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from remediate import __version__
from remediate.inventory.document import FILL_IN
from remediate.model.discovery import Discovered, Heard, Likeness
from remediate.model.observation import Rung
from remediate.model.site import IPAddress, Zone

SCHEMA = "remediate.discover/1"
#: RFC 1918, RFC 4193, and what never leaves a machine or a wire (RFC 1122, RFC 3927, RFC 4291).
_INSIDE = tuple(
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


def zone(address: IPAddress) -> Zone:
    """The side on which such an address is seen."""
    return Zone.INSIDE if any(address in network for network in _INSIDE) else Zone.OUTSIDE


def name(address: IPAddress, taken: Collection[str] = ()) -> str:
    """``pacs-192-0-2-10``, and with a number behind it where the inventory has that name already."""
    made = "pacs-" + str(address).replace(".", "-").replace(":", "-")
    return next(one for one in (made, *(f"{made}-n{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def entry(found: Discovered, seen_from: Zone, taken: Collection[str] = ()) -> str:
    """For hosts.yaml. ``seen_from``: the side on which the address is seen; ``taken``: names of the inventory's."""
    sides = {side: f'"{found.address}"' if side is seen_from else FILL_IN for side in (Zone.INSIDE, Zone.OUTSIDE)}
    lines = [
        f"{name(found.address, taken)}:  # {found.likeness}, seen at {found.at:%Y-%m-%d %H:%M:%S} UTC",
        "  groups: [pacs]",
        "  data:",
        f"    ae_title: {FILL_IN}",
        "    # Delete the side on which it has no address.",
        "    addresses:",
        *(f"      {side}: {text}" for side, text in sides.items()),
        "    services:",
        *(f"      - {{kind: {one.kind}, port: {one.port}}}  # {_said(one)}" for one in found.services),
        *(f"      # open, and nothing that is known here: {one.name} {one.port}" for one in found.open),
        *([] if found.whole else ["      # Not every port was asked: the sweep was stopped."]),
        f"    protected_by: [{FILL_IN}]",
        "    access:",
        "      # Everybody who may reach it, one line each; whoever is not listed is shut out.",
        "      peers:",
        f"        - {{name: {FILL_IN}, address: {FILL_IN}, ae_title: {FILL_IN}, roles: [{FILL_IN}]}}",
    ]
    return "\n".join(lines) + "\n"


def _said(one: Heard) -> str:
    """From our own words only."""
    parts: list[str] = [one.rung.value, *sorted(one.surfaces)]
    if one.negotiated:
        parts.append("negotiated: " + ", ".join(sorted(one.negotiated)))
    if one.stack is not None:
        parts.append(f"stack: {one.stack.name}")
    return "; ".join(parts)


def told(found: Discovered, seen_from: Zone, taken: Collection[str] = ()) -> str:
    """In YAML: its entry, or in a comment what the inventory knows it as; "" where there is nothing to say."""
    if found.is_new:
        return entry(found, seen_from, taken)
    if not found.known_as or found.likeness is Likeness.OTHER:
        return ""
    lines = [f"# {found.address} is {found.known_as}"]
    missing = [one for one in found.services if one.port in found.unlisted]
    lines += [f"#   add to its services: {{kind: {one.kind}, port: {one.port}}}" for one in missing]
    return "\n".join(lines) + "\n"


_STYLES = {Likeness.ARCHIVE: "bold red", Likeness.POSSIBLE: "yellow", Likeness.OTHER: ""}


def table(found: Iterable[Discovered]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("address", "looks like", "in the inventory", "services", "other open ports"):
        made.add_column(column, overflow="fold")
    for one in _sorted(found):
        known = one.known_as or ("no" if one.is_new else "")
        if one.unlisted:
            known += f"\nwithout port {', '.join(map(str, one.unlisted))}"
        made.add_row(
            str(one.address),
            Text(one.likeness, style=_STYLES[one.likeness] if one.is_new else ""),
            Text(known, style="bold red" if one.unlisted else ""),
            "\n".join(f"{service.kind} {service.port}: {_said(service)}" for service in one.services),
            "\n".join(f"{other.name} {other.port}" for other in one.open) + ("" if one.whole else "\nnot all asked"),
        )
    return made


def document(
    found: Iterable[Discovered], seen_from: Zone | None, taken: Collection[str], more: Mapping[str, Any]
) -> dict[str, Any]:
    """``more``: what the sweep was, and its denominators."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "remediate", "version": __version__},
        **more,
        "addresses": [
            {
                **one.model_dump(mode="json"),
                "likeness": one.likeness,
                "new": one.is_new,
                "entry": entry(one, seen_from or zone(one.address), taken) if one.is_new else None,
            }
            for one in _sorted(found)
        ],
    }


def counts(rungs: Mapping[Rung, int]) -> dict[str, int]:
    return {rung.value: rungs[rung] for rung in Rung if rungs.get(rung)}


def _sorted(found: Iterable[Discovered]) -> list[Discovered]:
    return sorted(found, key=lambda one: (one.address.version, int(one.address)))
