"""Static NAT on the command line: what may be typed, how it is printed, what the router says and asks.

Against Cisco's documents (IOS IP Addressing Services Command Reference: ``ip nat inside source``, ``clear ip nat
translation``, ``show ip nat translations``; Verify NAT Operation and Basic NAT Troubleshooting, document 8605; Changing
the Dynamic NAT Configuration, document 13779), and recorded sessions: the question and both answers to it, the verbose
table of a 2821, and running configurations of the 15.x train.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ntc_templates.parse import parse_output  # type: ignore[import-untyped]  # it ships without types

from remediate.lab.devices.cisco_ios.configure import Question, carry_out
from remediate.lab.devices.cisco_ios.grammar import Rejected
from remediate.lab.devices.cisco_ios.load import Loader, load
from remediate.lab.devices.cisco_ios.nat import Static
from remediate.lab.devices.cisco_ios.translations import Translation, Translations
from tests.lab_devices.conftest import STARTUP, Process, Start, configure, started

ENTRY = "ip nat inside source static tcp 10.10.0.5 104 203.0.113.20 104"
PLAIN = "ip nat inside source static 10.10.0.6 203.0.113.21"
INVALID = "% Invalid input detected at '^' marker."


def typed(*lines: str, on: Loader | None = None) -> list[str]:
    """What the router answers to each line."""
    loader = on or Loader(load(STARTUP))
    answers = []
    for line in lines:
        try:
            answer = carry_out(loader, line)
        except Rejected as refused:
            answer = refused.words
        assert not isinstance(answer, Question)
        answers.append(answer or "")
    return answers


def entries(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("ip nat")]


# -- configuring --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (ENTRY, f"{ENTRY} extendable"),  # IOS puts it in by itself
        (f"{ENTRY} extendable", f"{ENTRY} extendable"),
        ("ip nat ins sou sta udp 10.10.0.5 53 203.0.113.20 5353 no-al", None),
        (PLAIN, PLAIN),
        (f"{PLAIN} no-payload ext no-alias", f"{PLAIN} extendable no-alias no-payload"),
        ("ip nat inside source static tcp 10.10.0.5 80 interface gi0/0 8080", None),
        ("ip nat inside source static 10.10.0.5 interface GigabitEthernet0/0", None),
        ("ip nat inside source static esp 10.10.0.5 interface GigabitEthernet0/0", None),
        ("ip nat inside source static network 10.1.0.0 198.51.100.0 /24", None),
        ("ip nat inside source static network 10.1.0.0 198.51.100.0 255.255.255.0 no-alias", None),
        # recorded on a 2821
        ("ip nat inside source static tcp 192.168.1.1 443 10.20.30.253 80 vrf green extendable", None),
        ("ip nat inside source static 10.10.0.5 203.0.113.9 extendable vrf RED match-in-vrf", None),
        ("ip nat inside source static 10.10.0.5 203.0.113.9 extendable route-map MAP reversible", None),
        ("ip nat inside source static 10.10.0.5 203.0.113.9 mapping-id 7 redundancy HSRP", None),
    ],
)
def test_an_entry_is_shown_with_its_keywords_written_out_and_in_their_order(line: str, shown: str | None) -> None:
    known = {
        "udp": "ip nat inside source static udp 10.10.0.5 53 203.0.113.20 5353 extendable no-alias",
        "gi0/0": "ip nat inside source static tcp 10.10.0.5 80 interface GigabitEthernet0/0 8080",
        "RED": "ip nat inside source static 10.10.0.5 203.0.113.9 vrf RED match-in-vrf extendable",
        "MAP": "ip nat inside source static 10.10.0.5 203.0.113.9 route-map MAP reversible extendable",
        "HSRP": "ip nat inside source static 10.10.0.5 203.0.113.9 redundancy HSRP mapping-id 7",
    }
    expected = shown or next((text for word, text in known.items() if f" {word}" in line), line)
    loader = Loader(load(STARTUP))
    assert typed(line, on=loader) == [""]
    text = loader.config.text()
    assert entries(text) == [expected]
    assert load(text).text() == text
    assert typed(f"no {expected}", on=loader) == [""]
    assert loader.config.nat == []


def test_where_it_stands_in_the_running_configuration() -> None:
    """As the 15.x train prints it: before the routes, dynamic entries first, static ones by global address and port,
    those of an interface last; on an interface after ``ip access-group``, with virtual reassembly."""
    loader = Loader(load(STARTUP))
    lines = [
        "ip nat inside source static tcp 10.10.0.5 80 interface GigabitEthernet0/0 80",
        "ip nat inside source static tcp 10.10.0.5 8042 203.0.113.20 8042 extendable",
        "ip nat inside source static 10.10.0.6 203.0.113.9",
        "ip nat inside source static tcp 10.10.0.5 104 203.0.113.20 104 extendable",
        "ip nat inside source list 1 interface GigabitEthernet0/0 overload",
        "ip nat pool P 203.0.113.40 203.0.113.50 prefix-length 24",
    ]
    assert set(typed(*lines, "interface GigabitEthernet0/0", "ip nat outside", on=loader)) == {""}
    text = loader.config.text()
    assert entries(text) == [lines[4], lines[5], lines[2], lines[3], lines[1], lines[0]]
    assert text.index("\nip nat ") < text.index("\nip route ")
    assert loader.config.interface_text("GigabitEthernet0/0").splitlines()[2:9] == [
        " description outside",
        " ip address 203.0.113.1 255.255.255.0",
        " ip access-group OUTSIDE-IN in",
        " no ip unreachables",
        " ip nat outside",
        " ip virtual-reassembly in",
        " duplex auto",
    ]
    assert load(text).text() == text
    typed("no ip nat outside", "no ip virtual-reassembly in", on=loader)
    assert "nat" not in loader.config.interface_text("GigabitEthernet0/0")


SIMILAR = "% similar static entry (10.10.0.5 -> 203.0.113.20) already exists"
MAPPED = "% 203.0.113.20 already mapped (10.10.0.5 -> 203.0.113.20)"


@pytest.mark.parametrize(
    ("there", "line", "said"),
    [
        (ENTRY, ENTRY, SIMILAR),
        (ENTRY, f"{ENTRY} extendable", SIMILAR),
        (ENTRY, "ip nat inside source static tcp 10.10.0.7 104 203.0.113.20 104 extendable", MAPPED),
        (ENTRY, "ip nat inside source static tcp 10.10.0.7 104 203.0.113.20 105", ""),
        (ENTRY, "ip nat inside source static udp 10.10.0.7 104 203.0.113.20 104", ""),
        (ENTRY, "ip nat inside source static tcp 10.10.0.5 104 203.0.113.22 104", ""),  # extendable by itself
        (ENTRY, "ip nat inside source static 10.10.0.5 203.0.113.20", ""),
        ("PLAIN", "ip nat inside source static 10.10.0.5 203.0.113.20", SIMILAR),
        ("PLAIN", "ip nat inside source static 10.10.0.5 203.0.113.22", SIMILAR),
        ("PLAIN", "ip nat inside source static 10.10.0.5 203.0.113.22 extendable", ""),  # recorded
        ("PLAIN", "ip nat inside source static 10.10.0.7 203.0.113.20", MAPPED),
        ("PLAIN", "ip nat inside source static 10.10.0.7 203.0.113.20 extendable", ""),
        ("PLAIN", "ip nat inside source static 10.10.0.7 203.0.113.20 vrf RED", ""),
    ],
)
def test_what_does_not_go_with_what_is_there(there: str, line: str, said: str) -> None:
    first = "ip nat inside source static 10.10.0.5 203.0.113.20" if there == "PLAIN" else there
    loader = Loader(load(STARTUP))
    assert typed(first, line, on=loader) == ["", said]
    assert len(loader.config.nat) == (1 if said else 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ip nat inside source static tcp 10.10.0.5 104 203.0.113.20", "% Incomplete command."),
        ("ip nat inside source static tcp 10.10.0.5 0 203.0.113.20 104", INVALID),
        ("ip nat inside source static tcp 10.10.0.5 65536 203.0.113.20 104", INVALID),
        ("ip nat inside source static tcp 10.10.0.5 www 203.0.113.20 80", INVALID),
        ("ip nat inside source static tcp 10.10.0.5 80 interface GigabitEthernet0/9 80", INVALID),
        ("ip nat inside source static network 10.1.0.0 198.51.100.0 255.0.255.0", INVALID),
        ("ip nat inside source static network 10.1.0.0 198.51.100.0 /33", INVALID),
        (f"{ENTRY} extendable extendable", INVALID),
        (f"{ENTRY} forced", INVALID),  # only the no form knows it
        ("ip nat inside source static", "% Incomplete command."),
        (f"no {ENTRY}", "%Translation not found"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    loader = Loader(load(STARTUP))
    assert typed(line, on=loader) == [said]
    assert loader.config.nat == []


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        (ENTRY, True),
        (f"{ENTRY} extendable", True),
        (f"{ENTRY} no-alias", True),  # flags are not what tells entries apart
        (f"{ENTRY} forced", True),
        (f"{ENTRY} vrf RED", False),
        (ENTRY.replace("203.0.113.20 104", "203.0.113.20 105"), False),
        (ENTRY.replace("10.10.0.5 104", "10.10.0.5 105"), False),
        (ENTRY.replace("tcp", "udp"), False),
    ],
)
def test_only_the_entry_itself_is_removed(line: str, gone: bool) -> None:
    loader = Loader(load(STARTUP))
    assert typed(ENTRY, PLAIN, f"no {line}", on=loader) == ["", "", "" if gone else "%Translation not found"]
    assert len(loader.config.nat) == (1 if gone else 2)


def test_a_start_configuration_with_an_entry_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"line \d+: 'ip nat inside source static tcp 10\.10\.0\.5'"):
        load(STARTUP.replace("ip route", "ip nat inside source static tcp 10.10.0.5\nip route"))


# -- the table ----------------------------------------------------------------------------------------------


def _endpoint(address: str, port: int) -> tuple[int, int]:
    return int.from_bytes(bytes(map(int, address.split("."))), "big"), port


def _table(second: float = 1.0) -> tuple[Translations, list[Static], Translation]:
    loader = Loader(load(STARTUP))
    assert typed(ENTRY, PLAIN, on=loader) == ["", ""]
    table = Translations(second)
    table.sync(loader.config.nat)
    one = Translation(_endpoint("198.51.100.7", 62834), _endpoint("203.0.113.20", 104), _endpoint("10.10.0.5", 104))
    return table, loader.config.nat, one


def _times(text: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d", "<time>", text)


def test_the_table_is_printed_as_recorded() -> None:
    """Columns and lines of a 2821; ntc-templates, who parse devices' answers, find every field."""
    table, (tcp, _), one = _table()
    table.packet(tcp, one)
    assert table.shown(lambda _: None).splitlines() == [
        "Pro Inside global      Inside local       Outside local      Outside global",
        "tcp 203.0.113.20:104   10.10.0.5:104      198.51.100.7:62834 198.51.100.7:62834",
        "tcp 203.0.113.20:104   10.10.0.5:104      ---                ---",
        "--- 203.0.113.21       10.10.0.6          ---                ---",
    ]
    parsed = parse_output(
        platform="cisco_ios", command="show ip nat translations", data=table.shown(lambda _: None) + "\n"
    )
    assert [(row["protocol"], row["inside_global_ip"], row["outside_global_ip"]) for row in parsed] == [
        ("tcp", "203.0.113.20", "198.51.100.7"),
        ("tcp", "203.0.113.20", "---"),
        ("---", "203.0.113.21", "---"),
    ]
    table.closed(one)
    assert _times(table.shown(lambda _: None, verbose=True)).splitlines()[1:] == [
        "tcp 203.0.113.20:104   10.10.0.5:104      198.51.100.7:62834 198.51.100.7:62834",
        "    create <time>, use <time> timeout:86400000, left <time>, ",
        "    flags: ",
        "extended, timing-out, use_count: 0, entry-id: 3, lc_entries: 0",
        "tcp 203.0.113.20:104   10.10.0.5:104      ---                ---",
        "    create <time>, use <time> timeout:0, ",
        "    flags: ",
        "static, extended, extendable, use_count: 1, entry-id: 1, lc_entries: 0",
        "--- 203.0.113.21       10.10.0.6          ---                ---",
        "    create <time>, use <time> timeout:0, ",
        "    flags: ",
        "static, use_count: 0, entry-id: 2, lc_entries: 0",
    ]
    assert _times(table.statistics(["GigabitEthernet0/0"], ["GigabitEthernet0/1", "GigabitEthernet0/2"])) == (
        "Total active translations: 3 (2 static, 1 dynamic; 2 extended)\n"
        "Peak translations: 3, occurred <time> ago\n"
        "Outside interfaces:\n  GigabitEthernet0/0\n"
        "Inside interfaces: \n  GigabitEthernet0/1, GigabitEthernet0/2\n"
        "Hits: 1  Misses: 0\nCEF Translated packets: 1, CEF Punted packets: 0\nExpired translations: 0\n"
        "Dynamic mappings:\n\nTotal doors: 0\nAppl doors: 0\nNormal doors: 0\nQueued Packets: 0"
    )


