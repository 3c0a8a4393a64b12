"""The router itself: running and startup configuration, archive, revert timer and log, shared by all sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from remediate.lab.devices.cisco_ios.acl import AccessList
from remediate.lab.devices.cisco_ios.config import Config
from remediate.lab.devices.cisco_ios.grammar import Rejected
from remediate.lab.devices.cisco_ios.load import load
from remediate.lab.devices.cisco_ios.nat import Static
from remediate.lab.devices.cisco_ios.translations import Translations

NOT_PENDING = "%No Rollback Confirmed Change pending"
NO_ARCHIVE = "%Turn config archive on before using Rollback Confirmed Change"
NVRAM = 262136  # bytes


@dataclass(frozen=True)
class Misbehaviour:
    """Faults to rehearse with. ``rejects``: configuration lines with this text are refused as invalid.
    ``keeps_publishing``: static NAT that was removed goes on translating. ``no_forced``: a release without the keyword.
    """

    rejects: str = ""
    forgets_confirm: bool = False
    keeps_publishing: bool = False
    no_forced: bool = False


@dataclass
class Pending:
    """A change that the router takes back by itself. ``tell`` writes to the line that armed it."""

    owner: str
    file: str
    minutes: int
    since: datetime
    tell: Callable[[str], None]
    timers: list[asyncio.TimerHandle]

    def stop(self) -> None:
        for timer in self.timers:
            timer.cancel()


class Router:
    """``minute``: how many seconds a minute of the revert timer, and of translations, lasts."""

    def __init__(
        self,
        startup: str,
        *,
        minute: float = 60.0,
        misbehaviour: Misbehaviour | None = None,
        serial: str = "FTX00000000",
        remarks_to_the_end: bool = False,
    ) -> None:
        self.minute = minute
        self.serial = serial
        self.remarks_to_the_end = remarks_to_the_end
        self.misbehaviour = misbehaviour or Misbehaviour()
        self.startup = startup
        self.files: dict[str, str] = {}  # flash, by whole name
        self.archived: list[str] = []  # names in self.files, oldest first
        self.archive_number = 0
        self.pending: Pending | None = None
        self.on_change: list[Callable[[], None]] = []
        self.on_log: list[Callable[[str], None]] = []
        self.collect: list[Callable[[], None]] = []  # brings hit counters up to date
        self._unreachable_sent: float | None = None
        self.on_reload: list[Callable[[], None]] = []
        self.boot()

    # -- life -----------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Startup becomes running; every access list is numbered anew, for no number was saved."""
        if self.pending:
            self.pending.stop()
        self.pending = None
        self.running: Config = load(self.startup, remarks_to_the_end=self.remarks_to_the_end)
        self.translations = Translations(self.minute / 60)
        self._translating: list[Static] = []
        self._sync_translations()
        self.startup = self.running.text()
        self.booted = self.now()
        self.changed: tuple[datetime, str] | None = None
        self.saved: tuple[datetime, str] | None = None
        self.lines: deque[str] = deque(maxlen=500)
        self.log("%SYS-5-RESTART: System restarted --")

    def reload(self) -> None:
        self.boot()
        self.touched()
        for end in self.on_reload:
            end()

    def touched(self) -> None:
        """After every change of the running configuration: what forwards packets looks again."""
        self._sync_translations()
        for look in self.on_change:
            look()

    def _sync_translations(self) -> None:
        gone = [one for one in self._translating if one not in self.running.nat]
        self._translating = [*self.running.nat, *(gone if self.misbehaviour.keeps_publishing else [])]
        self.translations.sync(self.running.nat)

    @property
    def translating(self) -> list[Static]:
        """The entries by which packets are translated: those of the running configuration, unless it misbehaves."""
        return self._translating

    def sends_unreachable(self, at: float) -> bool:
        """Whether one more ICMP unreachable is sent at ``at``, in seconds of a clock that only goes on.

        Of all interfaces together: one in so many milliseconds, the others are left out (Cisco, IP Application Services
        Command Reference, ``ip icmp rate-limit unreachable``).
        """
        limit = self.running.unreachable_interval
        if limit is not None and self._unreachable_sent is not None and at - self._unreachable_sent < limit / 1000:
            return False
        self._unreachable_sent = at
        return True

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    @staticmethod
    def clock(at: datetime) -> str:
        return f"{at:%H:%M:%S} UTC {at:%a %b} {at.day} {at:%Y}"

    def log(self, text: str) -> None:
        at = self.now()
        line = f"*{at:%b} {at.day:>2} {at:%H:%M:%S}.{at.microsecond // 1000:03}: {text}"
        self.lines.append(line)
        for listener in self.on_log:
            listener(line)

    # -- configuration texts --------------------------------------------------------------------------

    def running_text(self) -> str:
        """As ``show running-config`` prints it after its first lines: with the two comment lines."""
        notes = []
        if self.changed:
            notes.append(f"! Last configuration change at {self.clock(self.changed[0])} by {self.changed[1]}")
        if self.saved:
            notes.append(f"! NVRAM config last updated at {self.clock(self.saved[0])} by {self.saved[1]}")
        head = ["!", *notes] if notes else []
        return "\n".join([*head, self.running.text()])

    def save(self, user: str) -> None:
        self.saved = (self.now(), user)
        self.startup = self.running.text()
        if self.running.archive and self.running.archive.write_memory and self.running.archive.path:
            self.archive()

    def file(self, name: str) -> str | None:
        match name:
            case "system:running-config" | "running-config":
                return self.running.text()
            case "nvram:startup-config" | "startup-config" | "nvram:/startup-config":
                return self.startup
        return self.files.get(name)

    def archive(self) -> str:
        """Writes the running configuration to the archive; the name of the file. Raises Rejected without a path."""
        archive = self.running.archive
        if archive is None or not archive.path:
            raise Rejected(" Archive feature not enabled")
        at = self.now()
        stamp = f"{at:%b}-{at.day:->2}-{at:%H-%M-%S}.{at.microsecond // 1000:03}"
        name = f"{archive.path.replace('$h', self.running.hostname)}-{stamp}-{self.archive_number}"
        self.archive_number += 1
        self.files[name] = self.running.text()
        self.archived.append(name)
        while len(self.archived) > archive.maximum:
            del self.files[self.archived.pop(0)]
        return name

    def replace(self, text: str) -> None:
        """``configure replace``: the running configuration becomes ``text``, whole. Raises ValueError.

        A list that stays as it is keeps its numbers and counters; so do the entries of one that only loses some.
        """
        new = load(text, remarks_to_the_end=self.remarks_to_the_end)
        new.lists = {name: _kept(self.running.lists.get(name), acl) for name, acl in new.lists.items()}
        for name in set(self.running.interfaces) - set(new.interfaces):
            if not name.startswith(("Loopback", "Tunnel", "Vlan", "Port-channel")) and "." not in name:
                new.interfaces[name] = self.running.interfaces[name]  # hardware stays
        self.running = new
        self.log("Rollback:Acquired Configuration lock.")
        self.log("%SYS-5-CONFIG_R: Config Replace is Done ")
        self.touched()

    # -- the revert timer -----------------------------------------------------------------------------

    def backup(self) -> str:
        """The archive file that a revert goes back to. Raises Rejected where there is no archive, or a timer runs."""
        if self.running.archive is None or not self.running.archive.path:
            raise Rejected(NO_ARCHIVE)
        if self.pending:
            # no recorded session shows the words for this one
            raise Rejected("%Rollback Confirmed Change already pending")
        name = self.archive()
        self.log(f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_BACKUP: Backing up current running config to {name}")
        return name

    def arm(self, file: str, minutes: int, owner: str, tell: Callable[[str], None]) -> None:
        self.pending = Pending(owner, file, minutes, self.now(), tell, [])
        self.log(
            f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_START_ABSTIMER: User: {owner}(Priv: 15, View: 0): "
            f"Scheduled to rollback to config {file} in {minutes} minutes"
        )
        self._start(self.pending)

    def _start(self, pending: Pending) -> None:
        loop = asyncio.get_running_loop()
        pending.stop()
        pending.timers = [
            loop.call_later((pending.minutes - 1) * self.minute, self._warn, pending),
            loop.call_later(pending.minutes * self.minute, self._expire, pending),
        ]

    def _warn(self, pending: Pending) -> None:
        keep = 'Enter "configure confirm" if you wish to keep what you\'ve configured'
        pending.tell(f"Rollback Confirmed Change: Rollback will begin in one minute.\n{keep}\n")
        self.log(
            "%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_WARNING_ABSTIMER: "
            f"System will rollback to config {pending.file} in one minute. {keep}"
        )

    def _expire(self, pending: Pending) -> None:
        pending.tell(self._roll_back(pending) + "\n")

    def _roll_back(self, pending: Pending) -> str:
        pending.stop()
        self.pending = None
        self.log(f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_ROLLBACK_START: Start rolling to: {pending.file}")
        self.replace(self.files[pending.file])
        return f"Rollback Confirmed Change: rolling to:{pending.file}\n\nTotal number of passes: 1\nRollback Done\n"

    def _mine(self, user: str) -> Pending:
        """Only the user who armed a timer may confirm, reset or trigger it (command reference, configure revert)."""
        if self.pending is None:
            raise Rejected(NOT_PENDING)
        if self.pending.owner != user:
            # no recorded session shows the words for this one
            raise Rejected(f"%Rollback Confirmed Change is pending for user {self.pending.owner}")
        return self.pending

    def confirm(self, user: str) -> None:
        pending = self._mine(user)
        if self.misbehaviour.forgets_confirm:
            return
        pending.stop()
        self.pending = None
        self.log(f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_CONFIRM: User: {user}: Confirm the configuration change")

    def revert_now(self, user: str) -> str:
        pending = self._mine(user)
        self.log(f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_CANCEL: User: {user}: Cancel the timer and rollback immediately")
        return self._roll_back(pending)

    def reset_timer(self, user: str, minutes: int) -> None:
        pending = self._mine(user)
        pending.minutes, pending.since = minutes, self.now()
        self._start(pending)


def _kept(old: AccessList | None, new: AccessList) -> AccessList:
    if old is None or old.standard != new.standard:
        return new
    if old.body() == new.body():
        return old
    wanted = [line.ace for line in new.lines]
    stay = [line for line in old.lines if line.ace in wanted]
    if [line.ace for line in stay] != wanted:
        return new
    for line, fresh in zip(stay, new.lines, strict=True):
        line.remarks = fresh.remarks
    return AccessList(new.name, new.standard, stay, new.waiting, new.to_the_end)
