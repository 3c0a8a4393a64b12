"""Callers → dcmqrscp's two tables, on files as people have them."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import Caller, CallerIntent
from remediate.model.site import Role
from remediate.platforms.dcmqrscp import SPEC, Dcmqrscp
from remediate.platforms.dcmqrscp.document import LONGEST, Document
from remediate.render import Renderer

DEVICE = Device(
    name="south",
    platform="dcmqrscp",
    guard=Guard(interface=()),
    config=ConfigFile(path="/etc/dcmtk/dcmqrscp.cfg", restart="true", ports=(104,), dicom_ports=(104,)),
)
FILE = """\
# by hand: the archive of the south wing
NetworkTCPPort  = 104
MaxAssociations = 16

HostTable BEGIN
# the old workstation
ws      = (WS1, 10.20.0.77, 104)
readers = ws
HostTable END

VendorTable BEGIN
"Acme" = readers
VendorTable END

AETable BEGIN
# title   area         access quota          peers
SOUTH     /var/south   RW     (200, 1024mb)  ANY
WARD      /var/ward    R      (9, 1024mb)    readers, ws
AETable END
"""


def caller(peer: str = "ct-1", title: str = "CT1", address: str = "10.20.0.10", *roles: Role) -> Caller:
    return Caller(peer=peer, ae_title=title, address=ip_address(address), port=104, roles=roles or (Role.STORE,))


def intent(*callers: Caller, title: str = "SOUTH") -> CallerIntent:
    return CallerIntent(
        pacs="south", control="ae_title", device="south", ae_title=title, callers=callers or (caller(),)
    )


def candidate(text: str, *callers: Caller, title: str = "SOUTH") -> Candidate:
    sections = guarding.sections(DEVICE, [intent(*callers, title=title)], text)
    return guarding.candidate(DEVICE, sections, text, Renderer())


def applied(text: str, patch: str) -> str:
    return Document(text).merged(json.loads(patch)).text


def test_only_the_callers_and_back_to_the_byte() -> None:
    made = candidate(FILE)
    after = applied(FILE, made.text)
    assert after == FILE.replace(
        "HostTable END", "rmd_ct-1 = (CT1, 10.20.0.10, 104)\nrmd__callers = rmd_ct-1\nHostTable END"
    ).replace("(200, 1024mb)  ANY", "(200, 1024mb)  rmd__callers")
    assert applied(after, made.inverse) == FILE
    assert "+SOUTH     /var/south   RW     (200, 1024mb)  rmd__callers" in made.diff


def test_a_title_that_is_restricted_by_hand_keeps_its_peers() -> None:
    text = FILE.replace("(200, 1024mb)  ANY", "(200, 1024mb)  readers  ")
    made = candidate(text)
    after = applied(text, made.text)
    assert "(200, 1024mb)  readers, rmd__callers  \n" in after
    assert applied(after, made.inverse) == text
    said = guarding.remarks(DEVICE, made, text)
    assert [one.partition(": ")[2] for one in said] == [
        "its title SOUTH goes on letting in readers",
        "its other title WARD goes on letting in readers, ws",
    ]


def test_done_once_there_is_nothing_to_do_and_who_left_goes() -> None:
    two = caller(), caller("us", "US1", "10.20.0.12")
    after = applied(FILE, candidate(FILE, *two).text)
    (section,) = guarding.sections(DEVICE, [intent(*two)], after)
    assert section.rules == section.previous
    less = candidate(after)
    assert applied(after, less.text) == applied(FILE, candidate(FILE).text)
    assert applied(applied(after, less.text), less.inverse) == after


@pytest.mark.parametrize(
    ("text", "title", "said"),
    [
        (FILE, "NORTH", "its AETable has no title NORTH"),
        (FILE.replace("readers, ws", "ANY"), "SOUTH", "its title WARD lets anybody in"),
        (FILE.replace("  RW  ", "  R   "), "SOUTH", "SOUTH has access R, and peer ct-1 stores"),
        (FILE.replace("(WS1,", "(CT1,"), "SOUTH", "a C-MOVE to it goes to the first that is found"),
    ],
)
def test_what_would_lock_somebody_out_is_refused(text: str, title: str, said: str) -> None:
    with pytest.raises(PlanError, match="lock somebody out") as refused:
        candidate(text, caller("ct-1", "CT1", "10.20.0.10", Role.STORE, Role.RETRIEVE), title=title)
    assert said in str(refused.value)


def test_what_its_file_cannot_say_is_refused() -> None:
    with pytest.raises(PlanError, match="cannot say the AE title 'CT 1'"):
        candidate(FILE, caller(title="CT 1"))
    with pytest.raises(PlanError, match="1 to about 25 callers, and there are 60"):
        candidate(FILE, *(caller(f"station-{n}", f"ST{n}", f"10.20.1.{n}") for n in range(60)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ws      =", " ws     =", "line 7 of its file: white space before an entry"),
        ("readers = ws\n", "readers = ws\n \n", "line 9 of its file: white space in a table"),
        ("readers = ws\n", "ws = (WS2, 10.0.0.1, 104)\n", "ws stands twice"),
        ("HostTable END", "", "VendorTable BEGIN out of place"),
        ("AETable END\n", "", "AETable does not end"),
        ("readers, ws", "", "title, storage area, access, quota and peers are expected"),
        ("readers, ws", "readers, " * (LONGEST // 9), "more than 510 bytes"),
    ],
)
def test_what_dcmqrscp_would_misread_is_refused(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(Unprovable, match=said):
        Document(FILE.replace(old, new, 1))


def test_a_file_without_tables_is_refused() -> None:
    with pytest.raises(Unprovable, match="there is no HostTable"):
        Document("NetworkTCPPort = 104\n")


def test_debians_own_example_is_read() -> None:
    example = Path("/etc/dcmtk/dcmqrscp.cfg")
    if example.exists():
        assert not Document(example.read_text()).rows


@pytest.mark.parametrize(
    "patch",
    [
        {"HostTable": {"ws": None}},
        {"AETable": {"SOUTH": ["ws"]}},
        {"AETable": {"WARD": "ANY"}},
        {"AETable": {"OTHER": "ANY"}},
        {"VendorTable": {}},
    ],
)
def test_a_patch_that_touches_what_is_not_ours_is_refused(patch: dict[str, object]) -> None:
    with pytest.raises(Unprovable):
        Document(FILE).merged(patch)


def test_it_must_not_look_names_up() -> None:
    assert not Dcmqrscp().lacks("dcmqrscp --disable-host-lookup -c /etc/dcmqrscp.cfg 104 ")
    assert not Dcmqrscp().lacks("dcmqrscp -c /etc/dcmqrscp.cfg -dhl")
    (lack,) = Dcmqrscp().lacks("dcmqrscp -c /etc/dcmqrscp.cfg 104 ")
    assert "--disable-host-lookup" in lack


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9._-]{0,6}", fullmatch=True), min_size=1, max_size=4, unique=True)


@given(
    names=NAMES,
    others=NAMES,
    any_peer=st.booleans(),
    gap=st.sampled_from([" ", "\t", " , ", "  "]),
    end=st.sampled_from(["\n", " \n", "\r\n", "\t\r\n"]),
)
def test_any_file_comes_back_to_the_byte(
    names: list[str], others: list[str], any_peer: bool, gap: str, end: str
) -> None:
    hosts = "".join(f"{name} = (T{number}, 10.1.0.{number}, 104){end}" for number, name in enumerate(others))
    peers = "ANY" if any_peer else gap.join(others)
    row = f"S /s RW (9, 1mb){gap}{peers}{end}"
    text = f"HostTable BEGIN{end}{hosts}HostTable END{end}AETable BEGIN{end}{row}AETable END{end}"
    callers = [caller(name, f"C{number}", f"10.2.0.{number}") for number, name in enumerate(names, 1)]
    made = candidate(text, *callers, title="S")
    after = SPEC.simulate(DEVICE, SPEC.read(DEVICE, text), made.text)
    assert SPEC.simulate(DEVICE, after, made.inverse).text == text
    assert [row.ours for row in after.document.rows.values()] == ["rmd__callers"]
