"""Callers → the lists of a dcm4chee-arc device's AEs, on what ldapsearch shows."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import Caller, CallerIntent, Setting
from remediate.model.site import Role
from remediate.platforms.dcm4chee_arc import SPEC, Dcm4cheeArc
from remediate.platforms.dcm4chee_arc.document import ACCEPTED, OURS, Document
from remediate.render import Renderer

DN = "dicomDeviceName=arc,cn=Devices,dc=example"
DEVICE = Device(
    name="south",
    platform="dcm4chee_arc",
    guard=Guard(interface=()),
    config=ConfigFile(path=DN, restart="true", ports=(11112,), dicom_ports=(11112,)),
)


def ae(title: str, *lines: str) -> str:
    classes = "objectClass: dicomNetworkAE\nobjectClass: dcmNetworkAE\n"
    head = f"dn: dicomAETitle={title},{DN}\n{classes}dicomAETitle: {title}\n"
    return head + "".join(f"{line}\n" for line in (lines or ("dicomAssociationAcceptor: TRUE",))) + "\n"


HEAD = f"dn: {DN}\nobjectClass: dicomDevice\ndicomDeviceName: arc\n\n"
YES = "dicomAssociationAcceptor: TRUE"
SHOWN = (
    HEAD
    + ae("SOUTH", YES, "dcmOtherAETitle: SOUTH2")
    + ae("ADMIN")
    + ae("CALLS", "dicomAssociationAcceptor: FALSE")
    + ae("REPORTS", YES, f"{ACCEPTED}: RIS")
)


def caller(peer: str = "ct-1", title: str = "CT1", address: str = "10.20.0.10") -> Caller:
    return Caller(peer=peer, ae_title=title, address=ip_address(address), port=104, roles=(Role.STORE,))


def intent(*callers: Caller, title: str = "SOUTH") -> CallerIntent:
    return CallerIntent(
        pacs="south", control="ae_title", device="south", ae_title=title, callers=callers or (caller(),)
    )


def candidate(text: str, *callers: Caller, title: str = "SOUTH") -> Candidate:
    sections = guarding.sections(DEVICE, [intent(*callers, title=title)], text)
    return guarding.candidate(DEVICE, sections, text, Renderer())


def lists(text: str) -> dict[str, tuple[str, ...] | None]:
    return {title: one.accepted for title, one in Document(text).aes.items()}


def applied(text: str, patch: str) -> str:
    return Dcm4cheeArc().patched(Document(text), patch).text


def test_every_ae_that_accepts_has_the_list_and_one_made_by_hand_stays() -> None:
    made = candidate(SHOWN, caller(), caller("us", "US 1"), caller("us-2", "US 1", "10.20.0.12"))
    after = applied(SHOWN, made.text)
    assert lists(after) == {"SOUTH": ("CT1", "US 1"), "ADMIN": ("CT1", "US 1"), "REPORTS": ("RIS",)}
    assert Document(applied(after, made.inverse)).canonical == Document(SHOWN).canonical
    assert guarding.remarks(DEVICE, made, SHOWN) == [
        "south: its AE REPORTS has a list by hand, which stays: it lets in RIS"
    ]


def test_the_ldif_makes_one_of_the_other_and_names_what_differs_only() -> None:
    before = Document(SHOWN)
    after = Document(applied(SHOWN, candidate(SHOWN).text))
    heads = [f"dn: dicomAETitle={t},{DN}\nchangetype: modify\nreplace: {ACCEPTED}\n" for t in ("ADMIN", "SOUTH")]
    assert after.ldif(before) == "\n".join(f"{head}{ACCEPTED}: {OURS}\n{ACCEPTED}: CT1\n-\n" for head in heads)
    assert before.ldif(after) == "\n".join(f"{head}-\n" for head in heads)
    assert before.ldif(before) == ""


def test_an_ae_that_came_later_is_open_and_seen() -> None:
    after = applied(SHOWN, candidate(SHOWN).text)
    later = after + ae("NEW")
    (section,) = guarding.sections(DEVICE, [intent()], later)
    assert section.previous == (
        Setting(key=(ACCEPTED,), value='["CT1"]'),
        Setting(key=(ACCEPTED, "NEW"), value="null"),
    )
    made = candidate(later)
    assert json.loads(made.text) == {ACCEPTED: {"NEW": ["CT1"]}}
    assert json.loads(made.inverse) == {ACCEPTED: {"NEW": None}}


def test_done_once_there_is_nothing_to_do_and_who_left_goes() -> None:
    two = caller(), caller("us", "US1")
    after = applied(SHOWN, candidate(SHOWN, *two).text)
    (section,) = guarding.sections(DEVICE, [intent(*two)], after)
    assert section.rules == section.previous
    less = candidate(after)
    assert lists(applied(after, less.text))["ADMIN"] == ("CT1",)
    assert lists(applied(applied(after, less.text), less.inverse)) == lists(after)


def test_ours_is_nobodys_title() -> None:
    assert len(OURS) > 16


def test_the_order_of_a_directory_does_not_count() -> None:
    other = HEAD + ae("REPORTS", f"{ACCEPTED}: RIS", YES) + ae("ADMIN") + ae("CALLS", "dicomAssociationAcceptor: FALSE")
    other += ae("SOUTH", "dcmOtherAETitle: SOUTH2", YES)
    assert Document(other).foreign == Document(SHOWN).foreign
    assert Document(other.replace("SOUTH2", "SOUTH3")).foreign != Document(SHOWN).foreign


def test_a_name_in_base64_is_read() -> None:
    text = SHOWN.replace(f"dn: {DN}", "dn:: ZGljb21EZXZpY2VOYW1lPWFyY2jDvCxkYz1leGFtcGxl", 1)
    assert set(lists(text)) == {"SOUTH", "ADMIN", "REPORTS"}


@pytest.mark.parametrize(
    ("text", "title", "said"),
    [
        (SHOWN, "NORTH", "none of its AEs that accept associations has the title NORTH"),
        (SHOWN, "CALLS", "none of its AEs that accept associations has the title CALLS"),
        (SHOWN, "REPORTS", "AE REPORTS has a list by hand (RIS), and peer ct-1 with title CT1 is not in it"),
        (SHOWN.replace("objectClass: dcmNetworkAE\n", "", 1), "SOUTH", "AE SOUTH cannot have a list"),
    ],
)
def test_what_would_lock_somebody_out_or_stay_open_is_refused(text: str, title: str, said: str) -> None:
    with pytest.raises(PlanError, match="lock somebody out") as refused:
        candidate(text, title=title)
    assert said in str(refused.value)


def test_it_may_be_called_by_its_other_title() -> None:
    assert candidate(SHOWN, title="SOUTH2")


def test_what_ldif_cannot_say_is_refused() -> None:
    with pytest.raises(PlanError, match="LDAP cannot be told the AE title ':CT1'"):
        candidate(SHOWN, caller(title=":CT1"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "LDAP shows no dicomDevice"),
        ("No such object (32)\n", "not LDIF"),
        (HEAD + "dn: x\n y: folded\n\n", "not LDIF"),
        (HEAD + "dn: x\nno colon here\n\n", "not LDIF"),
        (HEAD + "dn: x\nname:: %%%\n\n", "the value of name cannot be read"),
    ],
)
def test_what_is_not_ldif_is_refused(text: str, said: str) -> None:
    with pytest.raises(Unprovable, match=said):
        Document(text)


@pytest.mark.parametrize(
    "patch",
    [
        {"dicomInstalled": {"SOUTH": ["FALSE"]}},
        {ACCEPTED: {"REPORTS": ["CT1"]}},
        {ACCEPTED: {"CALLS": ["CT1"]}},
        {ACCEPTED: {"SOUTH": "CT1"}},
        {ACCEPTED: ["CT1"]},
    ],
)
def test_a_patch_that_touches_what_is_not_ours_is_refused(patch: dict[str, object]) -> None:
    with pytest.raises(Unprovable):
        Dcm4cheeArc().patched(Document(SHOWN), json.dumps(patch))


def test_what_it_does_not_give_is_said() -> None:
    assert "from any address" in SPEC.capabilities.leaves_open["ae_title"]


TITLES = st.lists(
    st.from_regex(r"[A-Z][A-Z0-9 _:<-]{0,13}[A-Z0-9]", fullmatch=True), min_size=1, max_size=4, unique=True
)


@settings(max_examples=40)
@given(aes=TITLES, callers=TITLES, by_hand=st.booleans())
def test_any_directory_comes_back_equal(aes: list[str], callers: list[str], by_hand: bool) -> None:
    text = HEAD + "".join(map(ae, aes)) + (ae("by-hand", YES, f"{ACCEPTED}: X") if by_hand else "")
    made = candidate(text, *(caller(f"p{n}", title) for n, title in enumerate(callers)), title=aes[0])
    after = SPEC.simulate(DEVICE, SPEC.read(DEVICE, text), made.text)
    assert all(after.document.aes[title].accepted == tuple(sorted(callers)) for title in aes)
    assert SPEC.simulate(DEVICE, after, made.inverse).document.canonical == Document(text).canonical
