"""The DICOM upper layer, as far as a probe needs it (PS3.7, PS3.8).

What is sent is encoded by pynetdicom. What is received is read as integers at the places that the standard gives
them, and no further: no text that the peer chose is decoded, and no data set is read at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID
from pynetdicom.dimse_messages import C_ECHO_RQ, C_FIND_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_FIND
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RQ, A_RELEASE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, build_context

from remediate.model.observation import Stack
from remediate.model.site import Role
from remediate.model.stream import Stream
from remediate.probes.stacks import stack

#: PS3.8 9.3.1: PDU types.
ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
#: What may answer an A-ASSOCIATE-RQ.
ANSWERS = frozenset({ASSOCIATE_AC, ASSOCIATE_RJ, ABORT})
#: What a PDU may declare before it is read; also the maximum length that we announce for P-DATA.
PDU_CAP = 32 << 10
COMMAND_CAP = 4 << 10
#: Bytes of an A-ASSOCIATE-AC that is remembered, and how many are.
SMALL, REMEMBERED = 4 << 10, 256
#: PS3.7 E.1, E.2: (0000,0100) Command Field, (0000,0800) Command Data Set Type, (0000,0900) Status.
COMMAND_FIELD, DATA_SET_TYPE, STATUS = 0x0100, 0x0800, 0x0900
ECHO_RSP, FIND_RSP, NO_DATA_SET = 0x8030, 0x8020, 0x0101

#: PS3.6 A: SOP classes.
VERIFICATION = UID("1.2.840.10008.1.1")
STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
#: What is proposed; Verification is nobody's role. Retrieval, storage and worklist are never exercised.
PROPOSED: tuple[tuple[UID, Role | None], ...] = (
    (VERIFICATION, None),
    (STUDY_ROOT_FIND, Role.QUERY),
    (UID("1.2.840.10008.5.1.4.1.2.2.2"), Role.RETRIEVE),  # Study Root MOVE
    (UID("1.2.840.10008.5.1.4.1.2.2.3"), Role.RETRIEVE),  # Study Root GET
    (UID("1.2.840.10008.5.1.4.31"), Role.MWL),
    (UID("1.2.840.10008.3.1.2.3.3"), Role.MPPS),
    (UID("1.2.840.10008.1.20.1"), Role.STGCMT),  # Storage Commitment Push Model
    (UID("1.2.840.10008.5.1.4.1.1.2"), Role.STORE),  # CT
    (UID("1.2.840.10008.5.1.4.1.1.4"), Role.STORE),  # MR
    (UID("1.2.840.10008.5.1.4.1.1.1"), Role.STORE),  # Computed Radiography
    (UID("1.2.840.10008.5.1.4.1.1.1.1"), Role.STORE),  # Digital X-Ray, for presentation
    (UID("1.2.840.10008.5.1.4.1.1.6.1"), Role.STORE),  # Ultrasound
    (UID("1.2.840.10008.5.1.4.1.1.3.1"), Role.STORE),  # Ultrasound, multi-frame
    (UID("1.2.840.10008.5.1.4.1.1.7"), Role.STORE),  # Secondary Capture
    (UID("1.2.840.10008.5.1.4.1.1.12.1"), Role.STORE),  # X-Ray Angiographic
    (UID("1.2.840.10008.5.1.4.1.1.104.1"), Role.STORE),  # Encapsulated PDF
)
#: PS3.8 9.3.2.2: presentation context ids are odd.
CONTEXT_ID = {uid: 2 * index + 1 for index, (uid, _) in enumerate(PROPOSED)}
ROLE = {CONTEXT_ID[uid]: role for uid, role in PROPOSED}


class Malformed(Exception):
    """Not DICOM, or not as the standard has it. The text is ours."""


class Aborted(Exception):
    """An A-ABORT came (PS3.8 9.3.8)."""


class Released(Exception):
    """The acceptor releases the association (PS3.8 9.3.6) where it owes an answer."""


# -- what is sent -------------------------------------------------------------------------------------


def _contexts(proposed: Iterable[tuple[UID, Role | None]]) -> list[PresentationContext]:
    contexts = []
    for uid, role in proposed:
        # Every implementation must know Implicit VR Little Endian (PS3.5 10.1); nothing is ever stored.
        syntaxes: list[str | UID] = (
            [ImplicitVRLittleEndian, ExplicitVRLittleEndian] if role is Role.STORE else [ImplicitVRLittleEndian]
        )
        context = build_context(uid, syntaxes)
        context.context_id = CONTEXT_ID[uid]
        contexts.append(context)
    return contexts


@lru_cache(maxsize=1024)
def association_request(calling_ae_title: str, called_ae_title: str, *, echo_only: bool = False) -> bytes:
    """PS3.8 9.3.2. ``echo_only``: Verification alone is proposed, where no more will be asked."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = calling_ae_title, called_ae_title
    request.presentation_context_definition_list = _contexts(PROPOSED[:1] if echo_only else PROPOSED)
    length, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    length.maximum_length_received = PDU_CAP
    implementation.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version.implementation_version_name = "REMEDIATE"
    request.user_information = [length, implementation, version]
    return A_ASSOCIATE_RQ(request).encode()


@lru_cache(maxsize=64)
def c_echo(max_length: int) -> bytes:
    """PS3.7 9.3.5.1."""
    echo = C_ECHO()
    echo.MessageID, echo.AffectedSOPClassUID = 1, VERIFICATION
    return _message(C_ECHO_RQ(), echo, CONTEXT_ID[VERIFICATION], max_length)


