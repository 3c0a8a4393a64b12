"""Rounds of looking with everything in them that a report may have to say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from remediate.judge import judge
from remediate.model.observation import CanaryReport, Counts, Observation, Question, Rung, Stack, Surface, Tls
from remediate.model.site import Role, Zone
from remediate.model.verdict import Judgement, Purpose
from remediate.policy import expectations
from remediate.report.formats import document
from remediate.report.formats.document import Document
from tests import factories
from tests.factories import NOON

ROLES = frozenset({Role.STORE, Role.QUERY, Role.RETRIEVE})
TLS = Tls(
    version="TLSv1",
    cipher="ECDHE-RSA-AES256-SHA",
    not_before=NOON - timedelta(days=800),
    not_after=NOON - timedelta(days=10),
    self_signed=True,
    faults=("TLSv1 must not be used",),
)
STACK = Stack(name="DCMTK", source="a run against it")
#: By purpose and service: what is answered. Outside first, then the care path.
Answers = dict[tuple[Purpose, bool], dict[str, Any]]
OUTSIDE, CARE = Purpose.OUTSIDE_CLOSED, Purpose.CARE_PATH
SERVED: Answers = {
    (CARE, True): {"rung": Rung.QUERY_ANSWERED, "negotiated": ROLES},
    (CARE, False): {"rung": Rung.HTTP_ANSWERED, "status": 200},
}
CLOSED: Answers = {(OUTSIDE, True): {"rung": Rung.FILTERED}, (OUTSIDE, False): {"rung": Rung.CLOSED}, **SERVED}
OPEN: Answers = {
    (OUTSIDE, True): {"rung": Rung.DATA_RETURNED, "negotiated": ROLES, "tls": TLS, "stack": STACK},
    (OUTSIDE, False): {
        "rung": Rung.HTTP_ANSWERED,
        "status": 200,
        "surfaces": frozenset({Surface.PLAIN_HTTP, Surface.CONSOLE, Surface.QIDO_RS}),
        "counts": Counts(studies=120, instances=4711),
    },
    **SERVED,
}
BROKEN: Answers = {**CLOSED, (CARE, True): {"rung": Rung.REJECTED, "reject": (1, 1, 7), "detail": "said by nobody"}}
UNKNOWN: Answers = {**CLOSED, (OUTSIDE, True): {"rung": Rung.INCONCLUSIVE, "detail": "the vantage was lost"}}


def judged(name: str, answers: Answers, *, blind: Iterable[str] = ()) -> Judgement:
    """``blind``: vantages whose canary is silent."""
    pacs = factories.pacs(name=name)
    expected = expectations(pacs, [factories.INTERNET, factories.CLINIC])
    asked = {(e.question, e.purpose): None for e in expected.expectations}
    seen: dict[Question, Observation] = {}
    for question, purpose in asked:
        more = answers[purpose, question.kind.is_dicom]
        seen[question] = factories.seen(question, **more)
    return judge(name, expected.expectations, seen.values(), canaries(blind), not_asked=expected.not_asked)


def canaries(blind: Iterable[str] = ()) -> tuple[CanaryReport, ...]:
    return tuple(factories.canary(name, name not in blind) for name in ("internet", "clinic"))


ROUND = (
    judged("pacs-open", OPEN),
    judged("pacs-broken", BROKEN),
    judged("pacs-unknown", UNKNOWN),
    judged("pacs-closed", CLOSED),
)
PROTECTED = (judged("pacs-closed", CLOSED),)


def made(found: tuple[Judgement, ...] = ROUND, **changes: Any) -> Document:
    values: dict[str, Any] = {
        "at": NOON,
        "zones": {"internet": Zone.OUTSIDE, "clinic": Zone.INSIDE},
        "unusable": {},
        "canaries": canaries(),
        "exit_status": 1,
    }
    return document.made(found, **(values | changes))
