"""A change in words, for somebody who was not there. The same sentences on a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from remediate import errors
from remediate.model.change import State, Wave
from remediate.model.verdict import Outcome, Purpose, Unasked
from remediate.report.schema import (
    Connected,
    DeviceStory,
    Document,
    HookStory,
    Interval,
    Kept,
    Round,
    Seen,
    WaveStory,
)

_EXIT = {
    errors.EXIT_OK: "as expected",
    errors.EXIT_EXPOSED: "exposed, or a care path is broken",
    errors.EXIT_USAGE: "usage, inventory or playbook error",
    errors.EXIT_INCONCLUSIVE: "inconclusive",
    errors.EXIT_ROLLED_BACK: "rolled back",
    errors.EXIT_NEEDS_HANDS: "needs hands",
    errors.EXIT_INTERRUPTED: "interrupted",
}
_LOOKED = {
    "before": "before anything was changed",
    "after": "with the change in force",
    "taken back": "after the change was taken back",
}
_SIGNED = {"approver": "the plan was approved", "operator": "its run was signed", "closer": "its end was signed"}


#: Pieces of evidence of one kind and device that are told; the record and its JSON export have all that were kept.
SHOWN = 20


class Line(NamedTuple):
    """``more``: what stands under it, one fact a line."""

    at: datetime
    text: str
    more: tuple[str, ...] = ()


def headline(made: Document) -> str:
    """How it ended, in one sentence."""
    pacs = _and(dict.fromkeys(name for wave in made.waves for name in wave.pacs)) or "nothing"
    of = f"change {made.change.id}"
    if not made.change.ended and made.change.outcome is not State.NEEDS_HANDS:
        return f"{of} has not ended: it stands at {made.change.outcome}; remediate resume goes on with it"
    reason = made.change.reason.partition("\n")[0] or next((w.reason for w in made.waves if w.reason), "")
    outcome = made.change.outcome
    ended_so = _and(dict.fromkeys(name for wave in made.waves if wave.state is outcome for name in wave.pacs)) or pacs
    match outcome:
        case State.CONFIRMED if made.change.takes_back:
            return f"{of} took back change {made.change.takes_back}, which opens {pacs} again"
        case State.CONFIRMED:
            waves = [wave for wave in made.waves if wave.state is State.CONFIRMED]
            closed = _and(dict.fromkeys(p for w in waves for p in w.pacs))
            if any(seen.rung is not None and seen.rung.reachable for w in waves for seen in _outside_at_last(w)):
                return f"{of} restricted {closed}, which stays reachable, proved it, and was confirmed"
            return f"{of} closed {closed} to the outside, proved it, and was confirmed"
        case State.ROLLED_BACK:
            return f"{of} on {ended_so} was taken back: {reason}"
        case State.NEEDS_HANDS:
            return f"{of} on {ended_so} NEEDS HANDS: {reason}"
        case State.STOPPED:
            there = " there" if ended_so != pacs else ""
            return f"{of} on {ended_so} stopped before anything was pushed{there}: {reason}"
        case _:
            verdicts = {v for wave in made.waves for look in wave.rounds for v in look.verdicts.values()}
            said = f"{of} changed nothing on {pacs}: {_and(sorted(verdicts)) or 'nothing was looked at'} already"
            return f"{said}: {reason}" if reason else said


def facts(made: Document) -> list[str]:
    """When, by whom, with what; and what the record itself is worth."""
    change = made.change
    lines = [f"{one.did} {utc(one.at)} by {one.name} on {one.host}" for one in change.operators]
    lines += [f"{_SIGNED[one.role]} by {one.principal} ({one.fingerprint})" for one in change.signatures]
    if change.emergency:
        lines.append(f"EMERGENCY, run without approval: {change.emergency}")
    if change.ended_at is not None and change.exit_status is not None:
        meaning = _EXIT.get(change.exit_status, "")
        lines.append(
            f"ended {utc(change.ended_at)}, after {seconds(change.seconds)}; exit status {change.exit_status}"
            + (f" ({meaning})" if meaning else "")
        )
    if change.playbook:
        lines.append(f"playbook {change.playbook}, plan {str(change.plan_sha256)[:16]}")
    kept = [
        p for w in made.waves if w.state is State.CONFIRMED and change.outcome is not State.CONFIRMED for p in w.pacs
    ]
    if kept:
        said = "confirmed before that, and not taken back by this change"
        if change.takes_back:
            said = "taken back before that, for good"
        lines.append(f"{said}: {_and(dict.fromkeys(kept))}")
    lines += [text for wave in made.waves for text in nothing_to_close(wave)]
    not_begun = [str(wave.number) for wave in made.waves if not wave.passages]
    if not_begun:
        lines.append(f"not begun: wave {', '.join(not_begun)} of {len(made.waves)}")
    lines.append(chain(made))
    return lines


def limits(made: Document) -> list[str]:
    """What the controls do not give."""
    return [f"{control}: {text}" for control, text in made.leaves_open.items()]


def chain(made: Document) -> str:
    if made.chain.verified:
        return f"hash chain intact: {made.chain.entries} entries, head {made.chain.head}"
    return "HASH CHAIN BROKEN, so nothing here is proved: " + "; ".join(made.chain.problems)


def wave(made: Document, one: WaveStory) -> list[Line]:
    """What happened in it, in the order of time."""
    mine = [device for device in made.devices if device.wave == one.number]
    lines = [_look(look, one) for look in one.rounds]
    lines += [_kept(one.kept)] if one.kept else []
    lines += [_connected(one.connected)] if one.connected else []
    lines += [_push(device, one) for device in mine if device.pushing_at]
    lines += [_hook(hook) for hook in one.hooks]
    lines += [
        Line(operator.at, f"After an interruption resumed by {operator.name} on {operator.host}.", _found(mine))
        for operator in made.change.operators
        if operator.did == "resumed" and one.begun_at and operator.at > one.begun_at and _spans(one, operator.at)
    ]
    return sorted([*lines, *_ends(one, mine)], key=lambda line: line.at)


def _kept(kept: Kept) -> Line:
    """Of each kind the first ones: the others are in the step itself."""
    more: list[str] = []
    total: dict[str, int] = {}
    for device, traces in kept.devices.items():
        hits = [counter for counter in traces.counters if counter.packets]
        for kind, found in (("counters with hits", hits), ("log", traces.log), ("translations", traces.translations)):
            total[kind] = total.get(kind, 0) + len(found)
            more += [f"{device}: {one.words}" for one in found[:SHOWN]]
            more += [f"{device}: {len(found) - SHOWN} more in the {kind}"] if len(found) > SHOWN else []
        more += [f"{device}: {many} more {kind} than are kept" for kind, many in traces.left_off.items()]
        more += [f"{device}: not kept: {why}" for why in traces.lacks]
    counted = f"{total.get('counters with hits', 0)} counters with hits, {total.get('log', 0)} logged packets"
    said = f"{counted}, {total.get('translations', 0)} translated connections"
    return Line(kept.at, f"Kept as evidence before anything was armed: {said}.", tuple(more))


def _connected(live: Connected) -> Line:
    """Counts, and whom it would cut off by name; everybody is in the step itself."""
    said = "Nobody could tell who was connected."
    if live.told:
        by = _and(f"{how} of {device}" for device, how in live.told.items())
        many = f"{live.addresses} addresses were connected, {live.connections} connections in all"
        was = many if live.connections else "Nobody was connected"
        said = f"{was}, by {by}; {len(live.cut) or 'nobody'} would be cut off."
    more = []
    for one in live.cut:
        how = f"listed as {_and(one.listed)}" if one.listed else "accepted by name" if one.accepted else "NOT LISTED"
        ports = ", ".join(map(str, one.ports))
        more.append(f"{one.address}, {one.sessions} to port {ports} of {one.pacs}, cut off by {one.device}: {how}")
    more += [f"{device} cannot tell: {why}" for device, why in live.cannot_tell.items()]
    return Line(live.at, said, tuple(more))


def _hook(hook: HookStory) -> Line:
    at = hook.ended_at or hook.began_at
    assert at is not None  # or it would not be in the record
    where = "before the push" if hook.when == "before" else "after the confirmation"
    text = f"Own step {hook.name!r} ({hook.run}) ran {where} on {_and(hook.hosts)}."
    if hook.began_at is None:
        text = f"Own step {hook.name!r} ({hook.run}) was to run {where}."
    elif hook.ended_at is None:
        text = f"Own step {hook.name!r} ({hook.run}) began {where} on {_and(hook.hosts)}."
    return Line(at, text, (f"FAILED: {hook.failed}",) if hook.failed else ())


def _spans(one: WaveStory, at: datetime) -> bool:
    return one.ended_at is None or at <= one.ended_at


def _found(devices: Iterable[DeviceStory]) -> tuple[str, ...]:
    return tuple(f"{device.device} said of the push: {device.found}" for device in devices if device.found)


def _look(look: Round, one: WaveStory) -> Line:
    verdicts = "; ".join(f"{pacs}: {verdict}" for pacs, verdict in look.verdicts.items())
    return Line(
        look.at,
        f"Looked from {_and(one.vantages)} {_LOOKED[look.title]}. {verdicts}.",
        (*sights(look), *(text for pacs in look.verdicts for text in scope(pacs, one.unasked.get(pacs, ())))),
    )


def scope(pacs: str, unasked: Iterable[Unasked]) -> Iterator[str]:
    """On what a verdict rests beside what was seen."""
    return (f"{pacs}: {side.purpose} was not looked at: {side.why}" for side in unasked)


def nothing_to_close(wave: Wave | WaveStory) -> Iterator[str]:
    for pacs, controls in wave.nothing_to_close.items():
        yield f"{pacs}: nothing to close by {_and(controls)}: it has no outside address"


def sights(look: Round) -> Iterator[str]:
    """One line for each door outside, and one for each peer's service."""
    groups: dict[tuple[object, ...], list[Seen]] = {}
    for seen in look.seen:
        groups.setdefault((seen.pacs, seen.purpose, seen.vantage, seen.peer, seen.endpoint), []).append(seen)
    for rows in groups.values():
        first = rows[0]
        who = first.vantage + (f" as {first.peer}" if first.peer else "")
        text = f"{who}: {first.service} of {first.pacs} at {first.endpoint}: {rung(first)}"
        served = [str(seen.role) for seen in rows if seen.role and seen.outcome is Outcome.MET]
        if served:
            text += f"; served: {', '.join(served)}"
        worst = next((seen for seen in rows if seen.outcome is not Outcome.MET), None)
        if worst is not None:
            why = worst.why.removeprefix("reachable: ").removeprefix(rung(first)).strip(" ()")
            text += f" ({'not as it must be' if worst.outcome is Outcome.UNMET else 'unknown'}"
            text += f": {why})" if why else ")"
        elif first.attributed is False and look.title != "before":
            text += " (not attributed to the guard: it was not reached before either)"
        yield text
    yield from (f"canary of {one.vantage}: {one.detail}" for one in look.canaries if not one.alive)


