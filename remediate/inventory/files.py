"""The files of an inventory: Nornir's own format, and Nornir's own inheritance, both read strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nornir.core.inventory import ConnectionOptions, Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups
from pydantic import SecretStr

from remediate.errors import InventoryError
from remediate.inventory import fields
from remediate.inventory.document import Node, Problems, Source, did_you_mean, key_path, listed, named_element, parse
from remediate.inventory.secrets import Secrets
from remediate.inventory.wording import NAME_RULE

FILES = ("hosts.yaml", "groups.yaml", "defaults.yaml")
#: The groups that say what a host is; they need no entry in groups.yaml.
PACS, VANTAGES, DEVICES = "pacs", "vantages", ("firewalls", "fronts", "devices")
#: Platforms that can answer in an archive's place.
FRONTS = ("nginx", "stunnel", "vsftpd")
OWN_GROUPS = (PACS, VANTAGES, *DEVICES)

#: Groups of groups of groups: Nornir asks them one inside the other.
MOST_GENERATIONS = 20

ATTRIBUTES = ("hostname", "port", "username", "password", "platform")
CONNECTION_KEYS = (*ATTRIBUTES, "extras")
PACS_DATA = ("ae_title", "addresses", "services", "protected_by", "access", "config", "ssh", "extra")
DEVICE_DATA = ("guard", "config", "management", "ha", "ssh", "enable", "extra")
VANTAGE_DATA = ("zone", "via", "peer", "client_certificate", "canaries", "ssh", "socks", "extra")
ALL_DATA = tuple(dict.fromkeys((*PACS_DATA, *DEVICE_DATA, *VANTAGE_DATA)))
#: About the whole site, and so in defaults.yaml only.
SITE_DATA = ("scope", "limits")

#: Keys that people write beside ``data`` instead of in it.
_IN_DATA = {key: f"it belongs into data: {{{key}: ...}}" for key in ALL_DATA}
_IN_DEFAULTS = {key: f"it belongs into defaults.yaml, data: {{{key}: ...}}" for key in SITE_DATA}


@dataclass(frozen=True)
class Element:
    """A host, a group or the defaults, as written. ``values``: the attributes that are given, checked."""

    name: str
    node: Node
    nodes: Mapping[str, Node] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    groups: tuple[str, ...] = ()
    data: Mapping[str, Node] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Inherited:
    """A host with all that it has from its groups and the defaults. ``nodes``, ``values``: its attributes."""

    own: Element
    groups: tuple[str, ...]
    nodes: Mapping[str, Node]
    values: Mapping[str, Any] = field(repr=False)
    data: Mapping[str, Node]
    data_before_defaults: frozenset[str]

    @property
    def name(self) -> str:
        return self.own.name


@dataclass(frozen=True)
class Files:
    """``base``: the directory that relative paths start from. ``digest``: over names and bytes of the files.

    ``complete``: no host or group had to be left out, so that what is not there is really missing.
    """

    base: Path
    digest: str
    hosts: Mapping[str, Element]
    groups: Mapping[str, Element]
    defaults: Element
    complete: bool

    def ancestors(self, element: Element) -> tuple[str, ...]:
        """Its groups and theirs, in the order in which Nornir asks them, each once."""
        found: dict[str, None] = {}

        def visit(names: tuple[str, ...]) -> None:
            for name in names:
                if name not in found:
                    found[name] = None
                    visit(self.groups[name].groups)

        visit(element.groups)
        return tuple(found)

    def inherited(self, host: Element) -> Inherited:
        groups = self.ancestors(host)
        line = [host, *(self.groups[name] for name in groups)]
        nodes: dict[str, Node] = {}
        values: dict[str, Any] = {}
        data: dict[str, Node] = {}
        for element in line:
            data = {**element.data, **data}
        before_defaults = frozenset(data)
        for element in [*line, self.defaults]:
            nodes = {**element.nodes, **nodes}
            values = {**element.values, **values}
        data = {**self.defaults.data, **data}
        return Inherited(host, groups, nodes, values, data, before_defaults)


def read(path: Path, problems: Problems, secrets: Secrets, *, may_be_empty: bool = False) -> Files:
    """All that can be read; what is wrong inside the files is kept in ``problems``. ``may_be_empty``: of hosts.

    Raises InventoryError when there is no file to read.
    """
    base, contents = _contents(path, problems)
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    roots = {
        name: parse(data, Source(name, problems, key_path if name == "defaults.yaml" else named_element, secrets))
        for name, data in contents.items()
    }
    groups_root = roots.get("groups.yaml")
    groups = {element.name: element for element in _elements(groups_root, base, ALL_DATA, "group")}
    hosts_root = roots["hosts.yaml"]
    hosts = {element.name: element for element in _elements(hosts_root, base, None, "host")}
    if hosts_root is not None and hosts_root.raw in (None, {}) and not may_be_empty:
        hosts_root.problem("no host is in it; allowed: at least one PACS")
    defaults_root = roots.get("defaults.yaml")
    defaults = None
    if defaults_root is not None and defaults_root.raw is not None:
        known = (*ATTRIBUTES, "data", "connection_options")
        defaults = _element("defaults", defaults_root, base, known, (*ALL_DATA, *SITE_DATA))
    written = [root.raw for root in (hosts_root, groups_root) if root is not None and isinstance(root.raw, dict)]
    complete = sum(map(len, written)) == len(hosts) + len(groups) and None not in roots.values()
    if "groups.yaml" in contents and (groups_root is None or not isinstance(groups_root.raw, dict | None)):
        hosts, groups = {}, {}  # what is wrong is known; every group would only be unknown once more
    hosts, groups = _known_groups(hosts, groups, "groups.yaml" in contents)
    nothing = Node(Source("defaults.yaml", problems), (), 0, None)
    return Files(base, digest.hexdigest(), hosts, groups, defaults or Element("defaults", nothing), complete)


def _contents(path: Path, problems: Problems) -> tuple[Path, dict[str, bytes]]:
    where = str(path)
    next_step = "give the directory with hosts.yaml in it, or write one with: remediate init DIR"
    try:
        path = path.expanduser()
        if not path.is_dir() and path.name != FILES[0]:
            found = "is neither a directory nor a hosts.yaml" if path.exists() else "does not exist"
            raise InventoryError(
                "the inventory cannot be read", [f"{path.name or path} {found}"], where=where, next=next_step
            )
        base = path if path.is_dir() else path.parent
        contents: dict[str, bytes] = {}
        for name in FILES:
            try:
                contents[name] = (base / name).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                line = f"{name} cannot be read: {error.strerror}"
                raise InventoryError("the inventory cannot be read", [line], where=where, next=next_step) from error
        present = (
            sorted(entry.name for entry in base.iterdir() if entry.suffix in (".yaml", ".yml")) if base.is_dir() else []
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InventoryError("the inventory cannot be read", [reason], where=where, next=next_step) from error
    for name in present:
        if name not in FILES and (hint := did_you_mean(name, [file for file in FILES if file not in contents])):
            problems.add(name, 0, f"is not read{hint}")
    if FILES[0] not in contents:
        lines = ("hosts.yaml does not exist", *problems.lines())
        raise InventoryError("the inventory cannot be read", lines, where=where, next=next_step)
    return base, contents


def _elements(root: Node | None, base: Path, data_keys: tuple[str, ...] | None, what: str) -> Iterator[Element]:
    if root is None or root.raw is None:
        return
    for key, node in (root.mapping() or {}).items():
        if key == "all":
            node.problem(f"no {what} can be called all: it stands for every PACS")
        elif not _is_name(key):
            node.problem(f"is no name for a {what}; allowed: {NAME_RULE}")
        else:
            yield _element(key, node, base, (*ATTRIBUTES, "groups", "data", "connection_options"), data_keys)


def _is_name(text: str) -> bool:
    try:
        fields.NAME.validate_python(text)
    except ValueError:
        return False
    return True


def _element(name: str, node: Node, base: Path, keys: tuple[str, ...], data_keys: tuple[str, ...] | None) -> Element:
    """``data_keys`` None: a host, whose keys are looked at once it is known what the host is."""
    if node.raw is None:  # "north:" with nothing behind it
        return Element(name, node)
    nodes = node.mapping(keys, known_elsewhere=_IN_DATA) or {}
    nodes = {key: value for key, value in nodes.items() if value.raw is not None}
    values = {key: _attribute(key, nodes[key], base) for key in ATTRIBUTES if key in nodes}
    groups = tuple(group for _, group in fields.names(nodes["groups"], "a list of groups")) if "groups" in nodes else ()
    data = (nodes["data"].mapping(data_keys, known_elsewhere=_IN_DEFAULTS) or {}) if "data" in nodes else {}
    if "extra" in data and data["extra"].mapping() is not None:
        data["extra"].check_keys()
    connections = nodes["connection_options"].mapping() or {} if "connection_options" in nodes else {}
    return Element(
        name,
        node,
        {key: value for key, value in nodes.items() if key in ATTRIBUTES},
        values,
        groups,
        data,
        {key: _connection(value, base) for key, value in connections.items()},
    )


def _attribute(key: str, node: Node, base: Path) -> Any:
    match key:
        case "hostname":
            return fields.hostname(node)
        case "port":
            return fields.port(node)
        case "username":
            return fields.username(node)
        case "password":
            return fields.password(node, base)
    return node.string("a platform")


def _connection(node: Node, base: Path) -> dict[str, Any]:
    found = {key: one for key, one in (node.mapping(CONNECTION_KEYS) or {}).items() if one.raw is not None}
    options = {key: _attribute(key, found[key], base) for key in ATTRIBUTES if key in found}
    if "extras" in found and found["extras"].mapping() is not None:
        options["extras"] = found["extras"].plain()
    return options


def _known_groups(
    hosts: dict[str, Element], groups: dict[str, Element], have_file: bool
) -> tuple[dict[str, Element], dict[str, Element]]:
    """Only groups that exist, and no circle among them: what comes after can rely on it."""
    hosts = {name: _without_unknown(host, groups, have_file) for name, host in hosts.items()}
    groups = {name: _without_unknown(group, groups, have_file) for name, group in groups.items()}
    for element in (*hosts.values(), *groups.values()):
        for name in element.groups:
            groups.setdefault(name, Element(name, element.node))
    _untangle(groups)
    for name in groups.keys() & hosts.keys():
        hosts[name].node.problem(f"a group is called {name} too; a playbook could not tell them apart")
    return hosts, groups


def _untangle(groups: dict[str, Element]) -> None:
    """Takes circles out, and chains that are too long for Nornir's recursion; each is a problem."""
    open_groups: list[str] = []
    heights: dict[str, int] = {}

    def visit(name: str) -> None:
        open_groups.append(name)
        kept: list[str] = []
        for parent in groups[name].groups:
            if parent in open_groups:
                circle = " -> ".join((*open_groups[open_groups.index(parent) :], parent))
                groups[name].node.problem(f"groups: the groups stand in each other: {circle}")
                continue
            if parent not in heights and len(open_groups) < MOST_GENERATIONS:
                visit(parent)
            if heights.get(parent, MOST_GENERATIONS) >= MOST_GENERATIONS:
                groups[name].node.problem(f"groups: more than {MOST_GENERATIONS} groups stand in one another")
                continue
            kept.append(parent)
        open_groups.pop()
        groups[name] = replace(groups[name], groups=tuple(kept))
        heights[name] = 1 + max((heights[parent] for parent in kept), default=0)

    for name in list(groups):
        if name not in heights:
            visit(name)


