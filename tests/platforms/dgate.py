"""A simulated dgate, Conquest's server. It is no Conquest: it stands in for one, which no distribution has.

From Conquest's own documents and source it takes how dicom.ini is read (anew within a second of its change, keys that
stand twice, quotes, lines and values of limited length), and when ``[lua] association`` runs: once the A-ASSOCIATE-AC
is sent. The script itself is run by Lua 5.1, the one that Conquest has; a script that does not compile refuses nobody.
It serves C-ECHO and nothing else. Run as: python dgate.py DICOM.INI
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from pynetdicom.dimse_messages import C_ECHO_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ, P_DATA_TF

PROLOGUE = """\
rejected = false
function reject() rejected = true end
Association = {Calling = arg[1], Called = arg[2], ConnectedIP = arg[3], Thread = 1}
chunk, wrong = loadstring(io.read("*a"))
if chunk then chunk() else io.stderr:write(wrong, "\\n") end
os.exit(rejected and 7 or 0)
"""


class Ini:
    """dicom.ini, looked at once a second."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._looked = -1
        self._changed = -1
        self._cache: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def get(self, section: str, key: str) -> str:
        with self._lock:
            if self._looked != int(time.time()):
                self._looked = int(time.time())
                changed = int(Path(self.path).stat().st_mtime)
                if changed != self._changed:
                    self._changed = changed
                    self._cache = {}
            if (section, key) not in self._cache:
                self._cache[section, key] = self._read(section, key)
            return self._cache[section, key]

    def _read(self, section: str, key: str) -> str:
        inside = False
        for whole in Path(self.path).read_text().split("\n"):
            for line in (whole[at : at + 2047] for at in range(0, max(len(whole), 1), 2047)):
                text = line.removesuffix("\r")
                if text[:1] in (" ", ";"):
                    continue
                if text[:1] == "[" and "]" in text:
                    inside = text[1 : text.index("]")].lower() == section.lower()
                elif inside and "=" in text:
                    name, _, value = text.partition("=")
                    if name.rstrip(" \t").lower() == key.lower():
                        value = value.strip(" \t")
                        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                            value = value[1:-1]
                        return value[:1023]
        return ""


def exactly(sock: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        more = sock.recv(size - len(got))
        if not more:
            raise ConnectionError
        got += more
    return got


def pdu(sock: socket.socket) -> bytes:
    head = exactly(sock, 6)
    return head + exactly(sock, int.from_bytes(head[2:], "big"))


def rejected(ini: Ini, calling: str, called: str, address: str, prologue: str) -> bool:
    script = ini.get("lua", "association")
    done = subprocess.run(["lua5.1", prologue, calling, called, address], input=script, text=True, check=False)
    return done.returncode == 7


def serve(sock: socket.socket, address: str, ini: Ini, prologue: str) -> None:
    with sock:
        sock.settimeout(60)
        try:
            associated(sock, address, ini, prologue)
        except (ConnectionError, TimeoutError):
            return


def requested(sock: socket.socket) -> A_ASSOCIATE_RQ:
    request = A_ASSOCIATE_RQ()
    request.decode(pdu(sock))
    return request


def accept(sock: socket.socket, request: A_ASSOCIATE_RQ) -> None:
    primitive = request.to_primitive()
    for context in primitive.presentation_context_definition_list:
        context.result = 0
        context.transfer_syntax = [context.transfer_syntax[0]]
    primitive.presentation_context_definition_results_list = primitive.presentation_context_definition_list
    primitive.result = 0
    accepted = A_ASSOCIATE_AC()
    accepted.from_primitive(primitive)
    sock.sendall(accepted.encode())


def associated(sock: socket.socket, address: str, ini: Ini, prologue: str) -> None:
    request = requested(sock)
    accept(sock, request)
    asked = request.to_primitive()
    if rejected(ini, asked.calling_ae_title.strip(), asked.called_ae_title.strip(), address, prologue):
        sock.sendall(A_RELEASE_RQ().encode())
        while pdu(sock)[0] not in (0x06, 0x07):
            pass
        return
    serve_echoes(sock)


def serve_echoes(sock: socket.socket) -> None:
    while True:
        received = pdu(sock)
        if received[0] == 0x05:
            sock.sendall(A_RELEASE_RP().encode())
        if received[0] != 0x04:
            return
        data = P_DATA_TF()
        data.decode(received)
        message = DIMSEMessage()
        if not message.decode_msg(data.to_primitive()):
            return
        asked = message.message_to_primitive()
        if not isinstance(asked, C_ECHO) or message.context_id is None:
            return
        answer = C_ECHO()
        answer.MessageIDBeingRespondedTo = asked.MessageID
        answer.AffectedSOPClassUID = asked.AffectedSOPClassUID
        answer.Status = 0
        response = C_ECHO_RSP()
        response.primitive_to_message(answer)
        for part in response.encode_msg(message.context_id, 16382):
            reply = P_DATA_TF()
            reply.from_primitive(part)
            sock.sendall(reply.encode())


def main(path: str) -> None:
    ini = Ini(path)
    prologue = Path(path).with_name("dgate-simulated.lua")
    prologue.write_text(PROLOGUE)
    sys.stdout.write("SIMULATED: this is no Conquest\n")
    listener = socket.create_server(("", int(ini.get(ini.get("sscscp", "MicroPACS"), "TCPPort"))))
    while True:
        sock, peer = listener.accept()
        threading.Thread(target=serve, args=(sock, peer[0], ini, str(prologue)), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])
