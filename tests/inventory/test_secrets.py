"""References to secrets in stores: a keyring in a file, and a simulated Vault (`vault.py` says how far that goes)."""

# ruff: noqa: E501 - a table: one mistake, one line

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyrings.alt.file import PlaintextKeyring

from remediate.errors import InventoryError
from remediate.inventory import Loaded, load
from tests.inventory.test_inventory import DESIGN, vantage, write
from tests.inventory.vault import TOKEN, Vault, vault

SECRET = "Tr0ub4dor&3"
KEYRING, VAULT = "keyring:remediate/netops", "vault:kv/network/fw-north#password"


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[PlaintextKeyring]:
    """A keyring of its own; the one of this machine is left alone."""
    before = keyring.get_keyring()
    made = PlaintextKeyring()
    made.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(made)
    try:
        yield made
    finally:
        keyring.set_keyring(before)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    fields: dict[str, Any] = {"password": SECRET, "user": "netops", "number": 5}
    with vault({"kv": {"network/fw-north": fields, "gone": None}}) as made:
        monkeypatch.setenv("VAULT_ADDR", made.address)
        monkeypatch.setenv("VAULT_TOKEN", TOKEN)
        monkeypatch.delenv("VAULT_NAMESPACE", raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield made
        assert made.mistakes == []


def loaded(folder: Path, reference: str) -> Loaded:
    return load(write(folder, DESIGN, defaults=f"password: '{reference}'\n"))


def problem(folder: Path, reference: str) -> str:
    with pytest.raises(InventoryError) as raised:
        loaded(folder, reference)
    (line,) = raised.value.problems
    assert line.startswith("defaults.yaml:1: password: ")
    assert SECRET not in str(raised.value) and TOKEN not in str(raised.value)
    return line.removeprefix("defaults.yaml:1: password: ")


def test_a_password_of_the_keyring(tmp_path: Path, ring: PlaintextKeyring) -> None:
    ring.set_password("remediate", "netops", SECRET)
    found = loaded(tmp_path / "site", KEYRING)
    password = found.site.logins["fw-north"].password
    assert password is not None and password.get_secret_value() == SECRET
    assert found.nornir.hosts["fw-north"].password == SECRET
    assert SECRET not in f"{found!r}{found.text}{found.site!r}{found.site.model_dump()}{found.site.logins!r}"


def test_a_password_of_a_vault(tmp_path: Path, kept: Vault) -> None:
    found = loaded(tmp_path, VAULT)
    password = found.site.logins["fw-north"].password
    assert password is not None and password.get_secret_value() == SECRET
    assert found.nornir.hosts["fw-north"].password == SECRET
    assert SECRET not in f"{found!r}{found.text}{found.site!r}{found.site.model_dump()}{found.site.logins!r}"
    assert kept.asked == ["/v1/kv/data/network/fw-north"]


def test_each_path_is_read_once(tmp_path: Path, kept: Vault) -> None:
    hosts = DESIGN.replace("hostname: 10.99.99.2", f"hostname: 10.99.99.2, password: '{VAULT}'")
    options = f"connection_options: {{netmiko: {{password: '{VAULT}', username: netops}}}}"
    load(write(tmp_path, hosts, defaults=f"password: 'vault:kv/network/fw-north#user'\n{options}"))
    assert len(kept.asked) == 1


def test_an_enable_secret_of_a_vault_for_one_device(tmp_path: Path, kept: Vault) -> None:
    hosts = DESIGN.replace("management: [local]", f"enable: '{VAULT}', management: [local]")
    found = load(write(tmp_path, hosts, defaults="password: env:HOME\n"))
    login = found.site.logins["fw-north"]
    assert login.enable is not None and login.enable.get_secret_value() == SECRET
    assert login.password is not None and login.password != login.enable
    shown = f"{found!r}{found.text}{found.site!r}{found.site.model_dump()}{login!r}"
    assert SECRET not in shown + str(found.nornir.hosts["fw-north"].data)


def test_an_enable_secret_of_the_defaults(tmp_path: Path, kept: Vault) -> None:
    login = load(write(tmp_path, DESIGN, defaults=f"data: {{enable: '{VAULT}'}}\n")).site.logins["fw-north"]
    assert login.enable is not None and login.enable.get_secret_value() == SECRET


@pytest.mark.parametrize("written", [SECRET, "4711471147", f"[{SECRET}]"])
def test_an_enable_secret_is_never_written_down(tmp_path: Path, written: str) -> None:
    with pytest.raises(InventoryError, match="env:NAME") as raised:
        load(write(tmp_path, DESIGN, defaults=f"data: {{enable: {written}}}\n"))
    assert written.strip("[]") not in str(raised.value)


def test_a_socks_password_of_a_vault(tmp_path: Path, kept: Vault) -> None:
    data = f"{{zone: inside, via: {{socks: 'probe@socks.example:9'}}, socks: {{password: '{VAULT}'}}}}"
    site = load(write(tmp_path, vantage(data))).site
    via = site.vantages["spare"].via
    assert getattr(via, "password").get_secret_value() == SECRET  # noqa: B009 -- of SocksVia alone
    assert SECRET not in f"{site!r}{site.model_dump()}{site.model_dump_json()}"


def test_the_namespace_and_the_token_file_of_vaults_own_command(
    tmp_path: Path, kept: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.namespace = "clinic"
    monkeypatch.setenv("VAULT_NAMESPACE", "clinic")
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(f"{TOKEN}\n")
    loaded(tmp_path / "site", VAULT)


def test_nothing_is_asked_while_something_else_is_wrong(tmp_path: Path, kept: Vault) -> None:
    for old, new in (("ORTHANC", "FILL_IN"), ("port: 104}", "port: 0}")):
        with pytest.raises(InventoryError) as raised:
            load(write(tmp_path, DESIGN.replace(old, new), defaults=f"password: '{VAULT}'\n"))
        assert "password" not in str(raised.value)
    assert kept.asked == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("vault:kv/network/fw-north#pasword", "kv/network/fw-north in Vault has no field pasword; it has: password, user, number; did you mean password?"),
        ("vault:kv/network/fw-north#number", "the field number of kv/network/fw-north in Vault is not one line of text"),
        ("vault:kv/network/fw-south#password", "the Vault has no kv/network/fw-south, or its newest version was deleted; "),
        ("vault:kv/gone#password", "the Vault has no kv/gone, or its newest version was deleted; "),
        ("vault:secret/network#password", "the Vault has no secret/network, or its newest version was deleted; secret has to be a key/value engine of version 2"),
        ("vault:kv/network/fw-north", "vault: is not followed by MOUNT/PATH#FIELD"),
        ("vault:kv#password", "vault: is not followed by MOUNT/PATH#FIELD"),
        ("vault:kv/../sys/raw#password", "vault: is not followed by MOUNT/PATH#FIELD"),
    ],
)  # fmt: skip
def test_what_a_vault_does_not_have(tmp_path: Path, kept: Vault, reference: str, expected: str) -> None:
    assert problem(tmp_path, reference).startswith(expected)


