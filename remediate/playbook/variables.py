"""Durations, and the variables of a play and of the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from remediate.errors import UsageError
from remediate.inventory import fields
from remediate.inventory.document import Node, Problems
from remediate.playbook.play import DEFAULT_REVERT_IN

DURATION_RULE = 'seconds, or a text such as "90s", "5m", "1h30m"; from 1 second to 24 hours'
#: The variables that are not the user's own.
OURS = ("revert_in", "reported")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
LONGEST = timedelta(hours=24)


def parse_duration(value: str | int) -> timedelta:
    """300, "300", "300s", "5m", "1h30m". Raises UsageError for anything else and outside 1 second to 24 hours."""
    found = _duration(value)
    if found is None:
        raise UsageError(f"{value!r} is not a duration", next=f"give {DURATION_RULE}")
    return found


def _duration(value: object) -> timedelta | None:
    found = span(value)
    return found if found is not None and timedelta(seconds=1) <= found <= LONGEST else None


def span(value: object) -> timedelta | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = re.fullmatch(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s?)?", str(value), re.ASCII)
    if match is None or not str(value):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def given_vars(given: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        if not VARIABLE.fullmatch(key):
            problems.add("-e", 0, f"found {key[:63]!r} as the name of a variable; allowed: letters, digits and _")
        elif any("\ud800" <= letter <= "\udfff" for letter in value):
            problems.add("-e", 0, f"{key}: is not UTF-8 text")
        elif key == "revert_in" and _duration(value) is None:
            problems.add("-e", 0, f"revert_in: found {value[:60]!r}; allowed: {DURATION_RULE}")
        elif hint := _misspelt_variable(key):
            problems.add("-e", 0, f"{key}: unknown variable{hint}")
        else:
            found[key] = value
    return found


def _misspelt_variable(key: str) -> str:
    """A variable may have any name, but one that is nearly ours is a slip that would leave the timer as it was."""
    near = (one for one in OURS if difflib.SequenceMatcher(None, key.lower(), one).ratio() >= 0.8)
    return "" if key in OURS else "".join(f"; did you mean {one}?" for one in near)


def play_vars(node: Node | None, given: Mapping[str, Any], base: Path) -> tuple[dict[str, Any], timedelta, str | None]:
    """The user's own variables, and those that are ours."""
    found: dict[str, Any] = {}
    reported: str | None = None
    for key, value in (node.mapping() or {}).items() if node is not None else []:
        if hint := _misspelt_variable(key):
            value.problem(f"unknown variable{hint}")
        elif not VARIABLE.fullmatch(key):
            value.problem("is no name of a variable; allowed: letters, digits and _")
        elif key == "revert_in" and _duration(value.raw) is None:
            value.wrong(DURATION_RULE)
        elif key == "reported":
            reported = fields.path(value, base)
        value.check_keys()
        found[key] = value.plain()
    found |= given
    revert_in = found.pop("revert_in", None)
    if "reported" in given:
        reported = str(Path(given["reported"]).absolute())
    found.pop("reported", None)
    return found, DEFAULT_REVERT_IN if revert_in is None else _duration(revert_in) or DEFAULT_REVERT_IN, reported
