"""What a prober sent, read by somebody who does not trust it: from a tap in the process, or from the wire."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from io import BytesIO
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import h11
import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF

from remediate.lab.real import LabSite
from remediate.vantages import VANTAGES
from remediate.vantages.stream import PeerStream
from remediate.vantages.tls import TlsStream

VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
#: PS3.7 E.1, by what they do to an archive; of these, two may be sent.
REQUESTS = {
    0x0001: "C-STORE-RQ",
    0x0010: "C-GET-RQ",
    0x0020: "C-FIND-RQ",
    0x0021: "C-MOVE-RQ",
    0x0030: "C-ECHO-RQ",
    0x0100: "N-EVENT-REPORT-RQ",
    0x0110: "N-GET-RQ",
    0x0120: "N-SET-RQ",
    0x0130: "N-ACTION-RQ",
    0x0140: "N-CREATE-RQ",
    0x0150: "N-DELETE-RQ",
    0x0FFF: "C-CANCEL-RQ",
}
MAY_SEND = {"C-ECHO-RQ": VERIFICATION, "C-FIND-RQ": STUDY_ROOT_FIND}
#: (0008,0052) Query/Retrieve Level and (0020,000D) Study Instance UID.
KEYS = {0x00080052, 0x0020000D}
#: PS3.5 B.2: of 128 random bits.
RANDOM = re.compile(r"2\.25\.[0-9]{30,39}")
#: PS3.8 9.3.1
ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 0x01, 0x04, 0x05, 0x07
COMMAND_FIELD, AFFECTED, DATA_SET_TYPE = 0x00000100, 0x00000002, 0x00000800
QIDO_PARAMETERS = {"StudyInstanceUID", "limit"}


@dataclass
class Sent:
    """``what``: every request by its name. ``wrong``: what must never be sent, in words."""

    what: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: Sent) -> Sent:
        self.what += other.what
        self.wrong += other.wrong
        return self


def read(stream: bytes) -> Sent:
    """All that one connection carried from the prober. What is not understood to its last byte is wrong."""
    sent = Sent()
    if not stream:
        return sent
    try:
        if stream[0] == ASSOCIATE_RQ:
            _dicom(stream, sent)
        elif stream[:1].isupper():
            _http(stream, sent)
        else:
            sent.wrong.append(f"neither DICOM nor HTTP: it begins with 0x{stream[0]:02x}")
    except Exception as error:  # whatever a reader stumbles over is no harmless request
        sent.wrong.append(f"not understood: {error!r}")
    return sent


def read_all(streams: list[bytes]) -> Sent:
    sent = Sent()
    for stream in streams:
        sent += read(stream)
    return sent


# -- the tap -------------------------------------------------------------------------------------------


class Tap:
    """Every byte that this process hands to any vantage's connection, from now on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._streams: dict[int, tuple[PeerStream, bytearray]] = {}
        self._inside_tls: dict[int, tuple[TlsStream, bytearray]] = {}
        self._secured: set[int] = set()
        for module in VANTAGES.values():
            import_module(module)
        for kind in _with_subclasses(PeerStream):
            if "write" in vars(kind):
                patch.setattr(kind, "write", _tapped(kind.write, self._streams))
        patch.setattr(TlsStream, "write", _tapped(TlsStream.write, self._inside_tls))
        make = TlsStream.__init__

        def secured(stream: TlsStream, peer: PeerStream, *rest: Any) -> None:
            self._secured.add(id(peer))
            make(stream, peer, *rest)

        patch.setattr(TlsStream, "__init__", secured)

    @property
    def sent(self) -> list[bytes]:
        """By connection, as it left: what is inside TLS is encrypted here."""
        return [bytes(data) for _, data in self._streams.values()]

    @property
    def meant(self) -> list[bytes]:
        """By connection, below TLS."""
        clear = [bytes(data) for number, (_, data) in self._streams.items() if number not in self._secured]
        return clear + [bytes(data) for _, data in self._inside_tls.values()]


S = TypeVar("S")


def _tapped(write: Callable[[S, bytes], None], streams: dict[int, tuple[S, bytearray]]) -> Callable[[S, bytes], None]:
    def tapped(stream: S, data: bytes) -> None:
        streams.setdefault(id(stream), (stream, bytearray()))[1].extend(data)
        write(stream, data)

    return tapped


