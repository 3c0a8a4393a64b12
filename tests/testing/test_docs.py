"""The example in docs/testing.md, as somebody would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import remediate.testing

DOCS = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "test_example.py"
    file.write_text(example)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(file)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{example.count('def test_') + 1} passed" in done.stdout  # one of them runs twice


def test_every_double_is_documented() -> None:
    text = DOCS.read_text()
    own = {"Peer", "Script", "SimulatedRouter", "Stopped"}  # what the others are used with
    assert [name for name in remediate.testing.__all__ if name not in own and f"`{name}" not in text] == []
