"""The real site does what people rehearse on it: it is exposed, the clinic is served, and it can be made to fail."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml

from remediate.inventory import load
from remediate.lab import studies
from remediate.lab.real import LabSite, hosts, status
from remediate.lab.real.layout import MANAGED
from remediate.model.site import SshVia

pytestmark = pytest.mark.real

GUARD = "table inet remediate {}\n"


def find(site: LabSite, role: str, title: str) -> str:
    """What findscu shows of all studies; its exit status says nothing (0 for an aborted C-FIND too)."""
    i = site.layout
    address, port = (i.published, i.outside_dicom_port) if role == "internet" else (i.pacs, i.dicom_port)
    argv = ["findscu", "-v", "-S", "-to", "5", "-aet", title, "-aec", i.ae_title]
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName", "-k", "StudyInstanceUID"]
    done = site.exec(role, [*argv, *keys, str(address), str(port)])
    return done.stdout + done.stderr


def ssh(site: LabSite, role: str, *command: str) -> subprocess.CompletedProcess[str]:
    options = ["-F", "none", "-i", str(site.key), "-o", f"UserKnownHostsFile={site.known_hosts}"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none", "-o", "BatchMode=yes"]
    argv = ["ssh", *options, f"root@{site.layout.management_address(role)}", *command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL)


def connects(site: LabSite, role: str, address: object, port: int) -> Callable[[], bool]:
    def dial() -> bool:
        try:
            socket.create_connection((str(address), port), timeout=2).close()
        except OSError:
            return False
        return True

    return lambda: site.inside(role, dial)


@pytest.fixture
def site(fresh_site: LabSite) -> LabSite:
    return fresh_site


def test_everything_listens(site: LabSite) -> None:
    now = status(site.folder)
    assert now.sound, now
    assert len(now.parts) == 4 + len(MANAGED) + 4
    assert now.up_for is not None and now.up_for.total_seconds() > 0


def test_the_internet_gets_every_study(site: LabSite) -> None:
    seen = find(site, "internet", "ANYBODY")
    for patient in studies.PATIENTS:
        assert patient in seen
        assert studies.study_uid(patient) in seen


def test_the_internet_reads_over_http(site: LabSite) -> None:
    assert site.web_answers("internet")
    assert site.web_answers("internet", "/dicom-web/studies")
    assert not site.web_answers("internet", "/no-such-path")


def test_the_clinic_is_served(fresh_site: LabSite) -> None:
    site, i = fresh_site, fresh_site.layout
    to = ["-to", "5", "-aet", i.clinic_ae_title, "-aec", i.ae_title]
    site.must("clinic", ["echoscu", *to, str(i.pacs), str(i.dicom_port)])
    assert studies.PATIENTS[0] in find(site, "clinic", i.clinic_ae_title)
    assert not list(site.received.iterdir())
    wanted = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={studies.study_uid(studies.PATIENTS[0])}"]
    site.must("clinic", ["movescu", "-S", *to, "-aem", i.clinic_ae_title, *wanted, str(i.pacs), str(i.dicom_port)])
    hosts.until(lambda: len(list(site.received.iterdir())) == studies.IMAGES, what="the images, by C-MOVE")


def test_the_archive_knows_only_made_up_people(site: LabSite) -> None:
    found = site.exec("pacs", ["sh", "-c", "ls /var/lib/remediate-lab | head -3"]).stdout
    assert found, "its files are on its own /var"
    seen = find(site, "clinic", site.layout.clinic_ae_title)
    names = [line for line in seen.splitlines() if "PatientName" in line and "RequestIdentifiers" not in line]
    assert all("SYNTHETIC^" in line for line in names if "[" in line)


@pytest.mark.parametrize("role", MANAGED)
def test_ssh_with_strict_host_keys(site: LabSite, role: str) -> None:
    done = ssh(site, role, "hostname; id -u; echo $HOME; cat /proc/1/comm; ls /run/remediate-lab.lock 2>&1 || :")
    assert done.returncode == 0, done.stderr
    name, uid, home, init, run = done.stdout.splitlines()
    assert (name, uid, home) == ("fw-north" if role == "fw" else role, "0", "/var/root")
    assert init == "sleep" and "No such file" in run, "a host must not find this machine's systemd"


def test_ssh_with_a_foreign_host_key_is_refused(site: LabSite) -> None:
    lines = site.known_hosts.read_text().splitlines()
    swapped = site.folder / "swapped"
    swapped.write_text(
        "".join(
            f"{line.split()[0]} {other.partition(' ')[2]}\n"
            for line, other in zip(lines, lines[1:] + lines[:1], strict=True)
        )
    )
    try:
        options = ["-F", "none", "-i", str(site.key), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        target = f"root@{site.layout.management_address('fw')}"
        argv = ["ssh", *options, "-o", f"UserKnownHostsFile={swapped}", target, "true"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    finally:
        swapped.unlink()
    assert done.returncode == 255 and "Host key verification failed" in done.stderr


def test_a_vantage_says_time_out_and_gives_up_early(fresh_site: LabSite) -> None:
    """What a filtered port looks like through the vantage's sshd: its kernel asks twice, and not for two minutes."""
    site, i = fresh_site, fresh_site.layout
    chain = f"type filter hook forward priority -300; ip daddr {i.pacs} drop"
    site.must("fw", ["nft", "-f", "-"], input=f"table inet remediate {{\nchain c {{\n{chain}\n}}\n}}\n")
    done = ssh_forward(site, "internet", f"{i.published}:{i.outside_dicom_port}")
    assert "Connection timed out" in done.stderr, done.stderr
    assert site.must("internet", ["cat", "/proc/sys/net/ipv4/tcp_syn_retries"]) == "1\n"


