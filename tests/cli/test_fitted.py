"""An error message on a terminal: broken between words, a path in one piece."""

from __future__ import annotations

import io
import sys

import pytest

from remediate.cli import _fitted

LONG = (
    "error: inventory: two problems\n"
    "  - hosts.yaml:10: pacs-north: data.ae_title: fill in: 1 to 16 printable ASCII characters, no backslash\n"
    "  next: look at /a/very/long/path/that/is/longer/than/the/forty/columns/of/this/terminal.yaml"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_lines_fit_and_keep_their_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    lines = _fitted(LONG).splitlines()
    assert all(len(line) <= 60 or "/a/very/long/path" in line for line in lines)
    assert lines[1].startswith("  - hosts.yaml:10: ")
    assert lines[2].startswith("    ")
    assert "/a/very/long/path/that/is/longer/than/the/forty/columns/of/this/terminal.yaml" in "".join(lines)
    assert " ".join(" ".join(lines).split()) == " ".join(LONG.split())


def test_in_a_pipe_nothing_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert _fitted(LONG) == LONG
