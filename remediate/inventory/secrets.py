"""References to secrets: ``env:``, ``file:``, ``keyring:``, ``vault:``. A secret itself is in no message.

``vault:`` is HashiCorp's Vault or OpenBao, key/value version 2. Its client and the one of the keyring are imported
only where a reference needs them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from remediate.inventory.document import did_you_mean, listed

REFERENCE_RULE = "env:NAME, file:PATH, keyring:SERVICE/USER or vault:MOUNT/PATH#FIELD"
MOST_SECRET = 4096
#: Seconds for one answer of a Vault.
VAULT_DEADLINE = 10.0

_FORMS = {
    "env": (r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable"),
    "file": (r".+", "a path"),
    "keyring": (r"[^/]+(/[^/]+)*/[^/]+", "SERVICE/USER"),
    "vault": (r"[^/#]+(/[^/#]+)+#[^#]+", "MOUNT/PATH#FIELD"),
}
#: Those that another program is asked for.
_STORES = ("keyring:", "vault:")


class Missing(Exception):
    """What stands in the way of a secret, and what to do."""


def is_reference(text: str) -> bool:
    return text.partition(":")[0] in _FORMS and ":" in text


def check(reference: str) -> None:
    """Raises Missing for one that is not well-formed."""
    kind, _, rest = reference.partition(":")
    form, what = _FORMS[kind]
    if not re.fullmatch(form, rest) or (kind == "vault" and {".", ".."} & set(rest.partition("#")[0].split("/"))):
        raise Missing(f"{kind}: is not followed by {what}")


def absolute(reference: str, base: Path) -> str:
    """The same one, which no longer depends on where it stands. Raises Missing."""
    check(reference)
    kind, _, rest = reference.partition(":")
    if kind != "file":
        return reference
    try:
        return f"file:{base.absolute() / Path(rest).expanduser()}"
    except RuntimeError as error:
        raise Missing("the home directory for ~ is not known") from error


def resolve(reference: str, base: Path) -> SecretStr:
    """The secret, asked for now. ``base``: what relative paths start from. Raises Missing."""
    check(reference)
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            if not os.environ.get(rest):
                raise Missing(f"the environment variable {rest} is not set, or empty")
            return SecretStr(os.environ[rest])
        case "file":
            return _of_file(rest, base)
        case "keyring":
            return _of_keyring(*rest.rsplit("/", 1))
    path, _, field = rest.partition("#")
    return _field(_Vault().read(path), path, field)


class Secrets:
    """What one reading of an inventory refers to.

    The stores are asked only between two readings, once for each place, when nothing else is wrong: the first reading
    has a placeholder for what they hold.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, None] = {}
        self._found: dict[str, SecretStr | Missing] = {}

    @property
    def unasked(self) -> bool:
        return any(reference not in self._found for reference in self._wanted)

    def of(self, reference: str, base: Path) -> SecretStr:
        """Raises Missing."""
        if not reference.startswith(_STORES):
            return resolve(reference, base)
        check(reference)
        self._wanted[reference] = None
        found = self._found.get(reference, SecretStr("not asked for yet"))
        if isinstance(found, Missing):
            raise Missing(*found.args)
        return found

    def ask(self) -> None:
        for reference in self._wanted:
            if reference.startswith("keyring:"):
                try:
                    self._found[reference] = resolve(reference, Path())
                except Missing as missing:
                    self._found[reference] = missing
        self._found |= _of_vault([one for one in self._wanted if one.startswith("vault:")])


def _of_file(text: str, base: Path) -> SecretStr:
    """Its first line, the line's end not included."""
    try:
        place = base.absolute() / Path(text).expanduser()
        with place.open("rb") as file:
            secret = file.read(MOST_SECRET + 1).decode().rstrip("\r\n")
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the home directory for ~ is not known"
        raise Missing(f"the file {text!r} cannot be read: {reason}") from error
    except UnicodeDecodeError as error:
        raise Missing(f"the file {text!r} is not text") from error
    return _one_line(secret, f"the file {text!r} does not hold one line with a password")


def _one_line(secret: object, otherwise: str) -> SecretStr:
    if not isinstance(secret, str) or not secret or len(secret) > MOST_SECRET or not secret.isprintable():
        raise Missing(otherwise)
    return SecretStr(secret)


