"""Builds a site into a folder, step by step; whoever calls clears up when a step fails."""

from __future__ import annotations

import http.client
import tempfile
import uuid
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from remediate.lab import studies
from remediate.lab.real import files, hosts, vpn
from remediate.lab.real.hosts import LabError, run
from remediate.lab.real.layout import REMOTE, Archive, Layout
from remediate.lab.real.site import CONTENT, LabSite
from remediate.lab.real.state import State

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

        place, name = layout.namespace(role), layout.hostname(role)
        hosts.boot(folder / "hosts" / role, namespace=place, name=name, lock=lock, started=record)
    site = LabSite(folder, layout, {role: pid for role, (pid, _) in state.processes.items()})
    for role in layout.roles:
        _settings(site, role)
    for firewall in layout.firewalls:
        site.load_firewall(firewall.role)
    say("sshd, canary, C-MOVE listener, archives")
    for role in layout.managed:
        site.start_sshd(role)
    for firewall in layout.firewalls:
        site.start_canary(firewall.role)
    site.start_listener()
    for archive in layout.archives:
        site.start_archive(archive)
    if layout.vpn:
        say("OpenVPN, WireGuard")
        vpn.start(site, files.ETC)
    say("synthetic studies")
    for archive in layout.archives:
        _load_studies(site, archive)
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
    site.playbook.write_text(files.as_yaml(files.playbook(layout)))
    for role in layout.roles:
        etc = folder / "hosts" / role / "etc"
        ours = folder / "hosts" / role / files.ETC.lstrip("/")
        ours.mkdir(parents=True)
        _write(etc / "passwd", files.passwd(Path("/etc/passwd").read_text()), 0o644)
        _write(etc / "shadow", files.shadow(Path("/etc/shadow").read_text()), 0o600)
        _write(etc / "resolv.conf", files.RESOLV_CONF, 0o644)
        _write(etc / "hosts", files.etc_hosts(layout), 0o644)
        _write(etc / "machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        _write(ours / "boot_id", f"{uuid.uuid4()}\n", 0o444)
        (folder / "hosts" / role / "var" / "root").mkdir(mode=0o700, parents=True)
        if role in layout.managed:
            _write(ours / "sshd_config", files.sshd_config(layout, role), 0o600)
            _write(ours / "host_key", (keys / f"host_{role}").read_text(), 0o600)
            _write(ours / "authorized_keys", site.key.with_suffix(".pub").read_text(), 0o600)
    if layout.vpn:
        vpn.write(site, files.ETC)
    for firewall in layout.firewalls:
        host = folder / "hosts" / firewall.role
        _write(host / "etc" / "nftables.conf", files.nftables_conf(layout, firewall), 0o755)
        _write(host / files.RULES_V4.lstrip("/"), files.rules_v4(layout), 0o644)
        (host / "etc" / "network" / "if-pre-up.d").mkdir(parents=True, exist_ok=True)
    for archive in layout.archives:
        host = folder / "hosts" / archive.role
        for (path, text), mode in (
            (files.archive_file(layout, archive), 0o644),
            (files.restart_script(layout, archive), 0o755),
        ):
            _write(host / path.lstrip("/"), text, mode)
        (host / files.STORAGE.lstrip("/")).mkdir(parents=True)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _keygen(path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "remediate lab", "-f", str(path)])


def _link(layout: Layout) -> None:
    """Every wire, between its two namespaces at once: an end never stands in this machine's own, but management's."""
    i = layout
    switch = _Switches(layout)
    for firewall in i.firewalls:
        switch.wire("internet", "eth0", len(i.firewalls), firewall.role, i.wan_interface)
        switch.wire("clinic", "eth0", len(i.firewalls), firewall.role, i.clinic_interface)
        behind = i.archives_behind(firewall)
        for archive in behind:
            switch.wire(firewall.role, i.dmz_interface, len(behind), archive.role, "eth0")
    if i.vpn:
        switch.wire("internet", "eth1", 1, REMOTE, "eth0")
    for role in i.managed:
        link = i.management_link(role)
        peer = f"peer name {i.management_interface} netns {i.namespace(role)}"
        switch.lines += [f"link add {link.name} type veth {peer}", f"address add {link.here} dev {link.name}"]
        switch.lines.append(f"link set {link.name} up")
    run(["ip", "-batch", "-"], text="\n".join(switch.lines) + "\n")
    routes, own = _routes(layout), _addresses(layout)
    for role in i.roles:
        lines = switch.ports.get(role, [])
        lines += [f"address add {address}/{length} dev {name}" for address, length, name in own[role]]
        if role in i.managed:
            lines.append(f"address add {i.management_link(role).there} dev {i.management_interface}")
            lines.append(f"link set {i.management_interface} up")
        lines += [f"link set {name} up" for name in dict.fromkeys(name for _, _, name in own[role])]
        lines += [f"route add {route}" for route in routes.get(role, [])]
        run(["ip", "-netns", i.namespace(role), "-batch", "-"], text="\n".join(lines) + "\n")


