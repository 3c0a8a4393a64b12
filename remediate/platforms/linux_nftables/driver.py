"""One session with a Linux firewall."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from ipaddress import ip_address

from remediate.model.change import Candidate, Diff, Pending, Token, Unit
from remediate.model.device import Device
from remediate.model.peers import Connection, LivePeers
from remediate.model.site import IPAddress
from remediate.model.traces import Traces
from remediate.platforms import Pace, PushState, deadman, unit
from remediate.platforms.linux_nftables import conntrack, evidence, scripts, siblings
from remediate.platforms.linux_nftables.noted import noted
from remediate.platforms.session import Session

#: Seconds that a device is given to load a revert that it has begun.
_REVERT_TAKES = 10.0
_CANNOT = {
    "notrack": "rules there keep some packets from connection tracking (notrack)",
    "off": "connection tracking is not in use there",
    "program": "no conntrack there: install the package conntrack",
}


class LinuxNftables:
    def __init__(self, device: Device, session: Session) -> None:
        self._device = device
        self._session = session
        self._deadman = deadman.DeadMan(device.name, session, subject=scripts.SUBJECT, takes=_REVERT_TAKES)
        self._candidate: Candidate | None = None

    def preflight(self, controls: Collection[str] = ()) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        name, hook = self._device.name, self._device.guard.boot
        found = self._deadman.must(scripts.FACTS, "could not be looked at", name, hook).out
        facts = dict(line.partition("=")[::2] for line in found.splitlines() if not line.startswith("interface="))
        interfaces = {line.partition("=")[2] for line in found.splitlines() if line.startswith("interface=")}
        lacks = deadman.lacks(facts)
        if not facts.get("nft"):
            lacks.append("no nft: install the package nftables")
        if facts.get("persist") != "writable":
            lacks.append(f"{scripts.PERSISTED} cannot be written: the guard could not outlast a restart")
        if not facts.get("loader"):
            file = f"{scripts.PERSISTED}/guard-{name}.nft"
            lacks.append(
                f"{hook} (guard.boot) is not executable, or does not name {file}: write `nft -f {file}` into it"
                if hook
                else "nothing that is known would load the guard at the next boot (systemd, ifupdown, OpenRC's local): "
                f"have its start-up run `nft -f {file}`, and name the file that does so as guard.boot"
            )
        lacks += [
            f"no interface {name} here ({key}): it has {', '.join(sorted(interfaces))}"
            for name, key in self._device.guard.named
            if name not in interfaces
        ]
        links, addressed = siblings.read(found.splitlines())
        lacks += [
            wrong for name, key in self._device.guard.named if (wrong := siblings.wrong(links, addressed, name, key))
        ]
        if facts.get("flowtable"):
            lacks.append("a flowtable is in use: flows that are already offloaded would bypass the guard")
        return tuple(lacks)

    def unit(self) -> Unit:
        return unit.of_linux(self._session)

    def running_config(self) -> str:
        return self._deadman.must(scripts.RUNNING, "does not show its ruleset").out

    def pace(self) -> Pace:
        return Pace()  # a candidate is loaded as one file

    def objections(self, text: str) -> str:
        return self._deadman.run(scripts.OBJECTIONS, stdin=text).err.strip()

    def load_merge_candidate(self, candidate: Candidate, token: Token) -> None:
        self._deadman.stage(
            token,
            {
                "new.nft": candidate.text,
                "revert.nft": candidate.inverse,
                "load.sh": scripts.LOAD,
                "undo.sh": scripts.UNDO,
                "in_force.sh": scripts.in_force({s.name: s.rules is not None for s in candidate.sections}),
            },
            scripts.CHECK,
        )
        self._candidate = candidate

    def compare_config(self) -> Diff:
        assert self._candidate is not None
        return Diff(text=self._candidate.diff)

    def discard_config(self) -> None:
        self._candidate = None
        self._deadman.discard()

    def commit_config(self, *, token: Token, revert_in: timedelta, message: str) -> None:  # noqa: ARG002 -- no log there
        self._deadman.commit(token, revert_in)

    def pending(self) -> Pending | None:
        return self._deadman.pending()

    def state_of(self, token: Token) -> PushState:
        return self._deadman.state_of(token)

    def confirm_commit(self, token: Token) -> None:
        self._deadman.confirm(token)

    def rollback(self, token: Token, made: Candidate) -> None:  # noqa: ARG002 -- its inverse is on the device
        self._deadman.rollback(token)

    def save(self, token: Token) -> str:
        name, hook = self._device.name, self._device.guard.boot
        how = self._deadman.save(token, scripts.SAVE, name, hook).out.strip()
        return {
            "nothing": "",
            "systemd": f"systemd unit remediate-guard-{name}.service",
            "ifupdown": f"/etc/network/if-pre-up.d/remediate-guard-{name}",
            "openrc": f"/etc/local.d/remediate-guard-{name}.start",
            "hook": hook,
        }[how]

    def boot_config(self) -> str:
        """The guard as it will be loaded at boot; "" where none will be, or nothing would load it."""
        args = (self._device.name, self._device.guard.boot)
        return self._deadman.must(scripts.AT_BOOT, "does not show what it loads at boot", *args).out

    def forget(self, token: Token) -> None:
        self._deadman.forget(token)

    def live_peers(self, addresses: Collection[IPAddress], ports: Collection[int]) -> LivePeers:
        """By connection tracking, which sees what this device forwards and nothing that was offloaded, and by whom
        the guard has noted.
        """
        try:
            text = self._deadman.must(scripts.NOTED, "does not show whom it has noted").out
            seen = tuple(one for one in noted(text) if one.archive in addresses and one.port in ports)
        except ValueError as error:
            return LivePeers(cannot=str(error))
        return self._tracked(addresses, ports).model_copy(update={"noted": seen})

    def _tracked(self, addresses: Collection[IPAddress], ports: Collection[int]) -> LivePeers:
        lines = self._deadman.must(scripts.PEERS, "does not show its connections", *map(str, sorted(ports))).out
        if lines.startswith("cannot="):
            return LivePeers(cannot=_CANNOT[lines.strip().partition("=")[2]])
        try:
            found = [one for one in map(conntrack.tracked, lines.splitlines()) if one is not None]
        except ValueError as error:
            return LivePeers(cannot=f"its connection table cannot be read: {error}")
        used = [one for one in found if one.replied and one.answers in addresses and one.answers_port in ports]
        by = self._interfaces({one.source for one in used})
        connections = [
            Connection(
                source=one.source,
                port=one.answers_port,
                archive=one.answers,
                interface=by.get(one.source, ""),
                established=one.open,
            )
            for one in used
        ]
        return LivePeers(connections=tuple(connections), how="connection tracking")

    def _interfaces(self, sources: Collection[IPAddress]) -> dict[IPAddress, str]:
        if not sources:
            return {}
        lines = self._deadman.must(scripts.ROUTES, "does not show its routes", *sorted(map(str, sources))).out
        parts = [line.split() for line in lines.splitlines()]
        return {ip_address(found[0]): found[1] for found in parts if len(found) == 2}

    def evidence(self, addresses: Collection[IPAddress], ports: Collection[int]) -> Traces:  # noqa: ARG002 -- of all
        return evidence.collect(self._deadman.run, addresses)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()
