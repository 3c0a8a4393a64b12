"""The driver of archives against a real Orthanc and a real dcmqrscp, over a real SSH server."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from remediate import controls, inventory, platforms
from remediate.change import guarding
from remediate.errors import CommandRejected, DeviceError, DeviceUnreachable, Unprovable
from remediate.lab.real import LabSite, hosts
from remediate.lab.real.files import ETC
from remediate.model.change import Candidate, Token
from remediate.model.device import ConfigFile, Device, Login
from remediate.model.site import Addressing, Pacs
from remediate.platforms import PlatformSpec, deadman
from remediate.platforms.archive.driver import ArchiveFile
from remediate.render import Renderer

pytestmark = pytest.mark.real

FILE = f"{ETC}/orthanc.json"
TOKEN = Token("test.1.pacs-north")
LONG = timedelta(seconds=300)


class Archive:
    """One archive on the site's host, with a session."""

    def __init__(self, site: LabSite, pacs: Pacs, device: Device, login: Login) -> None:
        self.site, self.pacs, self.device, self.login = site, pacs, device, login
        assert device.config is not None
        self.config: ConfigFile = device.config
        self.spec: PlatformSpec = platforms.platform(device.platform)
        connected = self.spec.connect(device, login)
        assert isinstance(connected, ArchiveFile)
        self.driver = connected

    def file(self) -> str:
        return self.site.must("pacs", ["cat", self.config.path])

    def write(self, text: str) -> None:
        self.site.must("pacs", ["tee", self.config.path], input=text)

    def candidate(self) -> Candidate:
        running = self.driver.running_config()
        intent = controls.control("ae_title").intent(self.pacs, self.device, Addressing.REAL)
        return guarding.candidate(self.device, guarding.sections(self.device, [intent], running), running, Renderer())

    def push(self, revert_in: timedelta = LONG) -> Candidate:
        made = self.candidate()
        self.driver.load_merge_candidate(made, TOKEN)
        self.driver.commit_config(token=TOKEN, revert_in=revert_in, message="")
        return made

    def lets_in(self, host: str, title: str) -> bool:
        to = [str(self.site.layout.pacs), str(self.config.dicom_ports[0])]
        argv = ["echoscu", "-to", "5", "-aet", title, "-aec", self.pacs.ae_title, *to]
        return not self.site.exec(host, argv).returncode

    def left(self) -> str:
        """What of ours lies on the host still."""
        find = f"ls -A /var/lib/remediate; find {ETC} -name '*.rmd-*'"
        return self.site.exec("pacs", ["sh", "-c", find]).stdout

    def until(self, name: str, seconds: float = 60) -> None:
        hosts.until(lambda: self.driver.state_of(TOKEN).name == name, what=f"a push that is {name}", seconds=seconds)


@pytest.fixture
def orthanc(fresh_site: LabSite) -> Iterator[Archive]:
    site = inventory.load(fresh_site.inventory, platforms=set(platforms.PLATFORMS)).site
    made = Archive(fresh_site, site.pacs["pacs-north"], site.devices["pacs-north"], site.logins["pacs-north"])
    with closing(made.driver):
        yield made


def again(archive: Archive, **config: object) -> Archive:
    """The same with another configuration in the inventory, on the same session."""
    device = archive.device.model_copy(update={"config": archive.config.model_copy(update=config)})
    made = Archive.__new__(Archive)
    vars(made).update(vars(archive) | {"device": device, "config": device.config})
    made.driver = ArchiveFile(device, archive.driver._session, archive.driver._product)
    return made


def test_push_confirm_save(orthanc: Archive) -> None:
    driver, before = orthanc.driver, orthanc.file()
    assert driver.preflight() == ()
    running = driver.running_config()
    made = orthanc.push()
    state = driver.state_of(TOKEN)
    assert state.name == platforms.ARMED and 0 < state.seconds_left <= 300
    assert state.down is not None and state.down > 0
    assert orthanc.file() == before, "what is not confirmed does not outlive a restart of the host"
    guarding.check_applied(orthanc.device, made, driver.running_config(), running)
    assert not orthanc.lets_in("internet", "ANYBODY") and not orthanc.lets_in("fw", "CLINICMOD")
    assert orthanc.lets_in("clinic", "CLINICMOD")
    driver.confirm_commit(TOKEN)
    assert driver.pending() is None
    guarding.check_applied(orthanc.device, made, driver.running_config(), running)
    assert driver.save(TOKEN) == FILE
    assert orthanc.file() == driver.running_config() != before
    driver.save(TOKEN)  # once more changes nothing
    driver.forget(TOKEN)
    assert driver.state_of(TOKEN).name == platforms.ABSENT
    assert orthanc.left() == ""


