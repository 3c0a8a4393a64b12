"""The control ``ae_title``, all of it, on archives that no distribution has: simulated, where Orthanc listens else.

What is simulated and what is not stands in ``tests/platforms/dgate.py`` and ``tests/platforms/arc.py``.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.lab.real import LabSite, hosts
from remediate.lab.real.files import ETC
from tests.e2e.conftest import User, killed_at
from tests.e2e.test_ae_title import PLAYBOOK, echo, left_on_host
from tests.platforms import arc, dgate, directory
from tests.platforms.test_conquest_text import LUA_NEEDED
from tests.platforms.test_dcm4chee_arc_driver import HTTP_PORT, RELOAD

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), LUA_NEEDED, directory.NEEDED]

FOLDER = f"{ETC}/other"
INI = """\
[sscscp]
MicroPACS = sscscp
; by hand: ask the radiologists first
MyACRNema = ORTHANC
TCPPort = 104
"""


@contextmanager
def standing(site: LabSite, argv: list[str]) -> Iterator[None]:
    """In Orthanc's place, until the end."""
    site.stop_orthanc()
    running: subprocess.Popen[str] = site.popen("pacs", ["env", f"PYTHONPATH={':'.join(sys.path)}", *argv])
    try:
        hosts.until(lambda: site.listening("pacs", site.layout.dicom_port), what="the simulated archive")
        yield
    finally:
        running.kill()
        running.communicate()


def described(user: User, platform: str, config: dict[str, str], folder: Path) -> Path:
    """The inventory with that archive in place of Orthanc."""
    where = folder / "inventory"
    shutil.copytree(user.site.inventory, where)
    file = where / "hosts.yaml"
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    archive = found["pacs-north"]
    archive["platform"] = platform
    data = archive["data"]
    data["config"] = config
    data["services"] = [one for one in data["services"] if one["kind"] == "dicom"]
    data["access"]["peers"][0]["roles"] = ["store"]
    file.write_text(yaml.safe_dump(found))
    return where


class Standing:
    """An archive in Orthanc's place. ``not_given``: what the plan says of its filter; ``text``: its configuration."""

    def __init__(self, user: User, platform: str, config: dict[str, str], not_given: str, text: list[str]) -> None:
        self.user, self.site = user, user.site
        self.not_given = not_given
        self.show = text
        self.inventory = described(user, platform, config, user.folder)
        self.play = user.folder / "ae_title.yaml"
        self.play.write_text(PLAYBOOK)
        self.run = ("run", str(self.play), *user.inventory(self.inventory), "--format", "json")

    def text(self) -> str:
        return directory.export(self.site) if not self.show else self.site.must("pacs", self.show)

    def is_open(self) -> bool:
        return echo(self.site, "internet", "ANYBODY")

    def is_closed(self) -> bool:
        site = self.site
        known = echo(site, "clinic", site.layout.clinic_ae_title)
        return known and not echo(site, "internet", "ANYBODY") and not echo(site, "clinic", "ANYBODY")


@contextmanager
def conquest(user: User) -> Iterator[Standing]:
    """Whoever is refused is associated, and released at once: that counts as refused."""
    site, file = user.site, f"{FOLDER}/dicom.ini"
    site.must("pacs", ["mkdir", "-p", FOLDER])
    site.must("pacs", ["tee", file], input=INI.replace("104", str(site.layout.dicom_port)))
    site.must("pacs", ["ln", "-sf", sys.executable, f"{FOLDER}/dgate"])
    said = "Conquest associates with whoever it does not know, and releases that before anything is served"
    try:
        with standing(site, [f"{FOLDER}/dgate", str(Path(dgate.__file__)), file]):
            yield Standing(user, "conquest", {"file": file}, said, ["cat", file])
    finally:
        site.exec("pacs", ["rm", "-rf", FOLDER])


@contextmanager
def dcm4chee_arc(user: User) -> Iterator[Standing]:
    site, device = user.site, directory.DEVICE
    said = "dcm4chee-arc compares titles alone: under a known title anybody is let in, from any address"
    try:
        directory.start(site, FOLDER)
        new = "newrdn: dicomAETitle=ORTHANC\ndeleteoldrdn: 1\n"
        directory.modify(site, f"dn: dicomAETitle=SOUTH,{device}\nchangetype: modrdn\n{new}")
        argv = [sys.executable, str(Path(arc.__file__)), str(site.layout.dicom_port), str(HTTP_PORT), device]
        with standing(site, argv):
            yield Standing(user, "dcm4chee_arc", {"ldap": device, "reload": RELOAD}, said, [])
    finally:
        directory.stop(site, FOLDER)


ARCHIVES: dict[str, Callable[[User], AbstractContextManager[Standing]]] = {
    "conquest": conquest,
    "dcm4chee_arc": dcm4chee_arc,
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_only_known_callers_and_back(user: User, name: str) -> None:
    with ARCHIVES[name](user) as archive:
        before = archive.text()
        assert archive.is_open()
        done = user.do(*archive.run)
        assert done.status == 0, done.err
        assert done.json["waves"][0]["state"] == "confirmed"
        assert archive.is_closed()
        told = user.do("record", "export", done.json["change"], "--format", "markdown")
        assert told.status == 0 and archive.not_given in " ".join(told.out.split())
        assert left_on_host(archive.site) == ""
        again = user.do(*archive.run)
        assert again.status == 0 and again.json["waves"][0]["state"] == "unchanged", again.err
        back = user.do("rollback", done.json["change"], "--format", "json")
        assert back.status == 0, back.err
        assert archive.text() == before
        assert archive.is_open()


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("at", killed_at("device confirmed"))
def test_killed_at_an_entry_and_resumed(user: User, name: str, at: str) -> None:
    """Confirmed, and not saved yet: of Conquest the file is the new one all along, of dcm4chee-arc LDAP the old one."""
    with ARCHIVES[name](user) as archive:
        before = archive.text()
        process = user.start(*archive.run)
        user.until(at, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        resumed = user.do("resume", "--format", "json")
        kinds = user.kinds()
        assert kinds.count("pushing") <= 1, "nothing is pushed twice"
        assert kinds[-1] == "ended"
        if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
            assert archive.text() == before and archive.is_open()
        else:
            assert resumed.status == 0, resumed.err
            assert archive.text() != before and archive.is_closed()
        assert left_on_host(archive.site) == ""
