"""dcm4chee-arc: which calling AE titles each of its AEs accepts, in its LDAP directory, loaded by a command.

Its source (dcm4che-net) and its documents say: every AE of a device has a list of its own, and one without a list lets
anybody in; ``POST /dcm4chee-arc/ctrl/reload`` takes the directory over, and closes no port.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from remediate.errors import PlanError, Unprovable
from remediate.model.base import canonical
from remediate.model.change import Capabilities
from remediate.model.rule import ArchiveIntent, CallerIntent, Setting
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.dcm4chee_arc.document import ACCEPTED, CLASSES, SHOWN, Document

CONTROL = "ae_title"
#: What LDIF would read otherwise at the begin or the end of a value (RFC 2849, SAFE-INIT-CHAR).
_UNSAID = re.compile(r"^[ :<]| $")


class Dcm4cheeArc:
    name = "dcm4chee_arc"
    siblings = ""
    in_force = InForce.RELOAD
    trial: Trial | None = None
    shown: Shown | None = Shown(CLASSES, SHOWN, ACCEPTED)
    intents: tuple[type[ArchiveIntent], ...] = (CallerIntent,)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="dcm4chee-arc loads its configuration once more: no port is closed",
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
        leaves_open={
            CONTROL: "dcm4chee-arc compares titles alone: under a known title anybody is let in, from any address, and "
            "may do all that it serves"
        },
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return text  # only attributes that are no secrets were asked for

    def patched(self, document: Document, text: str) -> Document:
        patch = parsed_patch(text)
        lists = patch.get(ACCEPTED, {})
        if patch.keys() - {ACCEPTED} or not isinstance(lists, dict):
            raise Unprovable(f"the patch is not one of {ACCEPTED}", next="mend the template")
        if any(one is not None and not isinstance(one, list) for one in lists.values()):
            raise Unprovable("an AE has a list of titles, or null", next="mend the template")
        return document.with_lists({ae: None if one is None else tuple(map(str, one)) for ae, one in lists.items()})

    def settings(self, intent: CallerIntent) -> tuple[Setting, ...]:
        if wrong := [c for c in intent.callers if _UNSAID.search(c.ae_title)]:
            raise PlanError(
                f"LDAP cannot be told the AE title {wrong[0].ae_title!r}",
                where=f"{intent.pacs}, peer {wrong[0].peer}",
                next="give that station a title that does not begin with a blank, a colon or <",
            )
        return (Setting(key=(ACCEPTED,), value=canonical(_titles(intent))),)

    def found(self, document: Document) -> Mapping[str, tuple[Setting, ...]]:
        """What most AEs have in common stands for all of them, and each other one for itself: null lets anybody in."""
        lists = {title: ae.accepted for title, ae in document.aes.items() if not ae.by_hand}
        if not any(one is not None for one in lists.values()):
            return {}
        common = Counter(one for one in lists.values() if one is not None).most_common(1)[0][0]
        made = [Setting(key=(ACCEPTED,), value=canonical(list(common)))]
        made += [
            Setting(key=(ACCEPTED, title), value=canonical(None if one is None else list(one)))
            for title, one in sorted(lists.items())
            if one != common
        ]
        return {CONTROL: tuple(made)}

    def foreign(self, document: Document) -> str:
        return document.foreign

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:  # noqa: ARG002 -- one
        values = {setting.key: json.loads(setting.value) for setting in wanted}
        changed = {}
        for title, ae in document.aes.items():
            if ae.by_hand:
                continue
            then = values.get((ACCEPTED, title), values.get((ACCEPTED,)))
            if then != (None if ae.accepted is None else list(ae.accepted)):
                changed[title] = then
        return {ACCEPTED: changed} if changed else {}

    def lock_outs(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:
        own = next((ae for ae in document.aes.values() if intent.ae_title in ae.titles), None)
        if own is None:
            named = f"none of its AEs that accept associations has the title {intent.ae_title}"
            return (f"{named}: correct the inventory's ae_title, or config.ldap",)
        wrong = [
            f"AE {title} cannot have a list, and would go on letting anybody in: give its entry the objectClass "
            "dcmNetworkAE"
            for title, ae in sorted(document.aes.items())
            if not ae.takes
        ]
        missing = [c for c in intent.callers if own.by_hand and c.ae_title not in (own.accepted or ())]
        wrong += [
            f"AE {own.titles[0]} has a list by hand ({', '.join(own.accepted or ())}), and peer {c.peer} with title "
            f"{c.ae_title} is not in it: add it there, or take the list out"
            for c in missing
        ]
        return tuple(wrong)

    def remarks(self, document: Document, intent: CallerIntent) -> tuple[str, ...]:  # noqa: ARG002 -- of all of them
        return tuple(
            f"its AE {title} has a list by hand, which stays: it lets in {', '.join(ae.accepted or ())}"
            for title, ae in sorted(document.aes.items())
            if ae.by_hand
        )

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- no files
        return ()

    def lacks(self, command: str) -> tuple[str, ...]:  # noqa: ARG002 -- any Java
        return ()


def _titles(intent: CallerIntent) -> list[str]:
    return sorted({caller.ae_title for caller in intent.callers})


SPEC = ArchiveSpec(Dcm4cheeArc())
