"""Whose forwards a Linux firewall has, as nft and iptables-save show them, and their being switched off."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.rule import Unpublished
from remediate.model.site import Access, Addresses, Pacs, Published
from remediate.platforms.linux_nftables import parser
from remediate.platforms.linux_nftables.forwards import Flow, forwards
from remediate.rules import prove_unpublished
from remediate.testing import render_and_prove
from tests.conftest import needs_lab
from tests.factories import CT, FIREWALL, pacs

ARCHIVE = pacs(access=Access(peers=(CT,)))
PUBLISHED, OWN, OTHER = "203.0.113.20", "10.10.0.5", "10.10.0.9"
FLOW = Flow(("wan",), ip_address(PUBLISHED), 11112)
OFF = "stays where it is, and is switched off for what comes in to"
WHERE = "table ip nat, chain prerouting"
TO_PACS = f"ip daddr {PUBLISHED} tcp dport 11112 dnat to {OWN}:104"


def listing(*rules: str, priority: int = -100, chains: str = "", family: str = "ip") -> str:
    """As ``nft -nn -s list ruleset`` shows it."""
    lines = "".join(f"\t\t{rule}\n" for rule in rules)
    hook = f"\t\ttype nat hook prerouting priority {priority}; policy accept;\n"
    return f"table {family} nat {{\n\tchain prerouting {{\n{hook}{lines}\t}}\n{chains}}}\n"


def chain(name: str, *rules: str) -> str:
    return f"\n\tchain {name} {{\n" + "".join(f"\t\t{rule}\n" for rule in rules) + "\t}\n"


def saved(*lines: str, program: str = "iptables") -> str:
    """As ``iptables-save`` shows it, beside what nft shows of the same table."""
    body = "\n".join((":PREROUTING ACCEPT", ":POSTROUTING ACCEPT", *lines))
    return f"# {program}-save\n*filter\n:FORWARD ACCEPT\nCOMMIT\n*nat\n{body}\nCOMMIT\n"


def targets(text: str, flow: Flow = FLOW) -> list[str | None]:
    return [None if one.to is None else str(one.to) for one in forwards(text, flow)]


@pytest.mark.parametrize(
    ("rule", "to"),
    [
        (TO_PACS, [OWN]),
        (f"tcp dport 11112 counter packets 5 bytes 300 dnat ip to {OWN}", [OWN]),
        (f'iifname "wan" ip daddr {PUBLISHED} dnat to {OWN} random,persistent comment "1:1"', [OWN]),
        (f'iifname "wan" ip daddr {PUBLISHED} dnat to {OWN} comment "1:1"', [OWN]),
        (f'iifname {{ "lan", "w*" }} tcp dport {{ 80, 11000-12000 }} dnat to {OWN}:104', [OWN]),
        (f"meta l4proto 6 ip daddr 203.0.113.16/28 th dport 11112 dnat to {OWN}:104 persistent", [OWN]),
        (f"ip daddr 203.0.113.19-203.0.113.21 ip saddr 192.0.2.0/24 dnat to {OWN}", [OWN]),
        (f"ip saddr @friends tcp dport 11112 dnat to {OWN}", [OWN]),
        (f'iifname != "lan" tcp dport != 22 dnat to {OWN}', [OWN]),
        ("tcp dport 11112 redirect to :104", [None]),
        (f"dnat to ip daddr . tcp dport map {{ {PUBLISHED} . 11112 : {OWN} . 104 }}", [None]),
        (f"tcp dport map {{ 11112 : {OWN} }} dnat to {OWN}", [OWN]),
        (f"ip daddr . tcp dport {{ 203.0.113.99 . 22 }} dnat to {OTHER}", [OTHER]),
        (f"ct reply ip daddr 203.0.113.99 dnat to {OTHER}", [OTHER]),
        (f"dnat to {OWN}-10.10.0.7", [None]),
        ("tcp dport 11112 counter XT target DNAT not found", [None]),
        # conditions that certainly do not hold
        (f"ip daddr 203.0.113.21 dnat to {OTHER}", []),
        (f"ip daddr {PUBLISHED} tcp dport 104 dnat to {OTHER}", []),
        (f"tcp dport {{ 80, 443 }} dnat to {OTHER}", []),
        (f"udp dport 11112 dnat to {OTHER}", []),
        (f"meta l4proto 17 dnat to {OTHER}", []),
        (f'iifname "lan" dnat to {OTHER}', []),
        (f'iifname != "wan" dnat to {OTHER}', []),
        (f"ip daddr != {PUBLISHED} dnat to {OTHER}", []),
        ("tcp dport 11112 accept", []),
    ],
)
def test_a_rule_of_nft(rule: str, to: list[str | None]) -> None:
    assert targets(listing(rule)) == to
    assert targets(listing(rule, family="inet")) == to
    assert targets(listing(rule, family="ip6")) == []


@pytest.mark.parametrize(
    ("rule", "to"),
    [
        (f"-d {PUBLISHED}/32 -p tcp -m tcp --dport 11112 -j DNAT --to-destination {OWN}:104", [OWN]),
        (f"-i wan -p tcp -m multiport --dports 80,11000:12000 -j DNAT --to-destination {OWN}:104 --random", [OWN]),
        (f'! -i lan -m comment --comment "-d {OTHER} -j DROP" -j DNAT --to-destination {OWN}', [OWN]),
        (f"-m addrtype --dst-type LOCAL -p tcp -m tcp --dport 11112 -j DNAT --to-destination {OTHER}", [OTHER]),
        (f"-d {PUBLISHED}/32 -j DNAT --to-destination {OWN}-10.10.0.7", [None]),
        (f"-d {PUBLISHED}/32 -j NETMAP --to 10.10.0.0/24", [None]),
        ("-p tcp -m tcp --dport 11112 -j REDIRECT --to-ports 104", [None]),
        (f"-d 203.0.113.21/32 -j DNAT --to-destination {OTHER}", []),
        (f"-p tcp -m tcp --dport 104 -j DNAT --to-destination {OTHER}", []),
        (f"-p tcp -m tcp ! --dport 11112 -j DNAT --to-destination {OTHER}", []),
        (f"-p udp -m udp --dport 11112 -j DNAT --to-destination {OTHER}", []),
        (f"-i lan+ -j DNAT --to-destination {OTHER}", []),
        ("-j MASQUERADE", []),
    ],
)
def test_a_rule_of_iptables(rule: str, to: list[str | None]) -> None:
    assert targets(saved(f"-A PREROUTING {rule}")) == to
    assert targets(saved(f"-A OUTPUT {rule}")) == []
    assert targets(saved(f"-A PREROUTING {rule}", program="ip6tables")) == []


def test_what_iptables_shows_is_not_read_twice() -> None:
    """nft cannot show every rule of iptables-nft, and iptables-save shows no chain that is not its own."""
    table = listing("tcp dport 11112 counter XT target DNAT not found").replace("prerouting {", "PREROUTING {")
    own = f"-A PREROUTING -p tcp -m tcp --dport 11112 -j DNAT --to-destination {OWN}:104"
    assert targets(table + saved(own)) == [OWN]
    assert targets(table) == [None]
    assert targets(listing(TO_PACS) + saved()) == [OWN]
    assert targets(listing(TO_PACS) + saved(own)) == [OWN, OWN]


def test_chains_are_followed_where_the_way_to_them_may_be_taken() -> None:
    ours, theirs = chain("ours", TO_PACS), chain("theirs", f"tcp dport 11112 dnat to {OTHER}")
    assert targets(listing('iifname "wan" jump ours', 'iifname "lan" goto theirs', chains=ours + theirs)) == [OWN]
    vmap = "iifname vmap { wan : jump ours, lan : goto theirs }"
    assert targets(listing(vmap, chains=ours + theirs)) == [OWN, OTHER], "who is meant by a map is not guessed"
    assert targets(listing(chains=ours)) == [], "nothing leads there"
    lines = (":A -", "-A PREROUTING -i wan -j A", f"-A A -p tcp --dport 11112 -j DNAT --to-destination {OWN}")
    assert targets(saved(*lines)) == [OWN]
    assert targets(saved(*lines).replace("-i wan", "-i lan")) == []


_WORDS = """
iifname ip ip6 daddr saddr tcp dport meta l4proto ct state counter packets comment dnat to redirect jump goto map vmap
xt != < & . : { } , @set "wan" "a b" 10.10.0.5 10.10.0.5:104 203.0.113.20 203.0.113.0/24 11112 80-90 [fd00::5]:104
2001:db8::/32 -d -i -p -j -g ! --dport --dports --to-destination DNAT prerouting ' " /8
"""
_SOUP = st.lists(st.sampled_from(_WORDS.split()), max_size=14).map(" ".join)


@given(st.lists(_SOUP, max_size=4), st.sampled_from([(), ("tcp dport 1 counter",)]))
def test_whatever_stands_there_it_is_read_or_said_to_be_unreadable(lines: list[str], never: tuple[str, ...]) -> None:
    """And what certainly does not concern the flow is left out, whatever follows."""
    rules = [" ".join((*never, line)) for line in lines]
    options = [f"-A PREROUTING {'--dport 1 ' if never else ''}{line}" for line in lines]
    found = list(forwards(listing(*rules), FLOW))
    assert not (never and found)
    for one in (*found, *forwards(saved(*options), FLOW)):
        assert one.to is None or one.to.version == 4


def test_of_ipv6() -> None:
    flow = Flow(("wan",), ip_address("2001:db8:1::20"), 104)
    rule = "ip6 daddr 2001:db8:1::20 tcp dport 104 dnat to [fd00::5]:104"
    assert targets(listing(rule, family="ip6"), flow) == ["fd00::5"]
    assert targets(listing(TO_PACS, f"dnat ip to {OWN}", rule, family="inet"), flow)[-1] == "fd00::5"
    line = "-A PREROUTING -d 2001:db8:1::20/128 -p tcp -m tcp --dport 104 -j DNAT --to-destination [fd00::5]:104"
    assert targets(saved(line, program="ip6tables"), flow) == ["fd00::5"]


# -- plans ----------------------------------------------------------------------------------------------


def plan(*rules: str, archive: Pacs = ARCHIVE, priority: int = -100) -> list[str]:
    """What whoever approves is told of the forwards."""
    running = listing(*rules, priority=priority)
    made = render_and_prove(archive, FIREWALL, running=running, control="unpublish")
    assert "delete table" not in made.inverse, "other sections may stand there by then"
    return guarding.remarks(FIREWALL, made, running)


def test_the_plan_names_the_rule_that_is_switched_off() -> None:
    told = plan(TO_PACS, f"ip daddr {PUBLISHED} tcp dport 104 dnat to {OTHER}:104")
    assert told == [
        "fw-north: of 203.0.113.20 it publishes no port 8042",
        f"fw-north: {OFF} {PUBLISHED} port 11112: {WHERE}: {TO_PACS}",
    ]


@pytest.mark.parametrize(
    ("rule", "priority", "said"),
    [
        (
            f"ip daddr {PUBLISHED} dnat to {OTHER}",
            -100,
            "203.0.113.20 port 8042 is 10.10.0.9's, not pacs-north's: table",
        ),
        (
            f"ip daddr {PUBLISHED} tcp dport 8042 redirect to :80",
            -100,
            "nobody can tell where this rule leads what comes",
        ),
        (TO_PACS, -199, "no chain of ours can come before this rule, so it would go on publishing: table ip nat"),
    ],
)
def test_what_would_take_somebody_else_along_is_refused(rule: str, priority: int, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan(*dict.fromkeys((TO_PACS, rule)), priority=priority)


@pytest.mark.parametrize("rules", [(), (f"ip daddr 203.0.113.21 dnat to {OWN}",), (f'iifname "lan" {TO_PACS}',)])
def test_what_is_not_published_there_is_refused(rules: tuple[str, ...]) -> None:
    with pytest.raises(PlanError, match="nothing here is published by this device: no rule of it translates") as said:
        plan(*rules)
    assert said.value.next.startswith("use acl")


def test_where_two_devices_publish_it_each_has_its_own_part() -> None:
    outside = (
        Published(address=ip_address(PUBLISHED), ports={104: 11112}),
        Published(address=ip_address("203.0.113.21")),
    )
    addresses = Addresses(inside=ARCHIVE.addresses.inside, outside=outside)
    both = ARCHIVE.model_copy(update={"addresses": addresses, "protected_by": ("fw-north", "fw-east")})
    assert "fw-north: it does not publish 203.0.113.21 (any more); fw-east may" in plan(TO_PACS, archive=both)
    with pytest.raises(PlanError, match=r"no rule of it translates 203\.0\.113\.21,"):
        plan(TO_PACS, archive=both.model_copy(update={"protected_by": ("fw-north",)}))


def test_a_forward_that_was_removed_for_good_meanwhile_is_no_mistake() -> None:
    made = render_and_prove(ARCHIVE, FIREWALL, running=listing(TO_PACS), control="unpublish")
    (section,) = guarding.sections(FIREWALL, [made.sections[0].intent], listing() + table_of(made.text))
    assert section.rules == section.previous


# -- our own table ----------------------------------------------------------------------------------------


def table_of(script: str) -> str:
    """What nft shows of the table that a script makes."""
    chains: dict[str, str] = {}
    for name, body in [(line.split()[1], "") for line in script.splitlines() if line.startswith("\tchain ")]:
        chains.setdefault(name, body)
    current = ""
    for line in script.splitlines():
        if line.startswith("\tchain "):
            current = line.split()[1]
        elif line.startswith("\t\t"):
            chains[current] += f"{line}\n"
    return "table inet remediate {\n" + "\n".join(f"\tchain {n} {{\n{b}\t}}\n" for n, b in chains.items()) + "}\n"


def text() -> str:
    return render_and_prove(ARCHIVE, FIREWALL, running=listing(TO_PACS), control="unpublish").text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("priority -199", "priority -100"),
        ("dport 11112 counter dnat ip to 203.0.113.20", "dport 11112 counter dnat ip to 10.10.0.5"),
        ("counter drop", "counter accept"),
        ("proto-dst 11112", "proto-dst 11113"),
        ("ct original ip daddr", "ct reply ip daddr"),
        ("meta l4proto 6", "meta l4proto 17"),
        ('oifname "wan"', 'oifname "lan"'),
        ("ip daddr 203.0.113.20 tcp", "ip6 daddr 203.0.113.20 tcp"),
        ("\t\toifname", "\t\taccept\n\t\toifname"),
        ("chain nat_unpublish_pacs-north", "chain nat_unpublish_pacs-south"),
    ],
)
def test_what_is_not_just_that_cannot_be_read(old: str, new: str) -> None:
    listed = table_of(text())
    assert parser.of_running(listed)["unpublish_pacs-north"]
    assert old in listed
    with pytest.raises(Unprovable):
        parser.of_running(listed.replace(old, new, 1))


def test_the_proof_says_what_is_missing_and_what_is_too_much() -> None:
    made = render_and_prove(ARCHIVE, FIREWALL, running=listing(TO_PACS), control="unpublish")
    section = made.sections[0]
    meant = [one for one in section.rules or () if isinstance(one, Unpublished)]
    less = list(prove_unpublished(section.intent, meant[1:]))  # type: ignore[arg-type]  # what the control makes
    assert less == ["TCP to 203.0.113.20 port 8042 by wan: meant to be unpublished, would be untouched"]
    more = meant[0].model_copy(update={"interfaces": ("lan", "wan")})
    assert list(prove_unpublished(section.intent, [*meant, more])) == [  # type: ignore[arg-type]
        "TCP to 203.0.113.20 port 8042 by lan: meant to be untouched, would be unpublished"
    ]


@contextlib.contextmanager
def namespace() -> Iterator[list[str]]:
    name = f"rmd-t{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.real
@pytest.mark.skipif(shutil.which("nft") is None, reason="no nft here")
def test_nft_shows_it_as_it_was_meant_and_loads_what_it_shows() -> None:
    needs_lab()
    addresses = ARCHIVE.addresses.model_copy(
        update={"outside": (*ARCHIVE.addresses.outside, Published(address=ip_address("2001:db8:1::20")))}
    )
    six = ARCHIVE.model_copy(update={"addresses": addresses})
    wide = FIREWALL.model_copy(update={"guard": FIREWALL.guard.model_copy(update={"interface": ("wan", "wan2")})})
    running = listing(TO_PACS) + listing("ip6 daddr 2001:db8:1::20 dnat to fd00::5", family="ip6")
    own = (*six.addresses.inside, Published(address=ip_address("fd00::5")))
    six = six.model_copy(update={"addresses": addresses.model_copy(update={"inside": own})})
    made = render_and_prove(six, wide, running=running, control="unpublish")

    def nft(where: list[str], *args: str, stdin: str = "") -> str:
        done = subprocess.run([*where, "nft", *args], input=stdin, capture_output=True, text=True, check=True)
        return done.stdout

    with namespace() as where:
        nft(where, "-f", "-", stdin=made.text)
        shown = nft(where, "-nn", "-s", "list", "ruleset")
        assert parser.of_running(shown) == {"unpublish_pacs-north": made.sections[0].rules}
        nft(where, "-f", "-", stdin=made.text)
        assert nft(where, "-nn", "-s", "list", "ruleset") == shown, "loaded twice"
        nft(where, "-f", "-", stdin="flush ruleset\n" + shown)
        assert nft(where, "-nn", "-s", "list", "ruleset") == shown
        nft(where, "-f", "-", stdin=made.inverse)
        assert nft(where, "list", "ruleset") == "table inet remediate {\n}\n", "the device's script takes it away"
