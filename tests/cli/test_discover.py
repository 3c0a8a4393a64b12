"""`remediate discover` as a person types it; nothing is sent where it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.testing.dicom import Peer, ScriptedPeer, answers, pdu, rejects
from tests.cli.prompt import User
from tests.probes import daemons

TODAY = datetime.now(UTC).date()
REMEDIATE = [sys.executable, "-c", "from remediate.cli import main; main()"]
#: Runs a command, and says on standard error how many KiB the largest process of it had.
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("KiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
REJECTS = rejects(1, 1, 7)


def scope(*networks: str, days: int = 2, limits: str = "") -> str:
    lines = [
        f'    - {{network: "{network}", reference: TICKET-1, expires: {TODAY + timedelta(days=days)}}}\n'
        for network in networks
    ]
    return f"data:\n{limits}  scope:\n" + "".join(lines)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yaml").write_text("# no archive is known yet\n")
    return tmp_path


def discover(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*REMEDIATE, "discover", *options]
    return subprocess.run(command, cwd=site, capture_output=True, text=True, timeout=60, check=False)


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("defaults", "options", "told"),
    [
        ("{}\n", (), "nothing says which networks may be swept; nothing was sent"),
        (scope("127.0.0.0/16"), ("--network", "127.1.0.0/24"), "127.1.0.0/24: this network is not inside any network"),
        (scope("127.0.0.0/16", days=-1), (), f"TICKET-1 for 127.0.0.0/16 ended on {TODAY - timedelta(days=1)}"),
        (scope("127.0.0.0/16", "2001:db8::/64"), (), "2001:db8::/64 has more addresses than can be swept (2^64)"),
        (scope("127.0.0.0/15"), (), "131072 addresses would be swept; nothing was sent"),
        (scope("127.0.0.0/16"), ("--from", "interent"), "--from interent: no vantage is called so"),
        (scope("127.0.0.0/16"), ("--ports", "http"), "--ports http is no port"),
        (scope("127.0.0.0/16"), ("--list-probes", "--format", "yaml"), "--list-probes is a listing for people"),
    ],
)
def test_a_refusal_comes_before_the_first_packet(
    user: User, defaults: str, options: tuple[str, ...], told: str
) -> None:
    user.write("inventory/defaults.yaml", defaults)
    said = user.types("discover", *options)
    assert (said.status, said.network, said.out) == (2, [], "")
    assert told in said.err and "next:" in said.err


def test_a_listing_asks_nothing(user: User) -> None:
    user.write("inventory/defaults.yaml", scope("127.0.0.0/24", "10.0.0.0/12", "2001:db8::/64"))
    options = ("--list-probes", "--network", "127.0.0.0/28", "--network", "10.0.0.0/13", "--from", "internet")
    said = user.types("discover", *options, "--ports", "104,8042,22")
    assert (said.status, said.network, said.err) == (0, [], "")
    lines = said.out.splitlines()
    assert "sweeping 524304 addresses from internet (this machine)" in lines[0]
    assert lines[2:7] == [
        "networks: 10.0.0.0/13, 127.0.0.0/28",
        "at each address, one port at a time: dicom 104, web 8042",
        "where an archive is found, open or closed only: ssh 22",
        "calling AE title: RMD_PROBE, to ANY-SCP, associated and released",
        "at most 200 connections a second to all, 20 connections a second to one address",
    ]
    assert lines[-1] == "canary at 127.0.0.1 port 9, before and after"
    assert not any("2001:db8" in line for line in lines), "only what covers these networks"
    listed = json.loads(user.types("discover", *options, "--format", "json").out)
    assert listed["addresses"] == 524304 and [one["port"] for one in listed["ports"]][:2] == [104, 11112]


def test_other_commands_still_want_an_archive(user: User) -> None:
    user.write("inventory/hosts.yaml", "# nothing yet\n")
    said = user.types("inventory", "check")
    assert said.status == 2 and "no host is in it; allowed: at least one PACS" in said.err


# -- what is found ------------------------------------------------------------------------------------------


def test_nothing_new_nothing_at_all_and_a_find(site: Path) -> None:
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.51.0/30"))
    with ScriptedPeer(REJECTS, "127.0.51.2") as peer:
        asked = ("--ports", f"dicom:{peer.port}")
        found = discover(site, *asked)
        assert found.returncode == 1
        assert "127.0.51.2" in found.stdout and "pacs-127-0-51-2:" in found.stdout
        assert "4 addresses: 4 asked in" in found.stderr and "4 of them answered" in found.stderr
        assert "in no inventory: 1 that is an archive, 0 that may be" in found.stderr
        (site / "inventory" / "hosts.yaml").write_text(
            "pacs-1: {groups: [pacs], data: {ae_title: A, addresses: {inside: 127.0.51.2}, "
            f"services: [{{kind: dicom, port: {peer.port}}}]}}}}\n"
        )
        known = discover(site, *asked)
        assert known.returncode == 0 and "pacs-1" in known.stdout and "FILL_IN" not in known.stdout
        comment = discover(site, *asked, "--format", "yaml")
        assert (comment.returncode, comment.stdout) == (0, "# 127.0.51.2 is pacs-1\n\n")
    assert discover(site, *asked).returncode == 0


def test_the_document(site: Path) -> None:
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.52.0/30"))
    with ScriptedPeer(REJECTS, "127.0.52.2") as peer:
        done = discover(site, "--ports", f"dicom:{peer.port},22", "--format", "json")
    made = json.loads(done.stdout)
    assert (made["schema"], made["exit_status"], done.returncode) == ("remediate.discover/1", 1, 1)
    assert made["asked"]["networks"] == ["127.0.52.0/30"] and made["asked"]["authorised"][0]["reference"] == "TICKET-1"
    summary = made["summary"]
    assert (summary["addresses"], summary["asked"], summary["answered"]) == (4, 4, 4)
    assert summary["rungs"] == {"closed": 4 if summary["rungs"].get("open") is None else 3, "rejected": 1} | (
        {"open": 1} if summary["rungs"].get("open") else {}
    ), "whether this machine has an SSH server is its own business"
    (one,) = made["addresses"]
    assert (one["address"], one["likeness"], one["new"], one["known_as"]) == ("127.0.52.2", "archive", True, "")
    assert [(service["kind"], service["port"]) for service in one["services"]] == [("dicom", peer.port)]
    assert [other["port"] for other in one["others"]] == [22]
    page = (Path(__file__).parents[2] / "docs" / "discover.md").read_text()
    for key in {*made, *made["summary"], *one, *one["services"][0], *one["others"][0]}:
        assert f"`{key}`" in page, key


@contextlib.contextmanager
def swept(site: Path, *options: str, to: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*REMEDIATE, "discover", *options], cwd=site, stdout=to, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ["table", "yaml", "json"])
def test_ctrl_c_says_what_is_known_so_far(site: Path, how: str) -> None:
    """Of an address in whose middle it comes, too; at once: at its deadline, that port would count as asked."""
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.0.0/16"))
    reached = threading.Event()

    async def mute(peer: Peer) -> None:
        await peer.pdu()
        reached.set()

    with ScriptedPeer(REJECTS, "127.0.0.9") as archive, ScriptedPeer(mute, "127.0.0.9") as second:
        asked = ("--ports", f"dicom:{archive.port},dicom:{second.port}", "--deadline", "60")
        with swept(site, *asked, "--format", how) as process:
            assert reached.wait(100)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    assert process.returncode == 130
    assert "pacs-127-0-0-9:" in out and "Not every port was asked" in out
    assert "stopped by SIGINT" in err and "not reached" in err
    assert how != "json" or json.loads(out)["summary"]["not_reached"] > 60_000


def test_entries_come_as_they_are_found(site: Path) -> None:
    """The second archive answers only once the first one's entry was read."""
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.53.0/30"))
    read = threading.Event()

    async def later(peer: Peer) -> None:
        await peer.pdu()
        assert read.wait(100)
        await peer.say(pdu(0x03, bytes([0, 1, 1, 7])))

    with (
        ScriptedPeer(REJECTS, "127.0.53.1") as first,
        ScriptedPeer(later, "127.0.53.2", first.port),
        swept(site, "--ports", str(first.port), "--deadline", "30", "--format", "yaml") as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("pacs-127-0-53-1:")
        read.set()
        rest, _ = process.communicate(timeout=30)
    assert "pacs-127-0-53-2:" in rest and process.returncode == 1


def test_ctrl_c_waits_for_nobody_who_does_not_read(site: Path) -> None:
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.55.0/30"))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, bytes(4096)):
            pass
    os.set_blocking(writing, True)
    with (
        ScriptedPeer(REJECTS, "127.0.55.1") as archive,
        swept(site, "--ports", str(archive.port), "--format", "yaml", to=writing) as process,
    ):
        os.close(writing)
        archive.connection()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    os.close(reading)
    assert process.returncode == 130
    assert "stopping: nothing more is asked" in told and "stopped by SIGINT" in told


def test_memory_is_flat(site: Path) -> None:
    """Four times the addresses, and not 8 MiB more."""
    limits = "  limits: {per_host: 10000, per_site: 10000}\n"
    (site / "inventory" / "defaults.yaml").write_text(scope("127.4.0.0/16", limits=limits))
    taken = []
    with ScriptedPeer(answers(), "127.0.0.1") as unused:
        port = unused.port
    for network in ("127.4.0.0/19", "127.4.0.0/17"):
        command = [*REMEDIATE, "discover", "--network", network, "--ports", f"other:{port}", "--other-services"]
        measured = [sys.executable, "-c", MEASURED, *command]
        done = subprocess.run(measured, cwd=site, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        taken.append(int(done.stderr.split()[-1]) / 1024)
    assert taken[1] - taken[0] < 8, taken


def test_a_real_orthanc_and_nginx(site: Path, tmp_path: Path) -> None:
    """Orthanc listens at every address of this machine, nginx at one."""
    (site / "inventory" / "defaults.yaml").write_text(scope("127.0.0.0/29"))
    port = daemons.free_port()
    query = "location = /dicom-web/studies { default_type application/dicom+json; return 200 '[]'; }"
    folders = [tmp_path / "orthanc", tmp_path / "nginx"]
    for folder in folders:
        folder.mkdir()
    settings = {"DicomServerEnabled": True, "DicomPort": port, "DicomAet": "MADEUP"}
    with (
        daemons.orthanc(folders[0], settings, dicomweb=False) as http,
        daemons.nginx(folders[1], lambda web: f"listen 127.0.0.2:{web};\n{query}") as web,
    ):
        ports = f"dicom:{port},web:{http},web:{web}"
        networks = ("--network", "127.0.0.1/32", "--network", "127.0.0.2/32")
        done = discover(site, *networks, "--ports", ports, "--format", "yaml")
    assert done.returncode == 1, done.stderr
    entries: dict[str, Any] = yaml.safe_load(done.stdout)
    services = {name: {(s["kind"], s["port"]) for s in one["data"]["services"]} for name, one in entries.items()}
    assert services == {
        "pacs-127-0-0-1": {("dicom", port), ("web", http)},
        "pacs-127-0-0-2": {("dicom", port), ("web", http), ("dicomweb", web)},
    }
    assert "archive console" in done.stdout and "stack: " in done.stdout and "MADEUP" not in done.stdout
