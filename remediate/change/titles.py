"""The pairs of AE titles, asked once: `remediate verify --titles`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

from remediate import titles
from remediate.change.looking import Eyes, opened, views
from remediate.inventory import Loaded
from remediate.model.observation import Observation, Question
from remediate.model.site import Site
from remediate.model.verdict import Expectation
from remediate.playbook import Playbook
from remediate.policy import standing
from remediate.runner import Cancellation
from remediate.titles import Cell, TitleFinding


def ask(
    loaded: Loaded,
    playbook: Playbook | None,
    limit: str | None,
    guarded: Callable[[Cancellation], AbstractContextManager[None]],
) -> tuple[TitleFinding, ...]:
    """Every DICOM service from every vantage that ``verify`` would ask it from, under one of its addresses each."""
    wanted, used = views(loaded, playbook, limit)
    with opened(loaded, used, guarded) as (eyes, _):
        return tuple(_found(eyes, loaded.site, (e for one in wanted.values() for e in one.expectations)))


def _found(eyes: Eyes, site: Site, expectations: Iterable[Expectation]) -> Iterator[TitleFinding]:
    asked = [(question, _cells(site, question)) for question in _once(expectations)]
    # First the pair that a stranger would send: where nobody answers to it, the others would only wait as long.
    seen = _answers(eyes, (cells[Cell.RANDOM_RIGHT] for _, cells in asked))
    met = {q for q, answer in seen.items() if answer.rung.reachable}
    rest = (q for _, cells in asked if cells[Cell.RANDOM_RIGHT] in met for q in cells.values() if q not in seen)
    seen |= _answers(eyes, rest)
    for question, cells in asked:
        yield titles.finding(question, {cell: seen[q] for cell, q in cells.items() if q in seen})


def _once(expectations: Iterable[Expectation]) -> Iterator[Question]:
    """A filter of titles is the service's own, whichever of its addresses is dialled."""
    known: set[tuple[str, str, int]] = set()
    for question in (e.question for e in expectations):
        service = (question.pacs, question.vantage, question.service_port)
        if question.kind.is_dicom and service not in known:
            known.add(service)
            yield question


def _cells(site: Site, question: Question) -> Mapping[Cell, Question]:
    calling, called = (f"{titles.RANDOM_PREFIX}{secrets.token_hex(5).upper()}" for _ in range(2))
    return titles.cells(question, known=_known(site, question), random_calling=calling, random_called=called)


def _known(site: Site, question: Question) -> str | None:
    """The AE title of the peer in whose place the vantage stands: a title is used from its owner's place only."""
    peer = standing(site.pacs[question.pacs], site.vantages[question.vantage])
    return peer.ae_title if peer is not None else None


def _answers(eyes: Eyes, questions: Iterable[Question]) -> dict[Question, Observation]:
    return {answer.question: answer for answer in eyes.ask(questions)}
