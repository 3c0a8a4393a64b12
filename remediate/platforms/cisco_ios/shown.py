"""What a router shows of its revert timer, of its clock and of its lists, read."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from remediate.platforms.cisco_ios.config import NUMBERS
from remediate.platforms.cisco_ios.marks import Timer

_TIMER = re.compile(
    r"Time configured[^:]*: (?P<at>.+?)\s*\n.*?Timer value: (?P<minutes>\d+) min.*?User: (?P<user>\S*)", re.DOTALL
)
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)? \S+ \w{3} (\w{3}) +(\d+) (\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERED_LIST = re.compile(r"(?:Standard|Extended) IP access list (\S+)")
_NUMBERED_ENTRY = re.compile(r"\s+(\d+) (?!remark )\S")


def timer(shown: str) -> Timer | None:
    """From ``show archive config rollback timer``; None: nothing of one is there."""
    found = _TIMER.search(shown)
    return Timer(found["at"], int(found["minutes"]), found["user"]) if found else None


def moment(text: str) -> datetime | None:
    """A time as IOS writes it, in whatever zone that is: only differences of two are of use."""
    if not (found := _TIME.search(text)):
        return None
    hour, minute, second, month, day, year = found.groups()
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)


def numbers(shown: str) -> str:
    """``show ip access-lists``, condensed to one line a list."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in shown.splitlines():
        if head := _NUMBERED_LIST.match(line.strip()):
            name = head[1]
            found[name] = []
        elif name and (entry := _NUMBERED_ENTRY.match(line)):
            found[name].append(entry[1])
    return "".join(f"{NUMBERS} {' '.join([name, *numbers])}\n" for name, numbers in found.items())
