"""What conntrack(8) prints. The samples were recorded with conntrack 1.4.7; addresses are changed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.model.site import IPAddress
from remediate.platforms.archive import connections
from remediate.platforms.linux_nftables.conntrack import Tracked, tracked

ESTABLISHED = (
    "tcp      6 431999 ESTABLISHED src=10.20.0.10 dst=10.10.0.5 sport=47056 dport=104 "
    "src=10.10.0.5 dst=10.20.0.10 sport=104 dport=47056 [ASSURED] mark=0 use=1"
)
TRANSLATED = (
    "ipv4     2 tcp      6 118 TIME_WAIT src=203.0.113.10 dst=203.0.113.20 sport=47042 dport=11112 "
    "src=10.10.0.5 dst=203.0.113.10 sport=104 dport=47042 [ASSURED] mark=0 zone=0 use=2"
)
SYN = (
    "tcp      6 120 SYN_SENT src=2001:db8::9 dst=2001:db8::5 sport=47042 dport=104 "
    "[UNREPLIED] src=2001:db8::5 dst=2001:db8::9 sport=104 dport=47042 mark=0 use=1"
)
COUNTED = (
    "tcp      6 431999 ESTABLISHED src=10.20.0.10 dst=10.10.0.5 sport=47056 dport=104 packets=9 bytes=1024 "
    "src=10.10.0.5 dst=10.20.0.10 sport=104 dport=47056 packets=7 bytes=900 [ASSURED] mark=0 use=1"
)


def test_an_open_connection() -> None:
    found = tracked(ESTABLISHED)
    assert found == Tracked(
        ip_address("10.20.0.10"), ip_address("10.10.0.5"), 104, ip_address("10.10.0.5"), 104, "ESTABLISHED", True
    )
    assert found.open
    assert tracked(COUNTED) == found


def test_behind_a_translation_whoever_answers_is_the_archive() -> None:
    found = tracked(TRANSLATED)
    assert found is not None
    assert (str(found.destination), found.port) == ("203.0.113.20", 11112)
    assert (str(found.answers), found.answers_port) == ("10.10.0.5", 104)
    assert not found.open


def test_a_syn_that_nobody_answered_is_not_open() -> None:
    found = tracked(SYN)
    assert found is not None and not found.replied and not found.open


def test_another_protocol_is_none() -> None:
    assert tracked("udp      17 29 src=10.20.0.10 dst=10.10.0.5 sport=1 dport=2 src=10.10.0.5 dst=10.20.0.10") is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "conntrack v1.4.7 (conntrack-tools): 3 flow entries have been shown.",
        ESTABLISHED.replace("dport=104", "dport=0"),
        ESTABLISHED.replace("dport=104", "dport=70000"),
        ESTABLISHED.replace("dport=104 ", ""),
        ESTABLISHED.replace("src=10.20.0.10", "src=10.20.0"),
    ],
)
def test_anything_else_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        tracked(line)


@given(
    st.one_of(
        st.text(),
        st.text(alphabet="tcpipv46 []=.:srcdstpo0123456789ABCDEF", max_size=200),
        st.builds(lambda at, text: ESTABLISHED[:at] + text + ESTABLISHED[at + 1 :], st.integers(0, 180), st.text()),
    )
)
def test_no_text_breaks_it(text: str) -> None:
    for read in (tracked, connections.read):
        try:
            read(text)
        except ValueError:
            continue


addresses = st.ip_addresses()
ports = st.integers(1, 65535)


@given(addresses, addresses, ports, ports, st.sampled_from(["ESTABLISHED", "TIME_WAIT", "SYN_RECV"]), st.booleans())
def test_every_line_of_that_form_is_read(
    a: IPAddress, b: IPAddress, port: int, other: int, state: str, replied: bool
) -> None:
    answers = "" if replied else "[UNREPLIED] "
    line = (
        f"tcp      6 9 {state} src={a} dst={b} sport={other} dport={port} {answers}src={b} dst={a} "
        f"sport={port} dport={other} mark=0"
    )
    assert tracked(line) == Tracked(a, b, port, b, port, state, replied)


@pytest.mark.parametrize(
    ("line", "source"),
    [
        ("0      0      10.10.0.5:104  10.20.0.10:47056", "10.20.0.10"),
        ("0      0      [::ffff:10.10.0.5]:104  [::ffff:10.20.0.10]:47056 users:(x)", "10.20.0.10"),
        ("0      0      [2001:db8::5]:104  [2001:db8::9]:47056", "2001:db8::9"),
        ("0      0      [fe80::5]%eth0:104  [fe80::9]%eth0:47056", "fe80::9"),
    ],
)
def test_an_open_connection_of_the_archive(line: str, source: str) -> None:
    found = connections.read(line)
    assert found is not None
    assert (str(found.source), found.port, found.archive) == (source, 104, None)


@pytest.mark.parametrize("line", ["0 0 127.0.0.1:104 127.0.0.1:5000", "0 0 10.10.0.5:104 10.10.0.5:5000"])
def test_what_the_host_has_with_itself_is_nobody(line: str) -> None:
    assert connections.read(line) is None
