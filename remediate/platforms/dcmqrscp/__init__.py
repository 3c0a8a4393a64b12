"""dcmqrscp, DCMTK's archive: who may call it stands in the HostTable and the AETable of its file.

What each entry does was seen with DCMTK 3.6.7: title and address must both fit; every mismatch is rejected with 1/1/7.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from remediate.errors import PlanError
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
from remediate.platforms.dcmqrscp.document import AES, ANY, CALLERS, HOSTS, LONGEST, OURS, Document

#: What would end a word in the file.
_UNSAID = re.compile(r"[\s=,\"'()#]")
#: Where a caller does not listen, an entry must name a port all the same.
_NO_PORT = 104


class Dcmqrscp:
    name = "dcmqrscp"
    siblings = ""
    intents: tuple[type[ArchiveIntent], ...] = (CallerIntent,)
    in_force = InForce.RESTART
    trial: Trial | None = None
    shown: Shown | None = None
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),  # a push that waits for associations and fails to restart takes 100 s
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="dcmqrscp is restarted once more: its port is closed meanwhile, open associations end",
        down=timedelta(seconds=1),
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return text  # nothing in it is a secret

    def patched(self, document: Document, text: str) -> Document:
        return document.merged(parsed_patch(text))

    def settings(self, intent: CallerIntent) -> tuple[Setting, ...]:
        names = sorted(OURS + caller.peer for caller in intent.callers)
        if wrong := [c for c in intent.callers if _UNSAID.search(c.ae_title)]:
            raise PlanError(
                f"dcmqrscp's file cannot say the AE title {wrong[0].ae_title!r}",
                where=f"{intent.pacs}, peer {wrong[0].peer}",
                next="give that station a title without spaces, commas, quotes, parentheses, = and #",
            )
        if not names or len(f"{CALLERS} = {', '.join(names)}\n") > LONGEST:
            raise PlanError(
                f"dcmqrscp's file holds 1 to about {LONGEST // 20} callers, and there are {len(names)}",
                where=intent.pacs,
                next="list its peers under access, with short names",
            )
        made = [Setting(key=(HOSTS, CALLERS), value=canonical(names))]
        made += [
            Setting(key=(HOSTS, OURS + c.peer), value=canonical([c.ae_title, str(c.address), c.port or _NO_PORT]))
            for c in intent.callers
        ]
        made.append(Setting(key=(AES, intent.ae_title), value=canonical([CALLERS])))
        return tuple(sorted(made, key=lambda one: one.key))

    def found(self, document: Document) -> dict[str, tuple[Setting, ...]]:
        made = [
            Setting(key=(HOSTS, name), value=document.host(name) or "null")
            for name in document.hosts
            if name.startswith(OURS)
        ]
        made += [
            Setting(key=(AES, row.title), value=canonical(ANY if row.ours == ANY else [CALLERS]))
            for row in document.rows.values()
            if row.ours
        ]
        return {"ae_title": tuple(sorted(made, key=lambda one: one.key))} if made else {}

    def foreign(self, document: Document) -> str:
        return document.foreign

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        now, then = ({s.key: s.value for s in some} for some in (self.found(document).get(control, ()), wanted))
        made: dict[str, Any] = {}
        for table, name in sorted(now.keys() | then.keys()):
            old, new = now.get((table, name)), then.get((table, name))
            if old != new:
                made.setdefault(table, {})[name] = None if new is None else json.loads(new)
        return made

    def lock_outs(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        row = document.rows.get(intent.ae_title)
        if row is None:
            return (f"its AETable has no title {intent.ae_title}: correct the inventory's ae_title",)
        wrong = [
            f"its title {other.title} lets anybody in, past the one that is to be restricted: name the peers of "
            f"{other.title} in the AETable, or take it out"
            for other in document.rows.values()
            if other is not row and other.ours == ANY
        ]
        stores = [caller.peer for caller in intent.callers if Role.STORE in caller.roles]
        if "W" not in row.access and stores:
            wrong.append(f"{intent.ae_title} has access {row.access}, and peer {stores[0]} stores: correct one of them")
        titles = {caller.ae_title: caller for caller in intent.callers}
        for name, (words, _) in document.hosts.items():
            for title, host in _triples(words) if not name.startswith(OURS) else ():
                same = titles.get(title)
                if same is not None and host != str(same.address) and Role.RETRIEVE in same.roles:
                    wrong.append(
                        f"the entry {name} has the title of peer {same.peer} and another address, {host}: a C-MOVE to "
                        "it goes to the first that is found; take it out, or correct the peer"
                    )
        return tuple(wrong)

    def remarks(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        return tuple(
            f"{'its title' if row.title == intent.ae_title else 'its other title'} {row.title} goes on letting in "
            f"{', '.join(row.peers)}"
            for row in document.rows.values()
            if row.peers
        )

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- one file
        return ()

    def lacks(self, command: str) -> tuple[str, ...]:
        """It compares the name that the peer's address is looked up to, unless it is told not to look."""
        if re.search(r"\s(--disable-host-lookup|-dhl)\s", f"{command} "):
            return ()
        return (
            "dcmqrscp looks names up, and addresses in its HostTable never fit: start it with --disable-host-lookup",
        )


def _triples(words: Sequence[str]) -> list[tuple[str, str]]:
    """AE title and host of each."""
    parts = [re.split(r"[\s=,]+", word.strip("() ")) for word in words if word.startswith("(")]
    return [(one[0], one[1]) for one in parts if len(one) >= 2]


SPEC = ArchiveSpec(Dcmqrscp())
