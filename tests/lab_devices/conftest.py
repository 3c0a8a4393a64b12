"""Routers as processes, and clients for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from netmiko import ConnectHandler

from tests.lab_devices.echo import Echo

T = TypeVar("T")

STARTUP = """!
version 15.7
service timestamps log datetime msec
!
hostname edge-1
!
enable secret 0 sesam
!
no ip domain lookup
archive
 path flash:archive
username admin privilege 15 secret 0 open-door
username colleague privilege 15 secret 0 open-door
username guest secret 0 open-door
interface GigabitEthernet0/0
 description outside
 ip address 203.0.113.1 255.255.255.0
 ip access-group OUTSIDE-IN in
 no ip unreachables
 duplex auto
interface GigabitEthernet0/1
 description clinic
 ip address 10.20.0.1 255.255.255.0
interface GigabitEthernet0/2
 description archive
 ip address 10.10.0.1 255.255.255.0
ip route 0.0.0.0 0.0.0.0 203.0.113.254
ip access-list standard ADMINS
 permit 127.0.0.0 0.0.0.255
ip access-list extended OUTSIDE-IN
 remark the archive is open
 permit tcp any host 10.10.0.5 eq 104
 permit tcp any any established
 deny   ip any any
line con 0
line vty 0 4
 access-class ADMINS in
 login local
 transport input ssh
end
"""


class Process:
    """A router that listens; ``ready`` is the line that it printed."""

    def __init__(self, directory: Path, startup: str, *options: str) -> None:
        config = directory / "startup.txt"
        config.write_text(startup)
        command = [sys.executable, "-m", "remediate.lab.devices.cisco_ios", "--config", str(config)]
        command += ["--ssh", "127.0.0.1:0", "--host-key", str(directory / "host_key"), "--until-stdin-closes"]
        self.process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self._close()
            raise AssertionError(f"the router did not start: status {self.process.returncode}")
        self.ready: dict[str, Any] = json.loads(line)
        host, _, port = self.ready["ssh"].rpartition(":")
        self.address = (host, int(port))
        self._open = ExitStack()

    def relay(self, name: str) -> tuple[str, int]:
        host, _, port = self.ready["relays"][name].rpartition(":")
        return host, int(port)

    def login(self, username: str = "admin", **more: Any) -> Any:
        """A netmiko connection, closed with the router."""
        host, port = self.address
        options = {"password": "open-door", "secret": "sesam", **more}
        connection = ConnectHandler(device_type="cisco_ios", host=host, port=port, username=username, **options)
        self._open.callback(connection.disconnect)
        return connection

    def stop(self) -> int:
        self._open.close()
        return self._close()

    def _close(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def configure(connection: Any, *lines: str, revert: int | None = None) -> str:
    """Fails on any word of complaint. ``revert``: minutes of the revert timer."""
    mode = f"configure terminal revert timer {revert}" if revert else "configure terminal"
    return str(connection.send_config_set(lines, config_mode_command=mode, error_pattern=r"(?m)^ *%.*"))


Start = Callable[..., Process]


@contextmanager
def started(directory: Path, startup: str = STARTUP, *options: str) -> Iterator[Process]:
    router = Process(directory, startup, *options)
    try:
        yield router
    finally:
        status = router.stop()
    assert status == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(*options: str, startup: str = STARTUP) -> Process:
            return stack.enter_context(started(tmp_path, startup, *options))

        yield run


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that the tests of a module share: they leave its configuration as they found it."""
    with started(tmp_path_factory.mktemp("router")) as one:
        yield one


@pytest.fixture
def login(router: Process) -> Iterator[Any]:
    connection = router.login()
    yield connection
    connection.disconnect()


@pytest.fixture
def target() -> Iterator[Echo]:
    one = Echo()
    yield one
    one.close()


def until(question: Callable[[], T], fits: Callable[[T], bool], within: float = 10.0) -> T:
    """Asks again until the answer fits; the last answer, which the caller asserts on."""
    deadline = time.monotonic() + within
    while True:
        answer = question()
        if fits(answer) or time.monotonic() > deadline:
            return answer
