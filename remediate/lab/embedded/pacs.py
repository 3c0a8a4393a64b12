"""The demo's archive, a process of its own: C-ECHO, C-FIND, C-MOVE, C-STORE, a web page, and the site's canary.

``python -m remediate.lab.embedded.pacs``: reads one JSON object (see ``Wiring``) from standard input, prints one line
when it answers, ends when standard input is closed.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import BaseModel
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # the library makes them at import
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from remediate.lab import studies


class Wiring(BaseModel):
    """``destinations``: AE title → where a C-MOVE to it goes."""

    address: str
    dicom_port: int
    web_port: int
    ae_title: str
    destinations: dict[str, tuple[str, int]]
    canary: tuple[str, int]


def serve(wiring: Wiring) -> None:
    images = [dcmread(io.BytesIO(data)) for data in studies.files()]
    ae = AE(ae_title=wiring.ae_title)
    for context in (
        Verification,
        CTImageStorage,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(context)
    ae.add_requested_context(CTImageStorage)
    handlers: list[Any] = [
        (evt.EVT_C_FIND, _find, [images]),
        (evt.EVT_C_MOVE, _move, [images, wiring]),
        (evt.EVT_C_STORE, lambda _: 0x0000),
    ]
    ae.start_server((wiring.address, wiring.dicom_port), block=False, evt_handlers=handlers)
    web = _Web((wiring.address, wiring.web_port), _Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    canary = socket.create_server(wiring.canary)
    threading.Thread(target=_answer, args=(canary,), daemon=True).start()


def _matching(images: list[Dataset], query: Dataset) -> list[Dataset]:
    wanted = query.get("StudyInstanceUID", "")
    return [image for image in images if not wanted or image.StudyInstanceUID == wanted]


def _find(event: evt.Event, images: list[Dataset]) -> Iterator[tuple[int, Dataset | None]]:
    for image in {image.StudyInstanceUID: image for image in _matching(images, event.identifier)}.values():
        answer = Dataset()
        answer.QueryRetrieveLevel = "STUDY"
        answer.StudyInstanceUID = image.StudyInstanceUID
        answer.PatientName = image.PatientName
        yield 0xFF00, answer
    yield 0x0000, None


def _move(event: evt.Event, images: list[Dataset], wiring: Wiring) -> Iterator[Any]:
    destination = wiring.destinations.get(event.move_destination or "")
    if destination is None:
        yield None, None
        return
    yield destination
    found = _matching(images, event.identifier)
    yield len(found)
    for image in found:
        yield 0xFF00, image


class _Web(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who looked has gone in the middle; anything else is told as the library does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<html><title>archive</title><body>synthetic studies</body></html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _answer(canary: socket.socket) -> None:
    while True:
        canary.accept()[0].close()


if __name__ == "__main__":
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    serve(Wiring.model_validate_json(sys.stdin.readline()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
