"""What is handed on of a change: complete, documented, checkable without us, and without a secret."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import stat
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import remediate
from remediate.errors import RecordError
from remediate.model.change import Entry, State
from remediate.model.observation import Rung
from remediate.model.verdict import Outcome, Purpose, Verdict
from remediate.record import Record
from remediate.report import export, export_markdown
from remediate.report.schema import Document
from tests.factories import NOON
from tests.report.conftest import Told

DOCS = Path(__file__).parents[2] / "docs" / "record.md"
CHANGES = ("confirmed", "unchanged", "undone", "resumed", "crashed", "rolled back")


# -- the documentation --------------------------------------------------------------------------------


def models(of: Any) -> Iterator[type[BaseModel]]:
    if isinstance(of, type) and issubclass(of, BaseModel):
        yield of
        for field in of.model_fields.values():
            yield from models(field.annotation)
    else:
        for inner in typing.get_args(of):
            yield from models(inner)


def documented() -> tuple[set[tuple[str, str]], dict[str, str]]:
    """(object, field) of the tables, and key → kinds of what an entry's data holds."""
    text, _, data = DOCS.read_text().partition("## What an entry's data holds")
    fields = {
        (section.split("\n", 1)[0], name)
        for section in text.split("\n### ")[1:]
        for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    keys = {
        name: row[1]
        for row in re.findall(r"^\| (`.+?) \| (.+?) \|", data, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row[0])
    }
    return fields, keys


def test_every_field_is_documented_and_nothing_else_is() -> None:
    ours = {(model.__name__, name) for model in models(Document) for name in model.model_fields}
    assert documented()[0] == ours


def test_every_key_of_an_entry_is_documented_and_nothing_else_is(told: dict[str, Told]) -> None:
    _, keys = documented()
    written = {key for name in CHANGES for entry in told[name].entries for key in entry.data}
    assert written <= set(keys)
    package = Path(remediate.__file__).parent
    source = "".join(path.read_text() for path in [*package.glob("change/*.py"), *package.glob("tasks/*.py")])
    for key in set(keys) - written:
        assert re.search(rf"\b{key}=|\"{key}\":", source), f"nothing writes {key}"


# -- the document -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_the_chain_can_be_checked_from_the_export_alone(told: dict[str, Told], name: str) -> None:
    document = json.loads(export.as_json(told[name].document))
    previous = "0" * 64
    for step in document["steps"]:
        data = json.dumps(step["data"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        lines = [previous, document["change"]["id"], str(step["seq"]), step["at"], step["kind"], data]
        previous = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        assert step["hash"] == previous
    assert document["chain"]["head"] == previous
    assert document["chain"]["entries"] == len(document["steps"])
    assert document["chain"]["verified"] is True


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_judged_again_is_what_was_judged_then(told: dict[str, Told], name: str) -> None:
    rounds = [look for wave in told[name].document.waves for look in wave.rounds]
    assert rounds
    for look in rounds:
        assert look.seen
        for pacs, verdict in look.verdicts.items():
            seen = [one for one in look.seen if one.pacs == pacs]
            outside = {one.outcome for one in seen if one.purpose is Purpose.OUTSIDE_CLOSED}
            inside = {one.outcome for one in seen if one.purpose is Purpose.CARE_PATH}
            assert (verdict is Verdict.PROTECTED) == (outside == inside == {Outcome.MET})
            assert (verdict is Verdict.EXPOSED) == (Outcome.UNMET in outside)


def test_a_document_comes_back_from_its_json(told: dict[str, Told]) -> None:
    made = told["confirmed"].document
    assert Document.model_validate_json(export.as_json(made)) == made


def test_confirmed(told: dict[str, Told]) -> None:
    made = told["confirmed"].document
    assert (made.change.outcome, made.change.ended, made.change.exit_status) == (State.CONFIRMED, True, 0)
    assert [look.title for look in made.waves[0].rounds] == ["before", "after"]
    device = made.devices[0]
    assert device.state == "confirmed"
    assert device.pushing_at and device.pushed_at and device.confirmed_at
    assert device.pushing_at < device.pushed_at < device.confirmed_at
    assert "+ 3 deny tcp any host" in device.diff
    (interval,) = made.exposure
    assert (interval.kind, interval.not_before) == ("exposure", None), "since when it was open nobody knows"
    assert interval.not_after and interval.last_seen < device.pushing_at < interval.not_after
    assert made.not_asked["archive"]
    assert {(one.peer, one.role) for one in made.evidence} >= {("ct-1", "store"), ("ct-1", "query"), (None, None)}
    assert made.steps[-1].kind == "ended"


def test_rolled_back_it_was_open_again(told: dict[str, Told]) -> None:
    made = told["rolled back"].document
    assert (made.change.outcome, made.change.exit_status) == (State.ROLLED_BACK, 4)
    assert made.waves[0].restored is True
    assert "care path broken" in made.waves[0].reason
    assert made.devices[0].state == "taken back"
    first, again = made.exposure
    assert (first.kind, again.kind, again.intended) == ("exposure", "re-exposure", False)
    assert made.devices[0].pushed_at and again.not_before
    assert first.last_seen < made.devices[0].pushed_at < again.not_before < again.first_seen
    assert again.not_after is None


def test_an_undone_change_is_a_re_exposure_that_was_meant(told: dict[str, Told]) -> None:
    made = told["undone"].document
    assert made.change.takes_back == told["confirmed"].change
    (again,) = made.exposure
    assert (again.kind, again.intended) == ("re-exposure", True)
    assert again.not_before and again.not_before < again.first_seen


def test_protected_already_is_no_exposure(told: dict[str, Told]) -> None:
    made = told["unchanged"].document
    assert (made.exposure, made.devices) == ((), ())
    assert made.change.outcome is State.UNCHANGED


def test_resumed(told: dict[str, Told]) -> None:
    made = told["resumed"].document
    assert [one.did for one in made.change.operators] == ["began", "resumed"]
    assert (made.change.outcome, made.devices[0].found) == (State.CONFIRMED, "armed")


def test_a_change_that_crashed_has_not_ended(told: dict[str, Told]) -> None:
    made = told["crashed"].document
    assert (made.change.ended, made.change.exit_status, made.devices[0].state) == (False, None, "provisional")
    assert "has not ended" in export_markdown.as_markdown(made)


def test_an_entry_that_another_version_wrote() -> None:
    data = {"plan": {"schema_version": 9}}
    entry = Entry(change="c-1", seq=1, at=NOON, kind="planned", data=data, previous="", hash="")
    with pytest.raises(RecordError, match="not as this version writes it"):
        export.document([entry])


# -- Markdown -----------------------------------------------------------------------------------------


def test_markdown_says_what_was_open_what_was_changed_and_what_proved_it(told: dict[str, Told]) -> None:
    made = told["confirmed"].document
    text = export_markdown.as_markdown(made)
    assert text.startswith(f"# Change {made.change.id} closed archive to the outside, proved it, and was confirmed\n")
    wave = made.waves[0]
    last = wave.rounds[-1]
    seen = tuple(s.model_copy(update={"rung": Rung.TLS_CERTIFICATE_WANTED}) for s in last.seen)
    rounds = (*wave.rounds[:-1], last.model_copy(update={"seen": seen}))
    left_open = made.model_copy(update={"waves": (wave.model_copy(update={"rounds": rounds}),)})
    assert "restricted archive, which stays reachable, proved it" in export_markdown.as_markdown(left_open)
    assert re.search(r"^\| archive \| internet \| dicom \| \S+:11112 \| query answered \|", text, re.MULTILINE)
    assert f"```diff\n{made.devices[0].diff}\n```" in text
    assert made.devices[0].inverse.rstrip() in text
    assert "with the change in force. archive: protected." in text
    assert "retrieve is negotiated, never exercised" in text
    assert made.chain.head in text
    assert "No patient data can be in this document" in text


def test_nothing_in_a_device_s_text_closes_its_fence(told: dict[str, Told]) -> None:
    made = told["confirmed"].document
    device = made.devices[0].model_copy(update={"diff": "+ remark ```\n# not a heading\n```"})
    wave = made.waves[0].model_copy(update={"play": "a | b\n# c `d` <script>"})
    text = export_markdown.as_markdown(made.model_copy(update={"devices": (device,), "waves": (wave,)}))
    assert "````diff\n+ remark ```\n# not a heading\n```\n````" in text
    assert "### Wave 1: a \\| b \\# c \\`d\\` \\<script\\>: archive: confirmed" in text


# -- at the prompt ------------------------------------------------------------------------------------


def at_prompt(told: Told, *args: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name("remediate")), "record", *args, "--record", str(told.file)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, umask=umask)


@pytest.mark.parametrize("format", ["json", "markdown"])
def test_the_file_is_for_its_owner_alone(told: dict[str, Told], tmp_path: Path, format: str) -> None:
    one, file = told["confirmed"], tmp_path / "out [red]"  # printed as it is, and no markup
    file.write_text("older, and everybody's")
    file.chmod(0o666)
    done = at_prompt(one, "export", one.change, "--format", format, "--out", str(file), umask=0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"written to {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    to_screen = at_prompt(one, "export", one.change, "--format", format).stdout
    assert one.document.chain.head in file.read_text()
    assert len(to_screen) == len(file.read_text())


@pytest.mark.parametrize("name", ["confirmed", "rolled back"])
def test_no_secret_is_handed_on(told: dict[str, Told], name: str) -> None:
    one = told[name]
    assert len(one.secret) == 32
    outputs = [
        at_prompt(one, "export", one.change).stdout,
        at_prompt(one, "export", one.change, "--format", "markdown").stdout,
        at_prompt(one, "show", one.change).stdout,
    ]
    assert all(outputs)
    assert "secret <removed>" in outputs[0], "the line is there, and its secret is not"
    assert not [output for output in outputs if one.secret in output or "PRIVATE KEY" in output]


def test_a_broken_chain_is_exported_only_by_force_and_says_so(told: dict[str, Told], tmp_path: Path) -> None:
    whole = told["confirmed"]
    file = tmp_path / "record.db"
    with sqlite3.connect(whole.file) as source, sqlite3.connect(file) as copy:
        source.backup(copy)
        changed = copy.execute(
            "UPDATE remediate_entry SET body = replace(body, 'exposed', 'protected') "
            "WHERE change = ? AND kind = 'baseline'",
            (whole.change,),
        )
        assert changed.rowcount == 1
    copy.close()
    source.close()
    broken = Told(file, whole.change, whole.secret)
    refused = at_prompt(broken, "export", broken.change, "--out", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "entry 5 was altered" in refused.stderr
    assert "--force" in refused.stderr
    assert not (tmp_path / "out").exists()
    forced = json.loads(at_prompt(broken, "export", broken.change, "--force").stdout)
    assert (forced["chain"]["verified"], forced["chain"]["forced"]) == (False, True)
    assert any("entry 5 was altered" in text for text in forced["chain"]["problems"])
    text = at_prompt(broken, "export", broken.change, "--force", "--format", "markdown").stdout
    assert "HASH CHAIN BROKEN" in text.split("##")[0]
    assert "HASH CHAIN BROKEN" in at_prompt(broken, "show", broken.change).stdout
    intact = json.loads(at_prompt(whole, "export", whole.change, "--force").stdout)
    assert intact["chain"]["forced"] is False


def test_a_change_that_is_not_there(told: dict[str, Told]) -> None:
    for command in ("show", "export"):
        done = at_prompt(told["confirmed"], command, "no-such")
        assert done.returncode == 2
        assert "there is no change no-such" in done.stderr


# -- record show --------------------------------------------------------------------------------------


def test_show_tells_it_to_somebody_who_was_not_there(told: dict[str, Told]) -> None:
    one = told["rolled back"]
    text = at_prompt(one, "show", one.change).stdout
    made = one.document
    assert text.startswith(f"Change {one.change} on archive was taken back: archive: care path broken")
    for words in (
        f"began {made.change.begun_at:%Y-%m-%d %H:%M:%S} UTC by {made.change.operators[0].name}",
        "exit status 4 (rolled back)",
        "Looked from internet and clinic before anything was changed. archive: exposed.",
        "query answered (not as it must be)",
        "served: store, query, retrieve",
        "Pushed acl_archive to edge-router (cisco_ios), armed for 60 s",
        "Began to take it back after",
        "Taken back: the rules read back and every vantage's view are as before.",
        "seen open again to the outside",
        "hash chain intact",
        "rolling back",
    ):
        assert words in text, words
    assert text.index("before anything was changed") < text.index("Pushed acl_archive") < text.index("Began to take")


def test_show_as_json_is_the_entries_as_they_are(told: dict[str, Told]) -> None:
    one = told["confirmed"]
    shown = json.loads(at_prompt(one, "show", one.change, "--format", "json").stdout)
    assert shown == [entry.model_dump(mode="json") for entry in one.entries]


def test_a_resumed_change_says_what_the_device_said(told: dict[str, Told]) -> None:
    text = at_prompt(told["resumed"], "show", told["resumed"].change).stdout
    assert "After an interruption resumed by" in text
    assert "edge-router said of the push: armed" in text


def test_the_record_is_not_touched_by_being_told(told: dict[str, Told]) -> None:
    one = told["confirmed"]
    with Record.open(one.file) as record:
        before = record.changes()
    at_prompt(one, "export", one.change)
    at_prompt(one, "show", one.change)
    with Record.open(one.file) as record:
        assert record.changes() == before
