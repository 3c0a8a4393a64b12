"""What somebody who comes from Ansible types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.cli import common
from remediate.errors import UsageError
from remediate.lab.embedded.site import EmbeddedSite
from remediate.report.formats.document import Document
from remediate.testing import simulated_site
from tests.cli.prompt import User


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with simulated_site(tmp_path_factory.mktemp("habits") / "site") as made:
        yield made


def test_short_options(user: User) -> None:
    said = user.types("run", "book.yaml", "-i", "inventory", "-C", "-D", "-l", "pacs-nort", "-f", "3", "-vv")
    assert (said.status, said.network) == (2, [])
    assert said.err.startswith("error: --limit: no host or group is called pacs-nort")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["a=1"], {"a": "1"}),
        (["a=1 b=2", "c=x=y"], {"a": "1", "b": "2", "c": "x=y"}),
        (['ticket="CHG 1" revert_in=10m'], {"ticket": "CHG 1", "revert_in": "10m"}),
        (["a="], {"a": ""}),
        (["a=1", "a=2"], {"a": "2"}),
    ],
)
def test_several_variables_in_one(given: list[str], found: dict[str, str]) -> None:
    assert common.extra_vars(given) == found


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("a", "-e a is not key=value"),
        ("", "-e  is not key=value"),
        ("a=1 b", "-e b is not key=value"),
        ("=1", "-e =1 is not key=value"),
        ('a="1', '-e a="1: a quote is not closed'),
        ("@vars.yaml", "-e @vars.yaml: neither a file nor YAML is read here"),
        ('{"a": "1"}', '-e {"a": "1"}: neither a file nor YAML is read here'),
    ],
)
def test_what_is_no_variable(given: str, what: str) -> None:
    with pytest.raises(UsageError) as error:
        common.extra_vars([given])
    assert error.value.what == what


def test_check_of_a_plan_looks_as_its_playbook_says_and_changes_nothing(user: User, site: EmbeddedSite) -> None:
    where = ("-i", str(site.inventory))
    user.write(
        "look.yaml",
        "- name: Close\n  hosts: pacs\n  accept_unseen: archive\n  vars: {revert_in: 1m}\n  tasks:\n"
        "    - {name: Close, apply: acl}\n    - {name: Look, verify: {from: [internet]}}\n",
    )
    assert user.types("plan", "look.yaml", *where, "--out", "plan.json").status == 0
    plan = json.loads(Path("plan.json").read_text())
    assert plan["waves"][0]["vantages"] == ["internet"]
    said = user.types("run", "plan.json", *where, "-C", "-D", "--format", "json")
    assert said.status == 1, said.err
    made = Document.model_validate_json(said.out)
    assert [one.name for one in made.vantages] == ["internet"]
    assert "+ remark remediate guard acl_archive" in said.err
    assert not Path(user.record).exists()
