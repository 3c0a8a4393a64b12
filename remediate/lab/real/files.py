"""What is written for the lab: the hosts' own configurations, and an inventory and a playbook to start from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from remediate.lab.real.layout import Archive, Firewall, Layout

DICOMWEB_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
#: Where the lab's own files are in every host.
ETC: Final = "/etc/remediate-lab"
#: Of every archive's studies.
STORAGE: Final = "/var/lib/remediate-lab"
RULES_V4: Final = "/etc/iptables/rules.v4"
#: Stands in for the kernel's own, which is one for all hosts of the lab and stays as it is when one of them restarts.
BOOT_ID: Final = f"{ETC}/boot_id"
#: Nobody answers names in the lab, and nobody is to wait for that (Orthanc's QIDO-RS did, 10 s each time).
RESOLV_CONF: Final = "options timeout:1 attempts:1\n"


def nftables_conf(layout: Layout, firewall: Firewall | None = None) -> str:
    """The firewall's native rules, as somebody wrote them who published its archives once; of the first without one."""
    i, firewall = layout, firewall or layout.firewalls[0]
    forwards, accepts = "", ""
    for archive in i.archives_behind(firewall):
        ports = {i.outside_dicom_port: i.dicom_port}
        if not archive.light:
            ports[i.outside_web_port] = i.web_port
        for seen, own in ports.items():
            forwards += f"        ip daddr {archive.published} tcp dport {seen} dnat to {archive.address}:{own}\n"
        own_ports = ", ".join(map(str, ports.values()))
        accepts += (
            f'        iifname "{i.wan_interface}" ip daddr {archive.address} tcp dport {{ {own_ports} }} accept\n'
        )
    tunnels = "".join(f'        iifname "{one}" oifname "{i.dmz_interface}" accept\n' for one in i.tunnels)
    return f"""#!/usr/sbin/nft -f
flush ruleset

table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
{forwards}    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {firewall.dmz_network} oifname "{i.wan_interface}" masquerade
    }}
}}

table inet filter {{
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
{accepts}        iifname "{i.clinic_interface}" oifname "{i.dmz_interface}" accept
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
    forwarding = "no" if role in {firewall.role for firewall in layout.firewalls} else "yes"
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


def archive_file(layout: Layout, archive: Archive) -> tuple[str, str]:
    """Where its configuration is, and what stands there."""
    if archive.light:
        return f"{ETC}/dcmqrscp.cfg", dcmqrscp_cfg(layout, archive)
    return f"{ETC}/orthanc.json", orthanc_json(layout, archive)


def dcmqrscp_cfg(layout: Layout, archive: Archive) -> str:
    """It knows the clinic, so that a C-MOVE finds it, and lets in anybody."""
    i = layout
    return (
        f"NetworkTCPPort = {i.dicom_port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n\n"
        f"HostTable BEGIN\nclinic = ({i.clinic_ae_title}, {i.clinic}, {i.listen_port})\nHostTable END\n\n"
        "VendorTable BEGIN\nVendorTable END\n\n"
        f"AETable BEGIN\n{archive.ae_title} {STORAGE} RW (200, 1024mb) ANY\nAETable END\n"
    )


def orthanc_json(layout: Layout, archive: Archive | None = None) -> str:
    """An archive with everything open: what the lab is there to close. The first one, without another."""
    settings: dict[str, Any] = {
        "Name": "LAB",
        "StorageDirectory": STORAGE,
        "IndexDirectory": STORAGE,
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpPort": layout.web_port,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": False,
        "DicomAet": (archive or layout.archives[0]).ae_title,
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


def restart_script(layout: Layout, archive: Archive) -> tuple[str, str]:
    """Where the archive's host has it, and what stands there."""
    if not archive.light:
        return f"{ETC}/restart-orthanc", RESTART_ORTHANC
    file, _ = archive_file(layout, archive)
    text = f"""#!/bin/sh
pkill -x dcmqrscp
while pgrep -x dcmqrscp >/dev/null; do sleep 0.05; done
setsid --fork dcmqrscp "$@" -c {file} {layout.dicom_port} </dev/null >>/var/log/dcmqrscp.log 2>&1
"""
    return f"{ETC}/restart-dcmqrscp", text