def _with_subclasses(kind: type[PeerStream]) -> Iterator[type[PeerStream]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _with_subclasses(one)


# -- DICOM --------------------------------------------------------------------------------------------


def _dicom(stream: bytes, sent: Sent) -> None:
    contexts: dict[int, str] = {}
    command, content = bytearray(), bytearray()
    asked: Dataset | None = None  # whose data set is due
    for kind, pdu in _pdus(stream):
        if kind == ASSOCIATE_RQ:
            request = A_ASSOCIATE_RQ()
            request.decode(pdu)
            contexts = {item.context_id or 0: str(item.abstract_syntax) for item in request.presentation_context}
        elif kind == P_DATA:
            data = P_DATA_TF()
            data.decode(pdu)
            for item in data.presentation_data_value_items:
                fragment = item.presentation_data_value or b""
                control, value = fragment[0], fragment[1:]
                (command if control & 1 else content).extend(value)
                if not control & 2:
                    continue
                if control & 1:
                    asked = _command(bytes(command), contexts[item.presentation_context_id or 0], sent)
                    command.clear()
                elif asked is None:
                    sent.wrong.append("a data set that belongs to nothing")
                else:
                    _identifier(bytes(content), sent)
                    asked = None
                    content.clear()
        elif kind not in (RELEASE_RQ, ABORT):
            sent.wrong.append(f"a PDU of type 0x{kind:02x}")
    if command or content or asked is not None:
        sent.wrong.append("a message without its end")


def _pdus(stream: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(stream):
        kind, length = struct.unpack_from(">BxI", stream, offset)
        end = offset + 6 + length
        if end > len(stream):
            raise ValueError("a PDU without its end")
        yield kind, stream[offset:end]
        offset = end


def _command(data: bytes, abstract_syntax: str, sent: Sent) -> Dataset | None:
    """The command set, if a data set follows it."""
    command = decode(BytesIO(data), True, True)
    name = REQUESTS.get(command[COMMAND_FIELD].value, f"command 0x{command[COMMAND_FIELD].value:04x}")
    sent.what.append(name)
    if name not in MAY_SEND:
        sent.wrong.append(name)
    elif {abstract_syntax, str(command[AFFECTED].value)} != {MAY_SEND[name]}:
        sent.wrong.append(f"{name} for {command[AFFECTED].value} on a context of {abstract_syntax}")
    return command if command[DATA_SET_TYPE].value != 0x0101 else None


def _identifier(data: bytes, sent: Sent) -> None:
    """PS3.4 C.4.1.1.3; Implicit VR Little Endian is all that is proposed for a query."""
    identifier = decode(BytesIO(data), True, True)
    sent.wrong += [f"key {element.tag}" for element in identifier if element.tag not in KEYS]
    if identifier.get("QueryRetrieveLevel") != "STUDY":
        sent.wrong.append("another level than STUDY")
    _study(str(identifier.get("StudyInstanceUID", "")), sent)


def _study(uid: str, sent: Sent) -> None:
    sent.what.append("a study by its UID")
    if not RANDOM.fullmatch(uid):
        sent.wrong.append("a StudyInstanceUID that may be somebody's")


# -- HTTP ---------------------------------------------------------------------------------------------


def _http(stream: bytes, sent: Sent) -> None:
    rest = stream
    while rest:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(rest)
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            raise ValueError("a request without its end")
        name = request.method.decode()
        sent.what.append(name)
        if name != "GET":
            sent.wrong.append(f"HTTP {name}")
        url = urlsplit(request.target.decode())
        parameters = dict(parse_qsl(url.query, keep_blank_values=True))
        sent.wrong += [f"HTTP parameter {key}" for key in parameters if key not in QIDO_PARAMETERS]
        below = url.path.partition("/studies")[2]
        if below.strip("/"):
            _study(below.split("/")[1], sent)
        elif url.path.endswith("/studies"):
            _study(parameters.get("StudyInstanceUID", ""), sent)
        if not isinstance(connection.next_event(), h11.EndOfMessage):
            sent.wrong.append("HTTP with a body")
            return
        rest = bytes(connection.trailing_data[0])


# -- the wire -----------------------------------------------------------------------------------------

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 3, 263, 6, 33
IPV4, TCP, SYN, FRAME = 0x0800, 6, 0x02, 1 << 18


@dataclass
class Flow:
    """One direction of one TCP connection. ``first``: the sequence number of its first byte."""

    port: int
    first: int
    segments: dict[int, bytes] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """What arrived, in order; a retransmission counts once."""
        whole = b""
        for offset in sorted(self.segments):
            if offset > len(whole):
                raise ValueError("the capture has a gap")
            whole += self.segments[offset][len(whole) - offset :]
        return whole


class Wire:
    """``with``: every packet to the archive, on its own link."""

    def __init__(self, site: LabSite) -> None:
        self._site = site
        self.flows: list[Flow] = []

    def __enter__(self) -> Wire:
        def listen() -> socket.socket:
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            packets.bind(("eth0", ETH_P_ALL))
            packets.setblocking(False)
            return packets

        self._packets = self._site.inside("pacs", listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._packets as packets:
            if kind is not None:
                return
            open_flows: dict[bytes, Flow] = {}
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._packet(packets.recv(FRAME), open_flows)
            _, lost = struct.unpack("II", packets.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            assert lost == 0, f"{lost} packets were not captured"

    def _packet(self, frame: bytes, open_flows: dict[bytes, Flow]) -> None:
        if int.from_bytes(frame[12:14], "big") != IPV4 or frame[23] != TCP:
            return
        packet = frame[14 : 14 + int.from_bytes(frame[16:18], "big")]
        segment = packet[(packet[0] & 15) * 4 :]
        if packet[16:20] != self._site.layout.pacs.packed:
            return
        port, sequence = struct.unpack_from(">HI", segment, 2)
        key = packet[12:20] + segment[:4]
        if segment[13] & SYN:
            flow = open_flows.get(key)
            if flow is None or flow.first != (sequence + 1) % (1 << 32):
                open_flows[key] = Flow(port, (sequence + 1) % (1 << 32))
                self.flows.append(open_flows[key])
        elif key in open_flows and (data := segment[(segment[12] >> 4) * 4 :]):
            flow = open_flows[key]
            flow.segments.setdefault((sequence - flow.first) % (1 << 32), data)

    def streams(self) -> list[bytes]:
        """What was sent to the archive's services, a connection each."""
        i = self._site.layout
        return [flow.data for flow in self.flows if flow.port in (i.dicom_port, i.web_port)]
