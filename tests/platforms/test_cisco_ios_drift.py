"""The guard in lists that others have worked on: known by its entries, whatever became of numbers, remarks, order."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate, Section
from remediate.model.rule import Intent, Permit, Rule
from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import AccessList, Entry, header, rule_of
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.simulate import _simulated
from remediate.platforms.cisco_ios.state import State
from tests.platforms.ios import EDGE, edge_intent
from tests.platforms.test_cisco_ios_plan import RENDERER, SPEC, WAN, after, candidate, printed, routers, running

NORTH, SOUTH = edge_intent(), edge_intent(pacs="pacs-south", door="203.0.113.21", peers=2)
PERMIT = "permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112"
WEB = "deny tcp any host 203.0.113.20 eq 8042"
DICOM = "deny tcp any host 203.0.113.20 eq 11112"
OUT = "ip access-list extended OUT\n permit ip any any\n"
BOTH_BOUND = running(bindings=" ip access-group OUTSIDE-IN in\n ip access-group OUT out\n", more=OUT)


def guarded(text: str = BOTH_BOUND, *intents: Intent) -> str:
    return printed(after(text, candidate(text, *(intents or (NORTH,)))))


def without_section(text: str, intent: Intent) -> Candidate:
    now = SPEC.read(EDGE, text)
    gone = Section(name=intent.section, intent=intent, rules=None, previous=now.sections[intent.section])
    return guarding.candidate(EDGE, [gone], text, RENDERER)


def by_hand(text: str, *lines: str) -> str:
    """What a colleague types into OUTSIDE-IN: ``no`` and an entry, ``resequence``, or a number and an entry. A remark
    goes with its entry.
    """
    state = SPEC.read(EDGE, text)
    acl = state.config.lists["OUTSIDE-IN"]
    entries = list(acl.entries)
    for line in lines:
        word, _, entry = line.partition(" ")
        if word == "resequence":
            entries = [one._replace(number=10 * at) for at, one in enumerate(entries, start=1)]
        elif word == "no":
            assert entry in [one.text for one in entries]
            entries = [one for one in entries if one.text != entry]
        else:
            entries = sorted([*entries, Entry(entry, int(word))], key=lambda one: one.number)
    return printed(state._replace(config=state.config.has(acl._replace(entries=tuple(entries)))))


# -- what is typed is the same on every train -----------------------------------------------------------


def test_no_remark_of_ours_stands_among_entries() -> None:
    for text in (BOTH_BOUND, running("", "")):
        made = candidate(text, NORTH)
        for block in re.findall(r"ip access-list extended (?!RMD-)\S+\n((?: .+\n)+)", made.text):
            assert "remark" not in block


def test_a_remark_without_a_number_before_an_entry_with_one_is_not_proved() -> None:
    state = SPEC.read(EDGE, BOTH_BOUND)
    text = "ip access-list extended OUTSIDE-IN\n remark note\n 1 permit tcp any host 192.0.2.1 eq 104\n"
    with pytest.raises(Unprovable, match="depends on where this train puts a remark"):
        SPEC.simulate(EDGE, state, text)


def test_a_remark_that_waits_at_the_end_of_somebodys_list_is_not_taken_along() -> None:
    text = BOTH_BOUND.replace(" deny   ip any any log\n", " deny   ip any any log\n remark to be continued\n")
    made = candidate(text, NORTH)
    assert "ip access-group RMD1.OUTSIDE-IN in" in made.text
    assert SPEC.simulate(EDGE, after(text, made), made.inverse).config == SPEC.read(EDGE, text).config


def test_two_readings_and_numbered_remarks() -> None:
    """The proof's two simulations do differ where IOS does."""
    lines = ["ip access-list extended NEW", "remark first", "5 permit ip any host 192.0.2.1", "remark second"]
    waits = _simulated(Config(()), lines, to_the_end=False).lists["NEW"]
    ends = _simulated(Config(()), lines, to_the_end=True).lists["NEW"]
    assert (waits.entries[0].remarks, waits.trailing) == (("first",), ("second",))
    assert (ends.entries[0].remarks, ends.trailing) == ((), ("first", "second"))
    shared = _simulated(Config((), numbered=True), ["ip access-list extended NEW", "5 remark first", lines[2]],
                        to_the_end=True)  # fmt: skip
    assert shared.lists["NEW"].entries[0].remarks == ("first",)


