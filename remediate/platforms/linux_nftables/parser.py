"""nftables text → the guard's entries, and everything that is not the guard.

One grammar reads both what our template prints and what ``nft -nn -s list`` shows of it. Inside the guard it is
strict: what it does not know cannot be proved, so it is an error. Outside, text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from remediate.errors import Unprovable
from remediate.model.change import Items
from remediate.model.rule import Action, PortRange, Rule, Unpublished
from remediate.model.site import IPNetwork

TABLE = "inet remediate"
#: Before a section's name: its chain in the nat hook, where it has one.
NAT = "nat_"
#: Of a nat chain the first that can be: connection tracking's own is -200.
NAT_PRIORITY = -199
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{};,]|[^\s{};,"]+)')
_POLICY = [";", "policy", "accept", ";"]
_HOOK = ["type", "filter", "hook", "forward", "priority", "-400", *_POLICY]
_NAT_HOOK = ["type", "nat", "hook", "prerouting", "priority", str(NAT_PRIORITY), *_POLICY]
_TABLE_BLOCK = re.compile(rf"^table {TABLE} \{{\n.*?^\}}\n", re.MULTILINE | re.DOTALL)
#: The set of those whom a section has observed, and for how long each is kept after the last time.
_SEEN = r"seen[46]_\S+"
_KEPT = "2678400s"
_DECLARED = {
    version: f"type ipv{version}_addr . ipv{version}_addr . inet_service ; size 65535 ; flags dynamic , timeout ; "
    f"timeout {_KEPT}"
    for version in "46"
}
#: A set whose elements come and go with the traffic: its contents are no configuration.
_LIVE_SET = re.compile(
    r"^(\t(?:set|map|meter) \S+ \{\n(?:(?!\t\}).*\n)*?\t\tflags [^\n]*\b(?:dynamic|timeout)\b(?:(?!\t\}).*\n)*?)"
    r"\t\telements = \{[^}]*\}\n",
    re.MULTILINE,
)


class Way(NamedTuple):
    """One rule of a section that unpublishes: ``nat``, and what is still open coming ``in`` or going ``out``."""

    way: str
    what: Unpublished

    @classmethod
    def passing(cls, what: Unpublished) -> tuple[Way, Way]:
        return cls("in", what), cls("out", what)


#: Chain → its rules, in order.
_Chains = dict[str, tuple[Rule | Way, ...]]


def foreign(running: str) -> str:
    """The running configuration without our table and without what the traffic itself writes into it."""
    return _LIVE_SET.sub(r"\1", _TABLE_BLOCK.sub("", running))


def guard(text: str, before: Mapping[str, Items] | None = None) -> dict[str, Items]:
    """The sections of our table, by name, in a listing, or once a script is loaded where ``before`` was."""
    chains: _Chains = {}
    for name, items in (before or {}).items():
        chains |= _chains(name, items)
    for line in _statements(text):
        _statement(line, chains)
    return _sections(chains)


def _chains(name: str, items: Items) -> _Chains:
    open_ones = [item for item in items if isinstance(item, Unpublished)]
    if not open_ones:
        return {name: tuple(item for item in items if isinstance(item, Rule))}
    return {
        NAT + name: tuple(Way("nat", one) for one in open_ones),
        name: tuple(way for one in open_ones for way in Way.passing(one)),
    }


def _sections(chains: _Chains) -> dict[str, Items]:
    """Raises Unprovable where the two chains of a section do not belong together."""
    found: dict[str, Items] = {}
    for name, rules in chains.items():
        if name.startswith(NAT):
            if name.removeprefix(NAT) not in chains:
                raise _unknown(f"chain {name} without chain {name.removeprefix(NAT)}")
            continue
        ended = tuple(rule for rule in chains.get(NAT + name, ()) if isinstance(rule, Way))
        meant = tuple(way for one in ended for way in Way.passing(one.what))
        if tuple(rule for rule in rules if isinstance(rule, Way)) != meant or (meant and len(meant) != len(rules)):
            raise _unknown(f"chain {name}, which does not end just what chain {NAT}{name} unpublishes")
        found[name] = tuple(one.what for one in ended) or tuple(rule for rule in rules if isinstance(rule, Rule))
    return found


def of_running(running: str) -> dict[str, Items]:
    """The sections of our table in the running configuration; {} where the table is not there."""
    return guard("".join(_LIVE_SET.sub(r"\1", block.group()) for block in _TABLE_BLOCK.finditer(running)))


def _statements(text: str) -> Iterator[list[str]]:
    """Each brace-balanced statement of a script, as tokens; a line's end is the token ``;``."""
    tokens: list[str] = []
    depth = 0
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = TOKEN.findall(line)
        if "".join(found).replace(" ", "") != line.replace(" ", "").replace("\t", ""):
            raise _unknown(line)
        depth += found.count("{") - found.count("}")
        tokens += found
        if tokens[-1] not in ("{", ";") or (tokens[-1] == "{" and depth == 0):
            tokens.append(";")
        if depth == 0:
            yield tokens
            tokens = []
    if depth:
        raise Unprovable("a brace is not closed", where="nftables guard", next="mend the template")


