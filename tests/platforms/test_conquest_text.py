"""Callers → one line of Lua in Conquest's dicom.ini, on files as people have them."""

from __future__ import annotations

import json
import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.change import guarding
from remediate.errors import PlanError, Unprovable
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import Caller, CallerIntent
from remediate.model.site import Role
from remediate.platforms.conquest import MASK, SPEC, Conquest
from remediate.platforms.conquest.document import LONGEST_VALUE, Document
from remediate.render import Renderer
from tests.platforms import dgate

LUA_NEEDED = pytest.mark.skipif(shutil.which("lua5.1") is None, reason="needs Lua: apt-get install lua5.1")
DEVICE = Device(
    name="south",
    platform="conquest",
    guard=Guard(interface=()),
    config=ConfigFile(path="/etc/conquest-dicom-server/dicom.ini", restart="", ports=(5678,), dicom_ports=(5678,)),
)
FILE = """\
# This file contains configuration information for the DICOM server
; by hand: ask the radiologists first

[sscscp]
MicroPACS                = sscscp

# Network configuration: server name and TCP/IP port#
MyACRNema                = SOUTH
TCPPort                  = 5678
Username                 = conquest
Password                 = hunter2
"""
SCRIPTED = FILE + "\n[Lua]\n; the extensions\nAssociation=dofile('association.lua')  \nclienterror = print('oops')\n"
OURS = (
    "--[[rmd]] if Association.ConnectedIP~='127.0.0.1' and not (Association.Called=='SOUTH' and "
    "({['CT1 10.20.0.10']='ct-1'})[Association.Calling..' '..Association.ConnectedIP]) then reject() end --[[/rmd]]"
)


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
    return Conquest().patched(Document(text), patch).text


def test_only_the_callers_and_back_to_the_byte() -> None:
    made = candidate(FILE)
    after = applied(FILE, made.text)
    assert after == f"{FILE}[lua] ; rmd\nassociation = {OURS}\n"
    assert applied(after, made.inverse) == FILE
    assert f"+association = {OURS}" in made.diff


def test_a_script_that_stands_there_stays_behind_ours() -> None:
    made = candidate(SCRIPTED)
    after = applied(SCRIPTED, made.text)
    assert f"\nAssociation={OURS} dofile('association.lua')  \n" in after
    assert applied(after, made.inverse) == SCRIPTED
    assert any("stays, and runs after ours" in one for one in guarding.remarks(DEVICE, made, SCRIPTED))


def test_done_once_there_is_nothing_to_do_and_who_left_goes() -> None:
    two = caller(), caller("us", "US 1", "10.20.0.12", Role.RETRIEVE)
    after = applied(SCRIPTED, candidate(SCRIPTED, *two).text)
    (section,) = guarding.sections(DEVICE, [intent(*two)], after)
    assert section.rules == section.previous
    less = candidate(after)
    assert applied(after, less.text) == applied(SCRIPTED, candidate(SCRIPTED).text)
    assert applied(applied(after, less.text), less.inverse) == after
    assert any("us needs its entry in acrnema.map" in one for one in guarding.remarks(DEVICE, less, after)) is False
    said = guarding.remarks(DEVICE, candidate(SCRIPTED, *two), SCRIPTED)
    assert any("us needs its entry in acrnema.map" in one for one in said)


def test_two_stations_of_one_title_are_both_let_in() -> None:
    after = applied(FILE, candidate(FILE, caller(), caller("ct-2", "CT1", "10.20.0.11")).text)
    assert "{['CT1 10.20.0.10']='ct-1',['CT1 10.20.0.11']='ct-2'}" in after


def test_what_somebody_adds_to_our_section_stays() -> None:
    made = candidate(FILE)
    theirs = applied(FILE, made.text) + "endassociation = print('bye')\n"
    assert applied(theirs, made.inverse) == f"{FILE}[lua] ; rmd\nendassociation = print('bye')\n"


@LUA_NEEDED
def test_what_lua_says_of_it(tmp_path: Path) -> None:
    file, prologue = tmp_path / "dicom.ini", tmp_path / "prologue.lua"
    prologue.write_text(dgate.PROLOGUE)
    two = caller(), caller("us", "US 1", "10.20.0.12")
    script = "for_them = Association.Calling"
    text = FILE + f"[lua]\nassociation = {script}\n"
    file.write_text(applied(text, candidate(text, *two).text))
    value = dgate.Ini(str(file)).get("lua", "association")
    assert value.endswith(f" {script}")
    compiled = subprocess.run(["lua5.1", "-e", f"assert(loadstring([==[{value}]==]))"], check=False)
    assert compiled.returncode == 0

    def refused(calling: str, called: str, address: str) -> bool:
        return dgate.rejected(dgate.Ini(str(file)), calling, called, address, str(prologue))

    assert not refused("CT1", "SOUTH", "10.20.0.10") and not refused("US 1", "SOUTH", "10.20.0.12")
    assert refused("CT1", "SOUTH", "10.20.0.12"), "a known title from the wrong address"
    assert refused("ANYBODY", "SOUTH", "10.20.0.10") and refused("CT1", "NORTH", "10.20.0.10")
    assert not refused("CONQUESTSRV1", "CONQUESTSRV1", "127.0.0.1"), "its own web pages"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace("= SOUTH", "= NORTH"), "its own AE title is 'NORTH'"),
        (FILE + f"[lua]\nassociation = x={'1' * 900}\n", "put the script that stands there into a file"),
    ],
)
def test_what_would_lock_somebody_out_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match="lock somebody out") as refused:
        candidate(text)
    assert said in str(refused.value)


