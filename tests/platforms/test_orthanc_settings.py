"""Callers → Orthanc's settings, on files as people have them: what is changed, refused, said, and hidden."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from remediate.change import guarding
from remediate.errors import PlanError
from remediate.model.change import Candidate
from remediate.model.device import ConfigFile, Device, Guard
from remediate.model.rule import Caller, CallerIntent
from remediate.model.site import Role
from remediate.platforms.archive.files import Files
from remediate.platforms.orthanc import Orthanc, settings
from remediate.platforms.orthanc.document import Document
from remediate.platforms.orthanc.secrets import MASK, masked
from remediate.render import Renderer

DEVICE = Device(
    name="north",
    platform="orthanc",
    guard=Guard(interface=()),
    config=ConfigFile(path="/etc/orthanc/orthanc.json", restart="true", ports=(104,), dicom_ports=(104,)),
)
FILE = """\
{
  // The archive of the north wing
  "Name" : "north", /* not "south" */
  "DicomAet" : "ORTHANC",
  "DicomAlwaysAllowFind" : true, // for the readers, by phone
  "DicomModalities" : {
    "old" : [ "OLDCT", "10.20.0.77", 104 ],
    "mr" : { "AET" : "MR1", "Host" : "10.20.0.11", "Port" : 104, "AllowStore" : false }
  },
  "HttpPort" : 8042
}
"""


def caller(peer: str = "ct-1", title: str = "CT1", address: str = "10.20.0.10", *roles: Role) -> Caller:
    return Caller(peer=peer, ae_title=title, address=ip_address(address), port=104, roles=roles or (Role.STORE,))


def intent(*callers: Caller, title: str = "ORTHANC") -> CallerIntent:
    return CallerIntent(
        pacs="north", control="ae_title", device="north", ae_title=title, callers=callers or (caller(),)
    )


def candidate(text: str, *callers: Caller) -> Candidate:
    sections = guarding.sections(DEVICE, [intent(*callers)], text)
    return guarding.candidate(DEVICE, sections, text, Renderer())


def with_keys(**more: Any) -> str:
    return json.dumps({"DicomAet": "ORTHANC", **more}, indent=2)


def test_nothing_else_changes_and_back_to_the_byte() -> None:
    made = candidate(FILE)
    after = Document(FILE).merged(json.loads(made.text))
    assert after.merged(json.loads(made.inverse)).text == FILE
    for line in ("// The archive of the north wing", '/* not "south" */', '"old" : [ "OLDCT", "10.20.0.77", 104 ]'):
        assert line in after.text
    assert '"DicomAlwaysAllowFind" : false, // for the readers, by phone' in after.text
    for key in (*settings.ALWAYS_ALLOW, *settings.CHECKS):
        assert after.get((key,)) == ("false" if key in settings.ALWAYS_ALLOW else "true")
    assert json.loads(after.get(("DicomModalities", "rmd_ct-1")) or "") == {
        "AET": "CT1",
        "Host": "10.20.0.10",
        "Port": 104,
        "AllowEcho": True,
        "AllowStore": True,
        "AllowFind": False,
        "AllowFindWorklist": False,
        "AllowGet": False,
        "AllowMove": False,
        "AllowStorageCommitment": False,
    }


def test_done_once_there_is_nothing_to_do() -> None:
    after = Document(FILE).merged(json.loads(candidate(FILE).text)).text
    (section,) = guarding.sections(DEVICE, [intent()], after)
    assert section.rules == section.previous


def test_an_entry_of_ours_that_nobody_stands_for_any_more_goes() -> None:
    after = Document(FILE).merged(json.loads(candidate(FILE, caller(), caller("us", "US1", "10.20.0.12")).text)).text
    made = candidate(after)
    assert json.loads(made.text) == {"DicomModalities": {"rmd_us": None}}
    assert json.loads(made.inverse)["DicomModalities"]["rmd_us"]["AET"] == "US1"


def test_the_diff_is_of_the_file_as_its_administrator_has_it() -> None:
    diff = candidate(FILE).diff
    assert '-  "DicomAlwaysAllowFind" : true, // for the readers, by phone' in diff
    assert '+  "DicomAlwaysAllowFind" : false, // for the readers, by phone' in diff
    assert '+      "AET": "CT1",' in diff


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (with_keys(DicomModalitiesInDatabase=True), "would not read the entries in its file"),
        (
            with_keys(DicomModalities={"ws": ["WS1", "ws.hospital.example", 104]}),
            "names its host 'ws.hospital.example'",
        ),
        (with_keys(DicomModalities={"ws": {"AET": "WS1", "Host": "ws", "Port": 104}}), "names its host 'ws'"),
        (
            with_keys(DicomModalities={"x": ["ct1", "10.20.0.99", 104]}),
            "has the title of peer ct-1 and another address",
        ),
        (json.dumps({"DicomAet": "NORTH"}), "its own AE title is 'NORTH', and the inventory says 'ORTHANC'"),
    ],
)
def test_what_would_lock_somebody_out_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match="lock somebody out") as refused:
        candidate(text)
    assert said in str(refused.value)


def test_without_a_title_of_its_own_it_is_orthancs_default() -> None:
    assert candidate("{}").text


def test_two_peers_of_one_title_are_refused() -> None:
    with pytest.raises(PlanError, match="peers ct-1 and ct-2 have one AE title"):
        candidate(FILE, caller(), caller("ct-2", "ct1", "10.20.0.12"))


def test_who_else_is_let_in_is_said() -> None:
    ct, mr = caller("ct-1", "CT1", "10.20.0.10", Role.STGCMT), caller("mr-1", "MR1", "10.20.0.11")
    said = guarding.remarks(DEVICE, candidate(FILE, ct, mr), FILE)
    assert len(said) == 3
    assert "'old' of somebody's own, OLDCT at 10.20.0.77: it goes on being let in" in said[0]
    assert "'mr'" in said[1] and "stands for peer mr-1 too, with permissions of its own" in said[1]
    assert "storage commitment" in said[2]


def unfit(beside: dict[str, str], *controls: str, text: str = "{}", command: str = "Orthanc /etc/orthanc") -> str:
    files = Files("/etc/orthanc/orthanc.json", text, {f"/etc/orthanc/{name}": one for name, one in beside.items()})
    return "\n".join(Orthanc().unfit(files, command, controls))


@pytest.mark.parametrize("key", ["DicomModalities", "DicomAlwaysAllowEcho", "DicomModalitiesInDatabase", "DicomAet"])
def test_a_section_in_another_file_of_the_folder_is_told(key: str) -> None:
    assert key in unfit({"more.json": json.dumps({key: {}, "Plugins": []})}, "ae_title")
    assert not unfit({"more.json": json.dumps({"Plugins": []})}, "ae_title")
    assert not unfit({"more.json": json.dumps({key: {}})}, "tls_only"), "of that control only"
    assert "cannot be read" in unfit({"more.json": "{"}, "ae_title")


SECRET = "s3cr3t-of-the-site"


@pytest.mark.parametrize(
    "text",
    [
        with_keys(RegisteredUsers={"alice": SECRET}),
        with_keys(PostgreSQL={"Host": "db", "Password": SECRET}),
        with_keys(PostgreSQL={"ConnectionUri": f"postgresql://orthanc:{SECRET}@db/orthanc"}),
        with_keys(OrthancPeers={"south": ["http://10.0.0.1:8042/", "alice", SECRET]}),
        with_keys(DicomWeb={"Servers": {"x": ["http://10.0.0.1/", "alice", SECRET]}}),
        with_keys(DicomWeb={"Servers": {"x": {"Url": "http://10.0.0.1/", "HttpHeaders": {"Authorization": SECRET}}}}),
        with_keys(AwsS3Storage={"AccessKey": SECRET, "SecretKey": SECRET}),
        with_keys(Pkcs11={"Pin": SECRET}),
        with_keys(Routes=[{"To": "x", "Password": SECRET}]),
        with_keys(AzureBlobStorage={"ConnectionString": f"AccountKey={SECRET}"}),
        '{\n// "RegisteredUsers" : {\n//   "alice" : "' + SECRET + '"\n// }\n"DicomAet" : "ORTHANC" }',
        '{ /* "RegisteredUsers" : {\n "alice" : "' + SECRET + '"\n } */ "DicomAet" : "ORTHANC" }',
        '{ "DicomAet" : "ORTHANC" // http://alice:' + SECRET + "@10.0.0.1/\n}",
    ],
)
def test_no_secret_leaves_the_host(text: str) -> None:
    assert SECRET in text
    shown = masked(text)
    assert SECRET not in shown
    assert SECRET not in json.dumps(candidate(shown).model_dump(mode="json"))
    assert Document(shown).get(("DicomAet",)) == '"ORTHANC"'


def test_what_is_no_secret_is_shown() -> None:
    assert masked(FILE) == FILE
    named = with_keys(DicomModalities={"rmd_token-ring": {"AET": "PIN", "Host": "10.0.0.1"}})
    assert MASK not in masked(named)
