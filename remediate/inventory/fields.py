"""The values that inventories are made of, read from their nodes. None: not as it must be, and already said."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TypeGuard, TypeVar

from pydantic import SecretStr, TypeAdapter

from remediate.inventory import certificate, secrets
from remediate.inventory.document import Node, did_you_mean, listed
from remediate.inventory.wording import ADDRESS_RULE, AE_TITLE_RULE, NAME_RULE, PORT_RULE, not_one_host
from remediate.model.base import AETitle, Name
from remediate.model.site import ClientCertificate, IPAddress, IPNetwork, LocalVia, SocksVia, SshVia

Choice = TypeVar("Choice", bound=StrEnum)

NAME = TypeAdapter[str](Name)
AE_TITLE = TypeAdapter[str](AETitle)
NETWORK_RULE = "an IPv4 or IPv6 network such as 10.99.0.0/24"
INTERFACE_RULE = "an interface name of letters, digits, inner blanks and . _ : / + - (at most 64)"
SSH_RULE = "user@host, user@host:port or user@[IPv6 address]:port"
SOCKS_RULE = "host, user@host, host:port or [IPv6 address]:port"
VIA_RULE = "local, {local: {source: ADDRESS}}, {ssh: user@host} or {socks: host:port}"
HOST_RULE = "a host name or an IP address"
#: Bytes of a user name and of a password (RFC 1929 2).
MOST_SOCKS = 255


def name(node: Node) -> str | None:
    return node.typed(NAME, NAME_RULE)


def names(node: Node, rule: str) -> list[tuple[Node, str]]:
    """Of a list, those that are names; one that stands twice is a problem."""
    return _each_once([(item, name(item)) for item in node.items(rule) or []])


def ae_title(node: Node) -> str | None:
    return node.typed(AE_TITLE, AE_TITLE_RULE)


def port(node: Node) -> int | None:
    return node.integer(1, 65535, PORT_RULE)


def choice(node: Node, kind: type[Choice]) -> Choice | None:
    word = node.choice([member.value for member in kind])
    return None if word is None else kind(word)


def address(node: Node) -> IPAddress | None:
    """An address that one host can have: no scope id, no IPv4 inside IPv6, not unspecified, no group of hosts."""
    text = node.string(ADDRESS_RULE)
    if text is None:
        return None
    try:
        found = ip_address(text)
    except ValueError:
        is_name = re.fullmatch(r"(?=.*[A-Za-z])[\w-]+(\.[\w-]+)*\.?", text)
        hint = "; names are not looked up, because what a name stands for may change between proof and push"
        node.wrong(ADDRESS_RULE, hint=hint if is_name else "")
        return None
    if rule := not_one_host(found):
        node.wrong(rule)
        return None
    return found


def is_peer_name(text: object) -> TypeGuard[str]:
    """Where an address may stand too: what is written with digits, dots and colons alone is meant as one."""
    if not isinstance(text, str) or re.fullmatch(r"[0-9.:]*", text):
        return False
    try:
        ip_address(text)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text, re.ASCII) is not None  # as model.base.Name
    return False


def network(node: Node) -> IPNetwork | None:
    text = node.string(NETWORK_RULE)
    if text is None:
        return None
    try:
        written = ip_interface(text)
    except ValueError:
        node.wrong(NETWORK_RULE)
        return None
    found = written.network
    if "%" in text or found.is_multicast:
        node.wrong(NETWORK_RULE)
    elif found.prefixlen == 0:
        node.wrong(f"{NETWORK_RULE}, not everybody")
    elif written.ip != found.network_address:
        node.wrong(f"{NETWORK_RULE}; did you mean {found}?")
    else:
        return found
    return None


def interfaces(node: Node) -> tuple[str, ...]:
    """Names that are safe in every configuration language: no quotes, braces, semicolons or line breaks."""
    found = []
    for item in node.one_or_more():
        text = item.string(INTERFACE_RULE)
        if text is not None and not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9 ._:/+-]{0,62}[A-Za-z0-9_])?", text):
            item.wrong(INTERFACE_RULE)
            text = None
        found.append((item, text))
    if not found:
        node.wrong(f"{INTERFACE_RULE}, or a list of them")
    return tuple(text for _, text in _each_once(found))


def hostname(node: Node) -> str | None:
    text = node.string(HOST_RULE)
    if text is not None and not is_host(text):
        node.wrong(HOST_RULE)
        return None
    return text


def is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?", text, re.ASCII) is not None
    return "%" not in text


def username(node: Node) -> str | None:
    text = node.string("a user name")
    if text is not None and (any(letter.isspace() for letter in text) or text.startswith("-")):
        node.wrong("a user name without blanks")
        return None
    return text


def path(node: Node, base: Path) -> str | None:
    """An absolute path; a relative one starts at ``base``, and ~ is the home directory."""
    text = node.string("a path")
    if text is None:
        return None
    try:
        return os.path.normpath(base.absolute() / Path(text).expanduser())
    except RuntimeError:
        node.wrong("a path; the home directory for ~ is not known")
        return None


def password(node: Node, base: Path) -> SecretStr | None:
    """The secret itself, or what it refers to. Never in a message."""
    rule = f"a password in quotes, {secrets.REFERENCE_RULE}"
    text = node.string(rule)
    if text is None:
        return None
    if not secrets.is_reference(text):
        return SecretStr(text)
    assert node.source.secrets is not None  # an inventory's file
    try:
        return node.source.secrets.of(text, base)
    except secrets.Missing as missing:
        node.problem(str(missing))
        return None


def ssh_keys(data: Mapping[str, Node], base: Path) -> tuple[str | None, str]:
    """Of ``ssh: {key, known_hosts}``: absolute paths."""
    try:
        known_hosts = str(Path.home() / ".ssh" / "known_hosts")
    except RuntimeError:  # a user without a home: sshd's own file is what is left
        known_hosts = "/etc/ssh/ssh_known_hosts"
    keys = data["ssh"].mapping(("key", "known_hosts")) if "ssh" in data else None
    if keys is None:
        return None, known_hosts
    key = path(keys["key"], base) if "key" in keys else None
    return key, (path(keys["known_hosts"], base) if "known_hosts" in keys else None) or known_hosts


def client_certificate(node: Node, base: Path) -> ClientCertificate | None:
    """``{certificate: PATH, key: PATH}``, readable and of one pair; without ``key`` it is in the same file."""
    keys = node.mapping(("certificate", "key"), required=("certificate",)) or {}
    paths = {name: path(keys[name], base) for name in keys}
    if "certificate" not in paths or None in paths.values():
        return None
    found = ClientCertificate.model_validate(paths)
    if why := certificate.trouble(found):
        node.problem(why)
        return None
    return found


def via(
    node: Node, keys: tuple[str | None, str], socks: Node | None, base: Path
) -> LocalVia | SshVia | SocksVia | None:
    """One of VIA_RULE. ``keys``: as from ``ssh_keys``; ``socks``: ``data.socks``."""
    if node.raw == "local":
        return LocalVia()
    if not isinstance(node.raw, dict):
        node.wrong(VIA_RULE)
        return None
    found = node.mapping(("local", "ssh", "socks"))
    if not found:
        if not node.raw:
            node.wrong(VIA_RULE)
        return None
    if len(found) > 1:
        node.problem(f"both {' and '.join(found)}; allowed: {VIA_RULE}")
        return None
    if "ssh" in found:
        return _ssh_target(found["ssh"], keys)
    if "socks" in found:
        return _socks_target(found["socks"], socks, base)
    if found["local"].raw is None:
        return LocalVia()
    local = found["local"].mapping(("source",))
    if local is None:
        return None
    source = address(local["source"]) if "source" in local else None
    return LocalVia(source=source) if source is not None or "source" not in local else None


def _ssh_target(node: Node, keys: tuple[str | None, str]) -> SshVia | None:
    target = _target(node, SSH_RULE, 22)
    if target is None:
        return None
    user, host, port = target
    if user is None:
        node.wrong(SSH_RULE)
        return None
    key, known_hosts = keys
    return SshVia(host=host, port=port, user=user, key=key, known_hosts=known_hosts)


def _socks_target(node: Node, socks: Node | None, base: Path) -> SocksVia | None:
    """With a user there is a password: RFC 1929 has no login without."""
    target = _target(node, SOCKS_RULE, 1080)
    if target is None:
        return None
    user, host, port = target
    if user is None:
        return SocksVia(host=host, port=port)
    keys = socks.mapping(("password",)) or {} if socks is not None else {}
    if "password" not in keys:
        node.problem(f"{user} has no password; write data.socks: {{password: env:NAME}}")
        return None
    secret = _socks_password(keys["password"], base)
    return SocksVia(host=host, port=port, username=user, password=secret) if secret is not None else None


def referred(node: Node, base: Path) -> SecretStr | None:
    """A secret that is never in the file itself: Nornir hands ``data`` on as it is written."""
    text = node.string(secrets.REFERENCE_RULE)
    if text is None:
        return None
    if not secrets.is_reference(text):
        node.problem(f"a password is not written here; allowed: {secrets.REFERENCE_RULE}")
        return None
    return password(node, base)


def _socks_password(node: Node, base: Path) -> SecretStr | None:
    secret = referred(node, base)
    if secret is not None and len(secret.get_secret_value().encode()) > MOST_SOCKS:
        node.problem(f"the password is longer than {MOST_SOCKS} bytes, which SOCKS5 cannot send (RFC 1929)")
        return None
    return secret


def _target(node: Node, rule: str, default: int) -> tuple[str | None, str, int] | None:
    """User, host and port of ``[user@]host[:port]``."""
    text = node.string(rule)
    if text is None:
        return None
    user, at, rest = text.rpartition("@")
    wrong = (at and not user) or ":" in user or any(letter.isspace() for letter in text) or user.startswith("-")
    if wrong or len(user.encode()) > MOST_SOCKS:
        node.wrong(rule, hint="; a password never stands here" if ":" in user else "")
        return None
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?", rest)
    plain = re.fullmatch(r"([^:\[\]]+)(?::([0-9]{1,5}))?", rest)
    match = bracketed or plain
    host, number = (match[1], int(match[2] or default)) if match else (rest, default)
    colons = ":" in host
    if not is_host(host) or not 1 <= number <= 65535 or (bracketed is not None and not colons):
        node.wrong(rule)
        return None
    return user or None, host, number


def check_name(node: Node, word: str, known: Collection[str], what: str) -> bool:
    """Whether ``word`` is one of ``known``; ``what``: what kind of thing it should be."""
    if word in known:
        return True
    if node.unfilled:
        return False  # said already
    node.problem(f"no {what} is called {word}; there are: {listed(sorted(known))}{did_you_mean(word, known)}")
    return False


def _each_once(found: list[tuple[Node, str | None]]) -> list[tuple[Node, str]]:
    once: dict[str, Node] = {}
    for item, text in found:
        if text is None:
            continue
        if text in once:
            item.problem(f"{text} stands twice")
        else:
            once[text] = item
    return [(item, text) for text, item in once.items()]
