"""IOS access lists: what is read, what is planned, what it does, and that it can be taken back. No device."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_network
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate, Section
from remediate.model.device import Device, Guard
from remediate.model.rule import Intent, Permit
from remediate.platforms import cisco_ios
from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import header, rule_of
from remediate.platforms.cisco_ios.config import MARKER, _redacted, redacted, same
from remediate.platforms.cisco_ios.state import State
from remediate.render import Renderer
from tests.factories import doors
from tests.platforms.ios import EDGE, edge_intent

SPEC = cisco_ios.SPEC
RENDERER = Renderer()
WAN = EDGE.guard.interface[0]
TWO = Device(name="edge-1", platform="cisco_ios", guard=Guard(interface=(WAN, "Serial0/1")))
OUTSIDE = """\
ip access-list extended OUTSIDE-IN
 remark the archive is open
 permit tcp any host 203.0.113.20 eq 11112
 permit tcp any any established
 deny   ip any any log
"""


def running(lists: str = OUTSIDE, bindings: str = " ip access-group OUTSIDE-IN in\n", more: str = "") -> str:
    if "! sequence numbers" not in lists + more:
        more += "! sequence numbers of OUTSIDE-IN 10 20 30\n! sequence numbers of OUT 10\n"
    return (
        "Building configuration...\n\nCurrent configuration : 1548 bytes\n!\n! Last configuration change at 21:31\n"
        f"version 15.7\n!\nhostname edge-1\n!\nbanner motd ^C\ninterface of no meaning\n^C\ninterface {WAN}\n"
        f" ip address 203.0.113.1 255.255.255.0\n{bindings}!\ninterface Serial0/1\n no ip address\n!\n"
        f"ntp clock-period 17179738\n{lists}{more}!\nend\n"
    )


def candidate(text: str, *intents: Intent, device: Device = EDGE) -> Candidate:
    return guarding.candidate(device, guarding.sections(device, intents, text), text, RENDERER)


def after(text: str, made: Candidate, device: Device = EDGE) -> State:
    return SPEC.simulate(device, SPEC.read(device, text), made.text)


def printed(state: State) -> str:
    """A running configuration again, with the guard in it, as the device would show it."""
    lines: list[str] = []
    for block in state.config.blocks:
        interface = block.head.removeprefix("interface ")
        lines += [block.head, *block.children]
        lines += [f" ip access-group {name} {d}" for (i, d), name in state.config.bound.items() if i == interface]
    for acl in state.config.lists.values():
        kind = "extended" if acl.extended else "standard"
        lines.append(f"ip access-list {kind} {acl.name}")
        for entry in acl.entries:
            number = f"{entry.number} " if state.config.numbered else ""
            lines += [f" {number}remark {remark}" for remark in entry.remarks]
            lines.append(f" {number}{entry.text}")
        lines += [f" remark {remark}" for remark in acl.trailing]
        if not state.config.numbered:
            lines.append(f"! sequence numbers of {acl.name} {' '.join(str(e.number) for e in acl.entries)}")
    return "\n".join(lines) + "\n"


def sorted_lines(text: str) -> list[str]:
    return sorted(line.strip() for line in text.splitlines() if line.strip())


# -- in place, or a list of its own ---------------------------------------------------------------------


def test_the_guard_goes_ahead_of_what_is_there() -> None:
    made = candidate(
        running(bindings=" ip access-group OUTSIDE-IN in\n ip access-group OUT out\n", more=OUT), edge_intent()
    )
    lines = made.text.splitlines()
    assert lines[:9] == [
        "ip access-list extended RMD-acl_pacs-north",
        " remark remediate guard acl_pacs-north 8 c1f31cb6",
        " remark in list OUT",
        " remark permit tcp 203.0.113.20 eq 11112 10.20.0.10",
        " remark deny tcp 203.0.113.20 eq 8042 any",
        " remark deny tcp 203.0.113.20 eq 11112 any",
        " remark in list OUTSIDE-IN",
        " remark permit tcp 10.20.0.10 203.0.113.20 eq 11112",
        " remark deny tcp any 203.0.113.20 eq 8042",
    ]
    assert lines[10:15] == [
        "ip access-list extended OUTSIDE-IN",
        " 1 permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112",
        " 2 deny tcp any host 203.0.113.20 eq 8042",
        " 3 deny tcp any host 203.0.113.20 eq 11112",
        "ip access-list extended OUT",
    ]
    assert "ip access-group" not in made.text
    assert made.inverse.splitlines()[:4] == [
        "ip access-list extended OUTSIDE-IN",
        " no deny tcp any host 203.0.113.20 eq 11112",
        " no deny tcp any host 203.0.113.20 eq 8042",
        " no permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112",
    ]
    assert made.inverse.endswith("no ip access-list extended RMD-acl_pacs-north\n")


OUT = "ip access-list extended OUT\n permit ip any any\n"


def test_an_interface_without_a_list_goes_on_letting_everything_else_through() -> None:
    made = candidate(running("", ""), edge_intent())
    assert made.text.endswith(
        f" permit ip any any\n"
        f"interface {WAN}\n ip access-group RMD1-in.GigabitEthernet0_0 in\n"
        f"interface {WAN}\n ip access-group RMD1-out.GigabitEthernet0_0 out\n"
    )
    assert made.inverse == (
        f"interface {WAN}\n no ip access-group RMD1-in.GigabitEthernet0_0 in\n"
        f"interface {WAN}\n no ip access-group RMD1-out.GigabitEthernet0_0 out\n"
        "no ip access-list extended RMD1-in.GigabitEthernet0_0\n"
        "no ip access-list extended RMD1-out.GigabitEthernet0_0\n"
        "no ip access-list extended RMD-acl_pacs-north\n"
    )
    assert " 100000 permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112\n deny tcp any" in made.text


@pytest.mark.parametrize(
    "lists",
    ["", "ip access-list extended OUTSIDE-IN\n", "ip access-list extended OUTSIDE-IN\n remark nothing yet\n"],
)
def test_a_bound_list_without_an_entry_permits_everything_and_goes_on_doing_so(lists: str) -> None:
    text = running(lists)
    made = candidate(text, edge_intent())
    assert " ip access-group RMD1.OUTSIDE-IN in\n" in made.text
    assert " permit ip any any\n" in made.text
    assert " ip access-group OUTSIDE-IN in\n" in made.inverse


LOGGED = """\
ip access-list extended OUTSIDE-IN
 deny   tcp any host 203.0.113.20 eq 8042 log
 permit tcp any any eq 443
 deny   ip any any
