"""``remediate init``: what a new user meets first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from remediate import playbook, render
from remediate.cli import main
from remediate.controls import CONTROLS
from remediate.errors import InventoryError
from remediate.inventory import load, starter
from remediate.inventory.files import FRONTS
from remediate.model.rule import CallerIntent, Intent, TlsIntent, UnpublishIntent, WebLoginIntent
from remediate.platforms import PLATFORMS, platform

#: What is made of each intent.
MADE_OF = {
    Intent: ("acl", "vpn_only"),
    UnpublishIntent: ("unpublish",),
    CallerIntent: ("ae_title",),
    TlsIntent: ("tls_only",),
    WebLoginIntent: ("web_auth",),
}
FILES = {
    ".gitignore",
    "inventory/hosts.yaml",
    "inventory/groups.yaml",
    "inventory/defaults.yaml",
    "playbooks/close_dicom_exposure.yaml",
    "playbooks/lockdown.yaml",
    "playbooks/post_incident_verify.yaml",
    "playbooks/restrict_ae_titles.yaml",
    "playbooks/tls_only.yaml",
    "playbooks/unpublish.yaml",
    "playbooks/vpn_only.yaml",
    "playbooks/web_auth.yaml",
    *(
        f"templates/{name}/{control}.j2"
        for name in PLATFORMS
        for kind, controls in MADE_OF.items()
        if kind in platform(name).intents
        for control in controls
    ),
}
#: By what the message asks for, an answer.
ANSWERS = {
    "AE": "ARCHIVE",
    "1 to 16 printable": "ARCHIVE",
    "an IPv4 or IPv6 address": "10.0.0.{}",
    "a port": "104",
    "a host name": "10.0.1.1",
    ", ".join(sorted({*PLATFORMS}.difference(FRONTS))): "linux_nftables",
    "an interface name": "wan",
    "user@host": "probe@10.0.2.1",
    "a user name": "netops",
}


def at_prompt(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["remediate", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def everything(folder: Path) -> dict[str, bytes | None]:
    """Path → content; None: a folder."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


def files(folder: Path) -> set[str]:
    return {name for name, content in everything(folder).items() if content is not None}


def test_it_writes_everything_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site = tmp_path / "a" / "b"
    assert at_prompt(monkeypatch, "init", str(site)) == 0
    assert files(site) == FILES
    out = capsys.readouterr().out
    for name in FILES:
        assert str(site / name) in out
    for command in ("check", "trust"):
        assert f"remediate inventory {command} -i {site / 'inventory'}" in out


