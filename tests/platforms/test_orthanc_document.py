"""Editing a JSON document with comments: what is not named stays, to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.errors import Unprovable
from remediate.model.base import canonical
from remediate.platforms.orthanc.document import Document

BY_HAND = """\
{
  // The archive of the north wing.
  "Name" : "north",   /* not "south" */
  "DicomAet" : "ORTHANC",
  "DicomCheckCalledAet" : false, // tried once
  "DicomModalities" : {
    "ct" : [ "CT1", "10.20.0.10", 104 ] // by phone
  },
  "HttpPort" : 8042 // last
}
"""


def test_edits_leave_the_rest_alone_and_are_undone_to_the_byte() -> None:
    before = Document(BY_HAND)
    after = before.merged(
        {
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomModalities": {"mr": {"AET": "MR1", "Host": "10.20.0.11", "Port": 104}},
        }
    )
    assert '"DicomCheckCalledAet" : true, // tried once' in after.text
    assert '"HttpPort" : 8042, // last\n  "DicomCheckModalityHost" : true\n}' in after.text
    assert '"ct" : [ "CT1", "10.20.0.10", 104 ], // by phone\n    "mr" : {\n      "AET"' in after.text
    assert after.get(("DicomModalities", "mr", "Port")) == "104"
    back = {"DicomCheckCalledAet": False, "DicomCheckModalityHost": None, "DicomModalities": {"mr": None}}
    assert after.merged(back).text == BY_HAND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{]",
        '{"a" 1}',
        '{"a": 1,}',
        '{"a": 1} x',
        '{"a": tru}',
        '{"a": 1 "b": 2}',
        "{a: 1}",
        '{"a": "\n"}',
    ],
)
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(Unprovable, match="not JSON as Orthanc reads it"):
        Document(text)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(Unprovable, match="DicomAet"):
        Document('{"DicomAet": "A", "Sub": {}, "DicomAet": "B"}')


def test_a_comment_to_the_end_of_the_line_swallows_nothing() -> None:
    document = Document('{\n// first\n"a": 1, "b": 2 // last\n}')
    assert document.without(("a",)).keys() == ("b",)
    assert document.without(("b",)).keys() == ("a",)
    assert document.merged({"c": 3}).keys() == ("a", "b", "c")


BLANKS = st.sampled_from(["", " ", "\n  ", ' // a, "b": {\n', "/* } */", " /* two\nlines */ ", "\t"])
SCALARS = st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=4)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """A value as somebody may have written it by hand."""
    if isinstance(value, dict):
        members = [
            draw(BLANKS) + json.dumps(key) + draw(BLANKS) + ":" + draw(BLANKS) + draw(written(one)) + draw(BLANKS)
            for key, one in value.items()
        ]
        return "{" + (",".join(members) or draw(BLANKS)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(draw(BLANKS) + draw(written(one)) + draw(BLANKS) for one in value) + "]"
    return json.dumps(value)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(data=st.data(), value=OBJECTS, patch=OBJECTS)
def test_a_patch_does_what_the_standard_says(data: st.DataObject, value: dict[str, Any], patch: dict[str, Any]) -> None:
    document = Document(data.draw(written(value)))
    expected = _patched(value, patch)
    merged = document.merged(patch)
    assert {key: merged.get((key,)) for key in merged.keys()} == {k: canonical(v) for k, v in expected.items()}  # noqa: SIM118


@given(data=st.data(), value=OBJECTS, key=st.text(max_size=3), more=VALUES.filter(lambda v: v is not None))
def test_what_was_added_goes_and_nothing_else(data: st.DataObject, value: dict[str, Any], key: str, more: Any) -> None:
    document = Document(data.draw(written(value)))
    if key in value:
        document = document.without((key,))
    assert document.merged({key: more}).without((key,)).tokens == document.tokens


def _patched(value: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396, section 2; but nulls inside a value that replaces another are kept, as they are never sent."""
    made = dict(value)
    for key, one in patch.items():
        if one is None:
            made.pop(key, None)
        elif isinstance(one, dict) and isinstance(made.get(key), dict):
            made[key] = _patched(made[key], one)
        else:
            made[key] = one
    return made