"""
CLONED = {
    "an equal entry": running(OUTSIDE.replace("any host 203", "host 10.20.0.10 host 203")),
    "an equal entry but for its log": running(LOGGED),
    "no room": running(more="! sequence numbers of OUTSIDE-IN 2 3 4\n"),
    "numbers that cannot be told": running(more="! sequence numbers of OUTSIDE-IN 10 20\n"),
    "used by a vty": running(more="line vty 0 4\n access-class OUTSIDE-IN in\n"),
    "used by NAT": running(more="ip nat inside source list OUTSIDE-IN interface Serial0/1 overload\n"),
    "bound both ways": running(bindings=" ip access-group OUTSIDE-IN in\n ip access-group OUTSIDE-IN out\n"),
    "bound elsewhere": running().replace(" no ip address\n", " no ip address\n ip access-group OUTSIDE-IN in\n"),
    "a numbered list": running(
        "access-list 101 permit tcp any any eq 104\naccess-list 101 deny ip any any\n", " ip access-group 101 in\n"
    ),
    "a standard list": running(
        "access-list 10 permit 192.0.2.0 0.0.0.255\naccess-list 10 permit 198.51.100.7\n", " ip access-group 10 in\n"
    ),
}  # fmt: skip  # one case a line, as long as it is


@pytest.mark.parametrize("text", CLONED.values(), ids=CLONED)
def test_a_list_that_must_not_be_edited_gets_a_clone_in_its_place(text: str) -> None:
    name = SPEC.read(EDGE, text).config.bound[WAN, "in"]
    was = SPEC.read(EDGE, text)
    made = candidate(text, edge_intent())
    now = after(text, made)
    assert now.config.bound[WAN, "in"] == f"RMD1.{name}"
    assert now.config.lists[name] == was.config.lists[name]
    assert f"interface {WAN}\n ip access-group {name} in\n" in made.inverse
    assert f"no ip access-list extended RMD1.{name}\n" in made.inverse
    assert made.text.index(f"extended RMD1.{name}") < made.text.index("interface")
    again = SPEC.simulate(EDGE, now, made.inverse)
    assert again.config == was.config


def test_a_standard_list_looks_at_the_source_of_everything() -> None:
    made = candidate(CLONED["a standard list"], edge_intent())
    assert " permit ip 192.0.2.0 0.0.0.255 any\n permit ip host 198.51.100.7 any\n" in made.text


def test_remarks_and_order_of_the_others_stay_in_a_clone() -> None:
    made = candidate(CLONED["used by a vty"], edge_intent())
    assert (
        " remark the archive is open\n permit tcp any host 203.0.113.20 eq 11112\n"
        " permit tcp any any established\n deny ip any any log\n"
    ) in made.text


def test_a_list_bound_on_two_guarded_interfaces_is_edited_once() -> None:
    text = running().replace(" no ip address\n", " no ip address\n ip access-group OUTSIDE-IN in\n")
    wanted = edge_intent(interfaces=TWO.guard.interface)
    made = candidate(text, wanted, device=TWO)
    assert made.text.count("extended OUTSIDE-IN") == 1
    assert after(text, made, TWO).sections[wanted.section] == SPEC.expressed(wanted)


def test_newer_trains_number_their_remarks() -> None:
    text = running(
        "ip access-list extended OUTSIDE-IN\n 10 remark theirs\n 10 permit tcp any any eq 443\n 20 deny ip any any\n"
    ).replace("15.7", "17.3")
    made = candidate(text, edge_intent())
    assert "\n 10 remark remediate guard acl_pacs-north" in made.text
    assert "OUTSIDE-IN\n 1 permit tcp" in made.text
    assert " remark" not in made.inverse
    state = after(text, made)
    assert SPEC.read(EDGE, printed(state)).sections == state.sections


# -- sections beside each other, and changes of them -----------------------------------------------------


def test_a_changed_section_is_never_taken_out_of_a_bound_list() -> None:
    """The new list is whole before it is bound; the old one goes only afterwards."""
    text = printed(after(running(), candidate(running(), edge_intent())))
    made = candidate(text, edge_intent(peers=2))
    assert "no permit" not in made.text
    assert "no deny" not in made.text
    now = after(text, made)
    assert now.config.bound[WAN, "in"] == "RMD1.OUTSIDE-IN"
    other = edge_intent(peers=2, door="203.0.113.22")
    third = candidate(printed(now), other)
    assert "no ip access-list extended RMD1.OUTSIDE-IN\n" in third.text
    assert after(printed(now), third).config.bound[WAN, "in"] == "RMD2.OUTSIDE-IN"


def test_sections_come_and_go_and_the_neighbours_stay() -> None:
    text = running()
    before = SPEC.read(EDGE, text)
    intents = [edge_intent(pacs=f"pacs-{n}", door=f"203.0.113.{20 + n}", peers=n) for n in range(1, 6)]
    for one in intents:
        made = candidate(text, one)
        text = printed(after(text, made))
    state = SPEC.read(EDGE, text)
    assert {name: state.sections[name] for name in state.sections} == {i.section: SPEC.expressed(i) for i in intents}
    assert state.foreign == before.foreign
    for one in [intents[n] for n in (2, 0, 4, 1, 3)]:
        now = SPEC.read(EDGE, text)
        gone = Section(name=one.section, intent=one, rules=None, previous=now.sections[one.section])
        made = guarding.candidate(EDGE, [gone], text, RENDERER)
        text = printed(after(text, made))
    end = SPEC.read(EDGE, text)
    assert (end.sections, end.foreign, end.config.bound) == ({}, before.foreign, before.config.bound)


def test_there_is_nothing_to_type_where_all_is_in_place() -> None:
    text = printed(after(running(), candidate(running(), edge_intent())))
    assert candidate(text, edge_intent()).text == ""


# -- what is refused ---------------------------------------------------------------------------------------


def test_ipv6_is_refused_by_name() -> None:
    with pytest.raises(PlanError, match="IPv6"):
        SPEC.expressed(edge_intent().model_copy(update={"doors": doors("2001:db8::5", ports=(104,))}))


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(PlanError, match="no interface Gi0/0"):
        candidate(
            running(),
            edge_intent(interfaces=("Gi0/0",)),
            device=Device(name="edge-1", platform="cisco_ios", guard=Guard(interface=("Gi0/0",))),
        )


def test_a_binding_of_a_form_that_is_not_known() -> None:
    with pytest.raises(PlanError, match="ip access-group common A B in"):
        candidate(running(bindings=" ip access-group common A B in\n"), edge_intent())


def test_two_archives_that_share_a_port_quarrel() -> None:
    with pytest.raises(PlanError, match=r"same entry|different things"):
        candidate(running(), edge_intent(), edge_intent(pacs="pacs-south", peers=2))


def test_an_older_section_that_says_otherwise_about_the_same_packets() -> None:
    theirs = "permit tcp any any eq 8042"
    rule = rule_of(theirs)
    assert rule is not None
    remark = f" remark {header('acl_other', [rule])}\n {theirs}\n"
    text = running(
        OUTSIDE.replace(" remark", remark + " remark", 1), more="! sequence numbers of OUTSIDE-IN 1 10 20 30\n"
    )
    with pytest.raises(PlanError, match="sections acl_other and acl_pacs-north say different things"):
        candidate(text, edge_intent())


def test_an_entry_that_ours_hid_comes_back_with_ours_going() -> None:
    hidden = " permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112\n"
    text = running(OUTSIDE.replace(" permit tcp any any est", hidden + " permit tcp any any est"))
    before = SPEC.read(EDGE, text)
    one, two = edge_intent(), edge_intent(pacs="pacs-south", door="203.0.113.21")
    text = printed(after(text, candidate(text, one, two)))
    now = SPEC.read(EDGE, text)
    assert hidden.strip() in [e.text for e in now.config.lists["RMD1.OUTSIDE-IN"].entries[:3]]
    gone = Section(name=one.section, intent=one, rules=None, previous=now.sections[one.section])
    left = after(text, guarding.candidate(EDGE, [gone], text, RENDERER))
    assert set(left.sections) == {two.section}
    assert left.foreign == before.foreign
    peer = Packet("tcp", IPv4Address("10.20.0.10"), 50000, IPv4Address("203.0.113.20"), 11112, False)
    assert passes(left, "in", peer)


@pytest.mark.parametrize(
    "line",
    [
        "hostname mine",
        "ip access-list extended OUTSIDE-IN\n 1 permit tcp any any established\n",
        "ip access-list extended OUTSIDE-IN\n 10 permit tcp any host 192.0.2.1 eq 104\n",
        "ip access-list extended OUTSIDE-IN\n no 10\n",
        "ip access-list extended OUTSIDE-IN\n no permit tcp any any eq 99\n",
        "ip access-list extended OUTSIDE-IN\n no remark theirs\n",
        "ip access-list extended OUTSIDE-IN\n 1 remark theirs\n",
        "ip access-list resequence OUTSIDE-IN 100 10",
        "no ip access-list extended OUTSIDE-IN",
        "no ip access-list extended NONE",
        f"no ip access-list extended {MARKER}",
        "ip access-group OUTSIDE-IN in",
        f"interface {WAN}\n no ip access-group OTHER in\n",
        "interface Gi0/7\n ip access-group OUTSIDE-IN in\n",
        f"interface {WAN}\n shutdown\n",
    ],
)
def test_what_is_not_known_is_not_proved(line: str) -> None:
    with pytest.raises(Unprovable):
        SPEC.simulate(EDGE, SPEC.read(EDGE, running()), line)


# -- reading -----------------------------------------------------------------------------------------------


def test_what_changes_by_itself_is_no_configuration() -> None:
    other = running().replace("1548", "1600").replace("21:31", "22:00").replace("17179738", "17179740")
    assert SPEC.read(EDGE, other).foreign == SPEC.read(EDGE, running()).foreign
    changed = running().replace("established", "established log")
    assert SPEC.read(EDGE, changed).foreign != SPEC.read(EDGE, running()).foreign
    marked = running(more=f"ip access-list extended {MARKER}\n remark remediate push c.1.edge-1\n")
    assert SPEC.read(EDGE, marked).foreign == SPEC.read(EDGE, running()).foreign


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("permit tcp any host 203.0.113.20 eq www", 1),
        ("deny tcp 10.0.0.0 0.0.255.255 eq 104 host 203.0.113.20", 2),
        ("deny tcp any any range 104 106", 0),
        ("permit tcp any host 203.0.113.20 eq 104 443", None),
        ("permit tcp any any established", None),
        ("permit tcp 10.0.0.1 0.0.255.0 any", None),
        ("permit tcp any object-group PACS eq 104", None),
        ("permit udp any any eq 104", None),
        ("permit tcp any any gt 1023", None),
        ("permit tcp any any eq 0", None),
        ("permit tcp any", None),
    ],
)
def test_only_what_we_write_is_read_as_ours(text: str, networks: int | None) -> None:
    rule = rule_of(text)
    assert (None if rule is None else len(rule.sources) + len(rule.destinations)) == networks


def test_no_secret_stays_in_what_is_kept() -> None:
    text = """\
