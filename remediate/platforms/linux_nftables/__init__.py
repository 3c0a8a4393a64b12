"""Linux with nftables, over SSH with a POSIX shell. Own table, own chains, own revert timer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from remediate.model.change import Capabilities, Items, Unit
from remediate.model.device import Device, Login
from remediate.model.rule import Intent, Rule, UnpublishIntent
from remediate.model.site import Addressing
from remediate.platforms import FilterState, unit
from remediate.platforms.linux_nftables import parser, published
from remediate.platforms.linux_nftables.driver import LinuxNftables
from remediate.platforms.session import EXEC_ONLY, Session
from remediate.rules import entries, prove, prove_unpublished, unpublished


class State(NamedTuple):
    """``foreign``: everything but our table, and without the contents of sets that the traffic fills."""

    sections: Mapping[str, Items]
    foreign: str
    text: None = None


class Spec:
    name = "linux_nftables"
    intents = (Intent, UnpublishIntent)
    capabilities = Capabilities(
        revert_min=timedelta(seconds=5),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        addressing=Addressing.REAL,
        atomic=True,
        stateful=True,
        survives_reboot=False,
    )

    def expressed(self, intent: Intent | UnpublishIntent) -> Items:
        return unpublished(intent) if isinstance(intent, UnpublishIntent) else entries(intent)

    def objections(self, state: FilterState, intents: Sequence[Intent | UnpublishIntent]) -> tuple[str, ...]:
        """A filter chain of its own stands in nobody's way but the guarded ports'. Raises PlanError where nothing is
        published that could be switched off.
        """
        return tuple(
            wrong
            for intent in intents
            if isinstance(intent, UnpublishIntent)
            for wrong in published.objections(state, intent)
        )

    def remarks(self, state: FilterState, intents: Sequence[Intent | UnpublishIntent]) -> tuple[str, ...]:
        """Whose forwards are switched off. Of a filter, what the proof compares is all there is."""
        unpublished = [intent for intent in intents if isinstance(intent, UnpublishIntent)]
        return tuple(said for intent in unpublished for said in published.remarks(state, intent))

    def read(self, device: Device, running: str) -> State:  # noqa: ARG002 -- our table is the same on every device
        return State(sections=parser.of_running(running), foreign=parser.foreign(running))

    def context(
        self,
        device: Device,  # noqa: ARG002 -- these three are what other platforms need
        state: FilterState,  # noqa: ARG002
        printed: Mapping[str, Items | None],  # noqa: ARG002
    ) -> dict[str, Any]:
        """A section is all that a template must know: whether it was the last one, the device sees by itself."""
        return {}

    def simulate(self, device: Device, state: FilterState, text: str) -> State:  # noqa: ARG002
        return State(sections=parser.guard(text, state.sections), foreign=state.foreign)

    def prove(
        self, device: Device, before: FilterState, after: FilterState, intents: Sequence[Intent | UnpublishIntent]
    ) -> tuple[str, ...]:
        """A section is a chain of its own: what it permits, the other tables still decide about, as before."""
        wanted = {intent.section: intent for intent in intents}
        wrong = [
            f"section {name} on {device.name} would change, which nobody asked for"
            for name in set(before.sections) | set(after.sections)
            if name not in wanted and before.sections.get(name) != after.sections.get(name)
        ]
        for name, intent in wanted.items():
            there = after.sections.get(name, ())
            if isinstance(intent, UnpublishIntent):
                wrong += prove_unpublished(intent, there)
            else:
                wrong += prove(intent, [one for one in there if isinstance(one, Rule)])
        return tuple(wrong)

    def connect(self, device: Device, login: Login) -> LinuxNftables:
        return LinuxNftables(device, Session(device, login, EXEC_ONLY))

    def try_login(self, device: Device, login: Login) -> Unit:
        with Session(device, login, EXEC_ONLY) as session:
            session.execute("true")
            return unit.of_linux(session)


SPEC = Spec()
