"""People's own steps around a push: when they run, where, and what comes of one that fails or is interrupted."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, hooks, looking, planning
from remediate.change.change import Desk
from remediate.cli.app import app
from remediate.errors import DriftError, HookFailed, PlanError
from remediate.inventory import Loaded
from remediate.model.change import Entry, Plan, State
from remediate.model.outcome import Outcome
from remediate.record import Record
from remediate.render import Renderer
from remediate.report import export, story, tables
from remediate.testing import RecordThatStops, Stopped
from tests.change.fleet import DROPS, Fleet, fleet
from tests.change.test_journal_first import KINDS
from tests.quiet import Quiet

#: Steps that leave a line each; ``guarded``: whether the router of that archive has a guard at that moment.
MODULE = """
import json
import os
from pathlib import Path

from nornir.core.task import Result, Task

from remediate import platforms
from remediate.inventory import site_of


def seen(task: Task, log: str, **more) -> Result:
    site = site_of(task.nornir.inventory)
    device = site.devices[site.pacs[task.host.name].protected_by[0]] if task.host.name in site.pacs else None
    guarded, pending, open_already = None, None, sorted(task.host.connections)
    if device is not None:
        spec = platforms.platform(device.platform)
        session = spec.connect(device, site.logins[device.name])
        try:
            guarded = bool(spec.read(device, session.running_config()).sections)
            pending = session.pending() is not None
        finally:
            session.close()
    line = {"host": task.host.name, "guarded": guarded, "pending": pending, "dry": task.is_dry_run()}
    line |= {"open": open_already, **more}
    with Path(log).open("a") as file:
        file.write(json.dumps(line) + chr(10))
    return Result(host=task.host, changed=True, result=f"told {task.host.name}")


def fails(task: Task, log: str) -> Result:
    seen(task, log)
    raise ValueError(f"no ticket; the password is {task.host.password}")


def tells_secrets(task: Task) -> Result:
    password = task.host.password
    return Result(host=task.host, result={
        "a text": f"logged in with {password}",
        "password": password,
        password: [password, object()],
        "key": "-----BEGIN OPENSSH PRIVATE KEY-----",
        "long": "x" * 20000,
    })


def dies(task: Task) -> Result:
    os._exit(1)


def slow(task: Task, log: str) -> Result:
    import time

    time.sleep(1.5)  # longer than its timeout
    return seen(task, log)