def _without_unknown(element: Element, groups: Mapping[str, Element], have_file: bool) -> Element:
    kept = []
    for name in element.groups:
        if name in groups or name in OWN_GROUPS:
            kept.append(name)
        elif have_file:
            known = (*OWN_GROUPS, *groups)
            there = listed(sorted(groups))
            element.node.problem(
                f"groups: no group is called {name}; groups.yaml has: {there}{did_you_mean(name, known)}"
            )
        else:
            hint = did_you_mean(name, OWN_GROUPS)
            element.node.problem(
                f"groups: no group is called {name}{hint or f'; create groups.yaml with the line  {name}: {{}}'}"
            )
    return replace(element, groups=tuple(kept))


class LoadedDefaults(Defaults):
    """Nornir's defaults, and what our plugin made of the files: every filtered inventory keeps this object."""

    __slots__ = ("loaded",)
    loaded: Any


def nornir_inventory(files: Files) -> Inventory:
    """As Nornir's own plugin would load it; passwords are resolved, data is as written."""
    defaults = LoadedDefaults(**_arguments(files.defaults))
    groups = Groups({n: Group(name=n, defaults=defaults, **_arguments(g)) for n, g in files.groups.items()})
    hosts = Hosts({n: Host(name=n, defaults=defaults, **_arguments(h)) for n, h in files.hosts.items()})
    for name, group in groups.items():
        group.groups = ParentGroups([groups[parent] for parent in files.groups[name].groups])
    for name, host in hosts.items():
        host.groups = ParentGroups([groups[parent] for parent in files.hosts[name].groups])
    return Inventory(hosts=hosts, groups=groups, defaults=defaults)


def _arguments(element: Element) -> dict[str, Any]:
    return {
        **_revealed(element.values),
        "data": {key: node.plain() for key, node in element.data.items()},
        "connection_options": {
            key: ConnectionOptions(**_revealed(options)) for key, options in element.connections.items()
        },
    }


def _revealed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in values.items()}
