"""A play's ``window``, read from its node. None: not as it must be, and already said."""

from __future__ import annotations

import re
from datetime import date

from pydantic import TypeAdapter

from remediate.inventory.document import Node, did_you_mean
from remediate.model.window import Freeze, Timezone, Weekday, Window

WINDOW_KEYS = ("days", "from", "to", "timezone", "freezes")
FREEZE_KEYS = ("from", "to", "why")
DAYS = tuple(day.name.lower() for day in Weekday)
DAYS_RULE = f"a day or a range of days ({', '.join(DAYS)}; mon-fri), or a list of these"
TIME_RULE = 'a time such as "02:00", from "00:00" to "24:00"'
DATE_RULE = "a date such as 2026-12-20"
ZONE_RULE = "a time zone such as Europe/Berlin or UTC (IANA's names)"
_ZONE = TypeAdapter[str](Timezone)


def window(node: Node) -> Window | None:
    keys = node.mapping(WINDOW_KEYS, required=("timezone",))
    if keys is None:
        return None
    days = _days(keys["days"]) if "days" in keys else tuple(Weekday)
    begins = _time(keys["from"]) if "from" in keys else 0
    ends = _time(keys["to"]) if "to" in keys else 1440
    zone = keys["timezone"].typed(_ZONE, ZONE_RULE) if "timezone" in keys else None
    freezes = _freezes(keys["freezes"]) if "freezes" in keys else ()
    if begins == 1440:
        keys["from"].problem('found "24:00"; allowed: "00:00" of the day after')
    elif begins is not None and begins == ends:
        keys["to"].problem("is the same as from; allowed: another time, or neither of the two for whole days")
    elif days and begins is not None and ends is not None and zone is not None and freezes is not None:
        return Window(days=days, from_=begins, to=ends, timezone=zone, freezes=freezes)
    return None


def _days(node: Node) -> tuple[Weekday, ...]:
    """In the week's order. A range may go over the week's end."""
    found: set[Weekday] = set()
    if node.raw == []:
        node.wrong(DAYS_RULE)
    for item in node.one_or_more():
        first, _, last = item.raw.partition("-") if isinstance(item.raw, str) else ("", "", "")
        last = last or first
        if first not in DAYS or last not in DAYS:
            word = next((word for word in (first, last) if word not in DAYS), "")
            item.wrong(DAYS_RULE, hint=did_you_mean(word.lower()[:3], DAYS))
            continue
        start, end = DAYS.index(first), DAYS.index(last)
        found |= {Weekday((start + step) % 7) for step in range((end - start) % 7 + 1)}
    return tuple(sorted(found))


def _time(node: Node) -> int | None:
    text = node.string(TIME_RULE)
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{2}):([0-9]{2})", text, re.ASCII)
    minute = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else 1441
    if minute > 1440:
        node.wrong(TIME_RULE)
        return None
    return minute


def _freezes(node: Node) -> tuple[Freeze, ...] | None:
    items = node.items("a list of freezes, such as  - {from: 2026-12-20, to: 2027-01-06, why: year's end}")
    if items is None:
        return None
    found = [_freeze(item) for item in items]
    return tuple(one for one in found if one is not None) if None not in found else None


def _freeze(node: Node) -> Freeze | None:
    keys = node.mapping(FREEZE_KEYS, required=("from", "to"))
    if keys is None:
        return None
    first = _date(keys["from"]) if "from" in keys else None
    last = _date(keys["to"]) if "to" in keys else None
    why = keys["why"].string() if "why" in keys else ""
    if first is None or last is None or why is None:
        return None
    if last < first:
        keys["to"].problem(f"found {last}; allowed: {first} or later")
        return None
    return Freeze(first=first, last=last, why=why)


def _date(node: Node) -> date | None:
    text = node.string(DATE_RULE)
    if text is None:
        return None
    try:
        return date.fromisoformat(text if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) else "")
    except ValueError:
        node.wrong(DATE_RULE)
        return None
