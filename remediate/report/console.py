"""Progress on standard error, while a change runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from remediate.model.verdict import Judgement
from remediate.model.watch import Watch
from remediate.report import tables
from remediate.report.busy import Busy


class ConsoleWatch(Watch):
    """Tells a person at a terminal, and a log file just as well: one line a stage, no control characters there."""

    def __init__(self, console: Console, *, busy: Busy | None = None, verbose: bool = False) -> None:
        self._console = console
        self._busy = busy
        self._verbose = verbose

    def stage(self, wave: int, name: str, detail: str = "") -> None:
        if self._busy is not None:
            self._busy.now(name)
        text = Text(f"[wave {wave}] ", style="dim")
        text.append(name, style="bold not dim")
        if detail:
            text.append(f": {detail}", style="not dim")
        self._console.print(text)

    def device(self, name: str, what: str, done: int, devices: int, *, seconds: float, failed: str) -> None:
        if self._busy is not None:
            self._busy.worked(done, devices)
        if failed:
            self._console.print(Text(f"{name}: {what} failed after {seconds:.1f} s: {failed}", style="bold yellow"))
        elif self._verbose:
            self._console.print(Text(f"{name}: {what}, {seconds:.1f} s", style="dim"))

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None:
        judgements = tuple(judgements)
        self._console.print(tables.judgements(judgements, f"wave {wave}, {title}"))
        if self._verbose:
            self._console.print(tables.details(judgements))

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))

    def alarm(self, text: str) -> None:
        self._console.print(Text(f"! {text}", style="bold red"))
