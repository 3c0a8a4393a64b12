"""What the answers to four pairs of AE titles imply about an archive's filter. Pure.

Rejection reasons lie (an archive may say "called AE title not recognised" of a calling title), so only the pattern of
answers counts; where it implies nothing, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from remediate.model.base import Value
from remediate.model.observation import Observation, Question, Rung

#: Whoever reads the archive's log can tell a random title as ours.
RANDOM_PREFIX = "RMD"


class Cell(StrEnum):
    """Calling AE title, called AE title. ``KNOWN``: a peer's, only ever sent from that peer's own place."""

    KNOWN_RIGHT = "known to right"
    KNOWN_WRONG = "known to wrong"
    RANDOM_RIGHT = "random to right"
    RANDOM_WRONG = "random to wrong"


class Answer(StrEnum):
    """To an A-ASSOCIATE-RQ. ``NONE``: none of the standard's; ``NOT_ASKED`` is what a pattern shows for a cell."""

    ACCEPTED = "A"
    REJECTED = "R"
    TRANSIENT = "T"
    NONE = "?"
    NOT_ASKED = "-"


class Inference(StrEnum):
    NO_FILTER = "no filter at association"
    CALLED = "called AE title checked, calling AE title not"
    CALLING = "calling AE title checked, called AE title not"
    BOTH = "calling and called AE title checked"
    CALLER_REFUSED = "called AE title checked, and the caller refused by title or address"
    UNKNOWN = "rejected, cause unknown"
    CONTRADICTORY = "answers that no filter of AE titles gives"
    INCONCLUSIVE = "inconclusive"
    NOT_REACHED = "not reached"


#: What it means for whoever reads the line.
WORDS: dict[Inference, str] = {
    Inference.NO_FILTER: "any caller gets an association, whatever title it calls",
    Inference.CALLED: "any caller that knows the archive's own title gets an association",
    Inference.CALLING: "an unknown caller gets none; a check of addresses is not told apart; a title can be forged",
    Inference.BOTH: "an unknown caller gets none; a check of addresses is not told apart; titles can be forged",
    Inference.CALLER_REFUSED: "the reason follows the called title, so the archive knows ours; a title can be forged",
    Inference.UNKNOWN: "a wrong called title, a list of callers or a check of addresses: all look like this",
    Inference.CONTRADICTORY: "something else than titles decides, or the archive changed meanwhile: nothing is implied",
    Inference.INCONCLUSIVE: "the archive was busy, or gave no answer of the standard's to a pair: ask again",
    Inference.NOT_REACHED: "nobody answered, so there was nothing to ask",
}

#: Known to right, known to wrong, random to right, random to wrong. What is not in here implies nothing.
_FOUR: dict[str, Inference] = {
    "AAAA": Inference.NO_FILTER,
    "ARAR": Inference.CALLED,
    "AARR": Inference.CALLING,
    "ARRR": Inference.BOTH,
}
#: Without a peer's title: what is known of an unknown caller only. A calling filter cannot be seen from RR.
_TWO: dict[str, Inference] = {
    "AA": Inference.NO_FILTER,
    "AR": Inference.CALLED,
}


class TitleFinding(Value):
    """What one vantage found out. ``pattern``: an Answer for each Cell, in their order.

    ``reasons``: result/source/reason of each A-ASSOCIATE-RJ (PS3.8 9.3.4), by cell.
    """

    pacs: str
    vantage: str
    endpoint: str
    pattern: str
    reasons: dict[str, str] = {}
    inference: Inference
    words: str

    def __str__(self) -> str:
        """``pacs-north from clinic, 10.10.0.5:104: AE titles ARRR, calling and called AE title checked: …``"""
        place = f"{self.pacs} from {self.vantage}, {self.endpoint}"
        return f"{place}: AE titles {self.pattern}, {self.inference.value}: {self.words}"


def cells(question: Question, *, known: str | None, random_calling: str, random_called: str) -> dict[Cell, Question]:
    """The questions. ``known``: the AE title of the peer in whose place the vantage stands; None: nobody's place."""
    right = question.called_ae_title
    pairs = {
        Cell.RANDOM_RIGHT: (random_calling, right),
        Cell.RANDOM_WRONG: (random_calling, random_called),
    }
    if known is not None:
        pairs = {Cell.KNOWN_RIGHT: (known, right), Cell.KNOWN_WRONG: (known, random_called), **pairs}
    return {
        cell: question.model_copy(
            update={"calling_ae_title": calling, "called_ae_title": called, "up_to": Rung.ASSOCIATED}
        )
        for cell, (calling, called) in pairs.items()
    }


def finding(question: Question, seen: Mapping[Cell, Observation]) -> TitleFinding:
    """``question``: the one that the cells were made of."""
    implied = infer(seen)
    return TitleFinding(
        pacs=question.pacs,
        vantage=question.vantage,
        endpoint=question.endpoint,
        pattern="".join(_answer(seen.get(cell)) for cell in Cell),
        reasons={cell: "/".join(map(str, one.reject)) for cell, one in seen.items() if one.reject is not None},
        inference=implied,
        words=WORDS[implied],
    )


def infer(seen: Mapping[Cell, Observation]) -> Inference:
    """The soundest that the answers allow, and no more."""
    if seen and all(not one.rung.reachable and one.rung is not Rung.INCONCLUSIVE for one in seen.values()):
        return Inference.NOT_REACHED
    known = Cell.KNOWN_RIGHT in seen or Cell.KNOWN_WRONG in seen
    asked = [cell for cell in Cell if known or cell in (Cell.RANDOM_RIGHT, Cell.RANDOM_WRONG)]
    pattern = "".join(_answer(seen.get(cell)) for cell in asked)
    if set(pattern) - {Answer.ACCEPTED, Answer.REJECTED}:
        return Inference.INCONCLUSIVE
    if Answer.ACCEPTED not in pattern:
        return Inference.CALLER_REFUSED if _reason_follows_called(seen) else Inference.UNKNOWN
    return (_FOUR if known else _TWO).get(pattern, Inference.CONTRADICTORY)


def _reason_follows_called(seen: Mapping[Cell, Observation]) -> bool:
    """Same caller, other called title, other reason: the only thing that a rejection proves."""
    rows: Iterable[tuple[Cell, Cell]] = (
        (Cell.KNOWN_RIGHT, Cell.KNOWN_WRONG),
        (Cell.RANDOM_RIGHT, Cell.RANDOM_WRONG),
    )
    return any(seen[right].reject != seen[wrong].reject for right, wrong in rows if right in seen and wrong in seen)


def _answer(seen: Observation | None) -> Answer:
    if seen is None:
        return Answer.NOT_ASKED
    if seen.rung is Rung.REJECTED:
        return Answer.REJECTED
    if seen.rung is Rung.BUSY:
        return Answer.TRANSIENT
    return Answer.ACCEPTED if seen.rung in (Rung.ASSOCIATED, Rung.NO_CONTEXT) else Answer.NONE
