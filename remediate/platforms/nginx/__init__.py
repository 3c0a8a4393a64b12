"""nginx, in front of an archive: its servers there ask for a password, list no folder, and speak HTTPS if so told."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from remediate.errors import PlanError, Unprovable
from remediate.model.base import canonical
from remediate.model.change import Capabilities
from remediate.model.rule import ArchiveIntent, Setting, WebLoginIntent
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.nginx import login, trial
from remediate.platforms.nginx.document import Document
from remediate.platforms.nginx.secrets import masked

CONTROL = "web_auth"
#: What would end a word in the file, or begin a variable there.
_UNSAID = re.compile(r"[\s;{}\"'\\$#]")
_FILES = {"users": "config.users", "certificate": "config.tls.certificate", "key": "config.tls.key"}


class Nginx:
    name = "nginx"
    siblings = ""
    intents: tuple[type[ArchiveIntent], ...] = (WebLoginIntent,)
    in_force = InForce.RELOAD
    shown: Shown | None = None
    trial: Trial | None = Trial(check=trial.CHECK, asks=trial.ASKS, given=trial.given, told=trial.told)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="nginx loads its files once more: with a reload as the inventory's restart no port is closed",
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
        leaves_open={
            CONTROL: "whoever reaches the archive itself, and not by nginx, is asked nothing; what was open in nginx "
            "before the reload goes on until its client ends it"
        },
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return masked(text)

    def patched(self, document: Document, text: str) -> Document:
        changes: dict[int, dict[str, str] | None] = {}
        for port, one in parsed_patch(text).items():
            names = {"users"} if one is None or "certificate" not in one else {"users", "certificate", "key"}
            if not port.isdecimal() or (one is not None and (not isinstance(one, dict) or one.keys() != names)):
                raise Unprovable(f"the patch names {port}, which is no port with its users", next="mend the template")
            if one is not None and any(not isinstance(v, str) or _UNSAID.search(v) for v in one.values()):
                raise Unprovable(f"nginx cannot be told one of the files of port {port}", next="mend the template")
            changes[int(port)] = one
        return document.with_logins(changes)

    def settings(self, intent: WebLoginIntent) -> tuple[Setting, ...]:
        if intent.users is None:
            raise PlanError(
                "nginx needs the file of those who may come in",
                where=intent.device,
                next="make one on its host (htpasswd -c), and name it: config: {users: /etc/nginx/pacs.users}",
            )
        wanted = {"users": intent.users}
        if intent.certificate is not None and intent.key is not None:
            wanted |= {"certificate": intent.certificate, "key": intent.key}
        for name, path in wanted.items():
            if _UNSAID.search(path):
                raise PlanError(
                    f"nginx's file cannot say the path {path!r}",
                    where=f"{intent.device}, {_FILES[name]}",
                    next="give it a path without blanks, quotes, braces, $, # and ;",
                )
        return tuple(sorted((_setting(port, wanted) for port in intent.ports), key=lambda one: one.key))

    def found(self, document: Document) -> Mapping[str, tuple[Setting, ...]]:
        made = sorted((_setting(port, one) for port, one in document.logins.items()), key=lambda one: one.key)
        return {CONTROL: tuple(made)} if made else {}

    def foreign(self, document: Document) -> str:
        return document.foreign.text

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        now, then = ({s.key[0]: s.value for s in some} for some in (self.found(document).get(control, ()), wanted))
        return {
            port: json.loads(then[port]) if port in then else None
            for port in sorted(now.keys() | then.keys())
            if now.get(port) != then.get(port)
        }

    def lock_outs(self, document: Document, intent: WebLoginIntent) -> tuple[str, ...]:
        return login.lock_outs(document.foreign, intent)

    def remarks(self, document: Document, intent: WebLoginIntent) -> tuple[str, ...]:
        return login.remarks(document.foreign, intent)

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- trial
        return ()

    def lacks(self, command: str) -> tuple[str, ...]:
        if not command or re.match(r"nginx: (master|worker) process", command):
            return ()
        return (f"what listens there is not nginx with a master process: {command.split()[0]}",)


def _setting(port: int, wanted: Mapping[str, str]) -> Setting:
    return Setting(key=(str(port),), value=canonical(dict(wanted)))


SPEC = ArchiveSpec(Nginx())
