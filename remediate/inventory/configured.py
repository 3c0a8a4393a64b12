"""An archive that is configured itself, and a front of archives: its file, its restart, and what it answers for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from remediate.inventory import kinds
from remediate.inventory.document import Node, listed
from remediate.inventory.files import FRONTS, Inherited
from remediate.model.device import ConfigFile, Device, Guard, TlsFiles
from remediate.model.site import Pacs, ServiceKind

#: Where its configuration stands, and what makes it read that again.
_KEYS = ("file", "restart")
#: Archives for which that is something else; Conquest looks at its file by itself.
_OTHERS = {"conquest": ("file",), "dcm4chee_arc": ("ldap", "reload")}
#: What some may have besides.
_MORE = {"nginx": ("users",)}
_TLS = ("certificate", "key", "trusted")
#: Fronts that ask for no certificate, and so trust nobody's.
_ASK_FOR_NONE = ("nginx", "vsftpd")


def device(host: Inherited, pacs: Pacs, platforms: Collection[str] | None) -> Device | None:
    """None where something is wrong, which has been noted, or where the archive has no ``config``."""
    node = host.data.get("config")
    if node is None:
        return None
    if platforms is not None and (pacs.platform not in platforms or pacs.platform in FRONTS):
        node.problem(
            f"the platform {pacs.platform or '(none)'} cannot be configured; allowed: "
            f"{listed(sorted({*platforms}.difference(FRONTS)))}, or no config"
        )
        return None
    services = [service for service in pacs.services if service.front is None]
    config = _config(node, pacs.platform or "", {service.port: service.kind for service in services})
    if config is None or pacs.platform is None:
        return None
    return Device(name=host.name, platform=pacs.platform, guard=Guard(interface=()), config=config)


def is_front(host: Inherited) -> bool:
    return "fronts" in host.groups or ("config" in host.data_before_defaults and "guard" not in host.data)


def front(host: Inherited, archives: Iterable[Pacs], platforms: Collection[str] | None) -> Device | None:
    """None where something is wrong, which has been noted."""
    known = sorted(name for name in FRONTS if platforms is None or name in platforms)
    if "platform" not in host.nodes:
        host.own.node.problem(f"platform is missing; allowed: {listed(known)}")
        return None
    if "guard" in host.data:
        host.data["guard"].problem("belongs to a firewall or router; a front has a config")
    if "config" not in host.data:
        host.own.node.problem("data.config is missing; allowed: {file: FILE, restart: COMMAND} of the front")
        return None
    platform = host.nodes["platform"].choice(known)
    answered: dict[int, str] = {}
    ports: dict[int, ServiceKind] = {}
    for pacs in archives:
        for service in pacs.services:
            if service.front != host.name:
                continue
            if service.port in answered:
                host.own.node.problem(
                    f"on its port {service.port} it is the front of {answered[service.port]} and of {pacs.name}; "
                    "allowed: one archive on a port"
                )
            answered[service.port], ports[service.port] = pacs.name, service.kind
    config = _config(host.data["config"], platform or "", ports)
    if config is None or platform is None:
        return None
    return Device(
        name=host.name,
        platform=platform,
        guard=Guard(interface=()),
        config=config.model_copy(update={"fronts": answered}),
        management=kinds.management(host),
    )


def _config(node: Node, platform: str, ports: Mapping[int, ServiceKind]) -> ConfigFile | None:
    wanted = _OTHERS.get(platform, _KEYS)
    keys = node.mapping((*wanted, "tls", *_MORE.get(platform, ())), required=wanted)
    if not keys or not all(key in keys for key in wanted):
        return None
    tls = _tls(keys["tls"], platform) if "tls" in keys else None
    users = keys["users"].string() if "users" in keys else None
    if users is not None and not users.startswith("/"):
        keys["users"].wrong("an absolute path on that host")
    path = keys[wanted[0]].string()
    restart = keys[wanted[1]].string() if len(wanted) > 1 else ""
    if path is not None and wanted[0] == "file" and not path.startswith("/"):
        keys["file"].wrong("an absolute path on that host")
        path = None
    if path is not None and wanted[0] == "ldap" and not path.lower().startswith("dicomdevicename="):
        keys["ldap"].wrong("the entry of the archive's device, dicomDeviceName=NAME,cn=Devices,...")
        path = None
    if len(wanted) > 1 and restart is not None and not restart.strip():
        keys[wanted[1]].wrong("one command line, as it is typed in that host's shell")
        restart = None
    if path is None or restart is None:
        return None
    return ConfigFile(
        path=path,
        restart=restart,
        ports=tuple(sorted(ports)),
        dicom_ports=tuple(sorted(port for port, kind in ports.items() if kind.is_dicom)),
        tls=tls,
        users=users,
    )


def _tls(node: Node, platform: str) -> TlsFiles | None:
    """None where something is wrong, which has been noted."""
    required = tuple(key for key in _TLS if key != "trusted" or platform not in _ASK_FOR_NONE)
    paths: dict[str, str] = {}
    for key, one in (node.mapping(_TLS, required=required) or {}).items():
        path = one.string()
        if path is not None and not path.startswith("/"):
            one.wrong("an absolute path on that host")
        elif path is not None:
            paths[key] = path
    return TlsFiles(**paths) if paths.keys() >= set(required) else None
