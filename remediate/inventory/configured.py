"""An archive that is configured itself: its file, its restart, and how to log in to its host."""

from __future__ import annotations

from collections.abc import Collection

from remediate.inventory.document import Node, listed
from remediate.inventory.files import Inherited
from remediate.model.site import ConfigFile, Device, Guard, Pacs, TlsFiles

#: Where its configuration stands, and what makes it read that again.
_KEYS = ("file", "restart")
#: Archives for which that is something else; Conquest looks at its file by itself.
_OTHERS = {"conquest": ("file",), "dcm4chee_arc": ("ldap", "reload")}
_TLS = ("certificate", "key", "trusted")


def device(host: Inherited, pacs: Pacs, platforms: Collection[str] | None) -> Device | None:
    """None where something is wrong, which has been noted, or where the archive has no ``config``."""
    node = host.data.get("config")
    if node is None:
        return None
    wanted = _OTHERS.get(pacs.platform or "", _KEYS)
    keys = node.mapping((*wanted, "tls"), required=wanted)
    if platforms is not None and pacs.platform not in platforms:
        node.problem(
            f"the platform {pacs.platform or '(none)'} cannot be configured; allowed: {listed(sorted(platforms))}, "
            "or no config"
        )
        return None
    if not keys or not all(key in keys for key in wanted):
        return None
    tls = _tls(keys["tls"]) if "tls" in keys else None
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
    if path is None or restart is None or pacs.platform is None:
        return None
    config = ConfigFile(
        path=path,
        restart=restart,
        ports=tuple(sorted({service.port for service in pacs.services})),
        dicom_ports=tuple(sorted({service.port for service in pacs.services if service.kind.is_dicom})),
        tls=tls,
    )
    return Device(name=host.name, platform=pacs.platform, guard=Guard(interface=()), config=config)


def _tls(node: Node) -> TlsFiles | None:
    """None where something is wrong, which has been noted."""
    paths: dict[str, str] = {}
    for key, one in (node.mapping(_TLS, required=_TLS) or {}).items():
        path = one.string()
        if path is not None and not path.startswith("/"):
            one.wrong("an absolute path on that host")
        elif path is not None:
            paths[key] = path
    return TlsFiles(**paths) if len(paths) == len(_TLS) else None
