"""The document in Markdown, for a person who was not there and for an auditor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from remediate.report import story
from remediate.report.schema import DeviceStory, Document, WaveStory

_NOT_IN_HERE = """\
No patient data can be in this document: the probes send one query that matches nobody, abort at the first match
without reading it, and keep numbers and words of their own, never a text that the archive sent. The record refuses
secrets, and the drivers take them out of what a device shows before it gets there. It does show where the site can
be attacked: hand it on with care. The devices' whole configurations are not in here; they are in the record and in
its JSON export."""


def as_markdown(made: Document) -> str:
    said = story.headline(made)
    parts = [f"# {_text(said[:1].upper() + said[1:])}", ""]
    if not made.chain.verified:
        parts += [f"> **{_text(story.chain(made))}**", ">", "> Exported all the same, by `--force`.", ""]
    parts += _list(story.facts(made))
    parts += ["", "## What was exposed, and from where it was seen", "", *_exposed(made)]
    parts += ["", "## What was changed", "", *_changed(made.devices)]
    parts += ["", "## What happened, and what proved it", ""]
    for wave in made.waves:
        parts += _wave(made, wave)
    parts += ["## What was not asked", "", *_not_asked(made)]
    parts += ["", "## What the controls do not give", ""]
    parts += _list(story.limits(made)) or ["No control was applied."]
    parts += ["", "## When it was open to the outside", ""]
    parts += _list(story.interval(one) for one in made.exposure) or ["It was never seen open."]
    parts += ["", "## How near the evidence is", "", *_evidence(made)]
    parts += ["", "## The record", "", _text(story.chain(made)) + ".", "", *_steps(made)]
    parts += ["", "## What is not in here", "", _NOT_IN_HERE]
    return "\n".join(parts) + "\n"


def _exposed(made: Document) -> list[str]:
    found = story.exposed_before(made)
    if not found:
        return ["Nothing was seen open from outside at the first look."]
    rows = [
        (seen.pacs, seen.vantage, seen.service, seen.endpoint, story.rung(seen), _when(seen.asked_at)) for seen in found
    ]
    return _table(("PACS", "seen from", "service", "at", "what it let the outside do", "when"), rows)


def _changed(devices: Iterable[DeviceStory]) -> Iterator[str]:
    none = True
    for device in devices:
        none = False
        yield f"### {_text(device.device)} ({device.platform}), wave {device.wave}: {device.state}"
        yield ""
        if device.state == "not written":
            yield "Planned, and never pushed:"
            yield ""
        yield from _fenced("diff", device.diff)
        yield "Taken back by:"
        yield ""
        yield from _fenced("", device.inverse)
    if none:
        yield "Nothing: no device was to be changed."


def _wave(made: Document, wave: WaveStory) -> Iterator[str]:
    yield f"### Wave {wave.number}: {_text(wave.play)}: {_text(', '.join(wave.pacs))}: {wave.state}"
    yield ""
    lines = story.wave(made, wave)
    for line in lines:
        yield f"- {story.utc(line.at)}: {_text(line.text)}"
        yield from (f"    - {_text(more)}" for more in line.more)
    if not lines:
        yield "Not begun."
    yield ""


def _not_asked(made: Document) -> list[str]:
    lines = [f"{pacs}: {text}" for pacs, texts in made.not_asked.items() for text in texts]
    scope = [_text(f"Protected means: {made.change.scope}."), ""] if made.change.scope else []
    return scope + (_list(lines) or ["Nothing that the playbook and the inventory named was left out."])


def _evidence(made: Document) -> list[str]:
    rows = [
        (
            one.pacs,
            one.purpose,
            one.peer or "-",
            one.role or "-",
            f"{one.vantage} to {one.endpoint}" if one.vantage else "-",
            f"{one.grade}{', accepted by name' if one.accepted else ''}",
            one.first or "-",
            one.last or "-",
        )
        for one in made.evidence
    ]
    return _table(("PACS", "expected", "peer", "role", "asked", "grade", "met first", "met last"), rows)


def _steps(made: Document) -> list[str]:
    rows = [(step.seq, step.at, step.data.get("wave", ""), step.kind, step.hash) for step in made.steps]
    return _table(("#", "at (UTC)", "wave", "step", "hash"), rows)


def _when(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(_text(str(cell)) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines] if lines else ["None."]


def _list(lines: Iterable[str]) -> list[str]:
    return [f"- {_text(line)}" for line in lines]


def _fenced(language: str, text: str) -> list[str]:
    """A fence that no line of the text can close."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return [fence + language, text.rstrip("\n"), fence, ""]


def _text(text: str) -> str:
    """On one line, and nothing in it is taken for markup."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", " ".join(text.split()))