# -- somebody has worked on the list --------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", [["resequence"], ["resequence", "5 permit icmp any any", "no permit icmp any any"]], ids=str
)
def test_renumbered_it_is_the_same_guard(typed: list[str]) -> None:
    text = guarded()
    now = SPEC.read(EDGE, by_hand(text, *typed))
    assert (now.sections, now.foreign) == (SPEC.read(EDGE, text).sections, SPEC.read(EDGE, BOTH_BOUND).foreign)


def test_a_remark_of_theirs_that_lands_before_ours_stays_theirs() -> None:
    text = guarded()
    moved = text.replace(" remark the archive is open\n", "").replace(
        f" {WEB}\n", f" remark the archive is open\n {WEB}\n"
    )
    now = SPEC.read(EDGE, moved)
    assert (now.sections, now.foreign) == (SPEC.read(EDGE, text).sections, SPEC.read(EDGE, BOTH_BOUND).foreign)


@pytest.mark.parametrize(
    "gone", [(PERMIT,), (WEB,), (DICOM,), (PERMIT, WEB), (WEB, DICOM), (PERMIT, WEB, DICOM)], ids=str
)
@pytest.mark.parametrize("renumbered", [False, True])
def test_what_is_taken_out_is_seen_said_mended_and_the_rest_can_be_taken_back(
    gone: tuple[str, ...], renumbered: bool
) -> None:
    text = by_hand(guarded(), *(f"no {entry}" for entry in gone), *(["resequence"] if renumbered else []))
    now = SPEC.read(EDGE, text)
    assert now.foreign == SPEC.read(EDGE, BOTH_BOUND).foreign
    assert len(now.sections[NORTH.section]) == 6 - len(gone)
    mended = candidate(text, NORTH)
    (said,) = guarding.remarks(EDGE, mended, text)
    assert f"has taken {len(gone)} of the 3 entries of section acl_pacs-north out of access list OUTSIDE-IN" in said
    assert all(entry.replace("host ", "") in said for entry in gone)
    assert ("it is the guard's own denials that shut out ct-1" in said) is (PERMIT in gone and len(gone) < 3)
    assert "access-group" not in mended.text, "mended where it stands"
    assert after(text, mended).sections == SPEC.read(EDGE, guarded()).sections
    left = after(text, without_section(text, NORTH))
    assert (left.sections, left.foreign) == ({}, now.foreign)
    assert left.config.lists.keys() == SPEC.read(EDGE, BOTH_BOUND).config.lists.keys()


def test_an_entry_that_is_put_before_the_guard_is_seen_and_the_guard_put_ahead_of_it() -> None:
    text = by_hand(guarded(), "resequence", "5 permit tcp any any eq 11112", "15 permit udp any any")
    now = SPEC.read(EDGE, text)
    assert now.sections[NORTH.section] != SPEC.expressed(NORTH)
    assert "permit tcp any any eq 11112" in now.foreign
    mended = candidate(text, NORTH)
    (said,) = guarding.remarks(EDGE, mended, text)
    assert "3 of the 3 entries of section acl_pacs-north stand behind others' entries in access list OUTSIDE-IN" in said
    assert after(text, mended).sections[NORTH.section] == SPEC.expressed(NORTH)
    assert after(text, mended).foreign == now.foreign
    left = after(text, without_section(text, NORTH))
    assert (left.sections, left.foreign) == ({}, now.foreign)