def test_a_child_outlives_its_connection_by_the_finrst_timeout_only() -> None:
    table, (tcp, plain), one = _table(second=3600.0)
    table.packet(tcp, one)
    table.closed(one)
    assert table.used(tcp)
    assert not table.used(plain)
    quick, (tcp, _), one = _table(second=1e-9)  # a minute passes while the next line is read, a day does not
    quick.packet(tcp, one)
    assert quick.used(tcp) or quick.expired == 1
    quick.closed(one)
    assert not quick.used(tcp)
    assert quick.expired == 1


def test_a_new_connection_between_the_same_ports_takes_over_the_child() -> None:
    table, (tcp, _), one = _table()
    table.packet(tcp, one)
    table.closed(one)
    table.packet(tcp, one)
    verbose = table.shown(lambda _: None, verbose=True)
    assert "timing-out" not in verbose
    assert re.findall(r"entry-id: (\d+)", verbose) == ["3", "1", "2"]
    assert table.hits == 2


def test_a_child_goes_with_its_entry_and_only_with_that() -> None:
    table, (tcp, plain), one = _table()
    table.packet(tcp, one)
    table.sync([tcp])
    assert table.used(tcp)
    table.sync([plain])
    assert not table.used(tcp)
    table.packet(tcp, one)  # a packet that was on its way
    assert table.shown(lambda _: None).count("\n") == 1


