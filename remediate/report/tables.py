"""Rich renderables for a terminal. Every state is said in words; colour only repeats it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remediate.model.change import Entry, Plan, State
from remediate.model.outcome import Outcome
from remediate.model.verdict import Finding, Judgement, Purpose, Verdict
from remediate.model.verdict import Outcome as Met
from remediate.record import ChangeSummary

_VERDICT_STYLE = {
    Verdict.PROTECTED: "bold green",
    Verdict.EXPOSED: "bold red",
    Verdict.CARE_PATH_BROKEN: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
}
_MET = {Met.MET: ("yes", "green"), Met.UNMET: ("NO", "bold red"), Met.UNKNOWN: ("unknown", "yellow")}
_STATE_STYLE = {
    State.CONFIRMED: "bold green",
    State.UNCHANGED: "green",
    State.ROLLED_BACK: "bold yellow",
    State.NEEDS_HANDS: "bold red",
    State.STOPPED: "bold yellow",
}


def _table(*columns: str, title: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def judgements(found: Iterable[Judgement], title: str = "") -> RenderableType:
    """For each PACS: what each vantage can do there, whether that is as it must be, and the verdict with its scope."""
    parts: list[RenderableType] = [Text(title, style="bold")] if title else []
    for judgement in found:
        table = _table("from", "service", "at", "sees", "right?")
        table.columns[2].no_wrap = True
        for rows in _by_question(judgement.findings):
            question = rows[0].expectation.question
            word, style = _MET[_worst(rows)]
            peer = rows[0].expectation.peer
            table.add_row(
                question.vantage + (f" as {peer}" if peer else ""),
                question.kind.value,
                question.endpoint,
                _seen(rows),
                Text(word, style=style),
            )
        parts += [_verdict(judgement), table]
        parts += [Text(f"not asked: {line}", style="dim") for line in judgement.not_asked]
    return Group(*parts)


def _by_question(findings: Sequence[Finding]) -> list[list[Finding]]:
    rows: dict[object, list[Finding]] = {}
    for finding in findings:
        rows.setdefault((finding.expectation.question, finding.expectation.purpose), []).append(finding)
    return list(rows.values())


def _worst(rows: Sequence[Finding]) -> Met:
    outcomes = {row.outcome for row in rows}
    return next(met for met in (Met.UNMET, Met.UNKNOWN, Met.MET) if met in outcomes)


def _seen(rows: Sequence[Finding]) -> Text:
    seen = rows[0].observation
    text = Text(seen.rung.value if seen else "nothing")
    if seen and seen.reject:
        text.append(" " + "/".join(map(str, seen.reject)))
    if rows[0].expectation.purpose is Purpose.CARE_PATH:
        roles = [f"{row.expectation.role}" for row in rows if row.expectation.role and row.outcome is Met.MET]
        if roles:
            text.append(f"; {', '.join(roles)}")
    for why in dict.fromkeys(row.why for row in rows if row.why):
        said = why.removeprefix("reachable: ").removeprefix(seen.rung.value if seen else "").strip()
        if said:
            text.append(f" {said}" if said.startswith("(") else f" ({said})", style="dim")
    return text


def _verdict(judgement: Judgement) -> Text:
    text = Text()
    text.append(judgement.pacs, style="bold")
    text.append(": ")
    text.append(judgement.verdict.value, style=_VERDICT_STYLE[judgement.verdict])
    asked = len({f.expectation.question for f in judgement.findings})
    unknown = len({f.expectation.question for f in judgement.findings if f.outcome is Met.UNKNOWN})
    text.append(f" - {asked} questions from {len(judgement.vantages)} vantages ({', '.join(judgement.vantages)})")
    if unknown:
        text.append(f", {unknown} without an answer", style="yellow")
    return text


def details(found: Iterable[Judgement]) -> RenderableType:
    """Every observation with its time, for -v."""
    lines = []
    for seen in dict.fromkeys(f.observation for j in found for f in j.findings if f.observation):
        asked = seen.question
        lines.append(
            f"  {seen.asked_at:%H:%M:%S} {asked.vantage} -> {asked.endpoint} {asked.kind}: {seen.rung} after "
            f"{seen.elapsed:.2f} s" + (f", {seen.detail}" if seen.detail else "")
        )
    return Text("\n".join(lines), style="dim")


def plan(made: Plan, *, diff: bool) -> RenderableType:
    parts: list[RenderableType] = []
    for wave in made.waves:
        parts.append(Text(f"wave {wave.number}: {wave.play}: {', '.join(wave.pacs)}", style="bold"))
        closed = sum(e.purpose is Purpose.OUTSIDE_CLOSED for e in wave.expectations)
        care = len(wave.expectations) - closed
        parts.append(Text(f"  expects {closed} doors closed outside and {care} services of peers kept"))
        parts.append(
            Text(f"  looks from {', '.join(wave.vantages)}; revert timer {wave.revert_in.total_seconds():g} s")
        )
        for candidate in wave.candidates:
            sections = ", ".join(s.name for s in candidate.sections)
            parts.append(Text(f"  changes {candidate.device} ({candidate.platform}): {sections}", style="yellow"))
            if diff:
                parts.append(_diff(candidate.diff))
                parts.append(Text("  taken back by:", style="dim"))
                parts.append(Text(candidate.inverse.rstrip(), style="dim"))
        parts += [
            Text(f"  {d}: {', '.join(names)} in place already", style="green") for d, names in wave.in_place.items()
        ]
        for pacs, lines in wave.not_asked.items():
            parts += [Text(f"  {pacs}: not asked: {line}", style="dim") for line in lines]
    parts += [Text(f"warning: {warning}", style="bold yellow") for warning in made.warnings]
    changes = sum(len(wave.candidates) for wave in made.waves)
    parts.append(Text(f"plan {made.digest[:12]}: {changes} device changes in {len(made.waves)} waves", style="bold"))
    return Group(*parts)


def _diff(diff: str) -> Text:
    """Plain ANSI colours, which a terminal's own theme makes readable on light and on dark."""
    text = Text()
    for line in diff.splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        text.append(line.expandtabs(4) + "\n", style="bold" if line.startswith(("+++", "---")) else style)
    text.rstrip()
    return text


