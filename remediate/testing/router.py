"""The simulated Cisco IOS router as a process of its own: a command line over SSH, and access lists in force."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from remediate import platforms
from remediate.errors import UsageError
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.device import Device, Login
from remediate.platforms import Platform

#: A whole site on loopback (router, archive, inventory, playbook), as `remediate demo` uses it.
simulated_site = standing

__all__ = ["EmbeddedSite", "SimulatedRouter", "simulated_router", "simulated_site"]


@dataclass(frozen=True)
class SimulatedRouter:
    """``relays``: name → where that relay listens. ``login``: for ``username`` of the startup configuration."""

    login: Login
    relays: dict[str, tuple[str, int]]

    @contextmanager
    def session(self, device: Device) -> Iterator[Platform]:
        """An open session with it, by the platform's own driver."""
        opened = platforms.platform(device.platform).connect(device, self.login)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def simulated_router(
    folder: Path,
    startup: str,
    *,
    username: str = "admin",
    address: str = "127.0.0.1",
    minute: float = 60.0,
    relays: Sequence[str] = (),
    misbehave: Sequence[str] = (),
) -> Iterator[SimulatedRouter]:
    """Runs while the context lasts; ``folder`` takes its files, and must exist.

    ``startup``: its configuration, with a line ``username ... privilege 15 ...`` and, for changes, ``archive`` with a
    ``path``. ``minute``: seconds that a minute of its revert timer takes. ``relays``, ``misbehave``: as
    ``python -m remediate.lab.devices.cisco_ios --help`` says. Raises UsageError where it does not start.
    """
    for name in ("host", "id"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        (folder / name).touch(mode=0o600)
        key.write_private_key(folder / name)
        key.write_public_key(folder / f"{name}.pub")
    (folder / "startup-config").write_text(startup)
    argv = [sys.executable, "-m", "remediate.lab.devices.cisco_ios", "--config", str(folder / "startup-config")]
    argv += ["--ssh", f"{address}:0", "--host-key", str(folder / "host"), "--minute", str(minute)]
    argv += ["--authorized-keys", f"{username}={folder / 'id.pub'}", "--until-stdin-closes"]
    argv += [word for relay in relays for word in ("--relay", relay)]
    argv += [word for how in misbehave for word in ("--misbehave", how)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise UsageError(
                f"the simulated router did not start (exit status {process.wait()}); it said why on standard error",
                next="mend the startup configuration or the options",
            )
        ready = json.loads(line)
        port = int(ready["ssh"].rpartition(":")[2])
        host_key = (folder / "host.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[{address}]:{port} {host_key[0]} {host_key[1]}\n")
        login = Login(
            host=address, port=port, username=username, key=str(folder / "id"), known_hosts=str(folder / "known_hosts")
        )
        yield SimulatedRouter(login, {name: _endpoint(text) for name, text in ready["relays"].items()})
    finally:
        process.stdin.close()  # it ends when this is closed, also when we are killed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
