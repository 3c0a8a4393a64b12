"""One session with the host of an Orthanc: the file is swapped, Orthanc restarted, and the old file kept at hand."""

from __future__ import annotations

import shlex
from datetime import timedelta

from remediate.errors import CommandRejected, Unprovable
from remediate.model.change import Candidate, Diff, Pending, Token
from remediate.model.site import Device
from remediate.platforms import PushState, deadman
from remediate.platforms.orthanc import scripts
from remediate.platforms.orthanc.document import Document, parsed_patch
from remediate.platforms.orthanc.secrets import masked
from remediate.platforms.session import Session

#: Seconds that a stop and a start may take on a slow machine with a large index.
_RESTART_TAKES = 90.0


class OrthancFile:
    def __init__(self, device: Device, session: Session) -> None:
        assert device.config is not None  # the inventory makes no device of an archive without it
        self._device = device
        self._config = device.config
        self._session = session
        self._deadman = deadman.DeadMan(device.name, session, loaded_at_boot=True, takes=_RESTART_TAKES)
        self._candidate: Candidate | None = None

    def preflight(self) -> tuple[str, ...]:
        found = self._deadman.must(scripts.FACTS, "could not be looked at", self._config.path, *self._ports()).out
        facts = dict(line.partition("=")[::2] for line in found.splitlines())
        lacks = []
        if facts.get("uid") != "0":
            lacks.append("not root: log in as root, or let this user run sudo without a password")
        if not facts.get("timer"):
            lacks.append("no revert timer: install util-linux (setsid) or run systemd")
        if facts.get("state") != "writable":
            lacks.append(f"{deadman.STATE} cannot be written: the revert timer keeps its files there")
        if facts.get("file") != "readable":
            lacks.append(f"no file {self._config.path} there (config.file)")
        if not facts.get("ss"):
            lacks.append("no ss: install iproute2; it shows when the archive listens again")
        elif facts.get("listens") != "yes":
            lacks.append(f"nothing listens on port {', '.join(self._ports())}: a restart could not be seen to work")
        return tuple(lacks)

    def running_config(self) -> str:
        """The file, with the secrets in it masked."""
        return masked(self._read())

    def objections(self, text: str) -> str:
        try:
            Document(self._read()).merged(parsed_patch(text))
        except Unprovable as error:
            return error.what
        return ""

    def load_merge_candidate(self, candidate: Candidate) -> None:
        old = self._read()
        try:
            new = Document(old).merged(parsed_patch(candidate.text)).text
        except Unprovable as error:
            raise CommandRejected(
                "the configuration cannot be made from the file; nothing was loaded",
                words=error.what,
                where=self._device.name,
                next="mend the file, and plan again",
            ) from error
        file, restart = shlex.quote(self._config.path), self._config.restart
        self._deadman.stage(
            {
                "old.json": old,
                "new.json": new,
                "restart.sh": restart + "\n",
                "common.sh": scripts.common(file, self._ports()),
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
        """The file that is in force is the one that is read at boot."""
        return self._config.path

    def forget(self, token: Token) -> None:
        self._deadman.forget(token)

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()

    def _read(self) -> str:
        return self._deadman.must(scripts.READ, "does not show its configuration", self._config.path).out

    def _ports(self) -> tuple[str, ...]:
        return tuple(map(str, self._config.ports))