def etc_hosts(layout: Layout) -> str:
    i = layout
    lines = [f"127.0.0.1 localhost\n{i.internet} internet\n{i.clinic} clinic\n"]
    lines += [f"{firewall.dmz} {firewall.name}\n" for firewall in i.firewalls]
    lines += [f"{archive.address} {archive.role}\n" for archive in i.archives]
    return "".join(lines)


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

    described: dict[str, Any] = {}
    for archive in layout.archives:
        described[archive.name] = _archive(layout, archive)
    for firewall in layout.firewalls:
        described[firewall.name] = {
            "hostname": layout.management_address(firewall.role),
            "platform": "linux_nftables",
            "username": "root",
            "groups": ["firewalls", firewall.place],
            "data": {"guard": {"interface": layout.wan_interface}, "management": ["local"]},
        }
    canaries = [{"address": str(firewall.wan), "port": layout.canary_port} for firewall in layout.firewalls]
    described["internet"] = {
        "groups": ["vantages"],
        "data": {"zone": "outside", "via": via("internet"), "canaries": canaries},
    }
    described["clinic"] = {
        "groups": ["vantages"],
        "data": {"zone": "inside", "peer": "ct-1", "via": via("clinic")},
    }
    defaults = {"data": {"ssh": {"key": str(key), "known_hosts": str(known)}}}
    groups: dict[str, Any] = {firewall.place: {} for firewall in layout.firewalls}
    return {"hosts.yaml": described, "groups.yaml": groups, "defaults.yaml": defaults}


def _archive(layout: Layout, archive: Archive) -> dict[str, Any]:
    roles = ["store", "query", "retrieve"] + ([] if archive.light else ["web"])
    services = [{"kind": "dicom", "port": layout.dicom_port}]
    if not archive.light:
        services.append({"kind": "dicomweb", "port": layout.web_port})
    file, _ = archive_file(layout, archive)
    restart, _ = restart_script(layout, archive)
    peer = {
        "name": "ct-1",
        "address": str(layout.clinic),
        "ae_title": layout.clinic_ae_title,
        "roles": roles,
        "listens": {"port": layout.listen_port},
    }
    return {
        "hostname": layout.management_address(archive.role),
        "platform": "dcmqrscp" if archive.light else "orthanc",
        "username": "root",
        "groups": ["pacs", archive.firewall.place],
        "data": {
            "ae_title": archive.ae_title,
            "addresses": {"inside": str(archive.address), "outside": _outside(layout, archive)},
            "services": services,
            "protected_by": [archive.firewall.name],
            "access": {"peers": [peer]},
            "config": {"file": file, "restart": restart + (" --disable-host-lookup" if archive.light else "")},
        },
    }


def _outside(layout: Layout, archive: Archive) -> str | dict[str, Any]:
    ports = {layout.dicom_port: layout.outside_dicom_port}
    if not archive.light:
        ports[layout.web_port] = layout.outside_web_port
    moved = {own: seen for own, seen in ports.items() if own != seen}
    return {"address": str(archive.published), "ports": moved} if moved else str(archive.published)


def playbook(layout: Layout) -> list[dict[str, Any]]:
    """With more than one archive in the starter's waves."""
    return [
        {
            "name": "Close public DICOM exposure",
            "hosts": "pacs",
            "serial": [1, "100%"] if layout.archive_count == 1 else [1, "25%", "100%"],
            "max_fail_percentage": 0,
            "vars": {"revert_in": "10m"},
            "tasks": [
                {"name": "Only known peers reach the archive", "apply": "acl"},
                {"name": "Look from outside and from the clinic", "verify": {"from": ["internet", "clinic"]}},
            ],
        }
    ]


def as_yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
