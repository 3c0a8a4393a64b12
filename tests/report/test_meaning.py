"""What is said to a person about a rung, and what counts as worse."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from rich.console import Console

from remediate.model.observation import UNREACHED, Rung
from remediate.model.verdict import Outcome, Purpose
from remediate.report import meaning, tables
from tests.factories import NOON
from tests.report import samples


@pytest.mark.parametrize("table", [meaning.OUTSIDE, meaning.CARE_PATH], ids=["outside", "care path"])
def test_every_rung_has_its_line(table: dict[Rung, meaning.Meaning]) -> None:
    assert set(table) == set(Rung)
    for said in table.values():
        assert said.means and said.do
        assert all("\n" not in text and len(text) <= 80 and text == text.strip(" .") for text in said)


def test_outside_what_is_reached_is_worse_and_has_to_be_acted_on() -> None:
    rungs = list(meaning.OUTSIDE)
    assert set(rungs[:3]) == UNREACHED
    assert rungs[3] is Rung.INCONCLUSIVE
    assert rungs[-1] is Rung.DATA_RETURNED
    for rung, said in meaning.OUTSIDE.items():
        assert (said.do == meaning.NOTHING) == (rung in UNREACHED)
    assert all(said.do != meaning.NOTHING for said in meaning.CARE_PATH.values())


def test_the_worst_of_a_vantage_is_shown() -> None:
    from remediate.report.formats import document

    views = {(one.name, view.vantage): view for one in samples.made().pacs for view in one.views}
    assert views["pacs-open", "internet"].rung is Rung.DATA_RETURNED
    assert views["pacs-open", "clinic"].outcome is Outcome.MET
    assert views["pacs-broken", "clinic"].rung is Rung.REJECTED
    unknown = views["pacs-unknown", "internet"]
    assert (unknown.outcome, unknown.rung, unknown.unanswered) == (Outcome.UNKNOWN, Rung.INCONCLUSIVE, 1)
    assert "the vantage was lost" in unknown.means
    assert views["pacs-closed", "internet"].rung is Rung.CLOSED
    blind = document.views(samples.judged("pacs-1", samples.CLOSED, blind=["internet"]))[0]
    assert blind.outcome is Outcome.UNKNOWN
    assert "canary" in blind.means


def test_what_a_playbook_leaves_open_is_not_to_be_closed() -> None:
    judgement = samples.judged("pacs-1", samples.OPEN)
    finding = judgement.findings[0]
    assert finding.expectation.purpose is Purpose.OUTSIDE_CLOSED
    allowed = finding.model_copy(update={"outcome": Outcome.MET})
    assert meaning.of(allowed).do.startswith("nothing")
    assert not meaning.of(finding).do.startswith("nothing")


def test_a_context_that_is_missing_is_named() -> None:
    answers = {**samples.CLOSED, (samples.CARE, True): {"rung": Rung.QUERY_ANSWERED, "negotiated": frozenset()}}
    judgement = samples.judged("pacs-1", answers)
    worst = meaning.worst([f for f in judgement.findings if f.expectation.purpose is Purpose.CARE_PATH])
    assert worst.outcome is Outcome.UNMET
    assert "presentation context not accepted for" in meaning.of(worst).means


def test_tls_facts() -> None:
    assert meaning.tls_faults(samples.TLS, NOON) == [
        "certificate expired on 2025-12-23",
        "BCP 195: TLSv1 must not be used",
    ]
    early = samples.TLS.model_copy(update={"not_before": NOON + timedelta(days=1), "not_after": None, "faults": ()})
    assert meaning.tls_faults(early, NOON) == ["certificate not valid before 2026-01-03"]
    good = early.model_copy(update={"not_before": NOON, "not_after": NOON})
    assert meaning.tls_faults(good, NOON) == []


# -- the table ----------------------------------------------------------------------------------------


def shown(width: int, *, verbose: bool = False) -> str:
    file = io.StringIO()
    made = tables.details(samples.ROUND) if verbose else tables.verification(samples.made(), samples.ROUND)
    Console(file=file, width=width, highlight=False).print(made)
    return file.getvalue()


def words(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_the_table_fits_and_nothing_is_cut(width: int) -> None:
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for word in ("pacs-open", "internet", "clinic", "inconclusive", "11112", "rejected 1/1/7", "expired"):
        assert word in text
    last = "4 PACS: 1 exposed, 1 care path broken, 1 inconclusive, 1 protected; 16 questions from 2 vantages, "
    assert words(text).endswith(words(last + "1 without an answer; 12 things not asked"))


def test_at_200_columns_each_line_is_whole() -> None:
    text = shown(200)
    for said in (meaning.OUTSIDE[Rung.DATA_RETURNED], meaning.CARE_PATH[Rung.REJECTED]):
        assert said.means in text
        assert said.do in text
    assert "dicomweb 203.0.113.20:8042: HTTP answered" in text, "the second door that is open"
    assert "archive console; plain HTTP; says that it holds 120 studies, 4711 instances" in text
    assert "TLSv1 ECDHE-RSA-AES256-SHA; certificate expired on 2025-12-23; BCP 195: TLSv1 must not be used" in text
    assert words("stack DCMTK, product unknown (known from a run against it)") in words(text)
    assert "not asked: peer readers (query): no vantage stands there" in text
    assert "exposed: pacs-open\ncare path broken: pacs-broken\ninconclusive: pacs-unknown\n" in text


def test_details_have_every_question() -> None:
    text = shown(200, verbose=True)
    assert text.count("203.0.113.20:8042 ") == 4
    assert "said by nobody" in text
    assert "query answered; store, query, retrieve" in text
