"""Sections of the guard → a candidate and its inverse, proved before any device is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import unified_diff

from remediate import platforms
from remediate.errors import DriftError, PlanError, Unprovable
from remediate.model.base import canonical, sha256
from remediate.model.change import Candidate, Section
from remediate.model.rule import Intent, Rule
from remediate.model.site import Device
from remediate.render import Renderer
from remediate.rules import entries, prove

Sections = Mapping[str, tuple[Rule, ...]]


def wanted(intent: Intent, device: Device, running: Sections, renderer: Renderer) -> Section:
    """The section that an intent makes, read back from its rendered text and proved there.

    Raises PlanError with the packets that would be treated otherwise than meant.
    """
    spec = platforms.platform(device.platform)
    name = intent.section
    text = renderer.render(device.platform, intent.control, section=name, rules=entries(intent), drop_table=False)
    try:
        rendered = spec.sections(text)
    except Unprovable as error:
        error.text = text
        raise
    if set(rendered) != {name}:
        raise PlanError(
            f"the template writes {', '.join(sorted(rendered)) or 'nothing'}, not just the section {name}",
            where=f"{device.platform}/{intent.control}.j2",
            next="mend the template",
        )
    wrong = prove(intent, rendered[name])
    if wrong:
        shown = "\n  ".join(wrong[:5])
        raise PlanError(
            f"the rendered rules do not do what is meant:\n  {shown}",
            where=f"{device.platform}/{intent.control}.j2",
            next="mend the template",
        )
    return Section(name=name, intent=intent, rules=rendered[name], previous=running.get(name))


def candidate(device: Device, sections: Iterable[Section], running: str, renderer: Renderer) -> Candidate:
    """Everything that changes on one device, as one text, and the text that takes it back.

    The inverse is printed by the same templates, and what either leaves behind is read back from their text.
    """
    sections = tuple(sections)
    spec = platforms.platform(device.platform)
    now = dict(spec.running_sections(running))
    text = _texts(device, {s.name: (s, s.rules) for s in sections}, now, renderer)
    then = {**now, **{s.name: s.rules for s in sections if s.rules is not None}}
    then = {name: rules for name, rules in then.items() if name not in {s.name for s in sections if s.rules is None}}
    inverse = _texts(device, {s.name: (s, s.previous) for s in sections}, then, renderer)
    for one, after in ((text, "rules"), (inverse, "previous")):
        expected = {s.name: getattr(s, after) for s in sections if getattr(s, after) is not None}
        if spec.sections(one) != expected:
            raise PlanError(
                "the template does not print the same entries twice, so its inverse cannot be trusted",
                where=device.name,
                next="mend the template",
            )
    before = _texts(device, {s.name: (s, s.previous) for s in sections if s.previous is not None}, now, renderer)
    after_text = _texts(device, {s.name: (s, s.rules) for s in sections if s.rules is not None}, now, renderer)
    diff = unified_diff(
        before.splitlines(),
        after_text.splitlines(),
        f"{device.name} running",
        f"{device.name} candidate",
        "",
        "",
        3,
        "",
    )
    return Candidate(
        device=device.name,
        platform=device.platform,
        sections=sections,
        text=text,
        inverse=inverse,
        base=base(device.platform, running, sections),
        diff="\n".join(diff),
    )


def base(platform: str, running: str, sections: Iterable[Section]) -> str:
    """The hash of what a candidate rests on: everything that is not ours, and our sections that it touches.

    Other sections of ours may come and go with other waves.
    """
    spec = platforms.platform(platform)
    now = spec.running_sections(running)
    own = {s.name: [r.model_dump(mode="json") for r in now[s.name]] for s in sections if s.name in now}
    return sha256(spec.foreign(running) + canonical(own))


def check_base(candidate: Candidate, running: str, planned: str | None = None) -> None:
    """Raises DriftError, with the difference where ``planned``, the running configuration of then, is known."""
    if base(candidate.platform, running, candidate.sections) == candidate.base:
        return
    diff = "\n".join(
        list(unified_diff((planned or "").splitlines(), running.splitlines(), "planned for", "now", "", "", 1, ""))[:40]
    )
    raise DriftError(
        "the configuration is not the one that the plan was made for" + (f":\n{diff}" if planned else ""),
        where=candidate.device,
        next="see who changed what, then plan again",
    )


def check_applied(candidate: Candidate, running: str, before: str) -> None:
    """Raises DriftError unless the device now holds exactly the simulated entries, and nothing else has changed."""
    spec = platforms.platform(candidate.platform)
    _check_sections(candidate, running, {s.name: s.rules for s in candidate.sections})
    if spec.foreign(running) != spec.foreign(before):
        diff = "\n".join(
            list(
                unified_diff(
                    spec.foreign(before).splitlines(),
                    spec.foreign(running).splitlines(),
                    "before",
                    "now",
                    "",
                    "",
                    1,
                    "",
                )
            )[:40]
        )
        raise DriftError(
            f"something outside the guard has changed since the push was prepared:\n{diff}",
            where=candidate.device,
            next="see who else works on the device, then plan again",
        )


def check_restored(candidate: Candidate, running: str) -> None:
    """Raises DriftError unless our sections are again what they were."""
    _check_sections(candidate, running, {s.name: s.previous for s in candidate.sections})


def _check_sections(candidate: Candidate, running: str, expected: Mapping[str, tuple[Rule, ...] | None]) -> None:
    now = platforms.platform(candidate.platform).running_sections(running)
    for name, rules in expected.items():
        if now.get(name) != rules:
            raise DriftError(
                f"section {name} of the guard is not what it must be: "
                f"{_count(now.get(name))} on the device, {_count(rules)} expected",
                where=candidate.device,
                next="look at the guard on the device",
            )


def _count(rules: tuple[Rule, ...] | None) -> str:
    return "no section" if rules is None else f"{len(rules)} entries"


def _texts(
    device: Device,
    printed: Mapping[str, tuple[Section, tuple[Rule, ...] | None]],
    now: Sections,
    renderer: Renderer,
) -> str:
    left = set(now) | {name for name, (_, rules) in printed.items() if rules is not None}
    left -= {name for name, (_, rules) in printed.items() if rules is None}
    parts = []
    for at, (name, (section, rules)) in enumerate(printed.items(), start=1):
        last = at == len(printed)
        parts.append(
            renderer.render(
                device.platform,
                section.intent.control,
                section=name,
                rules=rules,
                drop_table=last and not left and rules is None,
            )
        )
    return "".join(parts)
