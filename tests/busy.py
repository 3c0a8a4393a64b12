"""What must be quick, on a machine that may be busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_time(look: Callable[[], T], took: Callable[[T], float], limit: float) -> T:
    """What ``look`` returned, of at most three times the first that took less than ``limit`` seconds.

    A busy machine is late now and then; what is slow is slow each time.
    """
    for _ in range(3):
        found = look()
        if took(found) < limit:
            return found
    raise AssertionError(f"it takes {took(found):.2f} s, and no less than {limit:g} s three times")
