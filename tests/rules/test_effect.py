"""What a plan says in words that its guard does."""

from __future__ import annotations

from ipaddress import ip_address

from remediate.model.change import Section
from remediate.model.rule import Caller, CallerIntent
from remediate.model.site import Role
from remediate.rules import effect, entries
from tests.factories import intent


def section(**changes: object) -> Section:
    made = intent()
    values = {"name": made.section, "intent": made, "rules": entries(made), "previous": None}
    return Section.model_validate(values | changes)


def test_every_door_with_those_who_pass_and_those_who_do_not() -> None:
    said = effect(section(), closing=True)
    doors = intent().doors
    assert len(said) == 2 * len(doors) + 1
    for number, door in enumerate(doors):
        served, shut = said[2 * number], said[2 * number + 1]
        assert served.startswith(f"permitted: TCP to {door.address} port")
        for permit in intent().permits:
            here = permit.source.version == door.address.version and bool(door.of(permit.ports))
            assert (permit.peer in served) is here
        assert shut.startswith(f"denied: TCP to {door.address} port")
        assert shut.endswith("everybody else, in sessions that are open too" if ": nobody" not in served else "too")
    assert said[-1] == "untouched: every other packet"


def test_nobody_passes_where_there_is_no_permit() -> None:
    made = intent().model_copy(update={"permits": ()})
    said = effect(section(intent=made, rules=entries(made)), closing=True)
    assert said[0].endswith(": nobody")
    assert "everybody, in sessions" in said[1]


def test_a_permit_on_one_interface_of_two_says_on_which() -> None:
    made = intent()
    made = made.model_copy(
        update={
            "interfaces": ("wan", "tun0"),
            "permits": tuple(one.model_copy(update={"interfaces": ("tun0",)}) for one in made.permits),
        }
    )
    said = effect(section(intent=made, rules=entries(made)), closing=True)
    assert "coming in by wan, tun0" in said[0]
    assert " by tun0" in said[0].partition("tun0: ")[2]


def test_taking_back_promises_nothing_about_packets() -> None:
    assert effect(section(rules=None), closing=False) == (
        "acl_pacs-north goes away: what it decided about fares as if it had never been there",
    )
    assert effect(section(rules=entries(intent())[:1]), closing=False) == (
        "acl_pacs-north is again as it was: 1 entry",
    )


def test_callers_of_an_archive() -> None:
    caller = Caller(peer="ct-1", ae_title="CLINICMOD", address=ip_address("10.20.0.10"), roles=(Role.STORE,))
    made = CallerIntent(pacs="a", control="ae_title", device="a", ae_title="ORTHANC", callers=(caller,))
    assert effect(section(name="ae_title_a", intent=made, rules=()), closing=True) == (
        "accepted: CLINICMOD at 10.20.0.10 (ct-1): store",
        "rejected: associations by anybody else, or to another title than ORTHANC",
    )
