"""dcm4chee-arc's driver over a real SSH server and a real OpenLDAP; the archive is simulated, see ``arc``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remediate import inventory, platforms
from remediate.change import guarding
from remediate.errors import CommandRejected, PlanError
from remediate.lab.real import LabSite, hosts
from remediate.lab.real.files import ETC
from remediate.model.device import ConfigFile
from tests.platforms import arc, directory
from tests.platforms.directory import DEVICE
from tests.platforms.test_archive_driver import TOKEN, Archive, again

pytestmark = [pytest.mark.real, directory.NEEDED]

PORT, HTTP_PORT = 11112, 8080
FOLDER = f"{ETC}/dcm4chee"
LIST = "dcmAcceptedCallingAETitle"
_POST = f"u.Request('http://127.0.0.1:{HTTP_PORT}/dcm4chee-arc/ctrl/reload', method='POST')"
RELOAD = shlex.join([sys.executable, "-c", f"import urllib.request as u; u.urlopen({_POST}, timeout=30)"])


@pytest.fixture
def dcm4chee(fresh_site: LabSite) -> Iterator[Archive]:
    site = inventory.load(fresh_site.inventory, platforms=set(platforms.PLATFORMS)).site
    running = None
    try:
        directory.start(fresh_site, FOLDER)
        argv = ["env", f"PYTHONPATH={':'.join(sys.path)}", sys.executable, str(Path(arc.__file__)), str(PORT)]
        running = fresh_site.popen("pacs", [*argv, str(HTTP_PORT), DEVICE])
        hosts.until(lambda: fresh_site.listening("pacs", PORT), what="the simulated dcm4chee-arc")
        config = ConfigFile(path=DEVICE, restart=RELOAD, ports=(PORT,), dicom_ports=(PORT,))
        named = {"name": "south", "platform": "dcm4chee_arc"}
        device = site.devices["pacs-north"].model_copy(update=named | {"config": config})
        pacs = site.pacs["pacs-north"].model_copy(update=named | {"ae_title": "SOUTH"})
        made = Archive(fresh_site, pacs, device, site.logins["pacs-north"])
        with closing(made.driver):
            yield made
    finally:
        if running is not None:
            running.kill()
            running.communicate()
        directory.stop(fresh_site, FOLDER)


def lets_in(archive: Archive, host: str, title: str, called: str) -> bool:
    argv = ["echoscu", "-to", "5", "-aet", title, "-aec", called, str(archive.site.layout.pacs), str(PORT)]
    return not archive.site.exec(host, argv).returncode


def test_every_ae_lets_known_titles_in_only_and_back_to_an_equal_directory(dcm4chee: Archive) -> None:
    site, driver = dcm4chee.site, dcm4chee.driver
    before = directory.export(site)
    assert driver.preflight() == ()
    assert lets_in(dcm4chee, "fw", "ANYBODY", "SOUTH") and lets_in(dcm4chee, "fw", "ANYBODY", "SOUTH_ADMIN")
    running = driver.running_config()
    assert "dicomDescription" not in running, "nothing else leaves the host"
    made = dcm4chee.push()
    said = guarding.remarks(dcm4chee.device, made, running)
    assert said == ["south: its AE REPORTS has a list by hand, which stays: it lets in RIS"]
    assert driver.state_of(TOKEN).name == platforms.ARMED
    for called in ("SOUTH", "SOUTH_ADMIN"):
        assert not lets_in(dcm4chee, "clinic", "ANYBODY", called)
        assert lets_in(dcm4chee, "clinic", "CLINICMOD", called)
    assert lets_in(dcm4chee, "fw", "CLINICMOD", "SOUTH"), "from any address: what it does not give"
    assert directory.export(site) == before, "what is not confirmed does not outlive a restart of the archive"
    guarding.check_applied(dcm4chee.device, made, driver.running_config(), running)
    driver.confirm_commit(TOKEN)
    assert driver.save(TOKEN) == DEVICE
    driver.save(TOKEN)  # once more changes nothing
    after = directory.export(site)
    assert after.count(f"{LIST}: CLINICMOD") == 2 and f"{LIST}: RIS" in after
    guarding.check_applied(dcm4chee.device, made, driver.running_config(), running)
    driver.rollback(TOKEN, made)
    assert directory.export(site) == before
    assert lets_in(dcm4chee, "fw", "ANYBODY", "SOUTH_ADMIN")
    driver.forget(TOKEN)
    assert dcm4chee.left() == ""


def test_the_timer_fires_alone(dcm4chee: Archive) -> None:
    before = directory.export(dcm4chee.site)
    dcm4chee.push(timedelta(seconds=8))
    assert not lets_in(dcm4chee, "clinic", "ANYBODY", "SOUTH")
    dcm4chee.until(platforms.REVERTED)
    assert directory.export(dcm4chee.site) == before
    assert lets_in(dcm4chee, "clinic", "ANYBODY", "SOUTH")


def test_a_reload_that_fails_leaves_everything_as_it_was(dcm4chee: Archive) -> None:
    before = directory.export(dcm4chee.site)
    made = dcm4chee.candidate()
    down = again(dcm4chee, restart="echo no such host >&2; exit 7")
    down.driver.load_merge_candidate(made, TOKEN)
    with pytest.raises(CommandRejected, match="did not load") as refused:
        down.driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    assert "no such host" in refused.value.words and "the reload ended with status 7" in refused.value.words
    assert directory.export(dcm4chee.site) == before
    assert lets_in(dcm4chee, "clinic", "ANYBODY", "SOUTH")


def test_what_somebody_changes_meanwhile_stays(dcm4chee: Archive) -> None:
    site, driver = dcm4chee.site, dcm4chee.driver
    modify = f"dn: dicomAETitle=SOUTH,{DEVICE}\nchangetype: modify\nreplace: "
    made = dcm4chee.push()
    directory.modify(site, f"{modify}dicomDescription\ndicomDescription: theirs\n")
    driver.confirm_commit(TOKEN)
    driver.save(TOKEN)
    assert "dicomDescription: theirs" in directory.export(site)
    driver.rollback(TOKEN, made)
    assert "dicomDescription: theirs" in directory.export(site) and "CLINICMOD" not in directory.export(site)
    driver.forget(TOKEN)

    driver.load_merge_candidate(made, TOKEN)
    directory.modify(site, f"{modify}{LIST}\n{LIST}: THEIRS\n")
    with pytest.raises(CommandRejected, match="has changed since it was staged"):
        driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    driver.forget(TOKEN)
    assert f"{LIST}: THEIRS" in directory.export(site)
    with pytest.raises(
        PlanError, match=r"has a list by hand \(THEIRS\), and peer ct-1 with title CLINICMOD is not in it"
    ):
        dcm4chee.candidate()


def test_a_directory_that_refuses_is_left_as_it_was(dcm4chee: Archive) -> None:
    """The second AE may not have a list: the first one is put back."""
    site = dcm4chee.site
    made = dcm4chee.candidate()
    dcm4chee.driver.load_merge_candidate(made, TOKEN)
    entry = (
        f"dn: dicomAETitle=SOUTH_ADMIN,{DEVICE}\nchangetype: modify\ndelete: objectClass\nobjectClass: dcmNetworkAE\n"
    )
    directory.modify(site, entry)
    before = directory.export(site)
    with pytest.raises(CommandRejected, match="did not load") as refused:
        dcm4chee.driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    assert "not allowed" in refused.value.words
    assert directory.export(site) == before
    with pytest.raises(PlanError, match="AE SOUTH_ADMIN cannot have a list"):
        dcm4chee.candidate()


def test_what_a_host_lacks_is_said(dcm4chee: Archive) -> None:
    (lack,) = again(dcm4chee, path=DEVICE.replace("arc", "nowhere")).driver.preflight()
    assert lack.startswith("ldapsearch does not show root the entry dicomDeviceName=dcm4chee-nowhere,")
