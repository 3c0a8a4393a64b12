"""What a host is, and its typed value: PACS, device or vantage."""

from __future__ import annotations

import getpass
from collections.abc import Collection
from pathlib import Path

from remediate.inventory import fields
from remediate.inventory.document import Node, did_you_mean, listed
from remediate.inventory.files import (
    DEVICE_DATA,
    DEVICES,
    FRONTS,
    PACS,
    PACS_DATA,
    SITE_DATA,
    VANTAGE_DATA,
    VANTAGES,
    Inherited,
)
from remediate.model.device import LOCAL, Device, Guard, Login
from remediate.model.site import (
    Access,
    Addresses,
    Canary,
    Destination,
    IPAddress,
    Listens,
    Pacs,
    Peer,
    Published,
    Role,
    Service,
    ServiceKind,
    Vantage,
    Zone,
)

KINDS = (
    "a PACS (group pacs), a vantage (group vantages) or a device (group firewalls, fronts or devices, or data.guard)"
)
PUBLISHED = "an address, {address: ADDRESS, ports: {104: 11112}}, or a list of these"


def kind_of(host: Inherited) -> str | None:
    """``pacs``, ``vantages`` or ``devices``; its own data may then have no keys of another kind."""
    is_device = any(group in DEVICES for group in host.groups) or "guard" in host.data_before_defaults
    kinds = [kind for kind in (PACS, VANTAGES) if kind in host.groups] + ["devices"] * is_device
    if len(kinds) != 1:
        found = f"it is {' and '.join(kinds)}" if kinds else "it is none"
        host.own.node.problem(f"{found}; allowed: exactly one of {KINDS}")
        return None
    keys = {PACS: PACS_DATA, VANTAGES: VANTAGE_DATA, "devices": DEVICE_DATA}[kinds[0]]
    for key, node in host.own.data.items():
        if key in SITE_DATA:
            node.problem(f"unknown key here: it belongs into defaults.yaml, data: {{{key}: ...}}")
        elif key not in keys:
            node.problem(f"unknown key; allowed: {listed(keys)}{did_you_mean(key, keys)}")
    return kinds[0]


# -- PACS ---------------------------------------------------------------------------------------------


def pacs(host: Inherited) -> Pacs | None:
    data = host.data
    missing = [key for key in ("ae_title", "services") if key not in data]
    for key in missing:
        host.own.node.problem(f"data.{key} is missing")
    title = fields.ae_title(data["ae_title"]) if "ae_title" in data else None
    services = _services(data["services"]) if "services" in data else ()
    addresses = _addresses(data["addresses"], services) if "addresses" in data else _from_hostname(host)
    protected_by = fields.names(data["protected_by"], "a list of devices") if "protected_by" in data else []
    access = _access(data["access"]) if "access" in data else Access()
    if title is None or not services or addresses is None:
        return None
    return Pacs(
        name=host.name,
        platform=host.values.get("platform"),
        ae_title=title,
        addresses=addresses,
        services=services,
        protected_by=tuple(name for _, name in protected_by),
        access=access,
    )


def _services(node: Node) -> tuple[Service, ...]:
    found: dict[int, Service] = {}
    items = node.items("a list such as [{kind: dicom, port: 104}]")
    for item in items or []:
        keys = item.mapping(("kind", "port", "front"), required=("kind", "port")) or {}
        kind = fields.choice(keys["kind"], ServiceKind) if "kind" in keys else None
        port = fields.port(keys["port"]) if "port" in keys else None
        front = fields.name(keys["front"]) if "front" in keys else None
        if port in found:
            keys["port"].problem(f"port {port} stands twice: {found[port].kind} is there already")
        elif kind is not None and port is not None:
            found[port] = Service(kind=kind, port=port, front=front)
    if items == []:
        node.problem("no service; allowed: at least one")
    return tuple(found.values())


def _from_hostname(host: Inherited) -> Addresses | None:
    node = host.nodes.get("hostname")
    if node is None:
        host.own.node.problem("data.addresses is missing; allowed: {inside: ADDRESS, outside: ADDRESS}")
        return None
    address = fields.address(node)
    return Addresses(inside=(Published(address=address),)) if address is not None else None


