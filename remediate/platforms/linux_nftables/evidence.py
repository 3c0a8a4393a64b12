"""What a Linux firewall knows of who came to an archive: counters of its rules, and packets that the kernel logged.

Counters: libnftables-json(5). Log lines: those of the kernel's own netfilter logger (nf_log_syslog), known by their
fields ``SRC=``, ``DST=``, ``PROTO=``; whatever else stands in a line, the prefix that somebody chose included, is not
read. Rules of the older xtables (iptables-legacy) have their counters in a table of their own, and are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from remediate.model.site import IPAddress
from remediate.model.traces import HitCounter, LogEntry, Traces
from remediate.platforms.deadman import HEAD
from remediate.platforms.linux_nftables.parser import TABLE
from remediate.platforms.session import Completed

#: Of each kind the newest, or those that have met most.
MOST = 200
#: Bytes of a ruleset that is read: a larger one is not for counting.
_LARGEST = 8 << 20

#: -t: without what named sets hold, which may be very much.
COUNTERS = f"""{HEAD}
nft -j -t list ruleset
"""

#: $@: what stands in a line about one of the archive's addresses. Of systemd's journal with the time in seconds,
#: otherwise of the kernel's own buffer. Nothing in it is no failure, and neither is a log that is not there.
LOGGED = f"""{HEAD}
set -- $(for one in "$@"; do echo "-e $one"; done)
lines() {{
    if [ -d /run/systemd/system ] && command -v journalctl >/dev/null; then
        journalctl -k -b -o short-unix --no-pager -n 20000
    else
        dmesg --time-format iso 2>/dev/null || dmesg
    fi
}}
lines | grep -F PROTO= | grep -F "$@" | tail -n {MOST + 1}
true
"""

_FIELD = re.compile(r"\b(SRC|DST|PROTO|SPT|DPT)=([0-9A-Za-z.:]{1,45})(?= |$)")
_UNIX = re.compile(r"(\d{9,11})\.\d{1,9} ")
_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.,]\d{1,9}(?:[+-]\d\d:?\d\d|Z)? ")
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_VERDICTS = ("accept", "drop", "reject", "dnat", "redirect", "snat", "masquerade", "queue", "return", "jump", "goto")

_Network = IPv4Network | IPv6Network


def collect(ask: Callable[..., Completed], addresses: Collection[IPAddress]) -> Traces:
    """``ask``: runs a script there. What it does not show is said, not raised."""
    counters, lacks = [], []
    listing = ask(COUNTERS)
    if listing.status or len(listing.out) > _LARGEST:
        why = "nft does not list its rules" if listing.status else "the ruleset is too large to be read for them"
        lacks.append(f"hit counters: {why}")
    else:
        try:
            counters = sorted(counted(listing.out, addresses), key=lambda one: (not one.ours, -one.packets))
        except ValueError as error:
            lacks.append(f"hit counters: {error}")
    words = [f"{side}={one.exploded}" for one in addresses for side in ("SRC", "DST")]
    log = list(logged(ask(LOGGED, *words).out, addresses))
    left_off = {"counters": len(counters) - MOST, "log": len(log) - MOST}
    return Traces(
        counters=tuple(counters[:MOST]),
        log=tuple(log[-MOST:]),
        lacks=tuple(lacks),
        left_off={kind: number for kind, number in left_off.items() if number > 0},
    )


# -- counters -----------------------------------------------------------------------------------------


def counted(text: str, addresses: Collection[IPAddress]) -> Iterator[HitCounter]:
    """The rules with a counter that name one of the addresses, or a network of theirs. Raises ValueError."""
    try:
        for item in json.loads(text)["nftables"]:
            if "rule" in item and (counter := _counter(item["rule"], addresses)) is not None:
                yield counter
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the ruleset is not as nft lists it") from error


def _counter(rule: Mapping[str, Any], addresses: Collection[IPAddress]) -> HitCounter | None:
    statements = [one for one in rule.get("expr", ()) if isinstance(one, dict)]
    counts = next((one["counter"] for one in statements if isinstance(one.get("counter"), dict)), None)
    if counts is None:
        return None
    sources: list[_Network] = []
    destinations: list[_Network] = []
    ports: list[str] = []
    for match in (one["match"] for one in statements if isinstance(one.get("match"), dict)):
        payload = match["left"].get("payload", {}) if isinstance(match["left"], dict) else {}
        field = payload.get("field") if match.get("op") in ("==", "in") else None
        if field == "saddr":
            sources += _networks(match["right"])
        elif field == "daddr":
            destinations += _networks(match["right"])
        elif field == "dport":
            ports += _ports(match["right"])
    action = next((name for one in statements for name in one if name in _VERDICTS), "count")
    translated = next((one["dnat"].get("addr") for one in statements if isinstance(one.get("dnat"), dict)), None)
    named = [*sources, *destinations, *_networks(translated)]
    if not any(address in network for address in addresses for network in named if network.prefixlen):
        return None
    table = f"{rule['family']} {rule['table']}"
    place = f"{table} {rule['chain']}"
    return HitCounter(
        place=place if all(map(_NAME.fullmatch, place.split(" "))) else "(a chain)",
        number=int(rule["handle"]) if "handle" in rule else None,
        ours=table == TABLE,
        action=action,
        sources=tuple(map(str, sources)),
        destinations=tuple(map(str, destinations)),
        ports=tuple(ports),
        packets=int(counts["packets"]),
        octets=int(counts["bytes"]),
    )


def _items(right: Any) -> Sequence[Any]:
    return right["set"] if isinstance(right, dict) and isinstance(right.get("set"), list) else (right,)


def _networks(right: Any) -> list[_Network]:
    """A named set, and what is no address (of a bridge, say), is nobody's."""
    networks: list[_Network] = []
    for item in _items(right):
        try:
            if isinstance(item, str):
                networks.append(ip_network(item))
            elif isinstance(item, dict) and "prefix" in item:
                networks.append(ip_network((item["prefix"]["addr"], int(item["prefix"]["len"]))))
        except ValueError:
            continue
    return networks


def _ports(right: Any) -> list[str]:
    ports = []
    for item in _items(right):
        if isinstance(item, int):
            ports.append(str(item))
        elif isinstance(item, dict) and "range" in item:
            ports.append("-".join(str(int(end)) for end in item["range"]))
    return ports


# -- log ----------------------------------------------------------------------------------------------


def logged(text: str, addresses: Collection[IPAddress]) -> Iterator[LogEntry]:
    """The lines about one of the addresses; every other one, and what is not of the known form, is passed over."""
    for line in text.splitlines():
        _, _, packet = line.partition("IN=")
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(packet):  # an ICMP message shows a second packet behind its own fields
            fields.setdefault(name, value)
        try:
            source, destination = ip_address(fields["SRC"]), ip_address(fields["DST"])
            entry = LogEntry(
                at=_time(line),
                action="logged",
                protocol=fields["PROTO"].lower()[:8],
                source=source,
                source_port=fields.get("SPT"),
                destination=destination,
                port=fields.get("DPT"),
            )
        except (KeyError, ValueError):
            continue
        if source in addresses or destination in addresses:
            yield entry


def _time(line: str) -> str:
    if found := _UNIX.match(line):
        return f"{datetime.fromtimestamp(int(found[1]), UTC):%Y-%m-%dT%H:%M:%S}Z"
    found = _ISO.match(line)
    return found[1] if found else ""
