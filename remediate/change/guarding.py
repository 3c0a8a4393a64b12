"""Sections of the guard → a candidate and its inverse, proved before any device is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import unified_diff

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


def sections(device: Device, intents: Sequence[AnyIntent], running: str) -> list[Section]:
    """What the intents want there, beside what stands there now.

    Raises PlanError where they would lock somebody out, or are none of that platform's.
    """
    check_intents(device, intents)
    spec = platforms.platform(device.platform)
    state = spec.read(device, running)
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


def candidate(device: Device, wanted: Sequence[Section], running: str, renderer: Renderer) -> Candidate:
    """Everything that changes on one device, as one text, and the text that takes it back.

    What either leaves behind is read back from the rendered text, and the proof is made on that. The inverse is
    printed by the same template. Raises PlanError with what is wrong, Unprovable for a text that cannot be read.
    """
    spec = platforms.platform(device.platform)
    before = spec.read(device, running)
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
        base=_base(before, wanted),
        diff=_diff(device, wanted, before, after, text, renderer),
        down=spec.capabilities.down,
        price=spec.capabilities.price,
        effect=tuple(line for s in wanted for line in effect(s, closing=len(closing) == len(wanted))),
    )


def remarks(device: Device, made: Candidate, running: str) -> list[str]:
    """What whoever approves it must know of the configuration that it is made for."""
    spec = platforms.platform(device.platform)
    said = spec.remarks(spec.read(device, running), [section.intent for section in made.sections])
    return [f"{device.name}: {one}" for one in said]


def check_base(device: Device, made: Candidate, running: str, planned: str | None = None) -> None:
    """Raises DriftError, with the difference where ``planned``, the running configuration of then, is known.

    Only what is not ours counts, and our sections that the candidate touches: others may come with other waves.
    """
    read = platforms.platform(device.platform).read
    now = read(device, running)
    if _base(now, made.sections) == made.base:
        return
    raise DriftError(
        "the configuration is not the one that the plan was made for"
        + (_differs(made, read(device, planned), now) if planned else ""),
        where=device.name,
        next="see who changed what, then plan again",
    )


def _differs(made: Candidate, was: FilterState, now: FilterState) -> str:
    lines = [_lines(was.foreign, now.foreign, "planned for")] if was.foreign != now.foreign else []
    for name in (section.name for section in made.sections):
        then, there = was.sections.get(name), now.sections.get(name)
        if then != there:
            lines.append(f"  section {name} of the guard: {_count(then)} then, {_count(there)} now")
    return ":\n" + "\n".join(lines) if lines else ""


def check_applied(device: Device, made: Candidate, running: str, before: str) -> None:
    """Raises DriftError unless the device is now exactly as simulated, outside the guard too."""
    spec = platforms.platform(device.platform)
    simulated = spec.simulate(device, spec.read(device, before), made.text)
    _check_now(device, made, running, simulated)


def check_restored(device: Device, made: Candidate, running: str, before: str | None) -> None:
    """Raises DriftError unless our sections are again what they were; what others did meanwhile stays theirs."""
    now = platforms.platform(device.platform).read(device, running)
    wrong = [s.name for s in made.sections if now.sections.get(s.name) != s.previous]
    if wrong:
        raise DriftError(
            f"these sections of the guard are not as before: {', '.join(wrong)}"
            + (f"\n{_lines(before, running, 'before')}" if before else ""),
            where=device.name,
            next="look at the guard on the device",
        )


def _check_now(device: Device, made: Candidate, running: str, expected: FilterState) -> None:
    now = platforms.platform(device.platform).read(device, running)
    for section in made.sections:
        if now.sections.get(section.name) != expected.sections.get(section.name):
            raise DriftError(
                f"section {section.name} of the guard is not what was simulated: "
                f"{_count(now.sections.get(section.name))} on the device, "
                f"{_count(expected.sections.get(section.name))} expected",
                where=device.name,
                next="look at the guard on the device",
            )
    if now.foreign != expected.foreign:
        raise DriftError(
            f"something outside the guard has changed:\n{_lines(expected.foreign, now.foreign, 'expected')}",
            where=device.name,
            next="see who else works on the device, then plan again",
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


def _base(state: FilterState, touched: Iterable[Section]) -> str:
    own = {
        s.name: [rule.model_dump(mode="json") for rule in state.sections[s.name]]
        for s in touched
        if s.name in state.sections
    }
    return sha256(state.foreign + canonical(own))


def _diff(
    device: Device, wanted: Sequence[Section], before: FilterState, after: FilterState, text: str, renderer: Renderer
) -> str:
    """What the device's administrator would see change: the whole text, or the sections as they are printed."""
    if before.text is not None and after.text is not None:
        return "\n".join(
            unified_diff(
                before.text.splitlines(),
                after.text.splitlines(),
                f"{device.name} running",
                f"{device.name} candidate",
                lineterm="",
            )
        )
    was = [s for s in wanted if s.previous is not None]
    now = [s for s in wanted if s.rules is not None]
    old = _printed(device, was, {s.name: s.previous for s in was}, before, renderer) if was else ""
    new = text if now else ""
    lines = unified_diff(
        old.splitlines(), new.splitlines(), f"{device.name} running", f"{device.name} candidate", "", "", 3, ""
    )
    return "\n".join(lines)


def _lines(old: str | None, new: str, label: str) -> str:
    return "\n".join(list(unified_diff((old or "").splitlines(), new.splitlines(), label, "now", "", "", 1, ""))[:40])


def _count(rules: Items | None) -> str:
    return "no section" if rules is None else f"{len(rules)} entries"
