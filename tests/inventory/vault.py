"""A simulated Vault: the read of its key/value engine, version 2, as its API documents describe it, and no more.

It is written from those documents and was never held against a real Vault. It is strict: another method, another path,
or a header that Vault's own clients send and that is missing, is answered as a mistake and kept in ``mistakes``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "s.only-in-this-test"
NOT_A_VAULT = b"<html>hello</html>"


@dataclass
class Vault:
    """``stored``: mount → path → fields; None: the newest version was deleted. ``asked``: the paths, in order."""

    address: str
    stored: dict[str, dict[str, dict[str, Any] | None]]
    sealed: bool = False
    no_vault: bool = False
    namespace: str | None = None
    asked: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if headers.get("x-vault-request") != "true" or parts[0] != "v1":
            self.mistakes.append(path)
            return 400, {"errors": ["missing client token"]}
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if headers.get("x-vault-token") != TOKEN or headers.get("x-vault-namespace") != self.namespace:
            return 403, {"errors": ["permission denied"]}
        if parts[1] not in self.stored:
            return 404, {"errors": [f'no handler for route "{"/".join(parts[1:])}". route entry not found.']}
        if parts[2] != "data":
            self.mistakes.append(path)
            return 404, {"errors": ["unsupported path"]}
        name, mount = "/".join(parts[3:]), self.stored[parts[1]]
        if name not in mount:
            return 404, {"errors": []}
        values = mount[name]
        gone = "" if values is not None else "2026-01-02T12:00:00.000000000Z"
        metadata = {
            "created_time": "2026-01-01T12:00:00.000000000Z",
            "custom_metadata": None,
            "deletion_time": gone,
            "destroyed": False,
            "version": 3,
        }
        data = {
            "request_id": "0",
            "lease_id": "",
            "renewable": False,
            "lease_duration": 0,
            "data": {"data": values, "metadata": metadata},
            "wrap_info": None,
            "warnings": None,
            "auth": None,
        }
        return (200 if values is not None else 404), data


@contextmanager
def vault(stored: dict[str, dict[str, dict[str, Any] | None]]) -> Iterator[Vault]:
    made = Vault("", stored)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, data = made.answer(self.path, {key.lower(): value for key, value in self.headers.items()})
            body = NOT_A_VAULT if made.no_vault else json.dumps(data).encode()
            self.send_response(200 if made.no_vault else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
