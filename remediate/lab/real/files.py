"""What is written for the lab: the hosts' own configurations, and an inventory and a playbook to start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from remediate.lab.real.layout import Layout

DICOMWEB_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
#: Where the lab's own files are in every host.
ETC: Final = "/etc/remediate-lab"
RULES_V4: Final = "/etc/iptables/rules.v4"
#: Nobody answers names in the lab, and nobody is to wait for that (Orthanc's QIDO-RS did, 10 s each time).
RESOLV_CONF: Final = "options timeout:1 attempts:1\n"


def nftables_conf(layout: Layout) -> str:
    """The firewall's native rules, as somebody wrote them who published the archive once."""
    i = layout
    tunnels = "".join(f'        iifname "{one}" oifname "{i.dmz_interface}" accept\n' for one in i.tunnels)
    return f"""#!/usr/sbin/nft -f
flush ruleset

table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr {i.published} tcp dport {i.outside_dicom_port} dnat to {i.pacs}:{i.dicom_port}
        ip daddr {i.published} tcp dport {i.outside_web_port} dnat to {i.pacs}:{i.web_port}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {i.dmz_network} oifname "{i.wan_interface}" masquerade
    }}
}}

table inet filter {{
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "{i.wan_interface}" ip daddr {i.pacs} tcp dport {{ {i.dicom_port}, {i.web_port} }} accept
        iifname "{i.clinic_interface}" oifname "{i.dmz_interface}" accept
        iifname "{i.dmz_interface}" oifname "{i.clinic_interface}" accept
        iifname "{i.dmz_interface}" oifname "{i.wan_interface}" accept
{tunnels}    }}
}}
"""


def rules_v4(layout: Layout) -> str:
    """Rules of iptables-nft beside them: with these matches in it, a dump of the whole ruleset does not load again."""
    return f"""*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i {layout.wan_interface} -p tcp --dport 22 -m recent --name ssh --set
-A INPUT -i {layout.wan_interface} -p tcp --dport 22 -m recent --name ssh --update --seconds 60 --hitcount 4 -j DROP
-A FORWARD -i {layout.wan_interface} -p tcp -m string --algo bm --string "${{jndi:" -j DROP
COMMIT
"""


def sshd_config(layout: Layout, role: str) -> str:
    forwarding = "no" if role == "fw" else "yes"
    return f"""Port 22
ListenAddress {layout.management_address(role)}
HostKey {ETC}/host_key
AuthorizedKeysFile {ETC}/authorized_keys
PidFile {ETC}/sshd.pid
PermitRootLogin prohibit-password
AuthenticationMethods publickey
UsePAM no
UseDNS no
MaxStartups 1000:30:2000
MaxSessions 1000
AllowTcpForwarding {forwarding}
PermitTunnel no
X11Forwarding no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
LogLevel VERBOSE
"""


def orthanc_json(layout: Layout) -> str:
    """An archive with everything open: what the lab is there to close."""
    settings: dict[str, Any] = {
        "Name": "LAB",
        "StorageDirectory": "/var/lib/remediate-lab",
        "IndexDirectory": "/var/lib/remediate-lab",
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpPort": layout.web_port,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "DicomAet": layout.ae_title,
        "DicomPort": layout.dicom_port,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {"clinic": [layout.clinic_ae_title, str(layout.clinic), layout.listen_port]},
    }
    return json.dumps(settings, indent=2) + "\n"


#: As an init script would do it: the old one must have ended, or the new one finds its database locked.
RESTART_ORTHANC: Final = f"""#!/bin/sh
pkill -x Orthanc
while pgrep -x Orthanc >/dev/null; do sleep 0.05; done
setsid --fork Orthanc {ETC}/orthanc.json </dev/null >>/var/log/orthanc.log 2>&1
"""


