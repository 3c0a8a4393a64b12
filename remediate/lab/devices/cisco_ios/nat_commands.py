"""Configuring NAT: static entries of inside sources, and the interfaces between which they translate."""

from __future__ import annotations

from remediate.lab.devices.cisco_ios import nat
from remediate.lab.devices.cisco_ios.configure import CONFIG, INTERFACE, Context, Question, existing_interface
from remediate.lab.devices.cisco_ios.grammar import Cursor
from remediate.lab.devices.cisco_ios.submodes import here

NOT_FOUND = "%Translation not found"
IN_USE = "Static entry in use, do you want to delete child entries? [no]: "
KEPT = "%: Error: static entry in use, cannot remove"


@CONFIG.command("ip nat inside source static <words:CURSOR>")
def _static(on: Context, words: Cursor) -> str:
    entry, _ = nat.read(words, lambda cursor: existing_interface(on.config, cursor))
    refused = nat.conflict(entry, on.config.nat)
    if not refused:
        on.config.nat = nat.in_order([*on.config.nat, entry])
    return refused


@CONFIG.command("no ip nat inside source static <words:CURSOR>")
def _no_static(on: Context, words: Cursor) -> str | Question:
    wanted, forced = nat.read(words, lambda cursor: existing_interface(on.config, cursor), away=on.knows_forced)
    known = next((entry for entry in on.config.nat if entry.identity == wanted.identity), None)
    if known is None:
        return NOT_FOUND

    def remove() -> str:
        on.config.nat = [entry for entry in on.config.nat if entry != known]
        return ""

    def answered(answer: str) -> str:
        said = answer.strip().lower()
        return remove() if said and "yes".startswith(said) else KEPT

    if forced or not on.translations.used(known):
        return remove()
    return Question(IN_USE, answered)


def _side(side: str) -> None:
    @INTERFACE.command(f"ip nat {side}")
    def _(on: Context) -> None:
        here(on).nat = side
        here(on).reassembly = True  # IOS switches it on together with NAT

    @INTERFACE.command(f"no ip nat {side}")
    def _(on: Context) -> None:
        if here(on).nat == side:
            here(on).nat = ""


_side("inside")
_side("outside")


@INTERFACE.command("ip virtual-reassembly", "ip virtual-reassembly in")
def _reassembly(on: Context) -> None:
    here(on).reassembly = True


@INTERFACE.command("no ip virtual-reassembly", "no ip virtual-reassembly in")
def _no_reassembly(on: Context) -> None:
    here(on).reassembly = False
