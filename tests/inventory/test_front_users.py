"""``config.users`` of a front: who may come in by nginx."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate import platforms
from remediate.errors import InventoryError
from remediate.inventory import load
from remediate.model.device import ConfigFile

HOSTS = """\
pacs-north:
  hostname: 10.10.0.5
  groups: [pacs]
  data:
    ae_title: ORTHANC
    services: [{kind: dicomweb, port: 8042}, {kind: KIND, port: 443, front: front-north}]
front-north:
  hostname: 10.10.0.6
  username: root
  platform: PLATFORM
  groups: [fronts]
  data: {config: {file: /etc/front.conf, restart: "true"WHAT}}
"""


def given(folder: Path, what: str, platform: str = "nginx", kind: str = "dicomweb") -> ConfigFile:
    text = HOSTS.replace("WHAT", what).replace("PLATFORM", platform).replace("KIND", kind)
    (folder / "hosts.yaml").write_text(text)
    config = load(folder, platforms=set(platforms.PLATFORMS)).site.devices["front-north"].config
    assert config is not None
    return config


def test_where_they_are(tmp_path: Path) -> None:
    assert given(tmp_path, ", users: /etc/nginx/pacs.users").users == "/etc/nginx/pacs.users"
    assert given(tmp_path, "").users is None, "the plan says what is missing"
    secure = given(tmp_path, ", tls: {certificate: /etc/own.crt, key: /etc/own.key}")
    assert secure.tls is not None and secure.tls.trusted is None
    assert given(tmp_path, "", "vsftpd", "ftp").ports == (443,)


@pytest.mark.parametrize(
    ("what", "platform", "said"),
    [
        (", users: pacs.users", "nginx", "an absolute path on that host"),
        (", users: [a]", "nginx", "data.config.users"),
        (", users: /etc/users", "vsftpd", "users"),
    ],
)
def test_mistakes(tmp_path: Path, what: str, platform: str, said: str) -> None:
    with pytest.raises(InventoryError, match=said):
        given(tmp_path, what, platform, "ftp" if platform == "vsftpd" else "dicomweb")
