"""stunnel, which speaks TLS in the place of an archive that does not: its services, edited in their file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from remediate.errors import Unprovable
from remediate.model.base import canonical
from remediate.model.change import Capabilities
from remediate.model.rule import ArchiveIntent, Setting, TlsIntent
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.stunnel import dangers
from remediate.platforms.stunnel.document import Document

CONTROL = "tls_only"
CERTIFICATE, KEY, TRUSTED, CHAIN, REQUIRED, MINIMUM = (
    "cert",
    "key",
    "CAfile",
    "verifyChain",
    "requireCert",
    "sslVersionMin",
)
OURS = (CERTIFICATE, KEY, TRUSTED, CHAIN, REQUIRED, MINIMUM)
_NAMES = frozenset(name.lower() for name in OURS)
#: Lines whose value is a secret.
_SECRET = re.compile(
    r"^([ \t;#]*(?:ticketKeySecret|ticketMacSecret|protocolPassword)[ \t]*=[ \t]*)[^\r\n]*",
    re.IGNORECASE | re.MULTILINE,
)
_IN_URL = re.compile(r"://[^/\s@]*@")
#: stunnel makes every service ready, and looks into its certificates, before it comes to an option that there is not.
_CHECK = """
( cat new; printf '\\n[remediate]\\nremediate = check\\n' ) > trial.conf
stunnel "$PWD/trial.conf" > said 2>&1 && { echo "it did not end" >&2; exit 8; }
rm -f trial.conf
grep -q '"remediate = check"' said && exit
grep -F '[!]' said | grep -v -e 'error queue' -e 'No trusted certificates' | head -n 3 >&2; exit 8
"""


class Stunnel:
    name = "stunnel"
    siblings = ".conf"
    intents: tuple[type[ArchiveIntent], ...] = (TlsIntent,)
    in_force = InForce.RESTART
    shown: Shown | None = None
    trial: Trial | None = Trial(check=_CHECK)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),  # a push that waits for associations and fails to restart takes 100 s
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="stunnel is restarted once more: its ports are closed meanwhile, associations through it end",
        down=timedelta(seconds=1),
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
        leaves_open={
            CONTROL: (
                "the archive's own port in clear is not the front's to close: inside it goes on serving whoever asks, "
                "and only acl, vpn_only or unpublish keep the outside from it; the archive sees the front's address in "
                "place of a peer's"
            )
        },
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return _IN_URL.sub("://********@", _SECRET.sub(r"\1********", text))

    def patched(self, document: Document, text: str) -> Document:
        for port, options in parsed_patch(text).items():
            if not port.isdecimal() or not isinstance(options, dict):
                raise Unprovable(f"the patch names {port}, which is no port", next="mend the template")
            for name, value in options.items():
                if name not in OURS or not (value is None or isinstance(value, str)) or "\n" in (value or ""):
                    raise Unprovable(f"{name} of the patch is no option of ours", next="mend the template")
                document = document.with_option(int(port), name, value)
        return document

    def settings(self, intent: TlsIntent) -> tuple[Setting, ...]:
        values = {
            CERTIFICATE: intent.certificate,
            KEY: intent.key,
            TRUSTED: intent.trusted,
            CHAIN: "yes",
            REQUIRED: "yes",
            MINIMUM: "TLSv1.2",
        }
        made = [Setting(key=(str(port), n), value=canonical(v)) for port in intent.ports for n, v in values.items()]
        return tuple(sorted(made, key=lambda one: one.key))

    def found(self, document: Document) -> Mapping[str, tuple[Setting, ...]]:
        ports = {port for service in document.services for port in service.ports}
        values = {(str(port), name): document.get(port, name) for port in ports for name in OURS}
        made = [Setting(key=key, value=canonical(value)) for key, value in values.items() if value is not None]
        return {CONTROL: tuple(sorted(made, key=lambda one: one.key))} if made else {}

    def foreign(self, document: Document) -> str:
        return document.foreign(_NAMES)

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        now, then = ({s.key: s.value for s in some} for some in (self.found(document).get(control, ()), wanted))
        made: dict[str, Any] = {}
        for port, name in sorted(now.keys() | then.keys()):
            old, new = now.get((port, name)), then.get((port, name))
            if old != new:
                made.setdefault(port, {})[name] = None if new is None else json.loads(new)
        return made

    def lock_outs(self, document: Document, intent: TlsIntent) -> tuple[str, ...]:
        return dangers.lock_outs(document, intent, OURS)

    def remarks(self, document: Document, intent: TlsIntent) -> tuple[str, ...]:
        return dangers.remarks(document, intent)

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- one control
        """Each file in the folder may be a stunnel of its own, with the same port on another address."""
        said = [one for name, text in files.beside.items() if (one := _elsewhere(files.text, name, text))]
        if command and not _started_with(command, files.path):
            said.append(f"what listens there is not stunnel with {files.path} (config.file), but: {command.strip()}")
        return tuple(said)

    def lacks(self, command: str) -> tuple[str, ...]:  # noqa: ARG002 -- all that matters to it stands in its file
        return ()


def _elsewhere(text: str, name: str, other: str) -> str:
    try:
        mine, theirs = ({p for service in Document(one).services for p in service.ports} for one in (text, other))
    except Unprovable as error:
        return f"{name} beside it cannot be read: {error.what}"
    both = ", ".join(map(str, sorted(mine & theirs)))
    return f"{name} beside it accepts on port {both} too: of two services one would go on as it is" if both else ""


def _started_with(command: str, path: str) -> bool:
    words = command.split()
    named = words[-1] if len(words) > 1 else "/etc/stunnel/stunnel.conf"
    same = named == path if named.startswith("/") else PurePosixPath(named).name == PurePosixPath(path).name
    return bool(re.fullmatch(r"stunnel[0-9]?", PurePosixPath(words[0]).name)) and same


SPEC = ArchiveSpec(Stunnel())
