"""Sections of the guard → a candidate and its inverse, proved before any device is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import unified_diff
from typing import Any, NamedTuple

from remediate import platforms
from remediate.errors import DriftError, PlanError, Unprovable
from remediate.model.base import canonical, sha256
from remediate.model.change import Candidate, Items, Section
from remediate.model.device import Device
from remediate.model.rule import AnyIntent
from remediate.platforms import FilterState
from remediate.render import Renderer
from remediate.rules import effect

Printed = Mapping[str, Items | None]
#: A running configuration: the device's own text, or what it says, read or predicted.
Running = str | FilterState


def read(device: Device, running: Running) -> FilterState:
    return platforms.platform(device.platform).read(device, running) if isinstance(running, str) else running


def predicted(device: Device, running: Running, candidate: Candidate) -> FilterState:
    """What the device will run once the candidate is loaded there."""
    return _simulated(device, read(device, running), candidate.text)


def sections(device: Device, intents: Sequence[AnyIntent], running: Running) -> list[Section]:
    """What the intents want there, beside what stands there now.

    Raises PlanError where they would lock somebody out, or are none of that platform's.
    """
    check_intents(device, intents)
    spec = platforms.platform(device.platform)
    state = read(device, running)
    if wrong := spec.objections(state, intents):
        raise PlanError(
            "this would lock somebody out:" + "".join(f"\n  - {one}" for one in wrong),
            where=device.name,
            next="mend that on the device or in the inventory, then plan again",
        )
    now = state.sections
    return [Section(name=i.section, intent=i, rules=spec.expressed(i), previous=now.get(i.section)) for i in intents]


def check_intents(device: Device, intents: Iterable[AnyIntent]) -> None:
    """Raises PlanError for one that its platform does not know."""
    known = platforms.platform(device.platform).intents
    if strange := [intent for intent in intents if not isinstance(intent, known)]:
        raise PlanError(
            f"{strange[0].control} cannot be carried out on {device.platform}",
            where=device.name,
            next="correct its platform in the inventory, or apply another control",
        )


def candidate(device: Device, wanted: Sequence[Section], running: Running, renderer: Renderer) -> Candidate:
    """Everything that changes on one device, as one text, and the text that takes it back.

    What either leaves behind is read back from the rendered text, and the proof is made on that. The inverse is
    printed by the same template. Raises PlanError with what is wrong, Unprovable for a text that cannot be read.
    """
    spec = platforms.platform(device.platform)
    before = read(device, running)
    text = _printed(device, wanted, {s.name: s.rules for s in wanted}, before, renderer)
    after = _simulated(device, before, text)
    _check(device, after, {s.name: s.rules for s in wanted}, "does not print the entries as it was given them")
    others = {*before.sections, *after.sections} - {s.name for s in wanted}
    if any(after.sections.get(name) != before.sections.get(name) for name in others):
        raise PlanError(
            "the rendered text changes a section of another control or archive",
            where=device.name,
            next="mend the template",
        )
    # Where a change is taken back, the entries of before are no intent's, and nothing is meant but they themselves.
    closing = [s.intent for s in wanted if s.rules is not None and s.rules == spec.expressed(s.intent)]
    if after.foreign != before.foreign:
        raise PlanError(
            "the rendered text changes something that is not ours", where=device.name, next="mend the template"
        )
    wrong = spec.prove(device, before, after, closing) if len(closing) == len(wanted) else ()
    if wrong:
        raise PlanError(
            "the rendered rules do not do what is meant:\n  " + "\n  ".join(wrong[:5]),
            where=device.name,
            next="mend the template",
        )
    inverse = _printed(device, wanted, {s.name: s.previous for s in wanted}, after, renderer)
    again = _simulated(device, after, inverse)
    if (again.sections, again.foreign) != (before.sections, before.foreign):
        raise PlanError("the inverse does not restore what was there", where=device.name, next="mend the template")
    return Candidate(
        device=device.name,
        platform=device.platform,
        sections=tuple(wanted),
        text=text,
        inverse=inverse,
        base=sha256(before.foreign),
        beside=_digests(before),
        diff=_diff(device, wanted, before, after, text, renderer),
        down=spec.capabilities.down,
        price=spec.capabilities.price,
        effect=tuple(line for s in wanted for line in effect(s, closing=len(closing) == len(wanted))),
    )


def remarks(device: Device, made: Candidate, running: Running) -> list[str]:
    """What whoever approves it must know of the configuration that it is made for."""
    spec = platforms.platform(device.platform)
    said = spec.remarks(read(device, running), [section.intent for section in made.sections])
    return [f"{device.name}: {one}" for one in said]


def check_base(
    device: Device, candidate: Candidate, running: str, planned: Callable[[], Running | None] = lambda: None
) -> None:
    """Raises DriftError unless everything that is not ours, and every section of ours, is as the candidate was made
    for. ``planned``: tells what ran there then, or was predicted to, for showing the difference.
    """
    now = read(device, running)
    if sha256(now.foreign) == candidate.base and _digests(now) == candidate.beside:
        return
    was = planned()
    raise DriftError(
        "the configuration is not the one that the plan was made for"
        + (_differs(read(device, was), now) if was is not None else ""),
        where=device.name,
        next="see who changed what, then plan again",
    )


def drifted_sections(device: Device, candidate: Candidate, running: str) -> tuple[str, ...] | None:
    """The sections of ours that are not as the candidate was made for; None where something else is not, either."""
    now = read(device, running)
    if sha256(now.foreign) != candidate.base:
        return None
    digests = _digests(now)
    names = sorted(digests.keys() | candidate.beside.keys())
    return tuple(name for name in names if digests.get(name) != candidate.beside.get(name))


def refitted(device: Device, planned: Candidate, running: str, renderer: Renderer) -> Candidate | None:
    """The same sections for what runs there now; None where one of them is no longer what it was to take the place of.

    Raises as ``candidate`` does.
    """
    now = read(device, running)
    if any(now.sections.get(section.name) != section.previous for section in planned.sections):
        return None
    return candidate(device, planned.sections, now, renderer)


def shown(candidate: Candidate) -> Mapping[str, Any]:
    """What a plan shows of a candidate, and what it would do: two that are equal in this are one to whoever approves.

    The texts count whole, and so does the inverse, which the device runs by itself.
    """
    return candidate.model_dump(mode="json", exclude={"base", "beside"})


def _differs(was: FilterState, now: FilterState) -> str:
    lines = [_lines(was.foreign, now.foreign, "planned for")] if was.foreign != now.foreign else []
    for name in sorted(was.sections.keys() | now.sections.keys()):
        then, there = was.sections.get(name), now.sections.get(name)
        if then != there:
            lines.append(f"  section {name} of the guard: {_count(then)} then, {_count(there)} now")
    return ":\n" + "\n".join(lines) if lines else ""


def check_applied(device: Device, candidate: Candidate, running: str, before: str) -> None:
    """Raises DriftError unless the device is now exactly as simulated: every section of ours, and all that is not."""
    expected = predicted(device, before, candidate)
    now = read(device, running)
    _check_sections(device, now, expected, _SIMULATED)
    if now.foreign != expected.foreign:
        raise DriftError(
            f"something outside the guard has changed:\n{_lines(expected.foreign, now.foreign, 'expected')}",
            where=device.name,
            next="see who else works on the device, then plan again",
        )


def check_at_boot(device: Device, boot: str, running: str) -> None:
    """Raises DriftError unless the next start loads just the sections that are in force."""
    _check_sections(device, read(device, boot), read(device, running), "what is in force", "at the next start")


class Since(NamedTuple):
    """What differs from before a push that is undone. ``lost``: neighbours' sections that are no longer as they were;
    ``more``: what others did besides, as text.
    """

    lost: tuple[str, ...] = ()
    more: str = ""


def check_restored(
    device: Device, candidate: Candidate, running: str, before: str | None, *, settled: bool = False
) -> Since:
    """Raises DriftError unless the candidate's own sections are again what they were. What others did meanwhile stays
    theirs, sections of ours for other archives included: they may have come with another change.

    ``before``: what ran before the push. ``settled``: nothing of the push can be there, so that what stands in the
    place of its sections came with another change too.
    """
    now = read(device, running)
    wrong = [s.name for s in candidate.sections if now.sections.get(s.name) != s.previous]
    if wrong and not settled:
        raise DriftError(
            f"these sections of the guard are not as before: {', '.join(wrong)}"
            + (f"\n{_lines(before, running, 'before')}" if before else ""),
            where=device.name,
            next="look at the guard on the device",
        )
    theirs = [f"  section {name} of the guard is another change's now, or a person's" for name in wrong]
    if before is None:
        return Since(more="\n".join(theirs))
    was = read(device, before)
    own = {section.name for section in candidate.sections}
    lost = [name for name, rules in was.sections.items() if name not in own and now.sections.get(name) != rules]
    more = theirs + ([_lines(was.foreign, now.foreign, "before")] if was.foreign != now.foreign else [])
    more += [
        f"  section {name} of the guard is there now"
        for name in sorted(now.sections.keys() - was.sections.keys() - own)
    ]
    return Since(tuple(sorted(lost)), "\n".join(more))


def check_neighbours(device: Device, candidate: Candidate, before: str, after: str) -> None:
    """Raises DriftError where undoing the candidate, between the two, has touched another archive's section."""
    was, now = read(device, before).sections, read(device, after).sections
    own = {section.name for section in candidate.sections}
    wrong = sorted(n for n in was.keys() | now.keys() if n not in own and was.get(n) != now.get(n))
    if wrong:
        raise DriftError(
            f"taking it back has changed other sections of the guard: {', '.join(wrong)}",
            where=device.name,
            next="look at the guard on the device; remediate run with their playbook puts it there again",
        )


