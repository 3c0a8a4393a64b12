"""The hash chain over stored entries. Pure: what is hashed is the text as it is stored, never a value made from it.

A chain finds an altered, missing or swapped entry, and by its head a cut tail. A cut tail together with a head
that was set back, or a full rewrite, it cannot find: for that a head's hash must also be kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from remediate.model.base import sha256

#: What the first entry of every change follows.
START = "0" * 64


class Stored(NamedTuple):
    """An entry as it stands in the table. ``at``: ISO 8601, UTC; ``body``: canonical JSON."""

    change: str
    seq: int
    at: str
    kind: str
    body: str
    previous: str
    hash: str


class Head(NamedTuple):
    """The end of a change's chain as its head row says: ``seq`` entries, of which the last has ``hash``."""

    begun_at: str
    seq: int
    hash: str


def link(previous: str, change: str, seq: int, at: str, kind: str, body: str) -> str:
    """The hash of an entry. ``change``, ``at`` and ``kind`` hold no line feed, so no two entries share a text."""
    return sha256(f"{previous}\n{change}\n{seq}\n{at}\n{kind}\n{body}")


def problems(change: str, entries: Iterable[Stored], head: Head | None) -> list[str]:
    """What is wrong with one chain, entries in order of ``seq``; empty if it is intact."""
    found: list[str] = []
    previous, count, begun_at = START, 0, ""
    for entry in entries:
        count += 1
        begun_at = begun_at or entry.at
        if entry.seq != count:
            found.append(f"{change}: entry {count} is missing, entry {entry.seq} stands in its place")
            count = entry.seq
        if entry.previous != previous:
            found.append(f"{change}: entry {entry.seq} does not follow the entry before it")
        if entry.hash != link(entry.previous, entry.change, entry.seq, entry.at, entry.kind, entry.body):
            found.append(f"{change}: entry {entry.seq} was altered")
        previous = entry.hash
    if head is None:
        found.append(f"{change}: the head is missing")
        return found
    if head.seq != count:
        found.append(f"{change}: the head counts {head.seq} entries, {count} are there")
    elif head.hash != previous:
        found.append(f"{change}: the head does not belong to the last entry")
    if count and head.begun_at != begun_at:
        found.append(f"{change}: the head's begin is not that of the first entry")
    return found
