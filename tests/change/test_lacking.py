"""What a section lacks on its device: whom its own denials shut out, and whether the rest may be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

import pytest

from remediate.change import gates, lacking
from remediate.change.looking import Look
from remediate.errors import CarePathBroken, DriftError
from remediate.model.change import Section
from remediate.model.rule import Action, PortRange, Rule, Setting
from remediate.model.verdict import Outcome, Purpose
from tests.platforms.ios import edge_intent

INTENT = edge_intent(peers=2)
PORTS = (PortRange.one(11112),)
ONE, TWO = (ip_network(f"10.20.0.{n}/32") for n in (10, 11))


def permit(*sources: object) -> Rule:
    return Rule(action=Action.PERMIT, sources=sources, destination_ports=PORTS)


DENY = Rule(action=Action.DENY, destination_ports=PORTS)


def shut_out(previous: tuple[Rule, ...] | None, rules: tuple[Rule, ...] | None) -> dict[str, tuple[str, ...]]:
    @dataclass
    class Made:
        device: str
        sections: tuple[Section, ...]

    @dataclass
    class Of:
        candidates: tuple[Made, ...]

    section = Section(name=INTENT.section, intent=INTENT, rules=rules, previous=previous)
    wave: object = Of((Made("edge-1", (section,)),))
    return lacking.shut_out(wave).get("pacs-north", {})  # type: ignore[arg-type]  # no more of a wave is looked at


def test_whom_our_own_denials_shut_out() -> None:
    both = (permit(ONE), permit(TWO), DENY)
    assert shut_out((permit(ONE), DENY), both) == {"ct-2": ("edge-1",)}
    assert shut_out((DENY,), both) == {"ct-1": ("edge-1",), "ct-2": ("edge-1",)}
    assert shut_out((permit(ONE),), both) == {}, "nothing is denied there"
    assert shut_out(None, both) == {}
    assert shut_out(both, (permit(ONE), DENY)) == {}
    assert shut_out((permit(ONE), DENY), (permit(ONE, TWO), DENY)) == {"ct-2": ("edge-1",)}, (
        "however they are put together"
    )
    assert shut_out((permit(ONE, TWO), DENY), both) == {}


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ((permit(ONE), permit(TWO), DENY), None),
        ((permit(TWO), DENY), None),
        ((DENY, permit(ONE)), None),
        ((permit(ONE, TWO), DENY.model_copy(update={"note": "behind 2 of others' entries"})), None),
        (None, "nothing of it is there any more"),
        ((permit(ONE), permit(ip_network("10.0.0.0/8")), DENY), "is not what change c left"),
        ((DENY.model_copy(update={"action": Action.PERMIT}),), "is not what change c left"),
        ((Setting(key=("a",), value="1"),), "is not what change c left"),
    ],
)
def test_what_is_left_may_be_taken_back_if_it_is_ours(there: tuple[Rule, ...] | None, says: str | None) -> None:
    section = Section(name=INTENT.section, intent=INTENT, rules=(permit(ONE), permit(TWO), DENY), previous=None)
    if says is None:
        lacking.check_left("c", "edge-1", section, there)
        return
    with pytest.raises(DriftError, match=says):
        lacking.check_left("c", "edge-1", section, there)


def test_of_an_archives_settings_all_must_be_there() -> None:
    settings = (Setting(key=("a",), value="1"), Setting(key=("b",), value="2"))
    section = Section(name=INTENT.section, intent=INTENT, rules=settings, previous=None)
    lacking.check_left("c", "archive", section, settings)
    with pytest.raises(DriftError):
        lacking.check_left("c", "archive", section, settings[:1])


def look(*peers: str | None) -> Look:
    @dataclass
    class Expected:
        peer: str | None
        purpose: Purpose = Purpose.CARE_PATH

    @dataclass
    class Finding:
        expectation: Expected
        outcome: Outcome = Outcome.UNMET
        why: str = "no answer"

    @dataclass
    class Judged:
        findings: list[Finding]
        pacs: str = "pacs-north"

    @dataclass
    class Seen:
        judgements: list[Judged]

    seen: object = Seen([Judged([Finding(Expected(peer)) for peer in peers])])
    return seen  # type: ignore[return-value]  # no more of a look is looked at


def test_a_baseline_that_our_own_denial_breaks_is_what_is_mended() -> None:
    own = {"pacs-north": ("ct-1",)}
    assert gates.check_baseline(look("ct-1", "ct-1"), shut_out=own) == [("pacs-north", "ct-1")]
    assert gates.check_baseline(look(), shut_out=own) == []
    for peers in (("ct-2",), ("ct-1", "ct-2"), (None,)):
        with pytest.raises(CarePathBroken):
            gates.check_baseline(look(*peers), shut_out=own)
    with pytest.raises(CarePathBroken):
        gates.check_baseline(look("ct-1"))
