"""Progress on standard error, while a change runs."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from remediate.model.verdict import Judgement
from remediate.report import tables


class Busy:
    """What is being waited for, and for how long already: a line at the bottom of a terminal, nothing in a pipe."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def now(self, what: str) -> None:
        self.stop()
        self._progress.add_task(what, total=None)
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class ConsoleWatch:
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

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None:
        judgements = tuple(judgements)
        self._console.print(tables.judgements(judgements, f"wave {wave}, {title}"))
        if self._verbose:
            self._console.print(tables.details(judgements))

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="dim"))

    def alarm(self, text: str) -> None:
        self._console.print(Text(f"! {text}", style="bold red"))
