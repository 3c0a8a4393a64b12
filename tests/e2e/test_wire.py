"""What a full verify sends: nothing that moves, stores, changes or names anybody."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import dimse_messages, dimse_primitives
from pynetdicom.dsutils import encode

from remediate.change import looking
from remediate.lab import studies
from remediate.lab.real import LabSite
from remediate.model.observation import Rung
from remediate.model.site import ServiceKind
from remediate.probes import upper_layer as ul
from tests.conftest import needs_lab
from tests.e2e.conftest import verify
from tests.e2e.wire import Tap, Wire, read, read_all
from tests.probes.servers import Asked, Loopback, certificates, observe_often, orthanc

WORKLIST_FIND = "1.2.840.10008.5.1.4.31"
STUDY_ROOT_MOVE, STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
CT = "1.2.840.10008.5.1.4.1.1.2"
HELLO = ul.association_request("RMD_PROBE", "ORTHANC")


def nobody(**more: str | list[str]) -> Dataset:
    """A query's identifier as it may be; ``more``: keys that change or join it."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = generate_uid(prefix=None)
    for keyword, value in more.items():
        setattr(identifier, keyword, value)
    return identifier


def message(name: str, sop_class: str, identifier: Dataset, *, context: str | None = None) -> bytes:
    """One request with a data set, as another prober might send it. ``name``: C_FIND, C_MOVE, C_GET or C_STORE."""
    primitive = getattr(dimse_primitives, name)()
    primitive.MessageID, primitive.AffectedSOPClassUID, primitive.Priority = 7, sop_class, 0
    encoded = encode(identifier, True, True)
    assert encoded
    if name == "C_STORE":
        primitive.AffectedSOPInstanceUID = generate_uid()
        primitive.DataSet = BytesIO(encoded)
    else:
        primitive.Identifier = BytesIO(encoded)
    if name == "C_MOVE":
        primitive.MoveDestination = "NOWHERE"
    made = getattr(dimse_messages, f"{name}_RQ")()
    return ul._message(made, primitive, ul.CONTEXT_ID[context or sop_class], 16384)  # type: ignore[index]  # UIDs are texts


STUDY_ROOT_FIND = str(ul.STUDY_ROOT_FIND)
PLANTS: dict[str, tuple[bytes, str]] = {
    "another key": (HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(PatientName="")), "key (0010,0010)"),
    "every study": (HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(StudyInstanceUID="")), "somebody's"),
    "a known study": (HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(StudyInstanceUID="1.2.840.1")), "somebody's"),
    "a short UID": (HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(StudyInstanceUID="2.25.1")), "somebody's"),
    "a list": (
        HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(StudyInstanceUID=[generate_uid(prefix=None), "1.2.840.1"])),
        "somebody's",
    ),
    "another level": (HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(QueryRetrieveLevel="SERIES")), "level"),
    "worklist": (HELLO + message("C_FIND", WORKLIST_FIND, nobody()), f"C-FIND-RQ for {WORKLIST_FIND}"),
    "worklist in disguise": (
        HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody(), context=WORKLIST_FIND),
        f"on a context of {WORKLIST_FIND}",
    ),
    "move": (HELLO + message("C_MOVE", STUDY_ROOT_MOVE, nobody()), "C-MOVE-RQ"),
    "get": (HELLO + message("C_GET", STUDY_ROOT_GET, nobody()), "C-GET-RQ"),
    "store": (HELLO + message("C_STORE", CT, nobody()), "C-STORE-RQ"),
    "half a message": ((HELLO + message("C_FIND", STUDY_ROOT_FIND, nobody()))[:-1], "without its end"),
    "no association": (message("C_FIND", STUDY_ROOT_FIND, nobody()), "neither DICOM nor HTTP"),
    "STOW-RS": (b"POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "HTTP POST"),
    "after a GET": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nDELETE /patients/1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP DELETE"),
    "a body": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "a body"),
    "QIDO-RS for everybody": (b"GET /dicom-web/studies?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n", "somebody's"),
    "QIDO-RS by name": (
        f"GET /dicom-web/studies?PatientName=*&StudyInstanceUID={generate_uid(prefix=None)} HTTP/1.1\r\n"
        "Host: a\r\n\r\n".encode(),
        "HTTP parameter PatientName",
    ),
    "a study by WADO-RS": (b"GET /dicom-web/studies/1.2.3/series HTTP/1.1\r\nHost: a\r\n\r\n", "somebody's"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_the_reader_sees(name: str) -> None:
    stream, why = PLANTS[name]
    assert [wrong for wrong in read(stream).wrong if why in wrong], read(stream)


def test_the_reader_lets_the_least_query_pass() -> None:
    asked = read(HELLO + ul.c_echo(16384) + ul.c_find(16384) + ul.A_RELEASE_RQ_BYTES)
    assert asked.wrong == []
    assert asked.what == ["C-ECHO-RQ", "C-FIND-RQ", "a study by its UID"]


# -- a verify -----------------------------------------------------------------------------------------


@pytest.mark.real
def test_nothing_of_a_full_verify_touches_an_image_or_a_patient(
    fresh_site: LabSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = Tap(monkeypatch)
    with Wire(fresh_site) as wire:
        look = verify(fresh_site)
    seen = {(o.question.vantage, o.question.kind): o.rung for o in look.observations}
    assert {rung for (_, kind), rung in seen.items() if kind.is_dicom} == {Rung.QUERY_ANSWERED}
    captured = wire.streams()
    assert Counter(filter(None, captured)) == Counter(filter(None, tap.sent)), "the tap and the wire say the same"
    for sent in (read_all(captured), read_all(tap.meant)):
        assert sent.wrong == []
        places = len({vantage for vantage, kind in seen if kind.is_dicom})
        assert sent.what.count("C-ECHO-RQ") == sent.what.count("C-FIND-RQ") == places == 2
        assert sent.what.count("GET") >= 2
        assert set(sent.what) == {"C-ECHO-RQ", "C-FIND-RQ", "GET", "a study by its UID"}
    known = [studies.study_uid(patient).encode() for patient in studies.PATIENTS]
    assert not [uid for uid in known for stream in captured if uid in stream]


@pytest.mark.real
@pytest.mark.parametrize("name", ["another key", "worklist", "move", "store"])
def test_a_probe_that_asks_for_more_is_seen_by_the_tap_and_on_the_wire(
    fresh_site: LabSite, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stream, why = PLANTS[name]
    monkeypatch.setattr(ul, "c_find", lambda *_: stream.removeprefix(HELLO))
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # what is planted may stay without an answer
    tap = Tap(monkeypatch)
    with Wire(fresh_site) as wire:
        verify(fresh_site)
    for sent in (read_all(wire.streams()), read_all(tap.meant)):
        assert [wrong for wrong in sent.wrong if why in wrong], sent


@pytest.mark.real
def test_nor_does_what_is_inside_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_lab()
    made = certificates(tmp_path)
    everything = {f"DicomAlwaysAllow{what}": True for what in ("Find", "Get", "Move")}
    with Loopback(tmp_path) as loopback:
        loopback.start(orthanc(tmp_path, everything | made.of_orthanc(required=False)))
        tap = Tap(monkeypatch)
        (seen,) = observe_often(loopback, Asked(kind=ServiceKind.DICOM_TLS), 1)
    assert seen.rung is Rung.QUERY_ANSWERED and seen.tls is not None
    sent = read_all(tap.meant)
    assert sent.wrong == []
    assert sent.what == ["C-ECHO-RQ", "C-FIND-RQ", "a study by its UID"]
    assert [stream for stream in tap.sent if stream[:1] == b"\x16"], "what left was encrypted"
