"""Static translation on IOS: what is read, what is removed and noted, and that it can come back. No device."""

from __future__ import annotations

import re
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.controls import control
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate, Section
from remediate.model.rule import AnyIntent, UnpublishIntent
from remediate.model.site import Access, Addresses, Addressing, Pacs, Published
from remediate.platforms import cisco_ios
from remediate.platforms.cisco_ios.config import read
from remediate.platforms.cisco_ios.foreign import differences, others_unsaved
from remediate.platforms.cisco_ios.forwards import Flow, forwards
from remediate.platforms.cisco_ios.notes import Note, list_name, notes, remarks
from remediate.platforms.cisco_ios.plan import places
from remediate.platforms.cisco_ios.state import State
from remediate.render import STARTER, Renderer
from tests.factories import CT, pacs
from tests.platforms.ios import EDGE
from tests.platforms.test_cisco_ios_plan import printed

SPEC = cisco_ios.SPEC
WAN = EDGE.guard.interface[0]
ARCHIVE = pacs(access=Access(peers=(CT,)), protected_by=(EDGE.name,))
SEEN, OWN, OTHER = "203.0.113.20", "10.10.0.5", "10.10.0.9"
FLOW = Flow((WAN,), ip_address(SEEN), 11112)
STATIC = "ip nat inside source static"
DICOM = f"{STATIC} tcp {OWN} 104 {SEEN} 11112 extendable"
WEB = f"{STATIC} tcp {OWN} 8042 {SEEN} 8042 extendable"
MAIL = f"{STATIC} tcp {OTHER} 25 {SEEN} 25 extendable"
LIST = "RMD-unpublish_pacs-north"


def running(
    *lines: str, address: str = "203.0.113.1 255.255.255.0", nat: str = " ip nat outside\n", more: str = ""
) -> str:
    return (
        f"version 15.7\nhostname edge-1\ninterface {WAN}\n ip address {address}\n{nat}!\n"
        "interface GigabitEthernet0/1\n ip address 10.10.0.1 255.255.255.0\n ip nat inside\n!\n"
        + "".join(f"{line}\n" for line in lines)
        + f"ip route 0.0.0.0 0.0.0.0 203.0.113.254\n{more}end\n"
    )


def intent(archive: Pacs = ARCHIVE) -> UnpublishIntent:
    made = control("unpublish").intent(archive, EDGE, Addressing.PUBLISHED)
    assert isinstance(made, UnpublishIntent)
    return made


def planned(text: str, *intents: AnyIntent) -> Candidate:
    wanted = guarding.sections(EDGE, intents or [intent()], text)
    return guarding.candidate(EDGE, wanted, text, Renderer())


def told(text: str, archive: Pacs = ARCHIVE) -> list[str]:
    return guarding.remarks(EDGE, planned(text, intent(archive)), text)


def after(text: str, made: Candidate) -> State:
    return SPEC.simulate(EDGE, SPEC.read(EDGE, text), made.text)


def back(state: State, made: Candidate) -> State:
    return SPEC.simulate(EDGE, state, made.inverse)


def lines(state: State) -> list[str]:
    return [block.head for block in state.config.blocks if block.head.startswith("ip nat")]


# -- what is removed ------------------------------------------------------------------------------------


def test_the_archives_lines_go_and_are_noted_and_nothing_else() -> None:
    shared = f"{STATIC} tcp {OTHER} 22 interface {WAN} 22"
    text = running(MAIL, DICOM, f"ip nat inside source list 1 interface {WAN} overload", WEB, shared)
    made = planned(text)
    said = f" remark remediate unpublish_pacs-north 4 {remark_digest(made.text)}\n"
    assert made.text == (
        f"ip access-list extended {LIST}\n{said}"
        f" remark no longer published: {SEEN} port 8042\n remark no longer published: {SEEN} port 11112\n"
        f" remark removed: {DICOM}\n remark removed: {WEB}\nno {DICOM}\nno {WEB}\n"
    )
    assert made.inverse == f"{DICOM}\n{WEB}\nno ip access-list extended {LIST}\n"
    now = after(text, made)
    assert [line for line in lines(now) if "overload" not in line] == [MAIL, shared]
    before = SPEC.read(EDGE, text)
    assert now.foreign == before.foreign
    restored = back(now, made)
    assert (restored.sections, restored.foreign, sorted(lines(restored))) == ({}, before.foreign, sorted(lines(before)))
    assert restored.config.lists == before.config.lists
    assert told(text) == [
        f"edge-1: {REMOVED} {SEEN} port 8042 is no longer translated: {WEB}",
        f"edge-1: {REMOVED} {SEEN} port 11112 is no longer translated: {DICOM}",
        f"edge-1: stays as it is: {MAIL}",
        f"edge-1: stays as it is: {shared}",
    ]


