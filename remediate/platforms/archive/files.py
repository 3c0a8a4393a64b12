"""An archive's files, as they stand on its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Files(NamedTuple):
    """Secrets and all. ``beside``: path → text of what lies beside the one at ``path``, and may be read with it."""

    path: str
    text: str
    beside: Mapping[str, str]
