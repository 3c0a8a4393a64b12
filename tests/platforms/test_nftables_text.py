"""What our template prints, what nft shows of it, and what is read back from either."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.errors import Unprovable
from remediate.model.rule import Intent, Rule
from remediate.platforms.linux_nftables import parser
from remediate.render import Renderer
from remediate.rules import entries, prove
from tests.conftest import needs_lab
from tests.factories import intent
from tests.rules.test_proof import intents


def rendered(*meant: Intent, rules: tuple[Rule, ...] | None = None, gone: bool = False) -> str:
    sections = [
        {"name": one.section, "rules": None if gone else entries(one) if rules is None else rules} for one in meant
    ]
    return Renderer().render("linux_nftables", "acl", sections=sections)


@given(intents())
def test_the_rendered_text_is_read_back_exactly(meant: Intent) -> None:
    assert parser.guard(rendered(meant)) == {meant.section: entries(meant)}


def test_sections_stand_beside_each_other_and_go_one_by_one() -> None:
    one, two = intent(), intent(pacs="pacs-south")
    both = rendered(one) + rendered(two)
    assert parser.guard(both) == {one.section: entries(one), two.section: entries(two)}
    assert both == rendered(one, two)
    assert parser.guard(both + rendered(one, gone=True)) == {two.section: entries(two)}


@pytest.mark.parametrize(
    "text",
    [
        "table inet remediate {\n\tchain a {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n",
        "table inet remediate {\n\tchain a {\n\t\ttype filter hook forward priority -400; policy drop;\n\t}\n}\n",
        "table inet filter {\n\tchain a {\n\t}\n}\n",
        "flush ruleset\n",
        "delete table inet filter\n",
        "table inet remediate {\n\tset a {\n\t\ttype ipv4_addr\n\t}\n}\n",
        "table inet remediate {\n",
    ],
)
def test_what_is_not_ours_cannot_be_read(text: str) -> None:
    with pytest.raises(Unprovable):
        parser.guard(text)


@pytest.mark.parametrize(
    "rule",
    [
        'iifname "wan" udp dport 104 drop',
        'iifname "wan" tcp dport 104 reject',
        'iifname "wan" ip daddr != 10.10.0.5 drop',
        'iifname "wan" tcp dport 104 drop extra',
        "iifname wan tcp dport 104 drop",
        "ct state established accept",
        'iifname "wan" tcp dport 70000 drop',
        'iifname "wan" ip saddr 10.0.0.1/8 drop',
        'iifname "wan" tcp dport { 104, drop',
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(rule: str) -> None:
    text = rendered(intent(), rules=()).rstrip()[: -len("\t}\n}")] + f"\t\t{rule}\n\t}}\n}}\n"
    with pytest.raises(Unprovable):
        parser.guard(text)


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Unprovable):
        parser.guard(text)


def test_everything_that_is_not_ours_stays_as_it_is() -> None:
    theirs = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority 0; policy accept;\n\t}\n}\n"
    assert parser.foreign(theirs + rendered(intent(), rules=()).split("flush")[0]) == theirs


def test_what_the_traffic_writes_is_no_configuration() -> None:
    live = (
        "table inet f2b {\n\tset banned {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n"
        "\t\telements = { 192.0.2.7 expires 59s,\n\t\t\t     192.0.2.8 expires 3s }\n\t}\n\n"
        "\tset fixed {\n\t\ttype ipv4_addr\n\t\telements = { 192.0.2.9 }\n\t}\n}\n"
    )
    kept = parser.foreign(live)
    assert "192.0.2.7" not in kept
    assert "192.0.2.8" not in kept
    assert "192.0.2.9" in kept
    assert "flags dynamic,timeout" in kept


@pytest.fixture
def namespace() -> Iterator[str]:
    needs_lab()
    name = f"rmd-t-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.real
def test_nft_itself_takes_it_shows_it_as_we_read_it_and_takes_it_away(namespace: str) -> None:
    nft = shutil.which("nft") or "nft"

    def run(*args: str, stdin: str = "") -> str:
        command = ["ip", "netns", "exec", namespace, nft, *args]
        return subprocess.run(command, input=stdin, check=True, capture_output=True, text=True).stdout

    one, two = intent(interfaces=("wan", "ppp0")), intent(pacs="pacs-south")
    inverse = rendered(two, gone=True)
    last = rendered(one, gone=True)
    for script in (rendered(one), rendered(two), inverse, last):
        run("-c", "-f", "-", stdin=script)
    for _ in range(2):
        run("-f", "-", stdin=rendered(one) + rendered(two))
        listed = run("-nn", "-s", "list", "ruleset")
        assert parser.of_running(listed) == {one.section: entries(one), two.section: entries(two)}
        assert parser.of_running(run("-nn", "list", "ruleset")) == parser.of_running(listed), "with counters"
        assert parser.foreign(listed) == ""
    run("-f", "-", stdin=inverse)
    assert set(parser.of_running(run("-nn", "-s", "list", "ruleset"))) == {one.section}
    run("-f", "-", stdin=last)
    left = run("list", "ruleset")
    assert parser.of_running(left) == {} and parser.foreign(left) == "", "whoever loads it takes an empty table away"


def observing() -> Intent:
    return intent(observe=True)


def test_who_is_observed_is_noted_and_nothing_is_denied() -> None:
    text = rendered(observing())
    assert "drop" not in text
    assert text.count("update @seen4_acl_pacs-north") == text.count("update @seen6_acl_pacs-north") == 1
    assert parser.guard(text) == {"acl_pacs-north": entries(observing())}
    assert prove(observing(), entries(observing())) == ()
    assert prove(intent(), entries(observing())) != ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("update @seen4_acl_pacs-north", "update @seen4_other"),
        ("ip saddr . ip daddr", "ip daddr . ip saddr"),
        ("counter } accept", "counter } drop"),
        ("timeout 2678400s counter", "timeout 1s counter"),
        ("size 65535; flags", "size 1; flags"),
    ],
)
def test_an_entry_that_observes_otherwise_cannot_be_read(old: str, new: str) -> None:
    text = rendered(observing())
    assert old in text
    with pytest.raises(Unprovable):
        parser.guard(text.replace(old, new))
