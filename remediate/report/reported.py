"""What `remediate verify` prints of a list of reported addresses: a table, and a JSON document.

The document's fields are in docs/post-incident.md. Within one version of the schema a field is never renamed or given
another meaning; new ones may come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remediate import __version__
from remediate.model.observation import CanaryReport
from remediate.model.reported import Before, Now, Reported, Whose
from remediate.model.verdict import Finding, Outcome

SCHEMA = "remediate.reported/1"
#: Of what is no business of ours, how much a table lists.
MOST_LISTED = 20
_STYLES = {Now.OPEN: "bold red", Now.CLOSED: "green", Now.UNKNOWN: "yellow", Now.NOT_ASKED: "yellow"}
_ORDER = tuple(Now)


def table(found: Iterable[Reported], unreadable: Mapping[int, str], *, past: bool) -> RenderableType:
    """``past``: whether there was a record to look into."""
    found = sorted(found, key=lambda one: (_ORDER.index(one.now), one.address.version, int(one.address)))
    ours = [one for one in found if one.whose.is_ours]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("address", "is", "protected by", "now", "in the record"):
        made.add_column(column, overflow="fold")
    for one in ours:
        made.add_row(str(one.address), _is(one), _behind(one), _now(one), _before(one, past=past))
    parts: list[RenderableType] = [made] if ours else []
    foreign = [f"{one.address} ({one.known_as})" if one.known_as else str(one.address) for one in _foreign(found)]
    parts += _listed(f"not ours, or not in scope; nothing was sent: {len(foreign)}", foreign)
    lines = [f"line {number}: {why}" for number, why in sorted(unreadable.items())]
    parts += _listed(f"lines that cannot be read: {len(lines)}", lines)
    return Group(*parts)


def _foreign(found: Iterable[Reported]) -> list[Reported]:
    return [one for one in found if not one.whose.is_ours]


def _listed(title: str, lines: Sequence[str]) -> list[RenderableType]:
    if not lines:
        return []
    more = [f"and {len(lines) - MOST_LISTED} more; all: --format json"] if len(lines) > MOST_LISTED else []
    return [Text(title, style="bold"), *(Text(f"  {line}", style="dim") for line in (*lines[:MOST_LISTED], *more))]


def _is(one: Reported) -> Text:
    if one.whose in (Whose.ARCHIVE, Whose.LEFT_OUT):
        return Text(one.known_as)
    return Text(f"{one.whose}{f': {one.known_as}' if one.known_as else ''}", style="bold red")


def _behind(one: Reported) -> Text:
    devices = tuple(dict.fromkeys(name for names in one.protected_by.values() for name in names))
    return Text(", ".join(devices)) if devices else Text("nothing", style="bold red")


def _now(one: Reported) -> Text:
    text = Text(one.now, style=_STYLES[one.now])
    if one.now is Now.NOT_ASKED:
        return text.append(f": {one.why_not_asked}", style="dim")
    for finding in _told(one):
        asked, seen = finding.expectation.question, finding.observation
        said = seen.rung.value if finding.outcome is Outcome.UNMET and seen else finding.why
        text.append(f"\n{asked.kind} {asked.port} from {asked.vantage}: {said}", style="dim")
    return text


def _told(one: Reported) -> list[Finding]:
    """What is open; of an address where nothing is, what is not known."""
    wanted = Outcome.UNMET if one.now is Now.OPEN else Outcome.UNKNOWN
    return [finding for finding in one.findings if finding.outcome is wanted]


def _before(one: Reported, *, past: bool) -> Text:
    if not past:
        return Text("there is no record", style="dim")
    if one.before is None:
        return Text("never seen protected by a change", style="dim")
    seen = f"protected since {one.before.at:%Y-%m-%d %H:%M} UTC, change {one.before.change}"
    opened = f"; open again in change {one.before.opened_by}" if one.before.opened_by else ""
    if one.came_back:
        ports = ", ".join(map(str, one.came_back))
        return Text("CAME BACK", style="bold red").append(f": port {ports} was {seen}{opened}", style="not bold")
    return Text(f"{seen}{opened}")


def sentence(found: Iterable[Reported], unreadable: Mapping[int, str]) -> str:
    """The sum, with what nobody could tell."""
    found = list(found)
    ours = [one for one in found if one.whose.is_ours]
    counts = ", ".join(f"{sum(one.now is now for one in ours)} {now}" for now in Now)
    back = sum(bool(one.came_back) for one in ours)
    return (
        f"{len(found)} addresses reported: {len(ours)} ours ({counts}), {len(found) - len(ours)} not; "
        f"{back} came back; {len(unreadable)} lines cannot be read"
    )


def document(
    found: Iterable[Reported], unreadable: Mapping[int, str], canaries: Iterable[CanaryReport], more: Mapping[str, Any]
) -> dict[str, Any]:
    """``more``: what the list was, and what is said of all of it."""
    found = list(found)
    ours = [one for one in found if one.whose.is_ours]
    return {
        "schema": SCHEMA,
        "tool": {"name": "remediate", "version": __version__},
        **more,
        "summary": {
            "reported": len(found),
            "ours": len(ours),
            "not_ours": len(found) - len(ours),
            **{str(now).replace(" ", "_"): sum(one.now is now for one in ours) for now in Now},
            "came_back": sum(bool(one.came_back) for one in ours),
            "unreadable_lines": len(unreadable),
        },
        "addresses": [_address(one) for one in found],
        "unreadable": [{"line": number, "why": why} for number, why in sorted(unreadable.items())],
        "canaries": [one.model_dump(mode="json") for one in canaries],
    }


def _address(one: Reported) -> dict[str, Any]:
    return {
        "address": str(one.address),
        "ports": list(one.ports),
        "lines": list(one.lines),
        "whose": one.whose,
        "ours": one.whose.is_ours,
        "known_as": one.known_as or None,
        "protected_by": {name: list(devices) for name, devices in one.protected_by.items()},
        "now": one.now,
        "open_ports": list(one.open_ports),
        "came_back": list(one.came_back),
        "before": _past(one.before),
        "why_not_asked": one.why_not_asked or None,
        "findings": [finding.model_dump(mode="json") for finding in one.findings],
    }


def _past(before: Before | None) -> dict[str, Any] | None:
    return before.model_dump(mode="json") if before is not None else None
