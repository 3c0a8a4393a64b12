"""A real site of six archives behind two firewalls: each host its own, each way works, a trouble hits one of them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from remediate import platforms
from remediate.errors import UsageError
from remediate.inventory import load
from remediate.lab.real import LabSite, Layout, hosts, status
from remediate.lab.real.layout import PLACES
from tests.conftest import Lab

pytestmark = pytest.mark.real

SIX = Layout(archive_count=6, firewall_count=2)
#: As the driver's own table, as far as these tests go: in memory until somebody saves it.
GUARD = "table inet remediate {{ chain c {{ type filter hook forward priority -300; ip daddr {} drop; }}; }}"


@pytest.fixture
def site(lab: Lab) -> Iterator[LabSite]:
    site = lab.site(SIX)
    site.reset()
    yield site
    site.stop_sabotage()


def served(site: LabSite, role: str) -> set[str]:
    """The archives that answer a C-ECHO from there."""
    return {archive.name for archive in site.layout.archives if site.dicom_answers(role, archive, seconds=2)}


NAMES = ["pacs-north", "pacs-north-2", "pacs-north-3", "pacs-south", "pacs-south-2", "pacs-south-3"]


def test_everybody_reaches_every_archive(site: LabSite) -> None:
    assert [archive.name for archive in site.layout.archives] == NAMES
    assert served(site, "internet") == served(site, "clinic") == set(NAMES)
    assert status(site.folder).sound
    for archive in site.layout.archives:
        assert site.dicom_answers(archive.role, archive)
    assert site.web_answers("internet", of="pacs4"), "the first one behind each firewall is an Orthanc"


def test_what_is_written(site: LabSite) -> None:
    described = load(site.inventory, platforms=set(platforms.PLATFORMS)).site
    assert list(described.pacs) == NAMES
    assert {name: pacs.protected_by for name, pacs in described.pacs.items()} == {
        name: ("fw-north",) if "north" in name else ("fw-south",) for name in NAMES
    }
    logins = [login.host for login in described.logins.values()]
    assert len(logins) == len(set(logins)) == len(SIX.managed) - 2, "but for the two vantages"


def test_each_host_is_one_of_its_own(site: LabSite) -> None:
    show = ["cat", "/etc/machine-id", "/proc/sys/kernel/random/boot_id", "/etc/remediate-lab/host_key"]
    shown = {role: site.must(role, show) for role in SIX.roles}
    assert len(set(shown.values())) == len(SIX.roles)
    site.must("fw", ["sh", "-ec", "mkdir /var/lib/remediate /etc/remediate; : >/etc/network/if-pre-up.d/mine"])
    for path in ("/var/lib/remediate", "/etc/remediate", "/etc/network/if-pre-up.d/mine"):
        assert site.exec("fw2", ["test", "-e", path]).returncode == 1
    site.must("fw", ["rm", "/etc/network/if-pre-up.d/mine"])


def test_a_guard_that_nothing_loads_is_gone_after_a_restart(site: LabSite) -> None:
    """And one that ifupdown's hook loads is there again; the other firewall and its guard do not notice."""
    north, south = site.layout.archives[0], site.layout.archives[3]
    for archive in (north, south):
        site.must(archive.firewall.role, ["nft", "-f", "-"], input=GUARD.format(archive.address))
    assert served(site, "internet") == set(NAMES) - {north.name, south.name}
    boot = site.must("fw", ["cat", "/proc/sys/kernel/random/boot_id"])
    site.must(
        "fw", ["sh", "-ec", "setsid -f sh -c 'sleep 600; : >/var/lib/went-off' >/dev/null 2>&1; : >/run/volatile"]
    )
    site.restart_firewall("fw")
    assert site.must("fw", ["cat", "/proc/sys/kernel/random/boot_id"]) != boot
    assert site.exec("fw", ["pgrep", "-f", "went-off"]).returncode == 1
    assert site.exec("fw", ["ls", "/var/lib/went-off", "/run/volatile"]).returncode
    assert served(site, "internet") == set(NAMES) - {south.name}
    assert served(site, "clinic") == set(NAMES) - {south.name}, "the test's guard drops everybody"

    site.must("fw", ["tee", "/etc/guard.nft"], input=GUARD.format(north.address))
    hook = "printf '#!/bin/sh\\nnft delete table inet remediate 2>/dev/null\\nexec nft -f /etc/guard.nft\\n'"
    file = "/etc/network/if-pre-up.d/remediate-guard-test"
    site.must("fw", ["sh", "-ec", f"{hook} >{file}; chmod 755 {file}"])
    site.restart_firewall("fw")
    assert served(site, "internet") == set(NAMES) - {north.name, south.name}
    assert status(site.folder).sound
    site.must("fw", ["rm", "/etc/guard.nft"])
    site.reset()
    assert served(site, "internet") == set(NAMES)


def test_sabotage_of_one_archive_waits_for_its_own_guard(site: LabSite) -> None:
    first, second = site.layout.archives[4:6]
    site.sabotage(second)
    site.must("fw2", ["nft", "-f", "-"], input="table inet remediate {}\n")
    rule = "add chain inet remediate c; add rule inet remediate c ip daddr {}"
    site.must("fw2", ["nft", "-f", "-"], input=rule.format(first.address))
    assert site.dicom_answers("clinic", second)
    site.must("fw2", ["nft", "-f", "-"], input=rule.format(second.address))
    hosts.until(lambda: not site.dicom_answers("clinic", second, seconds=1), what="the trouble")
    assert site.dicom_answers("clinic", first) and site.dicom_answers("internet", second)
    site.must("fw2", ["nft", "delete", "table", "inet", "remediate"])
    hosts.until(lambda: site.dicom_answers("clinic", second, seconds=1), what="its end")


@pytest.mark.parametrize("vpn", [False, True])
@pytest.mark.parametrize("archives", [1, 2, 7, 40])
def test_every_address_is_one_hosts(archives: int, vpn: bool) -> None:
    for firewalls in range(1, 1 if vpn else min(archives, len(PLACES)) + 1):
        layout = Layout(archive_count=archives, firewall_count=firewalls, vpn=vpn)
        assert len(layout.archives) == archives
        assert {a.firewall for a in layout.archives} == set(layout.firewalls)
        for values in (
            [a.published for a in layout.archives],
            [a.address for a in layout.archives],
            [layout.management_link(role).name for role in layout.roles],
            [a.name for a in layout.archives],
        ):
            assert len(values) == len(set(values))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"archive_count": 41}, "40 at most"),
        ({"archive_count": 1, "firewall_count": 2}, "an archive for each firewall at least"),
        ({"archive_count": 9, "firewall_count": 5}, "1 to 4 firewalls"),
        ({"archive_count": 0}, "an archive for each firewall at least"),
        ({"archive_count": 2, "firewall_count": 2, "vpn": True}, "VPNs end at one firewall"),
        ({"archive_count": 2, "internet": IPv4Address("203.0.113.21")}, "two hosts would have 203.0.113.21"),
        ({"firewall_count": 2, "archive_count": 2, "management": IPv4Network("10.10.0.0/16")}, "10.10.1.0/24 overlaps"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said(counts: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Layout(**counts)  # type: ignore[arg-type]  # several types, each its field's
