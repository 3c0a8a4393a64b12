"""``access`` and controls' data → expectations."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from remediate.model.observation import Rung
from remediate.model.site import (
    Access,
    Addresses,
    ClientCertificate,
    Published,
    Role,
    Service,
    ServiceKind,
    Vantage,
    Zone,
)
from remediate.model.verdict import Expectation, Grade, Purpose
from remediate.policy import PROBE_AE_TITLE, expectations
from tests.factories import CLINIC, CT, INTERNET, READERS, pacs


def by(found: tuple[Expectation, ...], purpose: Purpose) -> list[Expectation]:
    return [e for e in found if e.purpose is purpose]


def test_outside_every_published_service_must_be_closed_on_its_external_port() -> None:
    found = by(expectations(pacs(), [INTERNET]).expectations, Purpose.OUTSIDE_CLOSED)
    assert [(str(e.question.address), e.question.port, e.question.service_port) for e in found] == [
        ("203.0.113.20", 11112, 104),
        ("203.0.113.20", 8042, 8042),
    ]
    assert all(not rung.reachable for e in found for rung in e.rungs)
    assert Rung.INCONCLUSIVE not in {rung for e in found for rung in e.rungs}


def test_a_peers_title_is_used_only_from_its_own_place() -> None:
    found = expectations(pacs(), [INTERNET, CLINIC, Vantage(name="ward", zone=Zone.INSIDE)]).expectations
    titles = {e.question.vantage: e.question.calling_ae_title for e in found if e.question.calling_ae_title}
    assert titles == {"internet": PROBE_AE_TITLE, "clinic": "CLINICMOD", "ward": PROBE_AE_TITLE}


def test_every_role_of_a_peer_is_an_expectation_of_its_own() -> None:
    found = by(expectations(pacs(), [CLINIC]).expectations, Purpose.CARE_PATH)
    assert [(e.role, e.question.kind) for e in found] == [
        (Role.STORE, ServiceKind.DICOM),
        (Role.QUERY, ServiceKind.DICOM),
        (Role.RETRIEVE, ServiceKind.DICOM),
        (Role.WEB, ServiceKind.DICOMWEB),
    ]
    assert next(e.rungs for e in found if e.role is Role.QUERY) == {Rung.QUERY_ANSWERED, Rung.DATA_RETURNED}
    assert len({e.question for e in found}) == 2, "one association tells all DICOM roles"


def test_an_inside_vantage_in_nobodys_place_must_only_get_through() -> None:
    found = expectations(pacs(), [Vantage(name="ward", zone=Zone.INSIDE)]).expectations
    assert {e.grade for e in found} == {Grade.SAME_SEGMENT}
    assert all(Rung.REJECTED in e.rungs and Rung.FILTERED not in e.rungs for e in found)


def test_what_is_not_asked_is_named() -> None:
    hl7 = CT.model_copy(update={"roles": (Role.HL7,)})
    found = expectations(
        pacs(
            access=Access(peers=(hl7, READERS)),
            services=(Service(kind=ServiceKind.FTP, port=21),),
        ),
        [CLINIC],
    )
    text = "\n".join(found.not_asked)
    assert "the outside" in text
    assert "ct-1: role hl7" in text
    assert "readers (query): no vantage stands there; simulated only" in text
    assert "ftp on port 21" in text


@pytest.mark.parametrize("role", [role for role in Role if role.is_dicom])
def test_a_role_that_is_only_negotiated_is_not_called_proved(role: Role) -> None:
    peer = CT.model_copy(update={"roles": (role,)})
    found = expectations(pacs(access=Access(peers=(peer,))), [CLINIC]).not_asked
    named = [text for text in found if f"peer ct-1: {role} is negotiated, never exercised; " in text]
    assert len(named) == (role is not Role.QUERY)
    if role in (Role.RETRIEVE, Role.STGCMT):
        assert "back to the peer" in named[0]


@pytest.mark.parametrize(
    ("kinds", "certificate", "asked"),
    [
        ({ServiceKind.DICOM, ServiceKind.DICOM_TLS}, True, True),
        ({ServiceKind.DICOM, ServiceKind.DICOM_TLS}, False, False),
        ({ServiceKind.DICOM_TLS}, False, True),
    ],
)
def test_a_peer_is_asked_inside_tls_where_it_must_be_served_there(
    kinds: set[ServiceKind], certificate: bool, asked: bool
) -> None:
    shown = ClientCertificate(certificate="/made-up/ct-1.pem") if certificate else None
    clinic = CLINIC.model_copy(update={"client_certificate": shown})
    services = tuple(Service(kind=kind, port=100 + len(kind)) for kind in sorted(kinds))
    found = expectations(pacs(services=services), [clinic])
    assert (ServiceKind.DICOM_TLS in {e.question.kind for e in found.expectations}) == asked
    assert any("dicom_tls on port 109: not asked from inside" in text for text in found.not_asked) != asked


def test_a_peer_is_not_asked_to_use_the_other_ip_version() -> None:
    addresses = Addresses(
        inside=(Published(address=ip_address("10.10.0.5")), Published(address=ip_address("2001:db8::5")))
    )
    found = expectations(pacs(addresses=addresses), [CLINIC]).expectations
    assert {e.question.address.version for e in found} == {4}


@pytest.mark.parametrize("zone", list(Zone))
def test_from_inside_an_archive_without_an_inside_address_is_reached_by_its_outside_one(zone: Zone) -> None:
    addresses = Addresses(outside=(Published(address=ip_address("203.0.113.20")),))
    vantage = Vantage(name="v", zone=zone)
    found = expectations(pacs(addresses=addresses), [vantage]).expectations
    assert {str(e.question.address) for e in found} == {"203.0.113.20"}
