"""A simulated dcm4chee-arc. It is no dcm4chee-arc: only the directory behind it is real.

From dcm4chee-arc's documents and source it takes which lists it obeys (those of its device in LDAP, as it was at the
last ``POST /dcm4chee-arc/ctrl/reload``) and what it answers: 1/1/3 to a calling title that is not in the list of the AE
that is called, 1/1/7 to a called one that no AE has. It serves C-ECHO and nothing else.
Run as: python arc.py PORT HTTP-PORT DN
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.platforms import dgate

SEARCH = ["ldapsearch", "-Q", "-LLL", "-o", "ldif-wrap=no", "-Y", "EXTERNAL", "-H", "ldapi:///", "-b"]


class Archive:
    def __init__(self, dn: str) -> None:
        self.dn = dn
        self.lists: dict[str, set[str]] = {}
        self.reload()

    def reload(self) -> None:
        done = subprocess.run([*SEARCH, self.dn], capture_output=True, text=True, check=True)
        lists: dict[str, set[str]] = {}
        for block in done.stdout.split("\n\n"):
            pairs = [line.split(": ", 1) for line in block.splitlines() if ": " in line]
            for title in [value for name, value in pairs if name == "dicomAETitle"]:
                lists[title] = {value for name, value in pairs if name == "dcmAcceptedCallingAETitle"}
        self.lists = lists

    def serve(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(60)
            try:
                request = dgate.requested(sock)
                asked = request.to_primitive()
                accepted = self.lists.get(asked.called_ae_title.strip())
                if accepted is None or (accepted and asked.calling_ae_title.strip() not in accepted):
                    reason = 7 if accepted is None else 3
                    sock.sendall(bytes((0x03, 0, 0, 0, 0, 4, 0, 1, 1, reason)))
                    return
                dgate.accept(sock, request)
                dgate.serve_echoes(sock)
            except (ConnectionError, TimeoutError):
                return


def main(port: str, http_port: str, dn: str) -> None:
    archive = Archive(dn)

    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != "/dcm4chee-arc/ctrl/reload":
                self.send_error(404)
                return
            archive.reload()
            self.send_response(204)
            self.end_headers()

    threading.Thread(
        target=ThreadingHTTPServer(("127.0.0.1", int(http_port)), Control).serve_forever, daemon=True
    ).start()
    sys.stdout.write("SIMULATED: this is no dcm4chee-arc\n")
    listener = socket.create_server(("", int(port)))
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=archive.serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