REMOVED = f"is removed, and kept as a remark in access list {LIST}: what comes in to"


def remark_digest(text: str) -> str:
    found = re.search(r"remark remediate \S+ \d+ ([0-9a-f]{8})$", text, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("version", ["15.7", "17.3"])
def test_the_second_time_there_is_nothing_to_do(version: str) -> None:
    """Also where remarks have numbers, and where the note is all that is left."""
    text = running(DICOM).replace("15.7", version)
    made = planned(text)
    assert (" 10 remark remediate" in made.text) is (version == "17.3")
    shown = printed(after(text, made))
    assert DICOM not in shown.splitlines()
    again = SPEC.read(EDGE, shown)
    assert again.sections == after(text, made).sections
    assert again.foreign == SPEC.read(EDGE, text).foreign
    (section,) = guarding.sections(EDGE, [intent()], shown)
    assert section.rules == section.previous
    assert planned(shown).text == ""


def test_a_line_that_is_there_again_is_seen_and_removed_again() -> None:
    text = running(DICOM)
    shown = printed(after(text, planned(text))).replace("ip route", f"{DICOM}\nip route")
    (section,) = guarding.sections(EDGE, [intent()], shown)
    assert section.previous == tuple(rule for rule in section.rules or () if getattr(rule, "port", 0) == 8042)
    made = planned(shown)
    assert f"no {DICOM}" in made.text
    assert lines(back(after(shown, made), made)) == [DICOM]
    assert SPEC.read(EDGE, shown).foreign == SPEC.read(EDGE, text).foreign


def test_a_line_that_somebody_typed_in_again_is_not_saved_with_ours() -> None:
    """Though what is not ours reads the same with it, and with the note of it."""
    startup = running(DICOM)
    ours = printed(after(startup, planned(startup)))
    again = ours.replace("ip route", f"{DICOM}\nip route")
    assert not others_unsaved(ours, startup, places(EDGE)), "the change itself"
    assert others_unsaved(again, startup, places(EDGE))
    assert others_unsaved(again, ours, places(EDGE))
    assert not others_unsaved(printed(after(again, planned(again))), again, places(EDGE)), "and that being taken back"
    assert differences(ours, again) == differences(again, ours) == [f"again: {DICOM}"]
    assert differences(ours, startup)


def test_another_line_in_its_place_is_what_comes_back() -> None:
    moved = f"{STATIC} tcp 10.10.0.6 104 {SEEN} 11112 extendable"
    text = running(DICOM)
    shown = printed(after(text, planned(text))).replace("ip route", f"{moved}\nip route")
    inside = tuple(Published(address=ip_address(address)) for address in (OWN, "10.10.0.6"))
    both = ARCHIVE.model_copy(update={"addresses": Addresses(inside=inside, outside=ARCHIVE.addresses.outside)})
    made = planned(shown, intent(both))
    assert lines(back(after(shown, made), made)) == [moved]
    assert DICOM not in made.text
    assert SPEC.read(EDGE, shown).foreign == SPEC.read(EDGE, running(moved)).foreign


def test_a_line_that_is_gone_for_good_meanwhile_is_no_mistake() -> None:
    text = running(DICOM)
    shown = printed(after(text, planned(text)))
    (section,) = guarding.sections(EDGE, [intent()], shown)
    assert section.rules == section.previous


def test_one_port_more_and_one_less() -> None:
    """The note of before is replaced; what is no longer meant comes back."""
    text = running(DICOM, WEB)
    fewer = ARCHIVE.model_copy(update={"services": ARCHIVE.services[:1]})
    shown = printed(after(text, planned(text, intent(fewer))))
    assert WEB in shown.splitlines()
    made = planned(shown)
    now = after(shown, made)
    assert lines(now) == []
    assert notes(now.config)["unpublish_pacs-north"].lines == (DICOM, WEB)
    restored = back(now, made)
    assert lines(restored) == [WEB]
    assert notes(restored.config) == notes(read(shown))


def test_the_order_of_the_lines_is_the_devices_own() -> None:
    """It may show a line that came back in another place; of anything else the order counts."""
    every = [SPEC.read(EDGE, running(*order)).foreign for order in permutations((DICOM, WEB, MAIL))]
    assert len(every) == 6 and len(set(every)) == 1
    pools = ("ip nat inside source list 1 pool A", "ip nat inside source list 2 pool B")
    assert SPEC.read(EDGE, running(*pools)).foreign != SPEC.read(EDGE, running(*reversed(pools))).foreign


def test_two_archives_each_have_their_own_note() -> None:
    south = f"{STATIC} tcp 10.10.0.6 104 203.0.113.21 104 extendable"
    there = Addresses(
        inside=(Published(address=ip_address("10.10.0.6")),), outside=(Published(address=ip_address("203.0.113.21")),)
    )
    other = ARCHIVE.model_copy(update={"name": "pacs-south", "addresses": there})
    text = running(DICOM, south)
    both = planned(text, intent(), intent(other))
    assert set(after(text, both).sections) == {"unpublish_pacs-north", "unpublish_pacs-south"}
    shown = printed(after(text, planned(text)))
    later = planned(shown, intent(other))
    assert lines(after(shown, later)) == []
    assert lines(back(after(shown, later), later)) == [south]


def test_beside_acl_in_one_candidate_whichever_comes_first() -> None:
    """A device's lists are printed with the first section of a filter, not with the first of all."""
    acl = control("acl").intent(ARCHIVE, EDGE, Addressing.PUBLISHED)
    text = running(DICOM)
    before = SPEC.read(EDGE, text)
    for wanted in ([intent(), acl], [acl, intent()]):
        made = planned(text, *wanted)
        now = after(text, made)
        assert set(now.sections) == {"acl_pacs-north", "unpublish_pacs-north"}
        assert lines(now) == [] and f"ip access-group RMD1-in.{WAN.replace('/', '_')} in" in made.text
        restored = back(now, made)
        assert (restored.sections, restored.foreign, lines(restored)) == ({}, before.foreign, [DICOM])
        shown = printed(now)
        (section,) = guarding.sections(EDGE, [intent()], shown)
        gone = Section(name=section.name, intent=section.intent, rules=None, previous=section.previous)
        alone = guarding.candidate(EDGE, [gone], shown, Renderer())
        assert "access-group" not in alone.text
        assert set(after(shown, alone).sections) == {"acl_pacs-north"}


# -- what is read ---------------------------------------------------------------------------------------

POOL = "ip nat inside destination list 2 pool REAL"


@pytest.mark.parametrize(
    ("line", "to", "alone"),
    [
        (DICOM, OWN, True),
        (f"{STATIC} tcp {OWN} 104 {SEEN} 11112", OWN, True),
        (f"{STATIC} tcp {OWN} 104 {SEEN} 11112 extendable no-alias no-payload", OWN, True),
        (f"{STATIC} {OWN} {SEEN} extendable", OWN, False),
        (f"{STATIC} {OTHER} {SEEN}", OTHER, False),
        (f"{STATIC} tcp {OTHER} 104 {SEEN} 11112 extendable", OTHER, True),
        # who could tell
        (f"{STATIC} tcp {OWN} 104 {SEEN} 11112 route-map SOME extendable", None, False),
        (f"{STATIC} tcp {OWN} 104 {SEEN} 11112 vrf green extendable", None, False),
        (f"{STATIC} {OWN} {SEEN} redundancy HSRP mapping-id 7", None, False),
        (f"{STATIC} network 10.10.0.0 203.0.113.0 /24", None, False),
        (f"{STATIC} network 10.10.0.0 203.0.113.16 255.255.255.240 no-alias", None, False),
        (f"{STATIC} network 10.10.0.0 203.0.113.16 what", None, False),
        (f"{STATIC} tcp {OWN} dicom {SEEN} dicom", None, False),
        (f"{STATIC} tcp 10.10.0.555 104 {SEEN} 11112", None, False),
        (f"ip nat source static tcp {OWN} 104 {SEEN} 11112", None, False),
        (f"ip nat inside destination static {SEEN} {OWN}", None, False),
        (POOL, None, False),
    ],
)
def test_a_line_that_may_publish_it(line: str, to: str | None, alone: bool) -> None:
    (found,) = forwards(read(running(line)), FLOW)
    assert (found.line, found.to and str(found.to), found.alone) == (line, to, alone)


@pytest.mark.parametrize(
    "line",
    [
        f"{STATIC} tcp {OWN} 104 {SEEN} 104 extendable",
        f"{STATIC} tcp {OWN} 104 203.0.113.21 11112 extendable",
        f"{STATIC} udp {OWN} 104 {SEEN} 11112 extendable",
        f"{STATIC} esp {OWN} interface {WAN}",
        f"{STATIC} {OWN} 203.0.113.21",
        f"{STATIC} tcp {OWN} 104 interface {WAN} 11112",  # its address is another one
        f"{STATIC} network 10.10.0.0 203.0.113.0 /28",
        "ip nat inside source list 1 interface GigabitEthernet0/0 overload",
        f"ip nat pool OUT {SEEN} {SEEN} prefix-length 24",
        f"ip nat outside source static {SEEN} 10.10.0.99",
    ],
)
def test_a_line_that_does_not(line: str) -> None:
    assert not list(forwards(read(running(line)), FLOW))


@pytest.mark.parametrize(
    ("entry", "may"),
    [
        ("ip access-list standard 2\n permit 203.0.113.20\n", True),
        ("ip access-list standard 2\n permit 203.0.113.16 0.0.0.15\n", True),
        ("ip access-list standard 2\n permit any\n", True),
        ("ip access-list standard 2\n permit 203.0.113.16 0.0.0.13\n", True),  # a wildcard that is no network
        ("access-list 2 permit 203.0.113.20\n", True),
        ("ip access-list standard 2\n deny   203.0.113.20\n permit 203.0.113.21\n", False),
        ("ip access-list extended 2\n permit tcp any host 203.0.113.20 eq 11112\n", True),
        ("ip access-list extended 2\n permit ip any any\n", True),
        ("ip access-list extended 2\n permit tcp any host 203.0.113.21 eq 11112\n", False),
    ],
)
def test_addresses_that_are_spread_over_several_hosts(entry: str, may: bool) -> None:
    assert bool(list(forwards(read(running(POOL, more=entry)), FLOW))) is may


@pytest.mark.parametrize(
    ("address", "line", "publishes"),
    [
        (f"{SEEN} 255.255.255.0", f"{STATIC} tcp {OWN} 104 interface {WAN} 11112", True),
        ("203.0.113.1 255.255.255.0", f"{STATIC} tcp {OWN} 104 interface {WAN} 11112", False),
        ("dhcp", f"{STATIC} tcp {OWN} 104 interface {WAN} 11112", True),
        ("negotiated", f"{STATIC} tcp {OWN} 104 interface {WAN} 11112", True),
        ("dhcp", f"{STATIC} tcp {OWN} 104 interface GigabitEthernet0/1 11112", False),
        ("dhcp", f"{STATIC} tcp {OWN} 104 interface {WAN} 104", False),
    ],
)
def test_what_an_interfaces_own_address_publishes(address: str, line: str, publishes: bool) -> None:
    text = running(line, address=address)
    assert bool(list(forwards(read(text), FLOW))) is publishes
    if publishes:
        made = planned(text)
        now = after(text, made)
        assert lines(now) == []
        assert lines(back(now, made)) == [line]
        assert planned(printed(now)).text == ""


_WORDS = f"""
tcp udp esp {OWN} {OTHER} {SEEN} 203.0.113.0 203.0.113.21 10.10.0 104 11112 99999 interface {WAN} GigabitEthernet0/1
network extendable no-alias vrf green route-map MAP redundancy static list pool inside outside source destination /24
/99 255.0.255.0
"""
_SOUP = st.lists(st.sampled_from(_WORDS.split()), max_size=8).map(" ".join)


@given(st.lists(_SOUP, max_size=4), st.sampled_from(["dhcp", f"{SEEN} 255.255.255.0", "203.0.113.1 255.255.255.0"]))
def test_whatever_stands_there_what_is_removed_is_the_archives_alone_and_comes_back(
    soup: list[str], address: str
) -> None:
    text = running(DICOM, *(f"{STATIC} {words}" for words in soup), address=address)
    before = SPEC.read(EDGE, text)
    try:
        made = planned(text)
    except (PlanError, Unprovable):
        return
    removed = [line.removeprefix("no ") for line in made.text.splitlines() if line.startswith(f"no {STATIC}")]
    assert DICOM in removed
    assert all(line.startswith(f"{STATIC} tcp {OWN} ") and ("11112" in line or "8042" in line) for line in removed)
    now = after(text, made)
    assert sorted([*lines(now), *removed]) == sorted(lines(before))
    assert now.foreign == before.foreign
    restored = back(now, made)
    assert (restored.sections, restored.foreign, restored.config.lists) == ({}, before.foreign, before.config.lists)
    assert planned(printed(now)).text == ""


# -- what is refused, and what is told -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            f"{STATIC} tcp {OTHER} 80 {SEEN} 8042 extendable",
            r"203\.0\.113\.20 port 8042 is 10\.10\.0\.9's, not pacs-north's",
        ),
        (f"{STATIC} {OTHER} {SEEN}", r"203\.0\.113\.20 port 8042 is 10\.10\.0\.9's, not pacs-north's"),
        (f"{STATIC} tcp {OWN} 80 {SEEN} 8042 route-map M", "nobody can tell where this line leads what comes to"),
        (f"{STATIC} network 10.10.0.0 203.0.113.0 /24", "nobody can tell where this line leads what comes to"),
        (POOL, f"it may be somebody else's: {POOL}"),
        (
            f"{STATIC} {OWN} {SEEN}",
            r"this line publishes every port of 10\.10\.0\.5, and translates what it opens itself",
        ),
    ],
)
def test_what_would_take_somebody_or_something_else_along_is_refused(line: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as refused:
        planned(running(DICOM, line))
    assert line in refused.value.what


@pytest.mark.parametrize(
    "text",
    [
        running(),
        running(MAIL),
        running(DICOM, nat=""),
        running(DICOM, nat=" ip nat inside\n"),
        running(DICOM.replace(SEEN, "203.0.113.21")),
    ],
)
def test_what_is_not_published_there_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="nothing here is published by this device: no line of it translates") as said:
        planned(text)
    assert said.value.next.startswith("use acl")


