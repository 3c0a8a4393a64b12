"""A clinic at work: associations with an archive, several at a time, and what became of each.

Run inside the clinic's host: ADDRESS PORT CALLED CALLING AT_A_TIME MOST. A line ``ready`` once all are at work; the
work ends with standard input, or when each has made MOST; then one line of JSON. None of our own code is in it.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)


def until_told(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main(address: str, port: int, called: str, calling: str, at_a_time: int, most: int) -> None:
    stop, outcomes, lock = threading.Event(), Counter[str](), threading.Lock()
    at_work = threading.Barrier(at_a_time + 1)

    def once() -> str:
        ae = AE(calling)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 10
        ae.add_requested_context(Verification)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        association = ae.associate(address, port, ae_title=called)
        if not association.is_established:
            return "rejected" if association.is_rejected else "not established"
        try:
            if association.send_c_echo().get("Status") != 0:
                return "C-ECHO failed"
            query = Dataset()
            query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
            statuses = [status.get("Status") for status, _ in
                        association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)]  # fmt: skip
            return "served" if statuses[-1:] == [0] and 0xFF00 in statuses else f"C-FIND: {statuses}"
        finally:
            association.release()

    def work() -> None:
        waiting = True
        for _ in range(most):
            outcome = once()
            with lock:
                outcomes[outcome] += 1
            if waiting:
                at_work.wait(60)
                waiting = False
            if stop.is_set():
                return

    workers = [threading.Thread(target=work) for _ in range(at_a_time)]
    for worker in workers:
        worker.start()
    at_work.wait(60)
    print("ready", flush=True)  # noqa: T201 -- what the test waits for
    threading.Thread(target=until_told, args=(stop,), daemon=True).start()
    for worker in workers:
        worker.join()
    print(json.dumps(outcomes), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
