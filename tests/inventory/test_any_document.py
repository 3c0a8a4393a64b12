"""Whatever stands in the files: an inventory, or an InventoryError."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from remediate.errors import InventoryError
from remediate.inventory import Loaded, document, load

EXAMPLE = Path(__file__).parents[2] / "inventory"
AS_WRITTEN = {name: (EXAMPLE / name).read_bytes() for name in ("hosts.yaml", "groups.yaml", "defaults.yaml")}
FILES = {name: yaml.safe_load(data) for name, data in AS_WRITTEN.items()}
Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.sampled_from(
        ["local", "pacs", "a@b", "env:X", "file:/", "::", "0.0.0.0/0", "~x/y", "all", "fw-north", "1e999"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(scalars, inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(child, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


PLACES = [(name, path) for name, content in FILES.items() for path in places(content)]


def attempt(folder: Path) -> Loaded | InventoryError:
    try:
        return load(folder)
    except InventoryError as error:
        assert error.problems
        assert str(error).encode()  # nothing that a terminal could not print
        assert all("\n" not in line for line in error.problems)
        return error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")))
@example(b"\xef\xbb\xbfa: {}")
@example(b"%YAML 9999999999999999999999.1\n---\na: b")
@example(b'"\\ud800": "\\ud800"')
@example(b'"\\U00110000"')
@example(b"? {a: b}\n: c")
@example(b"a: 2001-99-99\nb: 99999999999999999999999999999999\nc: !!int x\nd: !!float x\ne: !!bool x\nf: 1e999")
@example(b"<<: [1, {a: b}]\n<<: x")
@example(b"a: !!set {b, c}\nd: !!omap [e: f]\ng: !!binary x")
@settings(max_examples=100, deadline=None)
def test_any_bytes_as_any_of_the_files(folder: Path, data: bytes) -> None:
    (folder / "hosts.yaml").write_bytes(data)
    with pytest.MonkeyPatch.context() as patched:  # PyYAML may have been built without its parser in C
        patched.setattr(document, "Loader", yaml.SafeLoader)
        attempt(folder)
    for name in FILES:
        for other in FILES:
            (folder / other).write_bytes(data if other == name else AS_WRITTEN[other])
        attempt(folder)


@given(st.lists(st.tuples(st.sampled_from(PLACES), values), min_size=1, max_size=3))
@settings(max_examples=250, deadline=None)
def test_any_value_at_any_place_of_the_example(folder: Path, changes: list[tuple[Any, Any]]) -> None:
    files = dict(FILES)
    for (name, path), new in changes:
        try:
            files[name] = replaced(files[name], path, new)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    for name, content in files.items():
        (folder / name).write_text(yaml.dump(content, Dumper=Dumper))
    found = attempt(folder)
    if isinstance(found, Loaded):
        assert found.site.pacs
        assert all(name in found.site.devices for pacs in found.site.pacs.values() for name in pacs.protected_by)
        assert set(found.site.logins) == set(found.site.devices)
        site = found.site
        assert len(found.nornir.hosts) == len(site.pacs) + len(site.devices) + len(site.vantages)
