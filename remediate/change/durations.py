"""How long a push, a look and a take-back may take at the worst, and which ``revert_in`` that asks for. Pure.

A device that is typed at line by line has its timer running while it is typed at: what fits into a revert timer is the
typing, the look and the confirm together, less the last fifth, in which nothing is confirmed any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from math import ceil, inf

from remediate import platforms
from remediate.change.looking import DEADLINE, PATIENCE
from remediate.errors import PlanError
from remediate.model.change import Candidate, Capabilities, Wave
from remediate.model.site import LocalVia, Site
from remediate.model.verdict import Expectation
from remediate.platforms import Pace
from remediate.vantages.pace import MAX_PENDING, gate_of

#: Seconds for any one step on one device, connecting included, unless the device is known to need longer.
DEVICE_DEADLINE = 120.0
#: Seconds beyond the timer's end until a device must have taken a change back by itself.
TIMER_SLACK = 15.0
#: Seconds after which a Linux SSH server gives a connection up (net.ipv4.tcp_syn_retries = 6).
SSH_GIVES_UP = 131.0
#: The part of the revert timer that is kept free at its end: nothing is confirmed in it any more.
KEPT_FREE = 0.2

#: Lines that are typed besides the candidate's while the timer runs: modes, marker, looks at the timer, a new login.
_AROUND = 24
#: How often the configuration is read while the timer runs, and in one step.
_READ = 3
#: A step may take so many times what was measured: a device is slower while it is configured.
_MARGIN = 2.0


def lines(text: str) -> int:
    return sum(1 for line in text.splitlines() if line.strip())


def push_takes(candidate: Candidate, pace: Pace) -> float:
    """Seconds of the revert timer that go into typing, reading back and confirming, by what was measured."""
    return pace.line and (lines(candidate.text) + _AROUND) * pace.line + _READ * pace.reading


def step_limits(candidates: Iterable[Candidate], paces: Mapping[str, Pace]) -> dict[str, float]:
    """Device → seconds for one step there, where DEVICE_DEADLINE may not be enough, be it to push or to take back."""
    needed: dict[str, float] = {}
    for candidate in candidates:
        pace = paces.get(candidate.device, Pace())
        typed = max(lines(candidate.text), lines(candidate.inverse)) + _AROUND
        needed[candidate.device] = ceil(_MARGIN * (pace.line * typed + _READ * pace.reading))
    return {device: seconds for device, seconds in needed.items() if seconds > DEVICE_DEADLINE}


def at_the_devices_pace(wave: Wave, paces: Mapping[str, Pace]) -> Wave:
    """The wave, with the time that its devices need for a step."""
    limits = step_limits(wave.candidates, paces)
    longer = max(limits.values(), default=DEVICE_DEADLINE) - DEVICE_DEADLINE
    takes = wave.takes_at_most + timedelta(seconds=longer)
    return wave.model_copy(update={"step_limits": limits, "takes_at_most": takes})


def verify_takes(expected: Iterable[Expectation], site: Site) -> tuple[float, float]:
    """Seconds of one round at the worst: what local deadlines can add up to, and with SSH servers' time-outs.

    What waits for one another at a gate of the dial adds up, and so do the pace of the inventory's limits and what
    waits for a free place among the opens of an SSH or SOCKS server.
    """
    limits = site.limits
    certain: dict[tuple[str, int], float] = {}
    possible: dict[tuple[str, int], float] = {}
    questions = dict.fromkeys(e.question for e in expected)
    for question in questions:
        gate = gate_of(question)
        connect = DEADLINE if isinstance(site.vantages[question.vantage].via, LocalVia) else 0.0
        certain[gate] = certain.get(gate, 0.0) + connect
        possible[gate] = possible.get(gate, 0.0) + (connect or SSH_GIVES_UP)
    pacs = Counter(q.pacs for q in questions)
    pace = max(pacs.values(), default=0) / (limits.per_host or inf) + len(questions) / (limits.per_site or inf)
    far = Counter(q.vantage for q in questions if not isinstance(site.vantages[q.vantage].via, LocalVia))
    turns = max((ceil(asked / MAX_PENDING) - 1 for asked in far.values()), default=0)
    queued = turns * SSH_GIVES_UP
    return max(certain.values(), default=0.0) + pace, max(possible.values(), default=0.0) + queued + pace


def takes_at_most(revert_in: timedelta, expected: Iterable[Expectation], site: Site) -> timedelta:
    """From the first arming until everything is as before again: the device hangs as long as it may, is lost, takes
    the change back by its own timer, and then an archive has to be asked again and again."""
    _, looking = verify_takes(expected, site)
    return revert_in + timedelta(seconds=DEVICE_DEADLINE + TIMER_SLACK + looking + PATIENCE)


def advised(seconds: float, able: Iterable[Capabilities]) -> timedelta:
    """The shortest ``revert_in`` in which so much can be done, and that every device's timer can be set to."""
    steps = [one.revert_step for one in able]
    least = max([timedelta(seconds=1), *(one.revert_min for one in able)])
    needed = max(least, timedelta(seconds=ceil(seconds / (1 - KEPT_FREE))))
    step = max(steps, default=timedelta(seconds=1))
    return -(-needed // step) * step


def spelled(duration: timedelta) -> str:
    """As a playbook takes it."""
    seconds = round(duration.total_seconds())
    return f"{seconds}s" if seconds % 60 else f"{seconds // 60}m"


def check(wave: Wave, site: Site, paces: Mapping[str, Pace]) -> Iterable[str]:
    """What may take longer than the revert timer leaves room for. Raises PlanError where it surely does."""
    certain, possible = verify_takes(wave.expectations, site)
    pushes = {c.device: (push_takes(c, paces.get(c.device, Pace())), c) for c in wave.candidates}
    slowest, (typing, candidate) = max(pushes.items(), key=lambda item: item[1][0])
    able = [platforms.platform(c.platform).capabilities for c in wave.candidates]
    what, where = "looking again", f"play {wave.play!r}"
    if typing:
        pace = paces[slowest]
        what = (
            f"typing {lines(candidate.text)} lines at {slowest}, {pace.line:.2g} s each as its session went, and "
            "looking again"
        )
    shortest = advised(typing + certain, able)
    if wave.revert_in < shortest:
        longest = min(one.revert_max for one in able)
        raise PlanError(
            f"revert_in is {wave.revert_in.total_seconds():g} s, but {what} may take {ceil(typing + certain)} s, and "
            "the last fifth of the timer is kept free",
            where=where,
            next=f"set revert_in to {spelled(shortest)} or more"
            if shortest <= longest
            else f"no timer there is longer than {spelled(longest)}: put fewer archives into one wave (serial)",
        )
    safe = advised(typing + possible, able)
    if wave.revert_in < safe:
        yield (
            f"play {wave.play!r}: {what} may take {ceil(typing + possible)} s where an SSH or SOCKS server waits out "
            f"its own connect time-out for a filtered port; with revert_in {wave.revert_in.total_seconds():g} s "
            f"the change would then be taken back. revert_in {spelled(safe)} is safe"
        )
