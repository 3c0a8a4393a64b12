"""What a proven section does to packets, in words for whoever approves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remediate.model.change import Section
from remediate.model.rule import CallerIntent, Intent, TlsIntent, UnpublishIntent, WebLoginIntent
from remediate.model.site import Door, ServiceKind


def effect(section: Section, *, closing: bool) -> tuple[str, ...]:
    """``closing``: the entries are proved to be the intent; otherwise an earlier state comes back."""
    if not closing:
        if section.rules is None:
            return (f"{section.name} goes away: what it decided about fares as if it had never been there",)
        return (f"{section.name} is again as it was: {_entries(section.rules)}",)
    if isinstance(section.intent, CallerIntent):
        return tuple(_callers(section.intent))
    if isinstance(section.intent, TlsIntent):
        return tuple(_inside_tls(section.intent))
    if isinstance(section.intent, WebLoginIntent):
        return tuple(_logins(section.intent))
    if isinstance(section.intent, UnpublishIntent):
        return tuple(_published(section.intent))
    return tuple(_packets(section.intent))


def _packets(intent: Intent) -> Iterable[str]:
    """The answers on the way out are told with the packets on the way in: both are in the proof."""
    for door in intent.doors:
        interfaces = intent.stands_on(door)
        if not interfaces:
            continue
        where = f"TCP to {door.address} {_ports(door.seen)}, coming in by {', '.join(interfaces)}"
        served = ", ".join(_served(intent, door, interfaces))
        yield f"permitted: {where}: {served or 'nobody'}"
        others = f"everybody{' else' if served else ''}"
        if intent.observe:
            yield f"noted and let through: {where}: {others}"
        else:
            yield f"denied: {where}: {others}, in sessions that are open too"
    yield "untouched: every other packet"


def _published(intent: UnpublishIntent) -> Iterable[str]:
    for door in intent.doors:
        where = f"TCP to {door.address} {_ports(door.seen)}, coming in by {', '.join(intent.interfaces)}"
        yield f"no longer translated: {where}: left to {intent.device} itself, in sessions that are open too"
    yield "untouched: every other forward, and whoever comes to the archive's own address"


def _served(intent: Intent, door: Door, interfaces: tuple[str, ...]) -> Iterable[str]:
    for permit in intent.permits:
        ports = door.of(permit.ports)
        at = tuple(interface for interface in interfaces if interface in intent.stands_on(permit))
        if ports and at and permit.source.version == door.address.version:
            only = f" by {', '.join(at)}" if at != interfaces else ""
            yield f"{permit.peer} ({_source(permit.source)}) to {_ports(ports)}{only}"


def _callers(intent: CallerIntent) -> Iterable[str]:
    for caller in intent.callers:
        yield f"accepted: {caller.ae_title} at {caller.address} ({caller.peer}): {', '.join(caller.roles)}"
    yield f"rejected: associations by anybody else, or to another title than {intent.ae_title}"


def _logins(intent: WebLoginIntent) -> Iterable[str]:
    if any(kind.is_web for kind in intent.kinds):
        yield "asked for user and password: everybody who opens its web pages, REST interface or DICOMweb"
    if ServiceKind.FTP in intent.kinds:
        yield "refused: FTP without a user's name and password"
    if intent.certificate is not None:
        yield f"inside HTTPS only: {_ports(intent.ports)}, where it does not speak that yet"


def _inside_tls(intent: TlsIntent) -> Iterable[str]:
    yield f"accepted inside TLS: whoever shows a certificate that {intent.trusted} vouches for"
    if intent.peers:
        yield f"so must {', '.join(f'{one.peer} ({_source(one.source)})' for one in intent.peers)}"
    if not intent.behind:
        yield "refused: DICOM in clear, and TLS without such a certificate"
        return
    yield f"refused: TLS without such a certificate, on {_ports(intent.ports)}"
    own = ", ".join(f"{place.address} {_ports([place.port])}" for place in intent.behind)
    yield f"untouched: DICOM in clear, where the archive itself answers ({own})"


def _source(source: object) -> str:
    return str(source).removesuffix("/32").removesuffix("/128")


def _ports(ports: Sequence[int]) -> str:
    return f"port{'s' * (len(ports) > 1)} {', '.join(map(str, ports))}"


def _entries(found: Sequence[object]) -> str:
    return f"{len(found)} entr{'y' if len(found) == 1 else 'ies'}"