def etc_hosts(layout: Layout) -> str:
    i = layout
    return f"127.0.0.1 localhost\n{i.internet} internet\n{i.clinic} clinic\n{i.fw_dmz} fw-north\n{i.pacs} pacs\n"


def passwd(text: str) -> str:
    """Root at home under /var, which is the host's own: a login leaves no trace in this machine's /root."""
    return _with_root(text, 5, "/var/root")


def shadow(text: str) -> str:
    """Root without a password, but not locked: sshd without PAM refuses a locked account its key as well."""
    return _with_root(text, 1, "*")


def _with_root(text: str, field: int, value: str) -> str:
    lines = [line.split(":") for line in text.splitlines()]
    for fields in lines:
        if fields[0] == "root":
            fields[field] = value
    return "".join(":".join(fields) + "\n" for fields in lines)


def known_hosts(layout: Layout, public_keys: Mapping[str, str]) -> str:
    """``public_keys``: role → the text of its host key's .pub file."""
    lines = (f"{layout.management_address(role)} {' '.join(text.split()[:2])}\n" for role, text in public_keys.items())
    return "".join(lines)


def inventory(layout: Layout, *, key: Path, known: Path) -> dict[str, dict[str, Any]]:
    """The inventory's files by name: Nornir's format."""

    def via(role: str) -> dict[str, str]:
        return {"ssh": f"root@{layout.management_address(role)}"}

    peer = {
        "name": "ct-1",
        "address": str(layout.clinic),
        "ae_title": layout.clinic_ae_title,
        "roles": ["store", "query", "retrieve", "web"],
        "listens": {"port": layout.listen_port},
    }
    pacs = {
        "ae_title": layout.ae_title,
        "addresses": {"inside": str(layout.pacs), "outside": _outside(layout)},
        "services": [{"kind": "dicom", "port": layout.dicom_port}, {"kind": "dicomweb", "port": layout.web_port}],
        "protected_by": ["fw-north"],
        "access": {"peers": [peer]},
        "config": {"file": f"{ETC}/orthanc.json", "restart": f"{ETC}/restart-orthanc"},
    }
    hosts: dict[str, Any] = {
        "pacs-north": {
            "hostname": layout.management_address("pacs"),
            "platform": "orthanc",
            "username": "root",
            "groups": ["pacs", "north"],
            "data": pacs,
        },
        "fw-north": {
            "hostname": layout.management_address("fw"),
            "platform": "linux_nftables",
            "username": "root",
            "groups": ["firewalls", "north"],
            "data": {"guard": {"interface": layout.wan_interface}, "management": ["local"]},
        },
        "internet": {
            "groups": ["vantages"],
            "data": {
                "zone": "outside",
                "via": via("internet"),
                "canaries": [{"address": str(layout.fw_wan), "port": layout.canary_port}],
            },
        },
        "clinic": {"groups": ["vantages"], "data": {"zone": "inside", "peer": "ct-1", "via": via("clinic")}},
    }
    defaults = {"data": {"ssh": {"key": str(key), "known_hosts": str(known)}}}
    return {"hosts.yaml": hosts, "groups.yaml": {"north": {}}, "defaults.yaml": defaults}


def _outside(layout: Layout) -> str | dict[str, Any]:
    ports = {
        own: seen
        for own, seen in (
            (layout.dicom_port, layout.outside_dicom_port),
            (layout.web_port, layout.outside_web_port),
        )
        if own != seen
    }
    return {"address": str(layout.published), "ports": ports} if ports else str(layout.published)


def playbook() -> list[dict[str, Any]]:
    return [
        {
            "name": "Close public DICOM exposure",
            "hosts": "pacs",
            "serial": [1, "100%"],
            "max_fail_percentage": 0,
            "vars": {"revert_in": "2m"},
            "tasks": [
                {"name": "Only known peers reach the archive", "apply": "acl"},
                {"name": "Look from outside and from the clinic", "verify": {"from": ["internet", "clinic"]}},
            ],
        }
    ]


def as_yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
