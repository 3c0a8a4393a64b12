"""Conquest: who may call it stands in a Lua script of its dicom.ini, which it looks at once a second by itself.

As in its source (src/dgate.cpp, ServerChild; no such archive is in the lab): ``[lua] association`` runs once the
association is accepted, and ``reject()`` in it releases that before anything is served, so whoever is not let in sees
no A-ASSOCIATE-RJ. Its dgatesop.lst could refuse a title at once, but knows no addresses; acrnema.map refuses nobody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from remediate.errors import PlanError, Unprovable
from remediate.model.base import canonical
from remediate.model.change import Capabilities
from remediate.model.rule import ArchiveIntent, CallerIntent, Setting
from remediate.model.site import Addressing, Role
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.conquest.document import LONGEST_VALUE, LUA, SCRIPT, Document, Filter, size

CONTROL = "ae_title"
MASK = "********"
#: What would end the text or the table that a title stands in, or begin an escape.
_UNSAID = re.compile(r"['\\{}]")


class Conquest:
    name = "conquest"
    siblings = ""
    in_force = InForce.CHANGE
    trial: Trial | None = None
    shown: Shown | None = None
    intents: tuple[type[ArchiveIntent], ...] = (CallerIntent,)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="nothing is restarted; but where the host itself restarts meanwhile, nothing takes the change back by "
        "itself, and remediate resume must",
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=False,
        leaves_open={
            CONTROL: "Conquest associates with whoever it does not know, and releases that before anything is served; "
            "from its own host everybody is let in, since its web pages call it by DICOM, and whoever is let in may do "
            "all that it serves"
        },
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return Document(text).masked(MASK).text

    def patched(self, document: Document, text: str) -> Document:
        patch = parsed_patch(text)
        wrong = Unprovable(f"the patch is not one of {SCRIPT} in [{LUA}]", next="mend the template")
        if patch.keys() - {LUA} or not isinstance(patch.get(LUA, {}), dict) or patch.get(LUA, {}).keys() - {SCRIPT}:
            raise wrong
        if not patch.get(LUA):
            return document
        value = patch[LUA][SCRIPT]
        if value is None:
            return document.with_filter(None)
        try:
            callers = {str(peer): (str(title), str(address)) for peer, (title, address) in value["callers"].items()}
            called = str(value["called"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise wrong from error
        return document.with_filter(Filter(called, callers))

    def settings(self, intent: CallerIntent) -> tuple[Setting, ...]:
        titles = {"its own": intent.ae_title, **{f"of peer {c.peer}": c.ae_title for c in intent.callers}}
        for whose, title in titles.items():
            if _UNSAID.search(title):
                raise PlanError(
                    f"the AE title {title!r}, {whose}, cannot stand in Conquest's script",
                    where=intent.pacs,
                    next="give it a title without quotes, backslashes and braces",
                )
        if six := next((c for c in intent.callers if c.address.version == 6), None):
            raise PlanError(
                f"Conquest knows the addresses of callers in IPv4 only, and peer {six.peer} has {six.address}",
                where=intent.pacs,
                next="give that peer its IPv4 address, or leave this control out",
            )
        return _settings(_meant(intent))

    def found(self, document: Document) -> Mapping[str, tuple[Setting, ...]]:
        return {} if document.filter is None else {CONTROL: _settings(document.filter)}

    def foreign(self, document: Document) -> str:
        return document.with_filter(None).text

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:  # noqa: ARG002 -- one
        then = _filter(wanted)
        if then == document.filter:
            return {}
        value = (
            None if then is None else {"called": then.called, "callers": {p: list(c) for p, c in then.callers.items()}}
        )
        return {LUA: {SCRIPT: value}}

    def lock_outs(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        wrong = []
        if document.ae_title != intent.ae_title:
            wrong.append(
                f"its own AE title is {document.ae_title!r} (MyACRNema), and the inventory says {intent.ae_title!r}; "
                "once called titles are checked nobody would reach it under that one: correct the inventory"
            )
        whole = size(_meant(intent)) + len(f" {document.theirs}".encode() if document.theirs is not None else b"")
        if whole > LONGEST_VALUE:
            wrong.append(
                f"{SCRIPT} in [{LUA}] would be {whole} bytes long, and Conquest reads {LONGEST_VALUE} of them and lets "
                f"everybody in: "
                + ("put the script that stands there into a file, and call it by dofile" if document.theirs else "")
                + ("; " if document.theirs else "")
                + "list fewer peers, or give them shorter names"
            )
        return tuple(wrong)

    def remarks(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        said = []
        if document.theirs:
            said.append(f"the script that stands in {SCRIPT} of [{LUA}] by hand stays, and runs after ours")
        back = [caller.peer for caller in intent.callers if Role.RETRIEVE in caller.roles]
        if back:
            said.append(f"a C-MOVE to {', '.join(back)} needs its entry in acrnema.map, which is not looked at")
        return tuple(said)

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- one file
        return ()

    def lacks(self, command: str) -> tuple[str, ...]:
        if not command or re.search(r"(^|/)dgate\w*( |$)", command.split(" ", 1)[0] + " "):
            return ()
        return (f"what listens there is not dgate: {command.split()[0]}",)


def _meant(intent: CallerIntent) -> Filter:
    return Filter(intent.ae_title, {c.peer: (c.ae_title, str(c.address)) for c in intent.callers})


def _settings(wanted: Filter) -> tuple[Setting, ...]:
    made = [Setting(key=(LUA, SCRIPT, "called"), value=canonical(wanted.called))]
    made += [
        Setting(key=(LUA, SCRIPT, "callers", peer), value=canonical(list(caller)))
        for peer, caller in wanted.callers.items()
    ]
    return tuple(sorted(made, key=lambda one: one.key))


def _filter(wanted: Sequence[Setting]) -> Filter | None:
    if not wanted:
        return None
    values = {s.key: json.loads(s.value) for s in wanted}
    callers = {key[3]: (value[0], value[1]) for key, value in values.items() if len(key) == 4}
    return Filter(values[(LUA, SCRIPT, "called")], callers)


SPEC = ArchiveSpec(Conquest())
