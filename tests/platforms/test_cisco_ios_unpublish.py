"""Static translation on a router process: what is open through it, what the router asks, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from remediate.change import guarding
from remediate.errors import CommandRejected, DeviceError
from remediate.model.change import Candidate
from remediate.platforms import ARMED, CONFIRMED, REVERTED, cisco_ios
from remediate.platforms.cisco_ios.config import same
from remediate.platforms.cisco_ios.driver import CiscoIos
from remediate.render import Renderer
from tests.lab_devices.conftest import STARTUP, configure
from tests.lab_devices.echo import Echo, ask
from tests.platforms.ios import EDGE
from tests.platforms.test_cisco_ios_device import TOKEN, Router, Start, pushed, start
from tests.platforms.test_cisco_ios_published import DICOM, LIST, MAIL, OWN, SEEN, intent

__all__ = ["start"]

SPEC = cisco_ios.SPEC
ASKED = "do you want to delete child entries?"
NAT = (
    STARTUP.replace(" no ip unreachables\n", " no ip unreachables\n ip nat outside\n")
    .replace(" description archive\n", " description archive\n ip nat inside\n")
    .replace("ip route", f"{DICOM}\n{MAIL}\nip route", 1)
    .replace("permit tcp any host 10.10.0.5 eq 104", f"permit tcp any host {SEEN} eq 11112")
)


@pytest.fixture
def target() -> Iterator[Echo]:
    one = Echo()
    yield one
    one.close()


def routed(start: Start, target: Echo) -> Router:
    """Its archive is reached through the translation alone."""
    to = "{}:{}".format(*target.address)
    return start("--relay", f"out:Gi0/0:127.0.0.40:0->{to}={OWN}:104@{SEEN}:11112", startup=NAT)


def meant(driver: CiscoIos) -> Candidate:
    running = driver.running_config()
    return guarding.candidate(EDGE, guarding.sections(EDGE, [intent()], running), running, Renderer())


def test_what_is_in_use_ends_and_all_comes_back(start: Start, target: Echo) -> None:
    router = routed(start, target)
    driver, colleague = router.connect(), router.colleague()

    def shown(what: str) -> str:
        return str(colleague.send_command(f"show {what}"))

    before = driver.running_config()
    assert ask(router.process.relay("out"), "127.0.0.66") == "127.0.0.66 hello"
    assert "127.0.0.66:" in shown("ip nat translations")
    candidate = meant(driver)
    pushed(driver, candidate)
    guarding.check_applied(EDGE, candidate, driver.running_config(), before)
    assert ask(router.process.relay("out"), "127.0.0.66") != "127.0.0.66 hello"
    assert f"{SEEN}:11112" not in shown("ip nat translations")
    assert driver.state_of(TOKEN).name == ARMED
    driver.confirm_commit(TOKEN)
    driver.save(TOKEN)
    assert driver.preflight() == ()
    assert DICOM not in shown("startup-config").splitlines()
    assert f"remark removed: {DICOM}" in shown("startup-config")

    driver.rollback(TOKEN, candidate)
    assert driver.state_of(TOKEN).name == REVERTED
    assert ask(router.process.relay("out"), "127.0.0.66") == "127.0.0.66 hello"
    assert SPEC.read(EDGE, driver.running_config()).sections == {}
    lines = shown("running-config").splitlines()
    assert [line for line in lines if line.startswith("ip nat")] == [MAIL, DICOM]
    assert LIST not in "".join(lines)


def test_only_that_question_is_answered_with_yes(start: Start, target: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the line stays, the router says why, and the push is taken back."""
    router = routed(start, target)
    driver = router.connect()
    before = driver.running_config()
    assert ask(router.process.relay("out"), "127.0.0.66") == "127.0.0.66 hello"
    monkeypatch.setattr("remediate.platforms.cisco_ios.terminal._IN_USE", "do you want to reload?")
    with pytest.raises(CommandRejected) as refused:
        pushed(driver, meant(driver))
    assert ASKED in refused.value.words
    assert "static entry in use, cannot remove" in refused.value.words
    assert same(driver.running_config(), before)
    assert driver.pending() is None


def test_a_colleague_who_publishes_it_again_is_not_saved(start: Start, target: Echo) -> None:
    router = routed(start, target)
    driver = router.connect()
    pushed(driver, meant(driver))
    driver.confirm_commit(TOKEN)
    configure(router.colleague(), DICOM)
    with pytest.raises(DeviceError, match="somebody else's unsaved change"):
        driver.save(TOKEN)
    assert driver.state_of(TOKEN).name == CONFIRMED
    (section,) = guarding.sections(EDGE, [intent()], driver.running_config())
    assert section.rules != section.previous, "and the next plan would remove it again"
