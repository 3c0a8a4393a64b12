"""A change's journal → the document that is shown and exported. Pure but for ``write_private``.

Everything in it comes from the entries: the verdicts are those of then, the findings are judged again by the same
pure rules from the observations of then.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from remediate import __version__
from remediate.errors import RecordError, UsageError
from remediate.judge import judge
from remediate.model.change import Candidate, Entry, Plan, State, Wave
from remediate.model.observation import CanaryReport, Observation, Question
from remediate.model.verdict import Expectation, Finding, Grade, Judgement, Outcome, Purpose
from remediate.report import schema
from remediate.report.schema import DeviceStory, Document, Evidence, Interval, Round, WaveStory

Title = Literal["before", "after", "taken back"]

#: Kinds of entry that hold a round of looking.
_ROUNDS: dict[str, Title] = {"baseline": "before", "looked": "after", "rolled back": "taken back"}
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
_OBSERVATIONS = TypeAdapter(tuple[Observation, ...])
_CANARIES = TypeAdapter(tuple[CanaryReport, ...])


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


def write_private(
    path: Path, text: str | bytes, what: str = "the export", advice: str = "name another file with --out"
) -> None:
    """Mode 0600 from its first byte on; a file that was there is replaced as a whole."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode() if isinstance(text, str) else text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{what} cannot be written: {error.strerror}", where=str(path), next=advice) from error


def _document(entries: Sequence[Entry], problems: tuple[str, ...], forced: bool) -> Document:
    first, last = entries[0], entries[-1]
    plan = next((Plan.model_validate(e.data["plan"]) for e in entries if "plan" in e.data), None)
    waves = tuple(_wave(wave, [e for e in entries if e.data.get("wave") == wave.number]) for wave in _waves(plan))
    devices = tuple(_devices(_waves(plan), waves, entries))
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
        exposure=tuple(_exposure(waves, devices)),
        waves=waves,
        devices=devices,
        evidence=(*_evidence(waves), *(one for wave in _waves(plan) for one in _simulated(wave))),
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


# -- waves --------------------------------------------------------------------------------------------


def _wave(wave: Wave, entries: Sequence[Entry]) -> WaveStory:
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
        judgements = [
            judge(
                pacs,
                wave.expectations,
                observations,
                canaries,
                asked_after=pushing if title == "after" else None,
                reached_before=reached,
            )
            for pacs in entry.data["verdicts"]
        ]
        if title == "before":
            reached = frozenset(o.question for o in observations if o.rung.reachable)
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


# -- devices ------------------------------------------------------------------------------------------


def _devices(plan: Iterable[Wave], stories: Iterable[WaveStory], entries: Sequence[Entry]) -> Iterator[DeviceStory]:
    for wave, story in zip(plan, stories, strict=True):
        own = [e for e in entries if e.data.get("wave") == wave.number]
        for candidate in wave.candidates:
            yield _device(candidate, story, own)


def _device(candidate: Candidate, wave: WaveStory, entries: Sequence[Entry]) -> DeviceStory:
    name = candidate.device
    own = {e.kind: e for e in entries if e.data.get("device") == name}
    moves = {passage.step: passage.at for passage in wave.passages}
    states = [e.data["states"] for e in entries if e.kind == "found on the devices" and name in e.data["states"]]
    state: Literal["not written", "provisional", "confirmed", "taken back", "needs hands"] = "provisional"
    if "pushing" not in own:
        state = "not written"
    elif wave.state is State.ROLLED_BACK:
        state = "taken back"
    elif wave.state is State.CONFIRMED:
        state = "confirmed"
    elif wave.state is State.NEEDS_HANDS:
        state = "needs hands"
    return DeviceStory(
        wave=wave.number,
        device=name,
        platform=candidate.platform,
        sections=tuple(section.name for section in candidate.sections),
        state=state,
        token=own["pushing"].data["token"] if "pushing" in own else None,
        pushing_at=_at(own, "pushing"),
        pushed_at=_at(own, "pushed"),
        confirmed_at=(_at(own, "device confirmed") or moves.get("confirmed")) if state == "confirmed" else None,
        taken_back_at=moves.get("rolled back") if state == "taken back" else None,
        refused="refused" in own,
        found=states[-1][name] if states else None,
        down_expected=candidate.down.total_seconds(),
        down=own["pushed"].data.get("down") if "pushed" in own else None,
        down_back=next(
            (e.data["down"].get(name) for e in entries if e.kind == "rolled back" and "down" in e.data), None
        ),
        base=candidate.base,
        candidate=candidate.text,
        inverse=candidate.inverse,
        diff=candidate.diff,
    )


