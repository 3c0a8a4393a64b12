"""The inventory as a whole: its typed site, what it refers to inside itself, and which PACS a pattern selects."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from nornir.core.inventory import Inventory

from remediate.errors import InventoryError, UsageError
from remediate.inventory import configured, fields, kinds, scope
from remediate.inventory.document import FILL_IN, Node, Problems, did_you_mean, flat
from remediate.inventory.files import FILES, PACS, VANTAGES, Files, Inherited, LoadedDefaults, nornir_inventory, read
from remediate.inventory.secrets import Secrets
from remediate.model.device import LOCAL, Device, Login
from remediate.model.site import IPAddress, Pacs, Site, SshVia, Vantage, Zone
from remediate.policy import standing


@dataclass(frozen=True)
class Loaded:
    """An inventory that holds together.

    ``digest``: SHA-256 over the files. ``groups``: of every host, those that it is in, inherited ones too.
    """

    site: Site
    nornir: Inventory = field(repr=False)
    digest: str
    path: Path
    groups: Mapping[str, frozenset[str]]

    @property
    def text(self) -> str:
        """What it says, a line for each value, with everything inherited; no login, and nothing of ``extra``."""
        site = _without_logins(self.site.model_dump(mode="json", exclude_defaults=True))
        return "\n".join(flat(site | {"groups": {name: sorted(found) for name, found in self.groups.items()}}))

    def check_authorised(self, today: date) -> None:
        """Raises InventoryError for every address whose authorisation has ended. ``today``: in UTC."""
        if lines := scope.ended(self.site, today):
            raise InventoryError(
                "what may be asked has ended",
                lines,
                where=str(self.path),
                next="have it renewed, then change `expires` in data.scope of defaults.yaml; nothing was asked or "
                "changed",
            )

    def select(self, hosts: str, limit: str | None = None) -> tuple[str, ...]:
        """The PACS that a play's ``hosts`` pattern selects, less what ``limit`` leaves out, in inventory order.

        Patterns are Ansible's: names of hosts and groups, ``all``, globs, joined by commas or colons, ``!`` excludes,
        ``&`` demands.
        Raises UsageError for a name that does not exist, a glob that fits nothing, and when nothing is selected.
        """
        selected = self._matching(hosts, "hosts")
        if limit is not None:
            selected &= self._matching(limit, "--limit")
        if not selected:
            pattern = f"hosts: {hosts}" + ("" if limit is None else f" with --limit {limit}")
            raise UsageError(f"no PACS is selected by {pattern}", next=f"choose from: {', '.join(self.site.pacs)}, all")
        return tuple(name for name in self.site.pacs if name in selected)

    def _matching(self, pattern: str, where: str) -> set[str]:
        parts = [part.strip() for part in pattern.replace(":", ",").split(",") if part.strip()]
        if not parts:
            raise UsageError("the pattern is empty", where=where, next="give names of PACS or groups, or: all")
        excluded = [self._one(part[1:].strip(), where) for part in parts if part.startswith("!")]
        demanded = [self._one(part[1:].strip(), where) for part in parts if part.startswith("&")]
        included = [self._one(part, where) for part in parts if not part.startswith(("!", "&"))]
        found = set().union(*included) if included else set(self.site.pacs)
        return found.intersection(self.site.pacs, *demanded).difference(*excluded)

    def _one(self, word: str, where: str) -> set[str]:
        every = set(self.site.pacs)
        if word == "all":
            return every
        if any(letter in word for letter in "*?["):
            known = {*self.groups, *self.nornir.groups}
            fitting = {name for name in known if fnmatch.fnmatchcase(name, word)}
            if not fitting:
                raise UsageError(f"{word} fits no host and no group", where=where, next="remediate inventory show")
            return {name for name in every if name in fitting or fitting & self.groups[name]}
        if word in every:
            return {word}
        if word in self.nornir.groups:
            return {name for name in every if word in self.groups[name]}
        if word in self.groups:
            kind = "a vantage" if word in self.site.vantages else "a device"
            raise UsageError(f"{word} is {kind}, not a PACS", where=where, next="name the PACS that it is there for")
        hint = did_you_mean(word, {*every, *self.nornir.groups, "all"})
        raise UsageError(f"no host or group is called {word}{hint}", where=where, next="remediate inventory show")


#: Of a login, wherever it stands.
_OF_LOGINS = frozenset({"user", "username", "key", "known_hosts"})


def _without_logins(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_logins(inner) for key, inner in value.items() if key not in _OF_LOGINS}
    return [_without_logins(inner) for inner in value] if isinstance(value, list) else value


def load(path: Path, *, platforms: Collection[str] | None = None, may_be_empty: bool = False) -> Loaded:
    """Reads and checks an inventory. ``path``: its directory, or the hosts.yaml in it.

    ``platforms``: the drivers that there are; None: a device's platform is not checked. ``may_be_empty``: of PACS.
    Raises InventoryError with everything that is wrong.
    """
    secrets = Secrets()
    loaded = _load(path, secrets, platforms, may_be_empty=may_be_empty)
    if secrets.unasked:
        secrets.ask()
        loaded = _load(path, secrets, platforms, may_be_empty=may_be_empty)
    return loaded


def _load(path: Path, secrets: Secrets, platforms: Collection[str] | None, *, may_be_empty: bool) -> Loaded:
    problems = Problems(FILES)
    files = read(path, problems, secrets, may_be_empty=may_be_empty)
    hosts = [files.inherited(host) for host in files.hosts.values()]
    site = _site(files, hosts, platforms, may_be_empty=may_be_empty)
    if problems:
        lines = problems.lines()
        if problems.only_unfilled:
            count = "one place is" if len(lines) == 1 else f"{len(lines)} places are"
            next_step = f"put a value in place of each {FILL_IN}, or delete the lines that you have no use for"
            raise InventoryError(f"{count} still to be filled in", lines, where=str(path), next=next_step)
        count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise InventoryError(
            f"the inventory has {count}", lines, where=str(path), next="mend that; nothing was asked or changed"
        )
    inventory = nornir_inventory(files)
    loaded = Loaded(site, inventory, files.digest, files.base, {host.name: frozenset(host.groups) for host in hosts})
    assert isinstance(inventory.defaults, LoadedDefaults)
    inventory.defaults.loaded = loaded
    return loaded


def site_of(inventory: Inventory) -> Site:
    """The whole typed site of an inventory, filtered or not, that our plugin loaded."""
    if not isinstance(inventory.defaults, LoadedDefaults):
        next_step = "set inventory.plugin to RemediateInventory in Nornir's configuration"
        raise UsageError("the inventory was not loaded by the plugin RemediateInventory", next=next_step)
    loaded = inventory.defaults.loaded
    assert isinstance(loaded, Loaded)
    return loaded.site


class RemediateInventory:
    """Nornir's inventory plugin. ``path``: the directory of the inventory, or the hosts.yaml in it."""

    def __init__(self, path: str | Path = "inventory") -> None:
        self.path = Path(path)

    def load(self) -> Inventory:
        return load(self.path).nornir


