"""What a change's story says of who was connected, and of the time for which an archive did not answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remediate.model.change import Candidate, Entry, Plan, Section, Wave
from remediate.report import export, export_markdown, story
from tests import factories
from tests.factories import NOON


def entries(cut: list[dict[str, Any]], told: dict[str, str], cannot: dict[str, str]) -> list[Entry]:
    intent = factories.intent()
    section = Section(name=intent.section, intent=intent, rules=(), previous=None)
    texts = dict.fromkeys(("text", "inverse", "base", "diff"), "")
    candidate = Candidate(
        device="pacs-north", platform="orthanc", sections=(section,), down=timedelta(seconds=3), **texts
    )
    wave = Wave(
        number=1,
        play="x",
        pacs=("pacs-north",),
        vantages=("internet",),
        revert_in=timedelta(minutes=5),
        candidates=(candidate,),
        simulated={"pacs-north": ("ward",)},
    )
    plan = Plan(tool="0", playbook="x", inventory="x", inputs={}, waves=(wave,))
    connection = {"device": "fw-north", "address": "203.0.113.66", "port": 104, "interface": "wan"}
    live = {
        "told": told,
        "cannot_tell": cannot,
        "connections": [
            {**connection, "established": True, "count": 2},
            {**connection, "established": False, "count": 7},
            {**connection, "address": "10.20.0.10", "established": True, "count": 1},
        ]
        if told
        else [],
        "noted": {},
        "cut": cut,
    }
    token = {"device": "pacs-north", "token": "t"}
    steps: list[tuple[str, dict[str, Any]]] = [
        ("planned", {"plan": plan.model_dump(mode="json"), "plan_sha256": plan.digest}),
        ("live peers", {"wave": 1, **live}),
        ("arming", {"wave": 1, "state": "armed", "tokens": {"pacs-north": "t"}, "revert_in": 300.0}),
        ("pushing", {"wave": 1, **token}),
        ("pushed", {"wave": 1, **token, "seconds_left": 300.0, "down": 2.5}),
        ("rolling back", {"wave": 1, "state": "rolling back", "why": "care path broken"}),
        (
            "rolled back",
            {
                "wave": 1,
                "state": "rolled back",
                "why": "care path broken",
                "restored": True,
                "differences": [],
                "down": {"pacs-north": 4.25},
            },
        ),
    ]
    return [
        Entry(change="c", seq=n, at=NOON + timedelta(seconds=n), kind=kind, data=data, previous="", hash="")
        for n, (kind, data) in enumerate(steps, start=1)
    ]


CUT = {
    "pacs": "pacs-north",
    "device": "pacs-north",
    "address": "203.0.113.66",
    "ports": [104],
    "sessions": 2,
    "told": "connection tracking of fw-north shows",
    "listed": [],
    "accepted": True,
}


def test_who_was_connected_and_whom_it_cut_off() -> None:
    made = export.document(entries([CUT], {"fw-north": "connection tracking"}, {"pacs-north": "no ss there"}))
    assert made.waves[0].connected is not None
    assert (made.waves[0].connected.connections, made.waves[0].connected.addresses) == (3, 2)
    line = next(one for one in story.wave(made, made.waves[0]) if "connected" in one.text)
    assert line.text == (
        "2 addresses were connected, 3 connections in all, by connection tracking of fw-north; 1 would be cut off."
    )
    assert line.more == (
        "203.0.113.66, 2 to port 104 of pacs-north, cut off by pacs-north: accepted by name",
        "pacs-north cannot tell: no ss there",
    )
    text = export_markdown.as_markdown(made)
    assert "203.0.113.66, 2 to port 104 of pacs-north" in text
    assert text.index("were connected") < text.index("Pushed ")


def test_where_nobody_can_tell_it_says_so() -> None:
    made = export.document(entries([], {}, {"fw-north": "no connection tracking"}))
    text = export_markdown.as_markdown(made)
    assert "Nobody could tell who was connected." in text and "fw-north cannot tell: no connection tracking" in text


def test_down_time_of_the_push_and_of_taking_it_back() -> None:
    made = export.document(entries([], {}, {}))
    assert (made.devices[0].down, made.devices[0].down_back) == (2.5, 4.25)
    text = export_markdown.as_markdown(made)
    assert "its services did not answer for 2.5 s; 3 s were expected" in text
    assert "pacs-north: its services did not answer for 4.2 s while it was taken back" in text
    assert "| pacs-north | care path | ward | - | - | simulated | - | - |" in text
