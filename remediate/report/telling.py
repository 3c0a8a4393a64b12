"""A change told on a terminal: a headline, each wave's story, then every step in a compact table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from remediate.model.change import Entry, State
from remediate.report import story, tables
from remediate.report.schema import Document

_STYLE = {State.CONFIRMED: "bold green", State.UNCHANGED: "bold green", State.NEEDS_HANDS: "bold red"}


def told(made: Document, entries: Sequence[Entry]) -> RenderableType:
    said = story.headline(made)
    parts: list[RenderableType] = [
        Text(said[:1].upper() + said[1:], style=_STYLE.get(made.change.outcome, "bold yellow"))
    ]
    parts += [_under(text, 2) for text in story.facts(made)]
    for wave in made.waves:
        parts += [Text(), Text(f"Wave {wave.number}: {wave.play}: {', '.join(wave.pacs)}: {wave.state}", style="bold")]
        for line in story.wave(made, wave):
            parts.append(Padding(Text.assemble((f"{line.at:%H:%M:%S} UTC ", "dim"), line.text), (0, 0, 0, 2)))
            parts += [_under(text, 6) for text in line.more]
        parts += [
            _under(f"not asked of {pacs}: {text}", 2) for pacs in wave.pacs for text in made.not_asked.get(pacs, ())
        ]
    if made.leaves_open:
        parts += [Text(), Text("What is not given", style="bold"), *(_under(text, 2) for text in story.limits(made))]
    if made.exposure:
        parts += [Text(), Text("Exposure", style="bold"), *(_under(story.interval(one), 2) for one in made.exposure)]
    return Group(*parts, tables.entries(entries))


def _under(text: str, indent: int) -> RenderableType:
    return Padding(Text(text, style="bold red" if text.startswith("HASH CHAIN BROKEN") else ""), (0, 0, 0, indent))
