"""What of a foreign value may stand in the record: JSON, not too long, and no secret that we know of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nornir.core.inventory import ConnectionOptions, Inventory

from remediate.model.base import canonical
from remediate.record.body import PRIVATE_KEY_MARK, SECRET_WORDS

#: Characters of one value.
LONGEST = 8000
_DEEPEST = 12
_MASKED = "***"


@dataclass(frozen=True)
class Mask:
    """``secrets``: longest first, so that none is left in pieces."""

    secrets: tuple[str, ...]

    @classmethod
    def of(cls, inventory: Inventory) -> Mask:
        """The passwords of an inventory, and the token that some of them may have come by."""
        found = {*_passwords(inventory), os.environ.get("VAULT_TOKEN")} - {None, ""}
        return cls(tuple(sorted((str(one) for one in found), key=lambda one: (-len(one), one))))

    def text(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, _MASKED)
        if PRIVATE_KEY_MARK in text:
            return "(a private key)"
        text = text.encode(errors="replace").decode()
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"

    def value(self, value: Any) -> Any:
        """Objects that JSON does not know are named by their type only."""
        kept = self._value(value, 0)
        text = canonical(kept)
        return kept if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if depth < _DEEPEST and isinstance(value, Mapping):
            return {self.text(str(key)): self._inner(str(key), one, depth) for key, one in value.items()}
        if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._value(one, depth + 1) for one in value]
        return f"({type(value).__name__})"

    def _inner(self, key: str, value: Any, depth: int) -> Any:
        """The record takes nothing under a key that names a secret."""
        name = key.lower().replace("-", "_").replace(" ", "_")
        return None if any(word in name for word in SECRET_WORDS) else self._value(value, depth + 1)


def _passwords(inventory: Inventory) -> Iterator[str | None]:
    for element in (*inventory.hosts.values(), *inventory.groups.values(), inventory.defaults):
        yield element.password
        connections: Mapping[str, ConnectionOptions] = getattr(element, "connection_options", {})
        for options in connections.values():
            yield options.password
            extras = options.extras or {}
            if login := extras.get("login"):
                yield login.password.get_secret_value() if login.password else None
            yield from (str(one) for key, one in extras.items() if any(word in key.lower() for word in SECRET_WORDS))
