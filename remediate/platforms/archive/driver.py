"""One session with the host of an archive: its file, its restart, and the way back to what it ran before.

As on a network device, what runs and what is read at the next start are two things. A push swaps the file, restarts
the archive and puts the old file back; only ``save`` leaves the new one in place. So a change that is not confirmed
does not outlive a restart of the host, where the revert timer would not run on. An archive that looks at its file
all the time has no such two things: there the new file stays in place at once, and a change that is not confirmed is
stuck once the host was restarted.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from remediate.errors import CommandRejected, Unprovable
from remediate.model.change import Candidate, Diff, Pending, Token, Unit
from remediate.model.device import Device
from remediate.model.peers import LivePeers
from remediate.model.rule import ArchiveIntent
from remediate.model.site import IPAddress
from remediate.model.traces import Traces
from remediate.platforms import Pace, PushState, deadman, unit
from remediate.platforms.archive import certificates, connections, directory, scripts
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.session import Session

if TYPE_CHECKING:
    from remediate.platforms.archive import Product

#: Seconds that a stop and a start may take on a slow machine with a large index, associations ended before.
_RESTART_TAKES = 85.0
#: The control whose files are looked at before anything is changed.
TLS_ONLY = "tls_only"


class ArchiveFile:
    def __init__(self, device: Device, session: Session, product: Product) -> None:
        assert device.config is not None  # the inventory makes no device of an archive without it
        self._device = device
        self._config = device.config
        self._session = session
        self._product = product
        self._read_it = directory.search(*product.shown) if product.shown else scripts.READ_FILE
        outlasts = product.in_force is InForce.CHANGE
        self._deadman = deadman.DeadMan(
            device.name, session, subject=self._config.path, takes=_RESTART_TAKES, outlasts_boot=outlasts
        )
        self._candidate: Candidate | None = None

    def preflight(self, controls: Collection[str] = ()) -> tuple[str, ...]:
        ports = tuple(map(str, self._config.ports))
        found = self._deadman.must(
            scripts.facts(self._read_it), "could not be looked at", self._config.path, *ports
        ).out
        facts = dict(line.partition("=")[::2] for line in found.splitlines())
        lacks = deadman.lacks(facts)
        if facts.get("file") != "readable":
            lacks.append(
                f"ldapsearch does not show root the entry {self._config.path} there (config.ldap)"
                if self._product.shown
                else f"no file {self._config.path} there (config.file)"
            )
        else:
            lacks += self._product.unfit(self._files(), facts.get("command", ""), controls)
            lacks += self._tried()
            if TLS_ONLY in controls or (self._config.fronts and self._config.tls is not None):
                lacks += self._certificates()
        if not facts.get("ss"):
            lacks.append("no ss: install iproute2; it shows when the archive listens again")
        elif facts.get("listens") != "yes":
            nobody = f"nothing listens on port {', '.join(ports)}: a restart could not be seen to work"
            lacks.append(f"{nobody}; a front must answer before it can refuse" if self._config.fronts else nobody)
        else:
            lacks += self._product.lacks(facts.get("command", ""))
        return tuple(lacks)

    def unit(self) -> Unit:
        return unit.of_linux(self._session)

    def pace(self) -> Pace:
        return Pace()  # a candidate is loaded as one file

    def running_config(self) -> str:
        """What the archive was started with, the secrets in it masked."""
        script = scripts.running(self._read_it)
        return self._masked(self._deadman.must(script, "does not show its configuration", self._config.path).out)

    def _masked(self, text: str) -> str:
        try:
            return self._product.masked(text)
        except Unprovable as error:
            error.where = f"{self._config.path} on {self._device.name}"
            raise

    def objections(self, text: str) -> str:
        try:
            self._product.patched(self._product.parsed(self._read()), text)
        except Unprovable as error:
            return error.what
        return ""

    def load_merge_candidate(self, candidate: Candidate, token: Token) -> None:
        old = self._read()
        try:
            now = self._product.parsed(old)
            then = self._product.patched(now, candidate.text)
            new = then.text
            back = self._product.patched(self._product.parsed(new), candidate.inverse).text
        except Unprovable as error:
            raise CommandRejected(
                "the configuration cannot be made from the file; nothing was loaded",
                words=error.what,
                where=self._device.name,
                next="mend the file, and plan again",
            ) from error
        if self._product.foreign(self._product.parsed(back)) != self._product.foreign(self._product.parsed(old)):
            raise CommandRejected(
                "the inverse does not give the file back; nothing was loaded",
                words="something that is not ours would be lost",
                where=self._device.name,
                next="plan again",
            )
        outlasts = self._product.in_force is InForce.CHANGE
        self._deadman.stage(
            token,
            {
                "old": old,
                "new": new,
                "restart.sh": self._config.restart + "\n",
                "common.sh": self._common(candidate),
                **({"old.ldif": now.ldif(then), "new.ldif": then.ldif(now)} if self._product.shown else {}),
                "load.sh": scripts.LOAD,
                "undo.sh": scripts.UNDO,
                "save.sh": scripts.SAVE_ONE,
                "in_force.sh": scripts.IN_FORCE,
                **({} if outlasts else {"after_boot.sh": scripts.AFTER_BOOT, "unsaved": ""}),
            },
            scripts.CHECK + (self._product.trial.check if self._product.trial else ""),
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
        """Raises CommandRejected too where somebody has changed the file since it was read."""
        self._deadman.save(token, scripts.SAVE)
        return self._config.path

    def boot_config(self) -> str:
        """What the archive's next start reads, the secrets in it masked."""
        return self._masked(self._read())

    def forget(self, token: Token) -> None:
        self._deadman.forget(token)

    def live_peers(self, addresses: Collection[IPAddress], ports: Collection[int]) -> LivePeers:  # noqa: ARG002 -- here
        lines = self._deadman.must(scripts.PEERS, "does not show its connections", *map(str, sorted(ports))).out
        try:
            found = [connections.read(line) for line in lines.splitlines() if line.strip()]
        except ValueError as error:
            return LivePeers(cannot=f"what ss shows there cannot be read: {error}")
        return LivePeers(connections=tuple(one for one in found if one is not None), how="its open connections")

    def evidence(self, addresses: Collection[IPAddress], ports: Collection[int]) -> Traces:  # noqa: ARG002 -- nothing
        return Traces(lacks=("its log, which may name patients, is not read",))

    def abort(self) -> None:
        self._session.abort()

    def close(self) -> None:
        self._session.close()

    def _common(self, candidate: Candidate) -> str:
        config = self._config
        if self._product.shown:
            attribute = self._product.shown.written
            return directory.functions(shlex.quote(config.path), self._read_it, attribute, config.ports)
        if self._product.in_force is InForce.CHANGE:
            return scripts.by_itself(shlex.quote(config.path), config.ports)
        ways_back = [
            (way.address, way.port)
            for section in candidate.sections
            if isinstance(section.intent, ArchiveIntent)
            for way in section.intent.ways_back
        ]
        if self._product.in_force is InForce.RELOAD:  # what is open there goes on
            return scripts.common(shlex.quote(config.path), config.ports, (), (), reload=True)
        return scripts.common(shlex.quote(config.path), config.ports, config.dicom_ports, ways_back)

    def _read(self, path: str | None = None) -> str:
        script = scripts.READ if path else scripts.reading(self._read_it)
        return self._deadman.must(script, "does not show its configuration", path or self._config.path).out

    def _files(self) -> Files:
        names: list[str] = []
        if self._product.siblings:
            names = self._deadman.run(scripts.SIBLINGS, self._config.path, self._product.siblings).out.splitlines()
        return Files(self._config.path, self._read(), {name: self._read(name) for name in names})

    def _tried(self) -> tuple[str, ...]:
        trial = self._product.trial
        if trial is None or not trial.asks:
            return ()
        said = self._deadman.run(deadman.HEAD + trial.asks, self._config.path, *trial.given(self._config))
        return trial.told(self._config, said.out)

    def _certificates(self) -> tuple[str, ...]:
        """What is wrong with the files that TLS needs; of the private key only the public half leaves the host."""
        if self._config.tls is None:
            return ("config.tls is not in the inventory: it names the certificate, its key, and whom to trust",)
        tls = self._config.tls
        public = self._deadman.run(scripts.PUBLIC_KEY, tls.key)
        return certificates.faults(
            tls,
            certificate=self._text(tls.certificate),
            public_key="" if public.status else public.out,
            trusted=self._text(tls.trusted) if tls.trusted is not None else None,
            now=datetime.now(UTC),
        )

    def _text(self, path: str) -> str:
        """ "" for a file that is not there."""
        found = self._deadman.run(scripts.READ, path)
        return "" if found.status else found.out
