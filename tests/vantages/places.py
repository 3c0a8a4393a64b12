"""Sites, questions and servers on loopback for the vantages' tests."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address

from remediate.model.observation import Question
from remediate.model.site import (
    Addresses,
    Canary,
    LocalVia,
    Pacs,
    Published,
    Service,
    ServiceKind,
    Site,
    SocksVia,
    SshVia,
    Vantage,
    Zone,
)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def site(*addresses: str, canaries: tuple[tuple[str, int], ...] = (), **vias: LocalVia | SocksVia | SshVia) -> Site:
    """One PACS at ``addresses``, and a vantage per ``via``, all with the same canaries."""
    pacs = Pacs(
        name="pacs-1",
        ae_title="ARCHIVE",
        addresses=Addresses(outside=tuple(Published(address=ip_address(one)) for one in addresses)),
        services=(Service(kind=ServiceKind.FTP, port=21),),
    )
    vantages = {
        name: Vantage(
            name=name,
            zone=Zone.OUTSIDE,
            via=via,
            canaries=tuple(Canary(address=ip_address(address), port=port) for address, port in canaries),
        )
        for name, via in vias.items()
    }
    return Site(pacs={"pacs-1": pacs}, vantages=vantages)


def question(port: int, *, vantage: str = "here", address: str = "127.0.0.1", service_port: int = 21) -> Question:
    return Question(
        pacs="pacs-1",
        vantage=vantage,
        kind=ServiceKind.FTP,
        address=ip_address(address),
        port=port,
        service_port=service_port,
    )


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """The port of a server; a handler that is still at work is ended with it."""
    tasks: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the prober's RST, or the end of the test
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def says(data: bytes, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    writer.write(data)
    await writer.drain()
    await reader.read()


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await says(b"220 ready\r\n", writer, reader)


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await says(b"", writer, reader)


def run(*command: str, text: str | None = None) -> str:
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True, timeout=60).stdout
