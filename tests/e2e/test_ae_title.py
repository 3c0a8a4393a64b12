"""The control ``ae_title`` on the real site's Orthanc: from an open archive to known callers only, and back."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from remediate.lab import studies
from remediate.lab.real import LabSite
from remediate.lab.real.files import ETC
from tests.e2e.conftest import User, killed_at

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


def stores(site: LabSite, title: str, study: Path) -> bool:
    """From the clinic."""
    i = site.layout
    to = [i.ae_title, str(i.pacs), str(i.dicom_port), str(study)]
    return not site.exec("clinic", ["storescu", "-to", "5", "-aet", title, "-aec", *to]).returncode


def left_on_host(site: LabSite) -> str:
    find = f"ls -A /var/lib/remediate; find {ETC} -name '*.rmd-*'"
    return site.exec("pacs", ["sh", "-c", find]).stdout


def test_only_known_callers_and_back_to_the_byte(user: User, file_by_hand: str, play: Path, tmp_path: Path) -> None:
    site = user.site
    title = site.layout.clinic_ae_title
    study = tmp_path / "study.dcm"
    study.write_bytes(next(iter(studies.files())))
    assert echo(site, "internet", "ANYBODY") and echo(site, "internet", title)
    assert stores(site, "ANYBODY", study) and stores(site, title, study)
    plan = user.do("plan", str(play), *user.inventory())
    assert plan.status == 0, plan.err
    said = " ".join(plan.out.split())
    assert "its services do not answer for about 3 s" in said
    assert "not given by ae_title: an AE-title filter is not authentication" in said
    assert "an entry 'clinic' of somebody's own" in said
    done = user.do("run", str(play), *user.inventory(), "--format", "json")
    assert done.status == 0, done.err
    assert not echo(site, "internet", "ANYBODY")
    assert not echo(site, "internet", title), "a known title from the wrong address"
    assert not echo(site, "clinic", "ANYBODY")
    assert echo(site, "clinic", title)
    assert not stores(site, "ANYBODY", study), "an unknown title"
    assert stores(site, title, study)
    text = site.must("pacs", ["cat", FILE])
    assert BY_HAND in text and "/* IANA: 104 */" in text
    pushed = next(e for e in user.entries() if e.kind == "pushed" and "down" in e.data)
    assert pushed.data["down"] > 0
    assert done.json["waves"][0]["down"] == {"pacs-north": pushed.data["down"]}
    told = user.do("record", "export", done.json["change"], "--format", "markdown")
    assert told.status == 0, told.err
    assert "its services did not answer for" in told.out and "3 s were expected" in told.out
    assert "AE-title filter is not authentication" in told.out
    assert left_on_host(site) == ""

    again = user.do("run", str(play), *user.inventory(), "--format", "json")
    assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err

    change = done.json["change"]
    back = user.do("rollback", change, "--format", "json")
    assert back.status == 0, back.err
    assert site.must("pacs", ["cat", FILE]) == file_by_hand
    assert echo(site, "internet", "ANYBODY")


def test_behind_a_firewall_that_is_closed_it_is_applied_all_the_same(user: User, play: Path, tmp_path: Path) -> None:
    """To an archive that has none of these settings yet, so that nothing seen says that they are missing."""
    site = user.site
    closed = user.do(*user.run())
    assert closed.status == 0, closed.err
    text = json.loads(site.must("pacs", ["cat", FILE]))
    bare = {key: value for key, value in text.items() if not key.startswith(("DicomAlways", "DicomModalities"))}
    site.must("pacs", ["tee", FILE], input=json.dumps(bare))
    site.stop_orthanc()
    site.start_orthanc()
    where = tmp_path / "inventory"
    shutil.copytree(site.inventory, where)
    file = where / "hosts.yaml"
    hosts = yaml.safe_load(file.read_text())
    hosts["pacs-north"]["data"]["access"]["peers"][0]["roles"] = ["store"]
    file.write_text(yaml.safe_dump(hosts))
    done = user.do("run", str(play), *user.inventory(where), "--format", "json")
    assert done.status == 0, done.err
    assert done.json["waves"][0]["state"] == "confirmed"
    assert not echo(site, "clinic", "ANYBODY") and echo(site, "clinic", site.layout.clinic_ae_title)


# Between the things that are done on the host.
@pytest.mark.parametrize("at", killed_at("pushing", "verified", "device confirmed"))
def test_killed_at_an_entry_and_resumed(user: User, file_by_hand: str, play: Path, at: str) -> None:
    process = user.start("run", str(play), *user.inventory(), "--format", "json")
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    site = user.site
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    assert kinds[-1] == "ended"
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert site.must("pacs", ["cat", FILE]) == file_by_hand
        assert echo(site, "internet", "ANYBODY")
    else:
        assert resumed.status == 0, resumed.err
        assert "rmd_ct-1" in site.must("pacs", ["cat", FILE])
        assert not echo(site, "internet", "ANYBODY") and not echo(site, "clinic", "ANYBODY")
        assert echo(site, "clinic", site.layout.clinic_ae_title)
    assert left_on_host(site) == ""


def test_what_cannot_be_filtered_is_refused_at_plan_time(user: User, play: Path) -> None:
    """The device is asked nothing that would change it, and the reason is said."""
    site = user.site
    site.must("pacs", ["tee", FILE], input=site.must("pacs", ["cat", FILE]).replace("10.20.0.10", "clinic.example"))
    done = user.do("plan", str(play), *user.inventory())
    assert done.status == 2
    assert "names its host 'clinic.example'" in " ".join(done.err.split())
