"""What every platform must do without a session, found through its table."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from remediate import platforms
from remediate.change import guarding
from remediate.errors import PlanError
from remediate.model.rule import Caller, CallerIntent, Intent
from remediate.model.site import Role
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
INTENTS: dict[type, Intent | CallerIntent] = {Intent: FLOWS, CallerIntent: CALLERS}


@pytest.mark.parametrize("name", platforms.PLATFORMS)
def test_there_and_back_is_exact_and_twice_is_nothing(name: str) -> None:
    spec = platforms.platform(name)
    device = factories.FIREWALL.model_copy(update={"platform": name})
    running, intent = factories.RUNNING[name], INTENTS[spec.intents]
    assert spec.name == name
    (section,) = guarding.sections(device, [intent], running)
    made = guarding.candidate(device, [section], running, Renderer())
    before = spec.read(device, running)
    after = spec.simulate(device, before, made.text)
    assert after.foreign == before.foreign
    assert after.sections[section.name] == section.rules == spec.expressed(intent)
    back = spec.simulate(device, after, made.inverse)
    assert (back.sections, back.foreign) == (before.sections, before.foreign)
    assert guarding.remarks(device, made, running) == []


@pytest.mark.parametrize("name", platforms.PLATFORMS)
def test_what_it_cannot_carry_out_is_refused(name: str) -> None:
    spec = platforms.platform(name)
    device = factories.FIREWALL.model_copy(update={"platform": name})
    (other,) = (intent for kind, intent in INTENTS.items() if kind is not spec.intents)
    with pytest.raises(PlanError, match=f"{other.control} cannot be carried out on {name}"):
        guarding.sections(device, [other], factories.RUNNING[name])


@pytest.mark.parametrize("name", platforms.PLATFORMS)
def test_its_timer_is_one_that_a_play_can_ask_for(name: str) -> None:
    able = platforms.platform(name).capabilities
    assert able.revert_min <= able.revert_max
    assert not able.revert_min % able.revert_step and not able.revert_max % able.revert_step
