"""What a journal tells of each device that a change wrote to, or was to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from remediate.model.change import Candidate, Entry, State, Wave
from remediate.report.schema import DeviceStory, WaveStory


def device_stories(
    plan: Iterable[Wave], stories: Iterable[WaveStory], entries: Sequence[Entry]
) -> Iterator[DeviceStory]:
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
