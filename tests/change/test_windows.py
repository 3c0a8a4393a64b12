"""Windows: when they are open, in every zone and on the days on which clocks are changed."""

# ruff: noqa: E501 - a table: one mistake, one line

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from remediate import playbook
from remediate.change import windows
from remediate.errors import OutsideWindow, PlanError, PlaybookError
from remediate.model.window import Freeze, Weekday, Window

BERLIN = "Europe/Berlin"
NIGHT = Window(days=tuple(Weekday)[:5], from_=120, to=240, timezone=BERLIN)
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opening(window: Window, at: str) -> tuple[str, str]:
    found = next(windows.openings(window, utc(at)))
    return f"{found.start:%m-%d %H:%M}", f"{found.end:%m-%d %H:%M}"


def nightly(first: int, last: int, zone: str = BERLIN) -> Window:
    return Window(from_=first, to=last, timezone=zone)


# -- the days on which clocks are changed: by hand -------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "at", "expected"),
    [
        # 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC
        (nightly(120, 240), "2026-03-28T12:00", ("03-29 01:00", "03-29 02:00")),
        (nightly(150, 240), "2026-03-28T12:00", ("03-29 01:00", "03-29 02:00")),  # 02:30 does not exist
        (nightly(60, 150), "2026-03-28T12:00", ("03-29 00:00", "03-29 01:00")),  # nor does it as an end
        (nightly(135, 165), "2026-03-28T12:00", ("03-30 00:15", "03-30 00:45")),  # not open at all on that day
        # 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC
        (nightly(120, 240), "2026-10-24T12:00", ("10-25 00:00", "10-25 03:00")),
        (nightly(60, 150), "2026-10-24T12:00", ("10-24 23:00", "10-25 00:30")),  # 02:30: the first of the two
        (nightly(150, 240), "2026-10-24T12:00", ("10-25 00:30", "10-25 03:00")),
        (nightly(1380, 60), "2026-10-24T12:00", ("10-24 21:00", "10-24 23:00")),  # across midnight
        (nightly(0, 1440, "Africa/Cairo").model_copy(update={"days": (Weekday.FRI,)}), "2026-04-20T12:00",
         ("04-23 22:00", "04-24 21:00")),  # the day begins at 01:00 there
        (nightly(120, 150, "Australia/Lord_Howe"), "2026-10-03T12:00", ("10-04 15:00", "10-04 15:30")),  # half an hour
    ],
)  # fmt: skip
def test_when_clocks_are_changed(window: Window, at: str, expected: tuple[str, str]) -> None:
    assert opening(window, at) == expected


def test_a_day_is_the_one_on_which_it_opens() -> None:
    friday = Window(days=(Weekday.FRI,), from_=22 * 60, to=4 * 60, timezone="UTC")
    assert opening(friday, "2026-11-20T12:00") == ("11-20 22:00", "11-21 04:00")
    assert windows.current(friday, utc("2026-11-21T03:59:59")) is not None
    assert windows.current(friday, utc("2026-11-21T04:00")) is None
    assert windows.current(friday, utc("2026-11-20T03:00")) is None


def test_openings_that_touch_are_one() -> None:
    weekend = Window(days=(Weekday.SAT, Weekday.SUN), timezone="UTC")
    assert opening(weekend, "2026-11-20T12:00") == ("11-21 00:00", "11-23 00:00")
    windows.check(weekend, utc("2026-11-21T23:55"), timedelta(hours=2))


def test_a_freeze_holds_on_both_its_ends_and_cuts_a_night() -> None:
    frozen = Freeze(first=date(2026, 12, 20), last=date(2027, 1, 6), why="year's end")
    window = Window(from_=22 * 60, to=4 * 60, timezone=BERLIN, freezes=(frozen,))
    assert opening(window, "2026-12-19T12:00") == ("12-19 21:00", "12-19 23:00")
    assert opening(window, "2026-12-19T23:00") == ("01-06 23:00", "01-07 03:00")
    with pytest.raises(OutsideWindow, match=r"closed \(freeze from 2026-12-20 to 2027-01-06: year's end\)"):
        windows.check(window, utc("2027-01-06T22:30"), MINUTE)


# -- the gate ------------------------------------------------------------------------------------------