def outcome(done: Outcome) -> RenderableType:
    table = _table("wave", "PACS", "state", "verdict")
    for wave in done.waves:
        table.add_row(
            str(wave.number),
            ", ".join(wave.pacs),
            Text(wave.state.value, style=_STATE_STYLE.get(wave.state, "")),
            ", ".join(f"{j.verdict}" for j in wave.judgements) or "-",
        )
    waits = done.waits
    return Group(
        table,
        Text(
            f"{waits.total:.1f} s: {waits.deadlines:.1f} s for deadlines of silent ports, {waits.pacs:.1f} s for the "
            f"PACS, {waits.timer:.1f} s for revert timers, {waits.remainder:.1f} s for everything else"
        ),
        Text(f"change {done.change}: {sentence(done)}", style="bold"),
    )


def sentence(done: Outcome) -> str:
    """The one sentence at the end."""
    states = {wave.state for wave in done.waves}
    if State.NEEDS_HANDS in states:
        return f"NEEDS HANDS. {done.reason}"
    if State.ROLLED_BACK in states:
        return f"taken back. {done.reason}"
    if State.STOPPED in states:
        return f"stopped before anything was pushed. {done.reason}"
    exposed = [j.pacs for wave in done.waves for j in wave.judgements if j.verdict is not Verdict.PROTECTED]
    if State.CONFIRMED in states:
        return "confirmed" + (f"; not protected: {', '.join(exposed)}" if exposed else ": closed outside, care goes on")
    if exposed:
        return f"nothing was changed, and not protected: {', '.join(exposed)}"
    return "nothing to change: protected already"


def changes(found: Iterable[ChangeSummary]) -> Table:
    table = _table("change", "begun (UTC)", "last step", "entries", "head")
    for one in found:
        table.add_row(one.change, f"{one.begun_at:%Y-%m-%d %H:%M:%S}", one.last_kind, str(one.entries), one.head[:16])
    return table


def entries(found: Iterable[Entry]) -> RenderableType:
    table = _table("#", "at (UTC)", "wave", "step", "what")
    for one in found:
        table.add_row(str(one.seq), f"{one.at:%H:%M:%S.%f}"[:-3], str(one.data.get("wave", "")), one.kind, _gist(one))
    return table


_LONG = frozenset(
    {"plan", "observations", "canaries", "running", "wave", "state", "not_asked", "scope", "host", "unmet"}
    | {"token", "tokens", "reason"}
)
_HASH = 16


def _gist(entry: Entry) -> str:
    """The short facts of an entry; the long ones are in `--format json`."""
    facts = {key: value for key, value in entry.data.items() if key not in _LONG and value not in (None, "", [], {})}
    if "plan_sha256" in facts:
        facts["plan_sha256"] = str(facts["plan_sha256"])[:_HASH]
    return "; ".join(f"{key}: {_flat(value)}" for key, value in facts.items())


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return str(value)
