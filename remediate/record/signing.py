"""Signatures in OpenSSH's format, made and checked by ``ssh-keygen -Y`` (OpenSSH, PROTOCOL.sshsig).

``namespace`` keeps a signature for one purpose from being used for another. Who may sign is in a file of allowed
signers (ssh-keygen(1), ALLOWED SIGNERS), read anew each time: whoever is struck out, or has expired, does not count.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remediate.errors import SignatureError
from remediate.model.base import Value
from remediate.record import programs

#: Seconds; a passphrase may have to be typed, or a token to be touched.
_DEADLINE = 120.0
_FINGERPRINT = re.compile(r" key (SHA256:[A-Za-z0-9+/=]+)")


class Signer(Value):
    """Who made a signature. ``principals``: all names that the key has among the allowed signers."""

    principal: str
    principals: tuple[str, ...]
    fingerprint: str


def sign(key: Path, namespace: str, message: str) -> str:
    """The armoured signature. ``key``: a private key, or a public one whose private half an agent holds."""
    done = _keygen(["-Y", "sign", "-f", str(key.expanduser()), "-n", namespace], message)
    if done.returncode:
        raise SignatureError(
            f"the key could not sign: {_said(done)}",
            where=str(key),
            next="give a private key, or the .pub of one that ssh-agent holds (ssh-add -L)",
        )
    return done.stdout


def fingerprint(signature: str, namespace: str, message: str) -> str:
    """Of the key that signed just that; whose it is, is not looked at. SignatureError: it signed something else."""
    return _check(["-Y", "check-novalidate", "-n", namespace], signature, message)


def verify(signature: str, namespace: str, message: str, signers: Path, principal: str | None = None) -> Signer:
    """``principal``: who it is said to be; without it, the first name that the key has in ``signers``."""
    key = fingerprint(signature, namespace, message)
    names = _principals(signature, signers, key)
    who = principal or next((name for name in names if not set(name) & set("*?!")), None)
    if who is None:
        raise SignatureError(
            f"key {key} may be anybody of {', '.join(names)}", where=str(signers), next="say who it is: --as PRINCIPAL"
        )
    try:
        _check(["-Y", "verify", "-f", str(signers), "-I", who, "-n", namespace], signature, message)
    except SignatureError as error:
        raise SignatureError(
            f"key {key} does not count for {who} and {namespace}: {error.what}",
            where=str(signers),
            next=f"the key's names there are: {', '.join(names)}; see also its namespaces= and valid-before=",
        ) from error
    return Signer(principal=who, principals=tuple(sorted({who, *names})), fingerprint=key)


def _principals(signature: str, signers: Path, key: str) -> tuple[str, ...]:
    try:
        signers.read_bytes()
    except OSError as error:
        raise SignatureError(
            f"the allowed signers cannot be read: {error.strerror}",
            where=str(signers),
            next="one line a person: NAME ssh-ed25519 AAAA… (ssh-keygen(1), ALLOWED SIGNERS)",
        ) from error
    with _file(signature) as path:
        done = _keygen(["-Y", "find-principals", "-f", str(signers), "-s", path], "")
    names = tuple(done.stdout.split())
    if done.returncode or not names:
        expired = re.search(r"key (has expired|is not yet valid): (.*)", done.stderr)
        why = f"{expired[1]} ({expired[2]})" if expired else "is not among the allowed signers"
        raise SignatureError(
            f"key {key} {why}", where=str(signers), next="sign with a key that counts, or have the key entered there"
        )
    return names


def _check(arguments: list[str], signature: str, message: str) -> str:
    with _file(signature) as path:
        done = _keygen([*arguments, "-s", path], message)
    found = _FINGERPRINT.search(done.stdout)
    if done.returncode or found is None:
        raise SignatureError(f"the signature does not fit: {_said(done)}", next="have it signed again")
    return found[1]


@contextmanager
def _file(text: str) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", prefix="remediate-", suffix=".sig") as file:
        file.write(text)
        file.flush()
        yield file.name


def _keygen(arguments: list[str], message: str) -> subprocess.CompletedProcess[str]:
    return programs.run(
        ["ssh-keygen", *arguments],
        text=message,
        deadline=_DEADLINE,
        install="install OpenSSH's client, 8.2 or newer",
        attempt="try the command by hand",
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """Its own words, the last line of them that is not a formality."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Signing ", "Could not verify"))]
    return (told or lines or [f"ssh-keygen ended with {done.returncode}"])[-1]
