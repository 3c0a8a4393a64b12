"""Which rules of others translate a published address to somebody: nft's listing, and iptables-save's. Pure.

Nothing is guessed. A condition that is not known may hold; a rule is left out only where one that is known does not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from remediate.model.site import IPAddress
from remediate.platforms.linux_nftables.parser import NAT_PRIORITY, TOKEN


class Flow(NamedTuple):
    """New TCP connections from outside: they come in by one of ``interfaces``."""

    interfaces: tuple[str, ...]
    address: IPAddress
    port: int


class Forward(NamedTuple):
    """A rule that may translate such a connection. ``to``: None where that cannot be read. ``first``: it is asked
    before, or at the same time as, any chain of ours could be.
    """

    where: str
    text: str
    to: IPAddress | None
    first: bool = False


class _Chain(NamedTuple):
    rules: tuple[list[str], ...]
    #: The priority of a chain in the nat hook of prerouting; None: only others lead there.
    priority: int | None


class _Table(NamedTuple):
    where: str
    versions: tuple[int, ...]
    chains: Mapping[str, _Chain]
    #: Of a rule that may match, its words from where they are no longer known conditions; [] of others.
    reads: Callable[[list[str], Flow], list[str]]


def forwards(foreign: str, flow: Flow) -> Iterator[Forward]:
    """``foreign``: the device's configuration without our table."""
    for table in _tables(foreign):
        if flow.address.version in table.versions:
            for name, chain in table.chains.items():
                if chain.priority is not None:
                    yield from _of_chain(table, name, chain.priority, flow, ())


def _of_chain(table: _Table, name: str, priority: int, flow: Flow, led: tuple[str, ...]) -> Iterator[Forward]:
    """``led``: the chains on the way there; the kernel allows no loops."""
    if name not in table.chains or name in led:
        return
    for rule in table.chains[name].rules:
        rest = table.reads(rule, flow)
        leads = [rest[at + 1] for at, word in enumerate(rest[:-1]) if word in ("jump", "goto", "-j", "-g")]
        for chain in leads:
            yield from _of_chain(table, chain, priority, flow, (*led, name))
        if _TRANSLATES.intersection(word.lower() for word in rest):
            where = f"{table.where}, chain {name}"
            yield Forward(where, _words(rule), _target(rest, flow.address.version), priority <= NAT_PRIORITY)


#: ``xt``: what nft cannot show of iptables-nft's rules; ``fwd``, ``tproxy`` … are none of the nat hook.
_TRANSLATES = frozenset({"dnat", "redirect", "netmap", "xt"})
_TO = re.compile(
    r"(?P<four>[0-9.]+)(?::\d+(?:-\d+)?)?|\[(?P<bracketed>[0-9a-f:]+)\](?::\d+(?:-\d+)?)?|(?P<six>[0-9a-f:]+)"
)


def _target(rest: list[str], version: int) -> IPAddress | None:
    at = next((number for number, word in enumerate(rest) if word in ("to", "--to-destination")), len(rest))
    after = rest[at + 1 : at + 3]
    if not after or (len(after) > 1 and after[1] not in _AFTER and not after[1].startswith(('"', "-"))):
        return None
    found = _TO.fullmatch(after[0])
    try:
        made = ip_address(found["four"] or found["bracketed"] or found["six"]) if found else None
    except ValueError:
        return None
    return made if made is not None and made.version == version else None


#: What may follow where a translation leads to.
_AFTER = frozenset({"comment", "random", "fully-random", "persistent", ";"})


def _words(rule: list[str]) -> str:
    return " ".join(rule).replace(" ,", ",")


def _tables(foreign: str) -> Iterator[_Table]:
    """What iptables-save shows is read there: nft cannot show all of it. It leaves out chains that are not its own, and
    the whole table where somebody wrote into one of its own in another way.
    """
    listing, *saved = re.split(r"^# (ip6?tables)-save\n", foreign, flags=re.MULTILINE)
    shown: dict[str, Collection[str]] = {}
    for program, text in zip(saved[::2], saved[1::2], strict=True):
        chains = _saved(text)
        if chains:
            shown["table ip6 nat" if program == "ip6tables" else "table ip nat"] = chains
            yield _Table(f"{program}, table nat", (6,) if program == "ip6tables" else (4,), chains, _reads_saved)
    for head, chains in _listed(listing):
        family = head.split()[1]
        versions = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}.get(family, ())
        theirs = shown.get(head, ())
        own = {name: one for name, one in chains.items() if one.priority is None or name not in theirs}
        yield _Table(head, versions, own, _reads_listed)


# -- nft's listing --------------------------------------------------------------------------------------

_HOOK = re.compile(r"type nat hook prerouting priority (-?\d+);")


def _listed(listing: str) -> Iterator[tuple[str, dict[str, _Chain]]]:
    for head, body in re.findall(r"^(table \S+ \S+) \{\n(.*?)^\}", listing, re.MULTILINE | re.DOTALL):
        chains: dict[str, _Chain] = {}
        for name, lines in re.findall(r"^\tchain (\S+) \{[^\n]*\n(.*?)^\t\}", body, re.MULTILINE | re.DOTALL):
            hook = _HOOK.search(lines)
            chains[name] = _Chain(tuple(_rules(lines)), int(hook[1]) if hook else None)
        yield head, chains


def _rules(lines: str) -> Iterator[list[str]]:
    tokens: list[str] = []
    for line in lines.splitlines():
        tokens += TOKEN.findall(line)
        if tokens and tokens.count("{") == tokens.count("}"):
            if tokens[0] != "type":
                yield tokens
            tokens = []
    if tokens:
        yield tokens


