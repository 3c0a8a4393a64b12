"""Up and down: one at a time, nothing half-built, nothing left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from remediate.errors import Locked, UsageError
from remediate.inventory import load
from remediate.lab.real import LabSite, Layout, build, down, hosts, state, status, up
from remediate.lab.real.layout import MANAGED, PREFIX, ROLES

pytestmark = pytest.mark.real

BUILD = """
import sys
from pathlib import Path
from remediate.lab.real import up
from remediate.lab.real.state import State

def say(text):
    print(text, flush=True)
    if text.startswith(sys.argv[2]):
        sys.stdin.readline()

save = State.save

def save_later(state, folder):
    say(f"host {len(state.processes)}")
    save(state, folder)

State.save = save_later
up(Path(sys.argv[1]), say=say)
"""


OURS = {Layout.namespace(role) for role in ROLES}


def quiet(text: str) -> None:
    pass


def traces(folder: Path) -> list[str]:
    """Whatever a lab leaves outside its folder, and every process that was started for it."""
    found = [f"namespace {name}" for name in hosts.namespaces(PREFIX) & OURS]
    links = {Layout().management_link(role).name for role in MANAGED}
    found += [f"link {name}" for _, name in socket.if_nameindex() if name in links]
    words = [str(folder), *(f"/{name} " for name in OURS)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if any(word in line for word in words)]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and hosts.start_time(int(entry.name)) is not None:
            try:
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                sees = (entry / "mountinfo").read_text()  # in a host of the lab, its folder is mounted over /etc
            except OSError:
                continue
            if str(folder) in text or str(folder) in sees:
                found.append(f"process {entry.name} {text}")
    return found


def build_until(folder: Path, step: str) -> subprocess.Popen[str]:
    """A process that builds a lab, and stops for a line of input when it comes to that step."""
    argv = [sys.executable, "-c", BUILD, str(folder), step]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(step):
            return process
    raise AssertionError(f"it never came to {step}: exit status {process.wait()}")


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    process.send_signal(number)
    process.communicate(timeout=100)
    return process.returncode


def test_two_in_sequence_and_nothing_left(own_lab: Path) -> None:
    for _ in range(2):
        lab = up(own_lab, say=quiet)
        assert status(own_lab).sound
        assert set(lab.namespaces.values()) == OURS == hosts.namespaces(PREFIX) & OURS
        assert len(traces(own_lab)) > 15, "the search finds what it is to find"
        down(own_lab, say=quiet)
        assert traces(own_lab) == []
        assert not own_lab.exists()
        assert status(own_lab).up_for is None and not status(own_lab).sound
    down(own_lab, say=quiet)


def test_one_at_a_time(own_lab: Path, tmp_path: Path) -> None:
    up(own_lab, say=quiet)
    for folder in (own_lab, tmp_path / "another"):
        with pytest.raises(Locked) as caught:
            up(folder, say=quiet)
        assert str(os.getpid()) in caught.value.what and "since 20" in caught.value.what
        assert caught.value.where == str(own_lab)
        assert not (tmp_path / "another").exists()
    assert status(own_lab).sound, "the refused ones did it no harm"


def test_down_of_another_folder_touches_nothing(own_lab: Path, tmp_path: Path) -> None:
    """Every lab has the same names: what an old state claims is not its own any more."""
    lab = up(own_lab, say=quiet)
    stale = tmp_path / "stale"
    stale.mkdir()
    recorded = state.State.load(own_lab)
    assert recorded is not None
    recorded.processes = {}
    recorded.save(stale)
    down(stale, say=quiet)
    assert not (stale / state.STATE).exists()
    assert status(own_lab).sound
    lab.must("internet", ["true"])


def test_another_process_takes_it_down(own_lab: Path) -> None:
    up(own_lab, say=quiet)
    code = "from remediate.lab.real import down; down(None, say=print)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert traces(own_lab) == []


def test_the_lab_outlives_its_builder(own_lab: Path) -> None:
    process = build_until(own_lab, "the lab stands")
    assert process.stdin is not None
    process.communicate("\n", timeout=100)
    assert process.returncode == 0
    assert status(None).sound
    lab = LabSite.load(own_lab)
    assert lab.web_answers("internet")
    with pytest.raises(Locked):
        up(own_lab, say=quiet)


@pytest.mark.parametrize("step", ["writing", "namespaces", "hosts", "host 1", "host 3", "sshd", "synthetic"])
def test_killed_while_building(own_lab: Path, step: str) -> None:
    process = build_until(own_lab, step)
    with pytest.raises(Locked, match="is building"):
        down(own_lab, say=quiet)
    end(process)
    down(own_lab, say=quiet)
    assert traces(own_lab) == []
    assert not own_lab.exists()


def test_killed_while_building_and_built_again(own_lab: Path) -> None:
    """Before any host stands the lock is free again; the next one clears up."""
    end(build_until(own_lab, "hosts"))
    up(own_lab, say=quiet)
    assert status(own_lab).sound


@pytest.mark.parametrize("step", ["namespaces", "sshd", "synthetic"])
def test_interrupted_while_building(own_lab: Path, step: str) -> None:
    assert end(build_until(own_lab, step), signal.SIGINT) != 0
    assert traces(own_lab) == []
    assert not own_lab.exists()


def test_a_failure_leaves_nothing(own_lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(lab: LabSite) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(build, "_check", fail)
    with pytest.raises(ZeroDivisionError):
        up(own_lab, say=quiet)
    assert traces(own_lab) == []
    assert not own_lab.exists()


def test_somebody_elses_files_stay(own_lab: Path) -> None:
    own_lab.mkdir()
    notes = own_lab / "notes.txt"
    notes.write_text("mine")
    up(own_lab, say=quiet)
    down(own_lab, say=quiet)
    assert [path.name for path in own_lab.iterdir()] == ["notes.txt"]
    (own_lab / "inventory").mkdir()
    with pytest.raises(UsageError, match="inventory"):
        up(own_lab, say=quiet)
    assert (own_lab / "inventory").is_dir()


def test_a_foreign_namespace_is_not_ours(own_lab: Path) -> None:
    name = PREFIX + "fw"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with pytest.raises(UsageError, match=name):
            up(own_lab, say=quiet)
        assert hosts.namespaces(PREFIX) & OURS == {name}
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_another_layout(own_lab: Path) -> None:
    layout = Layout(
        wan_network=IPv4Network("198.51.100.0/25"),
        internet=IPv4Address("198.51.100.77"),
        fw_wan=IPv4Address("198.51.100.2"),
        published=IPv4Address("198.51.100.99"),
        clinic_network=IPv4Network("172.20.0.0/16"),
        clinic=IPv4Address("172.20.3.4"),
        fw_clinic=IPv4Address("172.20.0.1"),
        dmz_network=IPv4Network("192.168.50.0/24"),
        pacs=IPv4Address("192.168.50.9"),
        fw_dmz=IPv4Address("192.168.50.1"),
        management=IPv4Network("10.77.0.0/16"),
        wan_interface="uplink0",
        clinic_interface="lan.20",
        dmz_interface="srv",
        management_interface="adm",
        ae_title="ARCHIVE",
        clinic_ae_title="CT 1",
        dicom_port=4242,
        web_port=8080,
        outside_dicom_port=11112,
        outside_web_port=8081,
        listen_port=2104,
        canary_port=8443,
    )
    lab = up(own_lab, say=quiet, layout=layout)
    assert status(own_lab).sound
    assert lab.web_answers("internet") and lab.web_answers("clinic")
    again = LabSite.load(own_lab)
    assert again.layout == layout and again == lab
    assert "uplink0" in lab.must("fw", ["nft", "list", "ruleset"])
    assert "203.0.113" not in lab.must("fw", ["nft", "list", "ruleset"])
    pacs = load(lab.inventory).site.pacs["pacs-north"]
    assert [p.port_of(s) for p in pacs.addresses.outside for s in pacs.services] == [11112, 8081]
    assert [(p.ae_title, p.listens and p.listens.port) for p in pacs.access.peers] == [("CT 1", 2104)]


@pytest.mark.parametrize("ci", ["", "1"])
def test_what_is_missing_is_said(ci: str) -> None:
    """Without the lab's programs its tests are skipped with one line; where CI is set, they fail."""
    test = f"{Path(__file__).with_name('test_real.py')}::test_everything_listens"
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test]
    env = {**os.environ, "CI": ci, "PATH": "/nowhere"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert "Debian package dcmtk: apt-get install --no-install-recommends dcmtk" in done.stdout
    assert done.returncode == (1 if ci else 0)
    assert ("1 error" if ci else "1 skipped") in done.stdout


@pytest.mark.parametrize(
    "make",
    [
        lambda: Layout(pacs=IPv4Address("10.20.0.5")),
        lambda: Layout(dmz_network=IPv4Network("10.99.0.0/24"), pacs=IPv4Address("10.99.0.5")),
        lambda: Layout(wan_interface="clinic"),
        lambda: Layout(management=IPv4Network("10.99.0.0/24")),
    ],
)
def test_a_layout_that_cannot_be(make: Callable[[], Layout]) -> None:
    with pytest.raises(UsageError):
        make()


@pytest.mark.parametrize("place", ["/etc/lab", "/var/lib/lab", "/run/lab"])
def test_a_folder_that_no_host_would_see(own_lab: Path, place: str) -> None:
    with pytest.raises(UsageError, match="own"):
        up(Path(place), say=quiet)
    assert not Path(place).exists()
