"""The time that a push, a look and a confirm need, and what is advised for it."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nornir.core.task import Result, Task

from remediate import controls, platforms, playbook
from remediate.change import durations
from remediate.change.devices import Devices, Means, Progress
from remediate.errors import DeadlineExceeded, PlanError
from remediate.inventory import Loaded, load, starter
from remediate.model.change import Candidate, Wave
from remediate.model.site import SshVia
from remediate.model.verdict import Expectation
from remediate.platforms import PLATFORMS, Pace
from remediate.playbook import Play
from remediate.runner import LoopRunner
from remediate.tasks import framework
from remediate.vantages.pace import MAX_PENDING
from tests.cli.test_init import filled_in
from tests.quiet import Quiet

SLOW = Pace(line=0.45, reading=2.0)
IOS, LINUX = (platforms.platform(name).capabilities for name in ("cisco_ios", "linux_nftables"))


@pytest.fixture
def site(tmp_path: Path) -> Loaded:
    """What `init` writes, filled in."""
    starter.write(tmp_path)
    return load(filled_in(tmp_path / "inventory"), platforms=PLATFORMS)


def candidate(lines: int = 1, platform: str = "cisco_ios", device: str = "fw-north") -> Candidate:
    text = "".join(f"{number} permit tcp any any eq {number}\n" for number in range(1, lines + 1))
    return Candidate(device=device, platform=platform, sections=(), text=text, inverse=text, base="", diff="")


def wave(revert_in: timedelta, *made: Candidate, **more: Any) -> Wave:
    return Wave(number=1, play="Close", pacs=(), vantages=(), revert_in=revert_in, candidates=made, **more)


def plays(site: Loaded, platform: str) -> list[tuple[Play, Wave]]:
    """The starter's plays that change something, as waves of all its archives."""
    found = []
    for file in sorted((site.path.parent / "playbooks").glob("*.yaml")):
        for play in playbook.load(file, {}, controls=set(controls.CONTROLS), vantages=set(site.site.vantages)).plays:
            if not play.controls:
                continue
            places = [site.site.vantages[name] for name in play.vantages or site.site.vantages]
            asked = [controls.expectations(play.controls, pacs, places) for pacs in site.site.pacs.values()]
            expectations = tuple(e for one in asked for e in one.expectations)
            made = candidate(platform=platform)
            found.append((play, wave(play.revert_in, made, expectations=expectations)))
    return found


@pytest.mark.parametrize("platform", ["cisco_ios", "linux_nftables"])
def test_what_init_proposes_fits_the_vantages_that_it_proposes(site: Loaded, platform: str) -> None:
    proposed = plays(site, platform)
    assert len(proposed) >= 7
    for play, planned in proposed:
        assert list(durations.check(planned, site.site, {})) == [], play.name


@pytest.mark.parametrize("platform", ["cisco_ios", "linux_nftables"])
def test_what_is_advised_does_not_warn_again(site: Loaded, platform: str) -> None:
    for play, planned in plays(site, platform):
        tight = planned.model_copy(update={"revert_in": timedelta(minutes=2)})
        for text in durations.check(tight, site.site, {}):
            advice = text.rpartition("revert_in ")[2].removesuffix(" is safe")
            followed = planned.model_copy(update={"revert_in": playbook.parse_duration(advice)})
            assert list(durations.check(followed, site.site, {})) == [], play.name


@given(st.floats(0, 5000, allow_nan=False), st.sampled_from([(IOS,), (LINUX,), (LINUX, IOS)]))
def test_the_advice_is_long_enough_and_can_be_set(seconds: float, able: tuple[Any, ...]) -> None:
    advice = durations.advised(seconds, able)
    assert advice.total_seconds() * 0.8 >= seconds - 1e-6
    for one in able:
        assert not advice % one.revert_step
        assert advice >= one.revert_min
    assert playbook.parse_duration(durations.spelled(advice)) == advice
    shorter = advice - max(one.revert_step for one in able)
    assert shorter.total_seconds() * 0.8 < seconds or shorter < max(one.revert_min for one in able)


