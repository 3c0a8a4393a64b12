"""``remediate verify --titles``."""

from __future__ import annotations

import json

import pytest

from remediate.testing import Peer, ScriptedPeer
from remediate.testing.dicom import ac, pdu
from tests.cli.prompt import User

HOSTS = """\
archive:
  groups: [pacs]
  data:
    ae_title: ARCHIVE
    addresses: {{outside: 127.0.0.1}}
    services: [{{kind: dicom, port: {port}}}]
street: {{groups: [vantages], data: {{zone: outside, canaries: [{{address: 127.0.0.1, port: {port}}}]}}}}
"""


async def checks_the_called_title(peer: Peer) -> None:
    request = await peer.pdu()
    if request[10:26].strip() != b"ARCHIVE":
        await peer.say(pdu(0x03, b"\0\1\1\7"))
        return
    await peer.say(ac([(1, 3)]))
    await peer.pdu()
    await peer.say(pdu(0x06, bytes(4)))


def test_a_line_under_the_table(user: User) -> None:
    with ScriptedPeer(checks_the_called_title) as peer:
        user.write("inventory/hosts.yaml", HOSTS.format(port=peer.port))
        said = user.types("verify", "--titles")
    assert said.status == 1
    place = f"archive from street, 127.0.0.1:{peer.port}"
    assert f"{place}: AE titles --AR, called AE title checked, calling AE title not: any caller" in said.out


@pytest.mark.parametrize("titles", [True, False])
def test_in_json(user: User, titles: bool) -> None:
    with ScriptedPeer(checks_the_called_title) as peer:
        user.write("inventory/hosts.yaml", HOSTS.format(port=peer.port))
        said = user.types("verify", "--format", "json", *(["--titles"] if titles else []))
    found = json.loads(said.out)["titles"]
    assert [(one["pattern"], one["reasons"]) for one in found] == [("--AR", {"random to wrong": "1/1/7"})][:titles]


@pytest.mark.parametrize("more", ["--format junit", "--list-probes"])
def test_nowhere_else(user: User, more: str) -> None:
    said = user.types("verify", "--titles", *more.split())
    assert (said.status, said.network) == (2, [])
    assert "--titles prints lines under the table, or JSON\n  next: leave out --list-probes" in said.err