def test_rolled_back_by_hand_to_the_byte(orthanc: Archive) -> None:
    by_hand = "// by hand\n" + orthanc.file()
    orthanc.write(by_hand)
    before = orthanc.driver.running_config()
    made = orthanc.push()
    assert not orthanc.lets_in("clinic", "ANYBODY")
    orthanc.driver.load_merge_candidate(made, TOKEN)
    with pytest.raises(CommandRejected, match="was made before"):
        orthanc.driver.commit_config(token=TOKEN, revert_in=LONG, message="")
    orthanc.site.must("pacs", ["tee", f"{deadman.STATE}/{TOKEN}/down"], input="99.000\n")
    orthanc.driver.rollback(TOKEN, made)
    down = orthanc.driver.state_of(TOKEN).down
    assert down not in (None, 0, 99), "of taking it back, not of the push"
    assert (orthanc.file(), orthanc.driver.running_config()) == (by_hand, before)
    assert orthanc.lets_in("clinic", "ANYBODY")
    with pytest.raises(DeviceError, match="is reverted, not confirmed"):
        orthanc.driver.confirm_commit(TOKEN)


def test_saved_and_then_taken_back_through_a_link(orthanc: Archive) -> None:
    """As where its fellow on another device could not be confirmed; the file is a symbolic link, and stays one."""
    link = f"{ETC}/link.json"
    orthanc.site.must("pacs", ["ln", "-s", FILE, link])
    try:
        archive, before = again(orthanc, path=link), orthanc.file()
        assert archive.driver.preflight() == ()
        made = archive.push()
        archive.driver.confirm_commit(TOKEN)
        archive.driver.save(TOKEN)
        assert orthanc.file() != before
        archive.driver.rollback(TOKEN, made)
        assert orthanc.file() == before
        assert orthanc.site.must("pacs", ["readlink", link]).strip() == FILE
    finally:
        orthanc.site.must("pacs", ["rm", link])
    assert orthanc.lets_in("clinic", "ANYBODY")


def test_the_timer_fires_alone(orthanc: Archive) -> None:
    before = orthanc.file()
    orthanc.push(timedelta(seconds=8))
    assert not orthanc.lets_in("clinic", "ANYBODY")
    orthanc.until(platforms.REVERTED)
    assert orthanc.file() == before == orthanc.driver.running_config()
    assert orthanc.lets_in("clinic", "ANYBODY")


def test_a_load_goes_on_when_its_session_is_lost_and_nothing_is_undone_under_it(orthanc: Archive) -> None:
    """The program is killed while the archive restarts; whoever looks next waits for the end of that."""
    before, slow = orthanc.file(), again(orthanc, restart=f"sleep 4; {ETC}/restart-orthanc")
    made = slow.candidate()
    slow.driver.load_merge_candidate(made, TOKEN)
    lost = threading.Timer(2.0, orthanc.driver.abort)
    lost.start()
    with pytest.raises(DeviceUnreachable):
        slow.driver.commit_config(token=TOKEN, revert_in=LONG, message="")
    lost.join()
    connected = orthanc.spec.connect(orthanc.device, orthanc.login)
    with closing(connected):
        assert connected.state_of(TOKEN).name == platforms.ARMED
        assert orthanc.file() == before, "the load has ended"
        guarding.check_applied(orthanc.device, made, connected.running_config(), before)
        connected.rollback(TOKEN, made)
        connected.forget(TOKEN)
    assert orthanc.file() == before and orthanc.left() == ""


def test_a_restart_of_the_host_takes_back_what_is_not_confirmed(orthanc: Archive) -> None:
    before = orthanc.file()
    orthanc.push()
    folder = f"/var/lib/remediate/{TOKEN}"
    end = f"kill -s KILL -- -$(cat {folder}/deadman.pid); echo another-boot > {folder}/boot"
    orthanc.site.must("pacs", ["sh", "-c", end])
    orthanc.site.stop_orthanc()
    orthanc.site.start_orthanc()
    assert orthanc.driver.state_of(TOKEN).name == platforms.REVERTED
    assert orthanc.driver.running_config() == before
    assert orthanc.lets_in("clinic", "ANYBODY")


def test_confirmed_but_restarted_before_it_was_saved(orthanc: Archive) -> None:
    before = orthanc.file()
    made = orthanc.push()
    orthanc.driver.confirm_commit(TOKEN)
    orthanc.site.must("pacs", ["sh", "-c", f"echo another-boot > /var/lib/remediate/{TOKEN}/boot"])
    orthanc.site.stop_orthanc()
    orthanc.site.start_orthanc()
    assert orthanc.lets_in("clinic", "ANYBODY")
    state = orthanc.driver.state_of(TOKEN)
    assert (state.name, state.restarted) == (platforms.CONFIRMED, True), "it was, and is in force no more"
    assert orthanc.driver.running_config() == orthanc.driver.boot_config() == orthanc.file() == before
    with pytest.raises(CommandRejected, match="the host was restarted since"):
        orthanc.driver.save(TOKEN)
    assert orthanc.file() == before
    orthanc.driver.rollback(TOKEN, made)
    assert orthanc.driver.state_of(TOKEN).name == platforms.REVERTED