_SIMULATED = "what was simulated"


def _check_sections(
    device: Device, now: FilterState, expected: FilterState, meant: str, place: str = "on the device"
) -> None:
    for name in sorted(now.sections.keys() | expected.sections.keys()):
        there, wanted = now.sections.get(name), expected.sections.get(name)
        if there != wanted:
            raise DriftError(
                f"section {name} of the guard is not {meant}: {_count(there)} {place}, {_count(wanted)} expected",
                where=device.name,
                next="look at the guard on the device",
            )


def _printed(
    device: Device, wanted: Iterable[Section], printed: Printed, state: FilterState, renderer: Renderer
) -> str:
    """One text a control, in the order in which the controls come."""
    spec = platforms.platform(device.platform)
    by_control: dict[str, list[str]] = {}
    for section in wanted:
        by_control.setdefault(section.intent.control, []).append(section.name)
    context = spec.context(device, state, printed)
    parts = []
    for control, names in by_control.items():
        given = [{"name": name, "rules": printed[name]} for name in names]
        parts.append(renderer.render(device.platform, control, sections=given, **context))
    return "".join(parts)


def _simulated(device: Device, state: FilterState, text: str) -> FilterState:
    try:
        return platforms.platform(device.platform).simulate(device, state, text)
    except Unprovable as error:
        error.text = text
        error.where = error.where or f"the text that the template renders for {device.name}"
        raise


