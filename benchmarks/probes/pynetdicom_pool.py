"""The usual way: a pool of 20 threads, each with pynetdicom's AE: associate, C-ECHO, release.

usage: python pynetdicom_pool.py FILE [THREADS]     FILE: one "address port" a line; as many lines come out.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import


def ask(target: str) -> str:
    address, port = target.split()
    entity = AE(ae_title="BENCH_POOL")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 3
    entity.add_requested_context(Verification)
    association = entity.associate(address, int(port))
    if not association.is_established:
        return f"{target} no association"
    status = association.send_c_echo()
    association.release()
    return f"{target} {'echo' if status and status.Status == 0 else 'no echo'}"


def main() -> None:
    targets = Path(sys.argv[1]).read_text().splitlines()
    with ThreadPoolExecutor(int(sys.argv[2]) if len(sys.argv) > 2 else 20) as pool:
        for line in pool.map(ask, targets):
            sys.stdout.write(line + "\n")


main()