def test_in_another_order_it_is_not_the_same_guard() -> None:
    text = by_hand(guarded(), f"no {PERMIT}", f"4 {PERMIT}")
    assert SPEC.read(EDGE, text).sections[NORTH.section] != SPEC.expressed(NORTH)
    assert after(text, candidate(text, NORTH)).sections[NORTH.section] == SPEC.expressed(NORTH)


def test_a_neighbour_of_which_something_is_missing_stays_as_it_is() -> None:
    text = by_hand(guarded(), f"no {PERMIT}")
    now = after(text, candidate(text, SOUTH))
    assert now.sections[NORTH.section] == SPEC.read(EDGE, text).sections[NORTH.section]
    assert now.sections[SOUTH.section] == SPEC.expressed(SOUTH)


def test_a_ledger_that_was_cut_short_names_what_is_left_and_that_is_said() -> None:
    text = guarded()
    cut = text.replace(f" remark {WEB.replace('host ', '')}\n", "")
    assert cut != text
    now = SPEC.read(EDGE, cut)
    assert len(now.sections[NORTH.section]) == 5
    assert WEB in now.foreign, "nothing says any more whose that is"
    made = candidate(cut, NORTH)
    assert any("was cut short by somebody" in said for said in guarding.remarks(EDGE, made, cut))
    assert after(cut, made).sections[NORTH.section] == SPEC.expressed(NORTH)


def test_a_list_that_only_looks_like_a_ledger_is_somebodys() -> None:
    theirs = "ip access-list extended RMD-acl_pacs-north\n remark ours since 2009\n"
    text = BOTH_BOUND.replace("!\nend", f"{theirs}!\nend")
    assert "RMD-acl_pacs-north" in SPEC.read(EDGE, text).foreign
    with pytest.raises(PlanError, match="access list RMD-acl_pacs-north is not the guard's"):
        candidate(text, NORTH)


def test_an_entry_in_a_ledger_is_somebodys() -> None:
    text = guarded()
    added = text.replace("extended RMD-acl_pacs-north\n", "extended RMD-acl_pacs-north\n permit ip any any\n")
    assert "RMD-acl_pacs-north\n permit ip any any" in SPEC.read(EDGE, added).foreign
    with pytest.raises(PlanError, match="not ours"):
        without_section(added, NORTH)


# -- as versions without a ledger have left it ------------------------------------------------------------


def by_remark(text: str) -> str:
    """The same guard, known by a remark before its first entry."""
    text = re.sub(r"ip access-list extended RMD-.*\n(?: remark .*\n)+", "", text)
    for first, count in (("permit tcp host 10.20.0.10 host 203", 3), ("permit tcp host 203.0.113.20 eq 11112 host", 3)):
        at = text.index(f" {first}")
        rules = [rule for rule in map(rule_of, (line.strip() for line in text[at:].splitlines()[:count])) if rule]
        text = f"{text[:at]} remark {header(NORTH.section, rules)}\n{text[at:]}"
    return text


def test_an_older_guard_is_read_stays_and_goes() -> None:
    text = by_remark(guarded())
    now = SPEC.read(EDGE, text)
    assert now.sections[NORTH.section] == SPEC.expressed(NORTH)
    assert candidate(text, NORTH).text == ""
    beside = after(text, candidate(text, SOUTH))
    assert beside.sections == {NORTH.section: SPEC.expressed(NORTH), SOUTH.section: SPEC.expressed(SOUTH)}
    assert SPEC.read(EDGE, printed(beside)).sections == beside.sections
    left = after(text, without_section(text, NORTH))
    assert left.config == SPEC.read(EDGE, BOTH_BOUND).config


def test_an_older_guard_that_changes_is_in_the_ledger_from_then_on() -> None:
    text, more = by_remark(guarded()), edge_intent(peers=2)
    made = candidate(text, more)
    now = after(text, made)
    assert now.sections[more.section] == SPEC.expressed(more)
    assert set(now.config.owners) == {"RMD1.OUTSIDE-IN", "RMD1.OUT"}
    assert SPEC.simulate(EDGE, now, made.inverse).config == SPEC.read(EDGE, text).config


