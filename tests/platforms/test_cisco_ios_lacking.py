"""What a router, its login or its inventory entry lacks is said by the preflight, and nothing was changed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from remediate.errors import CommandRejected, DeviceUnreachable
from remediate.model.change import Token
from remediate.model.device import Guard
from remediate.platforms.cisco_ios import config, lacking, siblings
from tests.lab_devices.conftest import STARTUP, configure
from tests.platforms.ios import EDGE
from tests.platforms.test_cisco_ios_device import SPEC, Router, running_router

Start = Callable[..., Router]
WRITES = lacking.VERBS


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*options: str, startup: str = STARTUP) -> Router:
            return stack.enter_context(running_router(tmp_path, startup, *options))

        yield run


# -- rights -------------------------------------------------------------------------------------------


def test_looking_for_rights_changes_nothing(start: Start) -> None:
    router = start()
    colleague = router.colleague()
    before = colleague.send_command("show running-config")
    saved = colleague.send_command("show startup-config")
    logged = [line for line in colleague.send_command("show logging").splitlines() if "%" in line]
    assert router.connect().preflight() == ()
    assert colleague.send_command("show running-config") == before
    assert colleague.send_command("show startup-config") == saved
    assert [line for line in colleague.send_command("show logging").splitlines() if "%" in line] == logged
    assert "No Rollback Confirmed Change" in colleague.send_command("show archive config rollback timer")


@pytest.mark.parametrize("verb", WRITES)
def test_a_verb_that_a_parser_view_hides(start: Start, verb: str) -> None:
    hidden = " ".join(word for word in verb.split() if not word.isdigit())
    (lack,) = start("--hide", hidden).connect().preflight()
    assert f"`{verb}`" in lack
    assert [other for other in WRITES if f"`{other}`" in lack] == [verb]
    assert "parser view" in lack


def test_several_hidden_verbs_are_said_together(start: Start) -> None:
    (lack,) = start("--hide", "configure confirm", "--hide", "write").connect().preflight()
    assert "`configure confirm`, `write memory`" in lack


@pytest.mark.parametrize("command", ["show startup-config", "show users", "show ip access-lists"])
def test_a_look_that_a_server_refuses(start: Start, command: str) -> None:
    (lack,) = start("--refuse", command).connect().preflight()
    assert f"refuses `{command}" in lack
    assert "Command authorization failed" in lack
    assert "allow it to this user" in lack


def test_a_timer_that_may_not_be_looked_at(start: Start) -> None:
    (lack,) = start("--refuse", "show archive").connect().preflight()
    assert "does not tell whether a revert timer runs" in lack
    assert "Command authorization failed" in lack


def test_what_a_server_of_authorizations_will_say_is_not_claimed_to_be_known(start: Start) -> None:
    """It is asked for whole commands only: the plan names what it must allow."""
    aaa = "aaa new-model\naaa authorization commands 15 default group tacacs+ local\n"
    router = start("--refuse", "write memory", startup=STARTUP.replace("archive\n", f"{aaa}archive\n", 1))
    driver = router.connect()
    assert driver.preflight() == ()
    (said,) = SPEC.remarks(SPEC.read(EDGE, driver.running_config()), [])
    assert all(f"`{verb}`" in said for verb in WRITES)
    assert "known only once it is typed" in said
    with pytest.raises(CommandRejected, match="authorization failed"):
        driver.save(Token("push.1"))


def test_without_such_a_server_nothing_is_said(start: Start) -> None:
    assert SPEC.remarks(SPEC.read(EDGE, start().connect().running_config()), []) == ()


# -- lines --------------------------------------------------------------------------------------------


def test_the_last_free_line_is_not_enough(start: Start) -> None:
    router = start(startup=STARTUP.replace("line vty 0 4", "line vty 0 1"))
    driver = router.connect()
    assert driver.preflight() == ()
    router.colleague()
    (lack,) = driver.preflight()
    assert lack.startswith("no free line: all 2 lines that SSH may use are taken, this session's included")
    assert "127.0.0.1" in lack
    assert "line vty 5 15" in lack


def test_a_single_line(start: Start) -> None:
    (lack,) = start(startup=STARTUP.replace("line vty 0 4", "line vty 0 0")).connect().preflight()
    assert lack.startswith("no free line: the only line that SSH may use is taken")


def test_lines_without_ssh_do_not_count(start: Start) -> None:
    startup = STARTUP.replace("line vty 0 4", "line vty 1 4\n transport input none\nline vty 0 0")
    (lack,) = start(startup=startup).connect().preflight()
    assert lack.startswith("no free line: the only line")


# -- the prompt ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["%n-edge-of-the-clinic-north%p", "edge@north%p", "edge-1.north%p"])
def test_a_prompt_of_ones_own(start: Start, prompt: str) -> None:
    startup = STARTUP.replace("no ip domain lookup", f"no ip domain lookup\nprompt {prompt}")
    lacks = start(startup=startup).connect().preflight()
    assert [lack for lack in lacks if "`no prompt`" in lack and "'edge-1'" in lack]


def test_a_prompt_that_ends_in_nothing_known(start: Start) -> None:
    startup = STARTUP.replace("no ip domain lookup", "no ip domain lookup\nprompt edge")
    with pytest.raises(DeviceUnreachable, match="no prompt that ends in > or #") as caught:
        start(startup=startup).connect()
    assert "no prompt" in caught.value.next


def test_no_prompt_in_configuration_mode(start: Start) -> None:
    startup = STARTUP.replace("no ip domain lookup", "no ip domain lookup\nno service prompt config")
    (lack,) = start(startup=startup).connect().preflight()
    assert "service prompt config" in lack


@pytest.mark.parametrize("banner", ["### no entry > here ###", "edge-1# is not for you", "edge-1>"])
def test_a_banner_is_no_prompt(start: Start, banner: str) -> None:
    startup = STARTUP.replace("line con 0", f"banner motd ^C\n{banner}\nsecond line #\n^C\nline con 0")
    driver = start(startup=startup).connect()
    assert driver.preflight() == ()
    assert driver._session.prompt_name == "edge-1"


def test_a_long_host_name(start: Start) -> None:
    name = "edge-of-the-clinic-in-the-north-1"
    router = start(startup=STARTUP.replace("hostname edge-1", f"hostname {name}"))
    driver = router.connect()
    assert driver.preflight() == ()
    assert driver._session.prompt_name == name


# -- siblings -----------------------------------------------------------------------------------------

PARTS = """!
version 15.7
hostname edge-1
interface Port-channel1
 ip address 203.0.113.1 255.255.255.0
