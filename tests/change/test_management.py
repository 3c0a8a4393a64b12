"""A fresh login from every place from which the device must be manageable, before the push and before the confirm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncssh
import pytest
import yaml

from remediate import inventory, platforms
from remediate.change import change, looking
from remediate.errors import (
    AnotherUnit,
    AuthenticationFailed,
    DeviceUnreachable,
    HostKeyError,
    InventoryError,
    VantageError,
)
from remediate.model.change import State, Unit
from remediate.model.outcome import Outcome
from remediate.record import Record
from remediate.vantages import login
from tests.change.fleet import Fleet, fleet
from tests.quiet import Quiet


class Jump(asyncssh.SSHServer):
    """A vantage: opens connections as long as ``opens`` says so."""

    opens = True
    opened = 0

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:  # noqa: ARG002
        if not Jump.opens:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "Connection timed out")
        Jump.opened += 1
        return True


@contextmanager
def jump(folder: Path) -> Iterator[dict[str, object]]:
    """The inventory's host for it; its keys are the ones of the site."""
    folder.mkdir()
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user.write_private_key(folder / "id")
    user.write_public_key(folder / "id.pub")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Jump, server_host_keys=[host], authorized_client_keys=str(folder / "id.pub")
        )

    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result(60)
    key = host.export_public_key().decode().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{acceptor.get_port()} {key[0]} {key[1]}\n")
    try:
        yield {
            "groups": ["vantages"],
            "data": {
                "zone": "inside",
                "via": {"ssh": f"probe@127.0.0.1:{acceptor.get_port()}"},
                "ssh": {"key": str(folder / "id"), "known_hosts": str(folder / "known_hosts")},
            },
        }
    finally:

        async def end() -> None:
            acceptor.close()
            await acceptor.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
    monkeypatch.setattr(Jump, "opens", True)
    monkeypatch.setattr(Jump, "opened", 0)
    with fleet(tmp_path / "fleet", (None,)) as made, jump(tmp_path / "jump") as host:
        hosts = yaml.safe_load((made.inventory / "hosts.yaml").read_text())
        hosts["office"] = host
        hosts["edge-a"]["data"]["management"] = ["local", "office"]
        (made.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        yield made


def run(made: Fleet, file: Path, told: Quiet) -> Outcome:
    loaded, plan = made.planned()
    # The office is there to log in from, not to look from.
    wave = plan.waves[0]
    kept = tuple(one for one in wave.expectations if one.question.vantage != "office")
    wave = wave.model_copy(update={"vantages": ("internet", "clinic-a"), "expectations": kept})
    with Record.open(file) as record, change.desk(loaded, record, told) as desk:
        desk.patience = 2.0
        return change.run(plan.model_copy(update={"waves": (wave,)}), desk)


def test_from_each_place_before_the_push_and_before_the_confirm(site: Fleet, tmp_path: Path) -> None:
    done = run(site, tmp_path / "r.db", Quiet())
    assert (done.exit_status, done.waves[0].state) == (0, State.CONFIRMED)
    assert Jump.opened == 2


def test_a_place_that_cannot_get_there_stops_it_before_the_push(site: Fleet, tmp_path: Path) -> None:
    Jump.opens = False
    done = run(site, tmp_path / "r.db", Quiet())
    assert (done.exit_status, done.waves[0].state) == (3, State.STOPPED)
    assert "edge-a from office: no way to it: Connection timed out" in done.reason


def test_a_place_that_is_locked_out_by_the_push_has_it_taken_back(site: Fleet, tmp_path: Path) -> None:
    class Locks(Quiet):
        def stage(self, wave: int, name: str, detail: str = "") -> None:  # noqa: ARG002 -- the protocol
            if name == "push":
                Jump.opens = False

    done = run(site, tmp_path / "r.db", Locks())
    assert (done.exit_status, done.waves[0].state) == (4, State.ROLLED_BACK)
    assert "no way to it" in done.reason
    assert site.guarded() == {"archive-a": False}


def test_every_way_in_which_it_fails(site: Fleet, tmp_path: Path) -> None:
    found = inventory.load(site.inventory).site
    office, mine = found.vantages["office"], found.logins["edge-a"]
    login.try_login(office, "edge-a", mine)
    unit = platforms.platform("cisco_ios").try_login(found.devices["edge-a"], mine)
    login.try_login(office, "edge-a", mine, unit)
    with pytest.raises(AnotherUnit, match="another host key than that of a unit"):
        login.try_login(office, "edge-a", mine, Unit(key="SHA256:of-the-other-unit"))
    stranger = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(stranger)
    with pytest.raises(AuthenticationFailed, match="does not accept this login"):
        login.try_login(office, "edge-a", mine.model_copy(update={"key": str(stranger)}))
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(HostKeyError, match="another host key than the one that is known"):
        login.try_login(office, "edge-a", mine.model_copy(update={"known_hosts": str(empty)}))
    with pytest.raises(DeviceUnreachable):
        login.try_login(office, "edge-a", mine.model_copy(update={"port": 9}))
    with pytest.raises(VantageError):
        via = office.via.model_copy(update={"port": 9})
        login.try_login(office.model_copy(update={"via": via}), "edge-a", mine)


def test_only_a_vantage_with_an_ssh_server_can_be_such_a_place(site: Fleet) -> None:
    file = site.inventory / "hosts.yaml"
    file.write_text(file.read_text().replace("- office\n", "- internet\n"))
    with pytest.raises(InventoryError) as error:
        inventory.load(site.inventory)
    assert "edge-a: data.management[1]: found 'internet'; allowed: local, and vantages with via: {ssh: ...}" in str(
        error.value
    )
