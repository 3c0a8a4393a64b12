"""Configuring access lists: the named modes, and the numbered commands of the global mode."""

from __future__ import annotations

from remediate.lab.devices.cisco_ios.acl import (
    MAX_SEQUENCE,
    AccessList,
    is_extended_number,
    is_standard_number,
    read_ace,
)
from remediate.lab.devices.cisco_ios.configure import CONFIG, EXTENDED, STANDARD, Context, Mode
from remediate.lab.devices.cisco_ios.grammar import Cursor, Grammar, Invalid, Rejected


def _named(on: Context, standard: bool, name: str) -> AccessList:
    known = on.config.lists.get(name)
    if known is not None and known.standard != standard:
        other = "Standard" if known.standard else "Extended"
        raise Rejected(f"% A named {other} IP access list with this name already exists")
    if name.isdigit() and not (is_standard_number if standard else is_extended_number)(int(name)):
        raise Rejected("% Invalid access list name.")
    if known is None and not name.isdigit() and not name[0].isalpha():
        raise Rejected("% Invalid access list name.")
    return on.config.lists.setdefault(name, AccessList(name, standard, to_the_end=on.config.remarks_to_the_end))


@CONFIG.command("ip access-list extended <name:WORD>")
def _extended(on: Context, name: str) -> None:
    _named(on, False, name)
    on.mode = Mode("(config-ext-nacl)", name)


@CONFIG.command("ip access-list standard <name:WORD>")
def _standard(on: Context, name: str) -> None:
    _named(on, True, name)
    on.mode = Mode("(config-std-nacl)", name)


@CONFIG.command("no ip access-list extended <name:WORD>")
def _no_extended(on: Context, name: str) -> None:
    _forget(on, False, name)


@CONFIG.command("no ip access-list standard <name:WORD>")
def _no_standard(on: Context, name: str) -> None:
    _forget(on, True, name)


def _forget(on: Context, standard: bool, name: str) -> None:
    known = on.config.lists.get(name)
    if known is not None and known.standard == standard:
        del on.config.lists[name]


@CONFIG.command(f"ip access-list resequence <name:WORD> <start:1-{MAX_SEQUENCE}> <step:1-{MAX_SEQUENCE}>")
def _resequence(on: Context, name: str, start: int, step: int) -> None:
    known = on.config.lists.get(name)
    if known is not None:
        known.resequence(start, step)


@CONFIG.command("access-list <number:1-2699> <words:CURSOR>")
def _numbered(on: Context, number: int, words: Cursor) -> None:
    standard = is_standard_number(number)
    if not standard and not is_extended_number(number):
        raise Invalid(words.line.index(str(number)))
    verb = words.keyword(["permit", "deny", "remark"])
    if verb == "remark":
        _named(on, standard, str(number)).remark(words.rest())
        return
    ace = read_ace(verb, standard, words, numbered=True)
    _named(on, standard, str(number)).add(ace)


@CONFIG.command("no access-list <number:1-2699>", "no access-list <number:1-2699> <_rest:LINE>")
def _no_numbered(on: Context, number: int) -> None:
    """Whatever entry is named with it, the whole list goes."""
    on.config.lists.pop(str(number), None)


def _entries(grammar: Grammar, standard: bool) -> None:
    def add(on: Context, words: Cursor, verb: str, sequence: int | None = None) -> None:
        ace = read_ace(verb, standard, words, numbered=on.mode.target.isdigit())
        _named(on, standard, on.mode.target).add(ace, sequence)

    def remove(on: Context, words: Cursor, verb: str, sequence: int | None = None) -> None:
        _named(on, standard, on.mode.target).remove(read_ace(verb, standard, words), sequence)

    for verb in ("permit", "deny"):
        grammar.add(
            f"{verb} <words:CURSOR>",
            lambda on, words, verb=verb: add(on, words, verb),
        )
        grammar.add(
            f"<sequence:1-{MAX_SEQUENCE}> {verb} <words:CURSOR>",
            lambda on, sequence, words, verb=verb: add(on, words, verb, sequence),
        )
        grammar.add(
            f"no {verb} <words:CURSOR>",
            lambda on, words, verb=verb: remove(on, words, verb),
        )
        grammar.add(
            f"no <sequence:1-{MAX_SEQUENCE}> {verb} <words:CURSOR>",
            lambda on, sequence, words, verb=verb: remove(on, words, verb, sequence),
        )

    @grammar.command(f"no <sequence:1-{MAX_SEQUENCE}>")
    def _(on: Context, sequence: int) -> None:
        _named(on, standard, on.mode.target).remove_sequence(sequence)

    @grammar.command("remark <text:LINE>", f"<sequence:1-{MAX_SEQUENCE}> remark <text:LINE>")
    def _(on: Context, text: str, sequence: int | None = None) -> None:
        _named(on, standard, on.mode.target).remark(text, sequence)

    @grammar.command("no remark <text:LINE>")
    def _(on: Context, text: str) -> None:
        _named(on, standard, on.mode.target).remove_remark(text)


_entries(EXTENDED, False)
_entries(STANDARD, True)
