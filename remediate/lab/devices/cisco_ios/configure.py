"""The configuration modes, and the loading of a whole configuration text through the same grammar."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Protocol

from remediate.lab.devices.cisco_ios.config import Archive, Config, Interface, Other, User, place
from remediate.lab.devices.cisco_ios.grammar import (
    Action,
    Ambiguous,
    Cursor,
    Grammar,
    Incomplete,
    Invalid,
    Rejected,
)
from remediate.lab.devices.cisco_ios.secrets import stored
from remediate.lab.devices.cisco_ios.translations import Translations


@dataclass(frozen=True)
class Mode:
    """``prompt``: what stands between hostname and ``#``. ``target``: names what is being configured."""

    prompt: str
    target: Any = None


OUTSIDE = Mode("")  # the exec mode: nothing is being configured
GLOBAL = Mode("(config)")


@dataclass(frozen=True)
class Question:
    """What the router asks before it goes on; what is typed next is the answer. Nobody asks the loader."""

    words: str
    answered: Callable[[str], str]


class Context(Protocol):
    """Who configures: a session on a line, or the loader."""

    mode: Mode
    lenient: bool  # a start configuration may hold what cannot be typed: loopback addresses
    knows_forced: bool  # this release knows ``no ip nat ... forced``

    @property
    def translations(self) -> Translations: ...

    @property
    def config(self) -> Config: ...


CONFIG, INTERFACE, EXTENDED, STANDARD, ARCHIVE, LINE = (Grammar() for _ in range(6))
GRAMMARS = {
    "(config)": CONFIG,
    "(config-if)": INTERFACE,
    "(config-subif)": INTERFACE,
    "(config-ext-nacl)": EXTENDED,
    "(config-std-nacl)": STANDARD,
    "(config-archive)": ARCHIVE,
    "(config-line)": LINE,
}

#: Global lines that this router takes and keeps, and that do nothing here.
VERBATIM = (
    "aaa new-model",
    "clock timezone <zone:WORD> <rest:LINE>",
    "ip domain name <name:WORD>",
    "ip domain-name <name:WORD>",
    "ip forward-protocol nd",
    "ip http server",
    "ip http secure-server",
    "ip name-server <address:A.B.C.D>",
    "ip nat inside destination <rest:LINE>",
    "ip nat inside source list <rest:LINE>",
    "ip nat inside source route-map <rest:LINE>",
    "ip nat outside source <rest:LINE>",
    "ip nat pool <rest:LINE>",
    "ip nat translation <rest:LINE>",
    "ip ssh version <version:1-2>",
    "logging buffered <size:4096-2147483647>",
    "logging host <address:A.B.C.D>",
    "ntp server <address:A.B.C.D>",
    "service password-encryption",
    "service timestamps <rest:LINE>",
    "snmp-server <rest:LINE>",
)

INTERFACE_KINDS = (
    "BVI",
    "Dialer",
    "Ethernet",
    "FastEthernet",
    "GigabitEthernet",
    "Loopback",
    "Port-channel",
    "Serial",
    "TenGigabitEthernet",
    "Tunnel",
    "Vlan",
)
VIRTUAL = ("BVI", "Dialer", "Loopback", "Tunnel", "Vlan", "Port-channel")


def interface_name(cursor: Cursor) -> str:
    """``GigabitEthernet0/1``, ``gi0/1`` and ``gi 0/1`` alike."""
    token = cursor.peek()
    split = re.fullmatch(r"([A-Za-z-]+)([\d/.]*)", token.text)
    if not split:
        raise Invalid(token.start)
    word = Cursor(cursor.line, [type(token)(split[1], token.start)])
    kind = word.keyword(INTERFACE_KINDS)
    cursor.take()
    unit = cursor.take().text if not split[2] else split[2]
    if not re.fullmatch(r"\d+(/\d+){0,2}(\.\d+)?", unit):
        raise Invalid(token.start + len(split[1]))
    return kind + unit


def existing_interface(config: Config, cursor: Cursor) -> str:
    start = cursor.peek().start
    name = interface_name(cursor)
    if name not in config.interfaces:
        raise Invalid(start)
    return name


# -- global -------------------------------------------------------------------------------------------


@CONFIG.command("hostname <name:WORD>")
def _hostname(on: Context, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,62}", name):
        return "% Hostname contains one or more illegal characters."
    on.config.hostname = name
    return ""


@CONFIG.command("no hostname", "no hostname <_name:WORD>")
def _no_hostname(on: Context) -> None:
    on.config.hostname = "Router"


@CONFIG.command("ip domain lookup", "ip domain-lookup")
def _lookup(on: Context) -> None:
    on.config.domain_lookup = True


@CONFIG.command("no ip domain lookup", "no ip domain-lookup")
def _no_lookup(on: Context) -> None:
    on.config.domain_lookup = False


@CONFIG.command("ip icmp rate-limit unreachable <milliseconds:1-4294967295>")
def _unreachable_interval(on: Context, milliseconds: int) -> None:
    on.config.unreachable_interval = milliseconds


@CONFIG.command("no ip icmp rate-limit unreachable")
def _no_unreachable_interval(on: Context) -> None:
    on.config.unreachable_interval = None


@CONFIG.command("enable secret <words:CURSOR>")
def _enable_secret(on: Context, words: Cursor) -> None:
    on.config.enable = _secret("secret", words)


@CONFIG.command("enable password <words:CURSOR>")
def _enable_password(on: Context, words: Cursor) -> None:
    on.config.enable = _secret("password", words)


@CONFIG.command("no enable secret", "no enable password")
def _no_enable(on: Context) -> None:
    on.config.enable = ""


