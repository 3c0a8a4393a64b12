"""Every program that is started on a device for a push fails, is killed, is slow, meets a full or a read-only disk.

Whatever is hit: what the device says of the push afterwards is true, a push that is not confirmed is gone in the end
without anybody's doing, and one of which the device says that it is stuck can be taken back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from remediate import platforms
from remediate.errors import RemediateError
from remediate.lab.real import hosts
from tests.platforms import posix
from tests.platforms.subjects import (
    TOKEN,
    Archive,
    Filter,
    Subject,
    commit,
    confirm,
    fire,
    push,
    rollback,
    settled,
    stage,
    timer,
)

pytestmark = [pytest.mark.real, posix.NEEDED]

MODES = ("fails", "killed", "read-only", "full")


@pytest.fixture(params=[Filter, Archive])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with posix.host(tmp_path / "host", *request.param.disks) as host:
        yield request.param(host)


def save(subject: Subject) -> None:
    subject.driver.save(TOKEN)


#: What is hit, after what.
STEPS: dict[Callable[[Subject], None], tuple[Callable[[Subject], None], ...]] = {
    stage: (),
    commit: (stage,),
    confirm: (push,),
    rollback: (push,),
    timer: (push,),
    save: (push, confirm),
}


def check_gone(subject: Subject, where: str) -> None:
    """Nobody confirms it. A living timer takes it back; where there is none, the device says so, and can be told to."""
    state = subject.driver.state_of(TOKEN)
    if state.name == platforms.STUCK:
        rollback(subject)
    elif state.name == platforms.ARMED:
        fire(subject)
        hosts.until(lambda: settled(subject), what=f"{where}: the timer's end")
    state = subject.driver.state_of(TOKEN)
    assert state.name in (platforms.REVERTED, platforms.ABSENT), f"{where}: {state}"
    assert subject.is_before(), f"{where}: {state}"


def check_told(subject: Subject, where: str) -> str:
    """What the device says now is so."""
    name: str = subject.driver.state_of(TOKEN).name
    if name in (platforms.REVERTED, platforms.ABSENT):
        assert subject.is_before(), f"{where}: said to be {name}"
    elif name in (platforms.CONFIRMED, platforms.ARMED):
        assert subject.is_after() or name == platforms.ARMED, f"{where}: said to be {name}"
    return name


def check(subject: Subject, step: Callable[[Subject], None], failed: RemediateError | None, where: str) -> None:
    name = check_told(subject, where)
    if step is save:
        assert name == platforms.CONFIRMED and subject.is_after(), where
        if failed is not None:
            save(subject)
        assert subject.lasts(), where
        return
    if failed is None:
        early = (platforms.ARMED, platforms.REVERTED)  # where the timer's own sleep was hit, it is early
        wanted: dict[Callable[[Subject], None], tuple[str, ...]] = {
            commit: early,
            confirm: (platforms.CONFIRMED,),
            rollback: (platforms.REVERTED,),
        }
        assert name in wanted.get(step, (name,)), where
    if name != platforms.CONFIRMED:
        check_gone(subject, where)


def again(subject: Subject) -> None:
    """As it was before, for the next one."""
    if not settled(subject) or subject.driver.state_of(TOKEN).name == platforms.CONFIRMED:
        rollback(subject)
    subject.driver.forget(TOKEN)
    subject.reset()
    assert subject.is_before()


def places(step: Callable[[Subject], None], mode: str) -> Iterator[int]:
    """The numbers of the programs to be hit: all of them take an hour, and every twelfth, another for each case, does
    in the suite. The last one is where nothing is hit any more.
    """
    stride = 1 if os.environ.get("REMEDIATE_EVERY_LINE") else 12
    return count(1 + (5 * list(STEPS).index(step) + 3 * MODES.index(mode)) % stride, stride)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
@pytest.mark.parametrize("mode", MODES)
def test_each_program_of_each_step(subject: Subject, step: Callable[[Subject], None], mode: str) -> None:
    for at in places(step, mode):
        for before in STEPS[step]:
            before(subject)
        subject.host.break_at(mode, at)
        failed: RemediateError | None = None
        try:
            step(subject)
        except RemediateError as error:
            failed = error
        hit = subject.host.heal()
        where = f"{step.__name__}, {mode} at {at}, {hit}, {failed}"
        assert hit or failed is None, where
        check(subject, step, failed, where)
        again(subject)
        if not hit:
            break
