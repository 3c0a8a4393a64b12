"""Progress on standard error, while a change runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from remediate.model.verdict import Judgement
from remediate.report import tables


class ConsoleWatch:
    """Tells a person at a terminal, and a log file just as well: one line a stage, no control characters there."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def stage(self, wave: int, name: str, detail: str = "") -> None:
        text = Text(f"[wave {wave}] ", style="dim")
        text.append(name, style="bold not dim")
        if detail:
            text.append(f": {detail}", style="not dim")
        self._console.print(text)

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None:
        judgements = tuple(judgements)
        self._console.print(tables.judgements(judgements, f"wave {wave}, {title}"))
        if self._verbose:
            self._console.print(tables.details(judgements))

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))

    def alarm(self, text: str) -> None:
        self._console.print(Text(f"! {text}", style="bold red"))
