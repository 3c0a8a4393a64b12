"""Network operating systems: how each loads, compares, commits with a revert timer, confirms and rolls back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from remediate.errors import PlanError
from remediate.model.change import Candidate, Capabilities, Diff, Pending, Token, Unit
from remediate.model.device import Device, Login
from remediate.model.peers import LivePeers
from remediate.model.rule import ArchiveIntent, Intent, UnpublishIntent
from remediate.model.site import IPAddress
from remediate.model.traces import Traces

#: name in the inventory → module; the module's ``SPEC`` is the platform.
PLATFORMS = {
    "cisco_ios": "remediate.platforms.cisco_ios",
    "conquest": "remediate.platforms.conquest",
    "dcm4chee_arc": "remediate.platforms.dcm4chee_arc",
    "dcmqrscp": "remediate.platforms.dcmqrscp",
    "linux_nftables": "remediate.platforms.linux_nftables",
    "nginx": "remediate.platforms.nginx",
    "orthanc": "remediate.platforms.orthanc",
    "stunnel": "remediate.platforms.stunnel",
    "vsftpd": "remediate.platforms.vsftpd",
}


class Platform(Protocol):
    """One open session with one device: NAPALM's verbs, and no way to say a plain commit.

    Every verb raises an error of the DeviceError family; CommandRejected carries the device's own words.
    """

    def preflight(self, controls: Collection[str] = ()) -> tuple[str, ...]:
        """What this device lacks for a safe change by these controls, each a line with advice; () for nothing."""
        ...

    def unit(self) -> Unit:
        """Who answers. Of a device that has no ``ha`` only the host key is known."""
        ...

    def running_config(self) -> str: ...

    def pace(self) -> Pace:
        """What this session has measured; best asked after ``preflight`` and ``running_config``."""
        ...

    def objections(self, text: str) -> str:
        """What the device itself says against a text that is not to be loaded; "" where it has nothing to say."""
        ...

    def load_merge_candidate(self, candidate: Candidate, token: Token) -> None:
        """Stage the candidate and its inverse under the token of the push that will load them, and have the device
        itself check both. Nothing is in force yet. Raises PendingChange while another push on it has not ended.
        """
        ...

    def compare_config(self) -> Diff: ...

    def discard_config(self) -> None: ...

    def commit_config(self, *, token: Token, revert_in: timedelta, message: str) -> None:
        """Arm the device's revert timer and load what was staged under that token: provisional until
        ``confirm_commit``. Raises PendingChange where somebody else has staged or armed since: nothing is loaded then.
        """
        ...

    def pending(self) -> Pending | None:
        """The provisional change on the device, if there is one."""
        ...

    def state_of(self, token: Token) -> PushState: ...

    def confirm_commit(self, token: Token) -> None: ...

    def rollback(self, token: Token, made: Candidate) -> None:
        """Take a push back now, be it provisional or confirmed. ``made``: what was pushed, with its inverse.

        Raises PendingChange where a timer must end first that may be this push's, and nothing proves it.
        """
        ...

    def save(self, token: Token) -> str:
        """Make what that push has confirmed outlast a restart; returns what will load it then, for the record.

        Raises CommandRejected where it is not in force any more, PendingChange while another push is provisional.
        """
        ...

    def boot_config(self) -> str:
        """What will be loaded at the next boot, read back from the device, as far as our sections go in the form of
        ``running_config``; without them where nothing would load them.
        """
        ...

    def forget(self, token: Token) -> None:
        """Remove what the device keeps of a push that is over."""
        ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def live_peers(self, addresses: Collection[IPAddress], ports: Collection[int]) -> LivePeers:
        """Who is connected to those services now; only looked at. ``ports``: the archive's own."""
        ...

    def evidence(self, addresses: Collection[IPAddress], ports: Collection[int]) -> Traces:
        """Who came there until now, as counters, logs and translations tell; only looked at.

        ``addresses``: before any translation and behind it. What cannot be read is said in it.
        """
        ...


