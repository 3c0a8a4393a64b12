"""What goes wrong around a change, on the embedded site: what the user gets, and what is left on the router.

docs/faults.md has a line for each, and names the test.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.errors import Locked
from remediate.lab.embedded import site as embedded
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.change import Plan, State
from remediate.model.outcome import Outcome
from remediate.platforms.session import Reply, Session
from remediate.record import Record
from remediate.render import Renderer
from tests.faults.places import DROPS, ROUTER, Seen, look
from tests.quiet import Quiet

pytestmark = pytest.mark.timeout(200)

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


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with standing_site(tmp_path, minute=20.0) as made:
        yield made


@pytest.fixture
def drops(tmp_path: Path) -> Iterator[Site]:
    """The change will be taken back."""
    with standing_site(tmp_path, DROPS) as made:
        yield made


def at_line(monkeypatch: pytest.MonkeyPatch, words: str, act: Callable[[Session], object], *, after: bool) -> None:
    """Once, right before or after a line with these words is typed."""
    say, done = Session.say, threading.Event()

    def watched(session: Session, line: str, *, timeout: float = 30) -> Reply:
        here = words in line and not done.is_set()
        if here:
            done.set()
        if here and not after:
            act(session)
        reply = say(session, line, timeout=timeout)
        if here and after:
            act(session)
        return reply

    monkeypatch.setattr(Session, "say", watched)


# -- the session with the device -----------------------------------------------------------------------


@pytest.mark.parametrize("line", ["revert timer", "remark remediate push", "deny tcp", "ip access-group RMD"])
def test_ssh_is_cut_during_the_push(site: Site, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    at_line(monkeypatch, line, Session.abort, after=True)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    assert site.kinds().count("pushing") == 1
    site.check_as_before()


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "before it is answered"])
def test_ssh_is_cut_during_the_confirm(site: Site, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    at_line(monkeypatch, "configure confirm", Session.abort, after=after)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    now = site.now()
    assert (now.guarded, now.pending, now.startup) == (False, None, site.before.startup)


def test_ssh_is_cut_during_the_save(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at_line(monkeypatch, "write memory", Session.abort, after=False)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (5, State.NEEDS_HANDS)
    assert "may not outlast a restart" in done.reason
    assert site.now().guarded
    assert site.resume().exit_status == 0
    site.check_in_force()


def test_the_device_reboots_after_the_push(site: Site) -> None:
    done = site.run({"verify": Site.reload})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    site.check_as_before()


def test_the_device_reboots_before_the_save(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at_line(monkeypatch, "write memory", lambda _: site.reload(), after=False)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (5, State.NEEDS_HANDS)
    assert site.resume().exit_status == 4
    site.check_as_before()


def paused(site: Site, seconds: float) -> None:
    """The router answers nobody for so long; what is under way is lost to no one."""
    pid = site.process("devices.cisco_ios")
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(seconds, os.kill, (pid, signal.SIGCONT)).start()


def test_a_slow_device_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at_line(monkeypatch, "deny tcp", lambda _: paused(site, 4.0), after=False)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED)
    site.check_in_force()


def test_a_device_that_is_too_slow_is_taken_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "DEVICE_DEADLINE", 5.0)
    at_line(monkeypatch, "deny tcp", lambda _: paused(site, 8.0), after=False)
    done = site.run()
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    site.check_as_before()


def test_the_prompt_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that a colleague changes; the way back changes it once more."""
    monkeypatch.setattr(change, "DEVICE_DEADLINE", 10.0)
    done = site.run({"verify": lambda s: s.rename("edge-renamed")})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    site.check_as_before()


def test_management_is_cut_by_the_rule_itself(tmp_path: Path) -> None:
    """The session that pushed lives on; only a new login finds out."""
    with standing_site(tmp_path, "locks-out") as site:
        done = site.run()
        assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
        site.check_as_before()


# -- the record ----------------------------------------------------------------------------------------


def test_the_record_is_locked_for_ten_seconds(site: Site) -> None:
    def lock(of: Site) -> None:
        held = sqlite3.connect(of.record, isolation_level=None, check_same_thread=False)
        held.execute("BEGIN IMMEDIATE")

        def free() -> None:
            held.execute("ROLLBACK")
            held.close()

        threading.Timer(10.0, free).start()

    with standing_site(site.record.parent / "slow") as slow:
        done = slow.run({"verify": lock})
        assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED)
        slow.check_in_force()


# -- the archive ---------------------------------------------------------------------------------------