def _check(device: Device, state: FilterState, printed: Printed, wrong: str) -> None:
    for name, rules in printed.items():
        if state.sections.get(name) != rules:
            raise PlanError(f"the template {wrong}: section {name}", where=device.name, next="mend the template")


def _digests(state: FilterState) -> dict[str, str]:
    """Each section of ours, by name."""
    return {
        name: sha256(canonical([entry.model_dump(mode="json") for entry in entries]))
        for name, entries in state.sections.items()
    }


def _diff(
    device: Device, wanted: Sequence[Section], before: FilterState, after: FilterState, text: str, renderer: Renderer
) -> str:
    """What the device's administrator would see change: the whole text, or the sections as they are printed."""
    if before.text is not None and after.text is not None:
        return "\n".join(
            unified_diff(
                before.text.splitlines(),
                after.text.splitlines(),
                f"{device.name}, before",
                f"{device.name}, after",
                lineterm="",
            )
        )
    was = [s for s in wanted if s.previous is not None]
    now = [s for s in wanted if s.rules is not None]
    old = _printed(device, was, {s.name: s.previous for s in was}, before, renderer) if was else ""
    new = text if now else ""
    lines = unified_diff(
        old.splitlines(), new.splitlines(), f"{device.name}, before", f"{device.name}, after", "", "", 3, ""
    )
    return "\n".join(lines)


def _lines(old: str | None, new: str, label: str) -> str:
    return "\n".join(list(unified_diff((old or "").splitlines(), new.splitlines(), label, "now", "", "", 1, ""))[:40])


def _count(rules: Items | None) -> str:
    return "no section" if rules is None else f"{len(rules)} entries"