class Pace(NamedTuple):
    """How fast a device answers, as its session went so far: seconds for one typed line, and for one reading of its
    configuration. 0 where nothing is typed line by line.
    """

    line: float = 0.0
    reading: float = 0.0


class PushState(NamedTuple):
    """What a device knows of one push.

    ``armed``: provisional, and its timer runs. ``confirmed``. ``reverted``: by the timer, a rollback or a restart.
    ``absent``: never made, or forgotten. ``stuck``: the device tried to take it back and could not.
    ``arming``: a timer runs that was set in our name, and nothing says by which push: it must end before all else.
    ``down``: seconds for which loading it, or taking it back, whichever was last, kept a service from answering; None
    where it does not say. ``restarted``: the device has started anew since the push, so what is ``confirmed`` is in
    force only where it is loaded at boot. ``why``: of a ``stuck`` one the device's own words, "" where it has none.
    """

    name: str
    seconds_left: float = 0
    down: float | None = None
    restarted: bool = False
    why: str = ""


ARMED, CONFIRMED, REVERTED, ABSENT, STUCK = "armed", "confirmed", "reverted", "absent", "stuck"
ARMING = "arming"


class FilterState(Protocol):
    """What a running configuration says, in two parts.

    ``sections``: our own entries, by the name of their section. ``foreign``: everything else, as text that must
    never change but as a candidate says. ``text``: all of it, where that is what its administrator would compare;
    None where only the sections are shown.
    """

    @property
    def sections(self) -> Mapping[str, tuple[Any, ...]]: ...

    @property
    def text(self) -> str | None: ...

    @property
    def foreign(self) -> str: ...


class PlatformSpec(Protocol):
    """What is known of a platform without a session; pure but for ``connect`` and ``try_login``.

    The entries of a packet filter are Rules, made from an Intent; those of its port forwards Unpublished, made from an
    UnpublishIntent; those of an archive Settings, made from an ArchiveIntent. Each platform knows those that it names,
    and controls bring it no other.
    """

    name: str
    capabilities: Capabilities
    #: The intents that it can carry out.
    intents: tuple[type[Intent | UnpublishIntent | ArchiveIntent], ...]

    def expressed(self, intent: Any) -> tuple[Any, ...]:
        """The entries that carry an intent out there, as ``read`` would show them. Raises PlanError where it cannot."""
        ...

    def objections(self, state: Any, intents: Sequence[Any]) -> tuple[str, ...]:
        """Why the intents must not be carried out on that configuration: whom it would lock out; () where it may."""
        ...

    def remarks(self, state: Any, intents: Sequence[Any]) -> tuple[str, ...]:
        """What whoever approves the plan must know of that configuration: whom it goes on letting in."""
        ...

    def read(self, device: Device, running: str) -> FilterState: ...

    def context(self, device: Device, state: Any, printed: Mapping[str, tuple[Any, ...] | None]) -> dict[str, Any]:
        """What a template must know besides the sections that it prints (None: the section goes away)."""
        ...

    def simulate(self, device: Device, state: Any, text: str) -> FilterState:
        """The state once a rendered text is loaded. Raises Unprovable for what it does not know in that text."""
        ...

    def prove(self, device: Device, before: Any, after: Any, intents: Sequence[Any]) -> tuple[str, ...]:
        """With what ``after`` does other than the intents, or other than before; () is a proof."""
        ...

    def connect(self, device: Device, login: Login) -> Platform: ...

    def try_login(self, device: Device, login: Login) -> Unit:
        """A second, fresh login beside the working session; who answered."""
        ...


def platform(name: str) -> PlatformSpec:
    if name not in PLATFORMS:
        raise PlanError(f"unknown platform {name!r}", next=f"use one of: {', '.join(PLATFORMS)}")
    spec: PlatformSpec = import_module(PLATFORMS[name]).SPEC
    return spec