def _statement(tokens: list[str], chains: _Chains) -> None:
    words = " ".join(tokens)
    if match := re.fullmatch(rf"(?:add )?table {TABLE}(?: \{{ (.*?) ?\}})? ;", words):
        body = match.group(1) or ""
        for chain in re.finditer(rf"chain (\S+) \{{ (.*?)\}} ; ?|set ({_SEEN}) \{{ (.*?) ?\}} ; ?|(\S.*)", body):
            if chain.group(5):
                raise _unknown(chain.group(5))
            if chain.group(3):
                _check_set(chain.group(3), chain.group(4))
                continue
            _chain(chain.group(1), chain.group(2), chains)
    elif match := re.fullmatch(rf"(flush|delete) chain {TABLE} (\S+) ;", words):
        if match.group(1) == "flush":
            chains[match.group(2)] = ()
        else:
            chains.pop(match.group(2), None)
    elif match := re.fullmatch(rf"add set {TABLE} ({_SEEN}) \{{ (.*?) ?\}} ;", words):
        _check_set(match.group(1), match.group(2))
    elif words == f"delete table {TABLE} ;":
        chains.clear()
    else:
        raise _unknown(words)


def _chain(name: str, body: str, chains: _Chains) -> None:
    # ``body`` is made of tokens joined by blanks; a quoted string is one token, so it is cut apart by the tokeniser
    tokens = TOKEN.findall(body)
    hook = _NAT_HOOK if name.startswith(NAT) else _HOOK
    if tokens[: len(hook)] == hook:
        tokens = tokens[len(hook) :]
    elif name not in chains:
        raise _unknown(f"chain {name} without `{' '.join(hook)}`")
    rules = list(chains.get(name, ()))
    line: list[str] = []
    for word in tokens:
        if word == ";":
            if line:
                made = _way(line, nat=True) if name.startswith(NAT) else _rule(line, name)
                rules.append(made)
            line = []
        else:
            line.append(word)
    chains[name] = tuple(rules)


