"""What must hold after each step. It reads the devices, the wire and the records, and nothing of the product's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.histories import journal, wire
from tests.histories.sites import BEHIND, Archive, Seen, Site, device_of

STATUSES = frozenset({0, 1, 2, 3, 4, 5, 130})


@dataclass(frozen=True)
class Broken:
    """``rule``: which invariant, in two or three words; ``what``: where and how."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


@dataclass(frozen=True)
class Wire:
    """By archive: whether an association comes about from outside, and from the clinic."""

    outside: dict[str, bool]
    inside: dict[str, bool]


def connect(archives: Mapping[str, Archive], expected_open: Mapping[str, bool]) -> Wire:
    """What is not as the devices say is asked again, with more patience."""

    def ask(way: wire.Way, expected: bool) -> bool:
        answered = wire.answers(way)
        return wire.answers(way, wire.SECOND_PATIENCE) if answered is not expected else answered

    with ThreadPoolExecutor(2 * len(archives)) as pool:
        outside = {n: pool.submit(ask, a.outside, expected_open[n]) for n, a in archives.items()}
        inside = {n: pool.submit(ask, a.inside, True) for n, a in archives.items()}
        return Wire({n: one.result() for n, one in outside.items()}, {n: one.result() for n, one in inside.items()})


def judge(site: Site, records: tuple[Path, ...], *, running: bool) -> tuple[list[Broken], Wire]:
    """``running``: some command is held in the middle, so that what it is about is not known."""
    said = journal.said(records)
    unfinished = {device_of(name) for name in said.unfinished}
    unknown = set(said.unknown)
    guarded = {name: said.guarded.get(name, False) for name in BEHIND}
    clean = frozenset(
        device
        for device in set(BEHIND.values())
        if device not in unfinished and not any(guarded[name] for name in BEHIND if BEHIND[name] == device)
    )
    seen = site.look(clean)
    wires = connect(site.archives, {name: not seen.in_force[name] for name in BEHIND})
    broken = [Broken("foreign", text) for text in seen.foreign]
    broken += _armed(seen, unfinished)
    for name in BEHIND:
        if name in unknown:
            continue
        broken += _guard(name, guarded[name], seen, wires)
    if running:
        broken = [one for one in broken if one.rule != "foreign"]
    return broken, wires


def _armed(seen: Seen, unfinished: set[str]) -> Iterator[Broken]:
    for device, what in seen.armed.items():
        if device not in unfinished:
            yield Broken("armed, unknown", f"{device}: {what}; no record has an unfinished change of it")


def _guard(name: str, guarded: bool, seen: Seen, wires: Wire) -> Iterator[Broken]:
    if guarded:
        if not seen.in_force[name]:
            yield Broken(
                "confirmed, not in force", f"{name}: the record calls its guard confirmed, and it is not there"
            )
        elif wires.outside[name]:
            yield Broken("confirmed, open", f"{name}: the guard is there, and whoever is outside gets in")
        if not seen.at_boot[name]:
            yield Broken("confirmed, not at boot", f"{name}: its guard will be gone after a restart")
        return
    if seen.in_force[name]:
        yield Broken("unconfirmed, in force", f"{name}: there is a guard that no record calls confirmed")
    if seen.at_boot[name]:
        yield Broken("unconfirmed, at boot", f"{name}: the next boot brings a guard that no record calls confirmed")


_WELL = "protected"
_NAMES = r"((?:a\d)(?:, a\d)*)"
_KEPT = re.compile(rf"(?:still confirmed|confirmed before): {_NAMES}")
_REOPENED = re.compile(rf"OPEN TO THE OUTSIDE AGAIN: {_NAMES}")
_WAVE = re.compile(rf"^\s*\d+\s+{_NAMES}\s+(confirmed|unchanged|rolled back)\s+(\S.*?)\s*$", re.MULTILINE)


def sentences(out: str, err: str, wires: Wire, *, reopens: bool, reachable: Mapping[str, bool]) -> Iterator[Broken]:
    """What was said last, beside what is so now. ``reopens``: an earlier change was taken back, so what it confirmed is
    open. ``reachable``: archives that answer at all; of the others nothing can be told by a connection.
    """
    if "Traceback (most recent call last)" in err:
        yield Broken("traceback", err.strip().splitlines()[-1])
    closed = set()
    for kept in _KEPT.findall(out + err):
        closed |= set(kept.split(", "))
    for names, state, verdicts in _WAVE.findall(out):
        if state == "confirmed" and not reopens:
            closed |= set(names.split(", "))
        elif state == "unchanged":  # of these the verdict is what is said
            closed |= {
                n for n, verdict in zip(names.split(", "), verdicts.split(", "), strict=False) if verdict == _WELL
            }
    for name in sorted(closed):
        if reachable[name] and wires.outside[name]:
            yield Broken("untrue", f"{name} is called confirmed, and is open to the outside")
        if reachable[name] and not wires.inside[name]:
            yield Broken("untrue", f"{name} is called confirmed, and the clinic is not served")
    for names in _REOPENED.findall(err):
        for name in names.split(", "):
            if reachable[name] and not wires.outside[name]:
                yield Broken("untrue", f"{name} is called open again, and is closed to the outside")