@pytest.mark.parametrize("archives", [1, MAX_PENDING, MAX_PENDING + 1, 3 * MAX_PENDING])
def test_a_wave_of_many_archives_waits_for_the_servers_free_places(site: Loaded, archives: int) -> None:
    """So many opens at a time are left to an SSH server: with one more, the last waits until the first has ended."""
    some, *_ = (e for _, planned in plays(site, "cisco_ios") for e in planned.expectations)
    outside = next(name for name, vantage in site.site.vantages.items() if isinstance(vantage.via, SshVia))

    def asked(number: int) -> Expectation:
        question = some.question.model_copy(update={"pacs": f"pacs-{number}", "vantage": outside})
        return some.model_copy(update={"question": question})

    _, possible = durations.verify_takes(map(asked, range(archives)), site.site)
    assert possible // durations.SSH_GIVES_UP == -(-archives // MAX_PENDING), "and a little for the pace"


def test_typing_is_within_the_timer(site: Loaded) -> None:
    """A clone of 303 lines, 0.45 s a line: 2 minutes of which 96 s can be used are too short."""
    many = candidate(303)
    with pytest.raises(PlanError, match=r"typing 303 lines at fw-north, 0\.45 s each .* may take 154 s") as caught:
        list(durations.check(wave(timedelta(minutes=2), many), site.site, {"fw-north": SLOW}))
    assert caught.value.next == "set revert_in to 4m or more"
    assert list(durations.check(wave(timedelta(minutes=4), many), site.site, {"fw-north": SLOW})) == []
    assert list(durations.check(wave(timedelta(minutes=2), many), site.site, {"fw-north": Pace(0.02, 1.0)})) == []


def test_the_slowest_of_two_devices_counts(site: Loaded) -> None:
    both = wave(timedelta(minutes=2), candidate(303), candidate(3, device="fw-south"))
    paces = {"fw-north": Pace(0.01, 1.0), "fw-south": SLOW}
    assert list(durations.check(both, site.site, paces)) == []
    with pytest.raises(PlanError, match="at fw-north"):
        list(durations.check(both, site.site, paces | {"fw-north": SLOW}))


def test_no_timer_is_long_enough(site: Loaded) -> None:
    with pytest.raises(PlanError) as caught:
        list(durations.check(wave(timedelta(minutes=120), candidate(20_000)), site.site, {"fw-north": SLOW}))
    assert "no timer there is longer than 120m" in caught.value.next
    assert "serial" in caught.value.next


def test_the_steps_limit_follows_the_lines_and_the_pace() -> None:
    (limit,) = durations.step_limits([candidate(303)], {"fw-north": SLOW}).values()
    assert limit > 2 * 303 * 0.45
    assert durations.step_limits([candidate(303)], {"fw-north": Pace(0.02, 1.0)}) == {}
    assert durations.step_limits([candidate(303)], {}) == {}
    planned = wave(timedelta(minutes=4), candidate(303), takes_at_most=timedelta(minutes=8))
    slower = durations.at_the_devices_pace(planned, {"fw-north": SLOW})
    assert slower.step_limits == {"fw-north": limit}
    assert slower.takes_at_most == planned.takes_at_most + timedelta(seconds=limit - durations.DEVICE_DEADLINE)
    assert durations.at_the_devices_pace(planned, {}) == planned


def test_a_step_has_the_time_of_its_wave(site: Loaded) -> None:
    """The usual limit is over at once here; the step ends when it is told to, which is after that."""
    over = threading.Event()

    def step(task: Task) -> Result:
        assert over.wait(30)
        return Result(host=task.host, result="done")

    loop = LoopRunner(deadline=0.05)
    nornir = framework(site.nornir, site.site, loop)
    journal = SimpleNamespace(change="20260102-120000-abcd")
    means = cast("Means", SimpleNamespace(nornir=nornir, watch=Quiet(), journal=journal))
    try:
        hurried = Devices(wave(timedelta(minutes=4), candidate()), means, Progress())
        with pytest.raises(DeadlineExceeded):
            hurried.on(step)
        over.set()
        patient = Devices(wave(timedelta(minutes=4), candidate(), step_limits={"fw-north": 30.0}), means, Progress())
        results = patient.on(slow(loop))
        assert [result[0].result for result in results.values()] == ["done"]
    finally:
        over.set()
        loop.close()


def slow(loop: LoopRunner) -> Any:
    """A step that surely outlasts the usual limit."""
    late = threading.Event()

    def step(task: Task) -> Result:
        threading.Timer(0.3, late.set).start()
        assert late.wait(30)
        return Result(host=task.host, result="done")

    return cast("Any", step)
