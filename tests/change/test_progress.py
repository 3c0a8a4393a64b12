"""What is told of each device while a change runs."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from remediate.change import change, looking
from remediate.errors import UsageError
from remediate.record import Record
from remediate.report.console import ConsoleWatch
from tests.change.fleet import fleet

STEPS = ("look at device", "load", "push", "log in afresh", "confirm", "save")


@pytest.mark.parametrize("verbose", [True, False])
def test_each_step_on_each_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbose: bool) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)
    written = io.StringIO()
    with fleet(tmp_path / "fleet", (None, None)) as made:
        loaded, plan = made.planned()
        watch = ConsoleWatch(Console(file=written, width=200), verbose=verbose)
        with Record.open(tmp_path / "r.db") as record, change.desk(loaded, record, watch) as desk:
            assert change.run(plan, desk).exit_status == 0
    lines = written.getvalue().splitlines()
    for device in ("edge-a", "edge-b"):
        for step in STEPS:
            told = [line for line in lines if line.startswith(f"{device}: {step}, ")]
            assert bool(told) is verbose, step
            assert all(line.endswith(" s") for line in told)


def test_a_failure_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)
    written = io.StringIO()
    with fleet(tmp_path / "fleet", (None,)) as made:
        loaded, plan = made.planned()
        site = loaded.site
        login = site.logins["edge-a"].model_copy(update={"port": 9})
        loaded = type(loaded)(
            site.model_copy(update={"logins": {"edge-a": login}}),
            loaded.nornir,
            loaded.digest,
            loaded.path,
            loaded.groups,
        )
        watch = ConsoleWatch(Console(file=written, width=200))
        with Record.open(tmp_path / "r.db") as record:
            with change.desk(loaded, record, watch) as desk:
                assert change.run(plan, desk).exit_status == 3
            stranger: Any = SimpleNamespace(note=print)  # it lacks `device`, which would end a step in the middle
            with pytest.raises(UsageError, match="inherit from it"), change.desk(loaded, record, stranger):
                pass
    failed = [
        line for line in written.getvalue().splitlines() if line.startswith("edge-a: look at device failed after")
    ]
    assert len(failed) == 1
    assert "no session with the device" in failed[0]
