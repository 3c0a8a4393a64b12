"""At a prompt: a plan that somebody else approves, its run, and the record's head kept outside."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.base import canonical
from remediate.record import Record, chain
from tests.change.people import People
from tests.e2e.test_demo import at_prompt

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def people(tmp_path: Path) -> People:
    made = People(tmp_path)
    made.add("alice")
    made.add("bob")
    return made


@pytest.fixture
def site(tmp_path: Path, people: People) -> Iterator[EmbeddedSite]:
    """With a play that is to be approved, and is open at any time."""
    with standing(tmp_path / "site") as made:
        text = made.playbook.read_text()
        keys = f"  approval: {{allowed_signers: {people.allowed_signers}}}\n  window: {{timezone: Europe/Berlin}}\n"
        made.playbook.write_text(text.replace("  vars:", f"{keys}  vars:"))
        yield made


def test_planned_approved_run_and_anchored(site: EmbeddedSite, people: People, tmp_path: Path) -> None:
    where = ["-i", str(site.inventory)]
    made = at_prompt(tmp_path, "plan", str(site.playbook), *where, "--out", "plan.json")
    assert made.returncode == 0, made.stderr
    assert "only in its window: daily 00:00 to 24:00 Europe/Berlin" in made.stdout
    assert "push, verify and rollback take " in made.stdout
    assert f"needs approval by one of {people.allowed_signers}" in made.stdout

    alone = at_prompt(tmp_path, "run", "plan.json", *where, "--key", "alice")
    assert alone.returncode == 2
    assert "there is none" in alone.stderr
    approved = at_prompt(tmp_path, "approve", "plan.json", "--key", "alice", "--yes")
    assert approved.returncode == 0, approved.stderr
    assert re.search(r"approved by alice \(SHA256:\S+\): plan.json.approval", approved.stdout)
    assert "deny tcp" in approved.stderr, "who approves sees what"
    same = at_prompt(tmp_path, "run", "plan.json", *where, "--key", "alice")
    assert same.returncode == 2
    assert "are the same person" in same.stderr

    plan = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(plan.replace("deny tcp", "permit tcp", 1))
    tampered = at_prompt(tmp_path, "run", "plan.json", *where, "--key", "bob")
    assert tampered.returncode == 2
    assert re.search(r"approved: [0-9a-f]{64}\n +this one: [0-9a-f]{64}", tampered.stderr)
    (tmp_path / "plan.json").write_text(plan)

    done = at_prompt(tmp_path, "run", "plan.json", *where, "--key", "bob")
    assert done.returncode == 0, done.stderr
    with Record.open(tmp_path / "record.db") as record:
        (one,) = record.changes()
    shown = at_prompt(tmp_path, "record", "show", one.change)
    assert "the plan was approved by alice (SHA256:" in shown.stdout
    assert "its run was signed by bob (SHA256:" in shown.stdout
    exported = json.loads(at_prompt(tmp_path, "record", "export", one.change).stdout)
    assert [s["role"] for s in exported["change"]["signatures"]] == ["approver", "operator", "closer"]
    assert "was approved by alice" in at_prompt(tmp_path, "record", "export", one.change, "--format", "markdown").stdout

    anchored = at_prompt(tmp_path, "record", "anchor", "--key", "alice", "--out", "anchor.json")
    assert anchored.returncode == 0, anchored.stderr
    assert anchored.stdout == f"anchor change {one.change} entries {one.entries} head {one.head}\n"
    check = ["record", "verify", "--anchor", "anchor.json", "--allowed-signers", str(people.allowed_signers)]
    intact = at_prompt(tmp_path, *check)
    assert intact.returncode == 0, intact.stderr
    assert re.search(r"as anchored .* UTC \(1 changes\), by alice \(SHA256:", intact.stdout)
    _rewrite(tmp_path / "record.db", one.change)
    assert at_prompt(tmp_path, "record", "verify").returncode == 0, "the chain itself is sound"
    found = at_prompt(tmp_path, *check)
    assert found.returncode == 1
    assert f"{one.change}: entry {one.entries} is not the one that was anchored" in " ".join(found.stderr.split())


def test_an_emergency_needs_nobody_and_is_marked(site: EmbeddedSite, tmp_path: Path) -> None:
    where = ["-i", str(site.inventory)]
    refused = at_prompt(tmp_path, "run", str(site.playbook), *where)
    assert refused.returncode == 2
    assert "In an emergency: --emergency REASON" in " ".join(refused.stderr.split())
    assert not (tmp_path / "record.db").exists()
    done = at_prompt(tmp_path, "run", str(site.playbook), *where, "--emergency", "data is leaving")
    assert done.returncode == 0, done.stderr
    assert "EMERGENCY, without approval: data is leaving" in done.stdout
    with Record.open(tmp_path / "record.db") as record:
        (one,) = record.changes()
    exported = json.loads(at_prompt(tmp_path, "record", "export", one.change).stdout)
    assert exported["change"]["emergency"] == exported["plan"]["emergency"] == "data is leaving"
    assert (
        "EMERGENCY, run without approval: data is leaving" in at_prompt(tmp_path, "record", "show", one.change).stdout
    )


def _rewrite(file: Path, change: str) -> None:
    """Every entry anew, with another operator: by somebody who may write the database."""
    with sqlite3.connect(file) as db:
        rows = db.execute("SELECT seq, at, kind, body FROM remediate_entry ORDER BY seq").fetchall()
        previous = chain.START
        for seq, at, kind, stored in rows:
            data = json.loads(stored)
            body = canonical(data | {"operator": "mallory"} if "operator" in data else data)
            new = chain.link(previous, change, seq, at, kind, body)
            db.execute("UPDATE remediate_entry SET body=?, previous=?, hash=? WHERE seq=?", (body, previous, new, seq))
            previous = new
        db.execute("UPDATE remediate_head SET hash=?", (previous,))
    db.close()
