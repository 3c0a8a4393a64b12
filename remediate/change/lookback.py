"""What was kept of the past, handed in as files: flow records, Orthanc's log, conntrack's events.

Only addresses, ports, AE titles and times are taken from a line; the line itself is neither kept nor shown.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from remediate.errors import UsageError
from remediate.model.base import AETitle
from remediate.model.peers import Covered, Use
from remediate.model.site import Addressing, IPAddress, Pacs, Zone
from remediate.platforms.linux_nftables import conntrack
from remediate.policy import PROBE_AE_TITLE

#: Of each file, the bad lines that are named.
SHOWN = 5
#: Lines in which a file must show what it is.
_SNIFFED = 1000
_LONGEST_LINE = 65536
#: A clock may be wrong by that much.
_AHEAD = timedelta(days=1)
_NEEDED = ("src", "dst", "dport", "first", "last")
_COLUMNS = (*_NEEDED, "count", "proto")
_ORTHANC = re.compile(r"[EWIT](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{1,6}) ")
_ASSOCIATION = re.compile(r"\] (?:\([a-z]+\) )?Association Received from AET (.*) on IP (\S+)$")
_EVENT = re.compile(r"\[(\d{1,11})\.(\d{1,6})\]\s+\[(NEW|UPDATE|DESTROY)\]\s+(.*)$")
_AE_TITLE: TypeAdapter[str] = TypeAdapter(AETitle)

FORMATS = (
    "flow records (CSV with a header, or a JSON object a line: src, dst, dport, first, last, and perhaps count, "
    "proto), the log of Orthanc, or what `conntrack -E -o timestamp` prints"
)


@dataclass
class Services:
    """Address and port as they may stand in a record → the archive's own port. ``dicom``: where only one is."""

    pacs: Pacs
    ports: dict[tuple[IPAddress, int], int] = field(init=False)
    dicom: int | None = field(init=False)

    def __post_init__(self) -> None:
        doors = (*self.pacs.doors(Addressing.REAL), *self.pacs.doors(Addressing.PUBLISHED, Zone.INSIDE))
        self.ports = {(door.address, seen): own for door in doors for own, seen in door.ports}
        dicom = [service.port for service in self.pacs.services if service.kind.is_dicom]
        self.dicom = dicom[0] if len(dicom) == 1 else None


@dataclass(frozen=True)
class Line:
    """A good line: when, and whose use of which of the archive's services; ``source`` None: about something else."""

    first: datetime | None
    last: datetime | None
    source: IPAddress | None = None
    port: int | None = None
    ae_title: str | None = None
    times: int = 1


class Bad(ValueError):
    """Why a line cannot be read, in words of ours alone."""


Reader = Callable[[Iterable[tuple[int, str]]], Iterator[tuple[int, Line | Bad]]]


def read(path: Path, pacs: Pacs, now: datetime) -> tuple[Covered, tuple[Use, ...]]:
    """``now``: UTC. Raises UsageError for a file that is none of FORMATS, or cannot be read."""
    try:
        with path.expanduser().open(encoding="utf-8", errors="replace", newline="") as file:
            return _read(path, _lines(file), Services(pacs), now, _ended(path))
    except OSError as error:
        raise UsageError(
            f"--from {path}: it cannot be read: {error.strerror or error}", next="give a file of records"
        ) from error


def _ended(path: Path) -> datetime:
    return datetime.fromtimestamp(path.expanduser().stat().st_mtime, UTC)


