"""A watch that says nothing."""

from __future__ import annotations

from collections.abc import Iterable

from remediate.model.verdict import Judgement


class Quiet:
    def stage(self, wave: int, name: str, detail: str = "") -> None: ...

    def device(self, name: str, what: str, done: int, devices: int, *, seconds: float, failed: str) -> None: ...

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None: ...

    def note(self, text: str) -> None: ...

    def alarm(self, text: str) -> None: ...
