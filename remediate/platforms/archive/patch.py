"""What templates print for archives: a merge patch (RFC 7396), whatever language the file itself is in."""

from __future__ import annotations

import json
from typing import Any

from remediate.errors import Unprovable

_DECODER = json.JSONDecoder()


def parsed_patch(text: str) -> dict[str, Any]:
    """Rendered merge patches, one a control, as one: JSON objects behind one another, no member in two of them."""
    made: dict[str, Any] = {}
    rest = text.strip()
    while rest or not text.strip():
        try:
            patch, end = _DECODER.raw_decode(rest)
        except ValueError as error:
            raise Unprovable(f"the patch is not JSON: {error}", next="mend the template") from error
        if not isinstance(patch, dict):
            raise Unprovable("the patch is not a JSON object", next="mend the template")
        if both := sorted(made.keys() & patch.keys()):
            raise Unprovable(f"two controls' patches name {both[0]}", next="mend the templates")
        made |= patch
        rest = rest[end:].strip()
    return made