def c_find(max_length: int) -> bytes:
    """PS3.7 9.3.2.1, PS3.4 C.4.1: the study whose UID is 2.25.<random> (PS3.5 B.2), which is nobody's."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = generate_uid(prefix=None)
    encoded = encode(identifier, True, True)
    if not encoded:  # without its key, this query would ask for everybody
        raise ValueError("the identifier of the C-FIND could not be encoded")
    find = C_FIND()
    find.MessageID, find.AffectedSOPClassUID, find.Priority = 2, STUDY_ROOT_FIND, 0
    find.Identifier = BytesIO(encoded)
    return _message(C_FIND_RQ(), find, CONTEXT_ID[STUDY_ROOT_FIND], max_length)


def _message(message: DIMSEMessage, primitive: C_ECHO | C_FIND, context_id: int, max_length: int) -> bytes:
    message.primitive_to_message(primitive)
    pdus = []
    for fragment in message.encode_msg(context_id, max_length):
        pdu = P_DATA_TF()
        pdu.from_primitive(fragment)
        pdus.append(pdu.encode())
    return b"".join(pdus)


def _abort_pdu() -> bytes:
    """PS3.8 9.3.8: source 0, service user; reason 0."""
    pdu = A_ABORT_RQ()
    pdu.source, pdu.reason_diagnostic = 0, 0
    return pdu.encode()


A_ABORT_BYTES = _abort_pdu()
A_RELEASE_RQ_BYTES = A_RELEASE_RQ().encode()


# -- what is received ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accepted:
    """``contexts``: of those proposed. ``max_length``: of a P-DATA that the peer takes, 0 for any.
    ``stack``: what the peer's implementation suggests, None where our table does not know it.
    """

    contexts: frozenset[int]
    max_length: int
    stack: Stack | None


@dataclass(frozen=True)
class Response:
    """``more``: a data set follows, or something else that was not asked for."""

    status: int
    more: bool


def pdu_length(rest_of_header: bytes) -> int:
    """PS3.8 9.3.1: a reserved byte, then the length, big endian. Checked before anything is read."""
    length = int.from_bytes(rest_of_header[1:5], "big")
    if length > PDU_CAP:
        raise Malformed("a PDU that declares more than a probe reads")
    return length


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """PS3.8 9.3.3: type, a reserved byte, length, value."""
    offset = 0
    while offset < len(data):
        end = offset + 4 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        if end > len(data):
            raise Malformed("a malformed A-ASSOCIATE-AC")
        yield data[offset], data[offset + 4 : end]
        offset = end


def accepted(body: bytes) -> Accepted:
    """PS3.8 9.3.3. Archives of one make answer alike, so small equal answers are decoded once."""
    return _remembered(body) if len(body) <= SMALL else _accepted(body)


def _accepted(body: bytes) -> Accepted:
    """A context counts once it is one of ours and every answer about it is acceptance."""
    if len(body) < 68:
        raise Malformed("a malformed A-ASSOCIATE-AC")
    results: dict[int, set[int]] = {}
    max_length, implementation, version = 0, b"", b""
    for kind, value in _items(body[68:]):
        if kind == 0x21 and len(value) >= 4:
            results.setdefault(value[0], set()).add(value[2])
        elif kind == 0x50:
            for part, content in _items(value):
                if part == 0x51 and len(content) == 4:
                    max_length = int.from_bytes(content, "big")
                elif part == 0x52:
                    implementation = content
                elif part == 0x55:
                    version = content
    contexts = frozenset(i for i, answers in results.items() if i in ROLE and answers == {0})
    return Accepted(contexts, max(max_length, 64) if max_length else 0, stack(implementation, version))


_remembered = lru_cache(maxsize=REMEMBERED)(_accepted)


async def response(stream: Stream, expected: int) -> Response:
    """Reads up to the end of the command set (PS3.7 6.3.1) and not one byte further."""
    command = bytearray()
    while True:
        kind = (await stream.exactly(1))[0]
        if kind == RELEASE_RQ and not command:
            raise Released
        if kind not in (P_DATA, ABORT):
            raise Malformed("an unexpected PDU")
        left = pdu_length(await stream.exactly(5))
        if kind == ABORT:
            raise Aborted
        while left:
            # PS3.8 9.3.5.1: length, context id, then the control header: bit 0 command, bit 1 last fragment
            head = await stream.exactly(6) if left >= 6 else bytes(6)
            size, control = int.from_bytes(head[:4], "big"), head[5]
            left -= 4 + size
            if size < 2 or left < 0 or size > COMMAND_CAP:
                raise Malformed("a malformed P-DATA-TF")
            if not control & 1:
                raise Malformed("a data set where a response was due")
            command += await stream.exactly(size - 2)
            if len(command) > COMMAND_CAP:
                raise Malformed("a response without end")
            if control & 2:
                return _parsed(bytes(command), expected, more=left > 0)


@lru_cache(maxsize=REMEMBERED)
def _parsed(command: bytes, expected: int, *, more: bool) -> Response:
    """PS3.7 6.3.1: elements in Implicit VR Little Endian; only the unsigned shorts that we need are looked at."""
    values: dict[int, int] = {}
    offset = 0
    while offset < len(command):
        end = offset + 8 + int.from_bytes(command[offset + 4 : offset + 8], "little")
        if end > len(command):
            raise Malformed("a malformed command set")
        if command[offset : offset + 2] == b"\0\0" and end - offset == 10:
            element = int.from_bytes(command[offset + 2 : offset + 4], "little")
            values[element] = int.from_bytes(command[offset + 8 : end], "little")
        offset = end
    if values.get(COMMAND_FIELD) != expected or STATUS not in values:
        raise Malformed("another message than the response")
    return Response(values[STATUS], more or values.get(DATA_SET_TYPE, NO_DATA_SET) != NO_DATA_SET)
