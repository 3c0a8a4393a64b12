"""Histories: twenty random ones on each platform, and those in which something was once broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import can_be_alone
from tests.histories import __main__ as histories
from tests.histories import report
from tests.histories.generate import history
from tests.histories.language import Event, Step, read, text

#: `make test-histories` has these and 280 more.
SEEDS = range(1, 21)
#: Most of the time is waited: for silent ports, and for timers.
WORKERS = 4

pytestmark = pytest.mark.timeout(900)


def held(platform: str, cases: list[tuple[str, str]], folder: Path) -> None:
    if platform == "firewall" and not can_be_alone():
        pytest.skip("real nftables needs root, and namespaces of its own")
    given = [{"platform": platform, "name": name, "steps": steps, "shrink": True} for name, steps in cases]
    broken = []
    confirmed = 0
    for outcome in histories.carry_out(given, histories.HERE, folder, WORKERS):
        broken += [report.script(outcome, "")] if outcome.broken else []
        confirmed += sum("confirmed: closed outside" in note for _, note in outcome.told)
    assert not broken, "\n".join(broken)
    assert confirmed > len(cases) / 2, "nothing was done"


@pytest.mark.parametrize("platform", histories.PLATFORMS)
def test_random_ones(platform: str, tmp_path: Path) -> None:
    held(platform, [(f"seed {seed}", text(history(seed, platform))) for seed in SEEDS], tmp_path)


@pytest.mark.parametrize("platform", histories.PLATFORMS)
def test_those_that_were_broken_once(platform: str, tmp_path: Path) -> None:
    held(platform, [(name, steps) for name, _, steps in histories.named(platform)], tmp_path)


@pytest.mark.parametrize("platform", histories.PLATFORMS)
def test_a_history_is_its_text(platform: str) -> None:
    for seed in range(200):
        steps = history(seed, platform)
        assert len(steps) >= 12
        assert read(text(steps).splitlines()) == steps
    assert history(7, platform) == history(7, platform)


def test_a_step_that_nobody_knows() -> None:
    event = Event("device confirmed", 1, "restart", ("d1",))
    assert read(["run alice a1 once @ device-confirmed 1 restart d1"]) == (Step("run", ("alice", "a1", "once"), event),)
    for line in ("walk", "run alice", "timer @ planned 1 kill", "run alice a1 once @ planned 1 restart"):
        with pytest.raises(ValueError, match="no "):
            read([line])
