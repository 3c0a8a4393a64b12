"""One session with a Linux firewall."""

from __future__ import annotations

from datetime import timedelta

from remediate.model.change import Candidate, Diff, Pending, Token
from remediate.model.site import Device
from remediate.platforms import PushState, deadman
from remediate.platforms.linux_nftables import scripts
from remediate.platforms.session import Session

#: Seconds that a device is given to load a revert that it has begun.
_REVERT_TAKES = 10.0


class LinuxNftables:
    def __init__(self, device: Device, session: Session) -> None:
        self._device = device
        self._session = session
        self._deadman = deadman.DeadMan(device.name, session, loaded_at_boot=False, takes=_REVERT_TAKES)
        self._candidate: Candidate | None = None

    def preflight(self) -> tuple[str, ...]:
        found = self._deadman.must(scripts.FACTS, "could not be looked at").out
        facts = dict(line.partition("=")[::2] for line in found.splitlines() if not line.startswith("interface="))
        interfaces = {line.partition("=")[2] for line in found.splitlines() if line.startswith("interface=")}
        lacks = []
        if facts.get("uid") != "0":
            lacks.append("not root: log in as root, or let this user run sudo without a password")
        if not facts.get("nft"):
            lacks.append("no nft: install the package nftables")
        if not facts.get("timer"):
            lacks.append("no revert timer: install util-linux (setsid) or run systemd")
        if facts.get("state") != "writable":
            lacks.append(f"{deadman.STATE} cannot be written: the revert timer keeps its files there")
        if facts.get("persist") != "writable":
            lacks.append(f"{scripts.PERSISTED} cannot be written: the guard could not outlast a restart")
        lacks += [
            f"no interface {name} here (guard.interface): it has {', '.join(sorted(interfaces))}"
            for name in self._device.guard.interface
            if name not in interfaces
        ]
        if facts.get("flowtable"):
            lacks.append("a flowtable is in use: flows that are already offloaded would bypass the guard")
        return tuple(lacks)

    def running_config(self) -> str:
        return self._deadman.must(scripts.RUNNING, "does not show its ruleset").out

    def objections(self, text: str) -> str:
        return self._deadman.run(scripts.OBJECTIONS, stdin=text).err.strip()

    def load_merge_candidate(self, candidate: Candidate) -> None:
        self._deadman.stage(
            {
                "new.nft": candidate.text,
                "revert.nft": candidate.inverse,
                "load.sh": scripts.LOAD,
                "undo.sh": scripts.UNDO,
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

    def rollback(self, token: Token) -> None:
        self._deadman.rollback(token)

    def save(self) -> str:
        how = self._deadman.must(scripts.SAVE, "does not persist the guard", self._device.name).out.strip()
        return {
            "nothing": "nothing of ours is loaded at boot",
            "systemd": f"systemd unit remediate-guard-{self._device.name}.service",
            "ifupdown": f"/etc/network/if-pre-up.d/remediate-guard-{self._device.name}",
            "file": f"NOTHING loads it at boot: add `nft -f {scripts.PERSISTED}/guard-{self._device.name}.nft` to the "
            "device's start-up",
        }[how]

    def persisted(self) -> str:
        """The guard as it will be loaded at boot; empty where none will be."""
        return self._deadman.must(scripts.PERSISTED_GUARD, "does not show the persisted guard", self._device.name).out

    def forget(self, token: Token) -> None:
        self._deadman.forget(token)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()
