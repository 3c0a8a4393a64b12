"""What four pairs of AE titles imply, and what they do not."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.model.observation import UNREACHED, Observation, Rung
from remediate.model.site import ServiceKind
from remediate.policy import expectations
from remediate.titles import WORDS, Cell, Inference, cells, finding, infer
from tests.factories import CLINIC, INTERNET, pacs, seen

QUESTION = next(e.question for e in expectations(pacs(), [CLINIC]).expectations if e.question.kind is ServiceKind.DICOM)
FOUR, TWO = tuple(Cell), (Cell.RANDOM_RIGHT, Cell.RANDOM_WRONG)
SAME = ((1, 1, 7),) * 4


def answers(
    pattern: str, asked: tuple[Cell, ...] = FOUR, reasons: tuple[tuple[int, int, int], ...] = SAME
) -> dict[Cell, Observation]:
    rungs = {"A": Rung.ASSOCIATED, "R": Rung.REJECTED, "T": Rung.BUSY, "?": Rung.ABORTED, "x": Rung.FILTERED}
    return {
        cell: seen(QUESTION, rungs[letter], reject=reason if letter == "R" else None)
        for cell, letter, reason in zip(asked, pattern, reasons, strict=False)
    }


SOUND = {
    "AAAA": Inference.NO_FILTER,
    "ARAR": Inference.CALLED,
    "AARR": Inference.CALLING,
    "ARRR": Inference.BOTH,
    "RRRR": Inference.UNKNOWN,
}


@pytest.mark.parametrize("pattern", ["".join(one) for one in product("AR", repeat=4)])
def test_every_pattern_of_four(pattern: str) -> None:
    assert infer(answers(pattern)) is SOUND.get(pattern, Inference.CONTRADICTORY)


@pytest.mark.parametrize(
    ("pattern", "implied"),
    [
        ("AA", Inference.NO_FILTER),
        ("AR", Inference.CALLED),
        ("RA", Inference.CONTRADICTORY),
        ("RR", Inference.UNKNOWN),
    ],
)
def test_every_pattern_of_two(pattern: str, implied: Inference) -> None:
    assert infer(answers(pattern, TWO)) is implied


@pytest.mark.parametrize(
    ("reasons", "implied"),
    [
        (((1, 1, 3), (1, 1, 7), (1, 1, 3), (1, 1, 7)), Inference.CALLER_REFUSED),  # Orthanc: host and called check
        (((1, 1, 7),) * 4, Inference.UNKNOWN),  # dcmqrscp: whatever the cause
        (((1, 1, 3),) * 4, Inference.UNKNOWN),
        (((1, 1, 3), (1, 1, 3), (1, 1, 7), (1, 1, 7)), Inference.UNKNOWN),  # varies with the calling title only
    ],
)
def test_reasons_are_evidence_only_where_they_follow_the_called_title(
    reasons: tuple[tuple[int, int, int], ...], implied: Inference
) -> None:
    assert infer(answers("RRRR", reasons=reasons)) is implied
    assert infer(answers("RR", TWO, reasons[2:])) is implied


@given(st.text("ARTx?", min_size=4, max_size=4).filter(lambda text: set(text) - {"A", "R"}))
def test_what_was_not_answered_implies_nothing(pattern: str) -> None:
    for asked, part in ((FOUR, pattern), (TWO, pattern[2:])):
        if set(part) <= {"A", "R"}:
            continue
        implied = Inference.NOT_REACHED if set(part) == {"x"} else Inference.INCONCLUSIVE
        assert infer(answers(part, asked)) is implied


@given(st.text("ART?x", max_size=3))
def test_a_missing_cell_implies_nothing(pattern: str) -> None:
    if set(pattern) != {"x"}:
        assert infer(answers(pattern, FOUR[: len(pattern)])) is Inference.INCONCLUSIVE


@pytest.mark.parametrize("rung", sorted(UNREACHED))
def test_nobody_there(rung: Rung) -> None:
    assert infer({Cell.RANDOM_RIGHT: seen(QUESTION, rung)}) is Inference.NOT_REACHED


def test_a_filter_for_unknown_callers_is_never_said_of_one_that_got_in() -> None:
    """Whatever the peer's own cells say."""
    for pattern in ("".join(one) for one in product("AR", repeat=4)):
        if pattern[2] == "A" or pattern[3] == "A":
            assert infer(answers(pattern)) not in (Inference.CALLING, Inference.BOTH, Inference.UNKNOWN)


def test_the_questions() -> None:
    made = cells(QUESTION, known="CLINICMOD", random_calling="RMDA", random_called="RMDB")
    assert {cell: (q.calling_ae_title, q.called_ae_title) for cell, q in made.items()} == {
        Cell.KNOWN_RIGHT: ("CLINICMOD", "ORTHANC"),
        Cell.KNOWN_WRONG: ("CLINICMOD", "RMDB"),
        Cell.RANDOM_RIGHT: ("RMDA", "ORTHANC"),
        Cell.RANDOM_WRONG: ("RMDA", "RMDB"),
    }
    assert {q.up_to for q in made.values()} == {Rung.ASSOCIATED}
    assert set(cells(QUESTION, known=None, random_calling="RMDA", random_called="RMDB")) == set(TWO)


def test_the_line() -> None:
    outside = expectations(pacs(), [INTERNET]).expectations[0].question
    line = finding(outside, answers("RR", TWO, ((1, 1, 3), (1, 1, 7))))
    assert (line.pacs, line.vantage, line.endpoint) == ("pacs-north", "internet", "203.0.113.20:11112")
    assert (line.pattern, line.inference) == ("--RR", Inference.CALLER_REFUSED)
    assert line.reasons == {"random to right": "1/1/3", "random to wrong": "1/1/7"}
    assert finding(QUESTION, answers("ART?")).pattern == "ART?"
    assert set(WORDS) == set(Inference)