@pytest.mark.parametrize("gone", [PERMIT, WEB])
def test_of_an_older_guard_that_was_changed_by_hand_it_is_said_what_to_type(gone: str) -> None:
    text = by_hand(by_remark(guarded()), f"no {gone}")
    if gone == PERMIT:
        assert SPEC.read(EDGE, text).foreign.count("deny tcp any host") == 2  # its remark went with it
        return
    with pytest.raises(PlanError) as caught:
        SPEC.read(EDGE, text)
    assert "ip access-list extended OUTSIDE-IN / no remark remediate acl_pacs-north 3" in (caught.value.next or "")


# -- the ledger itself ----------------------------------------------------------------------------------


NETWORKS = st.sampled_from(["10.20.0.10/32", "10.20.0.11/32", "203.0.113.20/32", "10.99.0.0/16"]).map(
    lambda text: (ip_network(text),)
)
SIDES = st.one_of(st.just(()), NETWORKS)
RANGES = st.sampled_from(["", " eq 104", " range 104 106"])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    def address(networks: tuple[Any, ...]) -> str:
        return "any" if not networks else f"{networks[0].network_address} {networks[0].hostmask}"

    text = (
        f"{draw(st.sampled_from(['permit', 'deny']))} tcp {address(draw(SIDES))}{draw(RANGES)} {address(draw(SIDES))}"
    )
    made = rule_of(text + draw(RANGES))
    assert made is not None
    return made


@given(
    st.dictionaries(
        st.sampled_from(["OUTSIDE-IN", "101", "RMD1.OUTSIDE-IN"]),
        st.lists(rules(), max_size=12, unique=True).map(tuple),
    )
)
def test_what_a_ledger_says_is_read_back(lists: dict[str, tuple[Rule, ...]]) -> None:
    section = "acl_pacs-north"
    said = ledger.remarks(section, lists)
    assert all(len(line) <= 100 for line in said)
    kept = ledger.read(AccessList(ledger.list_name(section), trailing=said))
    standing = {name: own for name, own in lists.items() if own}
    assert kept == (ledger.Kept(section, standing, True) if standing else None)


def test_a_name_that_ios_would_not_take_is_cut() -> None:
    names = {ledger.list_name(f"acl_{'a' * 60}{end}") for end in ("b", "c")}
    assert len(names) == 2 and all(len(name) <= 63 for name in names)


def test_peers_share_remarks() -> None:
    peers = [
        Permit(peer=f"ct-{n}", source=ip_network(f"10.20.{n // 250}.{n % 250 + 1}/32"), ports=(104,))
        for n in range(300)
    ]
    many = NORTH.model_copy(update={"permits": tuple(peers)})
    made = candidate(BOTH_BOUND.replace("IN 10 20 30", "IN 1000 1010 1020").replace("of OUT 10", "of OUT 1000"), many)
    assert len(made.text.splitlines()) > 600
    assert len([line for line in made.text.splitlines() if " remark " in line]) < 130


# -- one after the other, in any order --------------------------------------------------------------------

ARCHIVES = [edge_intent(pacs=f"pacs-{n}", door=f"203.0.113.{20 + n}", peers=n % 3) for n in range(5)]


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, bool]]]:
    """Waves, each of some archives that come (True) or go; in the end all have gone."""
    there: set[int] = set()
    waves: list[list[tuple[int, bool]]] = []
    for _ in range(draw(st.integers(1, 6))):
        come = draw(st.booleans())
        may = [n for n in range(len(ARCHIVES)) if (n in there) is not come]
        if may:
            members = draw(st.lists(st.sampled_from(may), min_size=1, max_size=3, unique=True))
            there = there | set(members) if come else there - set(members)
            waves.append([(n, come) for n in members])
    order = draw(st.permutations(sorted(there)))
    return [*waves, *([(n, False)] for n in order)]