@pytest.mark.parametrize("command", [["verify"], ["inventory", "check"], ["inventory", "show"], ["inventory", "trust"]])
def test_the_first_command_says_what_to_fill_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    starter.write(tmp_path)
    site = tmp_path / "inventory"
    assert at_prompt(monkeypatch, *command, "-i", str(site)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    marked = [
        (file.name, number)
        for file in sorted(site.iterdir())
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if "FILL_IN" in line.partition("#")[0]
    ]
    assert len(marked) > 10
    said = re.findall(r"^  - (\w+\.yaml):(\d+): .*: fill in: ", err, re.MULTILINE)
    assert sorted((file, int(number)) for file, number in said) == sorted(marked)
    assert err.startswith(f"error: {site}: {len(marked)} places are still to be filled in\n")
    assert "next: " in err


def filled_in(site: Path) -> Path:
    """Answers each line of the message, as a user would, until there is nothing left to say."""
    with pytest.raises(InventoryError) as caught:
        load(site, platforms=PLATFORMS)
    for number, line in enumerate(caught.value.problems, 1):
        match = re.fullmatch(r"(\w+\.yaml):(\d+): .*: fill in: (.*)", line)
        assert match is not None, line
        answer = next(answer for start, answer in ANSWERS.items() if match[3].startswith(start))
        lines = (site / match[1]).read_text().splitlines(keepends=True)
        at = int(match[2]) - 1
        lines[at] = lines[at].replace("FILL_IN", answer.format(number), 1)
        (site / match[1]).write_text("".join(lines))
    return site


def test_filled_in_it_is_right_and_fits_the_playbook(tmp_path: Path) -> None:
    starter.write(tmp_path)
    loaded = load(filled_in(tmp_path / "inventory"), platforms=PLATFORMS)
    site = loaded.site
    assert (len(site.pacs), len(site.devices), len(site.vantages)) == (1, 1, 2)
    assert {login.username for login in site.logins.values()} == {"netops"}
    assert {login.known_hosts for login in site.logins.values()} == {str(tmp_path / "inventory" / "known_hosts")}
    file = tmp_path / "playbooks" / "close_dicom_exposure.yaml"
    book = playbook.load(file, {}, controls=set(CONTROLS), vantages=set(site.vantages))
    assert [loaded.select(play.hosts) for play in book.plays] == [tuple(site.pacs)]


def test_what_is_commented_out_is_right_too(tmp_path: Path) -> None:
    """Every example in the comments, taken as it stands."""
    starter.write(tmp_path)
    site = filled_in(tmp_path / "inventory")
    for name in ("hosts.yaml", "groups.yaml"):
        file = site / name
        example = re.compile(r"^( *)# (?=( *- \{|\w+:$|\w+: [\[{]| {2,}\w+:))", re.MULTILINE)
        text, count = example.subn(r"\1", file.read_text())
        assert count >= 4, name
        file.write_text(text)
    loaded = load(site, platforms=PLATFORMS)
    pacs = loaded.site.pacs["pacs-north"]
    assert len(pacs.services) == 2
    assert [peer.name for peer in pacs.access.peers] == ["ct-1", "readers"]
    assert [one.name for one in pacs.access.destinations] == ["teleradiology"]
    assert set(loaded.nornir.groups) >= {"north", "south"}


def test_the_templates_are_the_ones_that_are_used_without(tmp_path: Path) -> None:
    starter.write(tmp_path)
    for one in PLATFORMS:
        names = [f"{one}/{file.name}" for file in (tmp_path / "templates" / one).glob("*.j2")]
        assert names
        for name in names:
            assert render.Renderer(tmp_path / "templates").source(name) == render.Renderer().source(name) is not None


def test_into_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    starter.write(tmp_path)
    assert files(tmp_path) == {*FILES, "notes.txt"}


def test_nothing_is_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "groups.yaml").write_text("mine: {}\n")
    (tmp_path / ".gitignore").symlink_to("nowhere")
    before = everything(tmp_path / "inventory")
    assert at_prompt(monkeypatch, "init", str(tmp_path)) == 2
    out, err = capsys.readouterr()
    assert str(tmp_path / "inventory" / "groups.yaml") in err and str(tmp_path / ".gitignore") in err
    assert "hosts.yaml" not in err
    assert out == ""
    assert everything(tmp_path / "inventory") == before
    assert {path.name for path in tmp_path.iterdir()} == {"inventory", ".gitignore"}


def test_a_failure_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The last folder cannot be made, after all the other files were written."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "templates").write_text("a file, where a folder is needed")
    before = everything(tmp_path)
    assert at_prompt(monkeypatch, "init", str(tmp_path / "site")) == 2
    assert str(tmp_path / "site" / "templates") in capsys.readouterr().err
    assert everything(tmp_path) == before


def test_a_full_disk_leaves_nothing_and_not_the_folder_either(tmp_path: Path) -> None:
    program = (
        "import resource, sys; sys.argv[0] = 'remediate'; from remediate.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY)); main()\n"
    )
    command = [sys.executable, "-B", "-c", program, "init", str(tmp_path / "new" / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert f"{tmp_path}/new/site/inventory/hosts.yaml: File too large" in done.stderr
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("where", ["a-file", "a-file/below", "/proc/nowhere"])
def test_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, where: str
) -> None:
    (tmp_path / "a-file").write_text("mine")
    assert at_prompt(monkeypatch, "init", str(tmp_path / where)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and where in err and "next: " in err
    assert everything(tmp_path) == {"a-file": b"mine"}
