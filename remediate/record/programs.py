"""Programs of the system that sign and check."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from remediate.errors import SignatureError


def run(
    argv: Sequence[str], *, text: str, deadline: float, install: str, attempt: str
) -> subprocess.CompletedProcess[str]:
    """What it says to ``text``, in plain English; its exit status is the caller's to judge. ``deadline``: seconds.

    SignatureError: it is not there (next: ``install``), or it cannot be run to its end (next: ``attempt``).
    """
    try:
        return subprocess.run(
            argv,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=deadline,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise SignatureError(f"{argv[0]} is not installed", next=install) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SignatureError(f"{argv[0]} could not be run: {error}", next=attempt) from error
