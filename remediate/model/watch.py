"""What a change tells while it runs."""

from __future__ import annotations

from collections.abc import Iterable

from remediate.model.verdict import Judgement


class Watch:
    """Told in the order in which things happen, from the thread that runs the change. To be inherited from: what is
    left out does nothing, so that one that is older than a method here goes on working.
    """

    def stage(self, wave: int, name: str, detail: str = "") -> None:
        """Something begins."""

    def device(self, name: str, what: str, done: int, devices: int, *, seconds: float, failed: str) -> None:
        """One step on one device has ended, ``done`` of ``devices``. ``failed``: why; "" where it has not.

        From the thread that worked there, which must not wait for it.
        """

    def looked(self, wave: int, title: str, judgements: Iterable[Judgement]) -> None:
        """What a round of looking came to."""

    def note(self, text: str) -> None:
        """Something beside."""

    def alarm(self, text: str) -> None:
        """Something that a person must see even in a hurry."""
