"""The change record: the durable, append-only, hash-chained journal of every change, and the locks on devices."""

from remediate.record.body import redact
from remediate.record.locks import Lock
from remediate.record.store import ChangeJournal, ChangeSummary, Record

__all__ = ["ChangeJournal", "ChangeSummary", "Lock", "Record", "redact"]
