"""IOS access lists as values: their entries, and which of them are ours.

An entry is known by what it says. Neither its sequence number nor a remark before it is part of its identity: some
trains lose the numbers at a reload, and a remark moves or goes when a list is renumbered or an entry removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from remediate.errors import PlanError
from remediate.model.base import canonical, sha256
from remediate.model.rule import Action, PortRange, Rule
from remediate.model.site import IPNetwork

#: What an interface without a list does, and one whose list has no entry.
TAIL = "permit ip any any"

_HEADER = re.compile(r"remediate (\S+) ([1-9]\d*) ([0-9a-f]{8})")

#: The names that IOS prints for TCP ports.
_PORTS = {
    "bgp": 179, "chargen": 19, "cmd": 514, "daytime": 13, "discard": 9, "domain": 53, "drip": 3949, "echo": 7,
    "exec": 512, "finger": 79, "ftp": 21, "ftp-data": 20, "gopher": 70, "hostname": 101, "ident": 113, "irc": 194,
    "klogin": 543, "kshell": 544, "login": 513, "lpd": 515, "msrpc": 135, "nntp": 119, "onep-plain": 15001,
    "onep-tls": 15002, "pim-auto-rp": 496, "pop2": 109, "pop3": 110, "smtp": 25, "ssh": 22, "sunrpc": 111,
    "tacacs": 49, "talk": 517, "telnet": 23, "time": 37, "uucp": 540, "whois": 43, "www": 80,
}  # fmt: skip  # one name a line would be a page


class Entry(NamedTuple):
    """``text``: as IOS prints it, with single spaces and without its number. ``remarks``: those right before it."""

    text: str
    number: int
    remarks: tuple[str, ...] = ()


class AccessList(NamedTuple):
    """``extended``: not a standard one. ``old_style``: printed as ``access-list N``, which ``no`` removes whole.

    ``trailing``: remarks after the last entry. ``sure``: whether the numbers are the device's own.
    """

    name: str
    extended: bool = True
    old_style: bool = False
    entries: tuple[Entry, ...] = ()
    trailing: tuple[str, ...] = ()
    sure: bool = True


class Parts(NamedTuple):
    """``sections``: ours, as bare rules; the note of one says that others' entries stand before it. ``rest``: everybody
    else's entries, in order. ``trailing``: their remarks after these.
    """

    sections: dict[str, tuple[Rule, ...]]
    rest: tuple[Entry, ...]
    trailing: tuple[str, ...] = ()


def header(section: str, rules: Sequence[Rule]) -> str:
    """The remark before a section's entries, as it was typed before there was a ledger."""
    digest = sha256(canonical([rule.model_dump(mode="json") for rule in rules]))[:8]
    return f"remediate {section} {len(rules)} {digest}"


def parts(acl: AccessList, own: Mapping[str, Sequence[Rule]]) -> Parts:
    """``own``: section → those entries that the configuration says to be its (see ledger), wherever they stand. Some
    may be gone. A section that nothing says so of stands ahead of everything, behind the remark that names it.

    Raises PlanError where such a section is not what its remark says: what follows it may be anybody's.
    """
    owner = {rule: name for name, rules in own.items() for rule in rules}
    sections: dict[str, list[Rule]] = {}
    rest: list[Entry] = []
    remarks: tuple[str, ...] = ()  # others', right before an entry of ours
    at = 0
    while at < len(acl.entries):
        entry = acl.entries[at]
        rule = rule_of(entry.text) if owner else None
        if rule in owner:
            sections.setdefault(owner[rule], []).append(behind(rule, len(rest)))
            remarks += entry.remarks
        elif not rest and (found := _header(entry)):
            rules = _behind_remark(acl, at, found)
            if found[1] in sections:
                raise _by_hand(acl, found)
            sections[found[1]] = rules
            at += len(rules) - 1
        else:
            if not owner and not remarks:  # nothing that follows is ours
                rest += acl.entries[at:]
                break
            rest.append(entry._replace(remarks=remarks + entry.remarks))
            remarks = ()
        at += 1
    return Parts({name: tuple(rules) for name, rules in sections.items()}, converted(acl, rest), remarks + acl.trailing)


_BEHIND = re.compile(r"behind (\d+) of others' entries")


def behind(rule: Rule, others: int) -> Rule:
    """The rule, with a note where it stands behind that many entries of others."""
    return rule.model_copy(update={"note": f"behind {others} of others' entries" if others else ""})


