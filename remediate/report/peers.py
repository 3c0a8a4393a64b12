"""What `remediate peers` prints: a table, lines to paste into the inventory, a JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remediate import __version__
from remediate.inventory.document import FILL_IN
from remediate.model.base import span
from remediate.model.peers import LONG_ENOUGH, PeersSeen, SeenPeer

SCHEMA = "remediate.peers/1"


def yaml(seen: PeersSeen) -> str:
    """For access.peers: whoever is not there. One line for each AE title, since a peer has one."""
    lines = [f"# {seen.pacs}, seen until {_time(seen.at)}: for its access.peers. Who is not listed there is shut out."]
    lines += [f"# {text}" for text in warnings(seen)]
    new = [one for one in seen.peers if not one.is_listed]
    if not new:
        lines.append("# Everybody who was seen is listed already.")
    for one in new:
        for title in tuple(map(json.dumps, one.ae_titles)) or ((FILL_IN,) if one.dicom else (None,)):
            keys = [f"name: {FILL_IN}", f"address: {json.dumps(str(one.address))}"]
            keys += [f"ae_title: {title}"] if title is not None else []
            lines.append(f"- {{{', '.join([*keys, f'roles: [{FILL_IN}]'])}}}  # {_said(one)}")
    return "\n".join(lines) + "\n"


def table(seen: PeersSeen) -> RenderableType:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"who uses {seen.pacs}", title_justify="left")
    for column in ("address", "AE title", "port", "in access", "first seen", "last seen", "how often"):
        made.add_column(column, overflow="fold")
    for one in seen.peers:
        known = f"{', '.join(one.listed)}" if one.listed else "not listed"
        if one.listed and one.unlisted_ports:
            known += f", not for port {_ports(one.unlisted_ports)}"
        made.add_row(
            str(one.address),
            ", ".join(one.ae_titles),
            _ports(one.ports),
            Text(known, style="" if one.is_listed else "bold red"),
            _time(one.first),
            "connected now" if one.open_now else _time(one.last),
            "\n".join(f"{count} by {name}" for name, count in one.times.items()),
        )
    parts: list[RenderableType] = [made] if seen.peers else [Text(f"nobody was seen to use {seen.pacs}")]
    parts += [Text(text, style="dim") for text in _sources(seen)]
    parts += [Text(f"! {text}", style="bold red") for text in warnings(seen)]
    return Group(*parts)


def warnings(seen: PeersSeen) -> list[str]:
    """What keeps the list from being whole."""
    found = [f"{name} cannot tell who uses it now: {why}" for name, why in seen.cannot_tell.items()]
    found += [
        f"{one.file}: {one.bad_lines} of {one.bad_lines + one.used + one.others} lines could not be read: "
        + "; ".join(one.bad)
        + ("; …" if one.bad_lines > len(one.bad) else "")
        for one in seen.files
        if one.bad_lines
    ]
    if not seen.files:
        found.append(
            "no look-back: who is not connected at this moment is not here; hand in flow records or logs with --from"
        )
    elif not seen.long_enough:
        found.append(
            f"the look-back is {_days(seen)}, less than {LONG_ENOUGH.days} days: who comes once a month may be missing"
        )
    return found


def document(seen: PeersSeen) -> dict[str, Any]:
    body = seen.model_dump(mode="json")
    body["look_back_seconds"] = seen.look_back.total_seconds()
    del body["look_back"]
    for made, one in zip(body["peers"], seen.peers, strict=True):
        made["is_listed"] = one.is_listed
    return {
        "schema": SCHEMA,
        "tool": {"name": "remediate", "version": __version__},
        **body,
        "long_enough": seen.long_enough,
        "warnings": warnings(seen),
    }


def _sources(seen: PeersSeen) -> Iterable[str]:
    for name, how in seen.asked.items():
        yield f"now: {how} of {name}"
    for one in seen.files:
        when = f"{_time(one.first)} to {_time(one.last)}" if one.first and one.last else "no time in it"
        yield f"{one.file}: {one.format}, {when}; {one.used} lines about {seen.pacs}, {one.others} about others"
    if seen.files:
        yield f"look-back: {_days(seen)}"


def _said(one: SeenPeer) -> str:
    when = "connected now" if one.open_now else f"last {_time(one.last)}"
    how = ", ".join(f"{count} by {name}" for name, count in one.times.items())
    listed = f"; listed as {', '.join(one.listed)}, not for port {_ports(one.unlisted_ports)}" if one.listed else ""
    text = f"port {_ports(one.ports) or 'not said'}; first {_time(one.first)}, {when}; {how}{listed}"
    return text.replace("\n", " ")


def _days(seen: PeersSeen) -> str:
    days = seen.look_back.days
    return f"{days} day{'s' * (days != 1)}" if days else span(seen.look_back)


def _ports(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
