"""Host keys: fetched from real servers, recorded once, and then good for paramiko and asyncssh alike."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remediate.cli import main
from remediate.vantages import hostkeys

from .conftest import Sshd
from .places import run

StartSshd = Callable[..., Sshd]
ALL = ("ed25519", "ecdsa", "rsa")

SITE = """\
pacs-1: {{groups: [pacs], data: {{ae_title: A, addresses: {{inside: 127.0.0.1}}, services: [{{kind: ftp, port: 21}}]}}}}
fw: {{hostname: 127.0.0.1, port: {device}, username: root, password: "not to be shown", platform: linux_nftables,
     groups: [firewalls], data: {{guard: {{interface: wan}}}}}}
clinic: {{groups: [vantages], data: {{zone: inside, via: {{ssh: "root@127.0.0.1:{vantage}"}}}}}}
here: {{groups: [vantages], data: {{zone: inside, via: local}}}}
"""

#: Logs in as a device session and as a vantage do; both refuse a host key that is not on file.
LOG_IN = """
import asyncio, sys
from pathlib import Path
from remediate.inventory import load
from remediate.platforms.session import Session
from remediate.vantages.ssh import open_place

site = load(Path(sys.argv[1])).site
login = site.logins["fw"].model_copy(update={"password": None})
with Session(site.devices["fw"], login, "linux") as session:
    print(session.execute("echo the device").out.strip())

async def look():
    place = await open_place(site.vantages["clinic"])
    await place.aclose()
    print("the vantage")