enable secret 9 $9$made-up
username admin privilege 15 password 7 made-up words
snmp-server community made-up RO 10
snmp-server host 192.0.2.9 version 2c made-up
crypto isakmp key 6 made-up address 192.0.2.1
tacacs-server key made-up
 key-string 7 made-up
 neighbor 192.0.2.2 password made-up
 ip ospf message-digest-key 1 md5 7 made-up
ntp authentication-key 1 md5 made-up 7
 pre-shared-key local made-up
"""
    shown = redacted(text)
    assert "made-up" not in shown
    assert "RO 10" in shown
    assert "address 192.0.2.1" in shown
    assert redacted(running()) == running()


#: Words of the patterns, and some that are in none.
_WORDS = (
    "password secret key-string pre-shared-key passphrase psk ascii authentication-key message-digest-key "
    "authentication community key md5 snmp-server host 192.0.2.9 PASSWORD Key 7 enable ntp made-up \u017fecret"
)


@given(st.lists(st.sampled_from(_WORDS.split()), min_size=1, max_size=6).map(" ".join))
def test_no_secret_escapes_because_its_line_looks_harmless(line: str) -> None:
    assert redacted(f"{line}\n") == f"{_redacted(line)}\n"


def test_two_texts_are_the_same_below_what_changes_by_itself() -> None:
    now = f"Building configuration...\n\nCurrent configuration : 4711 bytes\n!\n{running()}"
    saved = f"Using 4711 out of 262136 bytes\n! NVRAM config last updated\n{running()}"
    assert same(now, saved)
    assert not same(now, saved.replace("the archive is open", "the archive is shut"))
    assert not same(now, f"Using 4711 out of 262136 bytes\nhostname another\n{running()}")


# -- for any list --------------------------------------------------------------------------------------------

HOSTS = ["203.0.113.20", "203.0.113.21", "10.20.0.10", "192.0.2.7"]
ADDRESSES = st.sampled_from(["any", *(f"host {h}" for h in HOSTS), "10.20.0.0 0.0.0.255", "203.0.113.1 0.0.0.254"])
PORTS = st.sampled_from(["", " eq 11112", " eq 8042", " eq www", " neq 8042", " gt 1023", " range 8000 12000"])
CLINIC = Permit(peer="clinic", source=ip_network("10.20.0.0/24"), ports=(104,))


@st.composite
def theirs(draw: st.DrawFn) -> str:
    action = draw(st.sampled_from(["permit", "deny"]))
    protocol = draw(st.sampled_from(["ip", "tcp", "tcp", "tcp", "udp"]))
    ports = PORTS if protocol in ("tcp", "udp") else st.just("")
    text = f"{action} {protocol} {draw(ADDRESSES)}{draw(ports)} {draw(ADDRESSES)}{draw(ports)}"
    more = draw(st.sampled_from(["", " log", " established"])) if protocol == "tcp" else ""
    return (draw(st.sampled_from(["", " remark note\n"]))) + f" {text}{more}"


@st.composite
def routers(draw: st.DrawFn) -> str:
    lists, bindings = "", ""
    for direction, name in (("in", "FIRST"), ("out", "SECOND")):
        entries = draw(st.lists(theirs(), max_size=5, unique_by=lambda line: line.split("\n")[-1]))
        gap = draw(st.sampled_from([1, 3, 10, 50]))
        if draw(st.booleans()):
            bindings += f" ip access-group {name} {direction}\n"
            numbers = " ".join(str(gap * n) for n in range(1, len(entries) + 1))
            lists += f"ip access-list extended {name}\n" + "".join(f"{e}\n" for e in entries)
            lists += f"! sequence numbers of {name} {numbers}\n"
    more = draw(st.sampled_from(["", "line vty 0 4\n access-class FIRST in\n"]))
    return running(lists, bindings, more)


class Packet(NamedTuple):
    protocol: str
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    destination_port: int
    established: bool


PACKETS = st.builds(
    Packet,
    st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    st.sampled_from([*HOSTS, "198.51.100.1", "10.20.0.77"]).map(IPv4Address),
    st.sampled_from([80, 8042, 11112, 1024, 50000]),
    st.sampled_from([*HOSTS, "198.51.100.1", "10.20.0.77"]).map(IPv4Address),
    st.sampled_from([80, 8042, 11112, 1024, 50000]),
    st.booleans(),
)


def passes(state: State, direction: str, packet: Packet) -> bool:
    """A judge of its own, on the text of the entries."""
    name = state.config.bound.get((WAN, direction))
    entries = [] if name is None or name not in state.config.lists else state.config.lists[name].entries
    for entry in entries:
        words = entry.text.split()
        action, protocol = words[0], words[1]
        del words[:2]
        hit = protocol in ("ip", packet.protocol)
        for address, port in ((packet.source, packet.source_port), (packet.destination, packet.destination_port)):
            hit &= _address(words, address)
            hit &= _port(words, port)
        if hit and ("established" not in words or packet.established):
            return action == "permit"
    return not entries


def _address(words: list[str], address: IPv4Address) -> bool:
    first = words.pop(0)
    if first == "any":
        return True
    if first == "host":
        return IPv4Address(words.pop(0)) == address
    wildcard = int(IPv4Address(words.pop(0)))
    return int(IPv4Address(first)) | wildcard == int(address) | wildcard


def _port(words: list[str], port: int) -> bool:
    if not words or words[0] not in ("eq", "neq", "gt", "range"):
        return True
    operator, *values = [words.pop(0) for _ in range(3 if words[0] == "range" else 2)]
    numbers = [80 if value == "www" else int(value) for value in values]
    return {
        "eq": port == numbers[0],
        "neq": port != numbers[0],
        "gt": port > numbers[0],
        "range": numbers[0] <= port <= numbers[-1],
    }[operator]


def meant(intents: Sequence[Intent], direction: str, packet: Packet) -> bool | None:
    """What the intents say; None: as before."""
    if packet.protocol != "tcp":
        return None
    inward = direction == "in"
    pacs, port = (packet.destination, packet.destination_port) if inward else (packet.source, packet.source_port)
    client = packet.source if inward else packet.destination
    for one in intents:
        if any(door.address == pacs and port in door.seen for door in one.doors):
            return port == 11112 and any(client in permit.source for permit in one.permits)
    return None


@settings(max_examples=60, deadline=None)
@given(routers(), st.lists(PACKETS, min_size=20, max_size=40), st.booleans())
def test_for_any_lists_it_does_what_is_meant_and_nothing_else(text: str, packets: list[Packet], two: bool) -> None:
    intents = [edge_intent().model_copy(update={"permits": (CLINIC,)})]
    intents += [edge_intent(pacs="pacs-south", door="203.0.113.21", peers=2)] if two else []
    before = SPEC.read(EDGE, text)
    made = candidate(text, *intents)
    now = after(text, made)
    for packet in packets:
        for direction in ("in", "out"):
            said = meant(intents, direction, packet)
            expected = passes(before, direction, packet) if said is None else said
            assert passes(now, direction, packet) is expected, (packet, direction)
    shown = SPEC.read(EDGE, printed(now))
    assert (shown.sections, shown.foreign) == (now.sections, now.foreign)
    assert SPEC.simulate(EDGE, now, made.inverse).config == before.config
    assert candidate(printed(now), *intents).text == ""


PERMIT, WEB, DICOM = (
    "permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112\n",
    "deny tcp any host 203.0.113.20 eq 8042\n",
    "deny tcp any host 203.0.113.20 eq 11112\n",
)
TAIL = " permit ip any any\n"
MISTAKES = {
    "an entry is missing": [(f" {DICOM}", "")],
    "an entry is wider": [("any host 203.0.113.20 eq 8042", "any host 203.0.113.20")],
    "an entry is narrower": [(f"{WEB}", f"{WEB.replace('any', '10.0.0.0 0.255.255.255')}")],
    "another port": [("eq 8042", "eq 8043")],
    "a permit is a denial": [("100000 permit tcp", "100000 deny tcp")],
    "the denial comes first": [(f" 100000 {PERMIT} {WEB} {DICOM}", f" 100000 {WEB} {DICOM} {PERMIT}")],
    "it stands behind": [(TAIL, ""), (" 100000 permit tcp", f" 100000{TAIL} permit tcp")],
    "the tail is missing": [(TAIL, "")],
    "the tail is closed": [("permit ip", "deny ip")],
    "one more entry behind": [(TAIL, f" deny udp any any\n{TAIL}")],
    "it is not bound outwards": [(f"interface {WAN}\n ip access-group RMD1-out.GigabitEthernet0_0 out\n", "")],
    "it is bound the wrong way": [("0_0 out\n", "0_0 in\n")],
}


@pytest.mark.parametrize("replacements", MISTAKES.values(), ids=MISTAKES)
def test_the_proof_finds(replacements: list[tuple[str, str]]) -> None:
    wanted = edge_intent()
    before = SPEC.read(EDGE, running("", ""))
    right = candidate(running("", ""), wanted).text
    assert with_fitting_ledger(right) == right
    assert SPEC.prove(EDGE, before, SPEC.simulate(EDGE, before, right), [wanted]) == ()
    wrong = right
    for old, new in replacements:
        assert old in wrong
        wrong = wrong.replace(old, new)
    now = SPEC.simulate(EDGE, before, with_fitting_ledger(wrong))
    assert SPEC.prove(EDGE, before, now, [wanted])


def with_fitting_ledger(text: str) -> str:
    """So that the proof alone has to find a mistake: the ledger names the entries as they are."""
    lists = {}
    for name, block in re.findall(r"^ip access-list extended (RMD1\S+)\n((?: .+\n)+)", text, re.MULTILINE):
        entries = re.findall(r"^ (?:\d+ )?((?:permit|deny) tcp .+)$", block, re.MULTILINE)
        lists[name] = tuple(rule for rule in map(rule_of, entries) if rule)
    remarks = "".join(f" remark {line}\n" for line in ledger.remarks(edge_intent().section, lists))
    return re.sub(r"(extended RMD-acl_pacs-north\n)(?: remark .*\n)+", rf"\g<1>{remarks}", text)
