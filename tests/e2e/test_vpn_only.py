"""``vpn_only`` on the real site: from outside only readers, through OpenVPN or WireGuard; from inside as before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediate.lab import real
from remediate.lab.real import hosts, vpn
from remediate.model.verdict import Verdict
from tests.conftest import Lab
from tests.e2e.conftest import User, killed_at, verify
from tests.e2e.test_spine import has_guard, left_on_device, retrieve, ruleset, rungs, without_ours

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

LAYOUT = real.Layout(vpn=True)
_ASK = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 3, (sys.argv[3], 0))
"""
OUTSIDE = ("internet", "roadside")


@dataclass
class VpnUser(User):
    def run(self, *more: str, revert_in: int = 300) -> list[str]:
        words = super().run(*more, revert_in=revert_in)
        words[1] = str(self.site.playbook.with_name(vpn.PLAYBOOK))
        return words


@pytest.fixture
def user(lab: Lab, tmp_path: Path) -> Iterator[VpnUser]:
    site = lab.site(LAYOUT)
    site.reset()
    vpn.through(site, LAYOUT.openvpn_interface)
    made = VpnUser(site, tmp_path)
    yield made
    made.end()


def test_the_whole_loop(user: VpnUser) -> None:
    site = user.site
    before = ruleset(site)
    exposed = user.verify()
    assert exposed.status == 1
    assert all(rungs(exposed.json, name) & {"query answered", "data returned"} for name in (*OUTSIDE, "remote"))

    done = user.do(*user.run())
    assert done.status == 0, done.err
    after = user.verify()
    assert after.status == 0, after.out
    assert [rungs(after.json, name) for name in OUTSIDE] == [{"filtered"}] * 2
    assert "query answered" in rungs(after.json, "remote") | rungs(after.json, "clinic")
    assert retrieve(site) > 0, "the archive still opens associations back to the clinic"
    now = ruleset(site)
    assert (without_ours(now[0]), now[1]) == (without_ours(before[0]), before[1])

    # From the same host, to the archive's own address, but past the VPN: that of the readers' own address is no key.
    vpn.without(site)
    assert not site.web_answers("remote")
    shut = user.verify()
    assert shut.status == 1 and rungs(shut.json, "remote") == {"filtered"}
    vpn.through(site, LAYOUT.openvpn_interface)

    again = user.do(*user.run())
    assert again.status == 0
    assert [wave["state"] for wave in again.json["waves"]] == ["unchanged"]
    assert ruleset(site) == now

    first = user.do("record", "list", "--format", "json").json[0]["change"]
    back = user.do("rollback", first, "--format", "json")
    assert back.status == 0, back.err
    assert ruleset(site) == before
    assert left_on_device(site) == ""
    assert user.verify().status == 1


def test_through_the_other_tunnel(user: VpnUser) -> None:
    (tunnel,) = set(LAYOUT.tunnels) - {LAYOUT.openvpn_interface}
    vpn.through(user.site, tunnel)
    done = user.do(*user.run())
    assert done.status == 0, done.err
    after = user.verify()
    assert after.status == 0, after.out
    assert [rungs(after.json, name) for name in OUTSIDE] == [{"filtered"}] * 2
    assert "query answered" in rungs(after.json, "remote")
    vpn.without(user.site)
    assert not user.site.web_answers("remote")


def test_the_lab_says_how_its_tunnels_are_and_mends_them(user: VpnUser) -> None:
    site = user.site
    assert real.status(site.folder).sound
    site.must("fw", ["pkill", "-x", "openvpn"])
    hosts.until(lambda: not real.status(site.folder).sound, what="its end")
    assert {part.name for part in real.status(site.folder).parts if not part.runs} == {"openvpn of fw"}
    site.reset()
    assert real.status(site.folder).sound
    vpn.through(site, site.layout.openvpn_interface)


def test_a_stranger_in_the_vpn_is_shut_out_too(user: VpnUser) -> None:
    """In the tunnel, but under an address that is no peer's."""
    site, i = user.site, user.site.layout
    stranger = "192.0.2.77"
    at_fw, _ = i.tunnel_ends(i.openvpn_interface)
    site.must("remote", ["ip", "address", "add", f"{stranger}/32", "dev", "lo"])
    site.must("fw", ["ip", "route", "add", stranger, "via", str(at_fw + 1), "dev", i.openvpn_interface])
    try:
        ask = ["python3", "-c", _ASK, str(i.pacs), str(i.web_port), stranger]
        assert not site.exec("remote", ask).returncode, "before the change"
        assert user.do(*user.run()).status == 0
        assert "TimeoutError" in site.exec("remote", ask).stderr
        assert site.web_answers("remote"), "under the reader's own address"
    finally:
        site.must("fw", ["ip", "route", "delete", stranger])
        site.must("remote", ["ip", "address", "delete", f"{stranger}/32", "dev", "lo"])


@pytest.mark.parametrize("at", killed_at("all pushed", "device confirmed"))
def test_killed_and_resumed(user: VpnUser, at: str) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run())
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    assert kinds[-1] == "ended"
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert ruleset(user.site) == before
    else:
        assert resumed.status == 0, resumed.err
        assert has_guard(user.site)
        (judged,) = verify(user.site).judgements
        assert judged.verdict is Verdict.PROTECTED
    assert left_on_device(user.site) == ""


def test_a_tunnel_that_comes_down_meanwhile_takes_the_change_back(user: VpnUser) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run(revert_in=40))
    with user.halted("all pushed", process):
        vpn.without(user.site)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 4, err
    assert ruleset(user.site) == before
