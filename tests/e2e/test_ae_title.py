"""The control ``ae_title`` on the real site's Orthanc: from an open archive to known callers only, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate.lab.real import LabSite
from remediate.lab.real.files import ETC
from tests.e2e.conftest import User

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

FILE = f"{ETC}/orthanc.json"
BY_HAND = "// by hand: ask the radiologists before changing anything here\n"
PLAYBOOK = """\
- name: Only known callers
  hosts: pacs
  vars: {revert_in: 4m}
  tasks:
    - name: The archive refuses callers that it does not know
      apply: ae_title
    - name: Look from outside and from the clinic
      verify: {from: [internet, clinic]}
"""


@pytest.fixture
def file_by_hand(fresh_site: LabSite) -> str:
    """The archive's file with what somebody wrote into it; comments change nothing, so no restart is needed."""
    text = BY_HAND + fresh_site.must("pacs", ["cat", FILE]).replace('"DicomPort"', '/* IANA: 104 */ "DicomPort"')
    fresh_site.must("pacs", ["tee", FILE], input=text)
    return text


@pytest.fixture
def play(user: User) -> Path:
    path = user.folder / "ae_title.yaml"
    path.write_text(PLAYBOOK)
    return path


def echo(site: LabSite, host: str, title: str) -> bool:
    i = site.layout
    to = (i.published, i.outside_dicom_port) if host == "internet" else (i.pacs, i.dicom_port)
    argv = ["echoscu", "-to", "5", "-aet", title, "-aec", i.ae_title, *map(str, to)]
    return not site.exec(host, argv).returncode


def test_only_known_callers_and_back_to_the_byte(user: User, file_by_hand: str, play: Path) -> None:
    site = user.site
    title = site.layout.clinic_ae_title
    assert echo(site, "internet", "ANYBODY") and echo(site, "internet", title)
    done = user.do("run", str(play), *user.inventory(), "--format", "json")
    assert done.status == 0, done.err
    assert not echo(site, "internet", "ANYBODY")
    assert not echo(site, "internet", title), "a known title from the wrong address"
    assert not echo(site, "clinic", "ANYBODY")
    assert echo(site, "clinic", title)
    text = site.must("pacs", ["cat", FILE])
    assert BY_HAND in text and "/* IANA: 104 */" in text
    pushed = next(e for e in user.entries() if e.kind == "pushed" and "down" in e.data)
    assert 0 < pushed.data["down"] < 30

    again = user.do("run", str(play), *user.inventory(), "--format", "json")
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err

    change = done.json["change"]
    back = user.do("rollback", change, "--format", "json")
    assert back.status == 0, back.err
    assert site.must("pacs", ["cat", FILE]) == file_by_hand
    assert echo(site, "internet", "ANYBODY")
