"""The whole loop on the loopback site, told step by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.change.watch import Stopwatch
from remediate.errors import EXIT_OK, EXIT_ROLLED_BACK
from remediate.inventory import Loaded
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.change import State
from remediate.model.outcome import Outcome
from remediate.model.verdict import Judgement
from remediate.playbook import Playbook
from remediate.record import Record
from remediate.render import Renderer
from remediate.report import tables
from remediate.report.console import ConsoleWatch
from remediate.runner import Cancellation

#: What ``--break`` makes the router do: no plan can see it coming.
BREAK = "drops-inside=inside-dicom"

#: What the site cannot show, with or without root.
SILENT = (
    "As it is shipped, IOS answers what an access list denies with ICMP 3/13, once in 500 ms (`ip unreachables`). On "
    "loopback there is no network to send that over, so this router drops without a word."
)

#: Seconds; the real thing is more patient with an archive than anybody is with a demo.
_PATIENCE = 12.0

Guarded = Callable[[Cancellation], AbstractContextManager[None]]


def demo(console: Console, guarded: Guarded, *, broken: bool, keep: Callable[[EmbeddedSite], None] | None) -> int:
    """``keep``: called with the site while it still stands. Returns 0 when the demo showed what it is to show."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="remediate-demo-") as folder:
        _head(console, "an archive on loopback, behind a simulated IOS router")
        console.print(Text(SILENT, style="dim"))
        with standing(Path(folder) / "site", misbehave=BREAK if broken else None) as site:
            loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
            book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
            done = _loop(console, site, loaded, book, guarded)
            status = _say(console, done, broken=broken, seconds=time.monotonic() - began)
            if keep is not None:
                keep(site)
    return status


def _loop(console: Console, site: EmbeddedSite, loaded: Loaded, book: Playbook, guarded: Guarded) -> Outcome:
    clock = Stopwatch()
    _head(console, "1. look: what can the internet do, what can the clinic do?")
    before = looking.verify(loaded, book, None, guarded)
    console.print(tables.judgements(before.look.judgements))
    _head(console, "2. plan: the smallest change that closes it, simulated and proved")
    made = planning.make(loaded, book, Renderer())
    console.print(tables.plan(made, diff=True))
    _head(console, "3. push provisionally, look again, confirm or take back")
    with Record.open(site.folder / "record.db") as record:
        with change.desk(loaded, record, _Watch(console), clock=clock) as desk, guarded(desk.cancellation):
            desk.patience = _PATIENCE
            done = change.run(made, desk)
        _head(console, "4. the record")
        console.print(tables.entries(list(record.journal(done.change))))
        problems = record.verify(done.change)
        console.print(Text(f"hash chain: {'; '.join(problems) or 'intact'}"))
    console.print(tables.outcome(done))
    return done


def _say(console: Console, done: Outcome, *, broken: bool, seconds: float) -> int:
    """The one sentence: what was proved."""
    states = {wave.state for wave in done.waves}
    if not broken and states == {State.CONFIRMED}:
        text = (
            "Proved: before the change anybody outside could query the archive; after it nobody outside reaches it "
            "on any of its ports, the clinic is served as before, and every step is in the record"
        )
        status = EXIT_OK
    elif broken and states == {State.ROLLED_BACK} and done.exit_status == EXIT_ROLLED_BACK:
        text = (
            "Proved: the router dropped the clinic as soon as the rule was in force, which no plan could see; the "
            "change was taken back by itself, and the site is as it was before"
        )
        status = EXIT_OK
    else:
        text = f"This is not what the demo is to show: {done.reason or ', '.join(states)}"
        status = done.exit_status or 1
    console.print(Text(f"{text} ({seconds:.0f} s).", style="bold"))
    return status


class _Watch(ConsoleWatch):
    """The baseline was shown in the first step."""

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None:
        if title != "before":
            super().looked(wave, title, judgements)


def _head(console: Console, text: str) -> None:
    console.print()
    console.print(Rule(Text(text, style="bold"), align="left", style="dim"))
