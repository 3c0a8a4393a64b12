"""The lab's VPNs: a reader at a place of its own behind the internet, with OpenVPN and WireGuard to the firewall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from remediate.lab.real import hosts
from remediate.lab.real.hosts import LabError, run
from remediate.lab.real.layout import REMOTE, Layout

if TYPE_CHECKING:
    from remediate.lab.real.site import LabSite

#: A program that each Debian package brings.
PACKAGES: Final = {
    "openvpn": "openvpn",
    "wireguard-go": "wireguard-go",
    "wireguard-tools": "wg",
    "openssl": "openssl",
}
TUN: Final = Path("/dev/net/tun")
PLAYBOOK: Final = "vpn_only.yaml"
PROGRAMS: Final = ("openvpn", "wireguard-go")
_ENDS: Final = ("fw", REMOTE)
_OPENVPN_PORT: Final = 1194
_WIREGUARD_PORT: Final = 51820


def missing(layout: Layout) -> list[str]:
    if layout.vpn and not TUN.exists():
        return [f"{TUN} is not there, which every VPN needs: mkdir -p {TUN.parent} && mknod {TUN} c 10 200"]
    return []


# -- what is written ------------------------------------------------------------------------------------


def write(site: LabSite, etc: str) -> None:
    """Keys and configurations into the hosts' own folders; ``etc``: the lab's folder as a host sees it."""
    fingerprints, public = {}, {}
    for role in _ENDS:
        folder = site.folder / "hosts" / role / etc.lstrip("/")
        certificate = folder / "openvpn.crt"
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
        run(["openssl", "req", "-x509", *new, "-subj", f"/CN={role}", "-keyout", str(folder / "openvpn.key"),
             "-out", str(certificate)])  # fmt: skip
        shown = run(["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"])
        fingerprints[role] = shown.strip().partition("=")[2]
        key = run(["wg", "genkey"])
        (folder / "wireguard.key").touch(mode=0o600)
        (folder / "wireguard.key").write_text(key)
        public[role] = run(["wg", "pubkey"], text=key).strip()
    for role, other in zip(_ENDS, reversed(_ENDS), strict=True):
        folder = site.folder / "hosts" / role / etc.lstrip("/")
        (folder / "openvpn.conf").write_text(_openvpn_conf(site.layout, role, fingerprints[other], etc))
        (folder / "wireguard.conf").touch(mode=0o600)
        (folder / "wireguard.conf").write_text(_wireguard_conf(site.layout, role, public[other], folder))


def _openvpn_conf(layout: Layout, role: str, peer: str, etc: str) -> str:
    here, there = layout.tunnel_ends(layout.openvpn_interface)
    if role == REMOTE:
        here, there = there, here
    side = (
        f"tls-server\ndh none\nlocal {layout.fw_wan}\nlport {_OPENVPN_PORT}"
        if role == "fw"
        else f"tls-client\nremote {layout.fw_wan} {_OPENVPN_PORT}\nnobind\nconnect-retry 1 1"
    )
    return f"""dev {layout.openvpn_interface}
dev-type tun
proto udp4
{side}
cert {etc}/openvpn.crt
key {etc}/openvpn.key
peer-fingerprint {peer}
ifconfig {here} {there}
disable-dco
verb 3
"""


def _wireguard_conf(layout: Layout, role: str, peer: str, folder: Path) -> str:
    here, there = layout.tunnel_ends(layout.wireguard_interface)
    lines = ["[Interface]", f"PrivateKey = {(folder / 'wireguard.key').read_text().strip()}"]
    if role == "fw":
        lines += [f"ListenPort = {_WIREGUARD_PORT}", "[Peer]", f"PublicKey = {peer}", f"AllowedIPs = {there}/32"]
    else:
        lines += ["[Peer]", f"PublicKey = {peer}", f"AllowedIPs = {here}/32, {layout.dmz_network}"]
        lines += [f"Endpoint = {layout.fw_wan}:{_WIREGUARD_PORT}"]
    return "\n".join(lines) + "\n"


def inventory(layout: Layout, written: dict[str, dict[str, Any]]) -> None:
    """The reader, the firewall's tunnels, and two places to look from on one host: through the VPN and past it."""
    described = written["hosts.yaml"]
    described["fw-north"]["data"]["guard"]["vpn"] = list(layout.tunnels)
    readers = {"name": "readers", "network": str(layout.vpn_network), "via": "vpn", "roles": ["query", "web"]}
    for archive in layout.archives:
        described[archive.name]["data"]["access"]["peers"].append(readers)
    via = {"ssh": f"root@{layout.management_address(REMOTE)}"}
    canaries = described["internet"]["data"]["canaries"]
    described["remote"] = {"groups": ["vantages"], "data": {"zone": "inside", "peer": "readers", "via": via}}
    described["roadside"] = {"groups": ["vantages"], "data": {"zone": "outside", "via": via, "canaries": canaries}}


