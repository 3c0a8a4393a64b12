"""When a window is open. Pure: instants in UTC, and the hour of somebody who asks.

A window opens and closes when the clock on the wall first shows its times. One that the clock skips counts as the
moment of the jump; one that it shows twice counts the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from remediate.errors import OutsideWindow, PlanError
from remediate.model.base import span
from remediate.model.window import Window

#: How far ahead the next opening is searched.
HORIZON = timedelta(days=400)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Opening(NamedTuple):
    """``start`` belongs to it, ``end`` does not; both in UTC."""

    start: datetime
    end: datetime


def openings(window: Window, since: datetime) -> Iterator[Opening]:
    """What is open at ``since`` or later, in order, as far as HORIZON; openings that touch are one."""
    now: Opening | None = None
    for opening in _pieces(window, since):
        if now is not None and opening.start <= now.end:
            now = Opening(now.start, max(now.end, opening.end))
            continue
        if now is not None and now.end > since:
            yield now
        now = opening
    if now is not None and now.end > since:
        yield now


def current(window: Window, at: datetime) -> Opening | None:
    first = next(openings(window, at), None)
    return first if first is not None and first.start <= at else None


def next_start(window: Window, at: datetime, needed: timedelta) -> datetime | None:
    """The first moment, ``at`` or later, from which it stays open for ``needed``."""
    for start, end in openings(window, at):
        begin = max(start, at)
        if end - begin >= needed:
            return begin
    return None


def check(window: Window, at: datetime, needed: timedelta) -> None:
    """Raises OutsideWindow unless it is open and stays so for ``needed``."""
    opening = current(window, at)
    if opening is not None and opening.end - at >= needed:
        return
    if opening is None:
        what = f"the window is closed{_frozen(window, at)}"
    else:
        what = (
            f"the window closes at {_local(window, opening.end)}, in {span(opening.end - at)}, and push, verify and "
            f"rollback may take {span(needed)}"
        )
    start = next_start(window, at, needed)
    said = f"it next opens for long enough at {_local(window, start)}" if start else "it never opens for long enough"
    raise OutsideWindow(f"{what}; {said}", next=f"run again then; the window is {window}")


def check_long_enough(window: Window, needed: timedelta, where: str, at: datetime) -> None:
    """At plan time. Raises PlanError if no opening within HORIZON is as long as ``needed``."""
    if next_start(window, at, needed) is None:
        raise PlanError(
            f"push, verify and rollback may take {span(needed)}, and the window ({window}) is never open that long "
            f"within {HORIZON.days} days",
            where=where,
            next="make the window longer, or revert_in shorter",
        )


def _frozen(window: Window, at: datetime) -> str:
    today = at.astimezone(ZoneInfo(window.timezone)).date()
    frozen = next((f for f in window.freezes if f.first <= today <= f.last), None)
    if frozen is None:
        return ""
    return f" (freeze from {frozen.first} to {frozen.last}" + (f": {frozen.why})" if frozen.why else ")")


def _pieces(window: Window, since: datetime) -> Iterator[Opening]:
    """One opening a day at most but for freezes, which cut; in order of their starts."""
    zone = ZoneInfo(window.timezone)
    frozen = sorted(Opening(_instant(f.first, 0, zone), _instant(f.last, 1440, zone)) for f in window.freezes)
    day = since.astimezone(zone).date() - 2 * _DAY
    last = (since + HORIZON).astimezone(zone).date()
    while day <= last:
        if day.weekday() in window.days:
            end_day = day if window.to > window.from_ else day + _DAY
            yield from _less(Opening(_instant(day, window.from_, zone), _instant(end_day, window.to, zone)), frozen)
        day += _DAY


def _less(opening: Opening, frozen: list[Opening]) -> Iterator[Opening]:
    start, end = opening
    for cut in frozen:
        if cut.end <= start or cut.start >= end:
            continue
        if start < cut.start:
            yield Opening(start, cut.start)
        start = cut.end
    if start < end:
        yield Opening(start, end)


def _instant(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """When the clock on the wall first shows that time or a later one."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    found = wall.replace(tzinfo=zone).astimezone(UTC)
    if _wall(found, zone) == wall:
        return found
    # Skipped: with the offset from before the jump this is after it, with the one from after it before.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), found
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if _wall(middle, zone) < wall:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _local(window: Window, instant: datetime) -> str:
    zone = ZoneInfo(window.timezone)
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M} {window.timezone} ({instant:%Y-%m-%d %H:%M} UTC)"
