"""Two archives behind one device: each wave is planned on what the one before leaves, and takes back itself alone."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from remediate import platforms
from remediate.change import guarding
from remediate.errors import DriftError
from remediate.model.change import Candidate
from remediate.model.device import Device
from remediate.model.rule import Intent, Permit
from remediate.platforms import FilterState
from remediate.render import Renderer
from tests import factories

RENDERER = Renderer()
FILTERS = tuple(name for name in platforms.PLATFORMS if Intent in platforms.platform(name).intents)


def intent(number: int) -> Intent:
    """Of an archive of its own, at an address of its own."""
    return factories.intent(
        pacs=f"pacs-{number}",
        doors=factories.doors(f"203.0.113.{20 + number}", ports=(104,)),
        permits=(Permit(peer="ct-1", source=ip_network("10.20.0.10/32"), ports=(104,)),),
    )


class Waves:
    """One archive in each of three waves, all planned before the first is pushed."""

    def __init__(self, platform: str) -> None:
        self.device: Device = factories.FIREWALL.model_copy(update={"platform": platform})
        self.running = factories.RUNNING[platform]
        self.states: list[FilterState] = [guarding.read(self.device, self.running)]
        self.candidates: list[Candidate] = []
        for number in (1, 2, 3):
            sections = guarding.sections(self.device, [intent(number)], self.states[-1])
            made = guarding.candidate(self.device, sections, self.states[-1], RENDERER)
            self.candidates.append(made)
            self.states.append(guarding.predicted(self.device, self.states[-1], made))


@pytest.fixture(params=FILTERS)
def waves(request: pytest.FixtureRequest) -> Waves:
    return Waves(request.param)


def names(state: FilterState) -> list[str]:
    return sorted(state.sections)


def test_each_wave_adds_its_own_section_to_those_before(waves: Waves) -> None:
    assert [names(state) for state in waves.states] == [
        [],
        ["acl_pacs-1"],
        ["acl_pacs-1", "acl_pacs-2"],
        ["acl_pacs-1", "acl_pacs-2", "acl_pacs-3"],
    ]
    assert len({state.foreign for state in waves.states}) == 1


def test_taking_a_wave_back_leaves_the_ones_before_it(waves: Waves) -> None:
    spec = platforms.platform(waves.device.platform)
    for before, after, made in zip(waves.states, waves.states[1:], waves.candidates, strict=False):
        back = spec.simulate(waves.device, after, made.inverse)
        assert (dict(back.sections), back.foreign) == (dict(before.sections), before.foreign)


def test_taken_back_in_any_order_nothing_of_ours_is_left_and_nothing_else_has_changed(waves: Waves) -> None:
    """As later rollbacks do it: each is planned on what runs then."""
    state = waves.states[-1]
    for number in (2, 1, 3):
        (made,) = [s for c in waves.candidates for s in c.sections if s.name == f"acl_pacs-{number}"]
        back = made.model_copy(update={"rules": None, "previous": made.rules})
        state = guarding.predicted(waves.device, state, guarding.candidate(waves.device, [back], state, RENDERER))
        assert f"acl_pacs-{number}" not in state.sections
    assert (names(state), state.foreign) == ([], waves.states[0].foreign)


def test_a_wave_fits_only_what_the_waves_before_it_leave(waves: Waves) -> None:
    second = waves.candidates[1]
    with pytest.raises(DriftError, match="section acl_pacs-1 of the guard: 4 entries then, no section now"):
        guarding.check_base(waves.device, second, waves.running, lambda: waves.states[1])
    assert guarding.drifted_sections(waves.device, second, waves.running) == ("acl_pacs-1",)


def test_another_change_on_the_device_is_no_drift_outside_the_guard(waves: Waves) -> None:
    """Two plans that were made beforehand: the second one finds the first one's section."""
    alone = guarding.candidate(
        waves.device, guarding.sections(waves.device, [intent(2)], waves.running), waves.running, RENDERER
    )
    text = running_with(waves, 1)
    assert guarding.drifted_sections(waves.device, alone, text) == ("acl_pacs-1",)
    anew = guarding.refitted(waves.device, alone, text, RENDERER)
    assert anew is not None and anew.sections == alone.sections
    again = guarding.predicted(waves.device, text, anew)
    assert names(again) == ["acl_pacs-1", "acl_pacs-2"]