def test_what_its_script_cannot_say_is_refused() -> None:
    with pytest.raises(PlanError, match="of peer ct-1, cannot stand in Conquest's script"):
        candidate(FILE, caller(title="CT'"))
    with pytest.raises(PlanError, match=r"in IPv4 only, and peer ct-1 has 2001:db8::1"):
        candidate(FILE, caller(address="2001:db8::1"))
    with pytest.raises(PlanError, match=f"Conquest reads {LONGEST_VALUE} of them and lets everybody in: list fewer"):
        candidate(FILE, *(caller(f"station-{n}", f"ST{n}", f"10.20.1.{n}") for n in range(40)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SCRIPTED + "association = x()\n", "association stands twice in .lua., in lines 15 and 17"),
        (SCRIPTED.removesuffix("\n"), "the last line of the file does not end"),
        (FILE.replace("MicroPACS", "Micro"), "there is no MicroPACS"),
        (FILE + "[lua]\nassociation = \"dofile('x')\"\n", "stands in quotes"),
        (FILE + f"[lua]\nassociation = {OURS.replace('10.20.0.10', '10.20.0.10 ')}\n", "edited by hand"),
        (FILE + f"[lua]\nassociation = {OURS.replace('reject()', 'print(1)')}\n", "edited by hand"),
        (FILE + f"[lua]\nassociation = f() {OURS}\n", "edited by hand"),
        (FILE + f"# {'x' * 2047}\n", "line 12 is longer than dgate reads"),
    ],
)
def test_what_conquest_would_read_otherwise_is_refused(text: str, said: str) -> None:
    with pytest.raises(Unprovable, match=said):
        Document(text)


@pytest.mark.parametrize(
    "patch",
    [
        {"sscscp": {"association": None}},
        {"lua": {"startup": "os.exit()"}},
        {"lua": {"association": "reject()"}},
        {"lua": {"association": {"called": "X", "callers": {"a": "b"}}}},
        {"lua": None},
    ],
)
def test_a_patch_that_is_not_ours_is_refused(patch: dict[str, object]) -> None:
    with pytest.raises(Unprovable):
        Conquest().patched(Document(FILE), json.dumps(patch))


def test_passwords_do_not_leave_the_host() -> None:
    text = FILE + "# Password = also\nDataHost = postgres://me:secret@db.example/x\n"
    masked = Conquest().masked(text)
    assert "hunter2" not in masked and "also" not in masked and "secret" not in masked
    assert f"Password                 = {MASK}\n" in masked and "MyACRNema                = SOUTH" in masked


def test_what_listens_must_be_dgate() -> None:
    assert not Conquest().lacks("/opt/conquest/dgate -v ")
    assert Conquest().lacks("/usr/sbin/Orthanc /etc/orthanc ") == (
        "what listens there is not dgate: /usr/sbin/Orthanc",
    )


@settings(max_examples=60)
@given(
    key=st.sampled_from(["association", "Association", "ASSOCIATION\t"]),
    equals=st.sampled_from(["=", " = ", "=\t", " =  "]),
    theirs=st.sampled_from([None, "", "f()", "if a then b() end -- done"]),
    end=st.sampled_from(["\n", " \n", "\t\n"]),
    section=st.sampled_from(["[lua]", "[LUA] here", "[Lua]"]),
    dos=st.booleans(),
    names=st.lists(st.from_regex(r"[a-z][a-z0-9._-]{0,6}", fullmatch=True), min_size=1, max_size=4, unique=True),
)
def test_any_file_comes_back_to_the_byte(
    key: str, equals: str, theirs: str | None, end: str, section: str, dos: bool, names: list[str]
) -> None:
    text = FILE + f"{section}\nstartup = print(1)\n"
    if theirs is not None:
        text += f"{key}{equals}{theirs}{end}"
    text += "[other]\nassociation = not ours\n"
    text = text.replace("\n", "\r\n") if dos else text
    made = candidate(text, *(caller(name, f"C{n}", f"10.2.0.{n}") for n, name in enumerate(names, 1)))
    after = SPEC.simulate(DEVICE, SPEC.read(DEVICE, text), made.text)
    assert after.document.filter is not None and list(after.document.filter.callers) == sorted(names)
    assert SPEC.simulate(DEVICE, after, made.inverse).text == text
