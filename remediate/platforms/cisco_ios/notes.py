"""What stands on a router in the place of the lines that are switched off: remarks.

IOS has no place for a line that does not count, so the line goes away. Which one it was is said by the remarks of a
list, one for each section, that is bound to nothing and holds no entry: such a list is in running and startup
configuration like any other. Its first remark names the section, counts the others and holds a digest of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from textwrap import wrap
from typing import NamedTuple

from remediate.errors import PlanError
from remediate.model.base import canonical, sha256
from remediate.model.site import IPAddress
from remediate.platforms.cisco_ios.acl import AccessList
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.forwards import nat_lines, taken

_PREFIX = "RMD-"
#: With the name of the only control that leaves such a list: what else begins so may be anybody's.
_OURS = f"{_PREFIX}unpublish_"
_LONGEST_REMARK = 100
_HEADER = re.compile(r"remediate (\S+) (\d+) ([0-9a-f]{8})")
_CLOSED = re.compile(r"no longer published: (\d+\.\d+\.\d+\.\d+) port (\d+)")
_REMOVED, _GOES_ON = "removed: ", "goes on: "


class Note(NamedTuple):
    """``closed``: what is no longer published. ``lines``: those that published it; they may come back."""

    closed: tuple[tuple[IPAddress, int], ...]
    lines: tuple[str, ...]


def list_name(section: str) -> str:
    return _PREFIX + section


def remarks(section: str, note: Note) -> tuple[str, ...]:
    body = [f"no longer published: {address} port {port}" for address, port in note.closed]
    for line in note.lines:
        first, *more = wrap(line, _LONGEST_REMARK - len(_REMOVED), break_long_words=False, break_on_hyphens=False)
        body += [f"{_REMOVED}{first}", *(f"{_GOES_ON}{part}" for part in more)]
    return (f"remediate {section} {len(body)} {_digest(body)}", *body)


def notes(config: Config) -> dict[str, Note]:
    """By section. A line is left out where another one stands in its place: it may not come back then.

    Raises PlanError where a note is not what its first remark says: what it was can no longer be told.
    """
    found = _all(config)
    again = retyped(config)
    return {
        section: note._replace(lines=tuple(line for line in note.lines if line not in again))
        for section, note in found.items()
    }


def retyped(config: Config) -> list[str]:
    """The lines that are noted and have come back nevertheless, or another one in their place."""
    noted = [line for note in _all(config).values() for line in note.lines]
    there = {taken(config, line) for line in nat_lines(config)} if noted else set()
    return sorted(line for line in noted if taken(config, line) in there)


def _all(config: Config) -> dict[str, Note]:
    lists = [acl for name, acl in config.lists.items() if name.startswith(_OURS)]
    return {acl.name.removeprefix(_PREFIX): _read(config, acl) for acl in lists}


def _read(config: Config, acl: AccessList) -> Note:
    header = _HEADER.fullmatch(acl.trailing[0]) if acl.trailing else None
    body = acl.trailing[1:]
    said = (acl.name.removeprefix(_PREFIX), str(len(body)), _digest(body))
    if _is_being_typed(config, acl, header):
        return Note((), ())
    if header is None or header.groups() != said or acl.entries or not acl.extended:
        raise PlanError(
            f"access list {acl.name} was changed by hand: its remarks say which port forwards are switched off, and "
            "they are not all there",
            next="on the device type in those of the `ip nat` lines that are to be there again, take the list "
            f"{acl.name} out, then plan again",
        )
    return Note(tuple(_closed(body)), tuple(_lines(body)))


def _is_being_typed(config: Config, acl: AccessList, header: re.Match[str] | None) -> bool:
    """Whether it was cut short as it was typed. None of the lines that it names goes before it is whole: all of them
    are still there, and publish what it says.
    """
    if acl.entries or not acl.extended or (header is None and acl.trailing):
        return False
    body, live = acl.trailing[1:], nat_lines(config)
    published = {taken(config, line) for line in live}
    *whole, last = list(_lines(body)) or [""]
    return (
        (header is None or len(body) < int(header[2]))
        and all((str(address), port) in published for address, port in _closed(body))
        and all(line in live for line in whole)
        and any(line.startswith(last) for line in (*live, ""))
    )


def _closed(body: Iterable[str]) -> Iterator[tuple[IPAddress, int]]:
    return ((IPv4Address(m[1]), int(m[2])) for m in map(_CLOSED.fullmatch, body) if m)


def _lines(body: Iterable[str]) -> Iterator[str]:
    line = ""
    for remark in body:
        if remark.startswith(_GOES_ON):
            line += f" {remark.removeprefix(_GOES_ON)}"
        elif remark.startswith(_REMOVED):
            if line:
                yield line
            line = remark.removeprefix(_REMOVED)
    if line:
        yield line


def _digest(body: Iterable[str]) -> str:
    return sha256(canonical(list(body)))[:8]
