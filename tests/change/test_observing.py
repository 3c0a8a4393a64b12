"""What must hold after a guard was put in place that only observes; and where there can be none."""

from __future__ import annotations

import pytest

from remediate import platforms
from remediate.change import gates
from remediate.change.looking import Look, judged
from remediate.errors import NotKnown, PlanError, VerificationFailed
from remediate.model.observation import Rung
from remediate.model.site import Role
from remediate.model.verdict import Purpose
from remediate.policy import expectations
from tests import factories
from tests.platforms.ios import edge_intent

EXPECTED = expectations(factories.pacs(), [factories.INTERNET, factories.CLINIC]).expectations
CANARIES = (factories.canary("internet"), factories.canary("clinic"))


def look(outside: Rung, inside: Rung = Rung.DATA_RETURNED, *, alive: bool = True) -> Look:
    answers = tuple(
        factories.seen(
            one.question,
            outside if one.purpose is Purpose.OUTSIDE_CLOSED else inside,
            negotiated=frozenset(role for role in Role if role.is_dicom),
        )
        for one in EXPECTED
    )
    canaries = CANARIES if alive else (factories.canary("internet", alive=False), *CANARIES)
    return judged(EXPECTED, {}, answers, canaries)


@pytest.mark.parametrize("outside", [Rung.ECHO, Rung.FILTERED])
def test_the_outside_may_be_as_open_as_before(outside: Rung) -> None:
    gates.check_after(look(outside), observes=True)


def test_a_guard_that_denies_may_not_leave_it_open() -> None:
    with pytest.raises(VerificationFailed):
        gates.check_after(look(Rung.ECHO))


def test_a_peer_that_is_not_served_any_more_has_it_taken_back() -> None:
    with pytest.raises(VerificationFailed) as error:
        gates.check_after(look(Rung.ECHO, Rung.CLOSED), observes=True)
    assert not isinstance(error.value, NotKnown)


@pytest.mark.parametrize(
    "unknown",
    [
        look(Rung.INCONCLUSIVE),
        look(Rung.ECHO, Rung.INCONCLUSIVE),
        look(Rung.ECHO, alive=False),
        judged((), {}, (), CANARIES),
    ],
    ids=["outside", "inside", "canary", "nothing"],
)
def test_unknown_is_no_pass(unknown: Look) -> None:
    with pytest.raises(NotKnown):
        gates.check_after(unknown, observes=True)


def test_where_counters_do_not_say_who_it_was_it_is_refused() -> None:
    meant = edge_intent().model_copy(update={"observe": True})
    with pytest.raises(PlanError, match="cannot observe: the counters of an access list do not say who it was"):
        platforms.platform("cisco_ios").expressed(meant)
