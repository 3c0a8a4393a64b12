"""How long is waited for others, and where a test may say something else: nothing is mocked, only not waited for.

``REMEDIATE_PATIENCE`` and ``REMEDIATE_LOOK_DEADLINE``, in seconds, are for tests, and read once, at import. On an
archive with patients a shorter patience takes changes back that a busy archive would have lived through.
"""

from __future__ import annotations

import math
import os
from typing import Final

from remediate.errors import UsageError


def seconds(variable: str, default: float) -> float:
    """Raises UsageError for what is no number of seconds above 0."""
    given = os.environ.get(variable)
    if given is None:
        return default
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(
            f"{variable}={given!r} is no number of seconds above 0", next=f"unset {variable}: it is for tests alone"
        )
    return value


#: Seconds for connecting, and once more for all that a service answers.
LOOK_DEADLINE: Final = seconds("REMEDIATE_LOOK_DEADLINE", 5.0)
#: Seconds for which a care path that does not answer yet is asked again: an archive may sit out a connection that
#: the new rule cut (30 s were seen, 61 s with every association slot taken).
CARE_PATH: Final = seconds("REMEDIATE_PATIENCE", 90.0)
