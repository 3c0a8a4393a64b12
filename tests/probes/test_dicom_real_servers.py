"""Real Orthanc, dcmqrscp and storescp: for each configuration what it truly allows, as far as the wire can tell.

A row is asked 100 times where nothing is answered inside an association (rejections, and the alerts of TLS, are what
other tools flatten), and 10 times elsewhere, since an archive may take 45 ms a response;
``REMEDIATE_PROBES_COUNT=100`` makes it 100 everywhere.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE

from remediate.lab.real import hosts
from remediate.model.observation import Rung
from remediate.model.site import Role, ServiceKind
from remediate.titles import Cell, Inference, cells, finding
from tests.conftest import needs_lab

from .servers import (
    ARCHIVE,
    PEER,
    PEER_TITLE,
    PORT,
    STRANGER,
    TITLE,
    Asked,
    Certificates,
    Loopback,
    certificates,
    dcmqrscp,
    observe_all,
    observe_often,
    orthanc,
    question,
    storescp,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

COUNT = int(os.environ.get("REMEDIATE_PROBES_COUNT", "0"))
NOTHING: frozenset[Role] = frozenset()
BASIC = frozenset({Role.QUERY, Role.RETRIEVE, Role.STORE})
#: What Orthanc negotiates with everybody that it lets in, whatever it allows them afterwards.
ORTHANCS = BASIC | {Role.STGCMT}
VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True)
class Row:
    """``asked`` → what the wire can tell."""

    asked: Asked
    rung: Rung
    negotiated: frozenset[Role] = NOTHING
    reject: tuple[int, int, int] | None = None
    status: int | None = None
    tls: bool = False

    @property
    def times(self) -> int:
        slow = self.rung in (Rung.QUERY_ANSWERED, Rung.ABORTED_AFTER_FIND, Rung.ECHO)
        return COUNT or (10 if slow else 100)


def answered(asked: Asked, negotiated: frozenset[Role] = ORTHANCS) -> Row:
    return Row(asked, Rung.QUERY_ANSWERED, negotiated, status=0)


def denied(asked: Asked) -> Row:
    """Associated, and the C-FIND is aborted."""
    return Row(asked, Rung.ABORTED_AFTER_FIND, ORTHANCS)


def stored(asked: Asked) -> Row:
    return Row(asked, Rung.ECHO, frozenset({Role.STORE}))


def rejected(asked: Asked, *reject: int) -> Row:
    result, source, reason = reject
    return Row(asked, Rung.REJECTED, reject=(result, source, reason))


UNKNOWN, WRONG_CALLED = Asked(), Asked(called="WRONG")
THE_PEER, SPOOFED = Asked(PEER_TITLE, source=PEER), Asked(PEER_TITLE, source=STRANGER)
THE_PEER_WRONG_CALLED, SPOOFED_WRONG_CALLED = Asked(PEER_TITLE, "WRONG", PEER), Asked(PEER_TITLE, "WRONG", STRANGER)
CALLING, CALLED = (1, 1, 3), (1, 1, 7)


def listed(**more: Any) -> dict[str, Any]:
    """Nobody but the peer is let in. ``more``: of its entry in DicomModalities."""
    peer = {"AET": PEER_TITLE, "Host": PEER, "Port": 104} | more
    return {"DicomAlwaysAllowEcho": False, "DicomAlwaysAllowStore": False, "DicomModalities": {"clinic": peer}}


OPEN = {f"DicomAlwaysAllow{what}": True for what in ("Find", "Get", "Move")}
CHECKS = {"DicomCheckModalityHost": True, "DicomCheckCalledAet": True}

Server = Callable[[Path, Certificates], list[str]]


def an_orthanc(**settings: Any) -> Server:
    return lambda folder, _: orthanc(folder, settings)


def a_tls_orthanc(*, required: bool) -> Server:
    return lambda folder, made: orthanc(folder, OPEN | made.of_orthanc(required=required))


def a_dcmqrscp(access: str) -> Server:
    return lambda folder, _: dcmqrscp(folder, access)


def a_storescp(*, tls: bool = False, required: bool = False) -> Server:
    return lambda folder, made: storescp(folder, *(made.of_storescp(required=required) if tls else ()))


SERVERS: dict[str, tuple[Server, list[Row]]] = {
    "Orthanc, Debian's defaults": (an_orthanc(), [denied(UNKNOWN), denied(WRONG_CALLED)]),
    "Orthanc, exposed": (an_orthanc(**OPEN), [answered(UNKNOWN), answered(WRONG_CALLED)]),
    "Orthanc, DicomCheckCalledAet": (
        an_orthanc(DicomCheckCalledAet=True),
        [denied(UNKNOWN), rejected(WRONG_CALLED, *CALLED)],
    ),
    "Orthanc, Echo and Store false": (
        an_orthanc(DicomAlwaysAllowEcho=False, DicomAlwaysAllowStore=False),
        [rejected(UNKNOWN, *CALLING), rejected(WRONG_CALLED, *CALLING)],
    ),
    "Orthanc, Store false": (an_orthanc(DicomAlwaysAllowStore=False), [denied(UNKNOWN)]),
    "Orthanc, DicomModalities": (
        an_orthanc(**listed()),
        [
            answered(THE_PEER),
            answered(THE_PEER_WRONG_CALLED),
            answered(SPOOFED),
            rejected(UNKNOWN, *CALLING),
            answered(Asked(PEER_TITLE.lower(), source=PEER)),
        ],
    ),
    "Orthanc, StrictAetComparison": (
        an_orthanc(**listed(), StrictAetComparison=True),
        [answered(THE_PEER), rejected(Asked(PEER_TITLE.lower(), source=PEER), *CALLING)],
    ),
    "Orthanc, DicomCheckModalityHost": (
        an_orthanc(**listed(), DicomCheckModalityHost=True),
        [answered(THE_PEER), rejected(SPOOFED, *CALLING), rejected(UNKNOWN, *CALLING)],
    ),
    "Orthanc, both checks": (
        an_orthanc(**listed(), **CHECKS),
        [
            answered(THE_PEER),
            rejected(THE_PEER_WRONG_CALLED, *CALLED),
            rejected(SPOOFED, *CALLING),
            rejected(SPOOFED_WRONG_CALLED, *CALLED),
            rejected(UNKNOWN, *CALLING),
            rejected(WRONG_CALLED, *CALLED),
        ],
    ),
    "Orthanc, Echo false": (an_orthanc(DicomAlwaysAllowEcho=False), [denied(UNKNOWN)]),
    "Orthanc, AllowEcho false": (an_orthanc(**listed(AllowEcho=False)), [answered(THE_PEER)]),
    "Orthanc, AllowEcho and AllowFind false": (
        an_orthanc(**listed(AllowEcho=False, AllowFind=False)),
        [denied(THE_PEER)],
    ),
    "Orthanc, AllowStore false": (an_orthanc(**listed(AllowStore=False)), [answered(THE_PEER)]),
    "Orthanc, AllowFind false": (an_orthanc(**listed(AllowFind=False)), [denied(THE_PEER)]),
    "dcmqrscp, RW, anybody": (
        a_dcmqrscp("RW ANY"),
        [answered(UNKNOWN, BASIC), rejected(WRONG_CALLED, *CALLED)],
    ),
    "dcmqrscp, R, anybody": (a_dcmqrscp("R ANY"), [answered(UNKNOWN, BASIC - {Role.STORE})]),
    "dcmqrscp, W, anybody": (a_dcmqrscp("W ANY"), [answered(UNKNOWN, BASIC)]),
    # One answer to three causes: this wire cannot tell them apart.
    "dcmqrscp, by title and address": (
        a_dcmqrscp("RW clinicmod"),
        [
            answered(THE_PEER, BASIC),
            rejected(THE_PEER_WRONG_CALLED, *CALLED),
            rejected(SPOOFED, *CALLED),
            rejected(UNKNOWN, *CALLED),
        ],
    ),
    "storescp": (a_storescp(), [stored(UNKNOWN), stored(WRONG_CALLED)]),
}

#: Which of its certificates a caller shows: "peer" is of the server's own authority, "foreign" of nobody's.
Shown = str | None
#: A server that speaks TLS, whichever kind of service the inventory says it is.
TLS_SERVERS: dict[str, tuple[Server, dict[Shown, Row]]] = {
    "Orthanc, DicomTlsEnabled": (
        a_tls_orthanc(required=False),
        {None: answered(UNKNOWN), "peer": answered(UNKNOWN), "foreign": Row(UNKNOWN, Rung.TLS_CERTIFICATE_WANTED)},
    ),
    "Orthanc, DicomTlsRemoteCertificateRequired": (
        a_tls_orthanc(required=True),
        {
            None: Row(UNKNOWN, Rung.TLS_CERTIFICATE_WANTED),
            "peer": answered(UNKNOWN),
            "foreign": Row(UNKNOWN, Rung.TLS_CERTIFICATE_WANTED),
        },
    ),
    "storescp +tls": (
        a_storescp(tls=True),
        {None: stored(UNKNOWN), "peer": stored(UNKNOWN), "foreign": stored(UNKNOWN)},
    ),
    "storescp +tls, certificates required": (
        a_storescp(tls=True, required=True),
        {
            None: Row(UNKNOWN, Rung.TLS_CERTIFICATE_WANTED),
            "peer": stored(UNKNOWN),
            "foreign": Row(UNKNOWN, Rung.TLS_CERTIFICATE_WANTED),
        },
    ),
}

#: What the four cells imply, from the peer's place, and the two that a stranger may ask.
INFERENCES: dict[str, dict[str, Inference]] = {
    "Orthanc, Debian's defaults": {PEER: Inference.NO_FILTER, STRANGER: Inference.NO_FILTER},
    "Orthanc, DicomCheckCalledAet": {PEER: Inference.CALLED, STRANGER: Inference.CALLED},
    "Orthanc, Echo and Store false": {PEER: Inference.UNKNOWN, STRANGER: Inference.UNKNOWN},
    "Orthanc, DicomModalities": {PEER: Inference.CALLING, STRANGER: Inference.UNKNOWN},
    "Orthanc, DicomCheckModalityHost": {PEER: Inference.CALLING, STRANGER: Inference.UNKNOWN},
    "Orthanc, both checks": {PEER: Inference.BOTH, STRANGER: Inference.CALLER_REFUSED},
    "dcmqrscp, RW, anybody": {PEER: Inference.CALLED, STRANGER: Inference.CALLED},
    "dcmqrscp, by title and address": {PEER: Inference.BOTH, STRANGER: Inference.UNKNOWN},
    "storescp": {PEER: Inference.NO_FILTER, STRANGER: Inference.NO_FILTER},
}


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    needs_lab()
    with Loopback(tmp_path_factory.mktemp("servers")) as made:
        yield made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def standing(loopback: Loopback, made: Certificates, request: pytest.FixtureRequest) -> Loopback:
    """The namespace, with the server of that name in it."""
    server, _ = SERVERS.get(request.param) or TLS_SERVERS[request.param]
    loopback.start(server(loopback.folder, made))
    return loopback


def check(standing: Loopback, row: Row) -> None:
    seen = Counter(
        (o.rung, o.negotiated, o.reject, o.status, o.tls is not None, o.stack and o.stack.name)
        for o in observe_often(standing, row.asked, row.times)
    )
    standing.alive()
    stack = "DCMTK" if row.negotiated else None  # Orthanc is built on it, and a wire cannot tell which of them it is
    assert seen == {(row.rung, row.negotiated, row.reject, row.status, row.tls, stack): row.times}


def name_of(value: object) -> str | None:
    if isinstance(value, Row):
        asked = value.asked
        return f"{asked.calling} from {asked.source} to {asked.called}"
    return None


@pytest.mark.parametrize(
    ("standing", "row"),
    [(name, row) for name, (_, rows) in SERVERS.items() for row in rows],
    indirect=["standing"],
    ids=name_of,
)
def test_row(standing: Loopback, row: Row) -> None:
    check(standing, row)


@pytest.mark.parametrize("kind", [ServiceKind.DICOM, ServiceKind.DICOM_TLS])
@pytest.mark.parametrize(
    ("standing", "shown", "row"),
    [(name, shown, row) for name, (_, rows) in TLS_SERVERS.items() for shown, row in rows.items()],
    indirect=["standing"],
    ids=name_of,
)
def test_row_inside_tls(standing: Loopback, made: Certificates, shown: Shown, row: Row, kind: ServiceKind) -> None:
    certificate = getattr(made, shown) if shown else None
    check(standing, replace(row, asked=replace(row.asked, kind=kind, client_certificate=certificate), tls=True))


@pytest.mark.parametrize(
    ("standing", "source", "inference"),
    [(name, source, one) for name, answers in INFERENCES.items() for source, one in answers.items()],
    indirect=["standing"],
)
def test_what_the_cells_imply(standing: Loopback, source: str, inference: Inference) -> None:
    asked = Asked(source=source)
    known = PEER_TITLE if source == PEER else None
    asking = cells(question(asked), known=known, random_calling="RMDRANDOM1", random_called="RMDRANDOM2")
    for _ in range(10):
        seen = observe_all(standing, asked, list(asking.values()))
        standing.alive()
        found = finding(question(asked), dict(zip(asking, seen, strict=True)))
        assert found.inference is inference, found
        assert ("-" in found.pattern) == (Cell.KNOWN_RIGHT not in asking)


@pytest.mark.parametrize("standing", ["dcmqrscp, by title and address", "dcmqrscp, RW, anybody"], indirect=True)
def test_with_a_called_title_that_is_wrong_nothing_is_implied(standing: Loopback) -> None:
    """The inventory's mistake looks like a filter of callers, and is not told from one."""
    asked = Asked(source=PEER, called="MISTAKE")
    asking = cells(question(asked), known=PEER_TITLE, random_calling="RMDRANDOM1", random_called="RMDRANDOM2")
    seen = observe_all(standing, asked, list(asking.values()))
    found = finding(question(asked), dict(zip(asking, seen, strict=True)))
    assert (found.pattern, found.inference) == ("RRRR", Inference.UNKNOWN)


def test_dcmqrscp_without_room_is_busy_and_not_closed(loopback: Loopback) -> None:
    """It looks at the titles first: 2/3/2 is said only to whom it would let in."""
    loopback.start(dcmqrscp(loopback.folder, "RW ANY", associations=1))

    def held() -> Any:
        clinic = AE(PEER_TITLE)
        clinic.add_requested_context(VERIFICATION)
        return clinic.associate(ARCHIVE, PORT, ae_title=TITLE)

    association = hosts.inside(loopback.namespace, held)
    assert association.is_established
    try:
        (busy,) = observe_often(loopback, UNKNOWN, 1)
        (rejected,) = observe_often(loopback, WRONG_CALLED, 1)
    finally:
        association.abort()
    assert (busy.rung, busy.reject) == (Rung.BUSY, (2, 3, 2))
    assert (rejected.rung, rejected.reject) == (Rung.REJECTED, CALLED)
