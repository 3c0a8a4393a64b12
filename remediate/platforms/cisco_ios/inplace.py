"""Entries of ours between the entries of a list that somebody else has made: which number each is typed with.

By number alone an entry goes to its place on every train, and nothing that stands there moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from remediate.model.rule import Rule
from remediate.platforms.cisco_ios.acl import AccessList, core, others_before, rule_of

#: The highest number that an entry may have.
_HIGHEST = 2147483647


class Line(NamedTuple):
    """One line in a list: a remark, an entry of ours (``rule``), or somebody else's (``text``)."""

    number: int | None = None
    remark: str = ""
    rule: Rule | None = None
    text: str = ""
    undo: bool = False


class _Row(NamedTuple):
    """``rule``: ours, or None."""

    number: int
    rule: Rule | None


class _Run(NamedTuple):
    """Entries of one section that are missing side by side. ``before``, ``after``: those that stand there around them,
    behind as many of others' entries.
    """

    rules: list[Rule]
    before: Rule | None
    after: Rule | None


def inserted(
    acl: AccessList, now: Mapping[str, Sequence[Rule]], wanted: Mapping[str, Sequence[Rule]]
) -> tuple[Line, ...] | None:
    """What adds to each section what it lacks; None where there is no room. The order of its entries is kept, and a
    section of which nothing is there goes ahead of everybody else's entries.
    """
    own = {core(rule) for rules in now.values() for rule in rules}
    rows = [_Row(entry.number, rule if (rule := rule_of(entry.text)) in own else None) for entry in acl.entries]
    lines: list[Line] = []
    for name, rules in wanted.items():
        for run in _runs(rules, now.get(name, ())):
            for at in _places(rows, run):
                below, above = (rows[at - 1].number if at else 0), (rows[at].number if at < len(rows) else _HIGHEST + 1)
                if above - below > len(run.rules):
                    break
            else:
                return None
            ahead_of_ours = at == 0 and rows[0].rule is not None
            first = above - len(run.rules) if ahead_of_ours else below + 1
            made = [_Row(number, core(rule)) for number, rule in enumerate(run.rules, start=first)]
            rows[at:at] = made
            lines += [Line(number=row.number, rule=row.rule) for row in made]
    return tuple(lines)


def _runs(wanted: Sequence[Rule], now: Sequence[Rule]) -> Iterator[_Run]:
    there = set(now)
    run: list[Rule] = []
    before: Rule | None = None
    for rule in wanted:
        if run and (rule in there or rule.note != run[-1].note):
            after = rule if rule.note == run[-1].note else None
            yield _Run(run, before, after)
            run, before = [], (None if after is None else run[-1])
        if rule in there:
            before = rule
        else:
            if before is not None and before.note != rule.note:
                before = None
            run.append(rule)
    if run:
        yield _Run(run, before, None)


def _places(rows: Sequence[_Row], run: _Run) -> Iterator[int]:
    """Before which rows the run may go."""
    if run.after is not None:
        yield _index(rows, run.after)
    elif run.before is not None:
        yield _index(rows, run.before) + 1
    else:
        others = [at for at, row in enumerate(rows) if row.rule is None]
        behind = others_before(run.rules[0])
        yield others[behind] if behind < len(others) else len(rows)
        if not behind:
            yield 0


def _index(rows: Sequence[_Row], rule: Rule) -> int:
    bare = core(rule)
    return next(at for at, row in enumerate(rows) if row.rule is not None and row.rule == bare)
