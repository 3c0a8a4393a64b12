"""The heads of the chains, signed, to be kept outside the record: what a chain alone cannot show, they show.

A cut tail, and a record that was rewritten whole, have chains without a fault; their heads are not these.
"""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from remediate.errors import RecordError
from remediate.model.base import Value, canonical
from remediate.record import signing
from remediate.record.store import ChangeSummary, Record

NAMESPACE = "remediate-anchor"


class AnchoredHead(Value):
    """The change had ``seq`` entries, and ``head`` was the hash of the last one."""

    change: str
    seq: Annotated[int, Field(ge=1)]
    head: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Anchor(Value):
    """``signature``: over the canonical JSON of ``at`` and ``heads``, and a line feed."""

    at: datetime
    heads: Annotated[tuple[AnchoredHead, ...], Field(min_length=1)]
    signature: str = ""

    @property
    def message(self) -> str:
        return canonical(self.model_dump(mode="json", include={"at", "heads"})) + "\n"


def of(record: Record, change: str | None = None) -> Anchor:
    """Of one change or of all, unsigned. Raises RecordError for a chain that is broken already, and for nothing."""
    found = [one for one in record.changes() if change in (None, one.change)]
    problems = record.verify(change)
    if problems:
        raise RecordError(
            "a broken chain is not anchored:\n  - " + "\n  - ".join(problems), next="find out who changed the database"
        )
    if not found:
        raise RecordError("there is no change to anchor", next="`remediate record list` shows them")
    return Anchor(at=datetime.now(UTC).replace(microsecond=0), heads=tuple(map(_head, found)))


def _head(one: ChangeSummary) -> AnchoredHead:
    return AnchoredHead(change=one.change, seq=one.entries, head=one.head)


def signed(anchor: Anchor, key: Path) -> Anchor:
    return anchor.model_copy(update={"signature": signing.sign(key, NAMESPACE, anchor.message)})


def read(path: Path) -> Anchor:
    try:
        return Anchor.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(
            f"the anchor cannot be read: {error.strerror}", where=str(path), next="give what record anchor wrote"
        ) from error
    except ValueError as error:
        raise RecordError("this is not an anchor", where=str(path), next="give what record anchor wrote") from error


def signer(anchor: Anchor, allowed_signers: Path | None) -> str:
    """Who signed it, in words. Raises SignatureError where the signature is not over this anchor, or does not count."""
    if allowed_signers is None:
        key = signing.fingerprint(anchor.signature, NAMESPACE, anchor.message)
        return f"key {key}; whose that is was not asked (--allowed-signers FILE)"
    found = signing.verify(anchor.signature, NAMESPACE, anchor.message, allowed_signers)
    return f"{found.principal} ({found.fingerprint})"


def problems(record: Record, anchor: Anchor) -> list[str]:
    """Where the record is no longer, or not only a continuation of, what was anchored."""
    found: list[str] = []
    names = {one.change for one in record.changes()}
    for one in anchor.heads:
        if one.change not in names:
            found.append(f"{one.change}: was anchored with {one.seq} entries, and is no longer in the record")
            continue
        hashes = {entry.seq: entry.hash for entry in record.journal(one.change)}
        if one.seq not in hashes:
            found.append(
                f"{one.change}: was anchored with {one.seq} entries, {len(hashes)} are there: its end was cut off"
            )
        elif hashes[one.seq] != one.head:
            found.append(f"{one.change}: entry {one.seq} is not the one that was anchored: the chain was rewritten")
    return found


def to_syslog(heads: Sequence[AnchoredHead], address: str) -> None:
    """One line a change. ``address``: a socket's path such as /dev/log, or host:port, which is asked by UDP."""
    host, colon, port = address.rpartition(":")
    try:
        target = (host.strip("[]"), int(port)) if colon and not address.startswith("/") else address
        handler = _Strict(target, facility=logging.handlers.SysLogHandler.LOG_AUTHPRIV)
        try:
            for line in lines(heads):
                handler.emit(logging.makeLogRecord({"msg": f"remediate: {line}", "levelname": "INFO"}))
        finally:
            handler.close()
    except (OSError, ValueError) as error:
        raise RecordError(
            f"the heads could not be sent to syslog: {error}", where=address, next="give /dev/log, or host:port (UDP)"
        ) from error


def lines(heads: Iterable[AnchoredHead]) -> list[str]:
    return [f"anchor change {one.change} entries {one.seq} head {one.head}" for one in heads]


class _Strict(logging.handlers.SysLogHandler):
    """What cannot be sent is an error; the library's own way is to print it and go on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 -- the library's name
        raise  # noqa: PLE0704 -- it is called inside an exception handler
