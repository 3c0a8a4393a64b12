"""What in stunnel's file would shut peers out once a certificate is asked for, or let strangers past it. Pure.

As stunnel 5.68 has it: an option that a service does not say itself is the global part's; verifyChain = yes asks for a
certificate and checks it against CAfile and CApath.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from remediate.model.rule import TlsIntent
from remediate.platforms.stunnel.document import Document, Service

#: Option → why no service with it may be changed so.
_REFUSED = {
    "verify": "the old option verify decides about certificates too; take it out",
    "PSKsecrets": "whoever has a key of PSKsecrets needs no certificate; take it out",
    "redirect": "whoever has no certificate would be passed on to what redirect names; take it out",
    "exec": "it starts a program, and passes nothing on to an archive",
    "protocol": "a protocol is spoken before TLS, so no DICOM station gets in",
    "sni": "it answers only for another service, by server name",
}
_OLD = ("ssl", "tlsv1", "tlsv1.1")
_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
_WITHOUT_CERTIFICATE = re.compile(r"aNULL|ADH|AECDH|SECLEVEL=0|COMPLEMENTOFDEFAULT", re.IGNORECASE)
#: Of OpenSSL's configuration commands the one that says nothing about certificates and versions.
_HARMLESS = re.compile(r"(curves|groups):.*", re.IGNORECASE)


def lock_outs(document: Document, intent: TlsIntent, ours: tuple[str, ...]) -> tuple[str, ...]:
    wrong: list[str] = []
    for port in intent.ports:
        services = document.accepting(port)
        if len(services) == 1:
            wrong += [f"[{services[0].name}]: {one}" for one in _of_service(document, services[0], intent, ours)]
        elif services:
            names = " and ".join(f"[{service.name}]" for service in services)
            wrong.append(f"{names} both accept on port {port}, and only one of them would be changed: make one of them")
        else:
            wrong.append(
                f"no service accepts on port {port}: add one with accept = {port}, connect = {_to_archive(intent)} "
                f"and cert = {intent.certificate}, let stunnel read it, and plan again"
            )
    for service in (document.globals, *document.services):
        if service.all("include"):
            wrong.append("include: files of a folder are read too, and services in them are not seen here")
    return tuple(wrong)


def remarks(document: Document, intent: TlsIntent) -> tuple[str, ...]:
    said = []
    for service in (one for port in intent.ports for one in document.accepting(port)):
        said += [
            f"[{service.name}]: {name} = {values[-1]} there vouches for certificates too"
            for name in ("CApath", "CAengine")
            if (values := document.effective(service, name))
        ]
        said += [
            f"[{service.name}]: only certificates with {name} = {' or '.join(values)} get in"
            for name in ("checkHost", "checkEmail", "checkIP")
            if (values := document.effective(service, name))
        ]
        if document.effective(service, "ticketKeySecret"):
            said.append(
                f"[{service.name}]: with ticketKeySecret a session that began before the change may be resumed "
                "after it, without a certificate, until it has expired"
            )
        names = [value for value in document.effective(service, "connect") if _is_name(value)]
        said += [f"[{service.name}]: that {value} is the archive is not known here" for value in names]
    return tuple(said)


def _of_service(document: Document, service: Service, intent: TlsIntent, ours: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{name} stands twice there: take one of them out" for name in ours if len(service.all(name)) > 1)
    if document.effective(service, "client")[-1:] == ("yes",):
        yield "client = yes: it speaks TLS to others, and takes nothing inside TLS"
    for name, why in _REFUSED.items():
        if document.effective(service, name):
            yield why
    for other in document.services:
        if any(value.partition(":")[0] == service.name for value in other.all("sni")):
            yield f"[{other.name}] answers in its place for some server names (sni), with options of its own"
    if document.effective(service, "verifyPeer")[-1:] == ("yes",):
        yield (
            "verifyPeer = yes: only certificates that stand in CAfile themselves get in, those of its authorities do "
            "not; take it out"
        )
    for name in ("sslVersion", "sslVersionMax"):
        values = document.effective(service, name)[-1:]
        if values and (values[0].lower().startswith(_OLD) and values[0].lower() not in ("tlsv1.2", "tlsv1.3")):
            yield f"{name} = {values[0]} there: nobody could speak TLS 1.2; take it out"
    if service.all("sslVersion")[-1:] == ("all",):
        yield "sslVersion = all there: TLS older than 1.2 may be spoken; take it out"
    if any(_WITHOUT_CERTIFICATE.search(value) for value in document.effective(service, "ciphers")) or (
        document.effective(service, "securityLevel")[-1:] == ("0",)
    ):
        yield "ciphers or securityLevel there allow a session without any certificate; take them out"
    for value in document.effective(service, "config"):
        if not _HARMLESS.fullmatch(value):
            yield f"config = {value}: what it does to certificates is not known here; take it out"
    yield from _elsewhere(document, service, intent)


def _elsewhere(document: Document, service: Service, intent: TlsIntent) -> Iterator[str]:
    """Where it passes on to somebody else than the archive."""
    values = document.effective(service, "connect")
    if not values:
        yield "it connects to nobody"
    addresses = {str(place.address) for place in intent.behind}
    ports = {str(place.port) for place in intent.behind}
    for value in values if intent.behind else ():
        host, _, port = value.rpartition(":")
        host = host.strip("[]")
        known = host.lower() in _LOOPBACK or _is_name(value) or _canonical(host) in addresses
        if port not in ports or not known:
            yield f"it passes on to {value}, and the archive answers in clear at {_to_archive(intent)}"


def _to_archive(intent: TlsIntent) -> str:
    return " or ".join(f"{place.address}:{place.port}" for place in intent.behind) or "the archive's own port"


def _is_name(value: str) -> bool:
    host = value.rpartition(":")[0].strip("[]")
    return host.lower() not in _LOOPBACK and not _canonical(host)


def _canonical(host: str) -> str:
    """ "" for what is no address."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""
