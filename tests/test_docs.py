"""The docs say what the program does: every command, option, example, table and link in them."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2.filters import FILTERS
from typer.testing import CliRunner

from remediate import controls, errors, inventory, platforms, playbook, probes, vantages
from remediate.cli.app import app
from remediate.model.rule import Rule, Setting, Unpublished
from remediate.render import Renderer
from tests import factories

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
REMEDIATE = Path(sys.executable).with_name("remediate")
NAMES = [page.name for page in PAGES]


def _reference() -> Any:
    spec = importlib.util.spec_from_file_location("commands_reference", DOCS / "commands_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _reference()
COMMANDS: dict[str, Any] = dict(reference.commands())


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Fenced blocks: what stands behind the fence, and the text."""
    for found in re.finditer(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[1].strip(), found[2]


def table(page: Path, name: str) -> list[list[str]]:
    """The rows between <!-- name … --> and <!-- /name -->, without the head."""
    found = re.search(rf"<!-- {name}\b.*?-->\n(.*?)<!-- /{name} -->", page.read_text(), re.DOTALL)
    assert found is not None, name
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in found[1].splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# -- commands -------------------------------------------------------------------------------------------


def test_every_command_and_option_is_there_and_no_other() -> None:
    page = (DOCS / "commands.md").read_text()
    assert reference.BEGIN + reference.reference() + reference.END in page, "run: python docs/commands_reference.py"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_what_help_says_is_there(name: str) -> None:
    """The real help, line by line, against the page; and every option of the page in the real help."""
    page = (DOCS / "commands.md").read_text()
    section = re.search(
        rf"^## {re.escape(name)}(?: \[?[A-Z]+\]?)*\n(.*?)(?=^## |^<!-- /)", page, re.MULTILINE | re.DOTALL
    )
    assert section is not None
    shown = CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert shown.exit_code == 0
    listed = {opt for line in section[1].splitlines() if line.startswith("| `-") for opt in names(line.split("|")[1])}
    helped = {opt for line in shown.output.splitlines() for opt in re.findall(r"(?:^ +|, )(--?[a-zA-Z][a-z-]*)", line)}
    assert listed == helped - {"--help"}
    said = " ".join(section[1].replace("`", "").split())
    for option in reference.options(COMMANDS[name]):
        assert " ".join((option.help or "").replace("`", "").split()) in said
        assert " ".join((option.help or "").split())[:40] in " ".join(shown.output.split())


def typed() -> Iterator[tuple[str, str, bool]]:
    """Page, command line, and whether it is whole (of a block) or may leave arguments out (inside a sentence)."""
    for page in PAGES:
        text = page.read_text()
        for line in re.findall(r"^(?: {4,}|)(remediate [^\n]*)$", _code(page), re.MULTILINE):
            yield page.name, line, True
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for span in re.findall(r"`(remediate [^`\n]*)`", prose):
            yield page.name, span, False


def _code(page: Path) -> str:
    """What stands in sh blocks, and what is indented by four."""
    fenced = "\n".join(body for info, body in blocks(page) if info.startswith(("sh", "console")))
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return fenced + "\n" + "\n".join(re.findall(r"^ {4}\S.*$", prose, re.MULTILINE))


TYPED = sorted(set(typed()))


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.mark.parametrize(("page", "line", "whole"), TYPED, ids=[f"{page}: {line}" for page, line, _ in TYPED])
def test_a_command_that_is_shown_exists(page: str, line: str, whole: bool) -> None:
    name, rest = "remediate", words(line)[1:]
    while rest and f"{name} {rest[0]}" in COMMANDS:
        name = f"{name} {rest.pop(0)}"
    command = COMMANDS[name]
    known = {opt for param in command.params for opt in getattr(param, "opts", ())} | {"--help"}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= known
    if hasattr(command, "commands"):
        assert all(word.startswith("-") for word in rest), f"{name} has no such command"
    elif whole:
        command.make_context(name, rest)  # raises for what is missing, or too much


def test_there_are_such_commands() -> None:
    assert len([line for _, line, whole in TYPED if whole]) >= 10


#: What can be run without a site; the others are run in tests/e2e.
_ALONE = ("init", "inventory check", "inventory show", "--version")


def _alone() -> list[str]:
    lines = sorted({" ".join(words(line)) for _, line, _ in TYPED})
    return [line for line in lines if line.startswith(tuple(f"remediate {word}" for word in _ALONE))]


@pytest.mark.parametrize("line", _alone())
def test_a_command_that_needs_no_site_runs(line: str, tmp_path: Path) -> None:
    for part in ("inventory", "playbooks"):
        shutil.copytree(ROOT / part, tmp_path / part)
    args = words(line)[1:]
    done = subprocess.run(
        [str(REMEDIATE), *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("so_far", "offered"),
    [("re", {"resume", "record"}), ("record ", {"list", "show", "verify"}), ("run --fo", {"--format", "--forks"})],
)
def test_the_shell_completes(so_far: str, offered: set[str]) -> None:
    line = f"remediate {so_far}"
    env = {"_REMEDIATE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run([str(REMEDIATE)], capture_output=True, text=True, check=False, env={**os.environ, **env})
    assert offered <= set(done.stdout.split())


def test_the_completion_script_is_one() -> None:
    env = {**os.environ, "_REMEDIATE_COMPLETE": "source_bash"}
    script = subprocess.run([str(REMEDIATE)], capture_output=True, text=True, check=True, env=env).stdout
    assert "complete -o default -F _remediate_completion remediate" in script
    if shutil.which("bash"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


# -- examples -------------------------------------------------------------------------------------------


def test_the_yaml_examples_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of all pages make one inventory, and each playbook fits it."""
    monkeypatch.setenv("FIREWALL_PASSWORD", "Tr0ub4dor")
    files: dict[str, str] = {}
    books: list[str] = []
    for page in PAGES:
        for info, body in blocks(page):
            language, _, kind = info.partition(" ")
            if language != "yaml":
                continue
            assert kind in ("hosts.yaml", "groups.yaml", "defaults.yaml", "playbook"), f"{page.name}: ```{info}"
            if kind == "playbook":
                books.append(body)
            else:
                files[kind] = files.get(kind, "") + body
    assert set(files) == {"hosts.yaml", "groups.yaml", "defaults.yaml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    loaded = inventory.load(tmp_path, platforms=set(platforms.PLATFORMS))
    assert len(books) >= 2
    for number, text in enumerate(books):
        path = tmp_path / f"book{number}.yml"
        path.write_text(text)
        book = playbook.load(path, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        assert all(loaded.select(play.hosts) for play in book.plays)


def test_what_is_said_of_choosing_archives_is_so(tmp_path: Path) -> None:
    loaded = inventory.load(ROOT / "inventory")
    assert loaded.select("pacs-*") == tuple(loaded.site.pacs)
    with pytest.raises(errors.UsageError):
        loaded.select("north,!pacs-north")


def test_the_template_example_renders(tmp_path: Path) -> None:
    examples = [body for page in PAGES for info, body in blocks(page) if info == "jinja"]
    assert examples
    spec = platforms.platform("linux_nftables")
    sections = [{"name": "acl_pacs-north", "rules": spec.expressed(factories.intent())}]
    for text in examples:
        (tmp_path / "linux_nftables").mkdir(exist_ok=True)
        (tmp_path / "linux_nftables" / "acl.j2").write_text(text)
        shown = Renderer(tmp_path).render("linux_nftables", "acl", sections=sections)
        assert "section acl_pacs-north\n" in shown
        assert "permit 10.20.0.10 to port 104\n" in shown


# -- tables ---------------------------------------------------------------------------------------------


def test_the_exit_statuses_are_those_of_the_program() -> None:
    rows = table(DOCS / "exit-status.md", "statuses")
    constants = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {names(row[1])[0]: int(row[0]) for row in rows} == constants
    summed = re.search(r"^Exit status: (.*?)\.$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert summed is not None
    assert {int(number) for number in re.findall(r"\b\d+\b", summed[1])} == set(constants.values())


def test_the_order_of_statuses_is_that_of_the_program() -> None:
    from remediate.change.statuses import worst

    said = re.search(r"the first of ([\d, ]+) is given", (DOCS / "exit-status.md").read_text())
    assert said is not None
    order = [int(number) for number in said[1].split(", ")]
    assert set(order) | {0} == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    for at, status in enumerate(order):
        assert worst(0, *order[at:]) == status


def _members(protocol: type) -> set[str]:
    own = {name for name in vars(protocol) if not name.startswith("_")}
    return own | set(protocol.__annotations__)


EXTENDING = DOCS / "extending.md"


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("platforms", platforms.PLATFORMS),
        ("controls", controls.CONTROLS),
        ("probes", {kind.value: module for kind, module in probes.PROBES.items()}),
        ("vantages", {kind.__name__: module for kind, module in vantages.VANTAGES.items()}),
    ],
)
def test_the_tables_of_what_can_be_added_to(name: str, there: dict[str, str]) -> None:
    assert {names(row[0])[0]: names(row[1])[0] for row in table(EXTENDING, name)} == there


@pytest.mark.parametrize(
    ("name", "protocol"), [("spec", platforms.PlatformSpec), ("session", platforms.Platform)], ids=["spec", "session"]
)
def test_the_tables_of_what_a_platform_must_do(name: str, protocol: type) -> None:
    assert {names(row[0])[0] for row in table(EXTENDING, name)} == _members(protocol) - {"_is_protocol"}


def test_the_tables_of_what_a_template_is_given() -> None:
    page = DOCS / "templates.md"
    assert {name for row in table(page, "rule") for name in names(row[0])} == set(Rule.model_fields)
    rows = {names(row[0])[0]: row[1] for row in table(page, "variables")}
    assert rows.pop("sections") == "all"
    for name in platforms.PLATFORMS:
        spec = platforms.platform(name)
        device = factories.FIREWALL.model_copy(update={"platform": name})
        given = spec.context(device, spec.read(device, factories.RUNNING[name]), {})
        assert set(given) == {variable for variable, on in rows.items() if name in on.split(", ")}


def test_the_table_of_settings_is_the_one_of_the_model() -> None:
    assert {name for row in table(DOCS / "templates.md", "setting") for name in names(row[0])} == set(
        Setting.model_fields
    )


def test_the_table_of_what_is_unpublished_is_the_one_of_the_model() -> None:
    found = {name for row in table(DOCS / "templates.md", "unpublished") for name in names(row[0])}
    assert found == set(Unpublished.model_fields)


def test_the_filters_that_are_named_are_ours() -> None:
    ours = set(Renderer()._environment.filters) - set(FILTERS)
    found = re.search(
        r"Two filters of ours, besides Jinja2's: (.*?)\n\n", (DOCS / "templates.md").read_text(), re.DOTALL
    )
    assert found is not None
    assert set(names(found[1])) == ours


def test_the_limits_of_revert_in_are_those_of_the_platforms() -> None:
    text = (DOCS / "playbook.md").read_text()
    ios, linux = (platforms.platform(name).capabilities for name in ("cisco_ios", "linux_nftables"))
    minutes = (int(ios.revert_min.total_seconds() // 60), int(ios.revert_max.total_seconds() // 60))
    assert f"whole minutes from\n{minutes[0]} to {minutes[1]}, Linux seconds from {linux.revert_min.seconds} on" in text
    assert f"without it {int(playbook.DEFAULT_REVERT_IN.total_seconds() // 60)} minutes" in text


# -- links ----------------------------------------------------------------------------------------------


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


def test_every_page_can_be_found_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name})" not in text] == []
