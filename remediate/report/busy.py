"""What is being waited for, on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text


class _Asked(ProgressColumn):
    """How many of how many questions are done; read when it is drawn, so that whoever asks never waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = (0, 0)
        self.what = "questions"
        self.text: Callable[[], str] | None = None

    def render(self, task: Task) -> Text:  # noqa: ARG002 -- rich's protocol
        if self.text is not None:
            return Text(self.text())
        done, questions = self.now
        return Text(f"{done} of {questions} {self.what}" if questions else "")


class Busy:
    """What is being waited for, and for how long already: a line at the bottom of a terminal, nothing in a pipe."""

    def __init__(self, console: Console) -> None:
        self._asked = _Asked()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), self._asked, TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def now(self, what: str) -> None:
        self.stop()
        self._progress.add_task(what, total=None)
        self._progress.start()

    def asked(self, done: int, questions: int) -> None:
        """Takes no lock and draws nothing: it is called on the loop that waits for answers."""
        self._asked.what, self._asked.now = "questions", (done, questions)

    def worked(self, done: int, devices: int) -> None:
        """The same, for devices; any thread may call it."""
        self._asked.what, self._asked.now = "devices", (done, devices)

    def following(self, text: Callable[[], str]) -> None:
        """In place of the questions; called whenever it is drawn."""
        self._asked.text = text

    def stop(self) -> None:
        self._progress.stop()
        self._asked.now = (0, 0)
        for task in self._progress.task_ids:
            self._progress.remove_task(task)

    def __enter__(self) -> Busy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
