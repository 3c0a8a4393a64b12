"""Target lists: what is wrong is said with its line, before anything is asked; what is right is given once."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import resource
import signal
import tempfile
import tracemalloc
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.errors import InventoryError, RemediateError, UsageError
from remediate.inventory import kept, targets
from remediate.inventory.kept import Kept, Target
from remediate.model.site import IPAddress, ServiceKind

INSIDE = ip_network("10.0.0.0/8")


def refused(address: IPAddress, port: int) -> str:
    return "" if address in INSIDE or address.version == 6 else f"{address} is in no network of the scope"


def asked(path: Path) -> list[tuple[int, Target]]:
    with Kept() as keeping:
        check(path, keeping)
        return sorted(keeping.taken())


def check(path: Path, keeping: Kept | None = None) -> targets.Checked:
    with contextlib.ExitStack() as stack:
        return targets.check(path, refused, keeping or stack.enter_context(Kept()))


def listed(tmp_path: Path, text: str, name: str = "list.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no json", "no JSON object on one line"),
        ("[]", "no JSON object on one line"),
        ('{"address": "10.0.0.1"}', "port is missing"),
        ('{"address": "pacs.example", "port": 104}', "address is not an IPv4 or IPv6 address"),
        ('{"address": 167772161, "port": 104}', "address is not"),
        ('{"address": "10.0.0.1", "port": 0}', "port is not a port, 1 to 65535"),
        ('{"address": "10.0.0.1", "port": 104, "kind": "ssh"}', "kind is not one of dicom"),
        ('{"address": "10.0.0.1", "port": 104, "called_ae_title": "A\\\\B"}', "called_ae_title is not 1 to 16"),
        ('{"address": "10.0.0.1", "port": 104, "name": "MADEUP PATIENT"}', "name is not a name"),
        ('{"address": "10.0.0.1", "port": 104, "colour": "red"}', "a key that is not known"),
        ('{"address": "192.0.2.1", "port": 104}', "192.0.2.1 is in no network of the scope"),
        ('{"address": "::ffff:10.0.0.1", "port": 104}', "IPv4 addresses written as such"),
        ('{"address": "255.255.255.255", "port": 104}', "that one host can have"),
        ("{" + "x" * 40_000, "no JSON object on one line"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(tmp_path: Path, line: str, told: str) -> None:
    path = listed(tmp_path, f'{{"address": "10.0.0.1", "port": 104}}\n\n{line}\n{{"address": "10.0.0.2", "port": 1}}\n')
    with pytest.raises(InventoryError) as error:
        check(path)
    (problem,) = error.value.problems
    assert problem.startswith("line 3: ") and told in problem
    assert "MADEUP" not in str(error.value)
    assert "nothing was asked" in str(error.value)


def test_many_wrong_lines_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="1000 lines are wrong") as error:
        check(listed(tmp_path, "nonsense\n" * 1000))
    assert len(error.value.problems) == targets.MOST_LISTED + 1
    assert error.value.problems[-1] == f"and {1000 - targets.MOST_LISTED} more"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.1,104\n", "line 1: the first line names the columns"),
        ("address,port,port\n10.0.0.1,104,104\n", "line 1: the first line names the columns"),
        ("address,port\n10.0.0.1,104,ARCHIVE\n", "line 2: 3 cells under 2 columns"),
        ("address,port\n10.0.0.1,high\n", "line 2: port is not a port"),
        ('address,port\n10.0.0.1,104\n"10.0.0.2"x,104\n', "line 3: no CSV"),
    ],
)
def test_a_wrong_csv(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InventoryError, match=told):
        check(listed(tmp_path, text, "list.csv"))


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    head = "\N{ZERO WIDTH NO-BREAK SPACE}name,address,port,called_ae_title,kind\r\n"
    text = f"{head}ct-1, 10.0.0.1 ,104,,\r\n,fd00::1,8042,,dicomweb\r\n"
    found = asked(listed(tmp_path, text, "list.csv"))
    assert [(line, t.name, str(t.address), t.port, t.kind) for line, t in found] == [
        (2, "ct-1", "10.0.0.1", 104, ServiceKind.DICOM),
        (3, None, "fd00::1", 8042, ServiceKind.DICOMWEB),
    ]


@pytest.mark.parametrize("name", ["list.txt", "list"])
def test_the_kind_of_a_list_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl or \.csv"):
        check(listed(tmp_path, "", name))


def test_a_list_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check(tmp_path / "none.jsonl")
    with pytest.raises(InventoryError, match="is empty"):
        check(listed(tmp_path, "\n\n"))


TARGETS = st.lists(
    st.fixed_dictionaries(
        {"address": st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]), "port": st.integers(104, 106)},
        optional={
            "kind": st.sampled_from([kind.value for kind in ServiceKind]),
            "called_ae_title": st.sampled_from(["ARCHIVE", "ANY-SCP"]),
            "name": st.sampled_from(["a", "b"]),
        },
    ),
    min_size=1,
    max_size=30,
)


def in_turns(takers: list[Iterator[tuple[int, Target]]]) -> list[list[tuple[int, Target]]]:
    """What each of them got, one after the other taking one more."""
    got: list[list[tuple[int, Target]]] = [[] for _ in takers]
    for turn in zip_longest(*takers):
        for mine, one in zip(got, turn, strict=True):
            if one is not None:
                mine.append(one)
    return got


@given(rows=TARGETS, of=st.integers(1, 4), parts=st.integers(1, 5), chunk=st.integers(1, 4), as_csv=st.booleans())
def test_each_different_target_once_and_an_address_by_one_taker(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    of: int,
    parts: int,
    chunk: int,
    as_csv: bool,
) -> None:
    text = io.StringIO()
    if as_csv:
        writer = csv.DictWriter(text, ["name", "port", "address", "called_ae_title", "kind"])
        writer.writeheader()
        writer.writerows(rows)
    else:
        text.writelines(json.dumps(row) + "\n" for row in rows)
    path = listed(tmp_path_factory.mktemp("lists"), text.getvalue(), "list.csv" if as_csv else "list.jsonl")
    with Kept(parts) as keeping, pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_CHUNK", chunk)
        checked = check(path, keeping)
        shares = in_turns([keeping.taken() for _ in range(of)])
    found = [target.asks for share in shares for _, target in share]
    want = {
        (ip_address(r["address"]), r["port"], r.get("kind", "dicom"), r.get("called_ae_title", "ANY-SCP")) for r in rows
    }
    assert len(found) == len(want) and set(found) == want
    assert checked.different == len(want) and checked.repeated == len(rows) - len(want)
    for address in {one[0] for one in want}:
        assert sum(any(target.address == address for _, target in share) for share in shares) == 1
    header = 1 if as_csv else 0
    for line, target in (one for share in shares for one in share):
        row = rows[line - 1 - header]
        assert str(target.address) == row["address"] and target.name == row.get("name")
        assert target.asks not in {
            (ip_address(r["address"]), r["port"], r.get("kind", "dicom"), r.get("called_ae_title", "ANY-SCP"))
            for r in rows[: line - 1 - header]
        }


@given(data=st.binary(max_size=300), name=st.sampled_from(["list.jsonl", "list.csv"]))
def test_no_bytes_raise_anything_but_our_own_errors(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("lists") / name
    path.write_bytes(data)
    try:
        check(path)
    except RemediateError as error:
        assert str(error)


def test_what_is_asked_is_what_was_checked(tmp_path: Path) -> None:
    path = listed(tmp_path, '{"address": "10.0.0.1", "port": 104}\n')
    with Kept() as keeping:
        check(path, keeping)
        path.write_text('{"address": "192.0.2.1", "port": 104}\n')
        assert [str(target.address) for _, target in keeping.taken()] == ["10.0.0.1"]


def test_without_room_for_it_nothing_is_asked(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = listed(tmp_path, "".join(f'{{"address": "10.0.0.1", "port": {port}}}\n' for port in range(1, 1001)))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"cannot be kept: .*\n  next: make room"):
            check(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_without_a_folder_for_it_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="TMPDIR"):
        Kept()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_with_too_few_files_nothing_is_asked() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, limits[1]))
    try:
        with pytest.raises(UsageError, match="ulimit -n"):
            Kept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert descriptors() == before


def test_a_long_list_is_not_kept(tmp_path: Path) -> None:
    """64,000 targets as objects would be more than 10 MiB."""
    path = tmp_path / "list.jsonl"
    with path.open("w") as file:
        file.writelines(f'{{"address": "10.{i >> 8 & 255}.{i & 255}.1", "port": 104}}\n' for i in range(64_000))
    tracemalloc.start()
    try:
        with Kept() as keeping:
            checked = check(path, keeping)
            assert sum(1 for _ in keeping.taken()) == checked.different == 64_000
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
