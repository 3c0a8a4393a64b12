"""How long a wave has: from its first arming for what may still be confirmed, from its last push for what is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from remediate.change.devices import Devices, Progress
from remediate.model.change import Wave


def test_the_first_device_that_was_armed_counts_and_not_the_last() -> None:
    wave = Wave(number=1, play="Close", pacs=("pacs-1",), vantages=(), revert_in=timedelta(seconds=300))
    now = datetime.now(UTC)
    at = Progress(armed_at=now - timedelta(seconds=100), pushed_at=now)
    left = Devices(wave, cast("Any", None), at).time_left()
    assert 200 - (datetime.now(UTC) - now).total_seconds() <= left <= 200
