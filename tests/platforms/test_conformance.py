"""What every platform must do without a session, found through its table."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from remediate import platforms
from remediate.change import guarding
from remediate.errors import PlanError
from remediate.model.rule import AnyIntent, Caller, CallerIntent, TlsIntent, UnpublishIntent, WebLoginIntent
from remediate.model.site import Addressing, Role
from remediate.render import Renderer
from tests import factories

CALLERS = CallerIntent(
    pacs="fw-north",
    control="ae_title",
    device="fw-north",
    ae_title="ORTHANC",
    callers=(Caller(peer="ct-1", ae_title="CT1", address=ip_address("10.20.0.10"), port=104, roles=(Role.STORE,)),),
)
BOTH = factories.intent()
#: Not every platform guards IPv6.
FLOWS = BOTH.model_copy(
    update={
        "doors": tuple(door for door in BOTH.doors if door.address.version == 4),
        "permits": tuple(permit for permit in BOTH.permits if permit.source.version == 4),
    }
)
TLS = TlsIntent(
    pacs="fw-north",
    control="tls_only",
    device="fw-north",
    certificate="/etc/tls/own.crt",
    key="/etc/tls/own.key",
    trusted="/etc/tls/peers.crt",
    ports=(104,),
    peers=FLOWS.permits,
)
WEB = WebLoginIntent(pacs="fw-north", control="web_auth", device="fw-north", ports=(8042,), users="/etc/nginx/users")
UNPUBLISHED = UnpublishIntent(
    pacs="pacs-north",
    control="unpublish",
    device="fw-north",
    interfaces=("wan",),
    doors=factories.pacs().doors(Addressing.PUBLISHED),
    own=(ip_address("10.10.0.5"),),
)
MADE: tuple[AnyIntent, ...] = (FLOWS, UNPUBLISHED, CALLERS, TLS, WEB)
INTENTS = {type(one): one for one in MADE}
CASES = [(name, kind) for name in platforms.PLATFORMS for kind in INTENTS]
KNOWN = [(name, kind) for name, kind in CASES if kind in platforms.platform(name).intents]


@pytest.mark.parametrize(("name", "kind"), KNOWN)
def test_there_and_back_is_exact_and_twice_is_nothing(name: str, kind: type) -> None:
    spec = platforms.platform(name)
    device = factories.FIREWALL.model_copy(update={"platform": name})
    running, intent = factories.RUNNING[name], INTENTS[kind]
    assert spec.name == name
    (section,) = guarding.sections(device, [intent], running)
    made = guarding.candidate(device, [section], running, Renderer())
    before = spec.read(device, running)
    after = spec.simulate(device, before, made.text)
    assert after.foreign == before.foreign
    assert after.sections[section.name] == section.rules == spec.expressed(intent)
    back = spec.simulate(device, after, made.inverse)
    assert (back.sections, back.foreign) == (before.sections, before.foreign)
    # That passwords go in clear is always said, and so is which forward is switched off.
    if kind not in (WebLoginIntent, UnpublishIntent):
        said = guarding.remarks(device, made, running)
        assert [one for one in said if "a new access list will stand" not in one] == []


@pytest.mark.parametrize(("name", "kind"), [one for one in CASES if one not in KNOWN])
def test_what_it_cannot_carry_out_is_refused(name: str, kind: type) -> None:
    device, other = factories.FIREWALL.model_copy(update={"platform": name}), INTENTS[kind]
    with pytest.raises(PlanError, match=f"{other.control} cannot be carried out on {name}"):
        guarding.sections(device, [other], factories.RUNNING[name])


@pytest.mark.parametrize("name", platforms.PLATFORMS)
def test_its_timer_is_one_that_a_play_can_ask_for(name: str) -> None:
    able = platforms.platform(name).capabilities
    assert able.revert_min <= able.revert_max
    assert not able.revert_min % able.revert_step and not able.revert_max % able.revert_step
