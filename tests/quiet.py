"""A watch that says nothing."""

from __future__ import annotations

from remediate.model.watch import Watch


class Quiet(Watch):
    pass
