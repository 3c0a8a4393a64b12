"""The sibling interface on Linux, as iproute2 describes real ones in a namespace of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from remediate.platforms.linux_nftables import siblings

#: A namespace that is gone with the shell; not every kernel can have VLANs in it.
MAKE = """
set -e
ip link set lo up
for port in up1 up2 up3 down1; do ip link add $port type veth peer name p-$port; done
for port in up1 up2 up3; do ip link set $port up; done
ip address add 203.0.113.1/24 dev up1
ip link add br0 type bridge && ip link set up2 master br0 && ip link set br0 up
ip address add 198.51.100.1/24 dev br0
"""


@pytest.fixture(scope="module")
def facts() -> list[str]:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs root, unshare and iproute2")
    script = MAKE + siblings.FACTS
    done = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this kernel makes no such interfaces: {done.stderr.strip()}")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("up2", "is a member of the bridge br0, .* name br0 in its place"),
        ("down1", "is down, .* correct guard.interface"),
    ],
)
def test_a_wrong_one(facts: list[str], name: str, said: str) -> None:
    assert re.search(said, siblings.wrong(*siblings.read(facts), name, "guard.interface"))


@pytest.mark.parametrize("name", ["up1", "br0", "up3", "not-there"])
def test_a_right_one(facts: list[str], name: str) -> None:
    assert siblings.wrong(*siblings.read(facts), name, "guard.interface") == ""


def test_a_tunnel_may_be_down(facts: list[str]) -> None:
    """Nobody has dialled in yet."""
    assert siblings.wrong(*siblings.read(facts), "down1", "guard.vpn") == ""


#: As iproute2 6.1 prints them.
OTHERS = """\
link=eth0: <BROADCAST,MULTICAST,SLAVE,UP,LOWER_UP> mtu 1500 qdisc mq master bond0 state UP mode DEFAULT group default \
qlen 1000\\    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0 \\    bond_slave state ACTIVE
link=bond0: <BROADCAST,MULTICAST,MASTER,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default \
qlen 1000\\    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0 \\    bond mode 802.3ad miimon 100
link=eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
link=ppp0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1492 qdisc fq_codel state UNKNOWN mode DEFAULT group default
link=eth2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq master blue state UP mode DEFAULT group default
link=blue: <NOARP,MASTER,UP,LOWER_UP> mtu 65575 qdisc noqueue state UP mode DEFAULT group default\\    vrf table 10
link=eth3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
link=eth3.100@eth3: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default \
qlen 1000\\    link/ether 02:00:00:00:00:03 brd ff:ff:ff:ff:ff:ff \\    vlan protocol 802.1Q id 100 <REORDER_HDR>
link=eth4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
link=eth4.7@eth4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default \
qlen 1000\\    link/ether 02:00:00:00:00:04 brd ff:ff:ff:ff:ff:ff \\    vlan protocol 802.1ad id 7 <REORDER_HDR>
address=bond0
address=ppp0
address=eth2
address=eth3.100
address=eth4
address=eth4.7
""".splitlines()


def test_a_bond_a_dialled_line_and_vlans() -> None:
    links, addressed = siblings.read(OTHERS)
    assert "name bond0 in its place" in siblings.wrong(links, addressed, "eth0", "guard.interface")
    assert "name ppp0 in its place" in siblings.wrong(links, addressed, "eth1", "guard.interface")
    assert "outer one of eth3.100 in its place" in siblings.wrong(links, addressed, "eth3", "guard.interface")
    for right in ("bond0", "ppp0", "eth2", "eth3.100", "eth4", "eth4.7"):
        assert siblings.wrong(links, addressed, right, "guard.interface") == ""
