"""The chain finds whatever is done to the stored rows behind its back."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate.errors import RecordError
from remediate.record import Record, schema
from remediate.record.chain import START, Head, Stored, link, problems


def tampered(place: str, *statements: str) -> list[str]:
    with Record.open(place) as record:
        journal = record.begin("one", data={"step": 0})
        for number in range(1, 6):
            journal.append("step", {"step": number})
        record.begin("other", data={})
        assert record.verify() == []
    engine, _ = schema.connect(place)
    with engine.begin() as connection:
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount > 0, statement
    engine.dispose()
    with Record.open(place) as record:
        assert record.verify("other") == []
        assert record.verify() == record.verify("one")
        return record.verify("one")


DELETE = "delete from remediate_entry where change = 'one' and seq"
COPY_BODY = """update remediate_entry as e set body = n.body from remediate_entry as n
    where e.change = 'one' and e.seq = 4 and n.change = 'one' and n.seq = 5"""


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["update remediate_entry set body = '{\"step\":9}' where change = 'one' and seq = 3"], "entry 3 was altered"),
        (["update remediate_entry set kind = 'other' where change = 'one' and seq = 3"], "entry 3 was altered"),
        (["update remediate_entry set at = '2026-01-01' where change = 'one' and seq = 3"], "entry 3 was altered"),
        ([f"{DELETE} = 3"], "entry 3 is missing"),
        ([f"{DELETE} = 1"], "entry 1 is missing"),
        ([f"{DELETE} = 6"], "the head counts 6 entries, 5 are there"),
        ([f"{DELETE} > 0"], "the head counts 6 entries, 0 are there"),
        (
            [f"{DELETE} = 6", "update remediate_head set seq = 5 where change = 'one'"],
            "the head does not belong to the last entry",
        ),
        (["update remediate_head set seq = 9 where change = 'one'"], "the head counts 9 entries, 6 are there"),
        (["update remediate_head set begun_at = '2026-01-01' where change = 'one'"], "the head's begin"),
        (["delete from remediate_head where change = 'one'"], "the head is missing"),
        (
            [
                "update remediate_entry set seq = 99 where change = 'one' and seq = 3",
                "update remediate_entry set seq = 3 where change = 'one' and seq = 4",
                "update remediate_entry set seq = 4 where change = 'one' and seq = 99",
            ],
            "entry 3 does not follow",
        ),
        (
            [COPY_BODY],
            "entry 4 was altered",
        ),
    ],
)
def test_tampering_is_found(place: str, statements: list[str], found: str) -> None:
    assert any(found in problem for problem in tampered(place, *statements))


def test_a_text_that_became_bytes_is_found(path: Path) -> None:
    """SQLite keeps whatever it is given."""
    altered = "update remediate_entry set body = x'7b7d' where change = 'one' and seq = 3"
    assert any("entry 3 was altered" in problem for problem in tampered(str(path), altered))


def chained(bodies: list[str]) -> tuple[list[Stored], Head]:
    entries, previous = [], START
    for seq, body in enumerate(bodies, 1):
        new = link(previous, "one", seq, "at", "step", body)
        entries.append(Stored("one", seq, "at", "step", body, previous, new))
        previous = new
    return entries, Head("at", len(entries), previous)


def test_a_rehashed_entry_no_longer_fits_its_successor() -> None:
    entries, head = chained(["{}", "{}", "{}"])
    assert problems("one", entries, head) == []
    new = link(entries[0].hash, "one", 2, "at", "step", '{"forged":1}')
    entries[1] = entries[1]._replace(body='{"forged":1}', hash=new)
    assert problems("one", entries, head) == ["one: entry 3 does not follow the entry before it"]


@pytest.mark.parametrize(
    "other",
    [
        ("x", "one", 1, "at", "step", "{}"),
        (START, "x", 1, "at", "step", "{}"),
        (START, "one", 7, "at", "step", "{}"),
        (START, "one", 1, "x", "step", "{}"),
        (START, "one", 1, "at", "x", "{}"),
        (START, "one", 1, "at", "step", "x"),
    ],
)
def test_every_field_is_hashed(other: tuple[str, str, int, str, str, str]) -> None:
    assert link(*other) != link(START, "one", 1, "at", "step", "{}")


def test_a_known_chain_is_hashed_as_ever() -> None:
    """A changed formula would make every record written so far look forged."""
    entries, head = chained(['{"é":1}', "{}"])
    assert head.hash == "cc1132eeba6ef87172bdf407213cd86df4b362ffebae4bb99ab3610d99725e32"
    assert entries[1].previous == entries[0].hash


def test_verify_of_an_unknown_change_is_an_error(record: Record) -> None:
    with pytest.raises(RecordError, match="remediate record list"):
        record.verify("nothing")
