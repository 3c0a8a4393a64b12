"""A device that cannot be reached while a change is taken back: it is asked again and again, and that is told once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.change import change, devices
from remediate.change.devices import Devices, Progress
from remediate.errors import DeviceUnreachable
from remediate.model.change import Token
from remediate.record import Record
from tests.faults.places import ROUTER
from tests.faults.sites import Site, standing_site
from tests.quiet import Quiet


class Tells(Quiet):
    def __init__(self) -> None:
        self.failed: list[str] = []
        self.notes: list[str] = []

    def device(self, name: str, what: str, done: int, devices: int, *, seconds: float, failed: str) -> None:  # noqa: ARG002
        if failed:
            self.failed.append(what)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with standing_site(tmp_path) as standing:
        yield standing


def test_what_fails_again_and_again_is_told_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "TIMER_SLACK", 5.0)
    loaded, plan = site.plan()
    router = site.process("devices.cisco_ios")
    os.kill(router, signal.SIGKILL)
    os.waitid(os.P_PID, router, os.WEXITED | os.WNOWAIT)
    (wave,) = plan.waves
    tried: list[bool] = []
    watch = Tells()
    with Record.open(site.record) as record, change.desk(loaded, record, watch) as desk:
        means = change._means(desk, record.begin("a-change", data={}), plan)
        over = Progress(tokens={ROUTER: Token("a-change.1.edge-router")})
        of_wave = Devices(wave.model_copy(update={"revert_in": wave.revert_in * 0}), means, over)
        undo_now = of_wave._undo_now

        def counted(name: str, *, told: bool = True) -> None:
            tried.append(told)
            undo_now(name, told=told)

        monkeypatch.setattr(of_wave, "_undo_now", counted)
        with pytest.raises(DeviceUnreachable):
            of_wave.undo(ROUTER)
    assert len(tried) > 2
    assert watch.failed == ["read back"]
    (note,) = watch.notes
    assert "no session with the device" in note and "when its own timer must have ended" in note