def test_it_must_fit_before_the_end() -> None:
    needed = timedelta(minutes=30)
    windows.check(NIGHT, utc("2026-11-20T02:30"), needed)
    with pytest.raises(OutsideWindow) as caught:
        windows.check(NIGHT, utc("2026-11-20T02:31"), needed)
    assert caught.value.what == (
        "the window closes at 2026-11-20 04:00 Europe/Berlin (2026-11-20 03:00 UTC), in 29 min, and push, verify and "
        "rollback may take 30 min; it next opens for long enough at 2026-11-23 02:00 Europe/Berlin "
        "(2026-11-23 01:00 UTC)"
    )
    assert caught.value.exit_status == 3


def test_closed() -> None:
    with pytest.raises(OutsideWindow) as caught:
        windows.check(NIGHT, utc("2026-11-20T12:00"), MINUTE)
    assert str(caught.value) == (
        "the window is closed; it next opens for long enough at 2026-11-23 02:00 Europe/Berlin (2026-11-23 01:00 UTC)"
        "\n  next: run again then; the window is mon, tue, wed, thu, fri 02:00 to 04:00 Europe/Berlin"
    )


def test_never_long_enough() -> None:
    at = utc("2026-11-20T12:00")
    windows.check_long_enough(NIGHT, timedelta(hours=2), "play 'x'", at)
    with pytest.raises(PlanError, match=r"may take 2 h 1 s, and the window .* is never open that long"):
        windows.check_long_enough(NIGHT, timedelta(hours=2, seconds=1), "play 'x'", at)
    frozen = NIGHT.model_copy(update={"freezes": (Freeze(first=date(2026, 1, 1), last=date(2099, 1, 1)),)})
    with pytest.raises(OutsideWindow, match="it never opens for long enough"):
        windows.check(frozen, at, MINUTE)


# -- any window ----------------------------------------------------------------------------------------

