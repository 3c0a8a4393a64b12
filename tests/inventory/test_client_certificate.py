"""``client_certificate`` of a vantage: files that are there, belong together and need no passphrase."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from remediate.errors import InventoryError
from remediate.inventory import load
from remediate.model.site import ClientCertificate
from tests.vantages.certificates import Made, make

HOSTS = """\
pacs-north:
  hostname: 10.10.0.5
  groups: [pacs]
  data:
    ae_title: ORTHANC
    services: [{kind: dicom_tls, port: 2762}]
    access: {peers: [{name: ct-1, address: 10.20.0.10, ae_title: CLINICMOD, roles: [store]}]}
clinic: {groups: [vantages], data: {zone: inside, WHAT}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("certificates"), "ct-1")


@pytest.fixture
def folder(tmp_path: Path, made: Made) -> Path:
    keys = tmp_path / "keys"
    keys.mkdir()
    for file in made.pem.parent.iterdir():
        (keys / file.name).write_bytes(file.read_bytes())
    other = make(keys, "other")
    make(keys, "rsa", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak, and the server's to judge
    secret = serialization.BestAvailableEncryption(b"made up")
    (keys / "locked.key").write_bytes(
        made.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    )
    begin, _, end = other.certificate_pem.read_bytes().partition(b"\n")
    (keys / "broken.crt").write_bytes(begin + b"\n" + end.replace(b"M", b"A"))
    return tmp_path


def given(folder: Path, what: str) -> ClientCertificate | None:
    (folder / "hosts.yaml").write_text(HOSTS.replace("WHAT", what))
    return load(folder).site.vantages["clinic"].client_certificate


def test_relative_paths_start_at_the_inventory(folder: Path) -> None:
    keys = folder / "keys"
    two = given(folder, "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt, key: keys/ct-1.key}")
    assert two == ClientCertificate(certificate=str(keys / "ct-1.crt"), key=str(keys / "ct-1.key"))
    one = given(folder, f"peer: ct-1, client_certificate: {{certificate: {keys}/ct-1.pem}}")
    assert one == ClientCertificate(certificate=str(keys / "ct-1.pem"))
    assert given(folder, "peer: ct-1, client_certificate: {certificate: keys/rsa.pem}") is not None
    assert given(folder, "peer: ct-1") is None


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("client_certificate: {certificate: keys/ct-1.pem}", ": is a peer's own; allowed: only with peer"),
        (
            "peer: ct-1, client_certificate: keys/ct-1.pem",
            ": found 'keys/ct-1.pem'; allowed: a mapping with the keys certificate, key",
        ),
        ("peer: ct-1, client_certificate: {key: keys/ct-1.key}", ": certificate is missing"),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.pem, keys: x}",
            ".keys: unknown key; allowed: certificate, key; did you mean key?",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: 7}",
            ".certificate: found 7; allowed: a path; put it in quotes",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/gone.crt, key: keys/ct-1.key}",
            ": the file 'FOLDER/keys/gone.crt' cannot be read: No such file or directory",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt, key: keys}",
            ": the file 'FOLDER/keys' cannot be read: Is a directory",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.key, key: keys/ct-1.key}",
            ": the file 'FOLDER/keys/ct-1.key' holds no certificate (PEM)",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt}",
            ": the file 'FOLDER/keys/ct-1.crt' holds no private key (PEM)",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt, key: keys/other.key}",
            ": the private key does not belong to the certificate in 'FOLDER/keys/ct-1.crt'",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt, key: keys/rsa.key}",
            ": the private key does not belong to the certificate in 'FOLDER/keys/ct-1.crt'",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/ct-1.crt, key: keys/locked.key}",
            ": the private key in 'FOLDER/keys/locked.key' has a passphrase; use one without",
        ),
        (
            "peer: ct-1, client_certificate: {certificate: keys/broken.crt, key: keys/other.key}",
            ": OpenSSL cannot read the certificate in 'FOLDER/keys/broken.crt', or its private key",
        ),
    ],
)
def test_a_mistake(folder: Path, what: str, expected: str) -> None:
    with pytest.raises(InventoryError) as caught:
        given(folder, what)
    place = "hosts.yaml:8: clinic: data.client_certificate"
    assert caught.value.problems == (place + expected.replace("FOLDER", str(folder)),)