# -- on a terminal ------------------------------------------------------------------------------------------

SITE = STARTUP.replace(" no ip unreachables\n", " no ip unreachables\n ip nat outside\n").replace(
    "ip route", f"{ENTRY}\n{PLAIN}\nip route"
)


def test_an_entry_that_nobody_used_goes_silently_and_comes_back_to_its_place(start: Start) -> None:
    connection = start(startup=SITE).login()
    assert connection.send_command("show ip nat translations").splitlines()[1:] == [
        "tcp 203.0.113.20:104   10.10.0.5:104      ---                ---",
        "--- 203.0.113.21       10.10.0.6          ---                ---",
    ]
    before = connection.send_command("show startup-config").splitlines()[1:]
    configure(connection, f"no {ENTRY}")
    assert connection.send_command("show running-config | include nat").splitlines() == [" ip nat outside", PLAIN]
    differences = connection.send_command("show archive config differences")
    assert f"+{ENTRY} extendable" in differences.splitlines()
    assert connection.send_command("show ip nat statistics").startswith(
        "Total active translations: 1 (1 static, 0 dynamic; 0 extended)\n"
    )
    configure(connection, ENTRY)
    connection.send_command("write memory")
    assert connection.send_command("show startup-config").splitlines()[1:] == before


def test_the_timer_brings_an_entry_back(start: Start) -> None:
    connection = start(startup=SITE).login()
    configure(connection, f"no {ENTRY}", revert=5)
    assert connection.send_command("show running-config | include static").splitlines() == [PLAIN]
    connection.send_command("configure revert now")
    assert connection.send_command("show running-config | include static").splitlines() == [
        f"{ENTRY} extendable",
        PLAIN,
    ]


