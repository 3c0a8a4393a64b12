"""Packets: the kernel's program against the lists, and real connections through the relay."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.lab.devices.cisco_ios.forwarding import Path as Way
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.icmp import Refusal
from remediate.lab.devices.relay import (
    AND,
    JUMP,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_GREATER_EQUAL,
    LOAD_HALF,
    LOAD_WORD,
    RETURN,
    SOURCE_ADDRESS,
    Flow,
    Instruction,
    drops_work,
)
from tests.lab_devices.conftest import STARTUP, Start, configure, until
from tests.lab_devices.echo import CLINIC, OUTSIDE, STRANGER, Echo, ask
from tests.lab_devices.test_ios_lists import entries

pytestmark = pytest.mark.skipif(not drops_work(), reason="the choice among listening sockets is Linux's")

# -- the program ----------------------------------------------------------------------------------------

SITE = """interface GigabitEthernet0/0
 ip address 192.0.2.1 255.255.255.0
 ip access-group A in
 ip access-group B out
interface GigabitEthernet0/1
 ip address 10.0.0.1 255.255.255.0
 ip access-group C in
 ip access-group D out
"""


def run(program: list[Instruction], source: int, port: int) -> int:
    """What the kernel does with it (Documentation/networking/filter.rst)."""
    accumulator, at = 0, 0
    while True:
        operation, yes, no, operand = program[at]
        at += 1
        match operation:
            case _ if operation == RETURN:
                return operand
            case _ if operation == LOAD_WORD:
                assert operand == SOURCE_ADDRESS
                accumulator = source
            case _ if operation == LOAD_HALF:
                accumulator = port
            case _ if operation == AND:
                accumulator &= operand
            case _ if operation == JUMP:
                at += operand
            case _ if operation == JUMP_EQUAL:
                at += yes if accumulator == operand else no
            case _ if operation == JUMP_GREATER:
                at += yes if accumulator > operand else no
            case _ if operation == JUMP_GREATER_EQUAL:
                at += yes if accumulator >= operand else no
            case _:
                raise AssertionError(operation)


def site(lists: dict[str, list[str]]) -> Router:
    text = SITE
    for name, rules in lists.items():
        text += "\n".join([f"ip access-list extended {name}", *(f" {rule}" for rule in rules), ""])
    return Router(text)


@given(
    st.dictionaries(st.sampled_from("ABCD"), st.lists(entries(), max_size=4)),
    st.sampled_from(range(8)),
    st.sampled_from([79, 80, 81, 104, 40000]),
    st.sampled_from([80, 104]),
)
def test_the_program_decides_as_the_lists_do(lists: dict[str, list[str]], host: int, port: int, service: int) -> None:
    router = site(lists)
    way = Way(router, "GigabitEthernet0/0")
    program, counters = way.program("10.0.0.5", service)
    source = int(IPv4Address("10.0.0.0")) + host
    verdict = run(program, source, port)
    permitted = way.opens(Flow(str(IPv4Address(source)), port, "10.0.0.5", service))
    assert (verdict == 0) is permitted
    if not permitted:
        hits = [line.hits for acl in router.running.lists.values() for line in acl.lines if line.ace.action == "deny"]
        counters[verdict - 1](1000)
        after = [line.hits for acl in router.running.lists.values() for line in acl.lines if line.ace.action == "deny"]
        raised = [new - old for old, new in zip(hits, after, strict=True) if new != old]
        # the entry that the lists blame, unless it was the implicit deny
        assert raised in ([], [1000])
        assert (raised == [1000]) is (sum(hits) == 1)


@pytest.mark.parametrize(
    "ports", ["eq 80", "eq 79 81 104", "neq 80", "neq 79 104", "gt 80", "lt 80", "range 80 104", ""]
)
@pytest.mark.parametrize("action", ["permit", "deny"])
def test_the_program_and_source_ports(ports: str, action: str) -> None:
    other = "deny" if action == "permit" else "permit"
    router = site({"A": [f"{action} tcp 10.0.0.1 0.0.0.6 {ports} any", f"{other} ip any any"]})
    way = Way(router, "GigabitEthernet0/0")
    program, _ = way.program("10.0.0.5", 104)
    for source in ("10.0.0.1", "10.0.0.7", "10.0.0.2", "10.0.1.1"):
        for port in (1, 79, 80, 81, 103, 104, 105, 65535):
            verdict = run(program, int(IPv4Address(source)), port)
            assert (verdict == 0) is way.opens(Flow(source, port, "10.0.0.5", 104)), (source, port)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ("", True),
        ("interface GigabitEthernet0/1\n shutdown\n", False),
        ("interface GigabitEthernet0/0\n shutdown\n", False),
        ("interface GigabitEthernet0/1\n no ip address\n", False),  # no way to it
        ("interface GigabitEthernet0/1\n no ip address\nip route 10.0.0.0 255.0.0.0 192.0.2.7\n", True),
        ("ip access-list extended D\n deny ip any any\n", False),  # outbound
        ("ip access-list extended C\n permit tcp any any established\n", True),  # answers carry an ACK
        (
            "ip access-list extended C\n permit tcp any any eq 104\n",
            False,
        ),  # answers come from 104, they do not go to it
        ("ip access-list extended B\n permit tcp host 10.0.0.5 eq 104 any\n", True),
        ("ip access-list extended A\n", True),  # an empty list
    ],
)
def test_interfaces_routes_and_both_directions(change: str, passes: bool) -> None:
    way = Way(Router(SITE + change), "GigabitEthernet0/0")
    flow = Flow("198.51.100.7", 40000, "10.0.0.5", 104)
    assert way.opens(flow) is passes
    assert way.carries(flow) is passes
    program, _ = way.program("10.0.0.5", 104)
    assert (run(program, int(IPv4Address("198.51.100.7")), 40000) == 0) is passes


# -- what is said to whoever is denied ----------------------------------------------------------------

STRANGERS = Flow("198.51.100.7", 40000, "10.0.0.5", 104)
DENIED = SITE + "ip access-list extended A\n deny tcp any host 10.0.0.5 eq 104\n permit ip any any\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", True),
        ("interface GigabitEthernet0/0\n no ip unreachables\n", False),
        ("interface GigabitEthernet0/1\n no ip unreachables\n", True),  # where it did not come in
        ("interface GigabitEthernet0/0\n no ip access-group A in\n", False),  # it passes
        ("interface GigabitEthernet0/1\n shutdown\n", False),  # no list denies it
    ],
)
def test_unreachables_are_sent_from_where_the_packet_came_in(change: str, said: bool) -> None:
    refusal = Way(Router(DENIED + change), "GigabitEthernet0/0").refuses(STRANGERS)
    assert refusal == (Refusal("192.0.2.1", 3, 13) if said else None)


def test_a_list_on_the_way_out_refuses_too_and_one_for_the_answers_tells_the_archive() -> None:
    deny = "ip access-list extended {}\n deny tcp {} {}\n permit ip any any\n"
    out = SITE + deny.format("D", "any", "host 10.0.0.5 eq 104")
    assert Way(Router(out), "GigabitEthernet0/0").refuses(STRANGERS) == Refusal("192.0.2.1")
    for name in "CB":  # in where the archive is, out to the outside
        back = Way(Router(SITE + deny.format(name, "host 10.0.0.5 eq 104", "any")), "GigabitEthernet0/0")
        assert not back.opens(STRANGERS) and back.refuses(STRANGERS) is None


@pytest.mark.parametrize(
    ("line", "written", "sent"),
    [
        ("", "", "x....x....x"),
        ("ip icmp rate-limit unreachable 500\n", "", "x....x....x"),
        ("ip icmp rate-limit unreachable 1000\n", "ip icmp rate-limit unreachable 1000", "x.........x"),
        ("no ip icmp rate-limit unreachable\n", "no ip icmp rate-limit unreachable", "xxxxxxxxxxx"),
    ],
)
def test_unreachables_are_limited_to_one_in_500_ms(line: str, written: str, sent: str) -> None:
    """Of all interfaces together; a packet each 100 ms."""
    router = Router(DENIED + line)
    assert "".join("x" if router.sends_unreachable(tenth / 10) else "." for tenth in range(11)) == sent
    lines = [one for one in router.running_text().splitlines() if "rate-limit" in one]
    assert lines == ([written] if written else [])
    assert Router(router.running_text()).running.unreachable_interval == router.running.unreachable_interval


def test_a_denied_connection_is_not_answered_twice_within_the_limit() -> None:
    way = Way(Router(DENIED + "ip icmp rate-limit unreachable 4294967295\n"), "GigabitEthernet0/0")
    assert [way.refuses(STRANGERS) is not None for _ in range(3)] == [True, False, False]


def test_on_loopback_it_says_that_it_cannot(start: Start, target: Echo) -> None:
    """Root or not: see tests/vantages/test_ios_unreachables.py for what a network shows."""
    startup = STARTUP.replace(" no ip unreachables\n", "")
    router = start(*options(target), startup=startup)
    assert set(router.ready["unreachables"]) == {"outside", "clinic"}
    assert all("not sent: this router is on loopback" in said for said in router.ready["unreachables"].values())
    configure(router.login(), "ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104")
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"


# -- the relay ------------------------------------------------------------------------------------------


def options(target: Echo) -> list[str]:
    to = "{}:{}".format(*target.address)
    return [
        "--relay",
        f"outside:Gi0/0:127.0.0.20:0->{to}@10.10.0.5:104",
        "--relay",
        f"clinic:GigabitEthernet0/1>GigabitEthernet0/2:127.0.0.21:0->{to}@10.10.0.5:104",
    ]


def test_permitted_connections_reach_the_target_under_their_own_address(start: Start, target: Echo) -> None:
    router = start(*options(target))
    assert router.ready["denied"] == "dropped"
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
    shown = router.login().send_command("show ip access-lists OUTSIDE-IN").splitlines()
    assert shown[1] == "    10 permit tcp any host 10.10.0.5 eq 104 (1 match)"


def test_denied_ones_get_no_answer_and_are_counted(start: Start, target: Echo) -> None:
    router = start(*options(target))
    connection = router.login()
    configure(
        connection,
        "ip access-list extended OUTSIDE-IN",
        f"3 permit tcp host {CLINIC} host 10.10.0.5 eq 104",
        "5 deny tcp any host 10.10.0.5 eq 104",
    )
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"
    assert ask(router.relay("outside"), CLINIC) == f"{CLINIC} hello"
    assert ask(router.relay("clinic"), STRANGER) == f"{STRANGER} hello"  # another interface
    shown = connection.send_command("show ip access-lists OUTSIDE-IN").splitlines()
    assert shown[1:4] == [
        f"    3 permit tcp host {CLINIC} host 10.10.0.5 eq 104 (1 match)",
        "    5 deny tcp any host 10.10.0.5 eq 104 (1 match)",
        "    10 permit tcp any host 10.10.0.5 eq 104",
    ]
    configure(connection, "ip access-list extended OUTSIDE-IN", "no 5")
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"


def test_an_open_connection_is_cut_and_let_on_again(start: Start, target: Echo) -> None:
    router = start(*options(target))
    connection = router.login()
    with socket.create_connection(router.relay("outside"), source_address=(OUTSIDE, 0)) as client:
        client.settimeout(60)
        client.sendall(b"one")
        assert client.recv(100) == f"{OUTSIDE} one".encode()
        configure(connection, "ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104")
        client.sendall(b"two")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(100)
        with socket.create_connection(router.relay("clinic"), source_address=(CLINIC, 0)) as other:
            other.sendall(b"hello")
            assert other.recv(100) == f"{CLINIC} hello".encode()  # what is permitted goes on
        configure(connection, "ip access-list extended OUTSIDE-IN", "no 5")
        client.settimeout(60)  # the kernel sends again what was dropped
        assert client.recv(100) == f"{OUTSIDE} two".encode()


def test_a_router_ends_with_connections_that_are_cut(start: Start, target: Echo) -> None:
    router = start(*options(target))
    connection = router.login()
    with socket.create_connection(router.relay("outside"), source_address=(OUTSIDE, 0)) as client:
        client.sendall(b"one")
        assert client.recv(100) == f"{OUTSIDE} one".encode()
        configure(connection, "ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104")
        client.sendall(b"two")
        assert router.stop() == 0
        client.settimeout(60)
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_answers_are_judged_too(start: Start, target: Echo) -> None:
    router = start(*options(target))
    connection = router.login()
    configure(
        connection,
        "ip access-list extended ANSWERS",
        f"deny tcp host 10.10.0.5 eq 104 host {OUTSIDE}",
        "permit ip any any",
        "interface Gi0/2",
        "ip access-group ANSWERS in",
    )
    # the routing table leads to Gi0/2
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"
    assert ask(router.relay("outside"), STRANGER) == f"{STRANGER} hello"


def test_the_other_way_round(start: Start, target: Echo) -> None:
    """The archive opens a connection to a peer (C-MOVE): in by its own interface, out to the clinic."""
    to = "{}:{}".format(*target.address)
    router = start("--relay", f"move:Gi0/2:127.0.0.22:0->{to}@10.20.0.10:104")
    assert ask(router.relay("move"), "127.0.0.5") == "127.0.0.5 hello"
    configure(
        router.login(),
        "ip access-list extended CLINIC-OUT",
        "deny tcp any any eq 104",
        "interface Gi0/1",
        "ip access-group CLINIC-OUT out",
    )
    assert ask(router.relay("move"), "127.0.0.5") == "no answer"


def test_a_revert_opens_again(start: Start, target: Echo) -> None:
    router = start("--minute", "1.5", *options(target))
    configure(router.login(), "ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104", revert=1)
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"
    opened = until(lambda: ask(router.relay("outside"), OUTSIDE), lambda answer: answer != "no answer")
    assert opened == f"{OUTSIDE} hello"


def test_a_missing_list_permits_everything(start: Start, target: Echo) -> None:
    router = start(*options(target), startup=STARTUP.replace("access-group OUTSIDE-IN", "access-group NOWHERE"))
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"


def test_nobody_behind_the_router(start: Start, target: Echo) -> None:
    router = start(*options(target))
    target.close()
    assert ask(router.relay("outside"), OUTSIDE) in ("ConnectionResetError", "closed")


def test_logged_entries(start: Start, target: Echo) -> None:
    router = start(*options(target), startup=STARTUP.replace("10.10.0.5 eq 104", "10.10.0.5 eq 104 log"))
    ask(router.relay("outside"), OUTSIDE)
    log = router.login().send_command("show logging | include IPACCESSLOGP")
    assert f"%SEC-6-IPACCESSLOGP: list OUTSIDE-IN permitted tcp {OUTSIDE}(" in log
    assert log.endswith("-> 10.10.0.5(104), 1 packet")


def test_a_router_that_drops_the_inside_once_the_outside_list_changes(start: Start, target: Echo) -> None:
    router = start(*options(target), "--misbehave", "drops-inside=clinic")
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
    connection = router.login()
    configure(connection, "interface Loopback1")
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
    configure(connection, "ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104")
    assert ask(router.relay("clinic"), CLINIC) == "no answer"
    configure(connection, "ip access-list extended OUTSIDE-IN", "no 5")
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