zones = st.sampled_from(
    [BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia"]
)
days = st.sets(st.sampled_from(list(Weekday)), min_size=1).map(lambda found: tuple(sorted(found)))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@st.composite
def any_window(draw: st.DrawFn, around: date) -> Window:
    first, last = draw(st.integers(0, 1439)), draw(st.integers(0, 1440))
    assume(first != last)
    freezes = draw(
        st.lists(
            st.tuples(st.integers(-20, 40), st.integers(0, 10)).map(
                lambda pair: Freeze(
                    first=around + timedelta(days=pair[0]), last=around + timedelta(days=pair[0] + pair[1])
                )
            ),
            max_size=3,
        )
    )
    return Window(days=draw(days), from_=first, to=last, timezone=draw(zones), freezes=tuple(freezes))


def shown(window: Window, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(window.timezone)).replace(tzinfo=None)


@given(st.data(), moments)
@settings(max_examples=150, deadline=None)
def test_the_next_opening_is_open_and_never_in_a_freeze(data: st.DataObject, at: datetime) -> None:
    window = data.draw(any_window(at.date()))
    needed = timedelta(minutes=data.draw(st.integers(1, 400)))
    start = windows.next_start(window, at, needed)
    if start is None:
        return
    assert start >= at
    windows.check(window, start, needed)
    for moment in (start, start + needed / 2, start + needed - timedelta(seconds=1)):
        now = windows.current(window, moment)
        assert now is not None and now.start <= moment < now.end
        assert not any(freeze.first <= shown(window, moment).date() <= freeze.last for freeze in window.freezes)
    if start > at:  # and not a second earlier
        with pytest.raises(OutsideWindow):
            windows.check(window, start - timedelta(seconds=1), needed)


@given(st.data(), moments)
@settings(max_examples=150, deadline=None)
def test_openings_are_in_order_and_never_touch(data: st.DataObject, at: datetime) -> None:
    found = list(windows.openings(data.draw(any_window(at.date())), at))
    assert all(one.start < one.end and one.end > at for one in found)
    assert all(one.end < other.start for one, other in pairwise(found))


@given(st.data(), moments)
@settings(max_examples=200, deadline=None)
def test_it_is_open_when_the_clock_on_the_wall_says_so(data: st.DataObject, at: datetime) -> None:
    """Told another way: by the wall clock alone, on days on which it is not changed."""
    window = data.draw(any_window(at.date()))
    wall = shown(window, at)
    zone = ZoneInfo(window.timezone)
    around = [datetime.combine(wall.date() + timedelta(days=n), time(), zone).utcoffset() for n in range(-1, 3)]
    assume(len(set(around)) == 1)
    minute = wall.hour * 60 + wall.minute
    today, before = wall.weekday() in window.days, (wall - timedelta(days=1)).weekday() in window.days
    if window.from_ < window.to:
        said = today and window.from_ <= minute < window.to
    else:
        said = (today and minute >= window.from_) or (before and minute < window.to)
    said = said and not any(freeze.first <= wall.date() <= freeze.last for freeze in window.freezes)
    assert (windows.current(window, at) is not None) is said


# -- as written ----------------------------------------------------------------------------------------

PLAY = """\
- name: Close
  hosts: pacs
  window: {days: [mon-wed, fri], from: "22:00", to: "04:00", timezone: Europe/Berlin, freezes: [{from: 2026-12-20, to: 2027-01-06, why: year's end}]}
  tasks:
    - {name: a, apply: acl}
"""


def load(folder: Path, text: str) -> playbook.Play:
    (folder / "book.yaml").write_text(text)
    return playbook.load(folder / "book.yaml").plays[0]


def test_as_written(tmp_path: Path) -> None:
    window = load(tmp_path, PLAY).window
    assert window == Window(
        days=(Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.FRI),
        from_=1320,
        to=240,
        timezone=BERLIN,
        freezes=(Freeze(first=date(2026, 12, 20), last=date(2027, 1, 6), why="year's end"),),
    )
    assert str(window) == "mon, tue, wed, fri 22:00 to 04:00 Europe/Berlin, 1 freeze"
    assert Window.model_validate(window.model_dump(mode="json")) == window


def test_what_need_not_be_said(tmp_path: Path) -> None:
    (tmp_path / "book.yaml").write_text(PLAY.replace(PLAY.splitlines()[2], "  window: {timezone: UTC, days: sun-mon}"))
    window = playbook.load(tmp_path / "book.yaml").plays[0].window
    assert window == Window(days=(Weekday.MON, Weekday.SUN), timezone="UTC")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mon-wed", "mon-wedn", "window.days[0]: found 'mon-wedn'; allowed: a day or a range of days (mon, tue, wed, thu, fri, sat, sun; mon-fri), or a list of these; did you mean wed?"),
        ("[mon-wed, fri]", "[]", "window.days: found a list; allowed: a day or a range"),
        ('"22:00"', '"22:60"', "window.from: found '22:60'; allowed: a time such as"),
        ('"22:00"', '"24:00"', 'window.from: found "24:00"; allowed: "00:00" of the day after'),
        ('"22:00"', "22", "window.from: found 22; allowed: a time such as"),
        ('"04:00"', '"22:00"', "window.to: is the same as from; allowed: another time"),
        ("Europe/Berlin", "Europe/Berln", "window.timezone: found 'Europe/Berln'; allowed: a time zone such as"),
        ("Europe/Berlin", "Europe", "window.timezone: found 'Europe'; allowed: a time zone such as"),
        ("Europe/Berlin", "../UTC", "window.timezone: found '../UTC'; allowed: a time zone such as"),
        (", timezone: Europe/Berlin", "", "window: timezone is missing"),
        ("to: 2027-01-06", "to: 2026-12-19", "window.freezes[0].to: found 2026-12-19; allowed: 2026-12-20 or later"),
        ("to: 2027-01-06", "to: 2026-02-30", "window.freezes[0].to: found '2026-02-30'; allowed: a date such as"),
        ("to: 2027-01-06, ", "", "window.freezes[0]: to is missing"),
        ("freezes:", "freeze:", "window.freeze: unknown key; allowed: days, from, to, timezone, freezes; did you mean"),
    ],
)  # fmt: skip
def test_a_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in PLAY
    with pytest.raises(PlaybookError) as caught:
        load(tmp_path, PLAY.replace(old, new, 1))
    assert any(line.startswith(f"book.yaml:3: play 1: {expected}") for line in caught.value.problems), caught.value


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.dates()
keys = st.sampled_from(["days", "from", "to", "timezone", "freezes", "why"])
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_any_window_is_right_or_a_playbook_error(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    play = [{"name": "x", "hosts": "all", "window": value, "tasks": [{"name": "a", "apply": "acl"}]}]
    try:
        assert load(tmp_path_factory.getbasetemp(), yaml.safe_dump(play)).window is not None
    except PlaybookError as error:
        assert error.problems
