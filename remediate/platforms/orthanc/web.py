"""Users and passwords for Orthanc's web side, and what its files already say about them. Pure.

Only the switch is ours. Who may log in stands in RegisteredUsers, in clear, and is entered there by hand: no password
passes through this program. Without any, Orthanc 1.10.1 makes a user of its own with a password that everybody knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from remediate.errors import Unprovable
from remediate.model.rule import Setting, WebLoginIntent
from remediate.platforms.archive.files import Files
from remediate.platforms.orthanc import switches
from remediate.platforms.orthanc.document import Document

ENABLED, REMOTE, USERS = "AuthenticationEnabled", "RemoteAccessAllowed", "RegisteredUsers"
OURS = (ENABLED,)
KEYS = frozenset({ENABLED, REMOTE})
#: What Orthanc falls back to, and what its documentation and images register; a user's own name is no password either.
_KNOWN = {("orthanc", "orthanc"), ("alice", "alicePassword"), ("bob", "bobPassword"), ("demo", "demo")}
_NOBODY = (
    f"no user is registered there ({USERS}), and Orthanc would make one whose password everybody knows: enter users "
    "and passwords of your own by hand, in a file that only its user can read"
)
_WELL_KNOWN = (
    f"a user in {USERS} has a password that everybody knows (Orthanc's default, an example of its documentation, or "
    "the name itself): change it there by hand"
)


def settings(intent: WebLoginIntent) -> tuple[Setting, ...]:  # noqa: ARG001 -- the same for all
    return switches.settings({ENABLED: True})


def found(document: Document) -> tuple[Setting, ...]:
    return switches.found(document, OURS)


def without(document: Document) -> Document:
    return switches.without(document, OURS)


def patch(document: Document, wanted: Iterable[Setting]) -> dict[str, Any]:
    return switches.patch(document, OURS, wanted)


def lock_outs(document: Document, intent: WebLoginIntent) -> tuple[str, ...]:  # noqa: ARG001 -- unfit() says so
    return ()


def remarks(document: Document, intent: WebLoginIntent) -> tuple[str, ...]:  # noqa: ARG001 -- the same for all
    said = []
    if document.get((REMOTE,)) != "true":
        said.append(f"{REMOTE} is not true there: only the archive's own host is served, with a password or without")
    if document.get(("SslEnabled",)) != "true":
        said.append("passwords pass in clear there: put HTTPS in front of it, or let only a trusted network reach it")
    return tuple(said)


def unfit(files: Files, command: str) -> tuple[str, ...]:
    """Why nobody, or everybody, could log in. Names neither user nor password."""
    texts = [files.text]
    if _reads_folder(files.path, command):
        texts += files.beside.values()
    users: dict[str, Any] = {}
    for text in texts:
        try:
            registered = json.loads(Document(text).get((USERS,)) or "{}")
        except Unprovable:
            continue  # said of that file elsewhere
        users |= registered if isinstance(registered, dict) else {}
    if not users:
        return (_NOBODY,)
    return (_WELL_KNOWN,) if any(_known(name, password) for name, password in users.items()) else ()


def _known(name: str, password: object) -> bool:
    return (name, password) in _KNOWN or password in ("", name)


def _reads_folder(path: str, command: str) -> bool:
    """Whether Orthanc was started with the folder of its files, and not with the one file."""
    folder = PurePosixPath(path).parent
    return any(word.startswith("/") and PurePosixPath(word) == folder for word in command.split())
