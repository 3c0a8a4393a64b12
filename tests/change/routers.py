"""A program of its own: several simulated routers and the archives behind them. It ends when its standard input does.

Reads one JSON line: {"archives": [[address, port], …], "canary": [address, port], "routers": [{"config", "ssh":
[address, port], "host_key", "authorized_keys", "relays": [{"name", "into", "listen", "target", "dies_with"}, …]}, …]}.
``dies_with``: that relay is cut as long as the router's list for GigabitEthernet0/0 denies something to that address.
Prints a line as soon as all of it answers. Each router is the one of the demo; the process is only what they share.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remediate.lab.devices.cisco_ios.forwarding import Path as Way
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.cisco_ios.vtys import Vtys
from remediate.lab.devices.relay import Relay
from remediate.lab.devices.ssh import listen
from remediate.model.site import Role
from remediate.probes import upper_layer as ul
from remediate.testing.dicom import ac, command

OUTSIDE, ARCHIVES = "GigabitEthernet0/0", "GigabitEthernet0/2"
_STORED = {i for i, role in ul.ROLE.items() if role is Role.STORE} | {ul.CONTEXT_ID[ul.VERIFICATION]}
_ECHO = command(ul.CONTEXT_ID[ul.VERIFICATION], ul.ECHO_RSP, 0)
_RELEASE = bytes((ul.RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def accepted(request: bytes) -> bytes:
    """Verification and storage, for anybody; result 3: the abstract syntax is not supported (PS3.8 9.3.3.2)."""
    at, results = 74, []
    while at + 4 <= len(request):
        if request[at] == 0x20:
            number = request[at + 4]
            results.append((number, 0 if number in _STORED else 3))
        at += 4 + int.from_bytes(request[at + 2 : at + 4], "big")
    return ac(results)


def answer(pdu: bytes) -> bytes:
    """By its type (PS3.8 9.3.1)."""
    return {1: accepted(pdu) if pdu[0] == 1 else b"", 4: _ECHO, 5: _RELEASE}.get(pdu[0], b"")


class Archive(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 6 and len(self._buffer) >= (size := 6 + int.from_bytes(self._buffer[2:6], "big")):
            whole, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
            self._transport.write(answer(whole))


class Canary(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.close()


def denies(router: Router, address: str) -> Callable[[], bool]:
    def now() -> bool:
        bound = router.running.bound(OUTSIDE, "in")
        return bound is not None and any("deny" in line and address in line.split() for line in bound.body())

    return now


async def start(router: Router, described: dict[str, Any]) -> None:
    for one in described["relays"]:
        way = Way(router, one["into"], ARCHIVES)
        if one["dies_with"]:
            way.fails = denies(router, one["dies_with"])
        relay = Relay(one["name"], way, tuple(one["listen"]), tuple(one["target"]))
        await relay.start()
        router.on_change.append(relay.refresh)
        router.collect.append(relay.collect)
    address, port = described["ssh"]
    keys = {"admin": Path(described["authorized_keys"])}
    await listen(Vtys(router), address, port, Path(described["host_key"]), keys)


async def main(wanted: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    for address, port in wanted["archives"]:
        await loop.create_server(Archive, sock=socket.create_server((address, port)))
    await loop.create_server(Canary, sock=socket.create_server(tuple(wanted["canary"])))
    for number, described in enumerate(wanted["routers"]):
        router = Router(described["config"], serial=f"FTX{number:08}")
        await start(router, described)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(json.loads(sys.stdin.readline())))
