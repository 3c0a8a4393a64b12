"""Builds a site into a folder, step by step; whoever calls clears up when a step fails."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path

from remediate.lab import studies
from remediate.lab.real import files, hosts, vpn
from remediate.lab.real.hosts import LabError, run
from remediate.lab.real.layout import REMOTE, Layout
from remediate.lab.real.site import CONTENT, LabSite, State

Say = Callable[[str], None]


def build(folder: Path, state: State, lock: int, say: Say) -> LabSite:
    layout = state.layout
    say("writing keys, inventory and configurations")
    _write_files(folder, layout)
    say("namespaces and links")
    for role in layout.roles:
        run(["ip", "netns", "add", layout.namespace(role)])
    _link(layout)
    if layout.vpn:
        vpn.route(layout)
    say(f"hosts: {', '.join(layout.roles)}")
    for role in layout.roles:

        def record(pid: int, role: str = role) -> None:
            state.processes[role] = (pid, hosts.start_time(pid) or 0)
            state.save(folder)

        name = "fw-north" if role == "fw" else role
        hosts.boot(folder / "hosts" / role, namespace=layout.namespace(role), name=name, lock=lock, started=record)
    site = LabSite(folder, layout, {role: pid for role, (pid, _) in state.processes.items()})
    for role in layout.roles:
        _settings(site, role)
    site.load_firewall()
    say("sshd, canary, C-MOVE listener, Orthanc")
    for role in layout.managed:
        site.start_sshd(role)
    site.start_canary()
    site.start_listener()
    site.start_orthanc()
    if layout.vpn:
        say("OpenVPN, WireGuard")
        vpn.start(site, files.ETC)
    say("synthetic studies")
    _load_studies(site)
    _check(site)
    return site


def _write_files(folder: Path, layout: Layout) -> None:
    for name in CONTENT:
        (folder / name).mkdir()
    keys = folder / "keys"
    keys.chmod(0o700)
    site = LabSite(folder, layout, {})
    _keygen(site.key)
    public = {}
    for role in layout.managed:
        _keygen(keys / f"host_{role}")
        public[role] = (keys / f"host_{role}.pub").read_text()
    site.known_hosts.write_text(files.known_hosts(layout, public))
    inventory = files.inventory(layout, key=site.key, known=site.known_hosts)
    if layout.vpn:
        vpn.inventory(layout, inventory)
        (site.playbook.parent / vpn.PLAYBOOK).write_text(files.as_yaml(vpn.playbook()))
    for name, value in inventory.items():
        (site.inventory / name).write_text(files.as_yaml(value))
    site.playbook.write_text(files.as_yaml(files.playbook()))
    for role in layout.roles:
        etc = folder / "hosts" / role / "etc"
        ours = folder / "hosts" / role / files.ETC.lstrip("/")
        ours.mkdir(parents=True)
        _write(etc / "passwd", files.passwd(Path("/etc/passwd").read_text()), 0o644)
        _write(etc / "shadow", files.shadow(Path("/etc/shadow").read_text()), 0o600)
        _write(etc / "resolv.conf", files.RESOLV_CONF, 0o644)
        _write(etc / "hosts", files.etc_hosts(layout), 0o644)
        (folder / "hosts" / role / "var" / "root").mkdir(mode=0o700, parents=True)
        if role in layout.managed:
            _write(ours / "sshd_config", files.sshd_config(layout, role), 0o600)
            _write(ours / "host_key", (keys / f"host_{role}").read_text(), 0o600)
            _write(ours / "authorized_keys", site.key.with_suffix(".pub").read_text(), 0o600)
    if layout.vpn:
        vpn.write(site, files.ETC)
    fw = folder / "hosts" / "fw"
    _write(fw / "etc" / "nftables.conf", files.nftables_conf(layout), 0o755)
    _write(fw / files.RULES_V4.lstrip("/"), files.rules_v4(layout), 0o644)
    (fw / "etc" / "network" / "if-pre-up.d").mkdir(parents=True, exist_ok=True)
    archive = folder / "hosts" / "pacs" / files.ETC.lstrip("/")
    _write(archive / "orthanc.json", files.orthanc_json(layout), 0o644)
    _write(archive / "restart-orthanc", files.RESTART_ORTHANC, 0o755)
    (folder / "hosts" / "pacs" / "var" / "lib" / "remediate-lab").mkdir(parents=True)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _keygen(path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "remediate lab", "-f", str(path)])


def _link(layout: Layout) -> None:
    """Every wire, between its two namespaces at once: an end never stands in this machine's own, but management's."""
    i = layout
    wires = [
        ("fw", i.wan_interface, "internet", "eth0"),
        ("fw", i.clinic_interface, "clinic", "eth0"),
        ("fw", i.dmz_interface, "pacs", "eth0"),
        *([("internet", "eth1", REMOTE, "eth0")] if i.vpn else []),
    ]
    lines = [
        f"link add {one} netns {i.namespace(a)} type veth peer name {other} netns {i.namespace(b)}"
        for a, one, b, other in wires
    ]
    for role in layout.managed:
        link = i.management_link(role)
        peer = f"peer name {i.management_interface} netns {i.namespace(role)}"
        lines += [f"link add {link.name} type veth {peer}", f"address add {link.here} dev {link.name}"]
        lines.append(f"link set {link.name} up")
    run(["ip", "-batch", "-"], text="\n".join(lines) + "\n")
    routes = {"clinic": i.fw_clinic, "pacs": i.fw_dmz, REMOTE: i.remote_gateway}
    own = {
        "internet": [(i.internet, i.wan_network.prefixlen, "eth0")],
        "clinic": [(i.clinic, i.clinic_network.prefixlen, "eth0")],
        "pacs": [(i.pacs, i.dmz_network.prefixlen, "eth0")],
        "fw": [
            (i.fw_wan, i.wan_network.prefixlen, i.wan_interface),
            (i.published, 32, i.wan_interface),
            (i.fw_clinic, i.clinic_network.prefixlen, i.clinic_interface),
            (i.fw_dmz, i.dmz_network.prefixlen, i.dmz_interface),
        ],
    }
    if i.vpn:
        own["internet"].append((i.remote_gateway, i.remote_network.prefixlen, "eth1"))
        own[REMOTE] = [(i.remote, i.remote_network.prefixlen, "eth0")]
    for role in layout.roles:
        lines = [f"address add {address}/{length} dev {name}" for address, length, name in own[role]]
        if role in layout.managed:
            lines.append(f"address add {i.management_link(role).there} dev {i.management_interface}")
            lines.append(f"link set {i.management_interface} up")
        lines += [f"link set {name} up" for name in dict.fromkeys(name for _, _, name in own[role])]
        if role in routes:
            lines.append(f"route add default via {routes[role]}")
        run(["ip", "-netns", i.namespace(role), "-batch", "-"], text="\n".join(lines) + "\n")


def _settings(site: LabSite, role: str) -> None:
    """One SYN retry: a vantage's sshd says "Connection timed out" after 3 s instead of 130 s."""
    ipv4 = "/proc/sys/net/ipv4"
    quick, forward = f"{ipv4}/tcp_syn_retries 1", f"{ipv4}/ip_forward 1"
    settings = {"fw": [forward], "internet": [quick, forward], "clinic": [quick], "remote": [quick]}
    for setting in settings.get(role, []):
        site.must(role, ["sh", "-ec", 'echo "$2" >"$1"', "set", *setting.split()])


