"""What `remediate verify --format json` prints, and what the other formats are made from.

Its fields are documented in docs/output.md, its JSON Schema is docs/verify-schema.json; tests hold the three together.
Within one version of the schema a field is never renamed or given another meaning; new ones may come.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from remediate import __version__
from remediate.model.base import Value
from remediate.model.observation import CanaryReport, Rung
from remediate.model.site import ServiceKind, Zone
from remediate.model.verdict import Finding, Judgement, Outcome, Purpose, Unasked, Verdict
from remediate.report import meaning
from remediate.titles import TitleFinding

SCOPE = "as seen from these vantages at this time; what was not asked is listed"


class Tool(Value):
    name: Literal["remediate"] = "remediate"
    version: str


class Summary(Value):
    """The denominators. ``asked`` = ``answered`` + ``unanswered`` questions; ``tls_faults``: observations with some."""

    pacs: int
    protected: int
    exposed: int
    care_path_broken: int
    inconclusive: int
    vantages: int
    unusable_vantages: int
    asked: int
    answered: int
    unanswered: int
    not_asked: int
    expectations: int
    met: int
    unmet: int
    unknown: int
    tls_faults: int


class VantageUsed(Value):
    """``error``: why it could not be used. ``canaries``: what they said before and after."""

    name: str
    zone: Zone
    usable: bool
    error: str | None
    canaries: tuple[CanaryReport, ...]


class View(Value):
    """The worst of what one vantage sees of one PACS, in words. ``rung``: None where nothing was brought back."""

    vantage: str
    asked: int
    unanswered: int
    service: ServiceKind
    endpoint: str
    purpose: Purpose
    outcome: Outcome
    rung: Rung | None
    means: str
    do: str


class PacsSeen(Value):
    name: str
    verdict: Verdict
    views: tuple[View, ...]
    findings: tuple[Finding, ...]
    not_asked: tuple[str, ...]
    unasked: tuple[Unasked, ...] = ()


class Document(Value):
    model_config = ConfigDict(title="remediate verify", json_schema_serialization_defaults_required=True)

    schema_version: Literal["remediate.verify/1"] = Field(default="remediate.verify/1", alias="schema")
    at: datetime
    tool: Tool
    scope: str
    exit_status: int
    summary: Summary
    vantages: tuple[VantageUsed, ...]
    pacs: tuple[PacsSeen, ...]
    titles: tuple[TitleFinding, ...] = ()


def made(
    judgements: Sequence[Judgement],
    *,
    at: datetime,
    zones: Mapping[str, Zone],
    unusable: Mapping[str, str],
    canaries: Sequence[CanaryReport],
    exit_status: int,
    titles: tuple[TitleFinding, ...] = (),
) -> Document:
    """``zones``: of the vantages that were to be used; ``unusable``: why some could not be opened."""
    vantages = tuple(
        VantageUsed(
            name=name,
            zone=zone,
            usable=name not in unusable,
            error=unusable.get(name),
            canaries=tuple(report for report in canaries if report.vantage == name),
        )
        for name, zone in zones.items()
    )
    return Document(
        at=at,
        tool=Tool(version=__version__),
        scope=SCOPE,
        exit_status=exit_status,
        summary=summary(judgements, vantages=len(zones), unusable=len(unusable)),
        vantages=vantages,
        pacs=tuple(
            PacsSeen(
                name=j.pacs,
                verdict=j.verdict,
                views=views(j),
                findings=j.findings,
                not_asked=j.not_asked,
                unasked=j.unasked,
            )
            for j in judgements
        ),
        titles=titles,
    )


def summary(judgements: Sequence[Judgement], *, vantages: int, unusable: int = 0) -> Summary:
    verdicts = Counter(j.verdict for j in judgements)
    outcomes = Counter(f.outcome for j in judgements for f in j.findings)
    asked = {f.expectation.question for j in judgements for f in j.findings}
    unanswered = {f.expectation.question for j in judgements for f in j.findings if f.outcome is Outcome.UNKNOWN}
    faulty = [o for o in meaning.observations(judgements) if o.tls and meaning.tls_faults(o.tls, o.asked_at)]
    return Summary(
        pacs=len(judgements),
        protected=verdicts[Verdict.PROTECTED],
        exposed=verdicts[Verdict.EXPOSED],
        care_path_broken=verdicts[Verdict.CARE_PATH_BROKEN],
        inconclusive=verdicts[Verdict.INCONCLUSIVE],
        vantages=vantages,
        unusable_vantages=unusable,
        asked=len(asked),
        answered=len(asked) - len(unanswered),
        unanswered=len(unanswered),
        not_asked=sum(len(j.not_asked) for j in judgements),
        expectations=outcomes.total(),
        met=outcomes[Outcome.MET],
        unmet=outcomes[Outcome.UNMET],
        unknown=outcomes[Outcome.UNKNOWN],
        tls_faults=len(faulty),
    )


def views(judgement: Judgement) -> tuple[View, ...]:
    """One for each vantage that was to look at this PACS."""
    return tuple(_view(name, findings) for name, findings in by_vantage(judgement).items())


def by_vantage(judgement: Judgement) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in judgement.findings:
        found.setdefault(finding.expectation.question.vantage, []).append(finding)
    return found


def _view(vantage: str, findings: Sequence[Finding]) -> View:
    worst = meaning.worst(findings)
    asked = worst.expectation.question
    said = meaning.of(worst)
    return View(
        vantage=vantage,
        asked=len({f.expectation.question for f in findings}),
        unanswered=len({f.expectation.question for f in findings if f.outcome is Outcome.UNKNOWN}),
        service=asked.kind,
        endpoint=asked.endpoint,
        purpose=worst.expectation.purpose,
        outcome=worst.outcome,
        rung=worst.observation.rung if worst.observation else None,
        means=said.means,
        do=said.do,
    )


def sentence(of: Summary) -> str:
    """Verdicts and denominators on one line: what could not be asked is always said."""
    counts = {
        "exposed": of.exposed,
        "care path broken": of.care_path_broken,
        "inconclusive": of.inconclusive,
        "protected": of.protected,
    }
    verdicts = ", ".join(f"{number} {word}" for word, number in counts.items() if number) or "none looked at"
    return (
        f"{of.pacs} PACS: {verdicts}; {of.asked} questions from {of.vantages} vantages, "
        f"{of.unanswered} without an answer; {of.not_asked} things not asked"
    )


def as_json(document: Document) -> str:
    data = document.model_dump(mode="json", by_alias=True)
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def json_schema() -> dict[str, Any]:
    """Of what is printed. It forbids no further fields: a later release may add some within this version."""
    schema = Document.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_open(schema)}


def _open(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _open(value) for key, value in part.items() if key != "additionalProperties" or value is not False}
    return [_open(one) for one in part] if isinstance(part, list) else part
