"""What is going to be asked, before it is: for the security desk and the archives' owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from remediate import probes
from remediate.change.durations import verify_takes
from remediate.change.looking import DEADLINE
from remediate.model.base import AETitle, Name, Value
from remediate.model.change import Plan
from remediate.model.observation import Question
from remediate.model.site import Authorisation, Canary, Site
from remediate.model.verdict import Expectation
from remediate.vantages import CANARY_DEADLINE


class Asked(Value):
    """Of one PACS in one round. ``associations``: questions that each make at least one."""

    questions: int
    associations: int


class Notice(Value):
    """``vantages``: where each of them is. ``titles``: calling AE title → the vantages that use it.

    ``starts``, ``ends``: UTC; it ends at the latest then unless it waits for something. ``associations_at_most``: with
    one PACS in a round. ``authorised``: as far as it covers what is asked.
    """

    starts: datetime
    ends: datetime
    vantages: dict[Name, str]
    titles: dict[AETitle, tuple[Name, ...]]
    pacs: dict[Name, Asked]
    associations_at_most: int | None
    authorised: tuple[Authorisation, ...]
    canaries: dict[Name, tuple[Canary, ...]]
    questions: tuple[Question, ...]

    def lines(self) -> list[str]:
        places = ", ".join(f"{name} ({words})" for name, words in self.vantages.items())
        titles = ", ".join(f"{title} from {' and '.join(names)}" for title, names in self.titles.items())
        when = f"from {self.starts:%Y-%m-%d %H:%M:%S} to {self.ends:%Y-%m-%d %H:%M:%S} UTC at the latest"
        found = [
            f"{when}: looking from {places}",
            f"calling AE titles: {titles or 'none'}",
        ]
        for name, asked in self.pacs.items():
            found.append(f"{name}: {_count(asked.questions, 'question')}{self._associations(asked)}")
        found += [f"allowed by {one.reference}: {one.network} until {one.expires}" for one in self.authorised]
        return found

    def listing(self) -> list[str]:
        """``lines``, and every question and every canary."""
        found = self.lines()
        found += [probes.describe(question) for question in self.questions]
        for name, canaries in self.canaries.items():
            found += [f"canary at {c.address} port {c.port}, from {name}, before and after" for c in canaries]
        return found

    def _associations(self, asked: Asked) -> str:
        if not asked.associations:
            return ""
        text = f", {_count(asked.associations, 'DICOM association')} or more one after the other"
        if self.associations_at_most is None:
            return text
        text += f", at most {self.associations_at_most}"
        if asked.associations > self.associations_at_most:
            text += "; THE OTHERS WILL BE INCONCLUSIVE (data.limits.associations)"
        return text


def of(expected: Iterable[Expectation], site: Site, vantages: Iterable[str]) -> Notice:
    """Of one round that starts now."""
    expected = tuple(expected)
    certain, possible = verify_takes(expected, site)
    longest = max(certain, possible) + DEADLINE + 2 * CANARY_DEADLINE
    return _made(expected, site, tuple(vantages), timedelta(seconds=longest))


def of_plan(plan: Plan, site: Site) -> Notice:
    """Of a run that starts now: its rounds, before each wave, after it, and after it was taken back."""
    expected = tuple(dict.fromkeys(e for wave in plan.waves for e in wave.expectations))
    vantages = dict.fromkeys(name for wave in plan.waves for name in wave.vantages)
    return _made(expected, site, tuple(vantages), sum((w.takes_at_most + w.soak for w in plan.waves), timedelta()))


def _made(expected: tuple[Expectation, ...], site: Site, vantages: tuple[str, ...], longest: timedelta) -> Notice:
    questions = tuple(dict.fromkeys(e.question for e in expected))
    titles: dict[str, dict[str, None]] = {}
    for question in questions:
        if question.calling_ae_title is not None:
            titles.setdefault(question.calling_ae_title, {})[question.vantage] = None
    canaries = {name: site.vantages[name].canaries for name in vantages}
    asked = {q.address for q in questions} | {c.address for some in canaries.values() for c in some}
    now = datetime.now(UTC).replace(microsecond=0)
    return Notice(
        starts=now,
        ends=now + longest,
        vantages={name: site.vantages[name].via.words for name in vantages},
        titles={title: tuple(names) for title, names in titles.items()},
        pacs=_counted(questions),
        associations_at_most=site.limits.associations,
        authorised=tuple(one for one in site.authorised if any(address in one.network for address in asked)),
        canaries={name: some for name, some in canaries.items() if some},
        questions=questions,
    )


def _counted(questions: Iterable[Question]) -> Mapping[str, Asked]:
    questions = tuple(questions)
    associations = Counter(q.pacs for q in questions if q.kind.is_dicom)
    return {
        name: Asked(questions=count, associations=associations[name])
        for name, count in Counter(q.pacs for q in questions).items()
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