def _addresses(node: Node, services: tuple[Service, ...]) -> Addresses | None:
    keys = node.mapping(("inside", "outside"))
    if keys is None:
        return None
    inside = _published(keys["inside"], services) if "inside" in keys else ()
    outside = _published(keys["outside"], services) if "outside" in keys else ()
    if not any(one.raw for one in keys.values()):
        node.problem("no address; allowed: at least one of inside and outside")
    return Addresses(inside=inside, outside=outside) if inside or outside else None


def _published(node: Node, services: tuple[Service, ...]) -> tuple[Published, ...]:
    found: dict[IPAddress, Published] = {}
    for item in node.one_or_more():
        if isinstance(item.raw, list):
            item.wrong(PUBLISHED)
            continue
        known = ("address", "ports", "services")
        keys = item.mapping(known, required=("address",)) if isinstance(item.raw, dict) else None
        where = keys.get("address") if keys is not None else None if isinstance(item.raw, dict) else item
        address = fields.address(where) if where is not None else None
        ports = _translated(keys["ports"], services) if keys is not None and "ports" in keys else {}
        only = _only(keys["services"], services) if keys is not None and "services" in keys else ()
        if address in found:
            item.problem(f"{address} stands twice")
        elif address is not None:
            found[address] = Published(address=address, ports=ports, services=only)
            _collisions(item, found[address], services)
    return tuple(found.values())


def _translated(node: Node, services: tuple[Service, ...]) -> dict[int, int]:
    rule = "{104: 11112}, the PACS's own port first, then the port seen there"
    if not isinstance(node.raw, dict):
        node.wrong(rule)
        return {}
    own = [service.port for service in services]
    found: dict[int, int] = {}
    for key, value in node.raw.items():
        seen = fields.port(value)
        if not isinstance(key, int) or (own and key not in own):
            value.problem(
                f"the PACS has no service on port {str(key)[:63]}; allowed: {', '.join(map(str, own)) or rule}"
            )
        elif seen is not None and 1 <= key <= 65535:
            found[key] = seen
    return found


def _only(node: Node, services: tuple[Service, ...]) -> tuple[int, ...]:
    own = [service.port for service in services]
    items = node.items("a list of the PACS's own ports")
    if items == []:
        node.problem("no port; allowed: at least one, or no services where all are there")
    found = [fields.port(item) for item in items or []]
    for item, port in zip(items or [], found, strict=True):
        if port is not None and own and port not in own:
            item.problem(f"the PACS has no service on port {port}; allowed: {', '.join(map(str, own))}")
    return tuple(dict.fromkeys(port for port in found if port is not None))


def _collisions(node: Node, published: Published, services: tuple[Service, ...]) -> None:
    taken: dict[int, int] = {}
    for service in filter(published.has, services):
        seen = published.port_of(service)
        if seen in taken:
            node.problem(f"ports: {taken[seen]} and {service.port} are both seen on port {seen}")
        taken[seen] = service.port


def _access(node: Node) -> Access:
    keys = node.mapping(("peers", "destinations")) or {}
    peers = [(item, _peer(item)) for item in (keys["peers"].items("a list of peers") or [])] if "peers" in keys else []
    destinations = (
        [(item, _destination(item)) for item in (keys["destinations"].items("a list of destinations") or [])]
        if "destinations" in keys
        else []
    )
    for found in ([*peers], [*destinations]):
        names: set[str] = set()
        for item, one in found:
            if one is not None and one.name in names:
                item.problem(f"the name {one.name} stands twice")
            elif one is not None:
                names.add(one.name)
    return Access(
        peers=tuple(one for _, one in peers if one is not None),
        destinations=tuple(one for _, one in destinations if one is not None),
    )