def _reads_listed(rule: list[str], flow: Flow) -> list[str]:
    at = 0
    while at < len(rule):
        key = next((key for key in _KNOWN if tuple(rule[at : at + len(key)]) == key), None)
        if key is None:
            break
        at += len(key)
        if key == ("counter",):
            at += 4 if rule[at : at + 1] == ["packets"] else 0
            continue
        negated = rule[at : at + 1] == ["!="]
        values, after = _values(rule, at + negated)
        if rule[after : after + 1] == ["."] or values is None:
            break  # one value of several, or a set or map by its name
        if _excludes(_KNOWN[key], values, flow, negated=negated):
            return []
        at = after
    return rule[at:]


def _values(rule: list[str], at: int) -> tuple[list[str] | None, int]:
    """Those of one condition, and where it ends; None for those that are not written there."""
    if at >= len(rule) or rule[at].startswith(("@", "$", "&")) or rule[at] in ("map", "vmap"):
        return None, at
    if rule[at] != "{":
        return (None, at) if rule[at + 1 : at + 2] in (["map"], ["vmap"], ["&"], ["/"]) else ([rule[at]], at + 1)
    end = rule.index("}", at) if "}" in rule[at:] else len(rule)
    return [word for word in rule[at + 1 : end] if word != ","], end + 1


def _excludes(kind: str, values: Collection[str], flow: Flow, *, negated: bool) -> bool:
    """Whether the condition certainly does not hold for that flow. One that cannot be read may hold."""
    try:
        if kind == "interface":
            within = [any(_named(value, name) for value in values) for name in flow.interfaces]
        else:
            within = [any(_IS[kind](value, flow) for value in values)]
    except ValueError:
        return False
    return all(within) if negated else not any(within)


def _named(value: str, interface: str) -> bool:
    value = value.strip('"')
    return interface.startswith(value[:-1]) if value.endswith(("*", "+")) else value == interface


def _address(value: str, flow: Flow) -> bool:
    first, dash, last = value.partition("-")
    if dash:
        low, high = ip_address(first), ip_address(last)
        return low.version == flow.address.version and int(low) <= int(flow.address) <= int(high)
    network = ip_network(value)
    return network.version == flow.address.version and flow.address in network


def _port(value: str, flow: Flow) -> bool:
    first, _, last = value.replace(":", "-").partition("-")
    return int(first) <= flow.port <= int(last or first)


def _protocol(value: str, flow: Flow) -> bool:  # noqa: ARG001 -- every flow is one of TCP
    return value in ("6", "tcp", "all", "0")


def _family(value: str, flow: Flow) -> bool:
    return {"2": 4, "ipv4": 4, "10": 6, "ipv6": 6}.get(value) == flow.address.version


def _any(value: str, flow: Flow) -> bool:  # noqa: ARG001 -- nothing is known of it
    raise ValueError


def _never(value: str, flow: Flow) -> bool:  # noqa: ARG001 -- another protocol's
    return False


_IS: Mapping[str, Callable[[str, Flow], bool]] = {
    "address": _address,
    "port": _port,
    "protocol": _protocol,
    "family": _family,
    "any": _any,
    "never": _never,
}
#: The conditions of nft whose values are read, and what they are about.
_KNOWN: Mapping[tuple[str, ...], str] = {
    ("iifname",): "interface",
    ("ip", "daddr"): "address",
    ("ip6", "daddr"): "address",
    ("tcp", "dport"): "port",
    ("th", "dport"): "port",
    ("udp", "dport"): "never",
    ("meta", "l4proto"): "protocol",
    ("ip", "protocol"): "protocol",
    ("ip6", "nexthdr"): "protocol",
    ("meta", "nfproto"): "family",
    ("ip", "saddr"): "any",
    ("ip6", "saddr"): "any",
    ("tcp", "sport"): "any",
    ("ct", "state"): "any",
    ("fib", "daddr", "type"): "any",
    ("counter",): "",
}

# -- iptables-save --------------------------------------------------------------------------------------

_OPTIONS = {
    "-i": "interface",
    "-d": "address",
    "-p": "protocol",
    "--dport": "port",
    "--dports": "port",
}


def _saved(text: str) -> dict[str, _Chain]:
    body = re.search(r"^\*nat\n(.*?)^COMMIT$", text, re.MULTILINE | re.DOTALL)
    if body is None:
        return {}
    rules: dict[str, list[list[str]]] = {name: [] for name in re.findall(r"^:(\S+)", body[1], re.MULTILINE)}
    for name, rule in re.findall(r"^-A (\S+) (.*)$", body[1], re.MULTILINE):
        rules.setdefault(name, []).append(_split(rule))
    return {name: _Chain(tuple(found), -100 if name == "PREROUTING" else None) for name, found in rules.items()}


def _split(rule: str) -> list[str]:
    try:
        return shlex.split(rule)
    except ValueError:  # a quote is not closed: a rule that nobody can read
        return ["xt", rule]


def _reads_saved(rule: list[str], flow: Flow) -> list[str]:
    """Each option is a condition of its own: an unknown one takes nothing away from the others."""
    for at, option in enumerate(rule[:-1]):
        if option in _OPTIONS:
            negated = at > 0 and rule[at - 1] == "!"
            if _excludes(_OPTIONS[option], rule[at + 1].split(","), flow, negated=negated):
                return []
    return rule