def test_a_token_that_may_not(tmp_path: Path, kept: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", f"{TOKEN}-expired")
    assert problem(tmp_path, VAULT) == (
        "the Vault does not let this token read kv/network/fw-north: it has expired, or no policy of it has read on "
        "kv/data/network/fw-north"
    )


def test_a_sealed_vault(tmp_path: Path, kept: Vault) -> None:
    kept.sealed = True
    assert problem(tmp_path, VAULT) == f"the Vault at {kept.address} does not answer as it should (VaultDown)"


def test_something_that_is_no_vault(tmp_path: Path, kept: Vault) -> None:
    kept.no_vault = True
    assert problem(tmp_path, VAULT) == f"what is at {kept.address} does not answer as a Vault does"


def test_no_vault_at_all(tmp_path: Path, kept: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens: nobody else has the port meanwhile
        monkeypatch.setenv("VAULT_ADDR", f"http://me:{SECRET}@127.0.0.1:{nobody.getsockname()[1]}")
        assert problem(tmp_path, VAULT).startswith("the Vault at http://***@127.0.0.1:")


def test_where_it_is_and_who_we_are_must_be_known(tmp_path: Path, kept: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where no token is
    monkeypatch.delenv("VAULT_TOKEN")
    expected = "there is no token for the Vault; set VAULT_TOKEN, or log in: vault login"
    assert problem(tmp_path / "site", VAULT) == expected
    monkeypatch.delenv("VAULT_ADDR")
    assert problem(tmp_path / "site", VAULT).startswith("the environment variable VAULT_ADDR is not set")


def test_what_a_keyring_does_not_have(tmp_path: Path, ring: PlaintextKeyring) -> None:
    assert problem(tmp_path / "site", KEYRING) == (
        "the keyring has no password of 'netops' for 'remediate'; set it: keyring set 'remediate' 'netops'"
    )
    assert problem(tmp_path / "site", "keyring:remediate") == "keyring: is not followed by SERVICE/USER"
    ring.set_password("remediate", "netops", f"{SECRET}\nand more")
    assert problem(tmp_path / "site", KEYRING).endswith("is not one line with a password")


def test_a_machine_without_a_keyring(tmp_path: Path, ring: PlaintextKeyring) -> None:
    from keyring.backends.fail import Keyring

    keyring.set_keyring(Keyring())  # type: ignore[no-untyped-call]  # the library's own
    assert problem(tmp_path / "site", KEYRING).startswith("this machine has no keyring; choose one")


@pytest.mark.parametrize(("reference", "extra", "library"), [(KEYRING, "keyring", "keyring"), (VAULT, "vault", "hvac")])
def test_an_extra_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, extra: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not there
    assert problem(tmp_path, reference) == (
        f"{extra}: needs {library}, which is not installed; pip install 'remediate[{extra}]'"
    )
