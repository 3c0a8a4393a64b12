"""Access lists: what is typed, printed and decided. The oracle here is written as sets, the router's as tests."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.lab.devices.cisco_ios.acl import AccessList, Ace, Packet, read_ace
from remediate.lab.devices.cisco_ios.grammar import Cursor, Incomplete, Invalid, Rejected, tokens
from remediate.lab.devices.cisco_ios.load import load
from remediate.lab.devices.cisco_ios.router import Router


def ace(text: str, *, standard: bool = False, numbered: bool = False) -> Ace:
    action, _, rest = text.partition(" ")
    return read_ace(action, standard, Cursor(rest, tokens(rest)), numbered=numbered)


def acl(*texts: str, standard: bool = False) -> AccessList:
    made = AccessList("TEST", standard)
    for text in texts:
        made.add(ace(text, standard=standard))
    return made


def packet(text: str, *, protocol: int = 6, ack: bool = False) -> Packet:
    source, destination = (end.split(":") for end in text.split(" > "))
    return Packet(
        protocol,
        int(IPv4Address(source[0])),
        int(IPv4Address(destination[0])),
        int(source[1]),
        int(destination[1]),
        ack,
    )


@pytest.mark.parametrize(
    ("typed", "running", "shown"),
    [
        ("permit tcp any host 10.1.1.1 eq 80", "permit tcp any host 10.1.1.1 eq www", "="),
        ("deny ip any any", "deny   ip any any", "deny ip any any"),
        ("deny 6 any any eq 21 log", "deny   tcp any any eq ftp log", "deny tcp any any eq ftp log"),
        ("permit udp any eq 68 any eq bootps", "permit udp any eq bootpc any eq bootps", "="),
        ("permit tcp 10.1.2.3 0.0.0.255 any range 200 100", "permit tcp 10.1.2.0 0.0.0.255 any range 100 200", "="),
        ("permit tcp 10.1.2.3 0.0.0.0 any", "permit tcp host 10.1.2.3 any", "="),
        ("permit ip 1.2.3.4 255.255.255.255 any", "permit ip any any", "="),
        ("permit ip 10.0.0.0 255.0.0.0 any", "permit ip 0.0.0.0 255.0.0.0 any", "="),
        ("permit tcp any any log est", "permit tcp any any established log", "="),
        ("permit icmp any any echo-reply", "permit icmp any any echo-reply", "="),
        ("permit icmp any any 3 4", "permit icmp any any packet-too-big", "="),
        ("deny 53 any any", "deny   53 any any", "deny 53 any any"),
        ("permit esp any host 10.1.1.1", "permit esp any host 10.1.1.1", "="),
        ("permit tcp any eq telnet www any neq 22 443", "permit tcp any eq telnet www any neq 22 443", "="),
        ("permit tcp any any eq 104", "permit tcp any any eq 104", "="),
        ("permit tcp any any gt 1023", "permit tcp any any gt 1023", "="),
    ],
)
def test_extended_entries_as_ios_prints_them(typed: str, running: str, shown: str) -> None:
    entry = ace(typed)
    assert entry.running() == running
    assert entry.shown() == (running if shown == "=" else shown)
    assert ace(running) == entry


@pytest.mark.parametrize(
    ("typed", "running", "shown"),
    [
        ("permit host 10.1.1.1", "permit 10.1.1.1", "permit 10.1.1.1"),
        ("deny 10.1.1.1 log", "deny   10.1.1.1 log", "deny   10.1.1.1 log"),
        ("deny any log", "deny   any log", "deny   any log"),
        ("permit 10.1.1.9 0.0.0.255", "permit 10.1.1.0 0.0.0.255", "permit 10.1.1.0, wildcard bits 0.0.0.255"),
        ("permit 10.0.10.0 0.255.0.255", "permit 10.0.10.0 0.255.0.255", "permit 10.0.10.0, wildcard bits 0.255.0.255"),
    ],
)
def test_standard_entries_as_ios_prints_them(typed: str, running: str, shown: str) -> None:
    entry = ace(typed, standard=True)
    assert (entry.running(), entry.shown()) == (running, shown)
    assert ace(running, standard=True) == entry


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("permit", Incomplete),
        ("permit tcp", Incomplete),
        ("permit tcp any", Incomplete),
        ("permit tcp any host", Incomplete),
        ("permit tcp any any eq", Incomplete),
        ("permit tcp any any range 1", Incomplete),
        ("permit tcp any 10.0.0.0", Incomplete),
        ("permit ip any any eq 80", Invalid),
        ("permit ip any any established", Invalid),
        ("permit udp any any established", Invalid),
        ("permit tcp any 10.0.0.0/8", Invalid),
        ("permit tcp any any eq 65536", Invalid),
        ("permit tcp any any eq dicom", Invalid),
        ("permit tcp any any eq 80 any", Invalid),
        ("permit tcp any 10.0.0.256 0.0.0.0", Invalid),
        ("permit 256 any any", Invalid),
        ("permit tcp any any log log", Invalid),
    ],
)
def test_what_ios_does_not_take(typed: str, error: type[Rejected]) -> None:
    with pytest.raises(error):
        ace(typed)


def test_several_ports_only_in_named_lists() -> None:
    with pytest.raises(Rejected, match="Multiple ports are allowed on named ACLs only"):
        ace("permit tcp any any eq 80 443", numbered=True)


@pytest.mark.parametrize(
    ("rules", "asked", "answer"),
    [
        ((), "192.0.2.1:5 > 10.0.0.5:104", True),  # an empty list permits
        (("permit tcp host 192.0.2.9 any",), "192.0.2.1:5 > 10.0.0.5:104", False),  # the implicit deny
        (("deny tcp any host 10.0.0.5 eq 104", "permit ip any any"), "192.0.2.1:5 > 10.0.0.5:104", False),
        (("deny tcp any host 10.0.0.5 eq 104", "permit ip any any"), "192.0.2.1:5 > 10.0.0.5:105", True),
        (("permit ip any any", "deny tcp any any"), "192.0.2.1:5 > 10.0.0.5:104", True),  # the first one decides
        (("permit tcp any eq 104 any",), "192.0.2.1:5 > 10.0.0.5:104", False),  # source port, not destination
        (("permit udp any any", "permit icmp any any echo"), "192.0.2.1:5 > 10.0.0.5:104", False),
        (("permit tcp any any established",), "192.0.2.1:5 > 10.0.0.5:104", False),
        (("permit tcp any any range 104 106",), "192.0.2.1:5 > 10.0.0.5:106", True),
        (("permit tcp any any range 104 106",), "192.0.2.1:5 > 10.0.0.5:107", False),
        (("permit tcp any any gt 104",), "192.0.2.1:5 > 10.0.0.5:104", False),
        (("permit tcp any any lt 105",), "192.0.2.1:5 > 10.0.0.5:104", True),
        (("permit tcp any any lt 104",), "192.0.2.1:5 > 10.0.0.5:104", False),
        (("permit tcp any any gt 103",), "192.0.2.1:5 > 10.0.0.5:104", True),
        (("permit tcp any any neq 104 105",), "192.0.2.1:5 > 10.0.0.5:105", False),
        (("permit tcp 10.0.1.0 0.0.254.255 any",), "10.0.3.200:5 > 10.0.0.5:104", True),  # odd networks only
        (("permit tcp 10.0.1.0 0.0.254.255 any",), "10.0.2.200:5 > 10.0.0.5:104", False),
    ],
)
def test_what_is_decided(rules: tuple[str, ...], asked: str, answer: bool) -> None:
    assert acl(*rules).judge(packet(asked))[0] is answer


def test_established_looks_at_the_flags() -> None:
    made = acl("permit tcp any any established")
    assert made.judge(packet("192.0.2.1:104 > 10.0.0.5:40000", ack=True))[0]
    assert not made.judge(packet("192.0.2.1:104 > 10.0.0.5:40000", protocol=17, ack=True))[0]


def test_an_entry_that_is_there_already_changes_nothing() -> None:
    made = acl("permit tcp any any eq www", "deny ip any any")
    made.add(ace("permit tcp any any eq 80"), 5)
    assert [line.sequence for line in made.lines] == [10, 20]
    made.add(ace("permit tcp any any eq 80"), 20)  # equal comes before occupied
    assert [line.sequence for line in made.lines] == [10, 20]


def test_an_occupied_number() -> None:
    made = acl("permit tcp any any eq www", "deny ip any any")
    with pytest.raises(Rejected, match=r"^% Duplicate sequence number\.$"):
        made.add(ace("permit udp any any"), 20)
    assert len(made.lines) == 2


def test_numbers_and_resequencing() -> None:
    made = acl("permit tcp any any eq www")
    made.add(ace("permit udp any any"), 5)
    made.add(ace("deny ip any any"))
    assert [line.sequence for line in made.lines] == [5, 10, 20]
    made.lines[1].hits = 7
    made.resequence(100, 3)
    assert [(line.sequence, line.hits) for line in made.lines] == [(100, 0), (103, 7), (106, 0)]
    with pytest.raises(Rejected, match="Exceeded maximum sequence number"):
        made.resequence(2147483647, 1)
    made.add(ace("permit esp any any"), 2147483647)
    with pytest.raises(Rejected, match="Exceeded maximum sequence number"):
        made.add(ace("permit ahp any any"))


def test_remarks_go_where_the_next_entry_goes() -> None:
    made = acl("permit tcp any any eq www", "deny ip any any")
    made.remark("for the scanner")
    assert made.body()[-1] == "remark for the scanner"
    made.add(ace("permit udp any any"), 15)
    assert made.body() == [
        "permit tcp any any eq www",
        "remark for the scanner",
        "permit udp any any",
        "deny   ip any any",
    ]
    assert not any("remark" in line for line in made.shown())
    made.remove_sequence(15)
    assert made.body() == ["permit tcp any any eq www", "deny   ip any any"]


def test_or_remarks_go_to_the_end_and_with_no_entry() -> None:
    made = AccessList("TEST", False, to_the_end=True)
    made.remark("for the scanner")
    made.add(ace("deny ip any any"), 20)
    made.add(ace("permit tcp any any eq www"), 10)
    assert made.body() == ["permit tcp any any eq www", "deny   ip any any", "remark for the scanner"]
    made.add(ace("permit udp any any"))
    assert made.body()[-2:] == ["remark for the scanner", "permit udp any any"]
    made.remark("the last")
    made.resequence(100, 10)
    made.remove_sequence(120)
    assert made.body()[2:] == ["remark for the scanner", "remark the last"]
    made.remove(ace("deny ip any any"))
    assert made.body() == ["permit tcp any any eq www", "remark for the scanner", "remark the last"]


@pytest.mark.parametrize("to_the_end", [False, True])
def test_either_way_a_list_is_read_as_it_is_printed(to_the_end: bool) -> None:
    text = (
        "ip access-list extended A\n remark one\n permit tcp any any\n remark two\n deny   ip any any\n remark last\n"
    )
    router = Router(text, remarks_to_the_end=to_the_end)
    assert text in router.running.text()
    router.running.lists["A"].add(ace("permit udp any any"), 5)
    place = ["remark last", "permit udp any any"] if not to_the_end else ["permit udp any any"]
    assert router.running.lists["A"].body()[: len(place)] == place
    router.replace(f"{text}end\n")
    assert text in router.running.text()


def test_one_match_and_several() -> None:
    made = acl("permit tcp any any eq www", "deny ip any any log")
    made.lines[0].hits, made.lines[1].hits = 1, 2
    assert list(made.shown()) == [
        "Extended IP access list TEST",
        "    10 permit tcp any any eq www (1 match)",
        "    20 deny ip any any log (2 matches)",
    ]


# -- against an oracle ---------------------------------------------------------------------------------

_HOSTS = [int(IPv4Address("10.0.0.0")) + offset for offset in range(8)]
_PORTS = [0, 1, 79, 80, 81, 103, 104, 105, 65535]


def addresses() -> st.SearchStrategy[str]:
    host = st.sampled_from(_HOSTS).map(lambda number: f"host {IPv4Address(number)}")
    wild = st.tuples(st.sampled_from(_HOSTS), st.integers(0, 7)).map(
        lambda pair: f"{IPv4Address(pair[0])} {IPv4Address(pair[1])}"
    )
    return st.one_of(st.just("any"), host, wild)


def ports() -> st.SearchStrategy[str]:
    one = st.sampled_from(_PORTS)
    return st.one_of(
        st.just(""),
        st.tuples(st.sampled_from(["eq", "neq"]), st.lists(one, min_size=1, max_size=3)).map(
            lambda pair: f" {pair[0]} {' '.join(map(str, pair[1]))}"
        ),
        st.tuples(st.sampled_from(["gt", "lt"]), one).map(lambda pair: f" {pair[0]} {pair[1]}"),
        st.tuples(one, one).map(lambda pair: f" range {pair[0]} {pair[1]}"),
    )


@st.composite
def entries(draw: st.DrawFn) -> str:
    action = draw(st.sampled_from(["permit", "deny"]))
    protocol = draw(st.sampled_from(["ip", "tcp", "udp", "icmp"]))
    with_ports = ports() if protocol in ("tcp", "udp") else st.just("")
    text = f"{action} {protocol} {draw(addresses())}{draw(with_ports)} {draw(addresses())}{draw(with_ports)}"
    return f"{text} established" if protocol == "tcp" and draw(st.booleans()) else text


def packets() -> st.SearchStrategy[Packet]:
    return st.builds(
        Packet,
        st.sampled_from([1, 6, 17]),
        st.sampled_from(_HOSTS),
        st.sampled_from(_HOSTS),
        st.sampled_from(_PORTS),
        st.sampled_from(_PORTS),
        st.booleans(),
    )


def _set_of_addresses(words: list[str]) -> set[int]:
    match words.pop(0):
        case "any":
            return set(_HOSTS)
        case "host":
            return {int(IPv4Address(words.pop(0)))}
        case base:
            number, wild = int(IPv4Address(base)), int(IPv4Address(words.pop(0)))
            return {host for host in _HOSTS if (host | wild) == (number | wild)}


def _set_of_ports(words: list[str]) -> set[int]:
    every = set(_PORTS)
    if not words or words[0] not in ("eq", "neq", "gt", "lt", "range"):
        return every
    operator = words.pop(0)
    values = []
    while words and words[0].isdigit():
        values.append(int(words.pop(0)))
    if operator in ("eq", "neq"):
        return set(values) if operator == "eq" else every - set(values)
    low, high = {"gt": (values[0] + 1, 65535), "lt": (0, values[0] - 1), "range": (min(values), max(values))}[operator]
    return every & set(range(low, high + 1))


def oracle(rules: list[str], asked: Packet) -> bool:
    """Follows the text of the rules, not what was read from it."""
    for rule in rules:
        action, protocol, *words = rule.split()
        protocols = {"ip": {1, 6, 17}, "tcp": {6}, "udp": {17}, "icmp": {1}}[protocol]
        sources, source_ports = _set_of_addresses(words), _set_of_ports(words)
        destinations, destination_ports = _set_of_addresses(words), _set_of_ports(words)
        flags = {True} if words == ["established"] else {True, False}
        if (
            asked.protocol in protocols
            and asked.source in sources
            and asked.destination in destinations
            and asked.ack in flags
            and asked.source_port in source_ports
            and asked.destination_port in destination_ports
        ):
            return action == "permit"
    return not rules


@given(st.lists(entries(), max_size=6), packets())
def test_decisions_agree_with_the_oracle(rules: list[str], asked: Packet) -> None:
    assert acl(*rules).judge(asked)[0] == oracle(rules, asked)


@given(st.lists(entries(), max_size=6))
def test_what_is_printed_reads_back_as_the_same_list(rules: list[str]) -> None:
    made = acl(*rules)
    text = "\n".join(["ip access-list extended TEST", *(f" {line}" for line in made.body()), "end"])
    again = load(text).lists["TEST"]
    assert [line.ace for line in again.lines] == [line.ace for line in made.lines]
    assert load(load(text).text()).text() == load(text).text()


def test_a_numbered_list_goes_whole_whatever_entry_is_named() -> None:
    """And it is printed in its old form on this train."""
    router = Router(
        "access-list 101 remark old\naccess-list 101 permit tcp any any eq 104\naccess-list 101 deny ip any any\n"
    )
    assert "access-list 101 remark old\naccess-list 101 permit tcp any any eq 104\n" in router.running.text()
    changed = load(router.running.text().replace("\nend", "\nno access-list 101 deny ip any any\nend"))
    assert changed.lists == {}