def _load_studies(site: LabSite) -> None:
    def post() -> None:
        connection = http.client.HTTPConnection(str(site.layout.pacs), site.layout.web_port, timeout=20)
        try:
            for file in studies.files():
                connection.request("POST", "/instances", body=file, headers={"Content-Type": "application/dicom"})
                answer = connection.getresponse()
                if answer.status != 200:
                    raise LabError(f"Orthanc refused a study with HTTP {answer.status}: {answer.read()[:200]!r}")
                answer.read()
        finally:
            connection.close()

    site.inside("pacs", post)


def _check(site: LabSite) -> None:
    """Every way that the lab is there to show works: the exposure, the care path, and back to the clinic."""
    i = site.layout
    asked = [
        ("internet", i.ae_title, i.published, i.outside_dicom_port),
        ("clinic", i.ae_title, i.pacs, i.dicom_port),
        ("pacs", i.clinic_ae_title, i.clinic, i.listen_port),
    ]
    for role, called, address, port in asked:
        argv = ["echoscu", "-to", "5", "-aet", i.clinic_ae_title, "-aec", called, str(address), str(port)]
        site.must(role, argv)
    for role in ("internet", "clinic"):
        if not site.web_answers(role):
            raise LabError(f"the archive's web service does not answer from the {role}")
