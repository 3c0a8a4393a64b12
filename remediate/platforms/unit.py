"""Which unit of a pair a session speaks to."""

from __future__ import annotations

import re

from remediate.errors import AnotherUnit
from remediate.model.change import Unit
from remediate.model.device import Device
from remediate.platforms.session import Session

_IOS_SERIAL = re.compile(r"^Processor board ID (\S+)", re.MULTILINE)


def of_ios(session: Session) -> Unit:
    if not session.device.ha:
        return Unit(key=session.host_key)
    shown = session.say("show version").text
    return Unit(key=session.host_key, name=session.prompt_name, serial=" ".join(_IOS_SERIAL.findall(shown)))


def of_linux(session: Session) -> Unit:
    if not session.device.ha:
        return Unit(key=session.host_key)
    name, _, serial = session.execute("uname -n; cat /etc/machine-id").out.partition("\n")
    return Unit(key=session.host_key, name=name.strip(), serial=serial.strip())


def stranger(device: Device, unit: Unit) -> tuple[str, ...]:
    """For a preflight: a unit that is none of the device's."""
    if not device.ha or unit.name in device.ha:
        return ()
    return (f"the unit that answers calls itself {unit.name!r}, and ha has {', '.join(device.ha)}",)


def check(device: str, expected: Unit | None, now: Unit) -> None:
    """Raises AnotherUnit. ``expected``: who answered before the push; None: nobody did yet."""
    if expected is not None and (expected.key, expected.serial) != (now.key, now.serial):
        other(device, expected, now.words)


def other(device: str, expected: Unit, words: str) -> None:
    """Raises AnotherUnit."""
    raise AnotherUnit(
        f"another unit answers: {words}; the change was begun on {expected.words}",
        where=device,
        next=f"nothing was done on the one that answers; log in to {expected.name or 'the other one'} under an address "
        "of its own, and see that its timer has taken the change back; once it answers here again: remediate resume",
    )
