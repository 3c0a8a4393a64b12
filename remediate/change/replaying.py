"""Where a change stands, from its journal alone."""

from __future__ import annotations

from remediate import errors
from remediate.change import hooks
from remediate.change.devices import Progress
from remediate.change.gates import baseline_of
from remediate.change.machine import CLOSED, Step, advance
from remediate.model.change import Candidate, Entry, Plan, State, Token, Unit


def replay(entries: list[Entry]) -> tuple[Plan | None, dict[int, Progress]]:
    """A change's plan and where each of its waves stands, from its journal alone."""
    plan: Plan | None = None
    progress: dict[int, Progress] = {}
    for entry in entries:
        if "plan" in entry.data:
            plan = _plan_of(entry)
            progress = {wave.number: Progress() for wave in plan.waves}
        if entry.kind == Step.APPROVED:
            for at in progress.values():
                at.state = advance(at.state, Step.APPROVED)
        if entry.kind == "soaked":
            progress[entry.data["after_wave"]].soaked = True
        if plan is None or "wave" not in entry.data:
            continue
        at = progress[entry.data["wave"]]
        hooks.replayed(entry, at)
        if "state" in entry.data:
            at.state = State(entry.data["state"])
            at.unsaved = bool(entry.data.get("unsaved"))
            at.closed_at = entry.at if at.state in CLOSED else None
        if entry.kind == Step.BASELINE:
            wave = next(w for w in plan.waves if w.number == entry.data["wave"])
            at.before = baseline_of(wave, entry.data)
            at.running = dict(entry.data["running"])
            at.units = {name: Unit.model_validate(unit) for name, unit in entry.data.get("units", {}).items()}
        elif entry.kind == Step.ARMING:
            at.tokens = {name: Token(token) for name, token in entry.data["tokens"].items()}
            at.armed_at = entry.at
        elif entry.kind == "made anew":
            at.fitted[entry.data["device"]] = Candidate.model_validate(entry.data["candidate"])
        elif entry.kind in ("pushing", "pushed", "confirming"):
            at.noted(entry.kind, entry.data["device"])
            if entry.kind == "pushing":
                at.pushed_at = entry.at  # the last one's
            elif entry.kind == "pushed" and "down" in entry.data:
                at.down[entry.data["device"]] = entry.data["down"]
    return plan, progress


def _plan_of(entry: Entry) -> Plan:
    try:
        return Plan.model_validate(entry.data["plan"])
    except ValueError as error:
        raise errors.RecordError(
            f"the plan of change {entry.change} cannot be read by this version",
            next=f"use the version that made it; remediate record show {entry.change} --format json names it",
        ) from error
