"""One session with a Linux firewall."""

from __future__ import annotations

import shlex
import time
from datetime import timedelta

from remediate.errors import CommandRejected, DeviceError, NeedsHands
from remediate.model.change import Candidate, Diff, Pending, Token
from remediate.model.site import Device
from remediate.platforms import ABSENT, ARMED, CONFIRMED, REVERTED, STUCK, PushState
from remediate.platforms.linux_nftables import scripts
from remediate.platforms.session import Completed, Session

#: Seconds that a device is given to load a revert that it has begun.
_REVERT_TAKES = 10.0

_STATES = {
    "armed": ARMED,
    "confirmed": CONFIRMED,
    "reverted": REVERTED,
    "refused": REVERTED,
    "reverting": STUCK,
    # Nothing of a push is loaded at boot before its confirm, so a restart has taken it back.
    "armed-before-boot": REVERTED,
    "reverting-before-boot": REVERTED,
    "reverted-before-boot": REVERTED,
    "refused-before-boot": REVERTED,
    "confirmed-before-boot": CONFIRMED,
}


class LinuxNftables:
    def __init__(self, device: Device, session: Session) -> None:
        self._device = device
        self._session = session
        self._candidate: Candidate | None = None

    def preflight(self) -> tuple[str, ...]:
        found = self._sh(scripts.FACTS, "could not be looked at").out
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
            lacks.append(f"{scripts.STATE} cannot be written: the revert timer keeps its files there")
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
        return self._sh(scripts.RUNNING, "does not show its ruleset").out

    def objections(self, text: str) -> str:
        return self._run(scripts.OBJECTIONS, stdin=text).err.strip()

    def load_merge_candidate(self, candidate: Candidate) -> None:
        for name, text in (("new", candidate.text), ("revert", candidate.inverse)):
            self._sh(scripts.STAGE, "does not take the candidate", self._device.name, name, stdin=text)
        self._candidate = candidate
        checked = self._run(scripts.CHECK, self._device.name)
        if checked.status:
            self.discard_config()
            raise CommandRejected(
                "the device refuses the configuration; nothing was loaded",
                words=checked.err or checked.out,
                where=self._device.name,
                next="mend the template or the inventory, and plan again",
            )

    def compare_config(self) -> Diff:
        assert self._candidate is not None
        return Diff(text=self._candidate.diff)

    def discard_config(self) -> None:
        self._candidate = None
        self._sh(scripts.DISCARD, "does not discard the candidate", self._device.name)

    def commit_config(self, *, token: Token, revert_in: timedelta, message: str) -> None:  # noqa: ARG002 -- no log there
        done = self._run(scripts.COMMIT, token, str(int(revert_in.total_seconds())), self._device.name)
        if done.status:
            raise CommandRejected(
                "the device did not load the configuration", words=done.err or done.out, where=self._device.name
            )

    def pending(self) -> Pending | None:
        for token, (state, left, _) in self._pushes().items():
            if state in (ARMED, STUCK):
                return Pending(token=token, ours=True, seconds_left=left)
        return None

    def state_of(self, token: Token) -> PushState:
        """A revert that is under way is waited for; armed without a living timer is stuck."""
        until = time.monotonic() + _REVERT_TAKES
        while True:
            state, left, alive = self._pushes().get(token, (ABSENT, 0.0, False))
            if state != STUCK or time.monotonic() > until:
                return PushState(STUCK if state == ARMED and not alive else state, left)

    def confirm_commit(self, token: Token) -> None:
        self._decide(scripts.CONFIRM, token, CONFIRMED)

    def rollback(self, token: Token) -> None:
        self._decide(scripts.REVERT, token, REVERTED)

    def save(self) -> str:
        how = self._sh(scripts.SAVE, "does not persist the guard", self._device.name).out.strip()
        return {
            "nothing": "nothing of ours is loaded at boot",
            "systemd": f"systemd unit remediate-guard-{self._device.name}.service",
            "ifupdown": f"/etc/network/if-pre-up.d/remediate-guard-{self._device.name}",
            "file": f"NOTHING loads it at boot: add `nft -f {scripts.PERSISTED}/guard-{self._device.name}.nft` to the "
            "device's start-up",
        }[how]

    def persisted(self) -> str:
        """The guard as it will be loaded at boot; empty where none will be."""
        return self._sh(scripts.PERSISTED_GUARD, "does not show the persisted guard", self._device.name).out

    def forget(self, token: Token) -> None:
        self._sh(scripts.FORGET, "does not clean up", token)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()

    # -- how ------------------------------------------------------------------------------------------

    def _pushes(self) -> dict[str, tuple[str, float, bool]]:
        pushes = {}
        for line in self._sh(scripts.PENDING, "does not tell what is pending").out.splitlines():
            token, state, left, alive = line.split()
            pushes[token] = (_STATES.get(state, STUCK), float(left), alive == "yes")
        return pushes

    def _decide(self, script: str, token: Token, wanted: str) -> None:
        """Confirm or revert, then read back: the timer may have been faster."""
        self._run(script, token)
        state = self.state_of(token)
        if state.name == STUCK:
            raise NeedsHands(
                f"the device could not take the change {token} back",
                where=self._device.name,
                next=f"on its console: nft -f {scripts.STATE}/{token}/revert.nft",
            )
        if state.name != wanted:
            raise DeviceError(
                f"the change {token} is {state.name}, not {wanted}",
                where=self._device.name,
                next="remediate resume looks at the device and goes on from there",
            )

    def _run(self, script: str, *args: str, stdin: str = "") -> Completed:
        words = " ".join(map(shlex.quote, args))
        return self._session.execute(f"set -- {words}\n{script}" if words else script, stdin=stdin, root=True)

    def _sh(self, script: str, failed: str, *args: str, stdin: str = "") -> Completed:
        done = self._run(script, *args, stdin=stdin)
        if done.status:
            raise CommandRejected(f"the device {failed}", words=done.err or done.out, where=self._device.name)
        return done
