"""What a test may set is a number of seconds, or an error in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remediate.change.patience import seconds
from remediate.errors import UsageError


def test_unset_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REMEDIATE_PATIENCE", raising=False)
    assert seconds("REMEDIATE_PATIENCE", 90.0) == 90.0


@pytest.mark.parametrize(("given", "value"), [("2", 2.0), ("0.5", 0.5), (" 1e1 ", 10.0)])
def test_seconds(given: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDIATE_PATIENCE", given)
    assert seconds("REMEDIATE_PATIENCE", 90.0) == value


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "inf", "nan"])
def test_anything_else_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMEDIATE_PATIENCE", given)
    with pytest.raises(UsageError, match="no number of seconds"):
        seconds("REMEDIATE_PATIENCE", 90.0)


def test_the_command_line_says_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("remediate")), "resume"],
        env={"REMEDIATE_LOOK_DEADLINE": "soon", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "REMEDIATE_LOOK_DEADLINE" in done.stderr
