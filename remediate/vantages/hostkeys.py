"""SSH host keys of devices and vantages: fetched, compared with the known_hosts file, added to it.

The file is the one that paramiko reads for devices and asyncssh for vantages. paramiko knows names as they stand,
hashed ones included, and no patterns: a key counts as known here only where both find it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from remediate.errors import DeviceUnreachable, UsageError
from remediate.model.device import Login
from remediate.model.site import Site, SshVia

#: Seconds for one connection; a place is asked once per family of keys.
WAIT = 15.0
#: The server shows one key a connection: of the first family in our list that it has. Each family is put first once,
#: because paramiko and asyncssh need not prefer the same one; the others stay in the list, because a server that has
#: none of it hangs up, which looks like any other loss.
FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
)
#: Places that are asked at the same time.
AT_A_TIME = 20


@dataclass(frozen=True)
class Place:
    """An SSH server of the inventory. ``names``: the devices and vantages that are reached there."""

    names: tuple[str, ...]
    host: str
    port: int
    known_hosts: Path

    @property
    def entry(self) -> str:
        """Its name in a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


@dataclass(frozen=True)
class HostKey:
    """``kind``: as in a known_hosts file; ``data``: the key in base64."""

    kind: str
    data: str

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it."""
        digest = hashlib.sha256(base64.b64decode(self.data)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    def listed(self, comment: str) -> str:
        """The line that ``ssh-keygen -l`` prints for it."""
        family = self.kind.removeprefix("ssh-").split("-")[0].upper()
        return f"{_bits(self)} {self.fingerprint} {comment} ({family})"


@dataclass(frozen=True)
class Standing:
    """What a place offers, against what is on file. ``changed``: on file, then offered; the two cannot both be right.

    ``revoked``: offered, and marked @revoked in the file. With either, nothing may be recorded.
    """

    offered: tuple[HostKey, ...]
    new: tuple[HostKey, ...]
    changed: tuple[tuple[HostKey, HostKey], ...] = ()
    revoked: tuple[HostKey, ...] = ()


def places(site: Site, names: Sequence[str] | None = None) -> tuple[Place, ...]:
    """Where the devices and the SSH vantages are, in inventory order; one that has several names stands once.

    ``names``: only these. Raises UsageError for a name that has no SSH server, and when there is none at all.
    """
    servers: dict[str, Login | SshVia] = {**site.logins}
    servers |= {name: one.via for name, one in site.vantages.items() if isinstance(one.via, SshVia)}
    if not servers:
        raise UsageError("there is no device and no vantage over SSH: no host key to trust", next="see hosts.yaml")
    next_step = f"choose from: {', '.join(servers)}"
    if names is not None and not names:
        raise UsageError("names nobody", where="--limit", next=next_step)
    for name in names or ():
        if name not in servers:
            kind = "a PACS" if name in site.pacs else "this machine" if name in site.vantages else "not there"
            raise UsageError(f"{name} is {kind}, no device and no vantage over SSH", where="--limit", next=next_step)
    found: dict[tuple[str, int, str], list[str]] = {}
    for name, at in servers.items():
        if names is None or name in names:
            found.setdefault((at.host, at.port, at.known_hosts), []).append(name)
    return tuple(Place(tuple(n), host, port, Path(file)) for (host, port, file), n in found.items())


async def fetch_all(wanted: Iterable[Place]) -> dict[Place, tuple[HostKey, ...] | DeviceUnreachable]:
    """Of every place its host keys, or why there are none."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def one(place: Place) -> tuple[Place, tuple[HostKey, ...] | DeviceUnreachable]:
        async with gate:
            try:
                return place, await fetch(place)
            except DeviceUnreachable as error:
                return place, error

    return dict(await asyncio.gather(*map(one, wanted)))