interface Port-channel2
 no ip address
interface Port-channel2.100
 encapsulation dot1Q 100
 ip address 198.51.100.1 255.255.255.0
interface Dialer1
 ip address negotiated
 dialer pool 7
interface BVI3
 ip address 192.0.2.1 255.255.255.0
interface Vlan20
 ip address 192.0.2.129 255.255.255.128
interface GigabitEthernet0/0
 no ip address
 channel-group 1 mode active
interface GigabitEthernet0/1
 no ip address
 channel-group 2 mode active
interface GigabitEthernet0/2
 no ip address
 pppoe enable group global
 pppoe-client dial-pool-number 7
interface GigabitEthernet0/3
 no ip address
interface GigabitEthernet0/3.10
 encapsulation dot1Q 10
 ip address 10.0.10.1 255.255.255.0
interface GigabitEthernet0/3.20
 encapsulation dot1Q 20
interface GigabitEthernet0/4
 ip address 10.0.4.1 255.255.255.0
 shutdown
interface GigabitEthernet0/5
 no ip address
interface GigabitEthernet0/6
 ip unnumbered BVI3
interface GigabitEthernet0/7
 no ip address
 bridge-group 3
interface GigabitEthernet0/8
 switchport access vlan 20
 no ip address
interface GigabitEthernet0/9
 ip address 10.0.9.1 255.255.255.0
interface GigabitEthernet0/9.5
 encapsulation dot1Q 5
 ip address 10.0.5.1 255.255.255.0
interface Tunnel0
 ip unnumbered GigabitEthernet0/9
line vty 0 4
 transport input ssh
end
"""


@pytest.mark.parametrize(
    ("name", "why", "right"),
    [
        ("GigabitEthernet0/0", "is a member of channel 1", "name Port-channel1 in its place"),
        ("GigabitEthernet0/1", "is a member of channel 2", "name Port-channel2.100 in its place"),
        ("GigabitEthernet0/2", "carries PPPoE of dialer pool 7", "name Dialer1 in its place"),
        ("GigabitEthernet0/3", "has no address, and its subinterfaces have", "GigabitEthernet0/3.10 in its place"),
        ("GigabitEthernet0/3.20", "has no IPv4 address", "correct guard.interface"),
        ("GigabitEthernet0/4", "is shut down", "correct guard.interface"),
        ("GigabitEthernet0/5", "has no IPv4 address", "correct guard.interface"),
        ("GigabitEthernet0/7", "is bridged (group 3)", "name BVI3 in its place"),
        ("GigabitEthernet0/8", "is a switch port of VLAN 20", "name Vlan20 in its place"),
        ("Port-channel2", "has no address, and its subinterfaces have", "Port-channel2.100 in its place"),
        ("GigabitEthernet1/0", "no interface GigabitEthernet1/0 here", "it has Port-channel1"),
    ],
)
def test_a_wrong_sibling(name: str, why: str, right: str) -> None:
    said = siblings.wrong(config.read(PARTS), name, "guard.interface")
    assert why in said
    assert right in said


@pytest.mark.parametrize(
    "name",
    ["Port-channel1", "Port-channel2.100", "Dialer1", "BVI3", "Vlan20", "GigabitEthernet0/6", "GigabitEthernet0/9",
     "GigabitEthernet0/9.5", "Tunnel0"],
)  # fmt: skip
def test_a_right_one(name: str) -> None:
    assert siblings.wrong(config.read(PARTS), name, "guard.interface") == ""


def test_a_wrong_sibling_of_a_router(start: Start) -> None:
    router = start()
    device = EDGE.model_copy(update={"guard": Guard(interface=("GigabitEthernet0/0",), vpn=("GigabitEthernet0/2",))})
    driver = router.connect(device)
    assert driver.preflight() == ()
    colleague = router.colleague()
    configure(colleague, "interface GigabitEthernet0/2", "shutdown")
    colleague.send_command("write memory")
    (lack,) = driver.preflight()
    assert lack.startswith("interface GigabitEthernet0/2 is shut down")
    assert "guard.vpn" in lack
