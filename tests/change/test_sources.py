"""A plan that is no longer what a new one would be is not run, and says what has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning, sources
from remediate.errors import DriftError
from remediate.model.change import Plan, State
from remediate.platforms.session import Session
from remediate.record import Record
from remediate.render import STARTER, Renderer
from remediate.testing import simulated_site
from tests.quiet import Quiet

PASSWORD = "correct-horse"
TEMPLATE = "templates/cisco_ios/acl.j2"


class Desk:
    """A site, a playbook and a folder of templates of one's own, and a plan made of them."""

    def __init__(self, folder: Path, site: Path, inventory: Path, book: Path) -> None:
        self.folder = folder
        self.inventory, self.book, self.template = inventory, book, site / TEMPLATE
        self.template.parent.mkdir(parents=True)
        self.template.write_text((STARTER / "cisco_ios" / "acl.j2").read_text())
        self.change(book, "  tasks:", f"    token: {PASSWORD}\n  tasks:")
        self.file = folder / "plan.json"
        self.file.write_text(json.dumps(self.plan().model_dump(mode="json")))

    def loaded(self) -> inventory.Loaded:
        return inventory.load(self.inventory, platforms=set(platforms.PLATFORMS))

    def plan(self) -> Plan:
        loaded = self.loaded()
        book = playbook.load(self.book, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        return planning.make(loaded, book, Renderer(self.template.parents[1]))

    def change(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def read(self) -> Plan:
        return planning.read(self.file, self.loaded())

    def refused(self) -> str:
        with pytest.raises(DriftError) as error:
            self.read()
        assert PASSWORD not in str(error.value)
        return error.value.what


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Desk]]:
    folder = tmp_path_factory.mktemp("site")
    with simulated_site(folder / "site") as site:

        def make(tmp_path: Path) -> Desk:
            own = tmp_path / "inventory"
            own.mkdir()
            for file in site.inventory.glob("*"):
                (own / file.name).write_bytes(file.read_bytes())
            book = tmp_path / "book.yaml"
            book.write_text(
                "- name: Close\n  hosts: pacs\n  vars:\n    revert_in: 1m\n  tasks:\n    - {name: Close, apply: acl}\n"
            )
            return Desk(tmp_path, tmp_path, own, book)

        yield make


@pytest.fixture
def desk(made: Callable[[Path], Desk], tmp_path: Path) -> Desk:
    return made(tmp_path)


def test_as_it_was_it_is_run(desk: Desk) -> None:
    plan = desk.read()
    assert set(plan.inputs) == {"inventory", "playbook", "template cisco_ios/acl.j2"}
    assert set(plan.texts) == {*plan.inputs, "device edge-router"}
    texts = {name: sources.unpacked(text) for name, text in plan.texts.items()}
    assert texts["template cisco_ios/acl.j2"] == desk.template.read_text()
    assert "hostname" in texts["device edge-router"]
    assert not [name for name, text in texts.items() if PASSWORD in text or "known_hosts" in text or 'admin"' in text]


def test_the_inventory(desk: Desk) -> None:
    desk.change(desk.inventory / "hosts.yaml", "ct-1", "ct-9")
    desk.change(desk.inventory / "hosts.yaml", "peer: ct-1", "peer: ct-9")
    said = desk.refused()
    assert said.startswith("the inventory has changed since the plan was made\n--- inventory, as planned")
    assert '-pacs.archive.access.peers[0].name: "ct-1"' in said.splitlines()
    assert '+pacs.archive.access.peers[0].name: "ct-9"' in said.splitlines()


def test_what_a_plan_does_not_show_has_changed_too(desk: Desk) -> None:
    """Logins are never part of a plan; that they differ is."""
    hosts = desk.inventory / "hosts.yaml"
    hosts.write_text(f"# {PASSWORD}\n{hosts.read_text()}")
    assert desk.refused().splitlines() == [
        "the inventory has changed since the plan was made",
        "  inventory: what is shown of it is the same: comments, layout, logins or data of your own differ",
    ]


def test_playbook_and_template_at_once(desk: Desk) -> None:
    desk.change(desk.book, "revert_in: 1m", "revert_in: 2m")
    desk.change(desk.book, PASSWORD, f"another-{PASSWORD}")
    desk.template.write_text(desk.template.read_text() + "\n! one more line\n")
    said = desk.refused().splitlines()
    assert said[0] == "the playbook and the template cisco_ios/acl.j2 have changed since the plan was made"
    assert [line for line in said if line.startswith(("+[", "-["))] == [
        '-[0].vars.revert_in: "1m"',
        '+[0].vars.revert_in: "2m"',
    ]
    assert "+! one more line" in said


def test_what_a_template_includes(desk: Desk) -> None:
    (desk.template.parent / "lines.j2").write_text("{# nothing yet #}")
    desk.template.write_text('{% include "cisco_ios/lines.j2" %}' + desk.template.read_text())
    desk.file.write_text(json.dumps(desk.plan().model_dump(mode="json")))
    desk.read()
    (desk.template.parent / "lines.j2").write_text("no ip access-list extended VPN\n")
    assert desk.refused().startswith("the template cisco_ios/lines.j2 has changed since the plan was made\n---")


def test_what_is_not_there_any_more(desk: Desk) -> None:
    desk.book.unlink()
    desk.template.unlink()
    said = desk.refused()
    assert said.startswith("the playbook has changed"), "the template that comes along is the same as that one"
    (desk.template.parent / "acl.j2").mkdir()
    assert "the playbook and the template" not in desk.refused()


def test_a_text_that_was_tampered_with_is_only_not_shown(desk: Desk) -> None:
    made = json.loads(desk.file.read_text())
    made["texts"]["playbook"] = "no such thing"
    desk.file.write_text(json.dumps(made))
    desk.change(desk.book, "revert_in: 1m", "revert_in: 2m")
    assert '+[0].vars.revert_in: "2m"' in desk.refused()


def test_the_device(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colleague's edit between plan and run stops it before anything is asked of the device but to be read."""
    monkeypatch.setattr(looking, "DEADLINE", 1.0)
    plan, loaded = desk.read(), desk.loaded()
    router = loaded.site.devices["edge-router"]
    with Session(router, loaded.site.logins[router.name], "cisco_ios") as session:
        for line in (
            "configure terminal",
            "ip access-list extended THEIRS",
            "permit tcp any any eq 22",
            "end",
            "write memory",
        ):
            session.say(line)
    with Record.open(tmp_path / "r.db") as record, change.desk(loaded, record, Quiet()) as at:
        done = change.run(plan, at)
    assert (done.exit_status, done.waves[0].state) == (3, State.STOPPED)
    assert "edge-router: the configuration is not the one that the plan was made for:\n--- planned for" in done.reason
    assert "THEIRS" in done.reason
    assert "eq 22" in done.reason