def _lines(file: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Numbered; what is longer than any record is cut, and then is bad."""
    for number, line in enumerate(file, start=1):
        if text := line[:_LONGEST_LINE].strip():
            yield number, text


def _read(
    path: Path, lines: Iterator[tuple[int, str]], services: Services, now: datetime, ended: datetime
) -> tuple[Covered, tuple[Use, ...]]:
    kept: list[tuple[int, str]] = []
    name, reader = "", None
    for number, text in lines:
        kept.append((number, text))
        if (found := _sniffed(text, services, now, ended)) is not None:
            name, reader = found
            break
        if len(kept) == _SNIFFED:
            break
    if reader is None:
        raise UsageError(f"--from {path}: it is not known what this is", next=f"give {FORMATS}")
    tally = _Tally(path, name, now)
    for number, line in reader(_again(kept, lines)):
        tally.take(number, line)
    return tally.covered(), tuple(tally.uses.values())


class _Tally:
    """What the lines of one file add up to."""

    def __init__(self, path: Path, name: str, now: datetime) -> None:
        self.uses: dict[tuple[IPAddress, int | None, str | None], Use] = {}
        self._path, self._name, self._now = path, name, now
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._used = self._others = self._wrong = 0
        self._bad: list[str] = []

    def take(self, number: int, line: Line | Bad) -> None:
        if isinstance(line, Bad):
            self._refuse(number, line)
        elif line.first is None or line.last is None:
            self._others += 1
        elif line.last > self._now + _AHEAD:
            self._refuse(number, Bad("its time is in the future"))
        else:
            self._first = min(self._first or line.first, line.first)
            self._last = max(self._last or line.last, line.last)
            if line.source is None:
                self._others += 1
            else:
                self._use(line.source, line.first, line.last, line)

    def covered(self) -> Covered:
        return Covered(
            file=str(self._path),
            format=self._name,
            first=self._first,
            last=self._last,
            used=self._used,
            others=self._others,
            bad_lines=self._wrong,
            bad=tuple(self._bad),
        )

    def _refuse(self, number: int, why: Bad) -> None:
        self._wrong += 1
        if len(self._bad) < SHOWN:
            self._bad.append(f"line {number}: {why}")

    def _use(self, source: IPAddress, first: datetime, last: datetime, line: Line) -> None:
        self._used += 1
        key = (source, line.port, line.ae_title)
        was = self.uses.get(key)
        self.uses[key] = Use(
            address=source,
            port=line.port,
            ae_title=line.ae_title,
            first=min(was.first, first) if was else first,
            last=max(was.last, last) if was else last,
            times=line.times + (was.times if was else 0),
            said_by=f"{self._name}, {self._path.name}",
        )


def _again(kept: Iterable[tuple[int, str]], lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield from kept
    yield from lines


def _sniffed(text: str, services: Services, now: datetime, ended: datetime) -> tuple[str, Reader] | None:
    if text.startswith("{"):
        return "flow records", _each(lambda line: _flow(_object(line), services))
    if set(_NEEDED) <= {column.strip().lower() for column in text.split(",")}:
        return "flow records", lambda lines: _csv(lines, services)
    if _ORTHANC.match(text):
        return "Orthanc's log", _each(lambda line: _orthanc(line, services, min(now, ended)))
    if _EVENT.match(text):
        return "conntrack events", _each(lambda line: _event(line, services))
    return None


def _each(parse: Callable[[str], Line]) -> Reader:
    def reader(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, Line | Bad]]:
        for number, text in lines:
            try:
                yield number, parse(text)
            except Bad as error:
                yield number, error

    return reader


# -- flow records ---------------------------------------------------------------------------------------


def _csv(lines: Iterable[tuple[int, str]], services: Services) -> Iterator[tuple[int, Line | Bad]]:
    """One record a line, whatever is quoted in it. What stands before the header is bad."""
    header: list[str] | None = None
    for number, text in lines:
        try:
            cells = [cell.strip() for cell in next(csv.reader([text], strict=True))]
        except (csv.Error, StopIteration):
            yield number, Bad("not CSV")
            continue
        if header is None:
            header = _header([cell.lower() for cell in cells])
            if header is None:
                yield number, Bad("no header yet")
        elif len(cells) != len(header):
            yield number, Bad(f"{len(cells)} fields under a header of {len(header)}")
        else:
            given = dict(zip(header, cells, strict=True))
            try:
                yield number, _flow({key: value for key, value in given.items() if value or key in _NEEDED}, services)
            except Bad as error:
                yield number, error


def _header(cells: list[str]) -> list[str] | None:
    return cells if set(_NEEDED) <= set(cells) and len(set(cells)) == len(cells) else None


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Bad("not JSON") from None
    if not isinstance(found, dict):
        raise Bad("not a JSON object")
    return found


def _flow(given: Mapping[str, Any], services: Services) -> Line:
    if missing := [name for name in _NEEDED if name not in given]:
        raise Bad(f"no {', '.join(missing)}")
    if unknown := set(given) - set(_COLUMNS):
        raise Bad(f"{len(unknown)} unknown field{'s' * (len(unknown) > 1)}; known: {', '.join(_COLUMNS)}")
    source, destination = _address(given["src"], "src"), _address(given["dst"], "dst")
    port = _number(given["dport"], "dport", 65535)
    first, last = _time(given["first"], "first"), _time(given["last"], "last")
    if last < first:
        raise Bad("last is before first")
    times = _number(given.get("count", 1), "count", 10**12)
    protocol = str(given.get("proto", "tcp")).lower()
    own = services.ports.get((destination, port)) if protocol in ("tcp", "6") else None
    if own is None:
        return Line(first, last)
    return Line(first, last, source, own, None, times)


def _address(value: Any, name: str) -> IPAddress:
    try:
        if not isinstance(value, str):
            raise ValueError
        found = ip_address(value)
    except ValueError:
        raise Bad(f"{name} is no IP address") from None
    return getattr(found, "ipv4_mapped", None) or found


def _number(value: Any, name: str, most: int) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > 13 or not 1 <= int(text) <= most:
        raise Bad(f"{name} is no number from 1 to {most}")
    return int(text)


def _time(value: Any, name: str) -> datetime:
    """ISO 8601 with a zone, or seconds since 1970."""
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{1,11}(\.\d{1,9})?", value, re.ASCII):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise Bad(f"{name} does not say its time zone")
        return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        if isinstance(error, Bad):
            raise
        raise Bad(f"{name} is no time: ISO 8601 with a zone, or seconds since 1970") from None


# -- logs -----------------------------------------------------------------------------------------------


def _orthanc(text: str, services: Services, ended: datetime) -> Line:
    """Orthanc writes no year, and its host's time without a zone, which is read as UTC: the year is the one that puts
    the line nearest before the end of the file. Rejected associations are there, too.
    """
    head = _ORTHANC.match(text)
    if head is None:
        return Line(None, None)  # a message of several lines
    month, day, hour, minute, second = (int(head[n]) for n in range(1, 6))
    when = _dated(month, day, hour, minute, second, ended)
    if "Association Received from AET" not in text:
        return Line(when, when)
    found = _ASSOCIATION.search(text)
    if found is None:
        raise Bad("an association without an AE title and an address")
    address = _address(found[2], "the address")
    title: str | None = None
    if given := found[1].strip():
        try:
            title = _AE_TITLE.validate_python(given)
        except ValidationError:
            raise Bad("what calls itself so has no AE title (PS3.5 6.2)") from None
    return Line(when, when) if title == PROBE_AE_TITLE else Line(when, when, address, services.dicom, title)


def _dated(month: int, day: int, hour: int, minute: int, second: int, ended: datetime) -> datetime:
    latest = ended + _AHEAD
    for year in range(latest.year, latest.year - 9, -1):  # a leap day is eight years back at most
        try:
            when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            continue
        if when <= latest:
            return when
    raise Bad("no such day or time")


def _event(text: str, services: Services) -> Line:
    """A connection counts once: when both sides have answered. Its other events say how long it was there."""
    head = _EVENT.match(text)
    if head is None:
        raise Bad("no event with a time stamp: conntrack -E -o timestamp")
    when = _time(head[1], "the time stamp")
    try:
        found = conntrack.tracked(head[4])
    except ValueError:
        raise Bad("no event of conntrack") from None
    if found is None or not found.replied:
        return Line(when, when)
    own = services.ports.get((found.answers, found.answers_port))
    if own is None:
        own = services.ports.get((found.destination, found.port))
    if own is None:
        return Line(when, when)
    return Line(when, when, found.source, own, None, int(found.state == "ESTABLISHED" and head[3] == "UPDATE"))
