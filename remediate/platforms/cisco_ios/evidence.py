"""What an IOS router knows of who came to an archive: matches of its access lists, logged packets, translations.

``show ip access-lists`` (matches: Security Command Reference), ``%SEC-6-IPACCESSLOGP`` (System Messages), and ``show
ip nat translations``. Each line is read by its form and rebuilt from its addresses, ports, counts and times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address

from remediate.model.rule import PortRange
from remediate.model.site import IPAddress, IPNetwork
from remediate.model.traces import HitCounter, LogEntry, Traces, Translation
from remediate.platforms.cisco_ios.acl import rule_of

#: Of each kind the newest, or those that have met most.
MOST = 200

#: A message of the log begins with a percent sign, too: ``%SEC-6-…``.
_REFUSED = re.compile(
    r"\s*(\^\s*\n\s*)?(%(?![A-Z0-9_]+-\d-)|command authorization failed|command rejected)", re.IGNORECASE
)
_LIST = re.compile(r"(?:Standard|Extended) IP access list ([A-Za-z0-9_./-]{1,64})\s*$")
_ENTRY = re.compile(r"\s+(\d{1,10}) ((?:permit|deny) .+?)(?: log(?:-input)?)?(?: \(.*)?\s*$")
_MATCHES = re.compile(r"\((\d{1,20}) match(?:es)?\b")
#: An address, a port, and, where the entry logs its input, an interface and a MAC address.
_END = r"(\d{1,3}(?:\.\d{1,3}){3})\((\d{1,5})\)"
_LOGGED = re.compile(
    r"%SEC-\d-IPACCESSLOGP: list ([A-Za-z0-9_./-]{1,64}) (denied|permitted) (tcp|udp) "
    rf"{_END}(?: \([^()]{{1,64}}\))? -> {_END}, (\d{{1,10}}) packets?\s*$"
)
_TIME = re.compile(
    r"(?:\d{1,12}: )?[*.]?((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} (?:\d{4} )?"
    r"\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?: [A-Z]{1,5})?: "
)
_TRANSLATED = re.compile(r"(?:tcp|TCP)\s+(\S+):(\d+)\s+(\S+):(\d+)\s+\S+:\d+\s+(\S+):(\d+)\s*$")


def collect(ask: Callable[[str], str], addresses: Collection[IPAddress], ports: Collection[int]) -> Traces:
    """``ask``: types a command. What the router refuses to show is said, not raised."""
    lacks: list[str] = []

    def asked(what: str, command: str) -> str:
        text = ask(command)
        if not _REFUSED.match(text):
            return text
        lacks.append(f"{what}: the device refuses `{command}`")
        return ""

    four = [address for address in addresses if address.version == 4]
    counters = sorted(
        counted(asked("hit counters", "show ip access-lists"), four), key=lambda one: (not one.ours, -one.packets)
    )
    log = list(logged(asked("log", "show logging | include SEC-[0-9]-IPACCESSLOGP"), four))
    shown = asked("translations", "show ip nat translations")
    translations = [one for one in translated(shown, four) if one.port in ports]
    left_off = {"counters": len(counters), "log": len(log), "translations": len(translations)}
    return Traces(
        counters=tuple(counters[:MOST]),
        log=tuple(log[-MOST:]),
        translations=tuple(translations[:MOST]),
        lacks=tuple(lacks),
        left_off={kind: number - MOST for kind, number in left_off.items() if number > MOST},
    )


def counted(shown: str, addresses: Collection[IPAddress]) -> Iterator[HitCounter]:
    """Entries for TCP that name one of the addresses, or a network of theirs. Without matches none is shown: zero."""
    place = ""
    for line in shown.splitlines():
        if head := _LIST.match(line.strip()):
            place = head[1]
        elif place and (entry := _ENTRY.match(line)) and (rule := rule_of(" ".join(entry[2].split()))):
            if not _names((*rule.sources, *rule.destinations), addresses):
                continue
            matches = _MATCHES.search(line)
            yield HitCounter(
                place=place,
                number=int(entry[1]),
                action=rule.action,
                sources=tuple(map(str, rule.sources)),
                destinations=tuple(map(str, rule.destinations)),
                ports=tuple(map(_range, rule.destination_ports)),
                packets=int(matches[1]) if matches else 0,
            )


def _range(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}-{ports.last}"


def _names(networks: Collection[IPNetwork], addresses: Collection[IPAddress]) -> bool:
    return any(address in network for address in addresses for network in networks if network.prefixlen)


def logged(shown: str, addresses: Collection[IPAddress]) -> Iterator[LogEntry]:
    for line in shown.splitlines():
        found = _LOGGED.search(line)
        if found is None:
            continue
        place, action, protocol, source, source_port, destination, port, packets = found.groups()
        try:
            entry = LogEntry(
                at=_time(line),
                action=action,
                place=place,
                protocol=protocol,
                source=source,
                source_port=int(source_port) or None,  # 0 where the entry looked at no port
                destination=destination,
                port=int(port) or None,
                packets=packets,
            )
        except ValueError:
            continue
        if entry.source in addresses or entry.destination in addresses:
            yield entry


def _time(line: str) -> str:
    found = _TIME.match(line)
    return " ".join(found[1].split()) if found else ""


def translated(shown: str, addresses: Collection[IPAddress]) -> Iterator[Translation]:
    """Connections alone: a static entry of the table has nobody outside."""
    for found in filter(None, map(_TRANSLATED.match, shown.splitlines())):
        published, published_port, archive, port, source, source_port = found.groups()
        try:
            one = Translation(
                source=source,
                source_port=source_port,
                published=published,
                published_port=published_port,
                archive=archive,
                port=port,
            )
        except ValueError:
            continue
        if ip_address(archive) in addresses or ip_address(published) in addresses:
            yield one