def test_where_two_devices_publish_it_each_has_its_own_part() -> None:
    outside = (
        Published(address=ip_address(SEEN), ports={104: 11112}),
        Published(address=ip_address("203.0.113.21")),
    )
    addresses = Addresses(inside=ARCHIVE.addresses.inside, outside=outside)
    both = ARCHIVE.model_copy(update={"addresses": addresses, "protected_by": (EDGE.name, "fw-east")})
    said = told(running(DICOM), both)
    assert "edge-1: it does not publish 203.0.113.21 (any more); fw-east may" in said
    assert "edge-1: of 203.0.113.20 it publishes no port 8042" in said
    with pytest.raises(PlanError, match=r"no line of it translates 203\.0\.113\.21,"):
        planned(running(DICOM), intent(both.model_copy(update={"protected_by": (EDGE.name,)})))


def test_it_is_said_that_it_ends_on_every_outside_interface() -> None:
    text = running(DICOM, more="interface Serial0/1\n ip nat outside\n")
    assert "edge-1: a static translation is for every outside interface: what comes in by Serial0/1 ends too" in told(
        text
    )


def test_an_ipv6_address_is_refused() -> None:
    outside = (*ARCHIVE.addresses.outside, Published(address=ip_address("2001:db8:1::20")))
    six = ARCHIVE.model_copy(update={"addresses": Addresses(inside=ARCHIVE.addresses.inside, outside=outside)})
    with pytest.raises(PlanError, match=r"2001:db8:1::20|IPv6"):
        planned(running(DICOM), intent(six))