def ssh_forward(site: LabSite, role: str, target: str) -> subprocess.CompletedProcess[str]:
    options = ["-F", "none", "-i", str(site.key), "-o", f"UserKnownHostsFile={site.known_hosts}", "-o", "BatchMode=yes"]
    argv = ["ssh", *options, "-W", target, f"root@{site.layout.management_address(role)}"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL)


def test_a_dump_of_the_whole_ruleset_does_not_load_again(fresh_site: LabSite) -> None:
    dump = fresh_site.must("fw", ["nft", "list", "ruleset"])
    assert str(fresh_site.layout.published) in dump
    again = fresh_site.exec("fw", ["nft", "-c", "-f", "-"], input=dump)
    assert again.returncode and "unsupported xtables compat expression" in again.stderr


def test_each_host_has_files_of_its_own(site: LabSite) -> None:
    for path in ("/etc/network/if-pre-up.d/made-by-fw", "/var/lib/made-by-fw", "/etc/made-by-fw"):
        site.must("fw", ["touch", path])
        for other in ("pacs", "clinic", "internet"):
            assert site.exec(other, ["test", "-e", path]).returncode == 1
        assert subprocess.run(["test", "-e", path], check=False).returncode == 1
        site.must("fw", ["rm", path])


def test_the_guard_does_not_touch_the_canary(site: LabSite) -> None:
    i = site.layout
    assert connects(site, "internet", i.fw_wan, i.canary_port)()