def _peer(node: Node) -> Peer | None:
    known = ("name", "address", "network", "ae_title", "roles", "listens", "via", "tls")
    keys = node.mapping(known, required=("name", "roles"))
    if keys is None:
        return None
    name = fields.name(keys["name"]) if "name" in keys else None
    address = fields.address(keys["address"]) if "address" in keys else None
    network = fields.network(keys["network"]) if "network" in keys else None
    title = fields.ae_title(keys["ae_title"]) if "ae_title" in keys else None
    roles = _roles(keys["roles"]) if "roles" in keys else ()
    listens = _listens(keys["listens"], "address" in keys) if "listens" in keys else None
    via = keys["via"].choice(("vpn",)) if "via" in keys else None
    tls = keys["tls"].raw if "tls" in keys else False
    if not isinstance(tls, bool):
        keys["tls"].wrong("true, where it speaks DICOM inside TLS with a certificate of its own, or false")
    if ("address" in keys) == ("network" in keys):
        node.problem(f"found {'both' if 'address' in keys else 'neither'}; allowed: exactly one of address and network")
        return None
    if "ae_title" not in keys and "via" not in keys and any(role.is_dicom for role in roles):
        dicom = listed([role for role in roles if role.is_dicom])
        node.problem(f"ae_title is missing; the roles {dicom} need one (only a peer with via: vpn may have none)")
    if name is None or not roles or (address is None and network is None):
        return None
    return Peer(
        name=name,
        address=address,
        network=network,
        ae_title=title,
        roles=roles,
        listens=listens,
        via="vpn" if via else None,
        tls=tls is True,
    )


def _roles(node: Node) -> tuple[Role, ...]:
    found: dict[Role, None] = {}
    items = node.items(f"a list of: {listed([role.value for role in Role])}")
    for item in items or []:
        role = fields.choice(item, Role)
        if role in found:
            item.problem(f"{role} stands twice")
        elif role is not None:
            found[role] = None
    if items == []:
        node.problem(f"no role; allowed: at least one of {listed([role.value for role in Role])}")
    return tuple(found)


def _listens(node: Node, one_address: bool) -> Listens | None:
    keys = node.mapping(("port", "address"), required=("port",) if one_address else ("port", "address"))
    if keys is None:
        return None
    port = fields.port(keys["port"]) if "port" in keys else None
    address = fields.address(keys["address"]) if "address" in keys else None
    return Listens(port=port, address=address) if port is not None else None


def _destination(node: Node) -> Destination | None:
    known = ("name", "address", "port")
    keys = node.mapping(known, required=known)
    if keys is None or len(keys) < len(known):
        return None
    name, address, port = fields.name(keys["name"]), fields.address(keys["address"]), fields.port(keys["port"])
    if name is None or address is None or port is None:
        return None
    return Destination(name=name, address=address, port=port)


# -- devices ------------------------------------------------------------------------------------------


def device(host: Inherited, platforms: Collection[str] | None) -> Device | None:
    """One with a guard; a front is made elsewhere."""
    platform = host.values.get("platform")
    platforms = None if platforms is None else sorted({*platforms}.difference(FRONTS))
    if "platform" not in host.nodes:
        host.own.node.problem(f"platform is missing{f'; allowed: {listed(sorted(platforms))}' if platforms else ''}")
    elif platforms is not None and (platform is not None or host.nodes["platform"].unfilled):
        platform = host.nodes["platform"].choice(sorted(platforms))
    if "guard" not in host.data:
        host.own.node.problem("data.guard is missing; allowed: {interface: NAME}, the interfaces that face outside")
    if "config" in host.data:
        host.data["config"].problem("belongs to an archive or a front; a device with a guard has none")
    keys = (
        host.data["guard"].mapping(("interface", "vpn", "boot"), required=("interface",))
        if "guard" in host.data
        else None
    )
    interfaces = fields.interfaces(keys["interface"]) if keys and "interface" in keys else ()
    vpn = fields.interfaces(keys["vpn"]) if keys and "vpn" in keys else ()
    if keys and (both := [name for name in vpn if name in interfaces]):
        keys["vpn"].problem(f"{listed(both)} is in guard.interface too; a VPN does not come in there")
    boot = (keys["boot"].string() or "") if keys and "boot" in keys else ""
    if keys and boot and not boot.startswith("/"):
        keys["boot"].wrong("an absolute path there, of a start-up file that loads the guard")
    elif keys and boot and platform not in (None, "linux_nftables"):
        keys["boot"].problem(f"{platform} keeps its guard in its own start-up configuration")
    places = management(host)
    units = _units(host.data["ha"]) if "ha" in host.data else ()
    if platform is None or not interfaces:
        return None
    return Device(
        name=host.name,
        platform=platform,
        guard=Guard(interface=interfaces, vpn=vpn, boot=boot),
        management=places,
        ha=units,
    )