async def fetch(place: Place) -> tuple[HostKey, ...]:
    """All its host keys, one per family. Each has signed a key exchange: the server holds it. Nobody logs in.

    Raises DeviceUnreachable, also where only some of the keys could be asked for.
    """
    found: dict[HostKey, None] = {}
    for family in FAMILIES:
        wanted = [*family, *(kind for other in FAMILIES if other is not family for kind in other)]
        try:
            async with asyncio.timeout(WAIT):
                key = await asyncssh.get_server_host_key(
                    place.host,
                    place.port,
                    server_host_key_algs=wanted,
                    config=None,  # ~/.ssh/config could name a proxy
                )
        except TimeoutError as error:
            raise _unreachable(place, f"no answer within {WAIT:g} s") from error
        except (OSError, ValueError, asyncssh.Error) as error:
            raise _unreachable(place, _reason(error)) from error
        assert key is not None  # a key exchange without a host key was not offered
        found[HostKey(key.get_algorithm(), base64.b64encode(key.public_data).decode())] = None
    return tuple(found)


def standing(place: Place, offered: tuple[HostKey, ...]) -> Standing:
    """Raises UsageError where the file cannot be read."""
    known, revoked = _on_file(place)
    kinds = {key.kind: key for key in reversed(known)}  # paramiko takes the first of a kind
    changed = [(kinds[key.kind], key) for key in offered if key.kind in kinds and key not in known]
    if known and not any(key in known for key in offered) and not changed:
        changed = [(known[0], offered[0])]  # what is on file is not offered any more
    return Standing(
        offered=offered,
        new=tuple(key for key in offered if key not in known),
        changed=tuple(changed),
        revoked=tuple(key for key in offered if key in revoked),
    )


def record(place: Place, keys: Iterable[HostKey]) -> None:
    """Adds them at the end of the file, each once. The file is made, for its owner only, where it is missing."""
    known, _ = _on_file(place)
    lines = [f"{place.entry} {key.kind} {key.data}\n" for key in dict.fromkeys(keys) if key not in known]
    if not lines:
        return
    try:
        place.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(place.known_hosts, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with open(handle, "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor, for the mode and O_APPEND
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            unended = file.read(1) not in (b"", b"\n")
            file.write(("\n" * unended + "".join(lines)).encode())
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(
            f"the known_hosts file cannot be written: {error.strerror}",
            where=str(place.known_hosts),
            next="name one that you may write to in the inventory (data: {ssh: {known_hosts: PATH}})",
        ) from error


def _on_file(place: Place) -> tuple[list[HostKey], list[HostKey]]:
    """The keys of that place, and those that are revoked, for whichever host."""
    try:
        text = place.known_hosts.read_text("utf-8")
        asyncssh.import_known_hosts(text)  # or no vantage would open
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no known_hosts file"
        raise UsageError(
            f"the known_hosts file cannot be read: {reason}", where=str(place.known_hosts), next="correct it"
        ) from error
    known: list[HostKey] = []
    revoked: list[HostKey] = []
    for words in (line.split() for line in text.splitlines()):
        if len(words) > 3 and words[0] == "@revoked":
            revoked.append(HostKey(words[2], words[3]))
        elif len(words) > 2 and any(_is(place.entry, name) for name in words[0].split(",")):
            known.append(HostKey(words[1], words[2]))
    return known, revoked


def _is(entry: str, name: str) -> bool:
    """``name``: plain, or ``|1|salt|HMAC-SHA1`` (sshd(8))."""
    if not name.startswith("|1|"):
        return name == entry
    _, _, salt, digest = name.split("|")  # asyncssh has read it already
    made = hmac.new(base64.b64decode(salt), entry.encode(), "sha1").digest()
    return hmac.compare_digest(made, base64.b64decode(digest))


def _bits(key: HostKey) -> int:
    """RFC 4253 6.6 and RFC 5656 3.1: an RSA key is its name, e and n; the others say their size by name."""
    if key.kind.startswith("ecdsa-"):
        return int(key.kind.removeprefix("ecdsa-sha2-nistp"))
    if key.kind != "ssh-rsa":
        return 256  # Ed25519
    rest, number = base64.b64decode(key.data), b""
    while rest:
        size = int.from_bytes(rest[:4])
        number, rest = rest[4 : 4 + size], rest[4 + size :]
    return int.from_bytes(number).bit_length()


def _reason(error: Exception) -> str:
    """Without asyncio's own way to print an address."""
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:  # a resolver's are below zero
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _unreachable(place: Place, why: str) -> DeviceUnreachable:
    return DeviceUnreachable(
        f"no host key from {place.host} port {place.port}: {why}",
        where=", ".join(place.names),
        next="check its address and port in the inventory, the way to it, and that its SSH server answers",
    )