def test_a_section_that_is_no_longer_what_it_was_is_not_made_anew(waves: Waves) -> None:
    assert guarding.refitted(waves.device, waves.candidates[0], running_with(waves, 1), RENDERER) is None


def test_a_neighbours_section_that_is_lost_is_seen_after_the_push_and_after_taking_back(waves: Waves) -> None:
    before = running_with(waves, 1)
    second = guarding.candidate(waves.device, guarding.sections(waves.device, [intent(2)], before), before, RENDERER)
    with pytest.raises(DriftError, match="acl_pacs-1 of the guard is not what was simulated"):
        guarding.check_applied(waves.device, second, running_with(waves, 2), before)
    assert guarding.check_restored(waves.device, second, waves.running, before).lost == ("acl_pacs-1",)
    with pytest.raises(DriftError, match="has changed other sections of the guard: acl_pacs-1"):
        guarding.check_neighbours(waves.device, second, before, waves.running)
    assert guarding.check_restored(waves.device, second, before, before) == guarding.Since()
    guarding.check_neighbours(waves.device, second, before, before)


def test_what_another_change_has_made_meanwhile_is_no_part_of_taking_ours_back(waves: Waves) -> None:
    """A second record's change came between our look and our push, which was refused: nothing of that is undone."""
    ours = guarding.candidate(
        waves.device, guarding.sections(waves.device, [intent(2)], waves.running), waves.running, RENDERER
    )
    since = guarding.check_restored(waves.device, ours, running_with(waves, 1), waves.running)
    assert (since.lost, since.more) == ((), "  section acl_pacs-1 of the guard is there now")
    with pytest.raises(DriftError, match="not as before: acl_pacs-2"):
        guarding.check_restored(waves.device, ours, running_with(waves, 2), waves.running)
    settled = guarding.check_restored(waves.device, ours, running_with(waves, 2), waves.running, settled=True)
    assert settled.more == "  section acl_pacs-2 of the guard is another change's now, or a person's"


def test_the_next_start_must_load_every_section_that_is_in_force(waves: Waves) -> None:
    running = running_with(waves, 1)
    guarding.check_at_boot(waves.device, running, running)
    with pytest.raises(DriftError, match="no section at the next start, 4 entries expected"):
        guarding.check_at_boot(waves.device, waves.running, running)
    with pytest.raises(DriftError, match="4 entries at the next start, no section expected"):
        guarding.check_at_boot(waves.device, running, waves.running)


def running_with(waves: Waves, number: int) -> str:
    """What the device shows with that archive's section in force, and no other."""
    if waves.device.platform == "linux_nftables":
        chain = [line for line in guarding_text(waves, number).splitlines() if line.strip()]
        at = next(n for n, line in enumerate(chain) if line.startswith("flush"))
        rules = [line for line in chain[at:] if line.startswith("\t\t")]
        return (
            f"{waves.running}table inet remediate {{\n\tchain acl_pacs-{number} {{\n"
            "\t\ttype filter hook forward priority -400; policy accept;\n" + "\n".join(rules) + "\n\t}\n}\n"
        )
    return ios_text(waves, number)


def guarding_text(waves: Waves, number: int) -> str:
    sections = guarding.sections(waves.device, [intent(number)], waves.running)
    return guarding.candidate(waves.device, sections, waves.running, RENDERER).text


def ios_text(waves: Waves, number: int) -> str:
    """The lines as they are typed, below the blocks that they are typed into."""
    blocks: dict[str, list[str]] = {}
    head = ""
    for line in [*waves.running.splitlines(), *guarding_text(waves, number).splitlines()]:
        if line and not line.startswith(" "):
            head = line
            blocks.setdefault(head, [])
        elif line.strip():
            blocks[head].append(line)
    return "".join(f"{head}\n" + "".join(f"{line}\n" for line in lines) for head, lines in blocks.items())
