"""Carries a history out on a site, and asks the oracle after each step."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.histories import journal, oracle
from tests.histories.language import Event, History, Step
from tests.histories.oracle import Broken
from tests.histories.programs import Program, Prompt
from tests.histories.sites import BEHIND, NAMES, Site

#: Operator → their record, and which of the inventories is theirs.
_DESKS = {"alice": ("one", 0), "bob": ("one", 0), "carol": ("two", 0), "dave": ("one", 1)}
#: Seconds. Nothing that the program does here takes longer, its waits for timers included.
_HANGS = 150.0
_POLL = 0.002
#: Reasons that a machine can give that is busy with other work: somebody did not answer in time. It is counted.
_LATE = re.compile(
    r"care path|inconclusive|canar|vantage|fifth of the revert timer|no longer armed|no session|deadline"
)
LATE = "late"
#: How often what is left unfinished is resumed at the end before it counts as stuck.
_RESUMES = 4


@dataclass
class Told:
    """A step and what came of it. ``note``: for whoever reads the history afterwards."""

    step: str
    note: str
    broken: list[Broken] = field(default_factory=list)


class Hangs(Exception):
    """A command does not end."""


class Play:
    def __init__(self, site: Site, prompt: Prompt, folder: Path, more: tuple[str, ...] = ()) -> None:
        """``more``: arguments for each run and plan. The site is as at the beginning."""
        folder.mkdir(parents=True)
        self._site = site
        self._prompt = prompt
        self._folder = folder
        self._more = more
        self._records = (folder / "one.db", folder / "two.db")
        self._held: dict[str, tuple[Program, bool]] = {}
        self._number = 0
        self._judged = False
        self._reachable = dict.fromkeys(BEHIND, True)
        #: Whether somebody with another record, or with other names, has been at work: what follows may be refused.
        self._strangers = False

    # -- a history ------------------------------------------------------------------------------------

    def carry_out(self, history: History, told: Callable[[Told], object] = lambda _: None) -> list[Told]:
        """Until something is broken, or everything is at rest."""
        done: list[Told] = []
        for step in (*history, None):
            one = self._one(step)
            done.append(one)
            told(one)
            if one.broken:
                break
        for program, _ in self._held.values():
            program.signal(signal.SIGKILL)
            self._prompt.wait(program, 10)
        self._held.clear()
        return done

    def _one(self, step: Step | None) -> Told:
        self._number += 1
        self._judged = False
        try:
            note, broken = self._settle() if step is None else self._do(step)
        except Hangs as hangs:
            return Told(str(step or "at rest"), str(hangs), [Broken("hangs", str(hangs))])
        if not broken and not self._judged:
            broken, _ = oracle.judge(self._site, self._records, running=bool(self._held))
        return Told(str(step or "at rest"), note, broken)

    def _do(self, step: Step) -> tuple[str, list[Broken]]:
        match step.verb, step.args:
            case "timer", _:
                return self._timers(), []
            case "restart", (device,):
                self._site.restart(device)
            case "edit", (device, saved):
                self._site.edit(device, saved=saved == "saved")
            case "resequence", (device,):
                self._site.resequence(device)
            case "plant", (device, what):
                self._site.plant(device, what)
            case "nibble", (device,):
                return self._site.nibble(device), []
            case "go", (operator,):
                return self._go(operator)
            case _, (operator, *_):
                before, broken = self._go(operator) if operator in self._held else ("", [])
                if broken:
                    return before, broken
                note, broken = self._command(step)
                return (f"before that: {before}; {note}" if before else note), broken
        return "", []

    def _settle(self) -> tuple[str, list[Broken]]:
        """Everybody ends what they began, and colleagues save what they edited: afterwards nothing may be unknown."""
        notes = []
        for operator in tuple(self._held):
            note, broken = self._go(operator)
            notes.append(f"{operator}: {note}")
            if broken:
                return "; ".join(notes), broken
        notes.append(self._timers())
        self._site.save()
        for _ in range(_RESUMES):
            for record, change in self._unfinished():
                inventory = int(any(name == names[1] for name in change.devices for names in NAMES.values()))
                note, broken = self._run("alice", ["resume", change.name], record, inventory, None)
                notes.append(f"resume {change.name}: {note}")
                if broken:
                    return "; ".join(notes), broken
        left = [change.name for _, change in self._unfinished()]
        broken = [Broken("never at rest", f"{name} does not end, however often it is resumed") for name in left]
        return "; ".join(filter(None, notes)), broken

    def _unfinished(self) -> list[tuple[str, journal.Change]]:
        """With the name of the record."""
        paths = {path.stem: path for path in self._records}
        return [(name, one) for name, path in paths.items() for one in journal.changes(path) if not one.ended]

    def _timers(self) -> str:
        """Until nothing on a device is armed."""
        began = time.monotonic()
        while armed := self._site.armed():
            if time.monotonic() - began > _HANGS:
                raise Hangs(f"a revert timer does not end: {armed}")
            time.sleep(0.1)
        return f"{time.monotonic() - began:.1f} s"

    # -- commands -------------------------------------------------------------------------------------

    def _command(self, step: Step) -> tuple[str, list[Broken]]:
        operator = step.args[0]
        record, number = _DESKS[operator]
        self._strangers = self._strangers or _DESKS[operator] != _DESKS["alice"]
        inventory = ["-i", str(self._site.inventories[number])]
        plan = self._folder / f"{operator}.plan.json"
        match step.verb, step.args[1:]:
            case "run" | "plan" as verb, (scope, book):
                playbook = self._site.inventories[0].parent / f"{book}.yaml"
                limit = [] if scope == "all" else ["--limit", scope]
                argv = [verb, str(playbook), *inventory, *limit, *self._more]
                if verb == "plan":
                    argv += ["--out", str(plan)]
            case "apply", ():
                if not plan.exists():
                    return "no plan", []
                argv = ["run", str(plan), *inventory, *self._more]
            case "resume", ():
                argv = ["resume", *inventory]
            case "rollback", (which,):
                confirmed = [c for c in journal.changes(self._folder / f"{record}.db") if c.confirmed and c.ended]
                if len(confirmed) <= int(which):
                    return "nothing confirmed", []
                argv = ["rollback", confirmed[-1 - int(which)].name, *inventory]
            case _:
                raise ValueError(str(step))
        undisturbed = step.event is None and self._undisturbed(step, self._folder / f"{record}.db")
        note, broken = self._run(operator, argv, record, number, step.event)
        if undisturbed and not note.startswith("0:"):
            if _LATE.search(note):
                return f"{LATE}; {note}", broken
            broken = [*broken, Broken("undisturbed, not done", note)]
        return note, broken

    def _undisturbed(self, step: Step, record: Path) -> bool:
        """Whether nothing stands in the way of a run, or of taking the newest change back."""
        quiet = not self._held and not self._strangers and not self._site.unsaved()
        at_rest = quiet and not self._site.armed() and all(change.ended for change in journal.changes(record))
        return at_rest and (step.verb == "run" or (step.verb == "rollback" and step.args[1] == "0"))

    def _run(
        self, operator: str, argv: list[str], record: str, inventory: int, event: Event | None
    ) -> tuple[str, list[Broken]]:
        path = self._folder / f"{record}.db"
        if argv[0] == "resume" and len(argv) == 2:
            argv = [*argv, "-i", str(self._site.inventories[inventory])]
        reopens = argv[0] == "rollback" or argv[0] == "resume"
        with closing(journal.Tail(path)) as tail:
            program = self._prompt.start(
                argv,
                cwd=self._folder,
                env={"REMEDIATE_RECORD": str(path), "USER": operator},
                name=f"{self._number:02}-{operator}",
            )
            if event is not None and self._reached(program, tail, event):
                return self._at(operator, program, event, reopens=reopens)
        note, broken = self._ended(program, reopens=reopens)
        return (f"{note}; {event.entry} not reached" if event else note), broken

    def _reached(self, program: Program, tail: journal.Tail, event: Event) -> bool:
        """Whether it has written that entry; it is stopped then."""
        left = event.number
        until = time.monotonic() + _HANGS
        while program.status is None:
            if time.monotonic() > until:
                raise Hangs("the command does not end")
            for kind in tail.kinds():
                left -= kind == event.entry
                if left == 0:
                    program.signal(signal.SIGSTOP)
                    return True
            self._prompt.wait(program, _POLL)
        return False

    def _at(self, operator: str, program: Program, event: Event, *, reopens: bool) -> tuple[str, list[Broken]]:
        match event.what, event.args:
            case "kill", _:
                self._judged = False
                program.signal(signal.SIGKILL)
                self._prompt.wait(program, 10)
                return "killed", []
            case "hold", _:
                self._held[operator] = program, reopens
                return "held", []
            case "timer", _:
                self._timers()
            case "restart", (device,):
                self._site.restart(device)
            case "edit", (device, saved):
                self._site.edit(device, saved=saved == "saved")
            case "care", (archive,):
                with self._without_care(archive):
                    return self._resumed(program, reopens=reopens)
            case "blind", _:
                self._site.canaries(there=False)
                try:
                    return self._resumed(program, reopens=reopens)
                finally:
                    self._site.canaries(there=True)
        return self._resumed(program, reopens=reopens)

    @contextmanager
    def _without_care(self, archive: str) -> Iterator[None]:
        self._site.care(archive, there=False)
        self._reachable[archive] = False
        try:
            yield
        finally:
            self._site.care(archive, there=True)
            self._reachable[archive] = True

    def _go(self, operator: str) -> tuple[str, list[Broken]]:
        if operator not in self._held:
            return "nothing held", []
        program, reopens = self._held.pop(operator)
        return self._resumed(program, reopens=reopens)

    def _resumed(self, program: Program, *, reopens: bool) -> tuple[str, list[Broken]]:
        program.signal(signal.SIGCONT)
        return self._ended(program, reopens=reopens)

    def _ended(self, program: Program, *, reopens: bool) -> tuple[str, list[Broken]]:
        """Waits for it; how it ended, and what of its last words is not true."""
        if not self._prompt.wait(program, _HANGS):
            program.signal(signal.SIGKILL)
            self._prompt.wait(program, 10)
            raise Hangs(f"no end after {_HANGS:g} s")
        out, err = program.out.read_text(), program.err.read_text()
        broken = [] if program.status in oracle.STATUSES else [Broken("status", f"it ended with {program.status}")]
        others, wires = oracle.judge(self._site, self._records, running=bool(self._held))
        broken += others
        self._judged = True
        broken += oracle.sentences(out, err, wires, reopens=reopens, reachable=self._reachable)
        lines = [line.strip() for line in (out + err).splitlines() if line.strip()]
        last = [line for line in lines if line.startswith(("change 2", "error:"))] or lines[-1:]
        return f"{program.status}: {last[-1][:160] if last else ''}", broken
