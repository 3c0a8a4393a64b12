"""``unpublish`` on the simulated router, which translates real connections: the archive's lines go and come back."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from remediate import inventory
from remediate.lab.embedded.site import EmbeddedSite
from remediate.platforms.cisco_ios.config import MARKER
from remediate.platforms.session import Session
from tests.e2e.conftest import wait_for
from tests.e2e.test_demo import at_prompt
from tests.faults.places import DROPS, ROUTER, Seen, crash, place
from tests.faults.zygote import Point

pytestmark = pytest.mark.timeout(300)

NOTE = "RMD-unpublish_archive"


def unpublishing(site: EmbeddedSite, *more: str) -> EmbeddedSite:
    """Its play applies that, and ``more``."""
    text = site.playbook.read_text()
    others = "".join(f"    - {{name: And that, apply: {name}}}\n" for name in more)
    site.playbook.write_text(text.replace("apply: acl\n", f"apply: unpublish\n{others}"))
    return site


def typed(site: EmbeddedSite, *lines: str) -> None:
    """By a colleague, who saves it."""
    found = inventory.load(site.inventory).site
    with Session(found.devices[ROUTER], found.logins[ROUTER], "cisco_ios") as session:
        session.enable()
        for line in ("configure terminal", *lines, "end", "write memory"):
            said = session.say(line).text
            assert "%" not in said, said


def nat(seen: Seen) -> list[str]:
    return [line for line in seen.running.splitlines() if line.startswith("ip nat inside source")]


def without_marker(text: str) -> str:
    """Which push was the last one stays on the device."""
    return re.sub(rf"ip access-list extended {MARKER}\n( remark .*\n)*", "", text)


def others_line(site: EmbeddedSite) -> str:
    i = site.layout
    return f"ip nat inside source static tcp {i.at(10, 9)} 25 {i.published} 25 extendable"


def reaches(source: str, address: str, port: int) -> socket.socket | None:
    """An open connection, or None where nobody answers."""
    try:
        return socket.create_connection((address, port), timeout=5, source_address=(source, 0))
    except OSError:
        return None


def reached(source: str, address: str, port: int) -> bool:
    made = reaches(source, address, port)
    if made is not None:
        made.close()
    return made is not None


def test_the_whole_loop(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        site, i = at.site, unpublishing(at.site).layout
        typed(site, others_line(site))
        before = at.look()
        assert len(nat(before)) == 3
        plan = at_prompt(tmp_path, "plan", str(site.playbook), "-i", str(site.inventory))
        assert plan.returncode == 0, plan.stderr
        said = " ".join((plan.stdout + plan.stderr).split())
        own = f"ip nat inside source static tcp {i.inside} {i.dicom_port} {i.published} {i.dicom_port} extendable"
        assert f"list {NOTE}: what comes in to {i.published} port {i.dicom_port} is no longer translated: {own}" in said
        assert f"stays as it is: {others_line(site)}" in said

        through = reaches(i.internet, i.published, i.web_port)
        assert through is not None
        with through:
            assert at.zygote.do(at.job("run")).status == 0
            through.settimeout(100)
            with suppress(ConnectionResetError):
                assert through.recv(1) == b"", "what was open through the translation has ended"
        after = at.look()
        assert nat(after) == [others_line(site)], "and only that"
        assert f" remark removed: {own}" in after.running
        assert (after.running, after.pending) == (after.startup, None)
        assert not reached(i.internet, i.published, i.dicom_port)
        assert reached(i.clinic, i.inside, i.dicom_port)

        again = at.zygote.do(at.job("run"))
        assert (again.status, again.writes) == (0, ())
        assert at.look() == after

        assert at.zygote.do(at.job("undo")).status == 0
        restored = at.look()
        assert (without_marker(restored.running), restored.pending) == (without_marker(before.running), None)
        assert restored.startup == restored.running
        assert reached(i.internet, i.published, i.dicom_port)


def test_with_acl_in_the_same_play(tmp_path: Path) -> None:
    """One transaction: in together, and out together."""
    with place(tmp_path) as at:
        unpublishing(at.site, "acl")
        before = at.look()
        assert at.zygote.do(at.job("run")).status == 0
        after = at.look()
        assert nat(after) == [] and "remark remediate guard acl_archive" in after.running
        assert at.zygote.do(at.job("undo")).status == 0
        assert without_marker(at.look().running) == without_marker(before.running)


@pytest.mark.parametrize("misbehave", [DROPS, "keeps-publishing"])
def test_what_does_not_do_what_was_meant_is_taken_back_by_the_device(tmp_path: Path, misbehave: str) -> None:
    """The clinic is cut off, or the outside still gets in though the line is gone."""
    with place(tmp_path, misbehave=misbehave) as at:
        unpublishing(at.site)
        before = at.look()
        assert at.zygote.do(at.job("run")).status == 4
        assert at.look() == before


#: At the entries on both sides of each thing that is done on the device, and where one of two lines is gone.
FEW = (
    Point(at="entry", number=6, how="durable"),
    Point(at="entry", number=12, how="durable"),
    Point(at="write", words="no ip nat inside", how="answered"),
)
ALL = (
    *(Point(at="entry", number=number, how="durable") for number in range(1, 15)),
    *(
        Point(at="write", words=words, how=how)
        for words in (f"ip access-list extended {NOTE}", "remark removed", "no ip nat inside")
        for how in ("half", "sent", "answered")
    ),
)


@pytest.mark.parametrize(
    "point",
    ALL if os.environ.get("REMEDIATE_FAULTS") == "all" else FEW,
    ids=lambda point: f"{point.at} {point.words or point.number} {point.how}",
)
def test_killed_and_resumed(tmp_path: Path, point: Point) -> None:
    with place(tmp_path) as at:
        unpublishing(at.site)
        before = at.look()
        done = crash(at, "run", point=point)
        assert done.first.killed
        assert done.broken == ()
        after = at.look()
        assert (len(nat(after)), NOTE in after.running) in ((0, True), (2, False)), "all of it, or nothing"
        if done.end != "confirmed":
            assert after.running == before.running


def test_nobody_comes_back_and_the_device_takes_it_back_itself(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        unpublishing(at.site)
        before, i = at.look(), at.site.layout
        ended = at.zygote.do(at.job("run", point=Point(at="entry", number=8, how="durable")))
        assert ended.killed
        assert nat(at.look()) == [] and at.look().pending is not None
        wait_for(lambda: at.look().pending is None)
        assert at.look() == before
        assert reached(i.internet, i.published, i.dicom_port)
