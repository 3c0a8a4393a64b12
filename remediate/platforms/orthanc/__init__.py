"""Orthanc: a JSON file with comments, edited in place; each control has a module that says what it sets there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from remediate.errors import Unprovable
from remediate.model.change import Capabilities
from remediate.model.rule import ArchiveIntent, CallerIntent, Setting, TlsIntent, WebLoginIntent
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.orthanc import settings, tls, web
from remediate.platforms.orthanc.document import Document
from remediate.platforms.orthanc.secrets import masked


class Part(Protocol):
    """What one control sets, as a module. ``KEYS``: members of the document that it sets or goes by."""

    KEYS: frozenset[str]

    def settings(self, intent: Any) -> tuple[Setting, ...]: ...

    def found(self, document: Document) -> tuple[Setting, ...]: ...

    def without(self, document: Document) -> Document: ...

    def patch(self, document: Document, wanted: Iterable[Setting]) -> dict[str, Any]: ...

    def lock_outs(self, document: Document, intent: Any) -> tuple[str, ...]: ...

    def remarks(self, document: Document, intent: Any) -> tuple[str, ...]: ...


#: By control.
PARTS: Mapping[str, Part] = {"ae_title": settings, "tls_only": tls, "web_auth": web}


class Orthanc:
    name = "orthanc"
    siblings = ".json"
    intents: tuple[type[ArchiveIntent], ...] = (CallerIntent, TlsIntent, WebLoginIntent)
    in_force = InForce.RESTART
    trial: Trial | None = None
    shown: Shown | None = None
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),  # a push that waits for associations and fails to restart takes 100 s
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="Orthanc is restarted once more: its ports are closed meanwhile, open associations end",
        down=timedelta(seconds=3),
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return masked(text)

    def patched(self, document: Document, text: str) -> Document:
        return document.merged(parsed_patch(text))

    def settings(self, intent: ArchiveIntent) -> tuple[Setting, ...]:
        return PARTS[intent.control].settings(intent)

    def found(self, document: Document) -> dict[str, tuple[Setting, ...]]:
        return {control: found for control, part in PARTS.items() if (found := part.found(document))}

    def foreign(self, document: Document) -> str:
        for part in PARTS.values():
            document = part.without(document)
        return document.tokens

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        return PARTS[control].patch(document, wanted)

    def lock_outs(self, document: Document, intent: ArchiveIntent) -> tuple[str, ...]:
        return PARTS[intent.control].lock_outs(document, intent)

    def remarks(self, document: Document, intent: ArchiveIntent) -> tuple[str, ...]:
        return PARTS[intent.control].remarks(document, intent)

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:
        """Orthanc reads every .json of its folder, and refuses a section that stands in two of them."""
        ours = frozenset(key for control in controls for key in PARTS[control].KEYS)
        said = [one for name, text in files.beside.items() if (one := _elsewhere(name, text, ours))]
        return (*said, *(web.unfit(files, command) if "web_auth" in controls else ()))

    def lacks(self, command: str) -> tuple[str, ...]:  # noqa: ARG002 -- all that matters to it stands in its files
        return ()


def _elsewhere(name: str, text: str, ours: frozenset[str]) -> str:
    try:
        keys = Document(text).keys()
    except Unprovable as error:
        return f"{name} beside it cannot be read: {error.what}"
    found = sorted(ours.intersection(keys))
    return f"{', '.join(found)} stands in {name}: move it into the file that config.file names" if found else ""


SPEC = ArchiveSpec(Orthanc())
