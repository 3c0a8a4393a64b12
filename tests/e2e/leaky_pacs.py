"""A PACS that ignores the key of a query and answers with patients, wherever it can: a peer for the privacy test.

Run inside the archive's host: ADDRESS DICOM_PORT WEB_PORT NAME. Every name is made up.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)


def main(address: str, dicom_port: int, web_port: int, name: str) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<html><title>{name}</title><body>{name}</body></html>".encode()
            self.send_response(200)
            self.send_header("X-Patient", name)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def find(_: evt.Event) -> Iterator[tuple[int, Dataset]]:
        for number in range(20):
            answer = Dataset()
            answer.QueryRetrieveLevel = "STUDY"
            answer.PatientName = f"{name}^{number}"
            answer.PatientID = f"{name}-{number}"
            answer.StudyDescription = name
            answer.StudyInstanceUID = f"2.25.{number}"
            yield 0xFF00, answer
        yield 0x0000, Dataset()

    ae = AE(ae_title="ORTHANC")
    ae.implementation_version_name = name[:16]
    ae.supported_contexts = AllStoragePresentationContexts
    for context in (
        Verification,
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
    ):
        ae.add_supported_context(context)
    ae.start_server((address, dicom_port), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    web = ThreadingHTTPServer((address, web_port), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print("ready", flush=True)  # noqa: T201 -- what the test waits for
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
