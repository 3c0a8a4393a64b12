"""Orthanc: a JSON file with comments, edited in place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from remediate.model.change import Capabilities
from remediate.model.rule import CallerIntent, Setting
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.orthanc import settings
from remediate.platforms.orthanc.document import Document
from remediate.platforms.orthanc.secrets import masked


class Orthanc:
    name = "orthanc"
    siblings = ".json"
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

    def settings(self, intent: CallerIntent) -> tuple[Setting, ...]:
        return settings.settings(intent)

    def found(self, document: Document) -> tuple[Setting, ...]:
        return settings.found(document)

    def foreign(self, document: Document) -> str:
        return settings.without(document).tokens

    def patch(self, document: Document, wanted: Sequence[Setting]) -> dict[str, Any]:
        return settings.patch(settings.found(document), wanted, document)

    def lock_outs(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        return settings.lock_outs(document, intent)

    def remarks(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        return settings.remarks(document, intent)

    def elsewhere(self, name: str, text: str) -> str:
        return settings.elsewhere(name, text)

    def lacks(self, command: str) -> tuple[str, ...]:  # noqa: ARG002 -- all that matters to it stands in its files
        return ()


SPEC = ArchiveSpec(Orthanc())
