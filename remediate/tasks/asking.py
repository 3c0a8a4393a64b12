"""Questions to PACS hosts, on the runner's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from nornir.core.task import Result, Task

from remediate import probes
from remediate.model.observation import Observation, Question, Rung
from remediate.model.stream import Dial

#: Seconds until an archive that rejected for the moment is asked again.
BUSY_PAUSE = 1.0


async def ask(
    task: Task,
    questions: Mapping[str, Sequence[Question]],
    dial: Dial,
    deadline: float,
    until: float | None = None,
    told: Callable[[Observation], object] | None = None,
) -> Result:
    """The questions for one PACS. See ``answers``."""
    found = await answers(questions[task.host.name], dial, deadline, until=until, told=told)
    return Result(host=task.host, result=found)


async def answers(
    questions: Iterable[Question],
    dial: Dial,
    deadline: float,
    *,
    until: float | None = None,
    told: Callable[[Observation], object] | None = None,
) -> tuple[Observation, ...]:
    """All under way at once as far as the dial's gate lets them.

    A transient rejection (PS3.8 9.3.4: result 2) is asked again once. ``deadline``: seconds, see
    ``model.stream.Dial``. ``until``: the loop's clock; what has no answer by then is left out, and what is left out is
    judged unknown. ``told``: called on the loop with each answer; it must not wait.
    """
    found: dict[Question, Observation] = {}

    async def one(question: Question) -> None:
        found[question] = seen = await probes.observe(dial, question, deadline)
        if seen.rung is Rung.BUSY:
            await asyncio.sleep(BUSY_PAUSE)  # between two questions to an archive that is busy
            again = await probes.observe(dial, question, deadline)
            if again.rung.reachable:  # a second try that did not get there does not undo the first one
                found[question] = again
        if told is not None:
            told(found[question])

    try:
        async with asyncio.timeout_at(until), asyncio.TaskGroup() as group:
            for question in questions:
                group.create_task(one(question))
    except TimeoutError:
        pass  # the answers that came in time stand; the others are missing, and the judge says so
    return tuple(found.values())