def management(host: Inherited) -> tuple[str, ...]:
    if "management" not in host.data:
        return (LOCAL,)
    if host.data["management"].raw == []:
        host.data["management"].problem(f"no place; allowed: {LOCAL}, and vantages with via: {{ssh: ...}}")
    places = [fields.name(item) for item in host.data["management"].one_or_more()]
    return tuple(dict.fromkeys(place for place in places if place is not None)) or (LOCAL,)


def _units(node: Node) -> tuple[str, ...]:
    if not isinstance(node.raw, list) or len(node.raw) < 2:
        node.wrong("the host names of a pair's units, such as [edge-a, edge-b]")
        return ()
    return tuple(name for _, name in fields.names(node, "a list"))


def login(host: Inherited, base: Path) -> Login | None:
    if "hostname" not in host.nodes:
        host.own.node.problem(f"hostname is missing; allowed: {fields.HOST_RULE}, to log in to")
    username = host.values.get("username")
    if "username" not in host.nodes:
        try:
            username = getpass.getuser()
        except (OSError, KeyError):
            host.own.node.problem("username is missing, and the current user has no name")
    key, known_hosts = fields.ssh_keys(host.data, base)
    enable = fields.referred(host.data["enable"], base) if "enable" in host.data else None
    hostname, port = host.values.get("hostname"), host.values.get("port")
    if hostname is None or username is None:
        return None
    return Login(
        host=hostname,
        port=22 if port is None else port,
        username=username,
        password=host.values.get("password"),
        key=key,
        known_hosts=known_hosts,
        enable=enable,
    )


# -- vantages -----------------------------------------------------------------------------------------


def vantage(host: Inherited, base: Path) -> Vantage | None:
    data = host.data
    keys = fields.ssh_keys(data, base)
    zone = fields.choice(data["zone"], Zone) if "zone" in data else None
    if "zone" not in data:
        host.own.node.problem("data.zone is missing; allowed: outside, inside")
    via = fields.via(data["via"], keys, data.get("socks"), base) if "via" in data else None
    peer = fields.name(data["peer"]) if "peer" in data else None
    certificate = None
    if "client_certificate" in data and "peer" not in data:
        data["client_certificate"].problem("is a peer's own; allowed: only with peer")
    elif "client_certificate" in data:
        certificate = fields.client_certificate(data["client_certificate"], base)
    canaries = _canaries(data["canaries"]) if "canaries" in data else ()
    if zone is Zone.OUTSIDE and "canaries" not in data:
        host.own.node.problem(
            "data.canaries is missing; allowed: [{address: ADDRESS, port: PORT}], so that a dead vantage outside "
            "does not look like a closed port"
        )
    if zone is Zone.OUTSIDE and "canaries" in data and data["canaries"].raw == []:
        data["canaries"].problem("no canary; allowed: at least one outside")
    if zone is None or ("via" in data and via is None):
        return None
    given = {} if via is None else {"via": via}
    return Vantage(name=host.name, zone=zone, peer=peer, client_certificate=certificate, canaries=canaries, **given)


def _canaries(node: Node) -> tuple[Canary, ...]:
    found = []
    for item in node.items("a list such as [{address: 203.0.113.1, port: 443}]") or []:
        keys = item.mapping(("address", "port", "behind"), required=("address", "port")) or {}
        address = fields.address(keys["address"]) if "address" in keys else None
        port = fields.port(keys["port"]) if "port" in keys else None
        behind = fields.name(keys["behind"]) if "behind" in keys else None
        if address is not None and port is not None:
            found.append(Canary(address=address, port=port, behind=behind))
    return tuple(found)
