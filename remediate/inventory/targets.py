"""Target lists for large sweeps: CSV and JSONL files, checked as a whole before anything is asked.

Nothing of a list stays in memory but, while it is checked, eight bytes a line; so its length does not matter.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from itertools import pairwise
from pathlib import Path
from socket import AF_INET, inet_pton
from typing import Annotated, BinaryIO, NamedTuple

from pydantic import ConfigDict, PlainValidator, ValidationError

from remediate.errors import InventoryError, UsageError
from remediate.inventory.kept import ANY_AE_TITLE, Kept, Target
from remediate.inventory.wording import ADDRESS_RULE, AE_TITLE_RULE, NAME_RULE, PORT_RULE, not_one_host
from remediate.model.base import AETitle, Name, Port, Value
from remediate.model.site import IPAddress, ServiceKind

#: Bytes of one line, and how many wrong lines are listed.
LONGEST, MOST_LISTED = 16 << 10, 20

_KINDS = ", ".join(ServiceKind)
_RULES = {
    "address": f"{ADDRESS_RULE} that one host can have (names are not looked up)",
    "port": PORT_RULE,
    "kind": f"one of {_KINDS}",
    "called_ae_title": AE_TITLE_RULE,
    "name": NAME_RULE,
}

#: Says why a target may not be asked; "" where it may.
Refused = Callable[[IPAddress, int], str]


def _address(text: object) -> IPAddress:
    """In pydantic's place, which takes a number for one, and tries IPv6 on what is an IPv4 address already."""
    if not isinstance(text, str):
        raise ValueError
    try:
        return IPv4Address(inet_pton(AF_INET, text))  # a third of the time, and as strict
    except OSError:
        return ip_address(text)


class _Line(Value):
    """What a line says."""

    model_config = ConfigDict(hide_input_in_errors=True)

    address: Annotated[IPAddress, PlainValidator(_address)]
    port: Port
    kind: ServiceKind = ServiceKind.DICOM
    called_ae_title: AETitle = ANY_AE_TITLE
    name: Name | None = None


class Checked(NamedTuple):
    """``different`` targets. ``repeated``: lines that ask for one again."""

    different: int
    repeated: int


def check(path: Path, refused: Refused, kept: Kept) -> Checked:
    """Reads the whole list once, and keeps its different targets.

    Raises InventoryError with the lines that are wrong, UsageError where it cannot be read at all, or not be kept;
    nothing is asked of anybody here.
    """
    asked = array("q")
    problems: list[str] = []
    wrong = 0
    rows, parse = _open(path)
    for number, row in rows:
        target = _allowed(parse(row), refused)
        if isinstance(target, str):
            wrong += 1
            if len(problems) < MOST_LISTED:
                problems.append(f"line {number}: {target}")
        elif not wrong:
            asked.append(hash(target.asks))
            kept.put(number, target)
    if wrong:
        if wrong > len(problems):
            problems.append(f"and {wrong - len(problems)} more")
        count = "one line is" if wrong == 1 else f"{wrong} lines are"
        raise InventoryError(
            f"{count} wrong in the list of targets", problems, where=str(path), next="mend that; nothing was asked"
        )
    if not asked:
        raise InventoryError("the list of targets is empty", [], where=str(path), next="nothing was asked")
    # Equal hashes are only a suspicion; what is dropped is found by comparing the targets themselves.
    repeated = kept.finish({one for one, other in pairwise(sorted(asked)) if one == other})
    return Checked(len(asked) - repeated, repeated)


def _allowed(target: Target | str, refused: Refused) -> Target | str:
    """The target, or in words what is wrong with it, or why it may not be asked."""
    if isinstance(target, str):
        return target
    return not_one_host(target.address) or refused(target.address, target.port) or target


Row = bytes | dict[str, str] | str
Rows = Iterator[tuple[int, Row]]


def _open(path: Path) -> tuple[Rows, Callable[[Row], Target | str]]:
    """Line numbers with what stands there, and what makes a target of it."""
    kinds = {".jsonl": _jsonl, ".csv": _csv}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"--targets {path}: what kind of list it is is known by its name",
            next=f"let it end in {' or '.join(kinds)}",
        )
    return _read(path, kind), _parsed


def _read(path: Path, kind: Callable[[BinaryIO], Rows]) -> Rows:
    try:
        with path.open("rb") as file:
            yield from kind(file)
    except OSError as error:
        raise UsageError(
            f"--targets {path}: it cannot be read: {error.strerror or error}", next="name a file that can"
        ) from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST):
        yield line
        while len(line) == LONGEST and not line.endswith(b"\n"):  # told as wrong; its rest is not
            line = file.readline(LONGEST)


def _jsonl(file: BinaryIO) -> Rows:
    return ((number, line) for number, line in enumerate(_lines(file), 1) if not line.isspace())


def _csv(file: BinaryIO) -> Rows:
    """What is wrong with a row as such comes as text."""
    rows = csv.reader((line.decode(errors="replace") for line in _lines(file)), strict=True)
    columns: list[str] | None = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield rows.line_num, f"no CSV: {error}"
            continue
        if row is None:
            return
        if not row:
            continue
        if columns is None:
            columns = [cell.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").strip('"') for cell in row]
            if problem := _header(columns):
                yield rows.line_num, problem
                return
        elif len(row) > len(columns):
            yield rows.line_num, f"{len(row)} cells under {len(columns)} columns"
        else:
            cells = ((column, cell.strip()) for column, cell in zip(columns, row, strict=False))
            yield rows.line_num, {column: cell for column, cell in cells if cell}


def _parsed(row: Row) -> Target | str:
    if isinstance(row, str):
        return row
    try:
        read = _Line.model_validate_json(row) if isinstance(row, bytes) else _Line.model_validate_strings(row)
    except ValidationError as error:
        return _told(error)
    return Target(read.address, read.port, read.kind, read.called_ae_title, read.name)


def _header(columns: list[str]) -> str:
    known = ", ".join(Target._fields)
    if len(set(columns)) < len(columns) or not {"address", "port"} <= set(columns) <= set(Target._fields):
        return f"the first line names the columns: address, port, and any others of {known}, each once"
    return ""


def _told(error: ValidationError) -> str:
    """Never with what the line holds there: a list may be the wrong file."""
    told = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        key = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "missing":
            told.append(f"{key} is missing")
        elif one["type"] == "extra_forbidden":
            told.append(f"a key that is not known; allowed: {', '.join(Target._fields)}")
        elif key in _RULES:
            told.append(f"{key} is not {_RULES[key]}")
        else:
            told.append("no JSON object on one line")
    return "; ".join(dict.fromkeys(told))