def rung(seen: Seen) -> str:
    if seen.rung is None:
        return "no answer was brought back"
    return seen.rung.value + (" " + "/".join(map(str, seen.reject)) if seen.reject else "")


def _push(device: DeviceStory, one: WaveStory) -> Line:
    assert device.pushing_at is not None
    sections = _and(device.sections)
    if device.pushed_at is None:
        how = "The device refused it." if device.refused else "Whether it arrived was not known at that moment."
        return Line(device.pushing_at, f"Began to push {sections} to {device.device} ({device.platform}). {how}")
    return Line(
        device.pushed_at,
        f"Pushed {sections} to {device.device} ({device.platform}), armed for {seconds(one.revert_in_seconds)}: "
        "not confirmed by then, the device takes it back by itself.",
        (f"its services did not answer for {seconds(device.down)}; {seconds(device.down_expected)} were expected",)
        if device.down is not None
        else (),
    )


def _ends(one: WaveStory, devices: Sequence[DeviceStory]) -> Iterator[Line]:
    pushed = min((device.pushed_at for device in devices if device.pushed_at), default=None)
    for passage in one.passages:
        armed = f" after {seconds((passage.at - pushed).total_seconds())} in force" if pushed else ""
        match passage.step:
            case "confirmed":
                boot = tuple(f"{name}: at a restart loaded by {how}" for name, how in one.at_boot.items())
                yield Line(passage.at, f"Confirmed on {_and(d.device for d in devices)}{armed}, and saved.", boot)
            case "unchanged":
                yield Line(passage.at, "Nothing to change: nothing was pushed.")
            case "stopped":
                yield Line(passage.at, "Stopped before anything of this wave was pushed.", _why(one))
            case "held":
                yield Line(passage.at, f"Held open{armed}, not confirmed: something was not known.")
            case "rolling back":
                yield Line(passage.at, f"Began to take it back{armed}.", _why(one))
            case "rolled back":
                said = "Taken back: the rules read back and every vantage's view are as before."
                if not one.restored:
                    said = "Taken back, but NOT everything is as before."
                yield Line(passage.at, said, (*one.differences, *_down_back(devices)))
            case "needs hands":
                yield Line(passage.at, "NEEDS HANDS: neither confirmed nor taken back.", _why(one))


