"""Two hosts in namespaces, and an SSH server, for whoever asks."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediate.model.site import SshVia

from .places import run

SSHD = "/usr/sbin/sshd"
RULES = """
table inet closed {
  chain input {
    type filter hook input priority 0;
    tcp dport 104 drop
    tcp dport 105 reject with icmpx type admin-prohibited
    tcp dport 106 reject with icmpx type port-unreachable
    tcp dport 107 reject with tcp reset
    meta nfproto ipv4 tcp dport 201 reject with icmp type host-unreachable
    meta nfproto ipv4 tcp dport 202 reject with icmp type prot-unreachable
    meta nfproto ipv4 tcp dport 209 reject with icmp type net-prohibited
    meta nfproto ipv4 tcp dport 210 reject with icmp type host-prohibited
    meta nfproto ipv4 tcp dport 213 reject with icmp type admin-prohibited
    meta nfproto ipv6 tcp dport 200 reject with icmpv6 type no-route
    meta nfproto ipv6 tcp dport 201 reject with icmpv6 type admin-prohibited
    meta nfproto ipv6 tcp dport 203 reject with icmpv6 type addr-unreachable
  }
}
"""


@pytest.fixture
def two_hosts() -> Iterator[str]:
    """A namespace with a neighbour, 192.0.2.2 and 2001:db8::2, that has RULES; it has a route to nothing else."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
        pytest.skip("needs root, ip and nft for namespaces of its own")
    near, far = (f"rmdt-{secrets.token_hex(4)}" for _ in range(2))
    try:
        run("ip", "netns", "add", near)
    except subprocess.CalledProcessError:
        pytest.skip("network namespaces cannot be made here")
    try:
        run("ip", "netns", "add", far)
        run("ip", "link", "add", "v0", "netns", near, "type", "veth", "peer", "name", "v0", "netns", far)
        for number, name in enumerate((near, far), 1):
            run("ip", "-n", name, "addr", "add", f"192.0.2.{number}/24", "dev", "v0")
            run("ip", "-n", name, "addr", "add", f"2001:db8::{number}/64", "dev", "v0", "nodad")
            for link in ("lo", "v0"):
                run("ip", "-n", name, "link", "set", link, "up")
        run("ip", "netns", "exec", far, "nft", "-f", "-", text=RULES)
        yield near
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@dataclass
class Sshd:
    """A server of the test's own, with throwaway keys. ``via`` trusts it."""

    process: subprocess.Popen[bytes]
    folder: Path
    via: SshVia

    def children(self) -> list[int]:
        """The processes that serve a connection, the deepest first."""

        def below(pid: int) -> list[int]:
            try:
                pids = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            except FileNotFoundError:
                return []
            return [deeper for one in pids for deeper in (*below(one), one)]

        return below(self.process.pid)


def _key(file: Path, kind: str = "ed25519") -> str:
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(file))
    return file.with_suffix(".pub").read_text().strip()


@pytest.fixture
def start_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Starts servers on loopback, in a network namespace where one is named."""
    if os.geteuid() != 0 or not Path(SSHD).exists() or not shutil.which("unshare"):
        pytest.skip("needs root, sshd and unshare for an SSH server of its own")
    started: list[Sshd] = []

    def start(namespace: str | None = None, *, kinds: tuple[str, ...] = ("ed25519",), port: int = 0) -> Sshd:
        """``kinds``: of its host keys; ``port`` 0: a free one."""
        folder = tmp_path / f"sshd{len(started)}"
        folder.mkdir()
        host_keys = [_key(folder / f"host_key_{kind}", kind) for kind in kinds]
        names = "".join(f"HostKey {folder}/host_key_{kind}\n" for kind in kinds)
        (folder / "authorized_keys").write_text(_key(folder / "user_key") + "\n")
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        known_hosts = folder / "known_hosts"
        known_hosts.write_text("".join(f"[127.0.0.1]:{port} {host_key}\n" for host_key in host_keys))
        (folder / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\n{names}PidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin yes\nAllowTcpForwarding yes\nLogLevel VERBOSE\n"
        )
        # sshd insists on /run/sshd: it gets a /run of its own.
        command = f"mount -t tmpfs none /run && mkdir /run/sshd && exec {SSHD} -D -e -f {folder}/config"
        enter = ["ip", "netns", "exec", namespace] if namespace else []
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*enter, "unshare", "-m", "sh", "-c", command], stderr=log)
        via = SshVia(
            host="127.0.0.1",
            port=port,
            user=getpass.getuser(),
            key=str(folder / "user_key"),
            known_hosts=str(known_hosts),
        )
        sshd = Sshd(process, folder, via)
        started.append(sshd)
        deadline = time.monotonic() + 60
        while b"Server listening" not in (folder / "log").read_bytes():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)  # a poll with a deadline
        return sshd

    yield start
    for sshd in started:
        sshd.process.terminate()
        sshd.process.wait(60)
