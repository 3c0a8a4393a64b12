"""Settings of Orthanc that are members of the whole document, each with a value of its own. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from remediate.model.base import canonical
from remediate.model.rule import Setting
from remediate.platforms.orthanc.document import Document


def settings(values: Mapping[str, Any]) -> tuple[Setting, ...]:
    return tuple(Setting(key=(key,), value=canonical(values[key])) for key in sorted(values))


def found(document: Document, keys: Collection[str]) -> tuple[Setting, ...]:
    there = {key: document.get((key,)) for key in sorted(keys)}
    return tuple(Setting(key=(key,), value=value) for key, value in there.items() if value is not None)


def without(document: Document, keys: Collection[str]) -> Document:
    for key in sorted(keys):
        document = document.without((key,))
    return document


def patch(document: Document, keys: Collection[str], wanted: Iterable[Setting]) -> dict[str, Any]:
    """A merge patch (RFC 7396): null takes a member out."""
    there, then = ({s.key[0]: s.value for s in some} for some in (found(document, keys), wanted))
    return {
        key: json.loads(then[key]) if key in then else None
        for key in sorted(there.keys() | then.keys())
        if there.get(key) != then.get(key)
    }
