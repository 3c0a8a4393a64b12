"""Exit statuses: of a wave, of verdicts alone, and which one holds where there are several."""

from __future__ import annotations

from remediate import errors
from remediate.change.wave import WaveRun
from remediate.model.change import State
from remediate.model.verdict import Judgement, Verdict


def status_of_wave(state: State, made: WaveRun) -> int:
    if state is State.NEEDS_HANDS:
        return errors.EXIT_NEEDS_HANDS
    if state is State.ROLLED_BACK:
        return errors.EXIT_ROLLED_BACK
    if state is State.STOPPED:
        return made.reason.exit_status if made.reason else errors.EXIT_INCONCLUSIVE
    if state is State.CONFIRMED and made.reason is not None:  # and no longer seen to be so
        return made.reason.exit_status
    if made.wave.reopens or state is State.CONFIRMED:  # which is reached only past the gate
        return errors.EXIT_OK
    return status_of(made.judgements)


def status_of(judgements: tuple[Judgement, ...] | list[Judgement]) -> int:
    """The exit status of verdicts alone: nothing judged is not a pass."""
    if not judgements:
        return errors.EXIT_INCONCLUSIVE
    meaning = {
        Verdict.PROTECTED: errors.EXIT_OK,
        Verdict.EXPOSED: errors.EXIT_EXPOSED,
        Verdict.CARE_PATH_BROKEN: errors.EXIT_EXPOSED,
        Verdict.INCONCLUSIVE: errors.EXIT_INCONCLUSIVE,
    }
    status = errors.EXIT_OK
    for judgement in judgements:
        status = worst(status, meaning[judgement.verdict])
    return status


def worst(*statuses: int) -> int:
    """Where several hold: 5, 4, then an interruption, a mistake, 1, 3."""
    order = (
        errors.EXIT_NEEDS_HANDS,
        errors.EXIT_ROLLED_BACK,
        errors.EXIT_INTERRUPTED,
        errors.EXIT_USAGE,
        errors.EXIT_EXPOSED,
        errors.EXIT_INCONCLUSIVE,
        errors.EXIT_OK,
    )
    return min(statuses, key=order.index)
