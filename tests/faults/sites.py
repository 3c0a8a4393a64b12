"""One router, one archive, one change, and what happens to them meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, planning
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.change import Plan
from remediate.model.outcome import Outcome
from remediate.platforms.cisco_ios.lacking import JUNK
from remediate.platforms.session import Reply, Session
from remediate.record import Record
from remediate.render import Renderer
from tests.faults.places import ROUTER, Seen, look
from tests.quiet import Quiet

Act = Callable[["Site"], object]


class Site:
    """One router, one archive, one change. ``patience``: seconds for which a care path may be silent."""

    def __init__(self, made: EmbeddedSite, folder: Path, stack: ExitStack) -> None:
        self.made = made
        self.record = folder / "record.db"
        self.stack = stack
        self.patience = 2.0
        self.before = look(made)

    def colleague(self, *lines: str) -> None:
        """Somebody with the same rights, in a session of their own."""
        found = inventory.load(self.made.inventory).site
        with Session(found.devices[ROUTER], found.logins[ROUTER], "cisco_ios") as session:
            session.enable()
            for line in lines:
                said = session.say(line)
                assert "Invalid" not in said.text, said

    def reload(self) -> None:
        found = inventory.load(self.made.inventory).site
        session: Any = Session(found.devices[ROUTER], found.logins[ROUTER], "cisco_ios")
        with session:
            session.enable()
            terminal = session._netmiko
            terminal.write_channel("reload\n")
            if "yes/no" in terminal.read_until_pattern(r"yes/no|confirm\]"):
                terminal.write_channel("no\n")
                terminal.read_until_pattern(r"confirm\]")
            terminal.write_channel("\n")
            while terminal.remote_conn.recv(65536):  # until the router has ended the session
                pass

    def rename(self, name: str) -> None:
        found = inventory.load(self.made.inventory).site
        session: Any = Session(found.devices[ROUTER], found.logins[ROUTER], "cisco_ios")
        with session:
            session.enable()
            terminal = session._netmiko
            terminal.write_channel(f"configure terminal\nhostname {name}\nend\n")
            terminal.read_until_pattern(rf"{name}#")

    def process(self, module: str) -> int:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        (found,) = [p for p in children if module.encode() in Path(f"/proc/{p}/cmdline").read_bytes()]
        return int(found)

    def kill_archive(self) -> None:
        """Its canary is another machine's in real life, and goes on answering."""
        pid = self.process("embedded.pacs")
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        i = self.made.layout
        canary = self.stack.enter_context(closing(socket.create_server((i.router_outside, i.canary_port), backlog=100)))
        threading.Thread(target=_answer, args=(canary,), daemon=True).start()

    def now(self) -> Seen:
        return look(self.made)

    def plan(self) -> tuple[inventory.Loaded, Plan]:
        loaded = inventory.load(self.made.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(self.made.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        return loaded, planning.make(loaded, book, Renderer())

    def run(self, at: Mapping[str, Act] | None = None, plan: Plan | None = None) -> Outcome:
        """``at``: stage → what happens there, once."""
        loaded, made = self.plan()
        with Record.open(self.record) as record, change.desk(loaded, record, Acting(self, dict(at or {}))) as desk:
            desk.patience = self.patience
            return change.run(plan or made, desk)

    def resume(self) -> Outcome:
        loaded = inventory.load(self.made.inventory, platforms=set(platforms.PLATFORMS))
        with Record.open(self.record) as record, change.desk(loaded, record, Quiet()) as desk:
            desk.patience = self.patience
            (name,) = change.unfinished(record)
            return change.resume(name, desk)

    def kinds(self) -> list[str]:
        with Record.open(self.record) as record:
            assert record.verify() == []
            return [entry.kind for entry in record.journal(record.changes()[-1].change)]

    def check_as_before(self) -> None:
        now = self.now()
        assert (now.running, now.startup, now.pending) == (self.before.running, self.before.startup, None)

    def check_in_force(self) -> None:
        now = self.now()
        assert (now.guarded, now.pending) == (True, None)
        assert now.running == now.startup


def _answer(canary: socket.socket) -> None:
    try:
        while True:
            canary.accept()[0].close()
    except OSError:  # the test is over
        return


class Acting(Quiet):
    def __init__(self, site: Site, at: dict[str, Act]) -> None:
        self._site = site
        self._at = at

    def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
        if act := self._at.pop(name, None):
            act(self._site)


@contextmanager
def standing_site(folder: Path, misbehave: str | None = None, minute: float = 60.0) -> Iterator[Site]:
    with ExitStack() as stack:
        made = stack.enter_context(standing(folder / "site", misbehave=misbehave, minute=minute))
        yield Site(made, folder, stack)


def at_line(monkeypatch: pytest.MonkeyPatch, words: str, act: Callable[[Session], object], *, after: bool) -> None:
    """Once, right before or after a line with these words is typed."""
    say, done = Session.say, threading.Event()

    def watched(session: Session, line: str, **options: Any) -> Reply:
        here = words in line and JUNK not in line and not done.is_set()  # what only asks for rights is not it
        if here:
            done.set()
        if here and not after:
            act(session)
        reply = say(session, line, **options)
        if here and after:
            act(session)
        return reply

    monkeypatch.setattr(Session, "say", watched)
