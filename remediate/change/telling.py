"""Somebody is told, by Apprise, that a change begins and how it ended. Whatever goes wrong with that stops nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from remediate.inventory import secrets
from remediate.model.change import Journal, Plan, State
from remediate.model.watch import Watch

#: Seconds for all of them together.
DEADLINE = 15.0
_ENDINGS = {
    State.NEEDS_HANDS: "NEEDS HANDS",
    State.ROLLED_BACK: "was taken back",
    State.STOPPED: "stopped, and nothing more was pushed",
    State.CONFIRMED: "is confirmed",
    State.UNCHANGED: "had nothing to change",
}


class Telling:
    """By a plan's ``notify``. Who could not be told is said once to ``watch``, and each time in the journal.

    Not to be called while a revert timer runs that somebody waits for.
    """

    def __init__(self, plan: Plan, journal: Journal, watch: Watch) -> None:
        self._pacs = tuple(dict.fromkeys(name for wave in plan.waves for name in wave.pacs))
        self._references = plan.notify
        self._journal = journal
        self._watch = watch
        self._said: set[str] = set()

    def begins(self) -> None:
        self._tell("begins", f"change {self._journal.change} on {', '.join(self._pacs)} begins")

    def ends(self, states: Iterable[State], status: int) -> None:
        """``states``: of all waves; the one that weighs most is told."""
        found = set(states)
        ending = next((words for state, words in _ENDINGS.items() if state in found), "ended")
        text = f"change {self._journal.change} on {', '.join(self._pacs)} {ending} (exit status {status})"
        self._tell("ends", text)

    def _tell(self, event: str, text: str) -> None:
        """No reason and no address is told: it goes to somebody else's service."""
        if not self._references:
            return
        body = f"{text}\nremediate record show {self._journal.change}"
        failed = _sent(self._references, text, body)
        told = [reference for reference in self._references if reference not in failed]
        self._journal.append("notified", {"event": event, "told": told, "not_told": failed})
        for reference, why in failed.items():
            if reference not in self._said:
                self._watch.note(f"notify {reference}: could not be told: {why}")
                self._said.add(reference)


def _sent(references: Sequence[str], title: str, body: str) -> Mapping[str, str]:
    """Reference → why it could not be told. A thread that hangs is left behind: it touches nothing of ours."""
    failed: dict[str, str] = dict.fromkeys(references, f"no answer within {DEADLINE:g} s")

    def send(reference: str) -> None:
        why = _why_not(reference, title, body)
        if why:
            failed[reference] = why
        else:
            failed.pop(reference)

    threads = [
        threading.Thread(target=send, args=(reference,), name=f"notify-{number}", daemon=True)
        for number, reference in enumerate(references)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(failed)


def _why_not(reference: str, title: str, body: str) -> str:
    """ "" where it was told. Nothing of the URL is said: it holds secrets."""
    try:
        import apprise
    except ImportError:
        return "it needs Apprise, which is not installed; pip install 'remediate[notify]'"
    try:
        url = secrets.resolve(reference, Path()).get_secret_value()
        asset = apprise.AppriseAsset(
            app_id="remediate", async_mode=False, storage_mode=apprise.PersistentStoreMode.MEMORY
        )
        service = apprise.Apprise(asset=asset)
        if not service.add(url):
            return "what it refers to is no URL that Apprise knows"
        return "" if service.notify(title=title, body=body) else "the service did not take it"
    except secrets.Missing as missing:
        return str(missing)
    except Exception as error:  # of a plugin of Apprise's: nothing may come of it, and its text may hold the URL
        return f"Apprise failed ({type(error).__name__})"
