"""Whether a candidate does today what it was planned to do, its inverse included. Pure."""

from __future__ import annotations

from remediate.errors import DriftError, RemediateError
from remediate.model.change import Candidate
from remediate.model.device import Device
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.simulate import simulate
from remediate.platforms.cisco_ios.state import state, state_of_text


def check_fits(device: Device, candidate: Candidate, running: str, *, taking_back: bool = False) -> Config:
    """What runs there now. Sequence numbers are lost at a reload: what was planned must do today what it was planned
    to do. ``taking_back``: the candidate is in force there. Raises DriftError.
    """
    now = state_of_text(device, running)
    try:
        config = now.config if taking_back else simulate(now.config, candidate.text)
        after = state(device, config)
        back = state(device, simulate(config, candidate.inverse))
    except RemediateError as error:
        raise DriftError(
            f"what was planned does not fit the device any more: {error.what}", where=device.name, next="plan again"
        ) from error
    fits = all(
        after.sections.get(s.name) == s.rules and back.sections.get(s.name) == s.previous for s in candidate.sections
    )
    if not fits or now.foreign != back.foreign or now.foreign != after.foreign:
        raise DriftError(
            "what was planned, or its inverse, would not do on the device what it was planned to do",
            where=device.name,
            next="see who changed what, then plan again",
        )
    return now.config
