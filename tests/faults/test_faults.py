"""What goes wrong around a change, on the embedded site: what the user gets, and what is left on the router.

docs/faults.md has a line for each, and names the test.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remediate.change import change, looking
from remediate.errors import Locked, NeedsHands
from remediate.lab.embedded import site as embedded
from remediate.model.change import State
from remediate.platforms.session import Session
from remediate.record import Record, writer
from tests.e2e.conftest import wait_for
from tests.faults.places import DROPS
from tests.faults.sites import Site, at_line, standing_site
from tests.quiet import Quiet

pytestmark = pytest.mark.timeout(200)


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


def _kept(site: Site) -> tuple[Path, Path]:
    """The record in a folder of its own, and where that is moved to."""
    folder = site.record.parent / "kept"
    folder.mkdir()
    site.record = folder / "record.db"
    return folder, folder.with_name("elsewhere")


def test_the_record_is_gone_for_ten_seconds(tmp_path: Path) -> None:
    with standing_site(tmp_path) as site:
        here, away = _kept(site)
        back: list[threading.Timer] = []

        def unmount(_: Site) -> None:
            here.rename(away)
            back.append(threading.Timer(10.0, away.rename, (here,)))
            back[0].start()

        done = site.run({"verify": unmount})
        back[0].join()
        assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED)
        assert site.kinds()[-1] == "ended"
        site.check_in_force()


def test_the_record_is_gone_for_good(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GONE", 1.0)
    here, away = _kept(site)
    with pytest.raises(NeedsHands, match="takes the change back by itself at"):
        site.run({"verify": lambda _: here.rename(away)})
    assert not here.exists(), "no new record is begun in its place"
    wait_for(lambda: site.now().pending is None)
    away.rename(here)
    assert site.resume().exit_status == 4
    site.check_as_before()


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