asyncio.run(look())
"""
COMMAND = "import sys; sys.argv[0] = 'remediate'; from remediate.cli import main; main()"


def inventory(folder: Path, device: Sshd | int, vantage: Sshd | int | None = None) -> Path:
    """``folder``/site, which keeps its host keys in trusted/known_hosts."""
    vantage = device if vantage is None else vantage
    site = folder / "site"
    site.mkdir()
    ports = {
        kind: at if isinstance(at, int) else at.via.port for kind, at in (("device", device), ("vantage", vantage))
    }
    (site / "hosts.yaml").write_text(SITE.format(**ports))
    key = f", key: {device.via.key}" if isinstance(device, Sshd) else ""
    (site / "defaults.yaml").write_text(f"data: {{ssh: {{known_hosts: trusted/known_hosts{key}}}}}\n")
    return site


def trust(monkeypatch: pytest.MonkeyPatch, site: Path, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["remediate", "inventory", "trust", "-i", str(site), *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def on_file(site: Path) -> Path:
    return site / "trusted" / "known_hosts"


def write(site: Path, text: str) -> Path:
    file = on_file(site)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def key_of(sshd: Sshd, kind: str = "ed25519") -> str:
    """``ssh-ed25519 AAAA…``"""
    return (sshd.folder / f"host_key_{kind}.pub").read_text().strip()


def fingerprint(sshd: Sshd, kind: str = "ed25519") -> str:
    return run("ssh-keygen", "-l", "-f", str(sshd.folder / f"host_key_{kind}.pub")).split()[1]


@pytest.mark.parametrize("kinds", [ALL, *((kind,) for kind in ALL)], ids="-".join)
def test_what_is_recorded_is_good_for_devices_and_vantages(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    start_sshd: StartSshd,
    tmp_path: Path,
    kinds: tuple[str, ...],
) -> None:
    site = inventory(tmp_path, start_sshd(kinds=kinds))
    assert trust(monkeypatch, site, "--yes") == 0
    out, err = capsys.readouterr()
    shown = run("ssh-keygen", "-l", "-f", str(on_file(site))).splitlines()
    assert len(shown) == len(kinds)
    assert [line.strip() for line in out.splitlines() if "SHA256:" in line] == shown
    assert err == "" and "not to be shown" not in out
    assert on_file(site).stat().st_mode & 0o777 == 0o600
    assert run(sys.executable, "-c", LOG_IN, str(site)).splitlines() == ["the device", "the vantage"]

    before = on_file(site).read_bytes()
    assert trust(monkeypatch, site, "--yes") == 0
    assert "known already" in capsys.readouterr().out
    assert on_file(site).read_bytes() == before


def test_on_the_usual_port(start_sshd: StartSshd, two_hosts: str, tmp_path: Path) -> None:
    site = inventory(tmp_path, start_sshd(two_hosts, kinds=ALL, port=22))
    inside = ("ip", "netns", "exec", two_hosts, sys.executable, "-c")
    run(*inside, COMMAND, "inventory", "trust", "-i", str(site), "--yes")
    assert {line.split()[0] for line in on_file(site).read_text().splitlines()} == {"127.0.0.1"}
    assert run(*inside, LOG_IN, str(site)).splitlines() == ["the device", "the vantage"]


def test_two_places_in_one_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    device, vantage = start_sshd(), start_sshd()
    (vantage.folder / "authorized_keys").write_bytes((device.folder / "authorized_keys").read_bytes())
    site = inventory(tmp_path, device, vantage)
    assert trust(monkeypatch, site, "--yes", "--limit", "clinic") == 0
    assert on_file(site).read_text() == f"[127.0.0.1]:{vantage.via.port} {key_of(vantage)}\n"
    assert trust(monkeypatch, site, "--yes") == 0
    assert len(on_file(site).read_text().splitlines()) == 2
    assert run(sys.executable, "-c", LOG_IN, str(site)).splitlines() == ["the device", "the vantage"]


def test_what_is_on_file_stays_and_nothing_is_doubled(
    monkeypatch: pytest.MonkeyPatch, start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd(kinds=ALL)
    site = inventory(tmp_path, sshd)
    before = f"# mine\n[127.0.0.1]:{sshd.via.port} {key_of(sshd, 'rsa')}\nother.example {key_of(sshd)}"  # no line end
    file = write(site, before)
    file.chmod(0o644)
    assert trust(monkeypatch, site, "--yes") == 0
    entry = f"[127.0.0.1]:{sshd.via.port}"
    assert file.read_text() == before + f"\n{entry} {key_of(sshd)}\n{entry} {key_of(sshd, 'ecdsa')}\n"
    run("ssh-keygen", "-H", "-f", str(file))  # hashes the names
    hashed = file.read_bytes()
    assert b"127.0.0.1" not in hashed
    assert trust(monkeypatch, site, "--yes") == 0
    assert file.read_bytes() == hashed
    assert run(sys.executable, "-c", LOG_IN, str(site)).splitlines() == ["the device", "the vantage"]


def test_a_pattern_is_not_enough_for_devices(
    monkeypatch: pytest.MonkeyPatch, start_sshd: StartSshd, tmp_path: Path
) -> None:
    """asyncssh would take it, paramiko does not."""
    sshd = start_sshd()
    site = inventory(tmp_path, sshd)
    write(site, f"[127.0.0.*]:{sshd.via.port} {key_of(sshd)}\n")
    assert trust(monkeypatch, site, "--yes") == 0
    assert run(sys.executable, "-c", LOG_IN, str(site)).splitlines() == ["the device", "the vantage"]


def test_a_changed_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    """Nothing is recorded for that place, its keys of other kinds neither; the other place is not held up."""
    sshd, impostor = start_sshd(), start_sshd(kinds=ALL)
    site = inventory(tmp_path, impostor, sshd)
    before = f"[127.0.0.1]:{impostor.via.port} {key_of(sshd)}\n"
    write(site, before)
    assert trust(monkeypatch, site, "--yes") == 2
    assert on_file(site).read_text() == before + f"[127.0.0.1]:{sshd.via.port} {key_of(sshd)}\n"
    err = capsys.readouterr().err
    assert "fw: the SSH host key of 127.0.0.1" in err and "HAS CHANGED" in err and "next:" in err
    assert f"on file: 256 {fingerprint(sshd)}" in err
    assert f"offered: 256 {fingerprint(impostor)}" in err


def test_one_changed_key_beside_a_right_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, other = start_sshd(kinds=ALL), start_sshd()
    site = inventory(tmp_path, sshd)
    entry = f"[127.0.0.1]:{sshd.via.port}"
    before = f"{entry} {key_of(sshd, 'rsa')}\n{entry} {key_of(other)}\n"
    write(site, before)
    assert trust(monkeypatch, site, "--yes") == 2
    assert on_file(site).read_text() == before
    err = capsys.readouterr().err
    assert fingerprint(other) in err and fingerprint(sshd) in err
    assert fingerprint(sshd, "rsa") not in err


def test_recorded_by_somebody_else_meanwhile(tmp_path: Path) -> None:
    place = hostkeys.Place(("fw",), "fw.example", 22, tmp_path / "known_hosts")
    key = hostkeys.HostKey("ssh-ed25519", "AAAA")
    assert hostkeys.standing(place, (key,)).new == (key,)
    place.known_hosts.write_text("fw.example ssh-ed25519 AAAA\n")
    hostkeys.record(place, (key,))
    assert place.known_hosts.read_text() == "fw.example ssh-ed25519 AAAA\n"


def test_a_key_that_is_not_offered_any_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    before_and_now = start_sshd(kinds=("ecdsa",)), start_sshd()
    site = inventory(tmp_path, before_and_now[1])
    before = f"[127.0.0.1]:{before_and_now[1].via.port} {key_of(before_and_now[0], 'ecdsa')}\n"
    write(site, before)
    assert trust(monkeypatch, site, "--yes") == 2
    assert on_file(site).read_text() == before
    err = capsys.readouterr().err
    assert fingerprint(before_and_now[0], "ecdsa") in err and fingerprint(before_and_now[1]) in err


def test_a_revoked_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd()
    site = inventory(tmp_path, sshd)
    write(site, f"@revoked * {key_of(sshd)}\n")
    assert trust(monkeypatch, site, "--yes") == 2
    assert "REVOKED" in capsys.readouterr().err
    assert on_file(site).read_text() == f"@revoked * {key_of(sshd)}\n"


def test_nobody_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd()
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    site = inventory(tmp_path, closed, sshd)
    assert trust(monkeypatch, site, "--yes") == 3
    out, err = capsys.readouterr()
    assert f"! fw: no host key from 127.0.0.1 port {closed}" in err and "next:" in err
    assert on_file(site).read_text() == f"[127.0.0.1]:{sshd.via.port} {key_of(sshd)}\n"
    assert "clinic" in out and "fw" not in out


@pytest.mark.parametrize("greeting", [b"", b"220 no SSH here\r\n" * 2000])
def test_something_else_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, greeting: bytes
) -> None:
    monkeypatch.setattr(hostkeys, "WAIT", 0.3)
    program = (
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 0)); print(server.getsockname()[1], flush=True)\n"
        "held = []\n"
        "while True: held.append(server.accept()[0]); held[-1].sendall(bytes.fromhex(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, greeting.hex()], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        site = inventory(tmp_path, int(other.stdout.readline()))
        assert trust(monkeypatch, site, "--yes") == 3
        assert other.poll() is None, "it holds the connection, and would for ever"
        other.kill()
    assert "! fw, clinic: no host key from" in capsys.readouterr().err
    assert not on_file(site).exists()


def test_without_a_terminal_nobody_is_asked_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd()
    site = inventory(tmp_path, sshd)
    assert trust(monkeypatch, site) == 2
    assert "no terminal" in capsys.readouterr().err
    assert b"Connection from" not in (sshd.folder / "log").read_bytes()
    assert not on_file(site).exists()


@pytest.mark.parametrize(
    ("typed", "status", "recorded"),
    [
        ("y\n", 0, True),
        ("yes\n", 0, True),
        ("n\n", 3, False),
        ("\n", 3, False),
        ("\x04", 3, False),
        ("\x03", 130, False),
    ],
    ids=["y", "yes", "n", "enter", "ctrl-d", "ctrl-c"],
)
def test_at_a_terminal(start_sshd: StartSshd, tmp_path: Path, typed: str, status: int, recorded: bool) -> None:
    sshd = start_sshd()
    site = inventory(tmp_path, sshd)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", COMMAND, "inventory", "trust", "-i", str(site)])  # noqa: S606
    seen = b""
    deadline = time.monotonic() + 60
    while b"[y/N]" not in seen:
        assert time.monotonic() < deadline, seen
        seen += os.read(terminal, 65536)
    assert fingerprint(sshd).encode() in seen
    assert not on_file(site).exists()
    os.write(terminal, typed.encode())
    _, ended = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == status
    assert on_file(site).exists() is recorded


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("fw,pacs-1", "pacs-1 is a PACS"),
        ("here", "here is this machine"),
        ("fv", "fv is not there"),
        (" , ", "names nobody"),
    ],
)
def test_a_limit_that_names_no_ssh_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, limit: str, says: str
) -> None:
    assert trust(monkeypatch, inventory(tmp_path, 1), "--yes", "--limit", limit) == 2
    err = capsys.readouterr().err
    assert says in err and "choose from: fw, clinic" in err


def test_an_inventory_without_any_ssh_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    site = inventory(tmp_path, 1)
    lines = (site / "hosts.yaml").read_text().splitlines(keepends=True)
    (site / "hosts.yaml").write_text("".join(line for line in lines if line.startswith(("pacs-1", "here"))))
    assert trust(monkeypatch, site, "--yes") == 2
    assert "no host key to trust" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"one-word\n"])
def test_a_file_that_is_no_known_hosts_file(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    start_sshd: StartSshd,
    tmp_path: Path,
    content: bytes,
) -> None:
    site = inventory(tmp_path, start_sshd())
    write(site, "").write_bytes(content)
    assert trust(monkeypatch, site, "--yes") == 2
    assert str(on_file(site)) in capsys.readouterr().err
    assert on_file(site).read_bytes() == content


def test_a_file_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start_sshd: StartSshd, tmp_path: Path
) -> None:
    site = inventory(tmp_path, start_sshd())
    (site / "trusted").write_text("a file, where a folder is needed")
    assert trust(monkeypatch, site, "--yes") == 2
    assert "known_hosts file cannot be" in capsys.readouterr().err