def _at(entries: dict[str, Entry], kind: str) -> datetime | None:
    return entries[kind].at if kind in entries else None


# -- exposure and evidence ----------------------------------------------------------------------------


def _exposure(waves: Sequence[WaveStory], devices: Sequence[DeviceStory]) -> Iterator[Interval]:
    for pacs in dict.fromkeys(name for wave in waves for name in wave.pacs):
        yield from _intervals(pacs, [wave for wave in waves if pacs in wave.pacs], devices)


def _intervals(pacs: str, waves: Iterable[WaveStory], devices: Sequence[DeviceStory]) -> Iterator[Interval]:
    """A new one begins where the outside is seen open after it was seen closed, or after a push was taken back."""
    seen_closed: datetime | None = None
    now: dict[str, Any] | None = None
    for wave, look in ((one, look) for one in waves for look in one.rounds):
        if look.asked_from is None or look.asked_until is None:
            continue
        outside = [s for s in look.seen if s.pacs == pacs and s.purpose is Purpose.OUTSIDE_CLOSED]
        if any(s.outcome is Outcome.UNMET for s in outside):
            again = look.title == "taken back" and any(d.wave == wave.number and _was_in_force(d) for d in devices)
            if now is not None and again and not wave.reopens:
                yield _interval(now)
                now = None
            if now is None:
                back = seen_closed is not None or again
                now = {
                    "pacs": pacs,
                    "kind": "re-exposure" if back else "exposure",
                    "intended": wave.reopens,
                    "not_before": max(filter(None, (seen_closed, _in_force_until(wave, devices)))) if back else None,
                    "first_seen": min(s.asked_at for s in outside if s.outcome is Outcome.UNMET and s.asked_at),
                    "not_after": None,
                }
            now["last_seen"] = max(s.asked_at for s in outside if s.outcome is Outcome.UNMET and s.asked_at)
        elif outside and all(s.outcome is Outcome.MET for s in outside):
            if now is not None:
                yield _interval({**now, "not_after": look.asked_until})
                now = None
            seen_closed = look.asked_from
    if now is not None:
        yield _interval(now)


def _in_force_until(wave: WaveStory, devices: Sequence[DeviceStory]) -> datetime | None:
    """The last moment at which the wave's push is known to have been in force: before it, nothing was opened again."""
    mine = [device for device in devices if device.wave == wave.number]
    if all(device.found is None for device in mine):
        rolling = [passage.at for passage in wave.passages if passage.step == "rolling back"]
        if rolling:
            return rolling[-1]
    times = [device.pushed_at or device.pushing_at for device in mine]
    return max((at for at in times if at), default=None)


def _was_in_force(device: DeviceStory) -> bool:
    return device.pushing_at is not None and not device.refused and device.found != "absent"


def _interval(values: dict[str, Any]) -> Interval:
    first, last, before, after = (values[key] for key in ("first_seen", "last_seen", "not_before", "not_after"))
    most = (after - before).total_seconds() if after and before else None
    return Interval(**values, seconds_at_least=(last - first).total_seconds(), seconds_at_most=most)


def _simulated(wave: Wave) -> Iterator[Evidence]:
    for pacs, names in wave.simulated.items():
        for name in names:
            yield Evidence(
                pacs=pacs,
                purpose=Purpose.CARE_PATH,
                peer=name,
                role=None,
                vantage="",
                endpoint="",
                grade=Grade.SIMULATED,
                first=None,
                last=None,
                accepted=name in wave.accept_simulated,
            )


def _evidence(waves: Iterable[WaveStory]) -> Iterator[Evidence]:
    for wave in waves:
        rows: dict[tuple[Any, ...], list[schema.Seen]] = {}
        for look in wave.rounds:
            for seen in look.seen:
                key = (seen.pacs, seen.purpose, seen.peer, seen.role, seen.vantage, seen.endpoint)
                rows.setdefault(key, []).append(seen)
        for (pacs, purpose, peer, role, vantage, endpoint), found in rows.items():
            yield Evidence(
                pacs=pacs,
                purpose=purpose,
                peer=peer,
                role=role,
                vantage=vantage,
                endpoint=endpoint,
                grade=found[-1].grade,
                first=found[0].outcome,
                last=found[-1].outcome,
            )