class _Switches:
    """Wires between namespaces. Where several come together at one interface, it is a bridge, and they are its ports.

    ``lines``: for this machine's ``ip -batch``; ``ports``: those for the role's own.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.lines: list[str] = []
        self.ports: dict[str, list[str]] = {}

    def wire(self, role: str, interface: str, wires: int, other: str, others: str) -> None:
        """``wires``: how many come together at that interface."""
        end = interface
        if wires > 1:
            ports = self.ports.setdefault(role, [f"link add {interface} type bridge"])
            end = f"port{sum(line.startswith('link set port') for line in ports) + 1}"
            ports.append(f"link set {end} master {interface} up")
        here, there = (self._layout.namespace(one) for one in (role, other))
        self.lines.append(f"link add {end} netns {here} type veth peer name {others} netns {there}")


def _addresses(layout: Layout) -> dict[str, list[tuple[IPv4Address, int, str]]]:
    """Role → address, length of the network's prefix, and interface."""
    i = layout
    own = {
        "internet": [(i.internet, i.wan_network.prefixlen, "eth0")],
        "clinic": [(i.clinic, i.clinic_network.prefixlen, "eth0")],
    }
    for firewall in i.firewalls:
        behind = i.archives_behind(firewall)
        own[firewall.role] = [
            (firewall.wan, i.wan_network.prefixlen, i.wan_interface),
            *((archive.published, 32, i.wan_interface) for archive in behind),
            (firewall.clinic, i.clinic_network.prefixlen, i.clinic_interface),
            (firewall.dmz, firewall.dmz_network.prefixlen, i.dmz_interface),
        ]
        for archive in behind:
            own[archive.role] = [(archive.address, firewall.dmz_network.prefixlen, "eth0")]
    if i.vpn:
        own["internet"].append((i.remote_gateway, i.remote_network.prefixlen, "eth1"))
        own[REMOTE] = [(i.remote, i.remote_network.prefixlen, "eth0")]
    return own


def _routes(layout: Layout) -> dict[str, list[str]]:
    """Role → what it reaches otherwise than on its own networks."""
    first, *others = layout.firewalls
    routes = {archive.role: [f"default via {archive.firewall.dmz}"] for archive in layout.archives}
    routes["clinic"] = [f"default via {first.clinic}", *(f"{f.dmz_network} via {f.clinic}" for f in others)]
    if layout.vpn:
        routes[REMOTE] = [f"default via {layout.remote_gateway}"]
    return routes


def _settings(site: LabSite, role: str) -> None:
    """One SYN retry: a vantage's sshd says "Connection timed out" after 3 s instead of 130 s."""
    ipv4 = "/proc/sys/net/ipv4"
    quick, forward = f"{ipv4}/tcp_syn_retries 1", f"{ipv4}/ip_forward 1"
    settings = {"internet": [quick, forward], "clinic": [quick], "remote": [quick]}
    settings |= {firewall.role: [forward] for firewall in site.layout.firewalls}
    for setting in settings.get(role, []):
        site.must(role, ["sh", "-ec", 'echo "$2" >"$1"', "set", *setting.split()])


def _load_studies(site: LabSite, archive: Archive) -> None:
    if archive.light:
        _send_studies(site, archive)
        return

    def post() -> None:
        connection = http.client.HTTPConnection(str(archive.address), site.layout.web_port, timeout=20)
        try:
            for file in studies.files():
                connection.request("POST", "/instances", body=file, headers={"Content-Type": "application/dicom"})
                answer = connection.getresponse()
                if answer.status != 200:
                    raise LabError(f"Orthanc refused a study with HTTP {answer.status}: {answer.read()[:200]!r}")
                answer.read()
        finally:
            connection.close()

    site.inside(archive.role, post)


def _send_studies(site: LabSite, archive: Archive) -> None:
    """By C-STORE, from the archive's own host."""
    with tempfile.TemporaryDirectory(dir=site.folder, prefix="studies-") as folder:
        for number, file in enumerate(studies.files()):
            (Path(folder) / f"{number}.dcm").write_bytes(file)
        to = ["-aec", archive.ae_title, str(archive.address), str(site.layout.dicom_port)]
        site.must(archive.role, ["storescu", "+sd", "-to", "5", *to, folder])


def _check(site: LabSite) -> None:
    """Every way that the lab is there to show works: the exposure, the care path, and back to the clinic."""
    i = site.layout
    for archive in i.archives:
        for role in ("internet", "clinic"):
            if not site.dicom_answers(role, archive):
                raise LabError(f"{archive.name} does not answer a C-ECHO from the {role}")
            if not archive.light and not site.web_answers(role, of=archive.role):
                raise LabError(f"the web service of {archive.name} does not answer from the {role}")
        back = ["-aet", archive.ae_title, "-aec", i.clinic_ae_title, str(i.clinic), str(i.listen_port)]
        site.must(archive.role, ["echoscu", "-to", "5", *back])