def test_an_archive_that_somebody_restarts_before_it_was_saved(orthanc: Archive) -> None:
    """Its host runs on, and nothing of the switch has changed; but it runs with the file of before again."""
    before = orthanc.file()
    orthanc.push()
    orthanc.driver.confirm_commit(TOKEN)
    assert orthanc.driver.running_config() != before
    orthanc.site.must("pacs", ["sh", "-c", orthanc.config.restart])
    hosts.until(lambda: orthanc.lets_in("clinic", "ANYBODY"), what="the archive")
    assert orthanc.driver.running_config() == before
    with pytest.raises(CommandRejected, match="the archive was restarted since"):
        orthanc.driver.save(TOKEN)
    assert orthanc.file() == before


def test_a_file_that_somebody_changes_is_not_overwritten(orthanc: Archive) -> None:
    """Before it is staged, before the push, and while the change is provisional."""
    driver, before = orthanc.driver, orthanc.file()
    made = orthanc.candidate()
    driver.load_merge_candidate(made, TOKEN)
    theirs = "// theirs\n" + before
    orthanc.write(theirs)
    with pytest.raises(CommandRejected, match="has changed since it was staged"):
        driver.commit_config(token=TOKEN, revert_in=LONG, message="")
    assert orthanc.file() == theirs
    driver.forget(TOKEN)

    orthanc.push()
    later = "// later\n" + theirs
    orthanc.write(later)
    driver.rollback(TOKEN, made)
    assert orthanc.file() == later
    assert orthanc.lets_in("clinic", "ANYBODY")
    driver.forget(TOKEN)

    orthanc.push()
    orthanc.write(theirs)
    driver.confirm_commit(TOKEN)
    with pytest.raises(CommandRejected, match="somebody has changed"):
        driver.save(TOKEN)
    assert orthanc.file() == theirs


def test_a_file_that_is_not_valid_is_refused_before_the_swap(orthanc: Archive) -> None:
    made, before = orthanc.candidate(), orthanc.file()
    broken = before.replace('"DicomPort"', "DicomPort")
    orthanc.write(broken)
    with pytest.raises(CommandRejected, match="nothing was loaded") as refused:
        orthanc.driver.load_merge_candidate(made, TOKEN)
    assert "a key was expected in line" in refused.value.words
    assert orthanc.file() == broken
    assert orthanc.driver.objections(made.text).startswith("not JSON as Orthanc reads it")
    with pytest.raises(Unprovable) as unread:
        orthanc.driver.running_config()
    assert unread.value.where == f"{FILE} on pacs-north"
    orthanc.write(before)
    assert "the patch is not JSON" in orthanc.driver.objections("{")
    assert orthanc.driver.objections(made.text) == ""


def test_an_archive_that_does_not_come_back_runs_with_the_old_file_again(orthanc: Archive) -> None:
    before = orthanc.file()
    archive = again(orthanc, restart=f"{ETC}/restart-orthanc && sleep 1 && pgrep -x Orthanc >/dev/null")
    made = archive.candidate()
    wrong = {**json.loads(made.text), "StorageDirectory": "/proc/nowhere"}
    right = {**json.loads(made.inverse), "StorageDirectory": "/var/lib/remediate-lab"}
    texts = {"text": json.dumps(wrong), "inverse": json.dumps(right)}
    archive.driver.load_merge_candidate(made.model_copy(update=texts), TOKEN)
    with pytest.raises(CommandRejected, match="did not load") as refused:
        archive.driver.commit_config(token=TOKEN, revert_in=LONG, message="")
    assert "it runs with the old one again" in refused.value.words
    assert archive.driver.pending() is None
    assert archive.file() == before
    hosts.until(lambda: archive.lets_in("clinic", "ANYBODY"), what="the archive")


def test_it_waits_for_associations_and_then_refuses(orthanc: Archive) -> None:
    before, i = orthanc.file(), orthanc.site.layout
    made = orthanc.candidate()
    orthanc.driver.load_merge_candidate(made, TOKEN)
    held = orthanc.site.inside("clinic", lambda: socket.create_connection((str(i.pacs), i.dicom_port), 5))
    with closing(held), pytest.raises(CommandRejected) as refused:
        orthanc.driver.commit_config(token=TOKEN, revert_in=LONG, message="")
    assert "associations are open" in refused.value.words
    assert orthanc.file() == before
    assert orthanc.driver.pending() is None


