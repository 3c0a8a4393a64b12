"""Writes every command and option into docs/commands.md: python docs/commands_reference.py"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from remediate.cli.app import app

PAGE = Path(__file__).with_name("commands.md")
BEGIN = "<!-- commands: written by docs/commands_reference.py, kept by tests/test_docs.py -->\n"
END = "<!-- /commands -->\n"


def commands(command: Any = None, name: str = "remediate") -> Iterator[tuple[str, Any]]:
    """Every command and group, with its whole name."""
    command = typer.main.get_command(app) if command is None else command
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def options(command: Any) -> list[Any]:
    return [param for param in command.params if param.param_type_name == "option" and "--help" not in param.opts]


def arguments(command: Any) -> list[tuple[str, Any]]:
    found = [param for param in command.params if param.param_type_name == "argument"]
    return [((param.metavar or param.name).strip("[]{}").upper(), param) for param in found]


def reference() -> str:
    return "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    words = [word if param.required else f"[{word}]" for word, param in arguments(command)]
    lines = [f"## {' '.join((name, *words))}", "", *_paragraphs(command.help or ""), ""]
    rows = [(f"`{word}`", _said(param)) for word, param in arguments(command)]
    rows += [(", ".join(f"`{opt}`" for opt in param.opts), _said(param)) for param in options(command)]
    if rows:
        lines += ["| | |", "|---|---|", *(f"| {left} | {right} |" for left, right in rows), ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ""
        yield " ".join(paragraph.split())


def _said(param: Any) -> str:
    text = " ".join((param.help or "").split())
    if isinstance(param.default, Enum):
        text += " One of: " + ", ".join(f"`{one.value}`" for one in type(param.default)) + "."
    if param.default not in (None, False) and not callable(param.default):
        text += f" Default: `{getattr(param.default, 'value', param.default)}`."
    if param.envvar:
        text += f" Also: the environment variable `{param.envvar}`."
    return text


def main() -> int:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + reference() + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