def _site(files: Files, hosts: list[Inherited], platforms: Collection[str] | None, *, may_be_empty: bool) -> Site:
    """All typed values that could be made; the problems know what is missing."""
    by_kind: dict[str, list[Inherited]] = {PACS: [], VANTAGES: [], "devices": []}
    complete = files.complete
    for host in hosts:
        kind = kinds.kind_of(host)
        if kind is None:
            complete = False
        else:
            by_kind[kind].append(host)
    pacs: dict[str, Pacs] = {}
    devices: dict[str, Device] = {}
    logins: dict[str, Login] = {}
    vantages: dict[str, Vantage] = {}
    for host in by_kind[PACS]:
        if (one := kinds.pacs(host)) is not None:
            pacs[host.name] = one
            if (itself := configured.device(host, one, platforms)) is not None:
                devices[host.name] = itself
                if (login := kinds.login(host, files.base)) is not None:
                    logins[host.name] = login
    for host in by_kind["devices"]:
        is_front = configured.is_front(host)
        device = configured.front(host, pacs.values(), platforms) if is_front else kinds.device(host, platforms)
        if device is not None:
            devices[host.name] = device
        if (login := kinds.login(host, files.base)) is not None:
            logins[host.name] = login
    for host in by_kind[VANTAGES]:
        if (vantage := kinds.vantage(host, files.base)) is not None:
            vantages[host.name] = vantage
    if complete and hosts and not by_kind[PACS] and not may_be_empty:
        hosts[0].own.node.source.problems.add("hosts.yaml", 0, "no host is in the group pacs; allowed: at least one")
    if complete:
        _references(by_kind)
        _places_outside(by_kind[VANTAGES], vantages, pacs)
    for host in by_kind["devices"] if complete else ():
        _management(host, vantages)
    _shared_endpoints(pacs, {host.name: host for host in by_kind[PACS]})
    wide = files.defaults.data
    site = Site(
        pacs=pacs,
        devices=devices,
        vantages=vantages,
        authorised=scope.authorised(wide["scope"]) if "scope" in wide else (),
        limits=scope.limits(wide["limits"]) if "limits" in wide else scope.GENTLE,
        logins=logins,
    )
    scope.outside(site, {host.name: host for host in hosts})
    return site


