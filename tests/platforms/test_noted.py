"""Whom an observing guard has noted, as nft 1.0.6 lists it (recorded; addresses are changed)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.platforms.linux_nftables.noted import noted

ELEMENT = {
    "elem": {
        "val": {"concat": ["203.0.113.66", "10.10.0.5", 104]},
        "expires": 2678300,
        "counter": {"packets": 7, "bytes": 420},
    }
}
SET = {
    "set": {
        "family": "inet",
        "name": "seen4_acl_pacs-north",
        "table": "remediate",
        "type": ["ipv4_addr", "ipv4_addr", "inet_service"],
        "handle": 3,
        "size": 65535,
        "flags": ["timeout", "dynamic"],
        "timeout": 2678400,
        "elem": [ELEMENT],
    }
}


def listing(*items: object) -> str:
    return "1772000000\n" + json.dumps({"nftables": [{"metainfo": {"version": "1.0.6"}}, *items]})


def test_who_it_was_and_when_last() -> None:
    (one,) = noted(listing(SET, {"chain": {"name": "acl_pacs-north"}}))
    assert (str(one.source), str(one.archive), one.port, one.packets) == ("203.0.113.66", "10.10.0.5", 104, 7)
    assert one.last == datetime.fromtimestamp(1772000000 - 100, UTC)


def test_where_no_guard_stands_nobody_is_noted() -> None:
    assert noted("1772000000\n") == noted("") == noted(listing()) == ()


def test_a_set_that_is_not_of_a_guard_is_left_alone() -> None:
    assert noted(listing({"set": {**SET["set"], "name": "banned"}})) == ()


@pytest.mark.parametrize("text", ["x\n{}", "1772000000\n[]", "1772000000\n{", "1772000000\n{}"])
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        noted(text)


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["elem", "val", "concat"]), inner),
    max_leaves=8,
)


@given(json_values)
def test_no_listing_breaks_it(value: object) -> None:
    for text in (f"1772000000\n{json.dumps(value)}", listing({"set": {**SET["set"], "elem": value}}), listing(value)):
        try:
            noted(text)
        except ValueError:
            continue