class _Line:
    """The tokens of one rule, read from the left."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0

    def take(self, *words: str) -> bool:
        if self.tokens[self.at : self.at + len(words)] == list(words):
            self.at += len(words)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.tokens):
            raise _unknown(" ".join(self.tokens))
        self.at += 1
        return self.tokens[self.at - 1]

    def values(self) -> list[str]:
        first = self.next()
        if first != "{":
            return [first]
        found = []
        while True:
            found.append(self.next())
            if self.take("}"):
                return found
            if not self.take(","):
                raise _unknown(" ".join(self.tokens))

    def counted(self) -> None:
        if self.take("counter") and self.take("packets"):
            self.next()
            self.take("bytes")
            self.next()


def _check_set(name: str, declared: str) -> None:
    """A set of those who were observed is no entry, but it is ours only if it is made as ours are."""
    if declared.rstrip(" ;") != _DECLARED[name[4]]:
        raise _unknown(f"set {name} {{ {declared} }}")


def _action(line: _Line, section: str, version: int) -> Action:
    if line.take("update"):
        family = "ip6" if version == 6 else "ip"
        key = (family, "saddr", ".", family, "daddr", ".", "tcp", "dport")
        if not line.take(f"@seen{version}_{section}", "{", *key, "timeout", _KEPT, "counter", "}", "accept"):
            raise _unknown(" ".join(line.tokens))
        return Action.OBSERVE
    return {"accept": Action.PERMIT, "drop": Action.DENY}[line.next()]


def _way(tokens: list[str], *, nat: bool) -> Way:
    line = _Line(tokens)
    try:
        way = "in" if line.take("iifname") else "out"
        if nat and way == "in":
            way = "nat"
        elif nat or (way == "out" and not line.take("oifname")):
            raise _unknown(" ".join(tokens))
        interfaces = tuple(sorted(map(_unquoted, line.values())))
        if not nat and not line.take("ct", "original"):
            raise _unknown(" ".join(tokens))
        family = line.next()
        if not line.take("daddr"):
            raise _unknown(" ".join(tokens))
        address = ip_address(line.next())
        to_port = ("tcp", "dport") if nat else ("meta", "l4proto", "6", "ct", "original", "proto-dst")
        if family != f"ip{'6' if address.version == 6 else ''}" or not line.take(*to_port):
            raise _unknown(" ".join(tokens))
        port = int(line.next())
        line.counted()
        end = ("dnat", family, "to", str(address)) if nat else ("drop",)
        note = _unquoted(line.next()) if line.take(*end) and line.take("comment") else None
        if note is None or line.at != len(tokens):
            raise _unknown(" ".join(tokens))
        return Way(way, Unpublished(interfaces=interfaces, address=address, port=port, note=note))
    except ValueError as error:
        raise _unknown(" ".join(tokens)) from error


def _rule(tokens: list[str], section: str) -> Rule | Way:
    if "original" in tokens:
        return _way(tokens, nat=False)
    line = _Line(tokens)
    try:
        ingress = tuple(sorted(map(_unquoted, line.values()))) if line.take("iifname") else ()
        egress = tuple(sorted(map(_unquoted, line.values()))) if line.take("oifname") else ()
        sources = _networks(line.values()) if line.take("ip", "saddr") or line.take("ip6", "saddr") else ()
        destinations = _networks(line.values()) if line.take("ip", "daddr") or line.take("ip6", "daddr") else ()
        source_ports = _ports(line.values()) if line.take("tcp", "sport") else ()
        destination_ports = _ports(line.values()) if line.take("tcp", "dport") else ()
        line.counted()
        action = _action(line, section, destinations[0].version if destinations else 0)
        note = _unquoted(line.next()) if line.take("comment") else ""
        if line.at != len(tokens):
            raise _unknown(" ".join(tokens))
    except (KeyError, ValueError) as error:
        raise _unknown(" ".join(tokens)) from error
    return Rule(
        action=action,
        ingress=ingress,
        egress=egress,
        sources=sources,
        destinations=destinations,
        source_ports=source_ports,
        destination_ports=destination_ports,
        note=note,
    )


def _networks(values: list[str]) -> tuple[IPNetwork, ...]:
    return tuple(sorted((ip_network(value) for value in values), key=lambda n: (int(n.network_address), n.prefixlen)))


def _ports(values: list[str]) -> tuple[PortRange, ...]:
    ranges = []
    for value in values:
        first, _, last = value.partition("-")
        ranges.append(PortRange(first=int(first), last=int(last or first)))
    return tuple(sorted(ranges, key=lambda r: (r.first, r.last)))


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError(text)
    return text[1:-1]


def _unknown(text: str) -> Unprovable:
    return Unprovable(
        f"this part of the guard cannot be read, so it cannot be proved: {text.strip(' ;')}",
        where=f"nftables table {TABLE}",
        next="keep to the entries of the template that comes along, or mend the device's table by hand",
    )
