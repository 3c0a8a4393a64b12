"""From each version of the record's schema to the next, one function a step; `schema.VERSION` is where they lead.

A step is written once and never edited: records of its version are out there. It says in SQL of its own what it does,
and never uses the tables of `schema`, which are those of today. It runs on SQLite and on PostgreSQL, inside the one
transaction that also sets the new version, so a crash in the middle leaves the record as it was. A new step brings a
stored record of the version that it leaves: ``tests/record/stored/README.md`` says how that is made.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa


def _locks_know_their_device(connection: sa.Connection) -> None:
    """1 → 2: a lock on a device's identity (host key, serial number) also holds the name the holder has for it."""
    connection.exec_driver_sql("ALTER TABLE remediate_lock ADD COLUMN device VARCHAR(63)")


#: version → what turns a record of it into one of the next version.
MIGRATIONS: dict[int, Callable[[sa.Connection], None]] = {1: _locks_know_their_device}
