"""vsftpd, in front of an archive or on its host: nobody comes in without a user's name and password."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from remediate.errors import Unprovable
from remediate.model.base import canonical
from remediate.model.change import Capabilities
from remediate.model.device import ConfigFile
from remediate.model.rule import ArchiveIntent, Setting, WebLoginIntent
from remediate.model.site import Addressing
from remediate.platforms.archive import ArchiveSpec
from remediate.platforms.archive.directory import Shown
from remediate.platforms.archive.files import Files
from remediate.platforms.archive.patch import parsed_patch
from remediate.platforms.archive.scripts import InForce
from remediate.platforms.archive.trial import Trial
from remediate.platforms.vsftpd.document import ANONYMOUS, LOCAL, LOCAL_TLS, TLS, WORDS, Document

CONTROL = "web_auth"
#: What it is to say, and what an earlier spelling of the same counts as.
_OFF = "NO"
#: Without a port to listen on it ends once it has read its file, and says so where its client would be.
_READ = "must be started from inetd"
_SAYS = """
says() {
    said=$(mktemp) || return
    vsftpd "$1" -olisten=NO -olisten_ipv6=NO 0<>"$said" >/dev/null 2>&1
    tr -d '\\r' < "$said" | head -n 1; rm -f "$said"
}
"""
_CHECK = f"""{_SAYS}
words=$(says "$PWD/new")
case $words in *"{_READ}") ;; *) echo "$words" >&2; exit 8 ;; esac
"""
#: $1 the file.
_ASKS = f"""{_SAYS}
says "$(readlink -f -- "$1")"
"""


def _told(config: ConfigFile, said: str) -> tuple[str, ...]:
    words = said.strip()
    if words.endswith(_READ):
        return ()
    return (f"vsftpd does not take the file that stands there now, {config.path}: {words or 'it says nothing'}",)


class Vsftpd:
    name = "vsftpd"
    siblings = ""
    intents: tuple[type[ArchiveIntent], ...] = (WebLoginIntent,)
    in_force = InForce.RESTART
    shown: Shown | None = None
    trial: Trial | None = Trial(check=_CHECK, asks=_ASKS, told=_told)
    capabilities = Capabilities(
        revert_min=timedelta(minutes=2),
        revert_max=timedelta(days=1),
        revert_step=timedelta(seconds=1),
        price="vsftpd is restarted once more: its port is closed meanwhile, transfers may end",
        down=timedelta(seconds=1),
        addressing=Addressing.REAL,
        atomic=True,
        stateful=False,
        survives_reboot=True,
        leaves_open={CONTROL: "every user of vsftpd's host that it lets in goes on reading what that user may read"},
    )

    def parsed(self, text: str) -> Document:
        return Document(text)

    def masked(self, text: str) -> str:
        return text  # nothing in it is a secret

    def patched(self, document: Document, text: str) -> Document:
        patch = parsed_patch(text)
        value = patch.get(ANONYMOUS)
        if patch.keys() - {ANONYMOUS} or not (value is None or (isinstance(value, str) and value.upper() in WORDS)):
            raise Unprovable(f"the patch is not one of {ANONYMOUS}", next="mend the template")
        return document.with_anonymous(value) if patch else document

    def settings(self, intent: WebLoginIntent) -> tuple[Setting, ...]:  # noqa: ARG002 -- the same for all
        return (Setting(key=(ANONYMOUS,), value=canonical(_OFF)),)

    def found(self, document: Document) -> Mapping[str, tuple[Setting, ...]]:
        spelt = document.spelt(ANONYMOUS)
        if spelt is None:
            return {}
        value = spelt if document.enabled(ANONYMOUS) else _OFF
        return {CONTROL: (Setting(key=(ANONYMOUS,), value=canonical(value)),)}

    def foreign(self, document: Document) -> str:
        return document.with_anonymous(None).text

    def patch(self, document: Document, control: str, wanted: Sequence[Setting]) -> dict[str, Any]:
        now = self.found(document).get(control, ())
        if tuple(wanted) == now:
            return {}
        return {ANONYMOUS: json.loads(wanted[0].value) if wanted else None}

    def lock_outs(self, document: Document, intent: WebLoginIntent) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        if document.enabled(LOCAL):
            return ()
        wrong = (
            f"{LOCAL} is not YES there: without anonymous users either, vsftpd lets nobody in, and breaks off with an "
            f"error; switch it off on that host (systemctl disable --now vsftpd), or set {LOCAL} to YES for those who "
            "need it"
        )
        return (wrong,)

    def remarks(self, document: Document, intent: WebLoginIntent) -> tuple[str, ...]:  # noqa: ARG002 -- the same for all
        if document.enabled(TLS) and document.enabled(LOCAL_TLS):
            return ()
        return (f"passwords may pass in clear there: {TLS} and {LOCAL_TLS} are not both YES",)

    def unfit(self, files: Files, command: str, controls: Collection[str]) -> tuple[str, ...]:  # noqa: ARG002 -- one control
        """It reads the files that it was started with, one after the other; without any, /etc/vsftpd.conf."""
        if not command:
            return ()
        named = [word for word in command.split()[1:] if not word.startswith("-")]
        if (named or ["/etc/vsftpd.conf"])[-1] == files.path or (named and not named[-1].startswith("/")):
            return ()
        return (
            f"vsftpd was started with {(named or ['/etc/vsftpd.conf'])[-1]}, and not with {files.path} (config.file)",
        )

    def lacks(self, command: str) -> tuple[str, ...]:
        if not command:
            return ()
        if not re.search(r"(^|/)vsftpd( |$)", command.split(" ", 1)[0] + " "):
            return (f"what listens there is not vsftpd: {command.split()[0]}",)
        if found := re.search(rf" -o\s*({ANONYMOUS}|{LOCAL})=", command):
            return (
                f"vsftpd was started with -o{found[1]}, which counts more than its file: take it off its command line",
            )
        return ()


SPEC = ArchiveSpec(Vsftpd())
