"""`remediate verify` at a prompt: each format with its exit status, what stands where, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.report.formats.document import Document
from tests.cli.prompt import HOSTS, User
from tests.e2e.conftest import REMEDIATE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with standing(tmp_path_factory.mktemp("site") / "site") as made:
        yield made


# -- on a site that is exposed ------------------------------------------------------------------------


def test_json(user: User, site: EmbeddedSite) -> None:
    said = user.types("verify", "-i", str(site.inventory), "--format", "json")
    assert said.status == 1
    made = Document.model_validate_json(said.out)
    assert json.loads(said.out)["schema"] == "remediate.verify/1"
    assert (made.exit_status, made.summary.exposed, made.summary.asked, made.summary.unanswered) == (1, 1, 4, 0)
    assert [(one.name, one.usable, len(one.canaries)) for one in made.vantages] == [
        ("internet", True, 2),
        ("clinic", True, 2),
    ]
    assert said.err == ""


def test_junit(user: User, site: EmbeddedSite) -> None:
    said = user.types("verify", "-i", str(site.inventory), "--format", "junit")
    assert said.status == 1
    root = ElementTree.fromstring(said.out)  # noqa: S314 -- our own text
    assert [root.get(name) for name in ("tests", "failures", "errors")] == ["6", "2", "0"]


def test_prtg(user: User, site: EmbeddedSite) -> None:
    said = user.types("verify", "-i", str(site.inventory), "--format", "prtg")
    assert said.status == 1
    channels = {one["channel"]: one["value"] for one in json.loads(said.out)["prtg"]["result"]}
    assert (channels["Exposed"], channels["archive: reachable"]) == (1, 2)


def test_nagios(user: User, site: EmbeddedSite) -> None:
    said = user.types("verify", "-i", str(site.inventory), "--format", "nagios")
    assert said.status == 2
    assert said.out.startswith(
        "REMEDIATE CRITICAL - 1 PACS: 1 exposed; 4 questions from 2 vantages, 0 without an answer"
    )
    assert said.out.count("|") == 1


def test_table_in_a_pipe(user: User, site: EmbeddedSite) -> None:
    said = user.types("verify", "-i", str(site.inventory), "-v")
    assert said.status == 1
    assert "archive: exposed - 4 questions from 2 vantages (internet, clinic), 0 without an answer" in said.out
    assert "close the port in front of it: remediate plan" in said.out
    assert "clinic as ct-1" in said.err, "every question, for -v, beside the result"
    assert "\x1b" not in said.out + said.err
    assert "questions   " not in said.err


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal_progress_is_shown_and_gone(user: User, site: EmbeddedSite, columns: int) -> None:
    """Standard error is the terminal; the result goes into a pipe."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    argv = [str(REMEDIATE), "verify", "-i", str(site.inventory), "--format", "json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=theirs, stdin=theirs, env=env) as process:
        os.close(theirs)
        assert process.stdout is not None
        out = process.stdout.read()
        drawn = b""
        try:
            while more := os.read(ours, 65536):
                drawn += more
        except OSError:  # Linux says EIO when the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 1
    assert json.loads(out)["summary"]["asked"] == 4
    assert b"looking from every vantage" in drawn
    assert b" of 4 questions" in drawn
    assert drawn.rstrip().endswith(b"\x1b[2K"), "the line is wiped out at the end"


# -- what is refused ----------------------------------------------------------------------------------

EMPTY = "no PACS is selected by hosts: all with --limit !all next: choose from: pacs-north, all"
PRTG_EMPTY = json.dumps({"prtg": {"error": 1, "text": EMPTY}}, indent=2) + "\n"
REFUSED = {
    "an unknown format": (
        ["--format", "xml"],
        2,
        "",
        "'xml' is not one of 'table', 'json', 'jsonl', 'junit', 'prtg', 'nagios'",
    ),
    "lines without a target list": (
        ["--format", "jsonl"],
        2,
        "",
        "error: --format jsonl is for target lists: one line for each answer as it comes\n  next: give --format json",
    ),
    "an empty selection": (
        ["--limit", "!all"],
        2,
        "",
        "error: no PACS is selected by hosts: all with --limit !all\n  next: choose from: pacs-north, all\n",
    ),
    "an empty selection, for Nagios": (
        ["--limit", "!all", "--format", "nagios"],
        3,
        "REMEDIATE UNKNOWN - no PACS is selected by hosts: all with --limit !all\nnext: choose from: pacs-north, all\n",
        "",
    ),
    "an empty selection, for PRTG": (
        ["--limit", "!all", "--format", "prtg"],
        2,
        PRTG_EMPTY,
        "error: no PACS is selected",
    ),
    "no inventory, for JUnit": (
        ["-i", "nowhere", "--format", "junit"],
        2,
        "",
        "error: nowhere: the inventory cannot be read",
    ),
}


@pytest.mark.parametrize(("typed", "status", "out", "err"), REFUSED.values(), ids=REFUSED)
def test_a_mistake(user: User, typed: list[str], status: int, out: str, err: str) -> None:
    said = user.types("verify", *typed)
    assert (said.status, said.out) == (status, out)
    assert " ".join(err.split()) in " ".join(said.err.replace("│", " ").split())
    assert "Traceback" not in said.err
    assert said.network == []


def test_nothing_can_be_asked_and_every_format_says_so(user: User) -> None:
    """Neither vantage works: the one has a silent canary, the other cannot be opened."""
    user.write("home/.ssh/known_hosts", "")
    assert "port: 9" in HOSTS
    nagios = user.types("verify", "--format", "nagios")
    assert nagios.status == 3
    assert nagios.out.startswith("REMEDIATE UNKNOWN - 1 PACS: 1 inconclusive; ")
    assert "vantage clinic: " in nagios.out
    made = Document.model_validate_json(user.types("verify", "--format", "json").out)
    assert (made.exit_status, made.summary.answered, made.summary.unusable_vantages) == (3, 0, 1)
    assert [view.outcome for view in made.pacs[0].views] == ["unknown", "unknown"]
    prtg = json.loads(user.types("verify", "--format", "prtg").out)["prtg"]["result"]
    assert {one["channel"]: one["warning"] for one in prtg}["Inconclusive"] == 1
    root = ElementTree.fromstring(user.types("verify", "--format", "junit").out)  # noqa: S314 -- our own text
    assert root.get("errors") == root.get("tests") == "2"


def test_run_check_prints_the_same_document(user: User, site: EmbeddedSite) -> None:
    where = ["-i", str(site.inventory)]
    said = user.types("run", str(site.playbook), *where, "--check", "--format", "json")
    assert said.status == 1, said.err
    assert Document.model_validate_json(said.out).summary.exposed == 1
    assert not Path(user.record).exists()