def _of_keyring(service: str, user: str) -> SecretStr:
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError as error:
        raise _not_installed("keyring", "keyring") from error
    try:
        secret = keyring.get_password(service, user)
    except NoKeyringError as error:
        raise Missing(
            "this machine has no keyring; choose one (PYTHON_KEYRING_BACKEND), or write env:, file: or vault:"
        ) from error
    except KeyringError as error:
        raise Missing(f"the keyring cannot be asked ({type(error).__name__}); unlock it") from error
    if secret is None:
        raise Missing(
            f"the keyring has no password of {user!r} for {service!r}; set it: keyring set '{service}' '{user}'"
        )
    return _one_line(secret, f"what the keyring has of {user!r} for {service!r} is not one line with a password")


def _of_vault(references: Iterable[str]) -> dict[str, SecretStr | Missing]:
    """Each path is read once, however many fields of it are wanted."""
    found: dict[str, SecretStr | Missing] = {}
    read: dict[str, dict[str, Any] | Missing] = {}
    vault: _Vault | None = None
    for reference in references:
        path, _, field = reference.removeprefix("vault:").partition("#")
        try:
            if path not in read:
                vault = vault or _Vault()
                try:
                    read[path] = vault.read(path)
                except Missing as missing:
                    read[path] = missing
            values = read[path]
            if isinstance(values, Missing):
                raise values
            found[reference] = _field(values, path, field)
        except Missing as missing:
            found[reference] = missing
    return found


def _field(values: dict[str, Any], path: str, field: str) -> SecretStr:
    if field not in values:
        raise Missing(f"{path} in Vault has no field {field}; it has: {listed(values)}{did_you_mean(field, values)}")
    return _one_line(values[field], f"the field {field} of {path} in Vault is not one line of text")


class _Vault:
    """Found as HashiCorp's own command finds it: VAULT_ADDR, VAULT_TOKEN or ~/.vault-token, VAULT_NAMESPACE,
    VAULT_CACERT. Raises Missing."""

    def __init__(self) -> None:
        try:
            import hvac
        except ImportError as error:
            raise _not_installed("vault", "hvac") from error
        address = os.environ.get("VAULT_ADDR")
        if not address:
            raise Missing("the environment variable VAULT_ADDR is not set; it says where the Vault is")
        self._shown = re.sub(r"//[^/]*@", "//***@", address)
        try:
            self._client = hvac.Client(
                url=address,
                timeout=VAULT_DEADLINE,
                verify=None,  # as VAULT_CACERT says; without it, as usual
                namespace=os.environ.get("VAULT_NAMESPACE") or None,
            )
        except OSError as error:
            raise Missing(f"the Vault's token cannot be read: {error.strerror}") from error
        if not self._client.token:
            raise Missing("there is no token for the Vault; set VAULT_TOKEN, or log in: vault login")

    def read(self, path: str) -> dict[str, Any]:
        """The fields of the newest version."""
        import requests
        from hvac import exceptions

        mount, _, name = path.partition("/")
        try:
            answer = self._client.secrets.kv.v2.read_secret_version(
                path=name, mount_point=mount, raise_on_deleted_version=True
            )
            values = answer["data"]["data"]
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise Missing(
                f"the Vault does not let this token read {path}: it has expired, or no policy of it has read on "
                f"{mount}/data/{name}"
            ) from error
        except exceptions.InvalidPath as error:
            raise Missing(
                f"the Vault has no {path}, or its newest version was deleted; {mount} has to be a key/value engine of "
                "version 2"
            ) from error
        except exceptions.VaultError as error:
            raise Missing(
                f"the Vault at {self._shown} does not answer as it should ({type(error).__name__})"
            ) from error
        except requests.RequestException as error:
            raise Missing(f"the Vault at {self._shown} cannot be asked ({type(error).__name__})") from error
        except (KeyError, TypeError, ValueError) as error:
            raise Missing(f"what is at {self._shown} does not answer as a Vault does") from error
        if not isinstance(values, dict):
            raise Missing(f"what is at {self._shown} does not answer as a Vault does")
        return values


def _not_installed(extra: str, library: str) -> Missing:
    return Missing(f"{extra}: needs {library}, which is not installed; pip install 'remediate[{extra}]'")
