"""Linux with nftables, over SSH with a POSIX shell. Own table, own chains, own revert timer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from remediate.model.change import Capabilities
from remediate.model.rule import Rule
from remediate.model.site import Device, Login
from remediate.platforms.linux_nftables import parser
from remediate.platforms.linux_nftables.driver import LinuxNftables
from remediate.platforms.session import Session

#: A netmiko device type that reads no prompt: a firewall's own PS1 and banner do not matter to channels of our own.
_DEVICE_TYPE = "terminal_server"


class Spec:
    name = "linux_nftables"
    capabilities = Capabilities(
        revert_min=timedelta(seconds=5),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        atomic=True,
        stateful=True,
        survives_reboot=False,
    )

    def sections(self, text: str) -> Mapping[str, tuple[Rule, ...]]:
        return parser.guard(text)

    def running_sections(self, running: str) -> Mapping[str, tuple[Rule, ...]]:
        return parser.of_running(running)

    def foreign(self, running: str) -> str:
        return parser.foreign(running)

    def connect(self, device: Device, login: Login) -> LinuxNftables:
        return LinuxNftables(device, Session(device, login, _DEVICE_TYPE))

    def try_login(self, device: Device, login: Login) -> None:
        with Session(device, login, _DEVICE_TYPE) as session:
            session.execute("true")


SPEC = Spec()
