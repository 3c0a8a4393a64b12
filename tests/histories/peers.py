"""Archives that say yes to C-ECHO and C-FIND, and canaries: ``python -m tests.histories.peers``.

Told by lines of JSON on standard input, each answered by one line; ends when that is closed. A name that begins with
``canary`` only takes connections.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # the library makes them at import
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)


def _find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID = "1.2.826.0.1.3680043.9.9999.1"
    yield 0xFF00, found
    yield 0x0000, None


def _archive(address: tuple[str, int]) -> Any:
    ae = AE(ae_title="ARCHIVE")
    for context in (Verification, CTImageStorage, StudyRootQueryRetrieveInformationModelFind):
        ae.add_supported_context(context)
    return ae.start_server(address, block=False, evt_handlers=[(evt.EVT_C_FIND, _find)])


class _Canary:
    def __init__(self, address: tuple[str, int]) -> None:
        self._listener = socket.create_server(address, backlog=64)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                self._listener.accept()[0].close()

    def shutdown(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def main() -> None:
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    addresses: dict[str, tuple[str, int]] = {}
    listening: dict[str, Any] = {}

    def start(name: str) -> None:
        listening[name] = (_Canary if name.startswith("canary") else _archive)(addresses[name])

    for line in sys.stdin:
        told = json.loads(line)
        if "listen" in told:
            addresses = {name: (address, port) for name, (address, port) in told["listen"].items()}
            for name in addresses:
                start(name)
        elif told["there"] and told["name"] not in listening:
            start(told["name"])
        elif not told["there"] and told["name"] in listening:
            listening.pop(told["name"]).shutdown()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
