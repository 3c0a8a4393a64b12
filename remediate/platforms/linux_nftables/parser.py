"""nftables text → the guard's entries, and everything that is not the guard.

One grammar reads both what our template prints and what ``nft -nn -s list`` shows of it. Inside the guard it is
strict: what it does not know cannot be proved, so it is an error. Outside, text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from remediate.errors import Unprovable
from remediate.model.rule import Action, PortRange, Rule
from remediate.model.site import IPNetwork

TABLE = "inet remediate"
_HOOK = ["type", "filter", "hook", "forward", "priority", "-400", ";", "policy", "accept", ";"]
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[{};,]|[^\s{};,"]+)')
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


def foreign(running: str) -> str:
    """The running configuration without our table and without what the traffic itself writes into it."""
    return _LIVE_SET.sub(r"\1", _TABLE_BLOCK.sub("", running))


def guard(text: str, before: Mapping[str, tuple[Rule, ...]] | None = None) -> dict[str, tuple[Rule, ...]]:
    """The sections of our table, by name, in a listing, or once a script is loaded where ``before`` was."""
    sections = dict(before or {})
    for line in _statements(text):
        _statement(line, sections)
    return sections


def of_running(running: str) -> dict[str, tuple[Rule, ...]]:
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
        found = _TOKEN.findall(line)
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


def _statement(tokens: list[str], sections: dict[str, tuple[Rule, ...]]) -> None:
    words = " ".join(tokens)
    if match := re.fullmatch(rf"(?:add )?table {TABLE}(?: \{{ (.*?) ?\}})? ;", words):
        body = match.group(1) or ""
        for chain in re.finditer(rf"chain (\S+) \{{ (.*?)\}} ; ?|set ({_SEEN}) \{{ (.*?) ?\}} ; ?|(\S.*)", body):
            if chain.group(5):
                raise _unknown(chain.group(5))
            if chain.group(3):
                _check_set(chain.group(3), chain.group(4))
                continue
            _chain(chain.group(1), chain.group(2), sections)
    elif match := re.fullmatch(rf"(flush|delete) chain {TABLE} (\S+) ;", words):
        if match.group(1) == "flush":
            sections[match.group(2)] = ()
        else:
            sections.pop(match.group(2), None)
    elif match := re.fullmatch(rf"add set {TABLE} ({_SEEN}) \{{ (.*?) ?\}} ;", words):
        _check_set(match.group(1), match.group(2))
    elif words == f"delete table {TABLE} ;":
        sections.clear()
    else:
        raise _unknown(words)


def _chain(name: str, body: str, sections: dict[str, tuple[Rule, ...]]) -> None:
    # ``body`` is made of tokens joined by blanks; a quoted string is one token, so it is cut apart by the tokeniser
    tokens = _TOKEN.findall(body)
    if tokens[: len(_HOOK)] == _HOOK:
        tokens = tokens[len(_HOOK) :]
    elif name not in sections:
        raise _unknown(f"chain {name} without `{' '.join(_HOOK)}`")
    rules = list(sections.get(name, ()))
    line: list[str] = []
    for word in tokens:
        if word == ";":
            if line:
                rules.append(_rule(line, name))
            line = []
        else:
            line.append(word)
    sections[name] = tuple(rules)


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


def _rule(tokens: list[str], section: str) -> Rule:
    line = _Line(tokens)
    try:
        ingress = tuple(sorted(map(_unquoted, line.values()))) if line.take("iifname") else ()
        egress = tuple(sorted(map(_unquoted, line.values()))) if line.take("oifname") else ()
        sources = _networks(line.values()) if line.take("ip", "saddr") or line.take("ip6", "saddr") else ()
        destinations = _networks(line.values()) if line.take("ip", "daddr") or line.take("ip6", "daddr") else ()
        source_ports = _ports(line.values()) if line.take("tcp", "sport") else ()
        destination_ports = _ports(line.values()) if line.take("tcp", "dport") else ()
        if line.take("counter") and line.take("packets"):
            line.next()
            line.take("bytes")
            line.next()
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
