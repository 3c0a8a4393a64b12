"""The first files of a site of one's own: inventory, playbooks, templates."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from remediate.errors import UsageError

STARTER = Path(__file__).parent.parent / "starter"
PARTS = ("inventory", "playbooks", "templates")
SUFFIXES = frozenset({".yaml", ".j2"})


def write(folder: Path) -> tuple[Path, ...]:
    """Writes the starter into ``folder``, which is made where it is missing. Returns the files.

    Nothing that is there is touched. Raises UsageError, and then nothing of it is left in ``folder``.
    """
    wanted = {folder / name: source.read_bytes() for name, source in _files()}
    if there := [path for path in wanted if os.path.lexists(path)]:
        raise UsageError(
            "nothing is overwritten, and there is already: " + ", ".join(str(path) for path in there),
            where=str(folder),
            next="give another directory, or move these files away",
        )
    made: list[Path] = []
    try:
        for path, content in wanted.items():
            _make_parents(path, made)
            with path.open("xb") as file:  # made by somebody else meanwhile: an error, too
                made.append(path)
                file.write(content)
    except BaseException as error:  # Ctrl-C too: no half of a starter is left behind
        for one in reversed(made):
            with suppress(OSError):  # somebody put something of his own into a new folder: it stays
                one.rmdir() if one.is_dir() else one.unlink()
        if not isinstance(error, OSError):
            raise
        raise UsageError(
            f"it cannot be written: {error.filename or path}: {error.strerror}",
            where=str(folder),
            next="give a directory that you may write to",
        ) from error
    return tuple(wanted)


def _files() -> Iterator[tuple[str, Path]]:
    """The name in the new folder, and where the content is. Patterns of packagers leave out names with a dot first."""
    yield ".gitignore", STARTER / "gitignore"
    for part in PARTS:
        for source in sorted((STARTER / part).rglob("*")):
            if source.suffix in SUFFIXES and not source.name.startswith("."):
                yield str(source.relative_to(STARTER)), source


def _make_parents(path: Path, made: list[Path]) -> None:
    missing = [parent for parent in path.parents if not parent.is_dir()]
    for parent in reversed(missing):
        parent.mkdir()
        made.append(parent)
