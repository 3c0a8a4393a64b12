"""Archives that one file configures: read over SSH, edited in place, and put in force by a restart.

What a product is, is in a ``Product``: its parser and editor, and what callers are in its words. All else is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from remediate.errors import Unprovable
from remediate.model.change import Capabilities
from remediate.model.rule import CallerIntent, Setting
from remediate.model.site import Device, Login
from remediate.platforms.archive.driver import ArchiveFile
from remediate.platforms.session import EXEC_ONLY, Session

#: The control whose section the settings are.
_CONTROL = "ae_title"


class Product(Protocol):
    """One archive product. Pure. A document is its parsed configuration, and has its ``text``."""

    name: str
    capabilities: Capabilities
    #: How the names of the files end that it reads beside the one in the inventory; "" where it reads none.
    siblings: str

    def parsed(self, text: str) -> Any:
        """Raises Unprovable for a text that the product would read otherwise, or not at all."""
        ...

    def masked(self, text: str) -> str:
        """The text without its secrets: only that leaves the host."""
        ...

    def patched(self, document: Any, text: str) -> Any:
        """The document once a rendered text is applied. Raises Unprovable."""
        ...

    def settings(self, intent: CallerIntent) -> tuple[Setting, ...]:
        """Sorted by key. Raises PlanError for what the product cannot say."""
        ...

    def found(self, document: Any) -> tuple[Setting, ...]:
        """Those of them that stand there now, sorted by key."""
        ...

    def foreign(self, document: Any) -> str:
        """All but those, comments included."""
        ...

    def patch(self, document: Any, wanted: Sequence[Setting]) -> dict[str, Any]:
        """For the template: what makes of the settings that stand there those that are wanted, and no others."""
        ...

    def lock_outs(self, document: Any, intent: CallerIntent) -> tuple[str, ...]: ...

    def remarks(self, document: Any, intent: CallerIntent) -> tuple[str, ...]: ...

    def elsewhere(self, name: str, text: str) -> str:
        """What of ours, or of what decides about it, stands in a file beside; "" where nothing does."""
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

    intents = CallerIntent

    def __init__(self, product: Product) -> None:
        self.name = product.name
        self.capabilities = product.capabilities
        self._product = product

    def expressed(self, intent: CallerIntent) -> tuple[Setting, ...]:
        return self._product.settings(intent)

    def objections(self, state: State, intents: Sequence[CallerIntent]) -> tuple[str, ...]:
        return tuple(wrong for intent in intents for wrong in self._product.lock_outs(state.document, intent))

    def remarks(self, state: State, intents: Sequence[CallerIntent]) -> tuple[str, ...]:
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
        return {"patch": self._product.patch(state.document, printed.get(_section(device)) or ())}

    def simulate(self, device: Device, state: State, text: str) -> State:
        return self._state(device, self._product.patched(state.document, text))

    def prove(
        self,
        device: Device,  # noqa: ARG002 -- the settings are the same for every archive
        before: State,  # noqa: ARG002 -- what is not ours is compared by the caller
        after: State,
        intents: Sequence[CallerIntent],
    ) -> tuple[str, ...]:
        """Every caller has its entry, nothing else of ours is left, and nobody is locked out."""
        wrong: list[str] = []
        for intent in intents:
            there = {s.key: s.value for s in self._product.found(after.document)}
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

    def try_login(self, device: Device, login: Login) -> None:
        with Session(device, login, EXEC_ONLY) as session:
            session.execute("true")

    def _state(self, device: Device, document: Any) -> State:
        found = self._product.found(document)
        return State(
            sections={_section(device): found} if found else {},
            foreign=self._product.foreign(document),
            document=document,
        )


def _section(device: Device) -> str:
    return f"{_CONTROL}_{device.name}"