"""
_numbers = count()
SECRET = "Tr0ub4dor&3"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never


class Steps:
    """A fleet whose playbook has steps. ``module``: beside the playbook, under a name that no other test has."""

    def __init__(self, made: Fleet) -> None:
        self.fleet = made
        hosts = yaml.safe_load((made.inventory / "hosts.yaml").read_text())
        hosts["archive-a"]["password"] = SECRET
        (made.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        self.module = f"own_steps_{next(_numbers)}"
        (made.folder / f"{self.module}.py").write_text(MODULE)
        self.log = made.folder / f"{self.module}.log"

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def task(self, function: str = "seen", name: str = "tell", **keys: Any) -> dict[str, Any]:
        args = {"log": str(self.log), **keys.pop("args", {})} if function not in ("tells_secrets", "dies") else {}
        return {"name": name, "run": f"{self.module}:{function}", **({"args": args} if args else {}), **keys}

    def book(self, *before: dict[str, Any], after: tuple[dict[str, Any], ...] = (), **keys: Any) -> Path:
        path = self.fleet.folder / "book.yaml"
        tasks = [*before, {"name": "Close", "apply": "acl"}, {"name": "Look", "verify": {"from": ["internet"]}}, *after]
        if len(keys.pop("looks", ())) == 0:
            tasks = [one for one in tasks if "verify" not in one]
        play = {"name": "Close", "hosts": "pacs", "vars": {"revert_in": "1m"}, **keys, "tasks": tasks}
        path.write_text(yaml.safe_dump([play], sort_keys=False))
        return path

    def planned(
        self, *before: dict[str, Any], after: tuple[dict[str, Any], ...] = (), **keys: Any
    ) -> tuple[Loaded, Plan]:
        path = self.book(*before, after=after, **keys)
        loaded = inventory.load(self.fleet.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(path, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        return loaded, planning.make(loaded, book, Renderer())


class Told(Quiet):
    def __init__(self, stop_at: str = "") -> None:
        self.alarms: list[str] = []
        self.notes: list[str] = []
        self.desk: Desk | None = None
        self._stop_at = stop_at

    def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
        if name == self._stop_at and self.desk is not None:
            self.desk.cancellation.request("stopped by SIGINT")

    def alarm(self, text: str) -> None:
        self.alarms.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    with fleet(tmp_path / "fleet", (None,)) as made:
        yield Steps(made)


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("one") / "fleet", (None,)) as made:
        yield made
        assert made.guarded() == {"archive-a": False}


@pytest.fixture
def untouched(one_site: Fleet) -> Steps:
    """For tests of changes that push nothing; they share the site."""
    return Steps(one_site)


def run(planned: tuple[Loaded, Plan], file: Path, told: Told | None = None) -> Outcome:
    told = told or Told()
    with Record.open(file) as record, change.desk(planned[0], record, told) as desk:
        desk.patience, told.desk = 2.0, desk
        return change.run(planned[1], desk)


def resume(planned: tuple[Loaded, Plan], file: Path, told: Told) -> Outcome:
    with Record.open(file) as record, change.desk(planned[0], record, told) as desk:
        (name,) = change.unfinished(record)
        return change.resume(name, desk)


def entries(file: Path) -> list[Entry]:
    with Record.open(file) as record:
        assert record.verify() == []
        return list(record.journal(record.changes()[-1].change))


def kinds(file: Path) -> list[str]:
    return [entry.kind for entry in entries(file)]


def test_before_the_push_and_after_the_confirmation(steps: Steps, tmp_path: Path) -> None:
    before = steps.task(args={"at": "before"})
    after = steps.task(name="told", args={"at": "after"})
    devices = steps.task(name="device", run_on="devices", args={"at": "device"})
    planned = steps.planned(before, after=(after, devices))
    done = run(planned, tmp_path / "r.db")
    assert (done.exit_status, done.reason) == (0, "")
    told = [(one["at"], one["host"], one["guarded"], one["pending"], one["dry"]) for one in steps.lines]
    assert told == [
        ("before", "archive-a", False, False, False),
        ("after", "archive-a", True, False, False),
        ("device", "edge-a", None, None, False),
    ]
    found = kinds(tmp_path / "r.db")
    assert found.index("baseline") < found.index("hook") < found.index("hook ended") < found.index("arming")
    assert found[found.index("confirmed") :] == ["confirmed", "hook", "hook ended", "hook", "hook ended", "ended"]
    ended = next(entry for entry in entries(tmp_path / "r.db") if entry.kind == "hook ended")
    assert ended.data["results"] == {"archive-a": {"failed": False, "changed": True, "result": "told archive-a"}}
    assert "failed" not in ended.data
    made = export.document(entries(tmp_path / "r.db"))
    said = [line.text for line in story.wave(made, made.waves[0])]
    assert f"Own step 'tell' ({steps.module}:seen) ran before the push on archive-a." in said
    assert f"Own step 'device' ({steps.module}:seen) ran after the confirmation on edge-a." in said

    again = run(steps.planned(before, after=(after,)), tmp_path / "again.db")
    assert ([wave.state for wave in again.waves], len(steps.lines)) == ([State.UNCHANGED], 3)
    with Record.open(tmp_path / "r.db") as record, change.desk(planned[0], record, Told()) as desk:
        back = change.run(change.taking_back(done.change, desk, Renderer()), desk)
    assert ([wave.state for wave in back.waves], len(steps.lines)) == ([State.CONFIRMED], 3)


def test_one_that_fails_after_the_confirmation_undoes_nothing_and_is_seen(steps: Steps, tmp_path: Path) -> None:
    told = Told()
    later = steps.task(name="later")
    done = run(steps.planned(after=(steps.task("fails", "ticket"), later)), tmp_path / "r.db", told)
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.CONFIRMED], 3)
    assert steps.fleet.guarded() == {"archive-a": True}
    assert "hook 'ticket' failed" in done.reason and "; not run: 'later'" in done.reason
    assert "hook 'ticket' failed" in tables.sentence(done)
    assert any("hook 'ticket' failed" in alarm for alarm in told.alarms)
    last = entries(tmp_path / "r.db")[-1]
    assert (last.kind, last.data["exit_status"]) == ("ended", 3)
    assert len(steps.lines) == 1


def test_ignore_errors(steps: Steps, tmp_path: Path) -> None:
    first = steps.task("fails", "first", ignore_errors=True, run_on="devices")
    last = steps.task("fails", "last", ignore_errors=True)
    told = Told()
    done = run(steps.planned(first, after=(last,)), tmp_path / "r.db", told)
    assert ([wave.state for wave in done.waves], done.exit_status, done.reason) == ([State.CONFIRMED], 0, "")
    assert [alarm.partition(":")[0] for alarm in told.alarms] == ["hook 'first' failed", "hook 'last' failed"]
    assert [(one["host"], one["open"]) for one in steps.lines] == [("edge-a", []), ("archive-a", [])]


def test_a_step_that_fails_after_one_wave_keeps_the_next_from_beginning(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", (None, None)) as made:
        steps = Steps(made)
        done = run(steps.planned(after=(steps.task("fails", "ticket"),), serial=1), tmp_path / "r.db")
        assert ([wave.state for wave in done.waves], done.exit_status) == ([State.CONFIRMED], 3)
        assert (done.stays, done.failed) == (("archive-a",), False)
        assert made.guarded() == {"archive-a": True, "archive-b": False}


def test_no_secret_gets_into_the_record_and_nothing_runs_after_a_change_that_is_taken_back(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", (DROPS,)) as made:
        steps = Steps(made)
        done = run(steps.planned(steps.task("tells_secrets"), after=(steps.task(),)), tmp_path / "r.db")
        assert ([wave.state for wave in done.waves], steps.lines) == ([State.ROLLED_BACK], [])
    found = entries(tmp_path / "r.db")
    ended = next(entry for entry in found if entry.kind == "hook ended")
    assert "failed" not in ended.data
    text = json.dumps([entry.data for entry in found], ensure_ascii=False)
    assert SECRET not in text and "PRIVATE KEY-----" not in text
    assert "logged in with ***" in text and "(a private key)" in text
    assert len(json.dumps(ended.data)) < 12000


def test_ctrl_c_while_one_runs_after_the_confirmation(steps: Steps, tmp_path: Path) -> None:
    done = run(
        steps.planned(after=(steps.task(name="one"), steps.task(name="two"))), tmp_path / "r.db", Told(stop_at="hook")
    )
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.CONFIRMED], 3)
    assert "hook 'one' failed: archive-a: not started: stopped by SIGINT; not run: 'two'" in done.reason


# -- nothing is pushed ---------------------------------------------------------------------------------


def test_one_that_fails_before_the_push_stops_the_change(untouched: Steps, tmp_path: Path) -> None:
    told = Told()
    done = run(untouched.planned(untouched.task("fails", "ticket")), tmp_path / "r.db", told)
    assert [wave.state for wave in done.waves] == [State.STOPPED]
    assert done.exit_status == 3
    assert done.reason.startswith("hook 'ticket' failed: archive-a: ValueError: no ticket; the password is ***")
    assert not {"pushing", "arming"} & set(kinds(tmp_path / "r.db"))
    assert len(untouched.lines) == 1
    assert [alarm for alarm in told.alarms if "hook 'ticket' failed" in alarm]


def test_one_that_is_too_slow_has_failed(untouched: Steps, tmp_path: Path) -> None:
    done = run(untouched.planned(untouched.task("slow", "ticket", timeout=1)), tmp_path / "r.db")
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.STOPPED], 3)
    assert "not finished after 1 s" in done.reason


def test_ctrl_c_during_a_step_pushes_nothing(untouched: Steps, tmp_path: Path) -> None:
    done = run(untouched.planned(untouched.task()), tmp_path / "r.db", Told(stop_at="hook"))
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.STOPPED], 130)


# -- after a crash -------------------------------------------------------------------------------------


def crashed(planned: tuple[Loaded, Plan], file: Path, kind: str, *, lost: bool = False) -> None:
    """The program ends at that entry."""
    with (
        RecordThatStops.open(file, at=_KINDS_OF[kind], lost=lost) as record,
        change.desk(planned[0], record, Told()) as desk,
        pytest.raises(Stopped),
    ):
        change.run(planned[1], desk)


#: Where the entries of a step before the push stand, and of one after the confirmation where none is before.
_KINDS_OF = {
    "before ended": KINDS.index("arming") + 2,
    "confirmed": KINDS.index("confirmed") + 1,
    "after ended": KINDS.index("confirmed") + 3,
}


def test_one_that_began_before_the_crash_is_not_run_twice_before_a_push(untouched: Steps, tmp_path: Path) -> None:
    planned, told = untouched.planned(untouched.task()), Told()
    crashed(planned, tmp_path / "r.db", "before ended", lost=True)
    assert (kinds(tmp_path / "r.db")[-1], len(untouched.lines)) == ("hook", 1)
    done = resume(planned, tmp_path / "r.db", told)
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.STOPPED], 3)
    assert "began before the interruption, and whether it finished is not known, and is not run twice" in done.reason
    assert len(untouched.lines) == 1 and "pushing" not in kinds(tmp_path / "r.db")


def test_one_that_had_ended_before_the_crash_is_not_run_twice(steps: Steps, tmp_path: Path) -> None:
    planned, told = steps.planned(steps.task()), Told()
    crashed(planned, tmp_path / "r.db", "before ended")
    done = resume(planned, tmp_path / "r.db", told)
    assert ([wave.state for wave in done.waves], done.exit_status) == ([State.CONFIRMED], 0)
    assert len(steps.lines) == 1
    assert "hook 'tell' ran before the interruption; it is not run again" in told.notes


def test_one_that_had_not_begun_runs_after_the_crash(steps: Steps, tmp_path: Path) -> None:
    planned = steps.planned(after=(steps.task(),))
    crashed(planned, tmp_path / "r.db", "confirmed")
    assert (kinds(tmp_path / "r.db")[-1], steps.lines) == ("confirmed", [])
    done = resume(planned, tmp_path / "r.db", Told())
    assert (done.exit_status, len(steps.lines), kinds(tmp_path / "r.db")[-1]) == (0, 1, "ended")


def test_one_that_began_after_the_confirmation_is_not_run_twice_and_that_is_said(steps: Steps, tmp_path: Path) -> None:
    planned, told = steps.planned(after=(steps.task(),)), Told()
    crashed(planned, tmp_path / "r.db", "after ended", lost=True)
    assert (kinds(tmp_path / "r.db")[-1], len(steps.lines)) == ("hook", 1)
    done = resume(planned, tmp_path / "r.db", told)
    assert (done.exit_status, len(steps.lines), steps.fleet.guarded()) == (3, 1, {"archive-a": True})
    assert any("whether it finished is not known" in alarm for alarm in told.alarms)


# -- with --check, and its code ------------------------------------------------------------------------


def test_check_runs_only_what_says_that_it_is_safe(untouched: Steps) -> None:
    loaded, plan = untouched.planned(untouched.task(name="no"), untouched.task(name="yes", check_mode=False))
    lines = hooks.rehearse(plan, loaded)
    assert lines == ["hook 'no' is not run with --check", "hook 'yes' on archive-a: told archive-a"]
    assert [one["dry"] for one in untouched.lines] == [True]
    typed = ["run", str(untouched.fleet.folder / "book.yaml"), "-i", str(untouched.fleet.inventory), "--check"]
    said = CliRunner().invoke(app, typed)
    assert said.exit_code == 1, said.output  # it is exposed, and stays so
    assert "hook 'yes' on archive-a: told archive-a" in said.stderr
    assert [one["dry"] for one in untouched.lines] == [True, True]
    _, plan = untouched.planned(untouched.task("fails", check_mode=False))
    with pytest.raises(HookFailed, match="hook 'tell' failed"):
        hooks.rehearse(plan, loaded)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"run": "no_such_module_here:seen"}, "there is no module no_such_module_here"),
        ({"run": "MODULE:sen"}, "has no function sen; did you mean seen?"),
        ({"run": "MODULE:seen", "args": {"ticket": 1}}, "cannot be called with a task and its args"),
        ({"run": "broken:seen"}, "the module broken cannot be imported: ZeroDivisionError: division by zero"),
        ({"run": "json:loads"}, "another module is called json already, and json.py would replace it"),
    ],
)
def test_code_that_cannot_be_run_is_said_by_the_plan(untouched: Steps, change: dict[str, Any], expected: str) -> None:
    (untouched.fleet.folder / "broken.py").write_text("1 / 0\n")
    if change["run"].startswith("json"):
        (untouched.fleet.folder / "json.py").write_text("")
    change["run"] = change["run"].replace("MODULE", untouched.module)
    before = sorted({path.name for path in untouched.fleet.folder.iterdir()} | {"book.yaml"})
    with pytest.raises(PlanError, match="task 'tell'") as raised:
        untouched.planned({**untouched.task(), **change})
    assert expected in str(raised.value)
    assert sorted({path.name for path in untouched.fleet.folder.iterdir()} | {"book.yaml"}) == before


def test_code_that_was_changed_after_the_plan_does_not_run(untouched: Steps, tmp_path: Path) -> None:
    loaded, plan = untouched.planned(untouched.task())
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.model_dump(mode="json")))
    planning.read(path, loaded)
    own = untouched.fleet.folder / f"{untouched.module}.py"
    own.write_text(own.read_text() + "\n# later\n")
    with pytest.raises(DriftError, match=f"the module {untouched.module} has changed since the plan was made"):
        planning.read(path, loaded)
    done = run((loaded, plan), tmp_path / "r.db")
    assert ([wave.state for wave in done.waves], untouched.lines) == ([State.STOPPED], [])
    assert "has changed since the plan was made" in done.reason
    assert textwrap.dedent(MODULE)[:200] not in plan.model_dump_json()


def test_its_time_counts(untouched: Steps) -> None:
    _, without = untouched.planned()
    _, plan = untouched.planned(untouched.task(timeout=60), after=(untouched.task(timeout=30),))
    assert (plan.waves[0].takes_at_most - without.waves[0].takes_at_most).total_seconds() == 90
