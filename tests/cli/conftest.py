"""A prompt in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.prompt import BOOK, HOSTS, User


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> User:
    """With a sound inventory and playbook, and a home and a record of their own."""
    made = User(tmp_path, monkeypatch, capsys)
    made.write("inventory/hosts.yaml", HOSTS)
    made.write("book.yaml", BOOK)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REMEDIATE_RECORD", str(made.record))
    monkeypatch.setenv("COLUMNS", "200")
    return made