def test_killing_the_canary_and_a_vantage(fresh_site: LabSite) -> None:
    site, i = fresh_site, fresh_site.layout
    open_connection = subprocess.Popen(
        ["ssh", "-F", "none", "-i", str(site.key), "-o", f"UserKnownHostsFile={site.known_hosts}", "-N",
         f"root@{i.management_address('internet')}"], stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        hosts.until(lambda: len(site.processes("internet", "sshd")) >= 2, what="the connection")
        site.kill_vantage("internet")
        assert open_connection.wait(timeout=60) == 255, "its connections end with it"
    finally:
        open_connection.kill()
        open_connection.communicate()
    assert not site.listening("internet", 22)
    assert ssh(site, "internet", "true").returncode == 255
    assert ssh(site, "clinic", "true").returncode == 0, "only that one"
    site.kill_canary()
    assert not connects(site, "internet", i.fw_wan, i.canary_port)()
    dead = {part.name for part in status(site.folder).parts if not part.runs}
    assert dead == {"sshd of internet", "canary"}
    site.reset()
    assert status(site.folder).sound
    assert ssh(site, "internet", "true").returncode == 0


@pytest.fixture
def saboteur(fresh_site: LabSite) -> Iterator[LabSite]:
    fresh_site.sabotage()
    yield fresh_site
    fresh_site.stop_sabotage()


def test_sabotage_follows_the_guard(saboteur: LabSite) -> None:
    site, i = saboteur, saboteur.layout
    clinic = connects(site, "clinic", i.pacs, i.web_port)
    outside = connects(site, "internet", i.published, i.outside_web_port)
    assert clinic() and outside()
    site.must("fw", ["nft", "-f", "-"], input=GUARD)
    hosts.until(lambda: not clinic(), what="the trouble")
    assert outside(), "only the clinic's way is cut"
    site.must("fw", ["nft", "delete", "table", "inet", "remediate"])
    hosts.until(clinic, what="the end of the trouble")
    site.must("fw", ["nft", "-f", "-"], input=GUARD)
    hosts.until(lambda: not clinic(), what="the trouble again")
    site.stop_sabotage()
    assert clinic()
    site.stop_sabotage()  # nothing to stop is no error


def test_reset_ends_a_timer_without_letting_it_go_off(fresh_site: LabSite) -> None:
    site = fresh_site
    site.must("fw", ["mkdir", "-p", "/var/lib/remediate"])
    timer = "sleep 600; touch /var/lib/went-off"
    site.must("fw", ["sh", "-c", 'setsid -f sh -c "$1" >/dev/null 2>&1', "sh", timer])
    site.must("fw", ["nft", "-f", "-"], input=GUARD)
    site.must("fw", ["sh", "-c", "echo 'broken' >>/etc/nftables.conf"])
    site.reset()
    assert "went-off" not in site.must("fw", ["ls", "/var/lib"])
    assert site.exec("fw", ["pgrep", "-f", "went-off"]).returncode == 1
    assert "table inet remediate" not in site.must("fw", ["nft", "list", "tables"])
    assert site.exec("fw", ["test", "-e", "/var/lib/remediate"]).returncode == 1
    site.must("fw", ["nft", "-c", "-f", "/etc/nftables.conf"])


def test_popen_ends_with_terminate(site: LabSite) -> None:
    process = site.popen("pacs", ["sleep", "987"])
    hosts.until(lambda: not site.exec("pacs", ["pgrep", "-f", "^sleep 987"]).returncode, what="its start")
    process.terminate()
    process.wait(timeout=60)
    hosts.until(lambda: site.exec("pacs", ["pgrep", "-f", "^sleep 987"]).returncode == 1, what="its end")


def test_orphans_are_buried(site: LabSite) -> None:
    """A dead man's timer is one: whoever asks whether it still lives is not to find its ghost."""
    site.must("fw", ["sh", "-c", "setsid -f sleep 789 >/dev/null 2>&1"])
    hosts.until(lambda: not site.exec("fw", ["pkill", "-f", "^sleep 789"]).returncode, what="its start")
    hosts.until(lambda: site.exec("fw", ["pgrep", "-f", "^sleep 789"]).returncode == 1, what="its end")
    orphans = site.must("fw", ["ps", "--ppid", "1", "-o", "stat="])
    assert orphans and "Z" not in orphans


def test_what_is_written(site: LabSite) -> None:
    i, described = site.layout, load(site.inventory).site
    assert set(described.scope().addresses or ()) == {i.pacs, i.published, i.fw_wan}
    assert described.pacs["pacs-north"].protected_by == ("fw-north",)
    assert described.devices["fw-north"].guard.interface == (i.wan_interface,)
    assert described.logins["fw-north"].host == i.management_address("fw")
    assert described.vantages["clinic"].peer == "ct-1"
    for name in ("internet", "clinic"):
        via = described.vantages[name].via
        assert isinstance(via, SshVia) and (via.key, via.known_hosts) == (str(site.key), str(site.known_hosts))
    (play,) = yaml.safe_load(site.playbook.read_text())
    assert play["serial"] == [1, "100%"] and play["vars"] == {"revert_in": "10m"}
    assert site.key.stat().st_mode & 0o777 == 0o600
    assert json.loads((site.folder / "lab.json").read_text())["ready"] is True
