"""What was seen of a change's archives: for how long they were open to the outside, and what proves each path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from remediate.model.change import Wave
from remediate.model.verdict import Grade, Outcome, Purpose
from remediate.report import schema
from remediate.report.schema import DeviceStory, Evidence, Interval, WaveStory


def exposure(waves: Sequence[WaveStory], devices: Sequence[DeviceStory]) -> Iterator[Interval]:
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


def simulated(wave: Wave) -> Iterator[Evidence]:
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
                accepted=name in wave.accept_simulated or pacs in wave.accept_unseen,
            )


def evidence(waves: Iterable[WaveStory]) -> Iterator[Evidence]:
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
