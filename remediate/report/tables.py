"""Rich renderables for a terminal. Every state is said in words; colour only repeats it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from remediate.model.base import span
from remediate.model.change import Entry, OpenSessions, Plan, State, Wave
from remediate.model.observation import Rung
from remediate.model.outcome import Outcome
from remediate.model.verdict import Finding, Judgement, Purpose, Verdict
from remediate.model.verdict import Outcome as Met
from remediate.report import meaning, story
from remediate.report.formats import document
from remediate.report.formats.document import Document

if TYPE_CHECKING:
    from remediate.record import ChangeSummary  # it brings SQLAlchemy, which a verify has no use for

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
    """For each PACS: the verdict with its scope, and for each vantage the worst of what it sees there."""
    parts: list[RenderableType] = [Text(title, style="bold")] if title else []
    for judgement in found:
        table = _table("from", "sees", "what it means", "what to do")
        table.columns[1].min_width = 16
        for vantage, findings in document.by_vantage(judgement).items():
            worst = meaning.worst(findings)
            said = meaning.of(worst)
            met = worst.outcome is Met.MET
            style = _MET[worst.outcome][1]
            table.add_row(
                vantage,
                _sees(worst, findings),
                Text(said.means, style="" if met else style),
                Text(said.do, style="dim" if met else "bold"),
            )
        if len(parts) > bool(title):
            parts.append(Text())
        parts += [_verdict(judgement), table, *_besides(judgement)]
        parts += [_under(line) for line in story.scope(judgement.pacs, judgement.unasked)]
        parts += [_under(f"not asked: {line}") for line in judgement.not_asked]
    return Group(*parts)


def verification(made: Document, found: Iterable[Judgement]) -> RenderableType:
    """All of one verify, with the sum at the end, where it is still on the screen."""
    parts: list[RenderableType] = [judgements(found), Text()]
    for verdict, style in _VERDICT_STYLE.items():
        names = [one.name for one in made.pacs if one.verdict is verdict]
        if names and verdict is not Verdict.PROTECTED:
            parts.append(Text.assemble((f"{verdict}: ", style), ", ".join(names)))
    return Group(*parts, Text(document.sentence(made.summary), style="bold"))


def _sees(worst: Finding, findings: Sequence[Finding]) -> Text:
    """The worst rung and where, then every other question that is not as it must be."""
    text = _rung(worst)
    text.append(f"\n{_where(worst)}", style="dim")
    told = {worst.expectation.question}
    for finding in findings:
        if finding.outcome is not Met.MET and finding.expectation.question not in told:
            told.add(finding.expectation.question)
            text.append(f"\n{_where(finding)}: ", style="dim").append_text(_rung(finding))
    return text


def _rung(finding: Finding) -> Text:
    seen = finding.observation
    text = Text().append(seen.rung.value if seen else "nothing", style=_MET[finding.outcome][1])
    if seen and seen.reject:
        text.append(" " + "/".join(map(str, seen.reject)))
    return text


def _where(finding: Finding) -> str:
    return f"{finding.expectation.question.kind} {finding.expectation.question.endpoint}"


def _besides(judgement: Judgement, *, everything: bool = False) -> list[RenderableType]:
    """Surfaces, TLS, stack and counts: of what the outside reaches, and all faults of TLS."""
    outside = {f.expectation.question for f in judgement.findings if f.expectation.purpose is Purpose.OUTSIDE_CLOSED}
    lines = []
    for seen in meaning.observations([judgement]):
        if everything or seen.question in outside:
            also = meaning.besides(seen) + [seen.detail] * (everything and bool(seen.detail))
        else:
            also = meaning.tls_faults(seen.tls, seen.asked_at) if seen.tls else []
        if also:
            where = f"{seen.question.vantage} at {seen.question.kind} {seen.question.endpoint}"
            lines.append(_under(f"{where}: {'; '.join(also)}"))
    return lines


def _under(text: str) -> RenderableType:
    return Padding(Text(text, style="dim"), (0, 0, 0, 2), expand=False)


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
    text = _rung(rows[0])
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
    text.append(f", {unknown} without an answer", style="yellow" if unknown else "")
    return text


def details(found: Iterable[Judgement]) -> RenderableType:
    """Every question with its answer, its time, and whether that is as it must be, for -v."""
    parts: list[RenderableType] = []
    for judgement in found:
        table = _table("at (UTC)", "after", "from", "service", "at", "sees", "right?", title=judgement.pacs)
        for rows in _by_question(judgement.findings):
            question, seen = rows[0].expectation.question, rows[0].observation
            word, style = _MET[_worst(rows)]
            peer = rows[0].expectation.peer
            table.add_row(
                f"{seen.asked_at:%H:%M:%S}" if seen else "-",
                f"{seen.elapsed:.2f} s" if seen else "-",
                question.vantage + (f" as {peer}" if peer else ""),
                question.kind.value,
                question.endpoint,
                _seen(rows),
                Text(word, style=style),
            )
        parts += [table, *_besides(judgement, everything=True)]
    return Group(*parts)


def plan(made: Plan, *, diff: bool) -> RenderableType:
    parts: list[RenderableType] = []
    for wave in made.waves:
        parts.append(Text(f"wave {wave.number}: {wave.play}: {', '.join(wave.pacs)}", style="bold"))
        closed = sum(e.purpose is Purpose.OUTSIDE_CLOSED for e in wave.expectations)
        refused = sum(e.purpose is Purpose.STRANGERS_REFUSED for e in wave.expectations)
        care = len(wave.expectations) - closed - refused
        without = f", {refused} refused inside without certificate or password" if refused else ""
        parts.append(Text(f"  expects {closed} doors closed outside{without} and {care} services of peers kept"))
        parts.append(
            Text(f"  looks from {', '.join(wave.vantages)}; revert timer {wave.revert_in.total_seconds():g} s")
        )
        if wave.candidates:
            parts.append(Text(f"  push, verify and rollback take {span(wave.takes_at_most)} at the worst"))
        if wave.window is not None:
            parts.append(Text(f"  only in its window: {wave.window}"))
            parts += [
                Text(f"    freeze {f.first} to {f.last}" + (f": {f.why}" if f.why else "")) for f in wave.window.freezes
            ]
        if wave.soak:
            parts.append(Text(f"  then left alone for {span(wave.soak)}"))
        for candidate in wave.candidates:
            sections = ", ".join(s.name for s in candidate.sections)
            parts.append(Text(f"  changes {candidate.device} ({candidate.platform}): {sections}", style="yellow"))
            if candidate.down:
                parts.append(Text(f"    its services do not answer for about {span(candidate.down)} meanwhile"))
            if candidate.price:  # a device whose services stop for a push stops them for a revert too
                style = "bold red" if candidate.down else "yellow"
                parts.append(Text(f"    if it is taken back: {candidate.price}", style=style))
            parts += [Text(f"    {line}") for line in candidate.effect]
            parts.append(_open_sessions(wave.open_sessions.get(candidate.device)))
            if diff:
                parts.append(_diff(candidate.diff))
                parts.append(Text("  taken back by:", style="dim"))
                parts.append(Text(candidate.inverse.rstrip(), style="dim"))
        parts += [
            Text(f"  {d}: {', '.join(names)} in place already", style="green") for d, names in wave.in_place.items()
        ]
        for when, hooks in (("before its push", wave.before), ("once it is confirmed", wave.after)):
            parts += [Text(f"  runs {hook.run} ({hook.name}) on its {hook.run_on}, {when}") for hook in hooks]
        parts += [Text(f"  not given by {name}: {text}", style="dim") for name, text in wave.leaves_open.items()]
        for pacs, lines in wave.not_asked.items():
            parts += [Text(f"  {pacs}: not asked: {line}", style="dim") for line in lines]
        parts += [Text(f"  {line}", style="green") for line in story.nothing_to_close(wave)]
        parts += [
            Text(f"  {line}", style="yellow" if pacs in wave.accept_unseen else "dim")
            for pacs, sides in wave.unasked.items()
            for line in story.scope(pacs, sides)
        ]
        parts += _simulated(wave)
    parts += [Text(f"warning: {warning}", style="bold yellow") for warning in made.warnings]
    if made.emergency:
        parts.append(Text(f"EMERGENCY, without approval: {made.emergency}", style="bold red"))
    parts += [Text(f"needs approval by one of {file}") for file in made.allowed_signers if made.needs_approval]
    changes = sum(len(wave.candidates) for wave in made.waves)
    parts.append(Text(f"plan {made.digest[:12]}: {changes} device changes in {len(made.waves)} waves", style="bold"))
    return Group(*parts)


def _simulated(wave: Wave) -> Iterator[Text]:
    """Whom nobody will see served, where that matters: something is pushed that denies."""
    if not wave.candidates or wave.observes or wave.reopens:
        return
    for pacs, names in wave.simulated.items():
        known = names if pacs in wave.accept_unseen else wave.accept_simulated
        if accepted := [name for name in names if name in known]:
            yield Text(f"  {pacs}: simulated only, accepted by name: {', '.join(accepted)}")
        if others := [name for name in names if name not in known]:
            how = " ".join(f"--accept {name}" for name in others)
            text = f"  {pacs}: SIMULATED ONLY, not accepted: {', '.join(others)}; it is not pushed without {how}"
            yield Text(text, style="bold red")


def _open_sessions(found: OpenSessions | None) -> Text:
    if found is None:
        return Text("    who is connected now was not asked", style="dim")
    if found.cannot:
        return Text(f"    whom it would cut off now is not known: {found.cannot}", style="yellow")
    if not found.count:
        return Text("    of the sessions that are open now it would cut none")
    word = "session" if found.count == 1 else "sessions"
    return Text(f"    CUTS {found.count} {word} open now: {'; '.join(found.peers)}", style="bold red")


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
    open_still = {name: text for wave in done.waves for name, text in wave.leaves_open.items()}
    return Group(
        table,
        *(
            Text(line, style="yellow")
            for wave in done.waves
            for judgement in wave.judgements
            for line in story.scope(judgement.pacs, judgement.unasked)
        ),
        # The first one is in the last sentence.
        *(
            Text(f"wave {w.number}: {w.state.value}. {w.reason}")
            for w in done.waves
            if w.reason not in ("", done.reason)
        ),
        *(
            Text(f"{device}: its services did not answer for {seconds:.1f} s")
            for wave in done.waves
            for device, seconds in wave.down.items()
        ),
        *(
            Text(f"{device}: its services did not answer for {seconds:.1f} s while it was taken back")
            for wave in done.waves
            for device, seconds in wave.down_back.items()
        ),
        *(Text(f"not given by {name}: {text}", style="dim") for name, text in open_still.items()),
        Text(
            f"{waits.total:.1f} s: {waits.deadlines:.1f} s for deadlines of silent ports, {waits.pacs:.1f} s for the "
            f"PACS, {waits.timer:.1f} s for revert timers, "
            + (f"{waits.soak:.1f} s left to soak, " if waits.soak else "")
            + f"{waits.remainder:.1f} s for everything else"
        ),
        *([Text(f"EMERGENCY, without approval: {done.emergency}", style="bold red")] if done.emergency else []),
        Text(f"change {done.change}: {sentence(done)}", style="bold"),
        *([outcome(done.rollback)] if done.rollback else []),
    )


def sentence(done: Outcome) -> str:
    """The one sentence at the end."""
    lines = [_ended(done)]
    if done.stays:
        back = "taken back too" if done.rollback else f"`remediate rollback {done.change}` takes that back"
        said = "confirmed before" if not done.reopens else "taken back for good"
        lines.append(f"{said}: {', '.join(done.stays)}; {back}")
    if done.fallen:
        fallen = "; ".join(f"{name} ({why})" for name, why in done.fallen.items())
        lines.append(f"confirmed earlier, and NO LONGER IN FORCE: {fallen}")
    return "\n".join(lines)


def _ended(done: Outcome) -> str:
    states = {wave.state for wave in done.waves}
    if State.NEEDS_HANDS in states:
        return f"NEEDS HANDS. {done.reason}"
    more = " more" if State.CONFIRMED in states or done.stays or done.fallen else ""
    if back := [wave for wave in done.waves if wave.state is State.ROLLED_BACK]:
        if not any(wave.pushed for wave in back):
            return f"stopped before anything{more} was pushed. {done.reason}"
        return f"{_waves(done, State.ROLLED_BACK, 'was ')}taken back. {done.reason}"
    if State.STOPPED in states:
        which = _waves(done, State.STOPPED)
        return f"{which}stopped before anything{' of it' if which else more} was pushed. {done.reason}"
    exposed = [j.pacs for wave in done.waves for j in wave.judgements if j.verdict is not Verdict.PROTECTED]
    if State.CONFIRMED in states:
        said = "confirmed" + (f"; not protected: {', '.join(exposed)}" if exposed else ": closed outside, care goes on")
        return f"{said}\nbut {done.reason}" if done.reason else said
    if exposed:
        said = f"nothing was changed, and not protected: {', '.join(exposed)}"
        return f"{said}. {done.reason}" if done.reason else said
    return "nothing to change: protected already"


def _waves(done: Outcome, state: State, verb: str = "") -> str:
    """Which of several waves ended so, and of which archives; of the others it is not true."""
    if len({wave.state for wave in done.waves}) == 1 and not done.stays and not done.fallen:
        return ""
    waves = (f"{wave.number} ({', '.join(wave.pacs)})" for wave in done.waves if wave.state is state)
    return f"wave {', '.join(waves)} {verb}"


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
    | {"token", "tokens", "reason", "evidence", "unasked"}
)
_HASH = 16


def _gist(entry: Entry) -> str:
    """The short facts of an entry; the long ones are in `--format json`."""
    facts = {key: value for key, value in entry.data.items() if key not in _LONG and value not in (None, "", [], {})}
    if "plan_sha256" in facts:
        facts["plan_sha256"] = str(facts["plan_sha256"])[:_HASH]
    if "signatures" in facts:
        facts["signatures"] = {role: one["principal"] for role, one in facts["signatures"].items()}
    return "; ".join(f"{key}: {_flat(value)}" for key, value in facts.items())


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return str(value)


def counts(rungs: Mapping[Rung, int]) -> Table:
    """How many of which rung, and what it means; the worst is the last."""
    table = Table()
    table.add_column("rung")
    table.add_column("targets", justify="right")
    table.add_column("means")
    for rung, told in meaning.OUTSIDE.items():
        if rungs.get(rung):
            table.add_row(rung.value, str(rungs[rung]), told.means)
    return table
