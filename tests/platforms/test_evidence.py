"""What devices tell of who came to an archive: read by its form, whatever else stands there."""

# ruff: noqa: E501 - lines as a router writes them

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.platforms.cisco_ios import evidence as ios
from remediate.platforms.linux_nftables import evidence as linux
from remediate.platforms.session import Completed
from tests.conftest import needs_lab

OWN, OTHER, PUBLISHED = (ip_address(text) for text in ("10.10.0.5", "10.10.0.6", "203.0.113.20"))
SIX = ip_address("2001:db8::5")
ARCHIVE = (OWN, PUBLISHED, SIX)
NAME = "MADEUP^PATIENT"
PACKET = "LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=0 DF PROTO=TCP SPT=51234 DPT=104 WINDOW=64240 RES=0x00 SYN URGP=0"


# -- nftables -----------------------------------------------------------------------------------------


def rule(*statements: Any, table: str = "filter", chain: str = "forward", packets: int = 7) -> str:
    counter = {"counter": {"packets": packets, "bytes": packets * 60}}
    fixed = {"family": "ip" if table == "filter" else "inet", "table": table, "chain": chain, "handle": 4}
    return json.dumps({"nftables": [{"metainfo": {}}, {"rule": {**fixed, "expr": [*statements, counter]}}]})


def to(right: Any, field: str = "daddr") -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": field}}, "right": right}}


@pytest.mark.parametrize(
    ("right", "named"),
    [
        ("10.10.0.5", True),
        ("10.10.0.6", False),
        ({"prefix": {"addr": "10.10.0.0", "len": 24}}, True),
        ({"prefix": {"addr": "::", "len": 0}}, False),  # everybody's: not about this archive
        ({"set": ["10.10.0.9", "10.10.0.5"]}, True),
        ({"set": [{"prefix": {"addr": "10.10.0.0", "len": 30}}]}, False),
        ("@archives", False),
        (NAME, False),
    ],
)
def test_a_counter_is_kept_where_its_rule_names_the_archive(right: Any, named: bool) -> None:
    assert bool(list(linux.counted(rule(to(right), {"drop": None}), ARCHIVE))) is named


def test_what_a_counter_says() -> None:
    ports = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 104}}
    comment = {"xt": {"type": "match", "name": NAME}}
    (one,) = linux.counted(rule(to("10.10.0.5"), ports, comment, {"drop": None}), ARCHIVE)
    assert (one.words, one.octets, one.ours) == (
        "ip filter forward: drop any to 10.10.0.5/32, port 104: 7 packets",
        420,
        False,
    )
    (ours,) = linux.counted(rule(to("10.10.0.5"), {"drop": None}, table="remediate", chain="acl_pacs"), ARCHIVE)
    assert ours.ours
    (translated,) = linux.counted(rule({"dnat": {"addr": "10.10.0.5", "port": 104}}), ARCHIVE)
    assert translated.action == "dnat"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nftables": [{"rule": {}}]}', '{"nftables": 1}', "[" * 100_000])
def test_what_is_no_listing_is_said(text: str) -> None:
    traces = linux.collect(lambda script, *_: Completed(0, text if script == linux.COUNTERS else "", ""), ARCHIVE)
    assert traces.counters == ()
    assert traces.lacks == () or traces.lacks[0].startswith("hit counters: ")


def test_a_firewall_that_shows_nothing_stops_nothing() -> None:
    traces = linux.collect(lambda *_: Completed(1, NAME, NAME), ARCHIVE)
    assert traces.lacks == ("hit counters: nft does not list its rules",)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (
            f"1764532800.123456 fw kernel: IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 {PACKET}",
            "2025-11-30T20:00:00Z",
        ),
        (
            f"2026-11-30T20:00:00,123456+00:00 x IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 {PACKET}",
            "2026-11-30T20:00:00",
        ),
        (f"[12345.678901] {NAME} IN=wan OUT= SRC=203.0.113.66 DST=10.10.0.5 {PACKET}", ""),
    ],
)
def test_a_packet_that_the_kernel_logged(line: str, at: str) -> None:
    (entry,) = linux.logged(f"{line}\n", ARCHIVE)
    assert (entry.at, entry.action, entry.protocol) == (at, "logged", "tcp")
    assert (str(entry.source), entry.source_port, str(entry.destination), entry.port) == (
        "203.0.113.66",
        51234,
        "10.10.0.5",
        104,
    )