def _references(by_kind: Mapping[str, list[Inherited]]) -> None:
    """Names that one host gives of another must exist; they are looked for as written, whatever else is wrong."""
    fronts = {host.name for host in by_kind["devices"] if configured.is_front(host)}
    devices = {host.name for host in by_kind["devices"]} - fronts
    peers = {name for host in by_kind[PACS] for name in _peer_names(host)}
    for host in by_kind[PACS]:
        node = host.data.get("protected_by")
        for item in node.raw if node is not None and isinstance(node.raw, list) else []:
            if isinstance(item.raw, str):
                fields.check_name(item, item.raw, devices, "device")
        for front in _of_items(host, "services", "front"):
            fields.check_name(front, front.raw, fronts, "front")
    for host in by_kind[VANTAGES]:
        node = host.data.get("peer")
        if node is not None and isinstance(node.raw, str):
            fields.check_name(node, node.raw, peers, "peer of any PACS")
        for behind in _of_items(host, "canaries", "behind"):
            fields.check_name(behind, behind.raw, devices, "device")


def _places_outside(hosts: Iterable[Inherited], vantages: Mapping[str, Vantage], pacs: Mapping[str, Pacs]) -> None:
    """Outside, a peer's place is of use only where an archive serves that peer at a published address."""
    for host in hosts:
        vantage = vantages.get(host.name)
        if vantage is None or vantage.peer is None or vantage.zone is not Zone.OUTSIDE:
            continue
        theirs = [one for one in pacs.values() if any(peer.name == vantage.peer for peer in one.access.peers)]
        if not theirs or any(standing(one, vantage) is not None for one in theirs):
            continue  # of a peer that nobody knows it is said elsewhere
        peers = [peer for one in theirs for peer in one.access.peers if peer.name == vantage.peer]
        by_vpn = all(peer.via is not None for peer in peers)
        why = "comes in by the VPN" if by_vpn else "has no outside address of its IP version to come in by"
        host.data["peer"].problem(
            f"outside is not the place of {vantage.peer}, which {why}; allowed: a vantage with zone: inside there, or "
            "a peer without via: vpn of a PACS with addresses.outside"
        )


def _management(host: Inherited, vantages: Mapping[str, Vantage]) -> None:
    for item in host.data["management"].one_or_more() if "management" in host.data else ():
        if isinstance(item.raw, str) and item.raw != LOCAL and not _ssh(vantages.get(item.raw)):
            item.wrong(f"{LOCAL}, and vantages with via: {{ssh: ...}}")


def _ssh(vantage: Vantage | None) -> bool:
    return vantage is not None and isinstance(vantage.via, SshVia)


def _of_items(host: Inherited, key: str, inner: str) -> Iterator[Node]:
    """The texts under ``inner`` in the items of a list, as far as they are as they must be."""
    node = host.data.get(key)
    for item in node.raw if node is not None and isinstance(node.raw, list) else []:
        found: Node | None = item.raw.get(inner) if isinstance(item.raw, dict) else None
        if found is not None and isinstance(found.raw, str):
            yield found


def _peer_names(host: Inherited) -> Iterator[str]:
    access = host.data.get("access")
    peers = access.raw.get("peers") if access is not None and isinstance(access.raw, dict) else None
    for peer in peers.raw if peers is not None and isinstance(peers.raw, list) else []:
        name: Node | None = peer.raw.get("name") if isinstance(peer.raw, dict) else None
        if name is not None and isinstance(name.raw, str):
            yield name.raw


def _shared_endpoints(pacs: Mapping[str, Pacs], hosts: Mapping[str, Inherited]) -> None:
    """An address and port can lead to one PACS only, as seen from one side."""
    taken: dict[tuple[Zone, IPAddress, int], str] = {}
    for name, one in pacs.items():
        for zone, published in ((Zone.OUTSIDE, one.addresses.outside), (Zone.INSIDE, one.addresses.inside)):
            for address in published:
                for service in filter(address.has, one.services):
                    seen = address.port_of(service)
                    first = taken.setdefault((zone, address.address, seen), name)
                    if first != name:
                        node = hosts[name].data.get("addresses", hosts[name].own.node)
                        node.problem(f"{zone}: {first} is at {address.address} port {seen} already")
