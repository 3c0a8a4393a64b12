"""Applies each mutant to a copy of the tree and shows that its test turns red: ``make mutants``.

Every test is seen green first, on the copy as it is. Arguments: names of mutants, or parts of them; without: all.
Exit status 1 where a mutant survives, does not fit the code any more, or its test is red without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: What the copy needs to be tested like the tree itself.
PARTS = ("remediate", "tests", "templates", "playbooks", "inventory", "docs", "pyproject.toml", "README.md", "Makefile")
#: pytest's exit statuses.
GREEN, RED = 0, 1


class Mutant(BaseModel):
    """``never``: the line of *what must never happen* that it breaks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    never: int
    file: str
    old: str
    new: str
    test: str


def mutants() -> list[Mutant]:
    return [Mutant.model_validate(one) for one in yaml.safe_load((HERE / "mutants.yaml").read_text())]


def main(wanted: Iterable[str]) -> int:
    words = tuple(wanted)
    chosen = [one for one in mutants() if not words or any(word in one.name for word in words)]
    if not chosen:
        print(f"no mutant is called so: {', '.join(words)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, copy / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, copy / part)
        status, said = _tested(copy, list(dict.fromkeys(one.test for one in chosen)))
        if status != GREEN:
            print(f"a test is red without any mutant:\n{said}", file=sys.stderr)
            return 1
        survived = [one.name for one in chosen if not _killed(copy, one)]
    print(f"{len(chosen)} mutants, {len(survived)} survived" + "".join(f"\n  {name}" for name in survived))
    return 1 if survived else 0


def _killed(copy: Path, mutant: Mutant) -> bool:
    file = copy / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        print(f"DOES NOT FIT  {mutant.never:>2}  {mutant.name}: {mutant.file} has changed")
        return False
    file.write_text(text.replace(mutant.old, mutant.new))
    try:
        compile(file.read_text(), mutant.file, "exec")  # otherwise any test would be red
        status, said = _tested(copy, [mutant.test])
    finally:
        file.write_text(text)
    red = status == RED and "failed" in said
    print(f"{'red' if red else 'SURVIVES':>12}  {mutant.never:>2}  {mutant.name}  ({mutant.test})", flush=True)
    return red


def _tested(copy: Path, tests: list[str]) -> tuple[int, str]:
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(argv, cwd=copy, env=_environment(copy), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


def _environment(copy: Path) -> dict[str, str]:
    """The copy's code comes first, also for the programs that a test starts."""
    return {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