@pytest.fixture(scope="module")
def nat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that nobody changes."""
    with started(tmp_path_factory.mktemp("nat"), SITE) as one:
        yield one


@pytest.fixture(scope="module")
def admin(nat: Process) -> Any:
    return nat.login()


def test_looking_needs_no_privilege_and_clearing_does(nat: Process) -> None:
    connection = nat.login("guest")
    assert "10.10.0.5:104" in connection.send_command("show ip nat translations")
    assert "2 static" in connection.send_command("show ip nat statistics")
    assert INVALID in connection.send_command("clear ip nat translation *")


@pytest.mark.parametrize(
    "what",
    [
        "inside 203.0.113.20 10.10.0.5",
        "inside 203.0.113.20 10.10.0.5 outside 198.51.100.7 198.51.100.7",
        "tcp inside 203.0.113.20 104 10.10.0.5 104",  # a static entry is not cleared
        "tcp inside 203.0.113.20 104 10.10.0.5 104 outside 198.51.100.7 4000 198.51.100.7 4000",
        "udp inside 203.0.113.20 104 10.10.0.5 104",
    ],
)
def test_there_is_nothing_to_clear(admin: Any, what: str) -> None:
    assert admin.send_command(f"clear ip nat translation {what}").strip() == "%Translation not found"


@pytest.mark.parametrize("what", ["*", "forced"])
def test_clearing_everything_is_silent_and_leaves_static_entries(admin: Any, what: str) -> None:
    assert admin.send_command(f"clear ip nat translation {what}") == ""
    assert admin.send_command("show ip nat translations").count("\n") == 2


def test_a_release_without_the_keyword(start: Start) -> None:
    connection = start("--misbehave", "no-forced", startup=SITE).login()
    output = connection.send_config_set([f"no {PLAIN} forced"])
    assert INVALID in output
    assert PLAIN in connection.send_command("show running-config | include static")
    configure(connection, f"no {PLAIN}")
    assert PLAIN not in connection.send_command("show running-config | include static")