def test_the_pacs_is_down_before(site: Site) -> None:
    done = site.run({"preflight": Site.kill_archive})
    assert done.waves[0].state == State.STOPPED
    assert done.exit_status in (1, 3), "the reset of the router's relay may come before the question"
    assert "pushing" not in site.kinds()
    site.check_as_before()


def test_the_pacs_goes_down_after_the_push(site: Site) -> None:
    done = site.run({"verify": Site.kill_archive})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    site.check_as_before()


def test_the_pacs_restarts_after_the_push(tmp_path: Path) -> None:
    with standing_site(tmp_path) as site:
        site.patience = 30.0

        def restart(of: Site) -> None:
            of.kill_archive()
            layout = replace(of.made.layout, canary_port=of.made.layout.canary_port + 50)  # the canary is still there
            started = threading.Timer(2.0, lambda: of.stack.enter_context(embedded.archive(layout)))
            started.start()
            of.stack.callback(started.join)

        done = site.run({"verify": restart})
        assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED), done.reason
        site.check_in_force()


# -- other people --------------------------------------------------------------------------------------


def test_two_operators_at_once(site: Site, tmp_path: Path) -> None:
    """With one record the lock stops the second one; with two records the device does."""
    found: list[Any] = []

    def second(of: Site) -> None:
        loaded, plan = planned[0]
        with Record.open(of.record) as record, change.desk(loaded, record, Quiet()) as desk:
            with pytest.raises(Locked) as refused:
                change.run(plan, desk)
            found.append(refused.value.exit_status)
        with Record.open(tmp_path / "other.db") as record, change.desk(loaded, record, Quiet()) as desk:
            found.append(change.run(plan, desk).exit_status)

    planned = [site.plan()]
    done = site.run({"verify": second})
    assert (done.exit_status, found) == (0, [3, 3])
    site.check_in_force()


EDIT = ("configure terminal", "interface GigabitEthernet0/1", "description theirs", "end")


def test_a_colleague_edits_before_the_push(site: Site) -> None:
    done = site.run({"check": lambda s: s.colleague(*EDIT)})
    assert (done.exit_status, done.waves[0].state) == (3, State.STOPPED)
    assert "pushing" not in site.kinds()
    assert "description theirs" in site.now().running
    assert not site.now().guarded


def test_a_colleague_edits_after_the_push(site: Site) -> None:
    """IOS goes back to the whole configuration of before: that is the price of its timer, and in the plan."""
    done = site.run({"verify": lambda s: s.colleague(*EDIT)})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    assert "something outside the guard has changed" in done.reason
    site.check_as_before()


def test_a_colleague_edits_before_the_save(site: Site) -> None:
    done = site.run({"confirm": lambda s: s.colleague(*EDIT)})
    assert (done.exit_status, done.waves[0].state) == (5, State.NEEDS_HANDS)
    now = site.now()
    assert (now.guarded, now.startup) == (True, site.before.startup), "nothing of theirs is saved"


def test_a_colleague_saves_what_is_provisional(site: Site) -> None:
    done = site.run({"verify": lambda s: s.colleague("write memory")})
    assert done.exit_status == 0
    site.check_in_force()


def test_a_colleague_saves_what_is_then_taken_back(drops: Site) -> None:
    """Otherwise the next restart would bring back what was taken back."""
    done = drops.run({"verify": lambda s: s.colleague("write memory")})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    drops.check_as_before()


def test_a_colleague_confirms_it(site: Site) -> None:
    done = site.run({"verify": lambda s: s.colleague("configure confirm")})
    assert done.exit_status == 0
    site.check_in_force()


def test_a_colleague_confirms_what_is_then_taken_back(drops: Site) -> None:
    done = drops.run({"verify": lambda s: s.colleague("configure confirm")})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    now = drops.now()
    assert (now.guarded, now.pending, now.startup) == (False, None, drops.before.startup)


def test_the_pending_change_vanishes(site: Site) -> None:
    done = site.run({"verify": lambda s: s.colleague("configure revert now")})
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    assert "no longer armed" in done.reason
    site.check_as_before()


def test_a_tampered_plan_does_not_fit(site: Site) -> None:
    """Whoever edits what is typed has not edited what it must come to."""
    _, plan = site.plan()
    (wave,) = plan.waves
    (made,) = wave.candidates
    wider = made.model_copy(update={"text": made.text.replace("3 deny", "3 permit")})
    assert wider != made
    done = site.run(plan=plan.model_copy(update={"waves": (wave.model_copy(update={"candidates": (wider,)}),)}))
    assert (done.exit_status, done.waves[0].state) == (3, State.STOPPED)
    assert "pushing" not in site.kinds()
    site.check_as_before()
