"""What every value of the model has in common."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer


class Value(BaseModel):
    """Frozen, comparable, hashable where its fields are; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Port = Annotated[int, Field(ge=1, le=65535)]
#: A host name of the inventory: safe in file names and in the identifiers of every platform.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
#: PS3.5 6.2, value representation AE: at most 16 characters, no backslash, no control characters; the spaces at
#: both ends, which do not count there, are not written here.
AETitle = Annotated[str, Field(pattern=r"^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?$")]


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no white space. This text is what is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def span(duration: timedelta) -> str:
    """``1 h 5 min 20 s``"""
    seconds = round(duration.total_seconds())
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


T = TypeVar("T")
#: A set whose JSON is always the same text, so that hashes of it are.
OrderedJsonSet = Annotated[frozenset[T], PlainSerializer(sorted, when_used="json")]