@CONFIG.command("username <name:WORD> <words:CURSOR>")
def _username(on: Context, name: str, words: Cursor) -> None:
    known = on.config.users.get(name)
    privilege = known.privilege if known else 1
    if words.maybe(["privilege"]):
        privilege = words.number(0, 15)
    if not words.more() and known:
        known.privilege = privilege
        return
    kind = words.keyword(["secret", "password"])
    on.config.users[name] = User(privilege, _secret(kind, words))


def _secret(kind: str, words: Cursor) -> str:
    start = words.peek().start
    try:
        return stored(kind, words.rest())
    except ValueError:
        raise Invalid(start) from None


@CONFIG.command("no username <name:WORD>", "no username <name:WORD> <_rest:LINE>")
def _no_username(on: Context, name: str) -> None:
    on.config.users.pop(name, None)


@CONFIG.command("interface <words:CURSOR>")
def _interface(on: Context, words: Cursor) -> None:
    start = words.peek().start
    name = interface_name(words)
    words.end()
    if name not in on.config.interfaces:
        parent, _, sub = name.partition(".")
        if not (name.startswith(VIRTUAL) or (sub and parent in on.config.interfaces)):
            raise Invalid(start)  # hardware that is not there
        on.config.interfaces[name] = Interface(name)
    on.mode = Mode("(config-subif)" if "." in name else "(config-if)", name)


@CONFIG.command("no interface <words:CURSOR>")
def _no_interface(on: Context, words: Cursor) -> str:
    name = existing_interface(on.config, words)
    words.end()
    if not name.startswith(VIRTUAL) and "." not in name:
        return "% Removal of physical interfaces is not permitted"
    del on.config.interfaces[name]
    return ""


@CONFIG.command("ip route <words:CURSOR>")
def _route(on: Context, words: Cursor) -> str:
    line = _read_route(on, words)
    if line.startswith("%"):
        return line
    if line not in on.config.routes:
        on.config.routes.append(line)
    return ""


@CONFIG.command("no ip route <words:CURSOR>")
def _no_route(on: Context, words: Cursor) -> str:
    line = _read_route(on, words)
    if line not in on.config.routes:
        return "%No matching route to delete"
    on.config.routes.remove(line)
    return ""


def _read_route(on: Context, words: Cursor) -> str:
    network, mask = words.address(), words.address()
    if network & ~mask:
        return "%Inconsistent address and mask"
    hop = words.peek()
    by = str(IPv4Address(words.address())) if hop.text[0].isdigit() else existing_interface(on.config, words)
    distance = f" {words.number(1, 255)}" if words.more() else ""
    words.end()
    return f"ip route {IPv4Address(network)} {IPv4Address(mask)} {by}{distance}"


@CONFIG.command("archive")
def _archive(on: Context) -> None:
    on.config.archive = on.config.archive or Archive()
    on.mode = Mode("(config-archive)")


@CONFIG.command("no archive")
def _no_archive(on: Context) -> None:
    on.config.archive = None


@CONFIG.command("line <words:CURSOR>")
def _line(on: Context, words: Cursor) -> None:
    kind = words.keyword(["aux", "console", "vty"])[:3]
    first = words.number(0, 15 if kind == "vty" else 0)
    last = words.number(first, 15) if kind == "vty" and words.more() else first
    words.end()
    for number in range(first, last + 1):
        on.config.lines.setdefault((kind, number), {})
    on.mode = Mode("(config-line)", [(kind, number) for number in range(first, last + 1)])


# -- kept lines ---------------------------------------------------------------------------------------


_SHOWN_WHEN_OFF = ("aaa new-model", "ip http server", "ip http secure-server", "service password-encryption")


def _keep(on: Context, line: str, *, away: bool) -> None:
    """A line and its ``no`` form replace each other."""
    plain = " ".join(line.split())
    positive = plain.removeprefix("no ")
    on.config.other = [one for one in on.config.other if one.line not in (positive, f"no {positive}")]
    if not away or positive in _SHOWN_WHEN_OFF:
        on.config.other.append(Other(place(plain) or 0, plain))


# -- carrying out a line ------------------------------------------------------------------------------


def carry_out(on: Context, line: str) -> str | Question | None:
    """One line of configuration; what the router answers, if anything. Raises Rejected.

    A line that the present mode does not know is tried as a global one, as IOS does.
    """
    if not line.strip() or line.lstrip().startswith("!"):
        return None
    grammar = GRAMMARS[on.mode.prompt]
    try:
        match = grammar.match(line)
    except (Invalid, Incomplete, Ambiguous) as refused:
        if grammar is CONFIG or (not isinstance(refused, Invalid) and grammar.knows(line)):
            raise
        try:
            match = CONFIG.match(line)
        except Invalid as also:
            # the caret goes where the better of the two attempts stopped
            raise (also if also.offset > getattr(refused, "offset", 0) else refused) from None
        previous, on.mode = on.mode, GLOBAL
        try:
            return _answer(match(on))
        except Rejected:
            on.mode = previous
            raise
    return _answer(match(on))


def _answer(words: Any) -> str | Question | None:
    return words or None


def spelled(syntax: str, values: dict[str, Any]) -> str:
    """The line that was meant, with every keyword written out."""
    return " ".join(str(values[part[1:-1].split(":")[0]]) if part.startswith("<") else part for part in syntax.split())


def _kept(syntax: str, *, away: bool) -> Action:
    def action(on: Context, **values: Any) -> None:
        _keep(on, spelled(f"no {syntax}" if away else syntax, values), away=away)

    return action


for _syntax in VERBATIM:
    CONFIG.add(_syntax, _kept(_syntax, away=False))
    CONFIG.add(f"no {_syntax}", _kept(_syntax, away=True))