def test_a_name_that_is_too_long_is_refused() -> None:
    long = ARCHIVE.model_copy(update={"name": "p" * 60})
    with pytest.raises(PlanError, match="would be longer than IOS allows"):
        planned(running(DICOM), intent(long))


# -- the note -------------------------------------------------------------------------------------------

NOTE = Note(
    ((ip_address(SEEN), 11112),),
    (f"{STATIC} tcp 192.168.100.100 11112 interface TenGigabitEthernet0/0/0.1234 11112 no-alias",),
)


def test_a_long_line_is_split_and_read_whole() -> None:
    said = remarks("unpublish_pacs-north", NOTE)
    assert max(map(len, said)) <= 100
    assert sum(one.startswith("goes on: ") for one in said) == 1
    text = f"ip access-list extended {LIST}\n" + "".join(f" remark {one}\n" for one in said)
    assert notes(read(text)) == {"unpublish_pacs-north": NOTE}


def test_a_note_that_is_being_typed_is_nobodys_fault() -> None:
    """Killed in the middle of a push, at each remark: the line is still there, and so is all that it publishes."""
    text = running(DICOM, WEB)
    shown = printed(after(text, planned(text)))
    head, *said = re.search(rf"ip access-list extended {LIST}\n(?: remark .*\n)+", shown)[0].splitlines()  # type: ignore[index]
    for count in range(len(said)):
        note = "\n".join([head, *said[:count]])
        state = SPEC.read(EDGE, running(DICOM, WEB, more=f"{note}\n"))
        assert state.foreign == SPEC.read(EDGE, text).foreign
        assert not state.sections.get(intent().section)
    for count in range(2, len(said)):
        note = "\n".join([head, *said[:count]])
        with pytest.raises(PlanError, match="changed by hand"):
            SPEC.read(EDGE, running(MAIL, more=f"{note}\n"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f" remark removed: {DICOM}\n", ""),
        (" 104 ", " 105 "),
        (f"port 11112\n remark removed: {DICOM}", f"port 11112\n remark mine\n remark removed: {DICOM}"),
        ("remark remediate unpublish_pacs-north", "remark remediate unpublish_pacs-south"),
        (" remark remediate unpublish_pacs-north", " permit ip any any\n remark remediate unpublish_pacs-north"),
    ],
)
def test_a_note_that_was_changed_by_hand_is_refused(old: str, new: str) -> None:
    text = running(DICOM)
    shown = printed(after(text, planned(text)))
    at = shown.index(f"ip access-list extended {LIST}")
    assert old in shown[at:]
    with pytest.raises(PlanError, match=f"access list {LIST} was changed by hand") as said:
        SPEC.read(EDGE, shown[:at] + shown[at:].replace(old, new))
    assert f"take the list {LIST} out" in said.value.next


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"no {MAIL}".replace(" 25 ", " 26 "), "no line, or more than one, is like that"),
        (DICOM, "that port is published already"),
        (f"{STATIC} {OWN} {SEEN}", "it does not publish one port"),
        (f"no {STATIC} {OWN} {SEEN}", "it does not publish one port"),
        ("no ip nat inside", "it is not known"),
    ],
)
def test_what_is_not_known_is_not_simulated(line: str, said: str) -> None:
    with pytest.raises(Unprovable, match=said):
        SPEC.simulate(EDGE, SPEC.read(EDGE, running(DICOM, MAIL)), line)


