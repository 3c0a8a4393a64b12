"""Of a configuration, everything that is not ours and does not change by itself, as text."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from remediate.platforms.cisco_ios import ledger
from remediate.platforms.cisco_ios.acl import Parts
from remediate.platforms.cisco_ios.config import DIRECTIONS, MARKER, Config, Place, effective, read, said, same
from remediate.platforms.cisco_ios.forwards import STATIC
from remediate.platforms.cisco_ios.notes import list_name, notes, retyped


def foreign(config: Config, places: Iterable[Place]) -> str:
    """A clone in one of ``places`` is shown as the list whose work it does, where it still does just that; a static
    translation that is switched off, as if it stood there. Of these the device decides the order.
    """
    shown = dict(config.bound)
    noted = notes(config)
    hidden = {MARKER, *map(list_name, noted)}
    for place in places:
        here = effective(config, place)
        if here.name and here.restorable:
            hidden.add(here.name)
            if here.origin is None:
                del shown[place]
            else:
                shown[place] = here.origin
    hidden -= set(shown.values())
    lines: list[str] = []
    for block in config.blocks:
        if block.head.startswith(STATIC):
            continue
        lines += [block.head, *block.children]
        interface = block.head.removeprefix("interface ")
        lines += [f" ip access-group {shown[interface, d]} {d}" for d in DIRECTIONS if (interface, d) in shown]
    static = [block.head for block in config.blocks if block.head.startswith(STATIC)]
    lines += sorted({*static, *chain.from_iterable(note.lines for note in noted.values())})
    for acl in sorted(config.lists.values()):
        if acl.name in hidden:
            continue
        if ledger.read(acl) and not acl.entries:
            continue
        own = config.parts(acl) if acl.extended else Parts({}, acl.entries, acl.trailing)
        kind = "extended" if acl.extended else "standard"
        lines.append(f"ip access-list {kind} {acl.name}")
        lines += [f" {line}" for line in said(own.rest, own.trailing)]
    return "\n".join(lines) + "\n"


def others_unsaved(running: str, startup: str, places: Iterable[Place]) -> bool:
    """Whether a save would keep somebody else's change: also a line that was switched off, and was typed in again."""
    if same(running, startup):
        return False
    now, saved = read(running), read(startup)
    return foreign(now, places) != foreign(saved, places) or not {*retyped(now)} <= {*retyped(saved)}


def lines_of(config: Config) -> list[str]:
    """Every line that counts, ours too: two configurations with the same lines are the same."""
    made = [*foreign(config, ()).splitlines(), *(f"again: {line}" for line in retyped(config))]
    for acl in config.lists.values():
        made += [f"{acl.name}: {line}" for line in said(acl.entries, acl.trailing)]
    return made


def differences(one: str, other: str) -> list[str]:
    """Lines that only one of the two has; where just their order differs, that is said."""
    if same(one, other):
        return []
    ours, theirs = lines_of(read(one)), lines_of(read(other))
    if ours == theirs:
        return []
    return [line for line in ours if line not in theirs] + [line for line in theirs if line not in ours] or [
        "the order"
    ]
