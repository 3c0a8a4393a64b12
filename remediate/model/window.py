"""When devices may be changed: days, times, freezes, in one time zone."""

from __future__ import annotations

from datetime import date
from enum import IntEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from remediate.model.base import Value


class Weekday(IntEnum):
    """As ``date.weekday`` counts."""

    MON = 0
    TUE = 1
    WED = 2
    THU = 3
    FRI = 4
    SAT = 5
    SUN = 6


def _zone(key: str) -> str:
    try:
        ZoneInfo(key)
    except (KeyError, OSError, ValueError) as error:  # not there, a folder of zones, a path
        raise ValueError(f"no time zone is called {key!r}") from error
    return key


#: A name of the IANA time zone database.
Timezone = Annotated[str, AfterValidator(_zone)]
#: Minutes after midnight by the clock on the wall; 1440 is the end of the day.
Minute = Annotated[int, Field(ge=0, le=1440)]


class Freeze(Value):
    """Days on which nothing opens; both ends are part of it."""

    first: date
    last: date
    why: str = ""


class Window(Value):
    """``days``: those on which it opens. ``to`` at or before ``from_``: it ends on the day after."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = tuple(Weekday)
    from_: Minute = 0
    to: Minute = 1440
    timezone: Timezone
    freezes: tuple[Freeze, ...] = ()

    def __str__(self) -> str:
        days = "daily" if len(self.days) == 7 else ", ".join(day.name.lower() for day in self.days)
        frozen = f", {len(self.freezes)} freeze{'s' * (len(self.freezes) > 1)}" if self.freezes else ""
        return f"{days} {clock(self.from_)} to {clock(self.to)} {self.timezone}{frozen}"


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
