"""A change's journal → the document that is shown and exported. Pure.

Everything in it comes from the entries: the verdicts are those of then, the findings are judged again by the same
pure rules from the observations of then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from remediate import __version__
from remediate.errors import RecordError
from remediate.model.change import Entry, Plan, State, Wave
from remediate.report import schema
from remediate.report.export_devices import device_stories
from remediate.report.export_evidence import evidence, exposure, simulated
from remediate.report.export_waves import wave_story
from remediate.report.schema import Document

#: Where waves ended differently, the change is called after the one that weighs most.
_WEIGHT = (
    State.NEEDS_HANDS,
    State.ROLLING_BACK,
    State.VERIFIED,
    State.PUSHED,
    State.ARMED,
    State.ROLLED_BACK,
    State.BASELINE,
    State.PREFLIGHT,
    State.STOPPED,
    State.CONFIRMED,
    State.UNCHANGED,
    State.APPROVED,
    State.PLANNED,
)


def document(entries: Sequence[Entry], problems: Iterable[str] = (), *, forced: bool = False) -> Document:
    """``problems``: what a verification of the hash chain found. Raises RecordError for an entry it cannot read."""
    try:
        return _document(entries, tuple(problems), forced)
    except (ValidationError, KeyError) as error:
        raise RecordError(
            f"an entry of change {entries[0].change} is not as this version writes it",
            next="remediate record verify; remediate record show --format json shows the entries as they are",
        ) from error


def refuse_broken(made: Document, *, force: bool) -> None:
    if not made.chain.verified and not force:
        raise RecordError(
            "the hash chain is broken, so the record proves nothing:\n  - " + "\n  - ".join(made.chain.problems),
            where=f"change {made.change.id}",
            next="find out who changed the database; --force exports it all the same, and the export says so",
        )


def as_json(made: Document) -> str:
    return made.model_dump_json(indent=2) + "\n"


def _document(entries: Sequence[Entry], problems: tuple[str, ...], forced: bool) -> Document:
    first, last = entries[0], entries[-1]
    plan = next((Plan.model_validate(e.data["plan"]) for e in entries if "plan" in e.data), None)
    waves = tuple(wave_story(wave, [e for e in entries if e.data.get("wave") == wave.number]) for wave in _waves(plan))
    devices = tuple(device_stories(_waves(plan), waves, entries))
    states = [wave.state for wave in waves if wave.passages] or [State.PLANNED]
    ended = last.kind == "ended"
    return Document(
        exported_at=datetime.now(UTC),
        tool=schema.Tool(planned_with=plan.tool if plan else None, exported_with=__version__),
        change=schema.Change(
            id=first.change,
            outcome=min(states, key=_WEIGHT.index),
            ended=ended,
            begun_at=first.at,
            ended_at=last.at if ended else None,
            seconds=(last.at - first.at).total_seconds(),
            exit_status=last.data["exit_status"] if ended else None,
            reason=last.data["reason"] if ended else "",
            operators=tuple(_operators(entries)),
            signatures=tuple(_signatures(entries)),
            emergency=plan.emergency if plan else "",
            plan_sha256=first.data.get("plan_sha256"),
            playbook=plan.playbook if plan else None,
            inventory=plan.inventory if plan else None,
            takes_back=plan.inputs.get("takes back") if plan else None,
            scope=first.data.get("scope", ""),
        ),
        chain=schema.Chain(
            verified=not problems,
            forced=forced and bool(problems),
            problems=problems,
            entries=len(entries),
            head=last.hash,
        ),
        exposure=tuple(exposure(waves, devices)),
        waves=waves,
        devices=devices,
        evidence=(*evidence(waves), *(one for wave in _waves(plan) for one in simulated(wave))),
        not_asked={pacs: lines for wave in _waves(plan) for pacs, lines in wave.not_asked.items()},
        leaves_open={name: text for wave in _waves(plan) for name, text in wave.leaves_open.items()},
        plan=plan,
        steps=tuple(
            schema.Journalled(
                seq=e.seq,
                at=e.at.astimezone(UTC).isoformat(timespec="microseconds"),
                kind=e.kind,
                data=e.data,
                previous=e.previous,
                hash=e.hash,
            )
            for e in entries
        ),
    )


def _waves(plan: Plan | None) -> tuple[Wave, ...]:
    return plan.waves if plan else ()


def _signatures(entries: Iterable[Entry]) -> Iterator[schema.Signature]:
    for entry in entries:
        for role, signed in entry.data.get("signatures", {}).items():
            yield schema.Signature(role=role, at=entry.at, **signed)


def _operators(entries: Iterable[Entry]) -> Iterator[schema.Operator]:
    for entry in entries:
        if "operator" in entry.data:
            did: Literal["began", "resumed"] = "resumed" if entry.kind == "resumed" else "began"
            yield schema.Operator(did=did, name=entry.data["operator"], host=entry.data["host"], at=entry.at)
