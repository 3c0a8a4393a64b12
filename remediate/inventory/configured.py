"""An archive that is configured itself: its file, its restart, and how to log in to its host."""

from __future__ import annotations

from collections.abc import Collection

from remediate.inventory.document import listed
from remediate.inventory.files import Inherited
from remediate.model.site import ConfigFile, Device, Guard, Pacs

_KEYS = ("file", "restart")


def device(host: Inherited, pacs: Pacs, platforms: Collection[str] | None) -> Device | None:
    """None where something is wrong, which has been noted, or where the archive has no ``config``."""
    node = host.data.get("config")
    if node is None:
        return None
    keys = node.mapping(_KEYS, required=_KEYS)
    if platforms is not None and pacs.platform not in platforms:
        node.problem(
            f"the platform {pacs.platform or '(none)'} cannot be configured; allowed: {listed(sorted(platforms))}, "
            "or no config"
        )
        return None
    if not keys or len(keys) < len(_KEYS):
        return None
    path, restart = keys["file"].string(), keys["restart"].string()
    if path is not None and not path.startswith("/"):
        keys["file"].wrong("an absolute path on that host")
        path = None
    if restart is not None and not restart.strip():
        keys["restart"].wrong("one command line, as it is typed in that host's shell")
        restart = None
    if path is None or restart is None or pacs.platform is None:
        return None
    config = ConfigFile(
        path=path,
        restart=restart,
        ports=tuple(sorted({service.port for service in pacs.services})),
        dicom_ports=tuple(sorted({service.port for service in pacs.services if service.kind.is_dicom})),
    )
    return Device(name=host.name, platform=pacs.platform, guard=Guard(interface=()), config=config)