def others_before(rule: Rule) -> int:
    found = _BEHIND.fullmatch(rule.note)
    return int(found[1]) if found else 0


def _behind_remark(acl: AccessList, at: int, found: re.Match[str]) -> list[Rule]:
    count = int(found[2])
    own = acl.entries[at : at + count]
    rules = [rule for rule in (rule_of(entry.text) for entry in own) if rule]
    intact = len(rules) == count and not any(entry.remarks for entry in own[1:]) and len(own[0].remarks) == 1
    if not intact or header(found[1], rules)[-8:] != found[3]:
        raise _by_hand(acl, found)
    return rules


def _by_hand(acl: AccessList, found: re.Match[str]) -> PlanError:
    return PlanError(
        f"access list {acl.name} is not what its remark `{found[0]}` says: the {found[2]} entries of section "
        f"{found[1]} that the remark speaks of do not follow it",
        next=f"see which of its entries are the guard's for {found[1]} (remediate record show prints them), and type: "
        f"ip access-list extended {acl.name} / no remark {found[0]} / no and each of these entries; then plan again",
    )


def misplaced(entries: Iterable[Entry]) -> bool:
    """Whether a section that is known by its remark alone stands behind somebody else's entry."""
    return any(_header(entry) for entry in entries)


def _header(entry: Entry) -> re.Match[str] | None:
    return next((m for m in map(_HEADER.fullmatch, entry.remarks) if m), None)


def converted(acl: AccessList, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """A standard list's entries as an extended list has them: a standard list looks at the source alone."""
    if acl.extended:
        return tuple(entries)
    made = []
    for entry in entries:
        action, address, *more = entry.text.split()
        log = [word for word in more if word in ("log", "log-input")]
        wildcard = [word for word in more if word not in log]
        source = [address, *wildcard] if wildcard or address == "any" else ["host", address]
        made.append(entry._replace(text=" ".join([action, "ip", *source, "any", *log])))
    return tuple(made)


def key(text: str) -> Rule | str:
    """What makes two entries the same to IOS. Logging is left out: with or without it, the packets are the same."""
    words = text.split()
    while words and words[-1] in ("log", "log-input"):
        words.pop()
    bare = " ".join(words)
    return rule_of(bare) or bare


def without(entries: Sequence[Entry], own: Iterable[Rule]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """The entries that IOS would keep behind ours: one that equals an entry already there is ignored silently.

    Also the remarks that are left over at the end: the remarks of an ignored entry go to the next one.
    """
    there = set(own)
    kept: list[Entry] = []
    waiting: tuple[str, ...] = ()
    for entry in entries:
        waiting += entry.remarks
        if key(entry.text) not in there:
            kept.append(entry._replace(remarks=waiting))
            waiting = ()
    return tuple(kept), waiting


def core(rule: Rule) -> Rule:
    """A rule without where it stands: what one entry says."""
    return rule.model_copy(update={"ingress": (), "egress": (), "note": ""})


@lru_cache(65536)
def rule_of(text: str) -> Rule | None:
    """The rule that an entry of ours is; None for what we do not write (other protocols, flags, several ports …)."""
    words = text.split()
    if len(words) < 4 or words[0] not in ("permit", "deny") or words[1] != "tcp":
        return None
    action = Action(words[0])
    del words[:2]
    try:
        sources, source_ports = _networks(words), _ports(words)
        destinations, destination_ports = _networks(words), _ports(words)
        return (
            None
            if words
            else Rule(
                action=action,
                sources=sources,
                source_ports=source_ports,
                destinations=destinations,
                destination_ports=destination_ports,
            )
        )
    except (ValueError, IndexError):
        return None


def _networks(words: list[str]) -> tuple[IPNetwork, ...]:
    first = words.pop(0)
    if first == "any":
        return ()
    if first == "host":
        return (IPv4Network(words.pop(0)),)
    mask = int(IPv4Address(words.pop(0))) ^ 0xFFFFFFFF
    length = mask.bit_count()
    if mask != (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF:
        raise ValueError("a wildcard that is no network")
    return (IPv4Network((first, length)),)


def _ports(words: list[str]) -> tuple[PortRange, ...]:
    if not words or words[0] not in ("eq", "range"):
        return ()
    values = [_port(words.pop(1)) for _ in range(1 if words[0] == "eq" else 2)]
    del words[0]
    return (PortRange(first=values[0], last=values[-1]),)


def _port(word: str) -> int:
    return _PORTS.get(word) or int(word)
