"""The oracle finds what is wrong, on both platforms: whoever judges is tried first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import can_be_alone
from tests.histories import __main__ as histories
from tests.histories import oracle, wire
from tests.histories.language import PLANTS
from tests.histories.oracle import Wire

#: What is planted once a1 is closed → the rules of which one must break.
_RULES = {
    "guard": {"confirmed, not in force"},
    "boot": {"confirmed, not at boot"},
    "foreign": {"foreign"},
    "stray": {"unconfirmed, in force"},
    "timer": {"armed, unknown"},
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("platform", histories.PLATFORMS)
def test_what_is_planted_is_found(platform: str, tmp_path: Path) -> None:
    if platform == "firewall" and not can_be_alone():
        pytest.skip("real nftables needs root, and namespaces of its own")
    cases: list[dict[str, object]] = [
        {"platform": platform, "name": what, "steps": f"run alice a1 once\nplant d1 {what}\n", "shrink": False}
        for what in PLANTS
    ]
    found = {one.name: one for one in histories.carry_out(cases, histories.HERE, tmp_path, 2)}
    for what in PLANTS:
        assert found[what].told[0][1].startswith("0:"), found[what].told
        assert {text.partition(":")[0] for text in found[what].broken} & _RULES[what], (what, found[what].broken)


OPEN, CLOSED = Wire({"a1": True}, {"a1": True}), Wire({"a1": False}, {"a1": True})
CUT = Wire({"a1": False}, {"a1": False})
ROW = " 1      a1     {}     protected \n"


@pytest.mark.parametrize(
    ("out", "err", "wires", "untrue"),
    [
        ("", "still confirmed: a1", OPEN, True),
        ("", "still confirmed: a1", CLOSED, False),
        ("confirmed before: a1; `remediate rollback", "", OPEN, True),
        (ROW.format("confirmed"), "", OPEN, True),
        (ROW.format("confirmed"), "", CUT, True),
        (ROW.format("unchanged"), "", OPEN, True),
        (ROW.format("rolled back"), "", OPEN, False),
        (ROW.format("confirmed"), "", CLOSED, False),
        ("", "! OPEN TO THE OUTSIDE AGAIN: a1", CLOSED, True),
        ("", "! OPEN TO THE OUTSIDE AGAIN: a1", OPEN, False),
        ("", "Traceback (most recent call last):\nKeyError: 1", CLOSED, True),
    ],
)
def test_a_sentence_that_is_not_true(out: str, err: str, wires: Wire, untrue: bool) -> None:
    found = list(oracle.sentences(out, err, wires, reopens=False, reachable={"a1": True}))
    assert bool(found) is untrue


def test_an_association_is_asked_for_as_the_standard_has_it() -> None:
    sent = wire.request("ORACLE", "ARCHIVE")
    assert sent[:2] == b"\x01\x00"  # A-ASSOCIATE-RQ
    assert int.from_bytes(sent[2:6], "big") == len(sent) - 6
    assert (sent[10:26].strip(), sent[26:42].strip()) == (b"ARCHIVE", b"ORACLE")
