"""A DICOM peer on loopback that does what a script says, misbehaviour included, and the bytes to say it with."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

#: Seconds that connections have to end by themselves once the peer is to go.
_GRACE = 2.0
#: Turns of asyncio's loop from a connection that waits to be accepted until it is handed to us: four, and two to spare.
_TURNS = 6


@dataclass
class Peer:
    """One connection as the peer sees it. ``reset``: the other side ended it with a RST."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)
    reset: bool = False

    async def pdu(self) -> bytes:
        """The next PDU that the other side sends, whole (PS3.8 9.3)."""
        header = await self.reader.readexactly(6)
        data = header + await self.reader.readexactly(int.from_bytes(header[2:], "big"))
        self.received += data
        return data

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> None:
        """Reads until the other side ends the connection."""
        try:
            while data := await self.reader.read(65536):
                self.received += data
        except ConnectionResetError:
            self.reset = True

    def fin(self) -> None:
        self.writer.write_eof()

    def rst(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedPeer:
    """Listens while the context lasts: ``with`` on a thread of its own, ``async with`` on the running loop.

    ``tls``: it speaks TLS only; a connection that does not shake hands is ended, and its script does not run.
    Each connection runs ``script`` and is then read until it ends. What a script raises, other than the end of its
    connection, is raised when the context ends.
    """

    def __init__(
        self, script: Script, address: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._script = script
        self._tls = tls
        self._wanted = (address, port)
        self._ended: queue.SimpleQueue[Peer] = queue.SimpleQueue()
        self._running: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []
        self.address = address
        self.port = port

    def connection(self, within: float = 30.0) -> Peer:
        """The next connection that has ended, in the order of their ends. TimeoutError after ``within`` seconds."""
        try:
            return self._ended.get(timeout=within)
        except queue.Empty:
            raise TimeoutError(f"no connection to the scripted peer ended within {within:g} s") from None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._met, *self._wanted, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for _ in range(_TURNS):  # who has connected is still served: a server that closes meanwhile loses its socket
            await asyncio.sleep(0)
        self._server.close()
        if self._running:
            _, still = await asyncio.wait(self._running, timeout=_GRACE)
            for task in still:
                task.cancel()
            await asyncio.gather(*still, return_exceptions=True)
        if self._failed and exc_info[1] is None:
            raise self._failed[0]

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="scripted peer", daemon=True)
        self._thread.start()
        ready.wait()
        if self._problem is not None:
            self._thread.join()
            raise self._problem
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._problem is not None and exc_info[1] is None:
            raise self._problem

    def _serve(self, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with self:
                ready.set()
                await self._stop.wait()

        try:
            asyncio.run(serve())
        except BaseException as error:  # carried over to the thread that uses the peer
            self._problem = error
        finally:
            ready.set()

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(Peer(reader, writer)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, peer: Peer) -> None:
        try:
            await self._script(peer)
            await peer.rest()
        except (ConnectionError, ssl.SSLError):
            peer.reset = True
        except asyncio.IncompleteReadError:
            pass  # it ended in the middle of a PDU, which a prober may do
        except Exception as error:  # a mistake in the script: told when the context ends
            self._failed.append(error)
        finally:
            peer.writer.transport.abort()
            self._ended.put(peer)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await peer.writer.wait_closed()  # the loop must not end before the socket is closed


# -- scripts ------------------------------------------------------------------------------------------


def answers(*replies: bytes) -> Script:
    """One reply to each PDU of the other side; then silence."""

    async def script(peer: Peer) -> None:
        for reply in replies:
            await peer.pdu()
            await peer.say(reply)

    return script


def rejects(result: int, source: int, reason: int) -> Script:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
    return answers(pdu(0x03, bytes([0, result, source, reason])))


async def silent(peer: Peer) -> None:
    """Takes the connection and never says a word."""


# -- DICOM by hand ------------------------------------------------------------------------------------


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """``length``: the one that is declared, where it is to be a lie."""
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def ac(
    results: list[tuple[int, int]],
    *,
    title: bytes = b"ARCHIVE".ljust(16),
    version: bytes = b"PEER",
    uid: bytes = b"1.2.826.0.1.3680043.9.3811.9",
) -> bytes:
    """A-ASSOCIATE-AC (PS3.8 9.3.3): (context id, result) in that order."""
    syntax = item(0x40, b"1.2.840.10008.1.2")
    body = b"\0\1\0\0" + title + b"RMDTEST".ljust(16) + bytes(32) + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += b"".join(item(0x21, bytes([i, 0, result, 0]) + syntax) for i, result in results)
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, uid) + item(0x55, version)
    return pdu(0x02, body + item(0x50, user))


def command(context: int, field: int, status: int | None, *, data_set: int = 0x0101, comment: bytes = b"") -> bytes:
    """One command set (PS3.7 E) in one P-DATA-TF. ``field``: the Command Field; ``data_set``: 0x0101 means none."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, number, len(value)) + value

    content = element(0x0100, struct.pack("<H", field)) + element(0x0120, struct.pack("<H", 1))
    content += element(0x0800, struct.pack("<H", data_set))
    if status is not None:
        content += element(0x0900, struct.pack("<H", status))
    if comment:
        content += element(0x0902, comment)
    return data(context, 3, element(0, struct.pack("<I", len(content))) + content)


def data(context: int, control: int, value: bytes) -> bytes:
    """P-DATA-TF with one presentation data value (PS3.8 9.3.5)."""
    return pdu(0x04, struct.pack(">IBB", len(value) + 2, context, control) + value)
