"""What templates print for archives: a merge patch (RFC 7396), whatever language the file itself is in."""

from __future__ import annotations

import json
from typing import Any

from remediate.errors import Unprovable


def parsed_patch(text: str) -> dict[str, Any]:
    """A rendered merge patch: one JSON object."""
    try:
        patch = json.loads(text)
    except ValueError as error:
        raise Unprovable(f"the patch is not JSON: {error}", next="mend the template") from error
    if not isinstance(patch, dict):
        raise Unprovable("the patch is not one JSON object", next="mend the template")
    return patch
