"""What an inventory describes: the archives as a table, and the ways to them as a tree."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from remediate.model.device import Device, Login
from remediate.model.site import Pacs, Peer, Published, Service, Site, Vantage, Zone
from remediate.policy import standing


def table(site: Site) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("PACS", "addresses", "services", "peers", "protected by"):
        made.add_column(column, overflow="fold")
    for pacs in site.pacs.values():
        made.add_row(
            f"{pacs.name}\n{pacs.ae_title}",
            "\n".join(
                f"{zone}: {_address(published)}"
                for zone, found in ((Zone.INSIDE, pacs.addresses.inside), (Zone.OUTSIDE, pacs.addresses.outside))
                for published in found
            ),
            "\n".join(_service(one, one.port) for one in pacs.services),
            "\n".join(f"{peer.name}: {', '.join(peer.roles)}" for peer in pacs.access.peers) or "nobody",
            "\n".join(pacs.protected_by) or Text("nothing", style="bold red"),
        )
    return made


def ways(site: Site) -> RenderableType:
    """From each vantage the ways to the archives. Outside they lead through the devices that protect them; from
    inside, no device of the inventory is known to stand in between."""
    said = Text("what may pass, as the inventory says; what does pass is seen by: remediate verify", style="dim")
    return Group(
        said, *(_from_outside(site, v) if v.zone is Zone.OUTSIDE else _from_inside(site, v) for v in _sorted(site))
    )


def _sorted(site: Site) -> list[Vantage]:
    return sorted(site.vantages.values(), key=lambda vantage: vantage.zone is not Zone.OUTSIDE)


def _from_outside(site: Site, vantage: Vantage) -> Tree:
    root = _root(vantage)
    seen = [pacs for pacs in site.pacs.values() if pacs.addresses.outside]
    for device in site.devices.values():
        if behind := [pacs for pacs in seen if device.name in pacs.protected_by]:
            branch = root.add(_device(device, site.logins.get(device.name)))
            for pacs in behind:
                archive = _archive(branch, pacs, Zone.OUTSIDE)
                if (peer := standing(pacs, vantage)) is not None:
                    archive.add(Text("may pass: ").append(_peer(pacs, peer, Zone.OUTSIDE)))
                    continue
                # As in the control `acl`: who comes by VPN arrives somewhere else, and needs no permit here.
                _may_pass(archive, pacs, [peer for peer in pacs.access.peers if peer.via is None])
    if unprotected := [pacs for pacs in seen if not pacs.protected_by]:
        branch = root.add(Text("no device: nothing can be closed on the way", style="bold red"))
        for pacs in unprotected:
            _archive(branch, pacs, Zone.OUTSIDE)
    return root


def _from_inside(site: Site, vantage: Vantage) -> Tree:
    """A peer's place is of use for the archives that this peer may reach, nobody's place for all."""
    root = _root(vantage)
    for pacs in site.pacs.values():
        peers = [peer for peer in pacs.access.peers if peer.name == vantage.peer]
        if vantage.peer is None or peers:
            archive = _archive(root, pacs, Zone.INSIDE)
            for peer in peers:
                archive.add(_peer(pacs, peer, Zone.INSIDE))
    return root


def _root(vantage: Vantage) -> Tree:
    text = Text().append(vantage.name, style="bold")
    place = f", in the place of {vantage.peer}" if vantage.peer else ""
    text.append(f" ({vantage.zone}{place}; {vantage.via.words})", style="dim")
    return Tree(text)


def _device(device: Device, login: Login | None) -> Text:
    text = Text().append(device.name, style="bold")
    at = f" at {login.host} port {login.port}" if login else ""
    tunnels = f"; VPN by {', '.join(device.guard.vpn)}" if device.guard.vpn else ""
    text.append(f" ({device.platform}{at}; guards {', '.join(device.guard.interface)}{tunnels})", style="dim")
    return text


def _archive(parent: Tree, pacs: Pacs, zone: Zone) -> Tree:
    text = Text().append(pacs.name, style="bold")
    there: dict[str, list[str]] = {}
    for where, one in pacs.seen_from(zone):
        there.setdefault(str(where.address), []).append(_service(one, where.port_of(one)))
    seen = [f"{address}: {', '.join(services)}" for address, services in there.items()]
    text.append(f" ({'; '.join(seen)})", style="dim")
    return parent.add(text)


def _may_pass(archive: Tree, pacs: Pacs, peers: Iterable[Peer]) -> None:
    for peer in peers:
        if _ports(pacs, peer, Zone.OUTSIDE):
            archive.add(Text("may pass: ").append(_peer(pacs, peer, Zone.OUTSIDE)))
    archive.add(Text("nobody else may pass"))


def _ports(pacs: Pacs, peer: Peer, zone: Zone) -> list[int]:
    """Those that it uses, as they are seen there at addresses of its own IP version."""
    seen = [(where, one) for where, one in pacs.seen_from(zone) if where.address.version == peer.source.version]
    return sorted({where.port_of(one) for where, one in seen if peer.uses(one)})


def _peer(pacs: Pacs, peer: Peer, zone: Zone) -> Text:
    ports = ", ".join(map(str, _ports(pacs, peer, zone)))
    to = f"to port {ports}" if ports else "to no port that is listed"
    back = f"; listens on port {peer.listens.port}" if peer.listens else ""
    return Text(f"{peer.name} from {peer.address or peer.network} {to} ({', '.join(peer.roles)}{back})")


def _address(published: Published) -> str:
    moved = ", ".join(f"{own} as {seen}" for own, seen in published.ports.items())
    only = f", only port {', '.join(map(str, published.services))}" if published.services else ""
    return f"{published.address}" + (f" ({moved})" if moved else "") + only


def _service(service: Service, port: int) -> str:
    return f"{service.kind} {port}" + (f" by {service.front}" if service.front else "")
