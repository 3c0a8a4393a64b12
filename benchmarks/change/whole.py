"""`remediate`, with a clock at the journal: how long its threads were blocked in appends.

usage: whole.py TIMES ARGUMENTS…      ARGUMENTS: the command's own; TIMES: a file, a JSON object device → seconds

An append of a device's own task blocks that device; every other append blocks the change itself, under "".
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remediate.cli import main
from remediate.model.change import Entry
from remediate.record import store

blocked: dict[str, float] = {}
_lock = threading.Lock()
_append = store.ChangeJournal.append


def append(self: store.ChangeJournal, kind: str, data: Mapping[str, Any]) -> Entry:
    began = time.monotonic()
    try:
        return _append(self, kind, data)
    finally:
        who = "" if threading.current_thread() is threading.main_thread() else str(data.get("device", ""))
        with _lock:
            blocked[who] = blocked.get(who, 0.0) + time.monotonic() - began


store.ChangeJournal.append = append  # type: ignore[method-assign]  # it is measured, not replaced
times = Path(sys.argv.pop(1))
try:
    main()
finally:
    times.write_text(json.dumps(blocked))