def _down_back(devices: Iterable[DeviceStory]) -> Iterator[str]:
    for one in devices:
        if one.down_back is not None:
            yield f"{one.device}: its services did not answer for {seconds(one.down_back)} while it was taken back"


def _why(one: WaveStory) -> tuple[str, ...]:
    return tuple(f"why: {line}" for line in one.reason.splitlines())


def interval(one: Interval) -> str:
    """Never more than what was seen."""
    kind = "open" if one.kind == "exposure" else "open again"
    text = f"{one.pacs}: seen {kind} to the outside at {utc(one.first_seen)}"
    if utc(one.last_seen) != utc(one.first_seen):
        text += f" and until {utc(one.last_seen)}"
    if one.kind == "re-exposure":
        text += ", as this change was to do" if one.intended else ", when the change was taken back"
        text += f"; not open before {utc(one.not_before)}" if one.not_before else ""
    else:
        text += "; since when is not known"
    if one.not_after:
        return text + f"; seen closed by {utc(one.not_after)}"
    return text + "; this change did not see it closed for good"


def _outside_at_last(wave: WaveStory) -> Iterator[Seen]:
    for look in wave.rounds[-1:]:
        yield from (seen for seen in look.seen if seen.purpose is Purpose.OUTSIDE_CLOSED)


def exposed_before(made: Document) -> list[Seen]:
    """What the outside could do at the first look."""
    first: dict[tuple[str, str, str], Seen] = {}
    for one in made.waves:
        for look in one.rounds:
            for seen in look.seen:
                if seen.purpose is Purpose.OUTSIDE_CLOSED:
                    first.setdefault((seen.pacs, seen.vantage, seen.endpoint), seen)
    return [seen for seen in first.values() if seen.outcome is Outcome.UNMET]


def utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def seconds(value: float) -> str:
    if value < 120:
        return f"{value:.1f} s" if value < 10 and value != int(value) else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _and(names: Iterable[str]) -> str:
    listed = list(names)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
