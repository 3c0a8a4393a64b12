"""Writes ``stored/version-N.sqlite.sql`` and ``stored/version-N.postgresql.sql``: a record of today's schema version.

``python -m tests.record.dump``, before the tables are changed; see ``stored/README.md``. What is in it is the same in
each version: two changes that ended, one in flight with its locks, and the lock of a device that was freed again.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from remediate.record import Record, schema
from remediate.record.locks import Owner
from tests.record import server as servers

STORED = Path(__file__).with_name("stored")
#: The process that holds the locks; on another machine, so nobody here can tell whether it lives.
HOLDER = Owner("operator-1.example", "7d3c1e52-0a4b-4f7e-9c11-2f6f0a5b8e90", "pid:[4026531836]", 4711, 123456)


def fill(place: str) -> None:
    minutes = (datetime(2026, 3, 1, 9, 15, tzinfo=UTC) + timedelta(minutes=n) for n in range(100))
    with patch.object(Owner, "this", lambda: HOLDER), Record.open(place, clock=lambda: next(minutes)) as record:
        for name in ("20260301-091500-1a2b", "20260301-100000-3c4d"):
            record.acquire(["fw-north"], name)
            journal = record.begin(name, data={"plan_sha256": "ab" * 32, "operator": "Zoë", "scope": "…"})
            journal.append("pushing", {"device": "fw-north", "text": 'it\'s \\ "quoted"\n\ttwo lines; -- no comment'})
            journal.append("ended", {"exit_status": 0})
            record.release(name)
        record.acquire(["fw-south"], "20260301-110000-5e6f")
        record.acquire(["host-key SHA256:AAAA"], "20260301-110000-5e6f", device="fw-south")
        journal = record.begin("20260301-110000-5e6f", data={"plan_sha256": "cd" * 32})
        journal.append("pushing", {"device": "fw-south", "token": "5e6f-1"})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.db"
        fill(str(path))
        with closing(sqlite3.connect(path)) as raw:
            text = "\n".join(raw.iterdump()) + "\n"
    (STORED / f"version-{schema.VERSION}.sqlite.sql").write_text(text)
    with servers.server() as server:
        name = server.database()
        fill(server.url(name))
        dump = [str(servers.PROGRAMS / "pg_dump"), "--no-owner", "--inserts", server.url(name)]
        lines = subprocess.run(dump, capture_output=True, text=True, check=True).stdout.splitlines()
    # Without what is psql's own, and what differs from one dump to the next.
    text = "\n".join(line for line in lines if line and not line.startswith(("\\", "--"))) + "\n"
    (STORED / f"version-{schema.VERSION}.postgresql.sql").write_text(text)


if __name__ == "__main__":
    main()
