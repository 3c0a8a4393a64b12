"""Another site: other networks, interfaces and ports, and an inventory that somebody wrote by hand."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
import yaml

from remediate.lab import real
from tests.e2e.conftest import User

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

OTHER = real.Layout(
    wan_network=IPv4Network("198.51.100.0/25"),
    internet=IPv4Address("198.51.100.77"),
    fw_wan=IPv4Address("198.51.100.2"),
    published=IPv4Address("198.51.100.99"),
    clinic_network=IPv4Network("172.20.0.0/16"),
    clinic=IPv4Address("172.20.3.4"),
    fw_clinic=IPv4Address("172.20.0.1"),
    dmz_network=IPv4Network("192.168.50.0/24"),
    pacs=IPv4Address("192.168.50.9"),
    fw_dmz=IPv4Address("192.168.50.1"),
    management=IPv4Network("10.77.0.0/16"),
    wan_interface="uplink0",
    clinic_interface="lan.20",
    dmz_interface="srv",
    management_interface="oob",
    ae_title="ARCHIV_2",
    clinic_ae_title="MR 1.5T",
    dicom_port=11112,
    web_port=8080,
    outside_dicom_port=4242,
    outside_web_port=8443,
    listen_port=6104,
    canary_port=7,
)


def inventory(site: real.LabSite, folder: Path) -> Path:
    i = site.layout
    hosts = {
        "fw.2": {
            "hostname": i.management_address("fw"),
            "username": "root",
            "platform": "linux_nftables",
            "groups": ["firewalls", "basel"],
            "data": {"guard": {"interface": [i.wan_interface]}},
        },
        "Archiv_2": {
            "groups": ["basel_pacs"],
            "data": {
                "ae_title": i.ae_title,
                "addresses": {
                    "inside": [str(i.pacs)],
                    "outside": [
                        {
                            "address": str(i.published),
                            "ports": {i.dicom_port: i.outside_dicom_port, i.web_port: i.outside_web_port},
                        }
                    ],
                },
                "services": [{"kind": "web", "port": i.web_port}, {"kind": "dicom", "port": i.dicom_port}],
                "protected_by": ["fw.2"],
                "access": {
                    "peers": [
                        {"name": "ward", "network": str(i.clinic_network), "roles": ["web"]},
                        {"name": "mr", "address": str(i.clinic), "ae_title": i.clinic_ae_title, "roles": ["query"]},
                        {"name": "partner", "network": "192.0.2.0/28", "ae_title": "PARTNER", "roles": ["store"]},
                    ],
                    "destinations": [{"name": "vna", "address": "192.0.2.200", "port": 104}],
                },
            },
        },
        "world": {
            "groups": ["vantages"],
            "data": {
                "zone": "outside",
                "via": {"ssh": f"root@{i.management_address('internet')}"},
                "canaries": [{"address": str(i.fw_wan), "port": i.canary_port}],
            },
        },
        "mr-room": {
            "groups": ["vantages"],
            "data": {"zone": "inside", "peer": "mr", "via": {"ssh": f"root@{i.management_address('clinic')}"}},
        },
        "ward-pc": {
            "groups": ["vantages"],
            "data": {"zone": "inside", "via": {"ssh": f"root@{i.management_address('clinic')}"}},
        },
    }
    written = folder / "site"
    written.mkdir()
    (written / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    (written / "groups.yaml").write_text("basel: {}\nbasel_pacs: {groups: [pacs, basel]}\n")
    keys = {"key": str(site.key), "known_hosts": str(site.known_hosts)}
    (written / "defaults.yaml").write_text(yaml.safe_dump({"data": {"ssh": keys}}))
    play = "{name: close, hosts: basel, accept: [ward, partner], tasks: [{name: close it, apply: acl}]}"
    (folder / "close.yaml").write_text(f"- {play}\n")
    return written


def test_it_is_closed_there_too(own_lab: Path, tmp_path: Path) -> None:
    site = real.up(own_lab, say=print, layout=OTHER)
    user = User(site, tmp_path)
    where = ["-i", str(inventory(site, tmp_path))]
    assert user.do("inventory", "check", *where).status == 0
    assert user.do("verify", *where).status == 1
    done = user.do("run", "close.yaml", *where, "--diff", "--format", "json")
    assert done.status == 0, done.err
    assert "192.0.2.0/28" in done.err, "a partner outside stays permitted"
    after = user.do("verify", *where, "--format", "json")
    assert after.status == 0, after.out
    assert {view["vantage"] for one in after.json["pacs"] for view in one["views"]} == {"world", "mr-room", "ward-pc"}
    assert user.do("run", "close.yaml", *where, "--format", "json").json["waves"][0]["state"] == "unchanged"
    change = user.do("record", "list", "--format", "json").json[0]["change"]
    assert user.do("rollback", change).status == 0
    assert user.do("verify", *where).status == 1
