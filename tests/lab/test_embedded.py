"""The loopback site: what publishes its archive is static NAT of the router, and nothing else."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from netmiko import ConnectHandler

from remediate.lab.devices.relay import drops_work
from remediate.lab.embedded.site import EmbeddedSite, standing

pytestmark = pytest.mark.skipif(not drops_work(), reason="a router that drops without a word needs Linux")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with standing(tmp_path_factory.mktemp("embedded") / "site") as made:
        yield made


@pytest.fixture
def router(site: EmbeddedSite) -> Iterator[Any]:
    connection = ConnectHandler(
        device_type="cisco_ios",
        host=site.layout.router_management,
        port=site.layout.ssh_port,
        username="admin",
        use_keys=True,
        key_file=str(site.folder / "keys" / "id"),
    )
    yield connection
    connection.disconnect()


def page(address: str, port: int, source: str) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=60, source_address=(source, 0))
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def silent(address: str, port: int, source: str) -> bool:
    try:
        socket.create_connection((address, port), 0.5, (source, 0)).close()
    except TimeoutError:
        return True
    return False


def statics(router: Any) -> list[str]:
    return str(router.send_command("show running-config | include inside source static")).splitlines()


def test_a_port_is_open_to_the_internet_as_long_as_its_entry_is_there(site: EmbeddedSite, router: Any) -> None:
    at = site.layout
    web, dicom = (
        f"ip nat inside source static tcp {at.inside} {port} {at.published} {port} extendable"
        for port in (at.web_port, at.dicom_port)
    )
    before = statics(router)
    assert before == [web, dicom]
    assert "synthetic studies" in page(at.published, at.web_port, at.internet)
    router.send_config_set(
        [f"no {web} forced"], config_mode_command="configure terminal revert timer 5", error_pattern="(?m)^ *%.*"
    )
    assert statics(router) == [dicom]
    assert silent(at.published, at.web_port, at.internet)
    assert not silent(at.published, at.dicom_port, at.internet)
    assert "synthetic studies" in page(at.inside, at.web_port, at.clinic)
    router.send_command("configure revert now")
    assert statics(router) == before
    assert "synthetic studies" in page(at.published, at.web_port, at.internet)
