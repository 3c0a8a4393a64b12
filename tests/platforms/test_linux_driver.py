"""The driver against a real Linux firewall over a real SSH server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from remediate import inventory, platforms
from remediate.change import guarding
from remediate.errors import (
    AuthenticationFailed,
    CommandRejected,
    DeviceError,
    DeviceUnreachable,
    HostKeyError,
)
from remediate.lab.real import LabSite
from remediate.model.change import Candidate, Token
from remediate.model.device import Device, Login
from remediate.model.site import Addressing
from remediate.platforms.linux_nftables import SPEC
from remediate.platforms.linux_nftables.driver import LinuxNftables
from remediate.platforms.session import Session
from remediate.render import Renderer

pytestmark = pytest.mark.real

TOKEN = Token("test.1.fw-north")
MINUTE = timedelta(seconds=60)


@pytest.fixture
def access(fresh_site: LabSite) -> tuple[Device, Login]:
    site = inventory.load(fresh_site.inventory).site
    return site.devices["fw-north"], site.logins["fw-north"]


@pytest.fixture
def driver(access: tuple[Device, Login]) -> Iterator[LinuxNftables]:
    made = SPEC.connect(*access)
    yield made
    made.close()


def candidate(site: LabSite, device: Device, running: str) -> Candidate:
    from remediate import controls

    pacs = inventory.load(site.inventory).site.pacs["pacs-north"]
    intent = controls.control("acl").intent(pacs, device, Addressing.REAL)
    return guarding.candidate(device, guarding.sections(device, [intent], running), running, Renderer())


def push(site: LabSite, driver: LinuxNftables, device: Device, revert_in: timedelta = MINUTE) -> Candidate:
    made = candidate(site, device, driver.running_config())
    driver.load_merge_candidate(made, TOKEN)
    driver.commit_config(token=TOKEN, revert_in=revert_in, message="")
    return made


def test_push_confirm_save(fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]) -> None:
    before = driver.running_config()
    made = push(fresh_site, driver, access[0])
    armed = driver.pending()
    assert armed is not None
    assert (armed.token, armed.ours) == (TOKEN, True)
    assert 0 < armed.seconds_left <= 60
    guarding.check_applied(access[0], made, driver.running_config(), before)
    driver.confirm_commit(TOKEN)
    assert driver.pending() is None
    assert driver.state_of(TOKEN).name == platforms.CONFIRMED
    driver.confirm_commit(TOKEN)  # once more says the same
    assert "if-pre-up.d" in driver.save(TOKEN)
    assert "acl_pacs-north" in driver.boot_config()
    driver.forget(TOKEN)
    assert driver.state_of(TOKEN).name == platforms.ABSENT


def test_rolled_back_by_hand_it_cannot_be_confirmed(
    fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]
) -> None:
    before = driver.running_config()
    made = push(fresh_site, driver, access[0])
    driver.rollback(TOKEN, made)
    assert driver.running_config() == before
    assert driver.state_of(TOKEN).name == platforms.REVERTED
    with pytest.raises(DeviceError, match="is reverted, not confirmed"):
        driver.confirm_commit(TOKEN)


def test_the_timer_fires_alone(fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]) -> None:
    before = driver.running_config()
    push(fresh_site, driver, access[0], timedelta(seconds=5))
    until = time.monotonic() + 60
    while driver.state_of(TOKEN).name == platforms.ARMED and time.monotonic() < until:
        time.sleep(0.2)
    assert driver.state_of(TOKEN).name == platforms.REVERTED
    assert driver.running_config() == before


def test_a_timer_that_was_killed_is_noticed(
    fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]
) -> None:
    made = push(fresh_site, driver, access[0])
    fresh_site.must("fw", ["sh", "-c", f"kill -s KILL -- -$(cat /var/lib/remediate/{TOKEN}/deadman.pid)"])
    assert driver.state_of(TOKEN).name == platforms.STUCK
    assert driver.pending() is not None
    driver.rollback(TOKEN, made)
    assert driver.state_of(TOKEN).name == platforms.REVERTED


def test_a_push_is_not_made_twice(fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]) -> None:
    made = push(fresh_site, driver, access[0])
    driver.load_merge_candidate(made, TOKEN)
    with pytest.raises(CommandRejected, match="was made before"):
        driver.commit_config(token=TOKEN, revert_in=MINUTE, message="")
    driver.rollback(TOKEN, made)


@pytest.mark.parametrize("part", ["text", "inverse"])
def test_what_the_device_refuses_is_told_in_its_own_words(
    fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login], part: str
) -> None:
    made = candidate(fresh_site, access[0], driver.running_config())
    broken = made.model_copy(update={part: getattr(made, part) + "add rule inet remediate nowhere drop\n"})
    with pytest.raises(CommandRejected) as refused:
        driver.load_merge_candidate(broken, TOKEN)
    assert "No such file or directory" in refused.value.words
    assert driver.pending() is None
    assert "remediate" not in driver.running_config()


def test_abort_from_another_thread_ends_a_hanging_call(access: tuple[Device, Login]) -> None:
    with Session(access[0], access[1], "terminal_server") as session:
        threading.Timer(0.3, session.abort).start()
        with pytest.raises(DeviceUnreachable, match="aborted by us"):
            session.execute("sleep 3600", timeout=3600)


def test_a_host_key_must_be_known(access: tuple[Device, Login], tmp_path: Path) -> None:
    device, login = access
    empty = tmp_path / "known_hosts"
    empty.touch()
    with pytest.raises(HostKeyError, match="not known"):
        SPEC.connect(device, login.model_copy(update={"known_hosts": str(empty)}))
    with pytest.raises(HostKeyError, match="not known"):
        SPEC.connect(device, login.model_copy(update={"known_hosts": str(tmp_path / "nowhere")}))
    lines = Path(login.known_hosts).read_text().splitlines()
    keys = [line.split() for line in lines]
    own = next(k for k in keys if k[0].strip("[]").startswith(login.host))
    other = next(k for k in keys if k[1] == own[1] and k[2] != own[2])
    empty.write_text(f"{own[0]} {other[1]} {other[2]}\n")
    with pytest.raises(HostKeyError, match="has changed"):
        SPEC.connect(device, login.model_copy(update={"known_hosts": str(empty)}))


def test_a_unit_of_a_pair_is_told_by_more_than_its_key(fresh_site: LabSite, access: tuple[Device, Login]) -> None:
    device, login = access
    alone = SPEC.try_login(device, login)
    assert alone.key.startswith("SHA256:") and (alone.name, alone.serial) == ("", "")
    name, serial = fresh_site.must("fw", ["sh", "-c", "uname -n; cat /etc/machine-id"]).split()
    unit = SPEC.try_login(device.model_copy(update={"ha": (name, "fw-south")}), login)
    assert unit == alone.model_copy(update={"name": name, "serial": serial})


def test_a_login_that_is_refused(access: tuple[Device, Login]) -> None:
    device, login = access
    wrong = login.model_copy(update={"key": None, "password": SecretStr("not-the-password")})
    with pytest.raises(AuthenticationFailed) as refused:
        SPEC.connect(device, wrong)
    assert "not-the-password" not in str(refused.value)


def test_nobody_there(access: tuple[Device, Login]) -> None:
    device, login = access
    with pytest.raises(DeviceUnreachable, match="no session"):
        SPEC.connect(device, login.model_copy(update={"port": 9}))


def test_what_a_device_lacks_is_said(fresh_site: LabSite, access: tuple[Device, Login]) -> None:
    device = access[0].model_copy(update={"guard": access[0].guard.model_copy(update={"interface": ("wan9",)})})
    made = SPEC.connect(device, access[1])
    try:
        (lack,) = made.preflight()
    finally:
        made.close()
    assert "no interface wan9" in lack
    assert "wan" in lack


def test_evidence_of_a_guard_that_is_in_force(
    fresh_site: LabSite, driver: LinuxNftables, access: tuple[Device, Login]
) -> None:
    """Counters of ours, read over SSH as root; whatever the machine's log holds, it may be read."""
    pacs = inventory.load(fresh_site.inventory).site.pacs["pacs-north"]
    addresses = {door.address for how in Addressing for door in pacs.doors(how)}
    ports = [service.port for service in pacs.services]
    before = driver.evidence(addresses, ports)
    assert (before.lacks, [one for one in before.counters if one.ours]) == ((), [])
    push(fresh_site, driver, access[0])
    traces = driver.evidence(addresses, ports)
    ours = [one for one in traces.counters if one.ours]
    assert {one.place for one in ours} == {"inet remediate acl_pacs-north"}
    assert {one.action for one in ours} == {"drop"}
    driver.rollback(TOKEN, candidate(fresh_site, access[0], driver.running_config()))