def playbook() -> list[dict[str, Any]]:
    return [
        {
            "name": "Only the VPN reaches the archives from outside",
            "hosts": "pacs",
            "vars": {"revert_in": "10m"},
            "tasks": [
                {"name": "From outside only through the VPN", "apply": "vpn_only"},
                {"name": "Look from everywhere", "verify": {"from": ["internet", "roadside", "clinic", "remote"]}},
            ],
        }
    ]


# -- what runs ------------------------------------------------------------------------------------------


def route(layout: Layout) -> None:
    """The internet routes for the reader's place, to the archive's own network too."""
    i = layout
    for role, to, by in (("internet", i.dmz_network, i.fw_wan), ("fw", i.remote_network, i.internet)):
        run(["ip", "-netns", i.namespace(role), "route", "add", str(to), "via", str(by)])


_END: Final = """
pkill -x openvpn; pkill -x wireguard-go
while pgrep -x 'openvpn|wireguard-go' >/dev/null; do sleep 0.02; done
"""


def start(site: LabSite, etc: str) -> None:
    """Both tunnels anew, each up when the archive has answered through it."""
    i = site.layout
    for role in _ENDS:
        site.must(role, ["sh", "-c", _END])
        hosts.daemon(site.pids[role], ["openvpn", "--config", f"{etc}/openvpn.conf"], log="/var/log/openvpn.log")
        at_fw, at_remote = i.tunnel_ends(i.wireguard_interface)
        name, here = i.wireguard_interface, at_fw if role == "fw" else at_remote
        hosts.daemon(site.pids[role], ["wireguard-go", "--foreground", name], log="/var/log/wireguard.log")
        ready = ["test", "-S", f"/var/run/wireguard/{name}.sock"]
        hosts.until(lambda role=role, ready=ready: not site.exec(role, ready).returncode, what=f"WireGuard of {role}")  # type: ignore[misc]  # bound
        up = f"wg setconf {name} {etc}/wireguard.conf; ip address add {here}/24 dev {name}; ip link set {name} up"
        site.must(role, ["sh", "-ec", up])
    for interface in i.tunnels:
        through(site, interface)


def through(site: LabSite, interface: str) -> None:
    """The reader goes to the archive by that tunnel from now on. Raises: DeadlineExceeded where it does not come up."""
    route = ["ip", "route", "replace", str(site.layout.dmz_network), "dev", interface]
    hosts.until(
        lambda: not site.exec(REMOTE, route).returncode,
        what=f"{interface} of {REMOTE}",
    )
    hosts.until(lambda: site.web_answers(REMOTE), what=f"the archive through {interface}", seconds=30)


def without(site: LabSite) -> None:
    """The reader goes to the archive past the VPN from now on; ``through`` takes that back."""
    if site.exec(REMOTE, ["ip", "route", "delete", str(site.layout.dmz_network)]).returncode:
        raise LabError("the reader had no way through a tunnel", where=REMOTE)


def alive(site: LabSite) -> bool:
    return all(site.processes(role, program) for role in _ENDS for program in PROGRAMS)


def parts(site: LabSite) -> Iterator[tuple[str, bool]]:
    """What runs, for people."""
    for role in _ENDS:
        for program in PROGRAMS:
            yield f"{program} of {role}", bool(site.processes(role, program))