def test_ipv6_is_logged_in_full_length() -> None:
    packet = f"IN=wan OUT=lan SRC=2001:0db8:0000:0000:0000:0000:0000:0066 DST={SIX.exploded} {PACKET}"
    (entry,) = linux.logged(packet, ARCHIVE)
    assert (entry.source, entry.destination) == (ip_address("2001:db8::66"), SIX)


@pytest.mark.parametrize(
    "line",
    [
        f"IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.6 {PACKET}",  # the neighbour's
        f"IN=wan OUT=lan SRC={NAME} DST=10.10.0.5 {PACKET}",
        f"SRC=203.0.113.66 DST=10.10.0.5 {PACKET}",
        "IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 PROTO=TCP SPT=99999 DPT=104 ",
        f"{NAME} opened the study",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert list(linux.logged(line, ARCHIVE)) == []


def test_of_an_icmp_message_the_packet_itself_counts_not_the_one_that_it_shows() -> None:
    inner = f"[SRC=198.51.100.1 DST=198.51.100.2 {PACKET} ]"
    line = f"IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 LEN=88 PROTO=ICMP TYPE=3 CODE=13 {inner}"
    (entry,) = linux.logged(line, ARCHIVE)
    assert (str(entry.source), entry.protocol) == ("203.0.113.66", "icmp")


@given(st.text())
def test_nothing_that_somebody_wrote_is_kept(text: str) -> None:
    line = f"{text} IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 {PACKET} {text}".replace("\n", " ")
    for entry in linux.logged(line, ARCHIVE):
        assert entry.at == "" or entry.at[:2].isdigit()
        assert (str(entry.source), entry.place, entry.protocol) == ("203.0.113.66", "", "tcp")


def test_of_very_many_the_newest_are_kept_and_the_rest_is_counted() -> None:
    lines = "\n".join(
        f"{1764532800 + n}.0 fw kernel: IN=wan OUT=lan SRC=203.0.113.66 DST=10.10.0.5 {PACKET}"
        for n in range(linux.MOST + 1)
    )
    traces = linux.collect(lambda script, *_: Completed(0, "{}" if script == linux.COUNTERS else lines, ""), ARCHIVE)
    assert len(traces.log) == linux.MOST
    assert traces.log[-1].at.endswith("20:03:20Z")
    assert traces.left_off == {"log": 1}


@pytest.mark.real
def test_counters_of_real_rules_ours_and_others() -> None:
    """In a namespace of its own: two packets to an archive's port meet a rule of somebody's, and one of ours."""
    needs_lab()
    ruleset = """
    table ip somebody {
        chain in { type filter hook input priority -10; ip daddr 127.0.0.5 tcp dport 104 counter comment "MADEUP"; }
        chain other { type filter hook input priority -5; ip daddr 127.0.0.6 tcp dport 104 counter; }
    }
    table inet remediate {
        chain acl_pacs {
            type filter hook input priority 0;
            ip daddr { 127.0.0.5, 127.0.0.7 } tcp dport 104 counter drop;
        }
    }
    """
    knock = (
        "import socket\nfor _ in range(2):\n"
        " s = socket.socket(); s.setblocking(False)\n s.connect_ex(('127.0.0.5', 104)); s.close()\n"
    )
    script = f'ip link set lo up && nft -f - && "{sys.executable}" -c "$1" && {linux.COUNTERS}'
    shown = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", knock], input=ruleset, capture_output=True, text=True, check=True
    ).stdout
    traces = linux.collect(
        lambda script, *_: Completed(0, shown if script == linux.COUNTERS else "", ""), [ip_address("127.0.0.5")]
    )
    assert traces.lacks == ()
    assert [(one.place, one.ours, one.action) for one in traces.counters] == [
        ("inet remediate acl_pacs", True, "drop"),
        ("ip somebody in", False, "count"),
    ]
    assert all(one.packets >= 2 and one.octets for one in traces.counters)
    assert "MADEUP" not in traces.model_dump_json()


@pytest.mark.real
def test_the_log_of_a_machine_is_looked_through_without_harm() -> None:
    needs_lab()
    done = subprocess.run(
        ["sh", "-s", "SRC=10.10.0.5", "DST=10.10.0.5"], input=linux.LOGGED, capture_output=True, text=True, check=True
    )
    assert list(linux.logged(done.stdout, [OWN])) == []


# -- IOS ----------------------------------------------------------------------------------------------

LISTS = """
Extended IP access list OUTSIDE-IN
    10 permit tcp any host 203.0.113.20 eq 11112 (25 matches)
    20 deny tcp any host 203.0.113.21 eq 11112 (3 matches)
    30 permit tcp host 203.0.113.66 host 203.0.113.20 range 100 200 log (1 match)
    40 deny ip any any (999 matches)
Standard IP access list 10
    10 permit 10.0.0.0, wildcard bits 0.255.255.255 (12 matches)
Extended IP access list LAN
    10 permit tcp any 10.10.0.0 0.0.0.255 eq www
"""
LOG = f"""
*Mar 11 08:35:16.844: %SEC-6-IPACCESSLOGP: list OUTSIDE-IN denied tcp 203.0.113.66(63923) -> 203.0.113.20(104), 1 packet
7: Feb  8 2026 04:00:47.272 CET: %SEC-6-IPACCESSLOGP: list 110 permitted tcp 203.0.113.66(1) -> 203.0.113.20(104), 5 packets
%SEC-6-IPACCESSLOGP: list A denied tcp 203.0.113.66(0) (Gi0/0 0011.2233.4455) -> 203.0.113.20(0), 2 packets
*Mar 11 08:35:17.000: %SEC-6-IPACCESSLOGP: list OUTSIDE-IN denied tcp 203.0.113.66(1) -> 203.0.113.99(104), 1 packet
*Mar 11 08:35:18.000: %SEC_LOGIN-5-LOGIN_SUCCESS: Login Success [user: {NAME}] [Source: 203.0.113.20]
*Mar 11 08:35:19.000: %SEC-6-IPACCESSLOGP: list A denied tcp 203.0.113.66(1) -> 203.0.113.20(104), 1 packet {NAME}
"""
NAT = """Pro Inside global      Inside local       Outside local      Outside global
tcp 203.0.113.20:11112 10.10.0.5:104      203.0.113.66:51234 203.0.113.66:51234
tcp 203.0.113.20:11112 10.10.0.5:104      ---                ---
tcp 203.0.113.20:22    10.10.0.6:22       203.0.113.66:51235 203.0.113.66:51235
udp 203.0.113.20:53    10.10.0.5:53       203.0.113.66:51236 203.0.113.66:51236
"""


def test_matches_of_the_entries_that_name_the_archive() -> None:
    found = {(one.place, one.number): one for one in ios.counted(LISTS, ARCHIVE)}
    assert {where: one.packets for where, one in found.items()} == {
        ("OUTSIDE-IN", 10): 25,
        ("OUTSIDE-IN", 30): 1,
        ("LAN", 10): 0,
    }
    assert found["OUTSIDE-IN", 30].words == (
        "OUTSIDE-IN: permit 203.0.113.66/32 to 203.0.113.20/32, port 100-200: 1 packets"
    )


def test_packets_that_were_logged() -> None:
    found = list(ios.logged(LOG, ARCHIVE))
    assert [(one.at, one.action, one.place, one.source_port, one.port, one.packets) for one in found] == [
        ("Mar 11 08:35:16.844", "denied", "OUTSIDE-IN", 63923, 104, 1),
        ("Feb 8 2026 04:00:47.272", "permitted", "110", 1, 104, 5),
        ("", "denied", "A", None, None, 2),
    ]


def test_connections_that_came_in_by_a_translation() -> None:
    (one,) = [found for found in ios.translated(NAT, ARCHIVE) if found.port == 104]
    assert one.words == "203.0.113.66 to 203.0.113.20 port 11112, translated to 10.10.0.5 port 104"


def test_what_a_router_refuses_is_said_and_a_log_line_is_no_refusal() -> None:
    log = "%SEC-6-IPACCESSLOGP: list A denied tcp 203.0.113.66(1) -> 203.0.113.20(104), 1 packet"
    answers = {
        "show ip access-lists": "                ^\n% Invalid input detected at '^' marker.",
        "show ip nat translations": "Command authorization failed.",
    }
    traces = ios.collect(lambda command: answers.get(command, log), ARCHIVE, [104])
    assert len(traces.log) == 1
    assert traces.lacks == (
        "hit counters: the device refuses `show ip access-lists`",
        "translations: the device refuses `show ip nat translations`",
    )


@given(st.text())
def test_nothing_that_somebody_wrote_in_a_routers_log_is_kept(text: str) -> None:
    line = f"{text}%SEC-6-IPACCESSLOGP: list A denied tcp 203.0.113.66(1) -> 203.0.113.20(104), 1 packet"
    for entry in ios.logged(line, ARCHIVE):
        assert (entry.place, str(entry.source)) == ("A", "203.0.113.66")
        assert entry.at == "" or entry.at[:3].isalpha()
