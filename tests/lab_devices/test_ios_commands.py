"""The command line, by netmiko: modes, abbreviations, errors, formats."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from netmiko.exceptions import ConfigInvalidException, NetmikoAuthenticationException
from ntc_templates.parse import parse_output  # type: ignore[import-untyped]  # it ships without types

from tests.lab_devices.conftest import STARTUP, Process, Start, configure, until

INVALID = "% Invalid input detected at '^' marker."


def _caret(connection: Any, line: str) -> int:
    """Where in ``line`` the caret stands."""
    output = connection.send_command(line, strip_prompt=False, strip_command=False)
    assert INVALID in output
    typed, marker = output.splitlines()[:2]
    prompt = connection.find_prompt() if typed == line else typed.removesuffix(line)
    return int(marker.index("^")) - len(prompt)


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("show ip axcess-lists", 9),  # "a" still fits "access-lists"
        ("shwo version", 2),
        ("show running-config interface Gi9/9", 30),
        ("configure terminal revert timer 121", 32),
        ("configure terminal revert timer 0", 32),
        ("terminal length 513", 16),
        ("copy running-config flash:x", 20),
        ("show version | inklude x", 17),
    ],
)
def test_the_caret_stands_under_the_first_character_that_does_not_fit(login: Any, line: str, at: int) -> None:
    assert _caret(login, line) == at


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("show i", '% Ambiguous command:  "show i"'),
        ("show ip", "% Incomplete command."),
        ("show", '% Type "show ?" for a list of subcommands'),
        ("copy running-config", "% Incomplete command."),
        ("configure terminal revert", "% Incomplete command."),
        ("frobnicate", "% Unknown command or computer name, or unable to find computer address"),
        ("configure confirm", "%No Rollback Confirmed Change pending"),
        ("configure revert now", "%No Rollback Confirmed Change pending"),
        ("show archive config rollback timer", "%No Rollback Confirmed Change pending"),
        ("show running-config | include", "% Incomplete command."),
        ("configure replace flash:nothing force", "%Error opening flash:nothing (No such file or directory)"),
    ],
)
def test_what_cannot_be_carried_out(login: Any, line: str, words: str) -> None:
    assert login.send_command(line).strip().splitlines()[-1] == words


@pytest.mark.parametrize(
    ("short", "full"),
    [("sh ip access-l", "show ip access-lists"), ("sh ru", "show running-config"), ("sh arch", "show archive")],
)
def test_abbreviations(login: Any, short: str, full: str) -> None:
    assert login.send_command(short) == login.send_command(full) != ""


def test_a_user_without_privilege_has_to_enable(router: Process) -> None:
    connection = router.login("guest")
    assert connection.find_prompt() == "edge-1>"
    assert INVALID in connection.send_command("show running-config")
    assert connection.send_command("show privilege") == "Current privilege level is 1"
    connection.enable()
    assert connection.find_prompt() == "edge-1#"
    assert connection.send_command("show privilege") == "Current privilege level is 15"
    connection.exit_enable_mode()
    assert connection.find_prompt() == "edge-1>"
    connection.disconnect()


def test_a_wrong_enable_secret(router: Process) -> None:
    connection = router.login("guest", secret="wrong")
    for line in ("enable", "wrong", "wrong"):
        connection.write_channel(f"{line}\n")
        connection.read_until_pattern("Password: ")
    connection.write_channel("wrong\n")
    assert "% Bad secrets" in connection.read_until_pattern("edge-1>")
    connection.disconnect()


def test_a_wrong_password(router: Process) -> None:
    with pytest.raises(NetmikoAuthenticationException):
        router.login(password="wrong")


def test_configuration_modes_and_their_prompts(login: Any) -> None:
    output = login.send_config_set(
        [
            "interface Gi0/1",
            "ip access-list extended OUTSIDE-IN",
            "ip access-list standard ADMINS",
            "archive",
            "line vty 0 4",
            "exit",
        ],
        cmd_verify=True,
    )
    prompts = re.findall(r"^edge-1(\S*)#", output, re.MULTILINE)
    assert prompts == [
        "(config)",
        "(config-if)",
        "(config-ext-nacl)",
        "(config-std-nacl)",
        "(config-archive)",
        "(config-line)",
        "(config)",
        "",
    ]


@pytest.mark.parametrize("where", ["next-entry", "end"])
def test_where_a_remark_goes(start: Start, where: str) -> None:
    connection = start("--remarks", where).login()
    configure(connection, "ip access-list extended OUTSIDE-IN", "remark note", "5 permit udp any any")
    shown = connection.send_command("show running-config | section OUTSIDE-IN$").splitlines()
    assert shown.index(" remark note") == (1 if where == "next-entry" else len(shown) - 1)


def test_netmiko_sees_each_error(login: Any) -> None:
    for line in ("permit tpc any any", "permit tcp any", "20 deny ip any host 192.0.2.1"):
        with pytest.raises(ConfigInvalidException):
            login.send_config_set(
                ["ip access-list extended OUTSIDE-IN", line],
                error_pattern=r"Invalid input|Incomplete command|Duplicate sequence number",
            )
        login.exit_config_mode()


def test_do_and_pipes(login: Any) -> None:
    output = login.send_config_set(["do show running-config | include ^hostname", "do sho x"])
    assert "\nhostname edge-1\n" in output
    assert re.search(r"^edge-1\(config\)#do sho x\n {22}\^\n", output, re.MULTILINE)
    assert login.send_command("show running-config | section ^archive") == "archive\n path flash:archive"
    assert login.send_command("show running-config | begin ^line vty").splitlines()[1] == " access-class ADMINS in"
    assert login.send_command("show running-config | include ^(hostname|archive)") == "hostname edge-1\narchive"
    assert "secret" not in login.send_command("show running-config | exclude secret")


def test_the_layout_of_the_running_configuration(login: Any) -> None:
    output = login.send_command("show running-config")
    head = re.match(r"Building configuration\.\.\.\n\nCurrent configuration : (\d+) bytes\n", output)
    assert head
    body = output[head.end() :].rstrip("\n") + "\n"
    assert len(body) == int(head[1])
    assert body.endswith("!\nend\n")
    assert " permit tcp any host 10.10.0.5 eq 104\n permit tcp any any established\n deny   ip any any\n" in body
    assert "open-door" not in body
    assert "sesam" not in body


def test_one_interface_of_the_running_configuration(login: Any) -> None:
    output = login.send_command("show running-config interface Gi0/0")
    head, _, body = output.partition("!\n")
    assert head == f"Building configuration...\n\nCurrent configuration : {len(body.rstrip()) + 3} bytes\n"
    assert body.rstrip().splitlines() == [
        "interface GigabitEthernet0/0",
        " description outside",
        " ip address 203.0.113.1 255.255.255.0",
        " ip access-group OUTSIDE-IN in",
        " no ip unreachables",
        " duplex auto",
        "end",
    ]


def test_the_templates_of_others_read_what_is_shown(login: Any) -> None:
    def show(command: str) -> Any:
        return parse_output(platform="cisco_ios", command=command, data=login.send_command(command))

    [version] = show("show version")
    assert (version["hostname"], version["version"]) == ("edge-1", "15.7(3)M8")
    assert show("show clock")
    assert show("show users")[0]["user"] == "admin"
    brief = {one["interface"]: one for one in show("show ip interface brief")}
    assert brief["GigabitEthernet0/2"]["ip_address"] == "10.10.0.1"
    [one] = show("show ip interface GigabitEthernet0/0")
    assert one["inbound_acl"] == "OUTSIDE-IN"
    assert one["outgoing_acl"] == ""
    entries = [one for one in show("show ip access-lists") if one["line_num"]]
    assert [(one["acl_name"], one["line_num"], one["action"]) for one in entries] == [
        ("ADMINS", "10", "permit"),
        ("OUTSIDE-IN", "10", "permit"),
        ("OUTSIDE-IN", "20", "permit"),
        ("OUTSIDE-IN", "30", "deny"),
    ]
    logged = show("show logging")
    assert {one["facility"] for one in logged} >= {"SYS"}


def test_hits_are_shown_as_templates_expect(router: Process) -> None:
    """The access class of the VTYs counts the logins."""
    connection = router.login()
    output = connection.send_command("show ip access-lists ADMINS")
    [entry] = [one for one in parse_output("cisco_ios", "show ip access-lists", output) if one["line_num"]]
    assert re.search(r"10 permit 127\.0\.0\.0, wildcard bits 0\.0\.0\.255 \(\d+ match(es)?\)$", output)
    connection.send_command("clear access-list counters ADMINS")
    assert "match" not in connection.send_command("show ip access-lists ADMINS")
    router.login().disconnect()
    after = connection.send_command("show ip access-lists ADMINS")
    connection.disconnect()
    assert int(entry["matches"]) >= 1
    assert int(parse_output("cisco_ios", "show ip access-lists", after)[-1]["matches"]) == 2  # admitted, then served


def test_saving(start: Start) -> None:
    router = start()
    connection = router.login()
    configure(connection, "interface Gi0/1", "description changed")
    assert "description changed" not in connection.send_command("show startup-config")
    assert connection.send_command("show archive config differences").splitlines() == [
        "!Contextual Config Diffs:",
        "interface GigabitEthernet0/1",
        " -description changed",
        " +description clinic",
    ]
    output = connection.save_config()
    assert "Building configuration...\n[OK]" in output
    assert "description changed" in connection.send_command("show startup-config")
    assert connection.send_command("show archive config differences") == "!No changes were found"
    configure(connection, "interface Gi0/1", "description again")
    connection.write_channel("copy running-config startup-config\n")
    connection.read_until_pattern(r"Destination filename \[startup-config\]\? ")
    connection.write_channel("\n")
    assert "[OK]" in connection.read_until_pattern(r"edge-1#")
    assert connection.send_command("show startup-config | include description again")
    assert re.search(r"NVRAM config last updated at .* by admin", connection.send_command("show running-config"))
    assert "%SYS-5-CONFIG_I: Configured from console by admin on vty0 (127.0.0.1)" in connection.send_command(
        "show logging"
    )


def test_two_sessions_share_one_router(router: Process) -> None:
    one, two = router.login(), router.login("colleague")
    users = [line[1:].split()[3] for line in two.send_command("show users").splitlines()[1:3]]
    assert users == ["admin", "colleague"]
    one.config_mode()
    one.send_config_set(["interface Loopback7"], enter_config_mode=False, exit_config_mode=False)
    assert "interface Loopback7" in two.send_command("show running-config")
    configure(two, "no interface Loopback7")
    one.exit_config_mode()
    assert "Loopback7" not in one.send_command("show running-config")
    one.disconnect()
    two.disconnect()


def test_no_more_sessions_than_lines(router: Process) -> None:
    sessions = [router.login() for _ in range(5)]
    with pytest.raises(Exception, match=r"(?i)closed|reset|banner|eof|connection"):
        router.login()
    for session in sessions:
        session.disconnect()


def test_the_access_class_keeps_others_out(start: Start) -> None:
    router = start(startup=STARTUP.replace("permit 127.0.0.0 0.0.0.255", "permit 127.0.0.77"))
    with pytest.raises(Exception, match=r"(?i)closed|reset|banner|eof|connection"):
        router.login()
    source = socket.create_connection(router.address, source_address=("127.0.0.77", 0))
    router.login(sock=source).disconnect()


def test_lines_of_an_unknown_kind_are_kept_from_the_start_and_refused_when_typed(start: Start) -> None:
    startup = STARTUP.replace("line con 0", "router bgp 65001\n neighbor 192.0.2.1 remote-as 65002\nline con 0")
    connection = start(startup=startup).login()
    shown = connection.send_command("show running-config")
    assert "router bgp 65001\n neighbor 192.0.2.1 remote-as 65002\n" in shown
    assert " duplex auto\n" in shown
    assert INVALID in connection.send_config_set(["router bgp 65002"])


def test_a_fault_in_a_list_of_the_start_configuration_stops_the_start(start: Start) -> None:
    with pytest.raises(AssertionError, match="did not start"):
        start(startup=STARTUP.replace("eq 104", "eq dicom"))


def test_reload_numbers_the_lists_anew_and_forgets_what_was_not_saved(start: Start) -> None:
    router = start()
    connection, other = router.login(), router.login("colleague")
    configure(connection, "ip access-list extended OUTSIDE-IN", "5 deny tcp host 192.0.2.9 any")
    connection.save_config()
    configure(connection, "ip access-list extended OUTSIDE-IN", "7 deny tcp host 192.0.2.10 any")
    connection.write_channel("reload\n")
    connection.read_until_pattern(r"System configuration has been modified. Save\? \[yes/no\]: ")
    connection.write_channel("no\n")
    connection.read_until_pattern(r"Proceed with reload\? \[confirm\]")
    connection.write_channel("\n")
    assert until(other.is_alive, lambda alive: not alive) is False
    again = router.login()
    shown = again.send_command("show ip access-lists OUTSIDE-IN").splitlines()
    assert [line.split("(")[0].strip() for line in shown[1:]] == [
        "10 deny tcp host 192.0.2.9 any",
        "20 permit tcp any host 10.10.0.5 eq 104",
        "30 permit tcp any any established",
        "40 deny ip any any",
    ]


def test_a_router_that_refuses_one_line(start: Start) -> None:
    connection = start("--misbehave", "rejects-line=host 10.10.0.5 eq 11112").login()
    output = connection.send_config_set(
        ["ip access-list extended NEW", "permit tcp any host 10.10.0.5 eq 11112", "permit ip any any"]
    )
    assert output.count(INVALID) == 1
    assert connection.send_command("show ip access-lists NEW").splitlines()[1:] == ["    10 permit ip any any"]
