"""A plan as whoever approves it reads it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rich.console import Console

from remediate.model.change import Candidate, OpenSessions, Plan, Wave
from remediate.report import tables


def shown(sessions: OpenSessions | None = None, **changes: object) -> tuple[str, str]:
    """As text, and with its colours."""
    values = {"device": "fw", "platform": "p", "sections": (), "text": "", "inverse": "undo", "base": "", "diff": ""}
    candidate = Candidate.model_validate(values | changes)
    wave = Wave(
        number=1,
        play="Close",
        pacs=("pacs",),
        vantages=("internet",),
        revert_in=timedelta(minutes=5),
        candidates=(candidate,),
        takes_at_most=timedelta(minutes=12),
        open_sessions={} if sessions is None else {"fw": sessions},
    )
    plan = Plan(tool="0", playbook="", inventory="", inputs={}, waves=(wave,))
    console = Console(width=200, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(tables.plan(plan, diff=True))
    coloured = captured.get()
    plain = Console(width=200, color_system=None)
    with plain.capture() as captured:
        plain.print(tables.plan(plan, diff=True))
    return captured.get(), coloured


def test_worst_case_inverse_and_effect() -> None:
    said, _ = shown(effect=("denied: TCP to 203.0.113.20 port 104",))
    assert "push, verify and rollback take 12 min at the worst" in said
    assert "    denied: TCP to 203.0.113.20 port 104\n" in said
    assert "taken back by:\nundo\n" in said


def test_a_revert_that_stops_the_services_is_said_in_red() -> None:
    price = "it is restarted once more"
    assert f"\x1b[1;31m    if it is taken back: {price}" in shown(price=price, down=timedelta(seconds=3))[1]
    assert f"\x1b[33m    if it is taken back: {price}" in shown(price=price)[1]


@pytest.mark.parametrize(
    ("sessions", "said"),
    [
        (OpenSessions(count=2, peers=("192.0.2.9 to pacs, port 104",)), "CUTS 2 sessions open now: 192.0.2.9 to pacs"),
        (OpenSessions(count=1, peers=("192.0.2.9 to pacs, port 104",)), "CUTS 1 session open now: "),
        (OpenSessions(), "of the sessions that are open now it would cut none"),
        (OpenSessions(cannot="IOS keeps no list"), "whom it would cut off now is not known: IOS keeps no list"),
        (None, "who is connected now was not asked"),
    ],
)
def test_open_sessions(sessions: OpenSessions | None, said: str) -> None:
    text, coloured = shown(sessions)
    assert f"    {said}" in text
    assert ("\x1b[1;31m" in coloured) is (sessions is not None and sessions.count > 0)