# -- what a template may do ------------------------------------------------------------------------------


def test_a_template_that_does_something_else_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "cisco_ios"
    theirs.mkdir()
    own = (STARTER / "cisco_ios" / "unpublish.j2").read_text()
    text = running(MAIL, DICOM)
    for old, new, said in (
        ("no {{ line }}", "{# #}", "does not print the entries as it was given them"),
        ("no {{ line }}", f"no {{{{ line }}}}\nno {MAIL}", "changes something that is not ours"),
        ("{% for line in one.removed %}", f"no {MAIL}\n{{% for line in one.removed %}}", "changes something"),
        (
            "{{ line }}\n{% endfor %}\n{% if one.dropped",
            "{% endfor %}\n{% if one.dropped",
            "the inverse does not restore",
        ),
    ):
        assert old in own
        (theirs / "unpublish.j2").write_text(own.replace(old, new))
        with pytest.raises(PlanError, match=said):
            guarding.candidate(EDGE, guarding.sections(EDGE, [intent()], text), text, Renderer(tmp_path))


def test_the_proof_says_whose_line_would_go() -> None:
    text = running(DICOM)
    made = planned(text)
    now = after(text, made)
    assert SPEC.prove(EDGE, SPEC.read(EDGE, text), now, [intent()]) == ()
    others = intent().model_copy(update={"own": (ip_address(OTHER),)})
    assert SPEC.prove(EDGE, SPEC.read(EDGE, text), now, [others]) == (
        f"this line would be taken away, and does not publish pacs-north: {DICOM}",
    )
    still = SPEC.read(EDGE, printed(now).replace("ip route", f"{STATIC} {OWN} {SEEN}\nip route"))
    assert f"{SEEN} port 11112 would still be published: {STATIC} {OWN} {SEEN}" in SPEC.prove(
        EDGE, still, still, [intent()]
    )
    assert list_name(intent().section) == LIST


def test_a_list_of_somebody_elses_that_begins_alike_is_theirs() -> None:
    text = running(DICOM, more="ip access-list extended RMD-IN\n remark ours\n permit ip any any\n")
    assert "ip access-list extended RMD-IN" in SPEC.read(EDGE, text).foreign
    assert planned(text).text