def test_what_a_host_lacks_is_said(orthanc: Archive) -> None:
    assert again(orthanc, path=f"{ETC}/nowhere.json").driver.preflight() == (
        f"no file {ETC}/nowhere.json there (config.file)",
    )
    (lack,) = again(orthanc, ports=(104, 4242)).driver.preflight()
    assert lack.startswith("nothing listens on port 104, 4242")
    beside = f"{ETC}/more.json"
    orthanc.site.must("pacs", ["tee", beside], input='{ /* theirs */ "DicomModalities" : {}, "Plugins" : [] }')
    try:
        (lack,) = orthanc.driver.preflight(["ae_title"])
        (other,) = orthanc.driver.preflight(["web_auth"])
    finally:
        orthanc.site.must("pacs", ["rm", beside])
    assert lack == f"DicomModalities stands in {beside}: move it into the file that config.file names"
    assert other.startswith("no user is registered there"), "what another control sets is not in the way"


# -- dcmqrscp -------------------------------------------------------------------------------------------

PORT = 11112
CFG = f"{ETC}/dcmqrscp.cfg"
START = f"""#!/bin/sh
pkill -x dcmqrscp
while pgrep -x dcmqrscp >/dev/null; do sleep 0.05; done
setsid --fork dcmqrscp $1 -c {CFG} {PORT} </dev/null >>/var/log/dcmqrscp.log 2>&1
"""
TABLES = f"""\
# by hand: the archive of the south wing
NetworkTCPPort  = {PORT}
MaxPDUSize      = 16384
MaxAssociations = 16

HostTable BEGIN
HostTable END

VendorTable BEGIN
VendorTable END

AETable BEGIN
# do not touch
SOUTH  /var/lib/remediate-lab/south  RW  (9, 64mb)  ANY
AETable END
"""


@pytest.fixture
def dcmqrscp(fresh_site: LabSite) -> Iterator[Archive]:
    site = inventory.load(fresh_site.inventory, platforms=set(platforms.PLATFORMS)).site
    restart = f"sh {ETC}/restart-dcmqrscp --disable-host-lookup"
    fresh_site.must("pacs", ["mkdir", "-p", "/var/lib/remediate-lab/south"])
    fresh_site.must("pacs", ["tee", CFG], input=TABLES)
    fresh_site.must("pacs", ["tee", f"{ETC}/restart-dcmqrscp"], input=START)
    fresh_site.must("pacs", ["sh", "-c", restart])
    hosts.until(lambda: fresh_site.listening("pacs", PORT), what="dcmqrscp")
    config = ConfigFile(path=CFG, restart=restart, ports=(PORT,), dicom_ports=(PORT,))
    north = site.devices["pacs-north"]
    device = north.model_copy(update={"name": "south", "platform": "dcmqrscp", "config": config})
    pacs = site.pacs["pacs-north"].model_copy(update={"name": "south", "platform": "dcmqrscp", "ae_title": "SOUTH"})
    made = Archive(fresh_site, pacs, device, site.logins["pacs-north"])
    try:
        with closing(made.driver):
            yield made
    finally:
        end = f"pkill -x dcmqrscp; rm -rf {CFG} {ETC}/restart-dcmqrscp /var/lib/remediate-lab/south"
        fresh_site.exec("pacs", ["sh", "-c", end])


def test_dcmqrscp_lets_in_known_callers_only_and_back_to_the_byte(dcmqrscp: Archive) -> None:
    driver = dcmqrscp.driver
    assert driver.preflight() == ()
    assert dcmqrscp.lets_in("fw", "ANYBODY")
    made = dcmqrscp.push()
    assert not dcmqrscp.lets_in("clinic", "ANYBODY")
    assert not dcmqrscp.lets_in("fw", "CLINICMOD"), "a known title from the wrong address"
    assert dcmqrscp.lets_in("clinic", "CLINICMOD")
    down = driver.state_of(TOKEN).down
    assert down is not None and down > 0
    guarding.check_applied(dcmqrscp.device, made, driver.running_config(), TABLES)
    driver.confirm_commit(TOKEN)
    driver.save(TOKEN)
    assert "# do not touch\nSOUTH  /var/lib/remediate-lab/south  RW  (9, 64mb)  rmd__callers\n" in dcmqrscp.file()
    driver.rollback(TOKEN, made)
    assert dcmqrscp.file() == TABLES
    assert dcmqrscp.lets_in("fw", "ANYBODY")


def test_dcmqrscp_that_looks_names_up_is_refused(dcmqrscp: Archive) -> None:
    dcmqrscp.site.must("pacs", ["sh", f"{ETC}/restart-dcmqrscp", "--fork"])
    hosts.until(lambda: dcmqrscp.site.listening("pacs", PORT), what="dcmqrscp")
    (lack,) = dcmqrscp.driver.preflight()
    assert "--disable-host-lookup" in lack
