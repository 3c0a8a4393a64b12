"""Bad input at the prompt: one message, the right exit status, never a traceback, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remediate.cli import main

ROOT = Path(__file__).parents[2]


def at_prompt(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["remediate", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def own_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REMEDIATE_RECORD", str(tmp_path / "state" / "record.db"))
    monkeypatch.setenv("COLUMNS", "200")


BOOK = str(ROOT / "playbooks" / "close_dicom_exposure.yaml")
SITE = str(ROOT / "inventory")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["verify", "-i", "nowhere"], "nowhere"),
        (["plan", "nowhere.yaml", "-i", SITE], "nowhere.yaml"),
        (["run", "nowhere.json", "-i", SITE], "nowhere.json"),
        (["run", BOOK, "-i", SITE, "-e", "revert_in"], "key=value"),
        (["run", BOOK, "-i", SITE, "-e", "revert_in=soon"], "revert_in"),
        (["run", BOOK, "-i", SITE, "--limit", "pacs-nroth"], "pacs-north"),
        (["verify", "-i", SITE, "--limit", "!all"], "!all"),
        (["plan", BOOK, "-i", SITE, "--templates", "nowhere"], "nowhere"),
        (["resume", "20200101-000000-0000"], "20200101-000000-0000"),
        (["rollback", "20200101-000000-0000"], "20200101-000000-0000"),
        (["record", "show", "20200101-000000-0000"], "20200101-000000-0000"),
        (["record", "list", "--record", "/proc/nowhere/record.db"], "/proc/nowhere"),
    ],
)
def test_a_mistake_is_one_message_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str], says: str
) -> None:
    assert at_prompt(monkeypatch, *args) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize("args", [["vreify"], ["run"], ["run", BOOK, "--forks", "0"], ["verify", "--format", "xml"]])
def test_a_wrong_command_line_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    assert at_prompt(monkeypatch, *args) == 2
    assert "Usage:" in capsys.readouterr().err


def test_nothing_to_resume_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert at_prompt(monkeypatch, "resume") == 0
    assert "nothing to resume" in capsys.readouterr().out


def test_the_examples_that_come_along_are_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at_prompt(monkeypatch, "inventory", "check", "-i", SITE) == 0
    assert "no problem" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['remediate', '--help']\n"
        "from remediate.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'netmiko', 'sqlalchemy', 'pydicom', 'pynetdicom', 'nornir', 'asyncssh', 'jinja2'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
