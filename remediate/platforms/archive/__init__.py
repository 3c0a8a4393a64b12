"""Archives and their fronts, configured on their own host by a file or an LDAP directory: read over SSH, put in force
there.

What a product is, is in a ``Product``: its parser and editor, and what each control is in its words. All else is here.
A front may answer for several archives: there the first word of a setting's key is the port where it counts, and so is
each member's name in a patch. One that can answer for a single archive only has no such word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from remediate.controls import CONTROLS
from remediate.errors import Unprovable
from remediate.model.change import Capabilities, Unit
from remediate.model.device import Device, Login
from remediate.model.rule import ArchiveIntent, Setting
from remediate.platforms import unit
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.driver import ArchiveFile
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.session import EXEC_ONLY, Session


class Product(Protocol):
    """One product, of an archive or a front. Pure. A document is its parsed configuration, and has its ``text``."""

    name: str
    capabilities: Capabilities
    in_force: InForce
    #: Where it stands in an LDAP directory; its documents have ``ldif`` then: what makes another of them this one.
    shown: Shown | None
    #: How the names of the files end that it reads beside the one in the inventory; "" where it reads none.
    siblings: str
    #: The intents that it can carry out.
    intents: tuple[type[ArchiveIntent], ...]
    #: What the program itself says of its files; None where it says nothing without being started.
    trial: Trial | None

    def parsed(self, text: str) -> Any:
        """Raises Unprovable for a text that the product would read otherwise, or not at all."""
        ...

    def masked(self, text: str) -> str:
        """The text without its secrets: only that leaves the host."""
        ...

    def patched(self, document: Any, text: str) -> Any:
        """The document once a rendered text is applied. Raises Unprovable."""
        ...

    def settings(self, intent: Any) -> tuple[Setting, ...]:
        """Sorted by key; no setting belongs to two controls. Raises PlanError for what the product cannot say."""
        ...

    def found(self, document: Any) -> Mapping[str, tuple[Setting, ...]]:
        """Those of them that stand there now, by control, each sorted by key; without controls that have none."""
        ...

    def foreign(self, document: Any) -> str:
        """All but those, comments included."""
        ...

    def patch(self, document: Any, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        """For the template: what makes of that control's settings there those that are wanted, and no others."""
        ...

    def lock_outs(self, document: Any, intent: Any) -> tuple[str, ...]: ...

    def remarks(self, document: Any, intent: Any) -> tuple[str, ...]: ...

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:
        """What in its files is in the way of these controls; "" for the command line where nothing listens."""
        ...

    def lacks(self, command: str) -> tuple[str, ...]:
        """What is wrong with the command line of the process that listens."""
        ...


class State(NamedTuple):
    sections: Mapping[str, tuple[Setting, ...]]
    foreign: str
    document: Any

    @property
    def text(self) -> str:
        text: str = self.document.text
        return text


class ArchiveSpec:
    """A product as a platform."""

    def __init__(self, product: Product) -> None:
        self.name = product.name
        self.intents = product.intents
        self.capabilities = product.capabilities
        self._product = product

    def expressed(self, intent: ArchiveIntent) -> tuple[Setting, ...]:
        return self._product.settings(intent)

    def objections(self, state: State, intents: Sequence[ArchiveIntent]) -> tuple[str, ...]:
        return tuple(wrong for intent in intents for wrong in self._product.lock_outs(state.document, intent))

    def remarks(self, state: State, intents: Sequence[ArchiveIntent]) -> tuple[str, ...]:
        return tuple(said for intent in intents for said in self._product.remarks(state.document, intent))

    def read(self, device: Device, running: str) -> State:
        try:
            return self._state(device, self._product.parsed(running))
        except Unprovable as error:
            error.where = error.where or f"the configuration of {device.name}"
            raise

    def context(
        self, device: Device, state: State, printed: Mapping[str, tuple[Setting, ...] | None]
    ) -> dict[str, Any]:
        found = self._product.found(state.document)
        patches = {}
        for name, wanted in printed.items():
            control = next(one for one in CONTROLS if name in {_section(one, owner) for owner in _owners(device)})
            own = state.sections.get(name, ())
            others = [setting for setting in found.get(control, ()) if setting not in own]
            whole = sorted([*(wanted or ()), *others], key=lambda one: one.key)
            patches[name] = self._product.patch(state.document, control, whole)
        return {"patches": patches}

    def simulate(self, device: Device, state: State, text: str) -> State:
        return self._state(device, self._product.patched(state.document, text))

    def prove(
        self,
        device: Device,  # noqa: ARG002 -- a section is named by the archive that it is for
        before: State,  # noqa: ARG002 -- what is not ours is compared by the caller
        after: State,
        intents: Sequence[ArchiveIntent],
    ) -> tuple[str, ...]:
        """Every setting is as meant, nothing else of the control's is left, and nobody is locked out."""
        wrong: list[str] = []
        for intent in intents:
            there = {s.key: s.value for s in after.sections.get(intent.section, ())}
            meant = {s.key: s.value for s in self._product.settings(intent)}
            wrong += [
                f"{'.'.join(key)} would be {there.get(key, 'missing')}, meant {meant.get(key, 'to be missing')}"
                for key in sorted(there.keys() | meant.keys())
                if there.get(key) != meant.get(key)
            ]
            wrong += self._product.lock_outs(after.document, intent)
        return tuple(wrong)

    def connect(self, device: Device, login: Login) -> ArchiveFile:
        return ArchiveFile(device, Session(device, login, EXEC_ONLY), self._product)

    def try_login(self, device: Device, login: Login) -> Unit:
        with Session(device, login, EXEC_ONLY) as session:
            session.execute("true")
            return unit.of_linux(session)

    def _state(self, device: Device, document: Any) -> State:
        sections: dict[str, tuple[Setting, ...]] = {}
        for control, settings in self._product.found(document).items():
            for setting in settings:
                name = _section(control, _owner(device, setting))
                sections[name] = (*sections.get(name, ()), setting)
        return State(sections=sections, foreign=self._product.foreign(document), document=document)


def _section(control: str, owner: str) -> str:
    """As ``ArchiveIntent.section``."""
    return f"{control}_{owner}"


def _fronts(device: Device) -> Mapping[int, str]:
    return device.config.fronts if device.config is not None else {}


def _owners(device: Device) -> tuple[str, ...]:
    """The archives that it configures: itself, or those in whose place it answers."""
    return tuple(_fronts(device).values()) or (device.name,)


def _owner(device: Device, setting: Setting) -> str:
    """On a port of a front that no archive of the inventory is behind: the port, so that nobody's intent is for it."""
    fronts, word = _fronts(device), setting.key[0]
    if not fronts or not word.isdecimal():
        return _owners(device)[0]
    return fronts.get(int(word), f"port {word}")
