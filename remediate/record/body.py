"""What may stand in an entry, and its one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remediate.errors import RecordError
from remediate.model.base import canonical

#: In a key, written in small letters with underscores: its value is a secret.
SECRET_WORDS = ("password", "passwd", "passphrase", "secret", "private_key", "privatekey", "api_key", "apikey")
PRIVATE_KEY_MARK = "PRIVATE KEY-----"


def redact(data: Mapping[str, Any]) -> None:
    """Refuses data that holds a secret (RecordError that names its place, never its value).

    Nothing is masked: a secret that arrives here is a bug of the caller. Flags and None are no secrets.
    """
    _look(data, "data")


def _look(value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RecordError(f"a key of {place} is not text", next="write the entry with text keys")
            name = key.lower().replace("-", "_").replace(" ", "_")
            if any(word in name for word in SECRET_WORDS) and inner is not None and not isinstance(inner, bool):
                raise _refused(f"{place}.{key}")
            _look(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            _look(inner, f"{place}[{number}]")
    elif isinstance(value, str) and PRIVATE_KEY_MARK in value:
        raise _refused(place)


def _refused(place: str) -> RecordError:
    return RecordError(
        f"{place} would put a secret into the record; the entry was refused",
        next="report this as a bug; nothing was written",
    )


def body(data: Mapping[str, Any]) -> str:
    """The canonical text of an entry's data. RecordError for a secret and for what is not JSON."""
    try:
        redact(data)
        text = canonical(dict(data))
        text.encode()  # a lone surrogate can be neither stored nor hashed
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(
            f"the entry is not JSON: {error}", next="report this as a bug; nothing was written"
        ) from error
    return text
