"""docs/faults.md and the tests of faults name each other."""

from __future__ import annotations

import re
from pathlib import Path

from remediate import errors
from tests.test_docs import DOCS, names, table

HERE = Path(__file__).parent
PAGE = DOCS / "faults.md"
SHORT = {"[spine]": "e2e/test_spine.py", "[faults]": "faults/test_faults.py", "[prompt]": "faults/test_at_prompt.py"}
STATUSES = {str(getattr(errors, name)) for name in dir(errors) if name.startswith("EXIT_")}


def found_in(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))


def test_every_line_has_tests_that_exist_and_a_status() -> None:
    rows = table(PAGE, "faults")
    assert len({row[0] for row in rows}) == len(rows)
    for what, sees, left, status, cell in rows:
        assert sees and left, what
        assert set(re.findall(r"\d+", status)) <= STATUSES and status, what
        assert names(cell), what
        for name in names(cell):
            file, _, test = name.partition(" ")
            path = HERE.parent / SHORT.get(file, file)
            assert test in found_in(path), f"{what}: there is no {test} in {path}"


def test_every_fault_that_is_tested_here_is_in_the_table() -> None:
    named = {name.partition(" ")[2] for row in table(PAGE, "faults") for name in names(row[4])}
    files = [path for path in HERE.glob("test_*.py") if path.name != Path(__file__).name]
    assert len(files) == 5
    assert set().union(*map(found_in, files)) <= named
