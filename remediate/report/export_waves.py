"""What a journal tells of a wave: its steps, its rounds of looking, judged again by the rules of then, its hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import TypeAdapter

from remediate.judge import judge
from remediate.model.change import Entry, State, Wave
from remediate.model.observation import CanaryReport, Observation, Question
from remediate.model.verdict import Expectation, Finding, Judgement
from remediate.report import schema
from remediate.report.schema import Round, WaveStory

Title = Literal["before", "after", "taken back"]

#: Kinds of entry that hold a round of looking.
_ROUNDS: dict[str, Title] = {"baseline": "before", "looked": "after", "rolled back": "taken back"}
_OBSERVATIONS = TypeAdapter(tuple[Observation, ...])
_CANARIES = TypeAdapter(tuple[CanaryReport, ...])
_QUESTIONS = TypeAdapter(tuple[Question, ...])


def wave_story(wave: Wave, entries: Sequence[Entry]) -> WaveStory:
    moves = [e for e in entries if "state" in e.data]
    last: dict[str, Any] = {"state": State.PLANNED, **(moves[-1].data if moves else {})}
    return WaveStory(
        number=wave.number,
        play=wave.play,
        pacs=wave.pacs,
        vantages=wave.vantages,
        state=State(last["state"]),
        reopens=wave.reopens,
        revert_in_seconds=wave.revert_in.total_seconds(),
        begun_at=entries[0].at if entries else None,
        ended_at=entries[-1].at if entries else None,
        reason=_reason(moves),
        passages=tuple(schema.Passage(at=e.at, step=e.kind, state=e.data["state"]) for e in moves),
        rounds=tuple(_rounds(wave, entries)),
        restored=last.get("restored"),
        differences=tuple(last.get("differences", ())),
        at_boot=last.get("at_boot", {}),
        connected=_connected(entries),
        hooks=tuple(_hooks(entries)),
        kept=_kept(entries),
        unasked=wave.unasked,
        nothing_to_close=wave.nothing_to_close,
    )


def _hooks(entries: Sequence[Entry]) -> Iterator[schema.HookStory]:
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        if "hook" in entry.data:
            told = entry.data["hook"]
            one = found.setdefault(
                (told["when"], told["number"]),
                {"name": told["name"], "run": told["run"], "when": told["when"], "hosts": (), "failed": ""}
                | {"began_at": None, "ended_at": None},
            )
            if entry.kind == "hook":
                one |= {"began_at": entry.at, "hosts": tuple(entry.data["hosts"])}
            else:
                one |= {"ended_at": entry.at, "failed": entry.data.get("failed", "")}
    return (schema.HookStory.model_validate(one) for one in found.values())


def _connected(entries: Sequence[Entry]) -> schema.Connected | None:
    """The last look before a push: after a crash there may be a second one."""
    found = next((e for e in reversed(entries) if e.kind == "live peers"), None)
    if found is None:
        return None
    live = [one for one in found.data["connections"] if one["established"]]
    keys = schema.CutOff.model_fields
    return schema.Connected(
        at=found.at,
        told=found.data["told"],
        cannot_tell=found.data["cannot_tell"],
        connections=sum(one["count"] for one in live),
        addresses=len({one["address"] for one in live}),
        cut=tuple(schema.CutOff(**{key: one[key] for key in keys}) for one in found.data["cut"]),
    )


def _kept(entries: Sequence[Entry]) -> schema.Kept | None:
    """The first: after a crash there may be a second one, which our own push may have changed."""
    entry = next((e for e in entries if e.kind == "evidence"), None)
    return schema.Kept(at=entry.at, devices=entry.data["evidence"]) if entry is not None else None


def _reason(moves: Sequence[Entry]) -> str:
    """Of the last step that has one; a confirmed wave has none any more."""
    if moves and moves[-1].data["state"] == State.CONFIRMED:
        return ""
    for entry in reversed(moves):
        if entry.data.get("devices"):
            return "\n".join(f"{name}: {text}" for name, text in entry.data["devices"].items())
        if entry.data.get("why"):
            return str(entry.data["why"])
    return ""


def _rounds(wave: Wave, entries: Sequence[Entry]) -> Iterator[Round]:
    pushing = next((e.at for e in entries if e.kind == "pushing"), None)
    reached: frozenset[Question] = frozenset()
    for entry in entries:
        if entry.kind not in _ROUNDS or "observations" not in entry.data:
            continue
        title = _ROUNDS[entry.kind]
        observations = _OBSERVATIONS.validate_python(entry.data["observations"])
        canaries = _CANARIES.validate_python(entry.data["canaries"])
        if title == "before":
            reached = frozenset(_QUESTIONS.validate_python(entry.data.get("reached_earlier", ())))
        judgements = [
            judge(
                pacs,
                wave.expectations,
                observations,
                canaries,
                asked_after=pushing if title == "after" else None,
                reached_before=reached,
                unasked=wave.unasked.get(pacs, ()),
            )
            for pacs in entry.data["verdicts"]
        ]
        if title == "before":
            reached |= {o.question for o in observations if o.rung.reachable}
        yield Round(
            title=title,
            at=entry.at,
            asked_from=min((o.asked_at for o in observations), default=None),
            asked_until=max((o.answered_at for o in observations), default=None),
            verdicts=entry.data["verdicts"],
            seen=tuple(_seen(judgement, finding) for judgement in judgements for finding in judgement.findings),
            canaries=canaries,
        )


def _seen(judgement: Judgement, finding: Finding) -> schema.Seen:
    expectation, answer = finding.expectation, finding.observation
    return schema.Seen(
        **_about(expectation),
        grade=expectation.grade,
        outcome=finding.outcome,
        service=expectation.question.kind,
        rung=answer.rung if answer else None,
        reject=answer.reject if answer else None,
        status=answer.status if answer else None,
        negotiated=tuple(sorted(answer.negotiated)) if answer else (),
        attributed=finding.attributed,
        asked_at=answer.asked_at if answer else None,
        elapsed=answer.elapsed if answer else None,
        why=finding.why,
        pacs=judgement.pacs,
    )


def _about(expectation: Expectation) -> dict[str, Any]:
    return {
        "purpose": expectation.purpose,
        "peer": expectation.peer,
        "role": expectation.role,
        "vantage": expectation.question.vantage,
        "endpoint": expectation.question.endpoint,
    }
