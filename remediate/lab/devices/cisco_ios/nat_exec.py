"""Looking at translations, and clearing them."""

from __future__ import annotations

from remediate.lab.devices.cisco_ios.grammar import USER, Cursor, Rejected
from remediate.lab.devices.cisco_ios.nat_commands import NOT_FOUND
from remediate.lab.devices.cisco_ios.session import EXEC, Session
from remediate.lab.devices.cisco_ios.translations import Translation


@EXEC.command("show ip nat translations", level=USER)
def _translations(on: Session) -> str:
    return on.translations.shown(on.config.address_of)


@EXEC.command("show ip nat translations verbose", level=USER)
def _verbose(on: Session) -> str:
    return on.translations.shown(on.config.address_of, verbose=True)


@EXEC.command("show ip nat statistics", level=USER)
def _statistics(on: Session) -> str:
    return on.translations.statistics(on.config.sides("outside"), on.config.sides("inside"))


@EXEC.command("clear ip nat statistics")
def _clear_statistics(on: Session) -> None:
    on.translations.clear_statistics()


@EXEC.command("clear ip nat translation *", "clear ip nat translation forced")
def _clear_all(on: Session) -> None:
    on.translations.clear()


@EXEC.command("clear ip nat translation inside <words:CURSOR>")
def _clear_simple(_on: Session, words: Cursor) -> None:
    """A simple entry would be one without ports that an address from a pool got: this router makes none."""
    words.address(), words.address()
    if words.more():
        words.keyword(["outside"])
        words.address(), words.address()
    words.end()
    raise Rejected(NOT_FOUND)


def _clear_extended(protocol: str) -> None:
    @EXEC.command(f"clear ip nat translation {protocol} inside <words:CURSOR>")
    def _(on: Session, words: Cursor) -> None:
        outward = words.address(), words.number(1, 65535)
        local = words.address(), words.number(1, 65535)
        peer = None
        if words.more():
            words.keyword(["outside"])
            peer = words.address(), words.number(1, 65535)
            words.address(), words.number(1, 65535)
        words.end()

        def fits(one: Translation) -> bool:
            return (one.inside_global, one.inside_local) == (outward, local) and peer in (None, one.outside)

        if protocol != "tcp" or not on.translations.clear(fits):
            raise Rejected(NOT_FOUND)


_clear_extended("tcp")
_clear_extended("udp")
