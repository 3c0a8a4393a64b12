"""One rooted tree of errors. Each says what happened, where, and what to do next.

Foreign exceptions (netmiko, asyncssh, SQLAlchemy, pydantic …) are translated into this tree at the one
seam where they arise, and raised ``from`` their cause. The command line prints an error of this tree as
one message and exits with its ``exit_status``; anything else that reaches it is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_OK = 0
EXIT_EXPOSED = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_ROLLED_BACK = 4
EXIT_NEEDS_HANDS = 5
EXIT_INTERRUPTED = 130


class RemediateError(Exception):
    """The root. ``what`` happened, ``where`` (file, host, device, address), what to do ``next``."""

    exit_status = EXIT_USAGE

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next = next

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  next: {self.next}" if self.next else text

    def __reduce__(self) -> tuple[object, ...]:
        """As it is, on its way from another process; without, Python would make it anew of its text alone."""
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[RemediateError], args: tuple[object, ...], fields: dict[str, object]) -> RemediateError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


# -- what the user wrote ------------------------------------------------------------------------------


class UsageError(RemediateError):
    """A command, option or argument that cannot be carried out as given."""


class FileProblems(RemediateError):
    """All that is wrong with a set of files, at once; each problem is one line that names its place."""

    def __init__(self, what: str, problems: Sequence[str], *, where: str = "", next: str = "") -> None:
        super().__init__(what, where=where, next=next)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        lines = [head, *(f"  - {problem}" for problem in self.problems)]
        if self.next:
            lines.append(f"  next: {self.next}")
        return "\n".join(lines)


class InventoryError(FileProblems):
    """The inventory cannot be used as written."""


class PlaybookError(FileProblems):
    """The playbook cannot be used as written."""


class TemplateError(RemediateError):
    """A template is missing, does not render, or renders what cannot be proved."""


class Unprovable(TemplateError):
    """A rendered text that holds something its platform's parser does not know. ``text``: all of it."""

    def __init__(self, what: str, *, text: str = "", where: str = "", next: str = "") -> None:
        super().__init__(what, where=where, next=next)
        self.text = text


class PlanError(RemediateError):
    """No safe plan can be made, or the plan no longer fits what it was made for."""


# -- asking -------------------------------------------------------------------------------------------


class ScopeError(RemediateError):
    """A packet would have gone to an address that the inventory does not name. It was not sent."""


class Inconclusive(RemediateError):
    """Something that had to be known could not be asked."""

    exit_status = EXIT_INCONCLUSIVE


class VantageError(Inconclusive):
    """A vantage could not be used: it says nothing about any PACS."""


class DeadlineExceeded(Inconclusive):
    """A step did not finish in the time that it had."""


# -- devices ------------------------------------------------------------------------------------------


class DeviceError(RemediateError):
    """A device could not be used, or refused what it was told. ``where`` is the device's name."""

    exit_status = EXIT_INCONCLUSIVE


class DeviceUnreachable(DeviceError):
    """No session with the device: no route, refused, timed out, dropped."""


class AuthenticationFailed(DeviceError):
    """The device answered and did not let us in."""


class HostKeyError(DeviceError):
    """An SSH host key is unknown or has changed. Nothing was sent to that host."""


class AnotherUnit(DeviceError):
    """Under a pair's address the other unit answers now. Nothing was pushed, confirmed or taken back on it."""


class CommandRejected(DeviceError):
    """The device refused a command or a configuration. ``words`` are the device's own."""

    exit_status = EXIT_USAGE

    def __init__(self, what: str, *, words: str, where: str = "", next: str = "") -> None:
        super().__init__(f"{what}\n  the device says: {words.strip()}", where=where, next=next)
        self.words = words


class DriftError(DeviceError):
    """The device's configuration is not the one that the plan was made for."""


class NotInForce(DriftError):
    """What was pushed and confirmed is no longer there: the device has started anew, or somebody took it away."""


class PendingChange(DeviceError):
    """The device has a provisional change that is not ours to touch. ``seconds_left``: until it ends by itself."""

    def __init__(self, what: str, *, seconds_left: float = 0.0, where: str = "", next: str = "") -> None:
        super().__init__(what, where=where, next=next)
        self.seconds_left = seconds_left


# -- the change ---------------------------------------------------------------------------------------


class RecordError(RemediateError):
    """The change record cannot be opened, written or verified."""


class SignatureError(RemediateError):
    """Something could not be signed, or a signature does not count."""


class Locked(RemediateError):
    """Another change holds the device."""

    exit_status = EXIT_INCONCLUSIVE


class OutsideWindow(RemediateError):
    """The change window is closed, or closes too soon. Nothing was pushed."""

    exit_status = EXIT_INCONCLUSIVE


class NotApproved(RemediateError):
    """The plan needs a second person's approval, and has none that counts. Nothing was asked or changed."""


class CarePathBroken(RemediateError):
    """A peer was not served before anything was changed."""

    exit_status = EXIT_EXPOSED


class PeersCut(RemediateError):
    """Somebody uses the archive now whom the change would cut off, and whom `access` does not name."""

    exit_status = EXIT_EXPOSED


class PeersNotSeen(RemediateError):
    """That some peers stay served would be proved by simulation alone, and nobody has accepted that by name."""

    exit_status = EXIT_INCONCLUSIVE


class NotAsConfirmed(RemediateError):
    """What an earlier wave confirmed is not so any more. It stays confirmed; nothing more is begun."""

    exit_status = EXIT_EXPOSED


class HookFailed(RemediateError):
    """A step of people's own around a push failed. It undoes nothing that is confirmed."""

    exit_status = EXIT_INCONCLUSIVE


class VerificationFailed(RemediateError):
    """After the push something is not as it must be, or is unknown."""

    exit_status = EXIT_ROLLED_BACK


class NotKnown(VerificationFailed):
    """After the push something is unknown, and nothing is known to be wrong."""


class NeedsHands(RemediateError):
    """This program could neither confirm nor undo: a person must act on the device."""

    exit_status = EXIT_NEEDS_HANDS


class Interrupted(RemediateError):
    """The operator stopped the program (Ctrl-C, SIGTERM)."""

    exit_status = EXIT_INTERRUPTED
