"""Conquest's driver over a real SSH server, against a simulated dgate: see its own text for what is true of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from remediate import inventory, platforms
from remediate.change import guarding
from remediate.errors import CommandRejected
from remediate.lab.real import LabSite, hosts
from remediate.lab.real.files import ETC
from remediate.model.device import ConfigFile
from tests.platforms import dgate
from tests.platforms.test_archive_driver import TOKEN, Archive
from tests.platforms.test_conquest_text import LUA_NEEDED, SCRIPTED

pytestmark = [pytest.mark.real, LUA_NEEDED]

PORT = 5678
FOLDER = f"{ETC}/conquest"
INI = f"{FOLDER}/dicom.ini"


@pytest.fixture
def conquest(fresh_site: LabSite) -> Iterator[Archive]:
    site = inventory.load(fresh_site.inventory, platforms=set(platforms.PLATFORMS)).site
    fresh_site.must("pacs", ["mkdir", "-p", FOLDER])
    fresh_site.must("pacs", ["tee", INI], input=SCRIPTED.replace("dofile('association.lua')", "theirs = true"))
    # Under the name of the real one: that is what the driver looks at.
    fresh_site.must("pacs", ["ln", "-sf", sys.executable, f"{FOLDER}/dgate"])
    argv = ["env", f"PYTHONPATH={':'.join(sys.path)}", f"{FOLDER}/dgate", str(Path(dgate.__file__)), INI]
    running = fresh_site.popen("pacs", argv)
    config = ConfigFile(path=INI, restart="", ports=(PORT,), dicom_ports=(PORT,))
    device = site.devices["pacs-north"].model_copy(update={"name": "south", "platform": "conquest", "config": config})
    pacs = site.pacs["pacs-north"].model_copy(update={"name": "south", "platform": "conquest", "ae_title": "SOUTH"})
    try:
        hosts.until(lambda: fresh_site.listening("pacs", PORT), what="the simulated dgate")
        made = Archive(fresh_site, pacs, device, site.logins["pacs-north"])
        with closing(made.driver):
            yield made
    finally:
        running.kill()
        running.communicate()
        fresh_site.exec("pacs", ["rm", "-rf", FOLDER])


def test_known_callers_only_confirmed_saved_and_back_to_the_byte(conquest: Archive) -> None:
    driver, before = conquest.driver, conquest.file()
    assert driver.preflight() == ()
    assert conquest.lets_in("fw", "ANYBODY")
    running = driver.running_config()
    assert "hunter2" not in running
    made = conquest.push()
    assert driver.state_of(TOKEN).name == platforms.ARMED
    assert not conquest.lets_in("clinic", "ANYBODY")
    assert not conquest.lets_in("fw", "CLINICMOD"), "a known title from the wrong address"
    assert conquest.lets_in("clinic", "CLINICMOD")
    guarding.check_applied(conquest.device, made, driver.running_config(), running)
    driver.confirm_commit(TOKEN)
    assert driver.save(TOKEN) == INI
    assert "theirs = true  \n" in conquest.file()
    driver.rollback(TOKEN, made)
    assert conquest.file() == before
    assert conquest.lets_in("fw", "ANYBODY")
    driver.forget(TOKEN)
    assert conquest.left() == ""


def test_nothing_is_closed_meanwhile_and_who_is_connected_stays(conquest: Archive) -> None:
    pids = [pid for pid, _ in conquest.site.processes("pacs", "dgate")]
    argv = [
        "echoscu",
        "-aet",
        "ANYBODY",
        "-aec",
        "SOUTH",
        "--repeat",
        "200000",
        str(conquest.site.layout.pacs),
        str(PORT),
    ]
    connected = conquest.site.popen("fw", argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ss = ["ss", "-Htn", "state", "established", f"sport = :{PORT}"]
        hosts.until(lambda: conquest.site.must("pacs", ss), what="an association")
        conquest.push()
        assert connected.poll() is None
        assert not conquest.lets_in("fw", "ANYBODY")
    finally:
        connected.kill()
        connected.communicate()
    assert [pid for pid, _ in conquest.site.processes("pacs", "dgate")] == pids


def test_the_timer_fires_alone(conquest: Archive) -> None:
    before = conquest.file()
    conquest.push(timedelta(seconds=8))
    assert not conquest.lets_in("clinic", "ANYBODY")
    conquest.until(platforms.REVERTED)
    assert conquest.file() == before
    assert conquest.lets_in("clinic", "ANYBODY")


def test_after_a_restart_of_the_host_it_is_stuck_and_can_be_taken_back(conquest: Archive) -> None:
    """Its file is read as it stands, so what is not confirmed would stay; nobody may take it for taken back."""
    before = conquest.file()
    made = conquest.push()
    folder = f"/var/lib/remediate/{TOKEN}"
    end = f"kill -s KILL -- -$(cat {folder}/deadman.pid); echo another-boot > {folder}/boot"
    conquest.site.must("pacs", ["sh", "-c", end])
    assert conquest.driver.state_of(TOKEN).name == platforms.STUCK
    assert conquest.driver.pending() is not None
    conquest.driver.rollback(TOKEN, made)
    assert conquest.file() == before
    assert conquest.lets_in("clinic", "ANYBODY")


def test_a_change_within_the_second_of_the_last_one_is_seen_too(conquest: Archive) -> None:
    """dgate tells two texts apart by the second of their change."""
    made = conquest.candidate()
    conquest.driver.load_merge_candidate(made, TOKEN)
    text = conquest.file()
    conquest.write(text)
    conquest.driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    assert not conquest.lets_in("clinic", "ANYBODY")
    conquest.driver.rollback(TOKEN, made)
    assert conquest.lets_in("clinic", "ANYBODY")


def test_a_file_that_somebody_changes_is_not_overwritten(conquest: Archive) -> None:
    made = conquest.candidate()
    conquest.driver.load_merge_candidate(made, TOKEN)
    theirs = "; theirs\n" + conquest.file()
    conquest.write(theirs)
    with pytest.raises(CommandRejected, match="has changed since it was staged"):
        conquest.driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    assert conquest.file() == theirs


def test_a_dgate_that_is_gone_takes_nothing(conquest: Archive) -> None:
    before = conquest.file()
    made = conquest.candidate()
    conquest.driver.load_merge_candidate(made, TOKEN)
    conquest.site.must("pacs", ["pkill", "-KILL", "-x", "dgate"])
    hosts.until(lambda: not conquest.site.listening("pacs", PORT), what="its end")
    with pytest.raises(CommandRejected, match="nothing listens on port 5678"):
        conquest.driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=5), message="")
    assert conquest.file() == before