@settings(max_examples=60, deadline=None)
@given(routers(), histories(), st.booleans(), st.booleans())
def test_archives_come_and_go_in_waves_and_nothing_is_left(
    text: str, waves: list[list[tuple[int, bool]]], numbered: bool, reloaded: bool
) -> None:
    """Each wave is planned on what the one before it is simulated to leave. ``numbered``: a newer train. ``reloaded``:
    the router restarts in between, and counts anew.
    """
    if numbered:
        text = text.replace("version 15.7", "version 17.3")
    first = state = SPEC.read(EDGE, text)
    standing: set[int] = set()
    for wave in waves:
        shown = printed(state)
        sections = [
            Section(
                name=ARCHIVES[n].section,
                intent=ARCHIVES[n],
                rules=SPEC.expressed(ARCHIVES[n]) if come else None,
                previous=state.sections.get(ARCHIVES[n].section),
            )
            for n, come in wave
        ]
        made = guarding.candidate(EDGE, sections, shown, RENDERER)
        following = SPEC.simulate(EDGE, state, made.text)
        back = SPEC.simulate(EDGE, following, made.inverse)
        assert (back.sections, back.foreign) == (state.sections, state.foreign)
        state = following
        standing = standing | {n for n, come in wave if come} - {n for n, come in wave if not come}
        standing -= {n for n, come in wave if not come}
        assert state.sections == {ARCHIVES[n].section: SPEC.expressed(ARCHIVES[n]) for n in standing}
        assert state.foreign == first.foreign
        if reloaded:
            state = SPEC.read(EDGE, re.sub(r"(?m)^! sequence numbers.*\n", "", printed(state)))
            state = _sure(state)
    assert (state.config.bound, _texts(state)) == (first.config.bound, _texts(first))
    if not reloaded:
        assert state.config == first.config


def _sure(state: State) -> State:
    """The driver asks for the numbers again."""
    lists = {name: acl._replace(sure=True) for name, acl in state.config.lists.items()}
    return State(
        state.sections, state.foreign, Config(state.config.blocks, lists, state.config.bound, state.config.numbered)
    )


def _texts(state: State) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    return {name: [(e.text, e.remarks) for e in acl.entries] for name, acl in state.config.lists.items()}


def test_a_list_of_20000_lines_is_cloned_and_brought_back() -> None:
    """Beside it, what is looked at for each line must not grow with the list: this would take minutes."""
    entries = [
        f" permit tcp host 198.51.{n // 250}.{n % 250} host 203.0.113.30 eq {n % 60000 + 1}" for n in range(20000)
    ]
    lists = "ip access-list extended OUTSIDE-IN\n" + "\n".join(entries) + "\n"
    text = running(lists, more="line vty 0 4\n access-class OUTSIDE-IN in\n! sequence numbers of X 1\n")
    made = candidate(text, NORTH, SOUTH)
    now = after(text, made)
    assert now.config.bound[WAN, "in"] == "RMD1.OUTSIDE-IN"
    assert len(now.config.lists["RMD1.OUTSIDE-IN"].entries) == 20000 + 7
    assert SPEC.simulate(EDGE, now, made.inverse).config == SPEC.read(EDGE, text).config


# -- what whoever approves is told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOTH_BOUND, []),
        (running(), ["way out, where there is no access list now"]),
        (running("", ""), ["way in, where there is no access list", "way out, where there is no access list now"]),
        (
            running(OUT, " ip access-group NOTHING in\n ip access-group OUT out\n"),
            ["way in, where there is NOTHING, which has no entry and lets everything pass now"],
        ),
    ],
    ids=["two lists", "one list", "no list", "an empty one"],
)
def test_a_new_list_on_an_interface_is_said_in_words(text: str, said: list[str]) -> None:
    remarks = guarding.remarks(EDGE, candidate(text, NORTH), text)
    assert len(remarks) == len(said)
    for remark, words in zip(remarks, said, strict=True):
        assert remark.startswith(f"edge-1: a new access list will stand on {WAN}'s {words}")
    assert guarding.remarks(EDGE, candidate(guarded(text), NORTH), guarded(text)) == []
