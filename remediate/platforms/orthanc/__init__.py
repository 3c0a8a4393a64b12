"""Orthanc: its configuration file over SSH, edited in place, and a restart with the down time measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from remediate.model.change import Capabilities
from remediate.model.rule import CallerIntent, Setting
from remediate.model.site import Addressing, Device, Login
from remediate.platforms.orthanc import settings
from remediate.platforms.orthanc.document import Document, parsed_patch
from remediate.platforms.orthanc.driver import OrthancFile
from remediate.platforms.session import EXEC_ONLY, Session

#: The control whose section the settings are.
_CONTROL = "ae_title"


class State(NamedTuple):
    """``foreign``: every token of the file but our settings, comments included."""

    sections: Mapping[str, tuple[Setting, ...]]
    foreign: str
    document: Document

    @property
    def text(self) -> str:
        return self.document.text


class Spec:
    name = "orthanc"
    capabilities = Capabilities(
        revert_min=timedelta(seconds=30),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="Orthanc is restarted once more: its DICOM and web ports are closed for about 3 s, open associations end",
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=False,
    )

    def expressed(self, intent: CallerIntent) -> tuple[Setting, ...]:
        return settings.settings(intent)

    def objections(self, state: State, intents: Sequence[CallerIntent]) -> tuple[str, ...]:
        return tuple(wrong for intent in intents for wrong in settings.lock_outs(state.document, intent))

    def read(self, device: Device, running: str) -> State:
        return _state(device, Document(running))

    def context(
        self, device: Device, state: State, printed: Mapping[str, tuple[Setting, ...] | None]
    ) -> dict[str, Any]:
        """``patch``: the merge patch (RFC 7396) that makes the settings what they are to be."""
        wanted = printed.get(_section(device))
        return {"patch": settings.patch(settings.found(state.document), wanted or (), state.document)}

    def simulate(self, device: Device, state: State, text: str) -> State:
        return _state(device, state.document.merged(parsed_patch(text)))

    def prove(
        self,
        device: Device,  # noqa: ARG002 -- the settings are the same for every archive
        before: State,  # noqa: ARG002 -- what is not ours is compared by the caller
        after: State,
        intents: Sequence[CallerIntent],
    ) -> tuple[str, ...]:
        """Every caller has its entry, and nothing is allowed to those who have none."""
        wrong = []
        for intent in intents:
            there = {s.key: s.value for s in settings.found(after.document)}
            wrong += [
                f"{'.'.join(s.key)} would be {there.get(s.key, 'missing')}, meant {s.value}"
                for s in settings.settings(intent)
                if there.get(s.key) != s.value
            ]
            wrong += settings.lock_outs(after.document, intent)
        return tuple(wrong)

    def connect(self, device: Device, login: Login) -> OrthancFile:
        return OrthancFile(device, Session(device, login, EXEC_ONLY))

    def try_login(self, device: Device, login: Login) -> None:
        with Session(device, login, EXEC_ONLY) as session:
            session.execute("true")


def _section(device: Device) -> str:
    return f"{_CONTROL}_{device.name}"


def _state(device: Device, document: Document) -> State:
    found = settings.found(document)
    return State(
        sections={_section(device): found} if found else {},
        foreign=settings.without(document).tokens,
        document=document,
    )


SPEC = Spec()
