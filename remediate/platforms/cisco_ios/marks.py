"""The marker: a list of remarks that is bound to nothing, and says which push is on the device, whose, and of what.

IOS takes at most 100 characters in a remark. What somebody else typed there is foreign text: it is only compared.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import socket
from functools import cache
from typing import NamedTuple

from remediate.model.change import Candidate, Token
from remediate.platforms.cisco_ios.config import MARKER

LONGEST_REMARK = 100
#: A confirmed push is taken back by a push of its own, whose token ends so.
UNDO = ".undo"
#: Of the lines of a configuration, those that ``read`` needs; for ``| include``.
PATTERN = "remark remediate (push|owner|digest|armed)"
_DIGITS = 16


class Timer(NamedTuple):
    """``at``: when it was set, in the device's own words."""

    at: str
    minutes: int
    user: str

    @property
    def identity(self) -> str:
        return f"{self.minutes} min {self.at}"


class Marker(NamedTuple):
    """``timer``: the identity of the timer that it was pushed under; "" until the candidate itself is typed.

    ``owner``: who pushed, and from which machine. ``digest``: of the candidate's text, or of its inverse.
    """

    token: Token
    timer: str
    owner: str = ""
    digest: str = ""

    def of(self, timer: Timer) -> bool:
        """Whether it was pushed under that timer."""
        return self.timer in (timer.identity, "")

    @property
    def words(self) -> str:
        return f"{self.token}{f' of {self.owner}' if self.owner else ''}"


def read(shown: str) -> Marker | None:
    """From the remarks of a configuration."""
    token = re.search(r"remark remediate push (\S+)", shown)
    if token is None:
        return None
    owner = re.search(r"remark remediate owner (\S+)", shown)
    digest = re.search(r"remark remediate digest (\S+)", shown)
    at = re.search(r"remark remediate armed (.+?)\s*$", shown, re.MULTILINE)
    return Marker(Token(token[1]), at[1] if at else "", owner[1] if owner else "", digest[1] if digest else "")


def fits(token: Token) -> bool:
    """Whether a push of that token can be marked, and its undoing."""
    return len(f"remediate push {token}{UNDO}") <= LONGEST_REMARK


def lines(token: Token, text: str, *, replaced: bool) -> list[str]:
    """To be typed before anything of ``text`` is. ``replaced``: there is a marker from before."""
    return [
        *([f"no ip access-list extended {MARKER}"] if replaced else []),
        f"ip access-list extended {MARKER}",
        f"remark remediate push {token}",
        f"remark remediate owner {_owner()}",
        f"remark remediate digest {digest(text)}",
    ]


def armed(timer: Timer) -> list[str]:
    return [f"ip access-list extended {MARKER}", f"remark remediate armed {timer.identity}"]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def is_of(marker: Marker, candidate: Candidate) -> bool:
    """Whether what is marked is that candidate; markers of earlier versions do not say of what they are."""
    return marker.digest in ("", digest(candidate.text))


@cache
def _owner() -> str:
    """user@host, in characters that a remark keeps."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return re.sub(r"[^A-Za-z0-9_.@-]", "-", f"{user}@{socket.gethostname()}")[: LONGEST_REMARK - 20]
