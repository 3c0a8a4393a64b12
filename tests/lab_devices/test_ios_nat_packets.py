"""Static NAT and packets: where an entry leads, which list sees which address, and what becomes of open connections.

Against Cisco, NAT Order of Operation (document 6209), Changing the Dynamic NAT Configuration (document 13779), and
recorded answers to ``no ip nat inside source static`` of an entry in use.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.lab.devices.cisco_ios.forwarding import Path as Way
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.relay import Flow, drops_work
from tests.lab_devices.conftest import STARTUP, Process, Start, configure, until
from tests.lab_devices.echo import CLINIC, OUTSIDE, STRANGER, Echo, ask
from tests.lab_devices.test_ios_lists import entries
from tests.lab_devices.test_ios_relay import run

pytestmark = pytest.mark.skipif(not drops_work(), reason="the choice among listening sockets is Linux's")

# -- the program and the lists --------------------------------------------------------------------------

SITE = """interface GigabitEthernet0/0
 ip address 192.0.2.1 255.255.255.0
 ip access-group A in
 ip access-group B out
 ip nat outside
interface GigabitEthernet0/1
 ip address 10.0.0.1 255.255.255.0
 ip access-group C in
 ip access-group D out
 ip nat inside
"""
ENTRY = "ip nat inside source static tcp 10.0.0.5 104 10.0.0.6 80"
FLOW = Flow("198.51.100.7", 40000, "10.0.0.6", 80)


def way(text: str) -> Way:
    return Way(Router(SITE + text), "GigabitEthernet0/0", host=("10.0.0.5", 104))


def passes(one: Way, flow: Flow = FLOW) -> bool:
    """Asked in all three ways, which must agree."""
    program, _ = one.program(flow.destination, flow.destination_port)
    let = run(program, int(IPv4Address(flow.client)), flow.client_port) == 0
    assert one.carries(flow) is let
    assert one.opens(flow) is let
    return let


@pytest.mark.parametrize(
    ("name", "local", "outward"),
    [
        ("A", "deny tcp any host 10.0.0.5 eq 104", "deny tcp any host 10.0.0.6 eq 80"),  # before translation
        ("D", "deny tcp any host 10.0.0.5 eq 104", "deny tcp any host 10.0.0.6 eq 80"),
        ("C", "deny tcp host 10.0.0.5 eq 104 any", "deny tcp host 10.0.0.6 eq 80 any"),
        ("B", "deny tcp host 10.0.0.5 eq 104 any", "deny tcp host 10.0.0.6 eq 80 any"),  # after it
    ],
)
def test_which_list_sees_which_address(name: str, local: str, outward: str) -> None:
    """Outside to inside: input list, translation, routing, output list; inside to outside: the same (6209)."""
    for rule, blocks in ((local, name in "CD"), (outward, name in "AB")):
        lists = f"ip access-list extended {name}\n {rule}\n permit ip any any\n"
        assert passes(way(f"{ENTRY}\n{lists}")) is not blocks, rule


@given(
    st.dictionaries(st.sampled_from("ABCD"), st.lists(entries(), max_size=4)),
    st.sampled_from(range(8)),
    st.sampled_from([79, 80, 81, 104, 40000]),
)
def test_the_program_decides_as_the_lists_do(lists: dict[str, list[str]], host: int, port: int) -> None:
    text = "".join(f"ip access-list extended {n}\n" + "".join(f" {rule}\n" for rule in lists[n]) for n in lists)
    passes(way(f"{ENTRY}\n{text}"), Flow(f"10.0.0.{host}", port, "10.0.0.6", 80))


PLAIN = "ip nat inside source static 10.0.0.5 10.0.0.6"


@pytest.mark.parametrize(
    ("text", "port", "reached"),
    [
        ("", 80, False),
        ("", 104, False),
        (ENTRY, 80, True),
        (ENTRY, 104, False),
        (ENTRY.replace("tcp", "udp"), 80, False),
        (ENTRY.replace("10.0.0.5 104", "10.0.0.5 105"), 80, False),
        (ENTRY.replace("10.0.0.5", "10.0.0.4"), 80, False),
        (PLAIN, 104, True),
        (PLAIN, 80, False),  # there it is the archive's port 80
        (f"{PLAIN}\n{ENTRY}", 80, True),
        (f"{PLAIN}\n{ENTRY.replace('10.0.0.5 104', '10.0.0.4 104')}", 80, False),  # the port comes first
        ("ip nat inside source static network 10.0.0.4 10.0.0.6 /31", 104, False),  # that is 10.0.0.4's
        ("ip nat inside source static network 10.0.0.5 10.0.0.6 255.255.255.255", 104, True),
        (f"{ENTRY} vrf RED", 80, False),
        (f"{ENTRY} route-map MAP", 80, False),
        (f"interface GigabitEthernet0/0\n no ip nat outside\n{ENTRY}", 80, False),
        (f"interface GigabitEthernet0/1\n no ip nat inside\n{ENTRY}", 80, False),
        (f"interface GigabitEthernet0/1\n shutdown\n{ENTRY}", 80, False),
    ],
)
def test_where_an_entry_leads(text: str, port: int, reached: bool) -> None:
    assert passes(way(f"{text}\n"), Flow("198.51.100.7", 40000, "10.0.0.6", port)) is reached


def test_an_entry_of_an_interface_follows_its_address() -> None:
    one = way("ip nat inside source static tcp 10.0.0.5 104 interface GigabitEthernet0/0 11112\n")
    asked = [Flow("198.51.100.7", 40000, address, 11112) for address in ("192.0.2.1", "192.0.2.2")]
    assert [passes(one, flow) for flow in asked] == [True, False]
    one.router.running.interfaces["GigabitEthernet0/0"].address = (int(IPv4Address("192.0.2.2")), 0xFFFFFF00)
    assert [passes(one, flow) for flow in asked] == [False, True]


def test_the_inside_reaches_the_archive_by_its_own_address_only() -> None:
    router = Router(
        f"{SITE}interface GigabitEthernet0/2\n ip address 10.2.0.1 255.255.255.0\n ip nat inside\n{ENTRY}\n"
    )
    inside = Way(router, "GigabitEthernet0/2", host=("10.0.0.5", 104))
    assert passes(inside, Flow("10.2.0.9", 40000, "10.0.0.5", 104))
    assert not passes(inside, Flow("10.2.0.9", 40000, "10.0.0.6", 80))  # what comes from inside is not translated


# -- real connections -----------------------------------------------------------------------------------

NAT = (
    STARTUP.replace(" no ip unreachables\n", " no ip unreachables\n ip nat outside\n")
    .replace(" description archive\n", " description archive\n ip nat inside\n")
    .replace("host 10.10.0.5 eq 104", "host 203.0.113.20")
    .replace(
        "ip route",
        "ip nat inside source static tcp 10.10.0.5 104 203.0.113.20 11112\n"
        "ip nat inside source static tcp 10.10.0.5 8042 203.0.113.20 8042\nip route",
    )
)
DICOM = "no ip nat inside source static tcp 10.10.0.5 104 203.0.113.20 11112"
IN_USE = "Static entry in use, do you want to delete child entries? [no]: "


def options(target: Echo) -> list[str]:
    to = "{}:{}".format(*target.address)
    return [
        *("--relay", f"outside:Gi0/0:127.0.0.20:0->{to}=10.10.0.5:104@203.0.113.20:11112"),
        *("--relay", f"web:Gi0/0:127.0.0.20:0->{to}=10.10.0.5:8042@203.0.113.20:8042"),
        *("--relay", f"clinic:Gi0/1:127.0.0.21:0->{to}=10.10.0.5:104@10.10.0.5:104"),
    ]


@contextmanager
def connected(router: Process) -> Iterator[socket.socket]:
    """A connection to the published port that has carried something."""
    with socket.create_connection(router.relay("outside"), source_address=(OUTSIDE, 0)) as client:
        client.settimeout(60)
        assert answers(client)
        yield client


def answers(client: socket.socket) -> bool:
    client.sendall(b"one")
    return client.recv(100) == f"{OUTSIDE} one".encode()


def remove(connection: Any, answer: str) -> str:
    """Types the command of an entry in use, and the answer; what follows it up to the prompt."""
    connection.config_mode()
    asked = connection.send_command(DICOM, expect_string=r"\]: $", strip_prompt=False)
    assert asked.splitlines()[-1] == IN_USE
    said = connection.send_command(answer, expect_string=r"\(config\)#$", strip_command=False)
    connection.exit_config_mode()
    return str(said.strip())


def children(connection: Any) -> list[str]:
    shown = connection.send_command("show ip nat translations").splitlines()
    return [line.split()[3] for line in shown[1:] if "---" not in line]


def test_a_published_port_is_reached_only_while_an_entry_translates_it(start: Start, target: Echo) -> None:
    router = start("--minute", "0.06", *options(target), startup=NAT)  # a translation ends with its connection
    connection = router.login()
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"
    assert ask(router.relay("web"), OUTSIDE) == f"{OUTSIDE} hello"
    assert until(lambda: children(connection), lambda them: not them) == []
    configure(connection, DICOM)
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"
    assert ask(router.relay("web"), OUTSIDE) == f"{OUTSIDE} hello"
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
    configure(connection, DICOM.removeprefix("no "))
    assert ask(router.relay("outside"), STRANGER) == f"{STRANGER} hello"


@pytest.mark.parametrize("answer", ["no", "", "n", "interface Gi0/1"])
def test_an_entry_in_use_stays_unless_one_says_yes(start: Start, target: Echo, answer: str) -> None:
    router = start(*options(target), startup=NAT)
    connection = router.login()
    with connected(router) as client:
        peer = "{}:{}".format(*client.getsockname())
        assert children(connection) == [peer]
        assert remove(connection, answer).splitlines()[-1] == "%: Error: static entry in use, cannot remove"
        assert "203.0.113.20 11112 extendable" in connection.send_command("show running-config | include static")
        assert answers(client)
        assert children(connection) == [peer]


@pytest.mark.parametrize("how", ["yes", "y", "forced"])
def test_an_open_connection_ends_with_its_entry(start: Start, target: Echo, how: str) -> None:
    router = start(*options(target), startup=NAT)
    connection = router.login()
    with connected(router) as client, socket.create_connection(router.relay("web"), 5, (OUTSIDE, 0)) as other:
        if how == "forced":
            configure(connection, f"{DICOM} forced")
        else:
            assert remove(connection, how) in ("", how)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        assert answers(other)
        assert "11112" not in connection.send_command("show running-config | include static")
        assert children(connection) == ["{}:{}".format(*other.getsockname())]
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"


def test_a_question_stands_right_after_somebody_has_looked(start: Start, target: Echo) -> None:
    """The translation of a connection that has ended stays for the finrst-timeout, a minute."""
    router = start(*options(target), startup=NAT)
    connection = router.login()
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"
    verbose = until(lambda: connection.send_command("show ip nat translations verbose"), lambda it: "timing-out" in it)
    assert "extended, timing-out, use_count: 0" in verbose
    assert remove(connection, "no").endswith("cannot remove")
    connection.send_command("clear ip nat translation *")
    configure(connection, DICOM)
    assert ask(router.relay("outside"), OUTSIDE) == "no answer"


def test_a_cleared_translation_is_made_again_by_the_next_packet(start: Start, target: Echo) -> None:
    router = start(*options(target), startup=NAT)
    connection = router.login()
    with connected(router) as client:
        address, port = client.getsockname()
        one = f"tcp inside 203.0.113.20 11112 10.10.0.5 104 outside {address} {port} {address} {port}"
        assert connection.send_command(f"clear ip nat translation {one}") == ""
        assert children(connection) == []
        assert answers(client)
        assert children(connection) == [f"{address}:{port}"]


def test_no_ip_nat_on_the_interface_is_silence_until_it_is_back(start: Start, target: Echo) -> None:
    """Nothing is translated then, and nothing forgotten."""
    router = start(*options(target), startup=NAT)
    connection = router.login()
    with connected(router) as client:
        configure(connection, "interface Gi0/0", "no ip nat outside")
        assert ask(router.relay("outside"), OUTSIDE) == "no answer"
        client.sendall(b"two")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(100)
        configure(connection, "interface Gi0/0", "ip nat outside")
        client.settimeout(60)
        assert client.recv(100) == f"{OUTSIDE} two".encode()


def test_a_revert_publishes_again_and_what_stays_is_not_cut(start: Start, target: Echo) -> None:
    router = start(*options(target), startup=NAT)
    connection = router.login()
    with socket.create_connection(router.relay("web"), 5, (OUTSIDE, 0)) as other:
        assert answers(other)
        configure(connection, DICOM, revert=120)
        assert ask(router.relay("outside"), OUTSIDE) == "no answer"
        connection.send_command("configure revert now")
        assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"
        assert answers(other)
        assert "{}:{}".format(*other.getsockname()) in children(connection)


def test_a_replaced_configuration_cuts_without_a_question(start: Start, target: Echo) -> None:
    router = start(*options(target), startup=NAT)
    connection = router.login()
    configure(connection, DICOM)
    connection.send_command("archive config")
    shown = connection.send_command("show archive").splitlines()
    closed = next(line.split()[1] for line in shown if "Most Recent" in line)
    configure(connection, DICOM.removeprefix("no "))
    with connected(router) as client, socket.create_connection(router.relay("web"), 5, (OUTSIDE, 0)) as other:
        assert "Rollback Done" in connection.send_command(f"configure replace {closed} force")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        assert answers(other)  # its entry is in both
    assert "11112" not in connection.send_command("show running-config | include static")


def test_a_router_that_goes_on_publishing(start: Start, target: Echo) -> None:
    router = start("--misbehave", "keeps-publishing", *options(target), startup=NAT)
    connection = router.login()
    configure(connection, DICOM)
    assert "11112" not in connection.send_command("show running-config | include static")
    assert ask(router.relay("outside"), OUTSIDE) == f"{OUTSIDE} hello"


def test_a_router_that_drops_the_inside_once_static_nat_changes(start: Start, target: Echo) -> None:
    router = start("--misbehave", "drops-inside=clinic", *options(target), startup=NAT)
    connection = router.login()
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
    configure(connection, DICOM)
    assert ask(router.relay("clinic"), CLINIC) == "no answer"
    configure(connection, DICOM.removeprefix("no "))
    assert ask(router.relay("clinic"), CLINIC) == f"{CLINIC} hello"
