"""Real service class providers on loopback."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from remediate.model.observation import Rung
from remediate.model.site import Role

from .peers import ask

NAME = "MADEUP^PATIENT^NAME"
# PS3.6 A
VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, CT_STORAGE, BASIC_FILM_SESSION = (
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.5.1.4.1.2.2.2",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.1.1",
)
EVERYTHING_HERE = {Role.QUERY, Role.RETRIEVE, Role.STORE}


def nothing(event: Any) -> Iterator[Any]:
    return iter(())


@contextlib.contextmanager
def scp(
    *uids: str, find: Callable[[Any], Any] = nothing, handlers: Sequence[Any] = (), **attributes: Any
) -> Iterator[int]:
    """The port of an archive. ``attributes``: of its application entity."""
    ae = AE("ARCHIVE")
    for uid in uids or (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, CT_STORAGE):
        ae.add_supported_context(uid)
    for name, value in attributes.items():
        setattr(ae, name, value)
    accepted: list[tuple[Any, socket.socket]] = []  # pynetdicom leaves the socket open after a RST
    opened = (evt.EVT_CONN_OPEN, lambda event: accepted.append((event.assoc, event.assoc.dul.socket.socket)))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find), opened, *handlers])
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        for association, one in accepted:
            association.join(60)  # nothing is closed under a thread that reads from it
            one.close()


def test_an_open_archive_that_answers() -> None:
    asked: list[Dataset] = []
    released, aborted = threading.Event(), threading.Event()

    def find(event: Any) -> Iterator[Any]:
        asked.append(event.identifier)
        return iter(())

    ends = [(evt.EVT_RELEASED, lambda _: released.set()), (evt.EVT_ABORTED, lambda _: aborted.set())]
    with scp(find=find, handlers=ends, require_called_aet=True) as port:
        answer = ask(port)
        assert released.wait(60)
    assert answer.rung is Rung.QUERY_ANSWERED and answer.status == 0
    assert answer.negotiated == {Role.QUERY, Role.RETRIEVE, Role.STORE}
    assert not aborted.is_set()
    (identifier,) = asked
    assert {element.keyword for element in identifier} == {"QueryRetrieveLevel", "StudyInstanceUID"}
    assert identifier.StudyInstanceUID.startswith("2.25.")


@pytest.mark.parametrize(
    ("attributes", "reject"),
    [
        ({"require_calling_aet": ["CT1"]}, (1, 1, 3)),
        ({"require_called_aet": True, "ae_title": "OTHER"}, (1, 1, 7)),
    ],
)
def test_a_rejection(attributes: dict[str, Any], reject: tuple[int, int, int]) -> None:
    with scp(**attributes) as port:
        answer = ask(port)
    assert (answer.rung, answer.reject) == (Rung.REJECTED, reject)


def test_local_limit_exceeded_is_busy() -> None:
    with scp(maximum_associations=1) as port:
        other = AE("CT1")
        other.add_requested_context(VERIFICATION)
        held = other.associate("127.0.0.1", port)
        assert held.is_established
        answer = ask(port)
        held.release()
    assert (answer.rung, answer.reject) == (Rung.BUSY, (2, 3, 2))


def test_storage_only() -> None:
    with scp(VERIFICATION, CT_STORAGE) as port:
        answer = ask(port)
    assert answer.rung is Rung.ECHO
    assert answer.negotiated == {Role.STORE}


def test_find_without_verification() -> None:
    with scp(STUDY_ROOT_FIND) as port:
        answer = ask(port)
    assert answer.rung is Rung.QUERY_ANSWERED


def test_no_common_context() -> None:
    with scp(BASIC_FILM_SESSION) as port:
        answer = ask(port)
    assert (answer.rung, answer.negotiated) == (Rung.NO_CONTEXT, frozenset())


def test_a_query_that_is_refused() -> None:
    with scp(find=lambda _: iter([(0xA900, None)])) as port:
        answer = ask(port)
    assert (answer.rung, answer.status) == (Rung.QUERY_REFUSED, 0xA900)


def test_a_query_that_is_aborted() -> None:
    def find(event: Any) -> Iterator[Any]:
        event.assoc.abort()
        return iter(())

    with scp(find=find) as port:
        answer = ask(port)
    assert answer.rung is Rung.ABORTED_AFTER_FIND


def test_an_archive_that_ignores_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sent = threading.Event()

    def find(event: Any) -> Iterator[Any]:
        for number in range(1000):
            if event.assoc.is_aborted:
                return
            study = Dataset()
            study.QueryRetrieveLevel = "STUDY"
            study.PatientName = NAME
            study.StudyInstanceUID = f"1.2.3.{number}"
            sent.set()
            yield 0xFF00, study

    with scp(find=find) as port:
        answer = ask(port)
    assert sent.is_set()
    assert (answer.rung, answer.status) == (Rung.DATA_RETURNED, 0xFF00)
    ours = [r.getMessage() for r in caplog.records if r.threadName == threading.current_thread().name]
    assert NAME not in answer.model_dump_json() + repr(answer) + " ".join(ours)
    assert "1.2.3." not in answer.model_dump_json()


def test_nobody_listens() -> None:
    with scp() as port:
        pass
    answer = ask(port)
    assert answer.rung is Rung.CLOSED
