"""Forwards real TCP connections the way a packet filter would, without root.

A listening socket finishes handshakes by itself, so a filter that looks only after ``accept`` shows an open port
that resets. Here the kernel asks first: several sockets listen on one address (SO_REUSEPORT), and a small classic
BPF program (the judge's rules, compiled) chooses among them by the source of each SYN. The first socket accepts.
Each of the others stands for one rule that denies: its queue holds one connection, our own, and nobody accepts it,
so the kernel drops every SYN that comes to it, and its count of drops on that socket is the rule's hit count. By itself
that gives a denied peer no answer at all, as behind a router with ``no ip unreachables``. What a router answers with
``ip unreachables`` (ICMP type 3, code 13) is sent beside that, see ``icmp.py``: by root, and not on loopback. Where the
system has no such choice of sockets, a denied connection is accepted and reset at once.

A relayed connection is judged again, in both directions, whenever the rules change: one that is denied now is cut
without a word (nothing is carried any more), and goes on if the rules let it again, as packets through a stateless
filter do. A connection that was translated ends with what translated it, for its packets have nowhere to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from remediate.lab.devices import icmp

_SO_ATTACH_REUSEPORT_CBPF, _SO_MEMINFO = 51, 55  # asm-generic/socket.h
_MEMINFO_DROPS, _MEMINFO_WORDS = 8, 9  # linux/sock_diag.h
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect, so that one address has room for more

# linux/bpf_common.h
LOAD_WORD, LOAD_HALF, AND, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, RETURN = (
    0x20,
    0x28,
    0x54,
    0x05,
    0x15,
    0x25,
    0x35,
    0x06,
)
NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF
SOURCE_ADDRESS = NETWORK_HEADER + 12
SOURCE_PORT = NETWORK_HEADER + 20  # of a packet without IP options

#: code, jump if true, jump if false, operand
Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class Flow:
    """One connection as the router sees it."""

    client: str
    client_port: int
    destination: str
    destination_port: int


class Rules(Protocol):
    """What decides over one relay's packets."""

    def opens(self, flow: Flow) -> bool:
        """Whether a new connection may come about; counts its packets."""
        ...

    def carries(self, flow: Flow) -> bool:
        """Whether an open connection's packets pass, both ways; counts nothing."""
        ...

    def knows(self, flow: Flow) -> bool:
        """Whether an open connection is still one of the router's; a translated one may be forgotten, and ends."""
        ...

    def carried(self, flow: Flow) -> None:
        """Packets of an open connection have passed."""
        ...

    def closed(self, flow: Flow) -> None:
        """An open connection has ended, whoever ended it."""
        ...

    def refuses(self, flow: Flow) -> icmp.Refusal | None:
        """What is said to whoever opens a connection that is denied; counts nothing. None: nothing, or it passes."""
        ...

    def program(self, destination: str, port: int) -> tuple[list[Instruction], list[Callable[[int], None]]]:
        """A BPF program that returns 0 for a SYN that may pass, and n for one that the n-th counter counts."""
        ...


def drops_work() -> bool:
    return sys.platform == "linux"


def _attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    value = struct.pack("HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, value)


def _listener(address: tuple[str, int], backlog: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if drops_work():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


class _Drop:
    """A listening socket that drops every SYN. ``number``: which of the sockets of its address it is."""

    def __init__(self, beside: socket.socket, number: int, program: Sequence[Instruction]) -> None:
        """``program`` decides for everybody but the one connection that fills the queue."""
        address = beside.getsockname()
        self._filler = socket.socket()
        self._filler.settimeout(5)
        self._filler.bind((address[0], 0))
        ours, port = self._filler.getsockname()
        self._listener = _listener(address, 0)
        mine = [
            (LOAD_WORD, 0, 0, SOURCE_ADDRESS),
            (JUMP_EQUAL, 0, 3, int.from_bytes(socket.inet_aton(ours), "big")),
            (LOAD_HALF, 0, 0, SOURCE_PORT),
            (JUMP_EQUAL, 0, 1, port),
            (RETURN, 0, 0, number),
        ]
        _attach(beside, [*mine, *program])
        self._filler.connect(address)

    def count(self) -> int:
        raw = self._listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * _MEMINFO_WORDS)
        return int(struct.unpack(f"{_MEMINFO_WORDS}I", raw)[_MEMINFO_DROPS])

    def close(self) -> None:
        self._filler.close()
        self._listener.close()


class _Connection:
    def __init__(self, flow: Flow, client: socket.socket, server: socket.socket, carried: Callable[[], None]) -> None:
        """``carried``: told of everything that passes."""
        self.flow = flow
        self._carried = carried
        self._sockets = (client, server)
        self._passing = asyncio.Event()

    def let(self, passes: bool) -> None:
        if passes:
            self._passing.set()
        else:
            self._passing.clear()

    async def run(self) -> None:
        """Until both ends have finished; RST to both where one of them, or we, broke off."""
        client, server = self._sockets
        whole = False
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(client, server))
                pumps.create_task(self._pump(server, client))
            whole = True
        except* OSError:
            pass  # one end is gone: the other one is told below
        finally:
            for sock in self._sockets:
                sock.close() if whole else _reset(sock)

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(source, 65536)
            except OSError:
                await self._passing.wait()  # a reset, too, has to pass the rules
                raise
            await self._passing.wait()
            self._carried()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(sink, data)


def _reset(sock: socket.socket) -> None:
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Relay:
    """``destination``: what the rules take the listening address for. The target sees the client's own address.

    ``unreachables``: once started, whether denied connections are answered with ICMP, or why they cannot be.
    """

    def __init__(
        self,
        name: str,
        rules: Rules,
        listen: tuple[str, int],
        target: tuple[str, int],
        destination: tuple[str, int] | None = None,
    ) -> None:
        self.name = name
        self.rules = rules
        self.listen = listen
        self.target = target
        self._destination = destination
        self._accepting: socket.socket | None = None
        self._program: list[Instruction] = [(RETURN, 0, 0, 0)]
        self._drops: list[_Drop] = []
        self._counters: list[tuple[Callable[[int], None], int]] = []  # who counts, and from which number of drops
        self._connections: dict[asyncio.Task[None], _Connection | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._icmp: icmp.Unreachables | None = None
        self.unreachables = icmp.NEEDS_ROOT

    @property
    def destination(self) -> tuple[str, int]:
        return self._destination or self.listen

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        self._accepting = _listener(self.listen, 128)
        self.listen = self._accepting.getsockname()
        self.refresh()
        if drops_work():
            self._icmp, self.unreachables = icmp.opened(self.listen, self._refuses)
        self._task = asyncio.create_task(self._accept(self._accepting), name=f"relay {self.name}")

    def refresh(self) -> None:
        """The rules have changed: new connections and open ones are judged by the new ones from here on."""
        if self._accepting is not None and drops_work():
            self.collect()
            program, counters = self.rules.program(*self.destination)
            while len(self._drops) < len(counters):
                self._drops.append(_Drop(self._accepting, len(self._drops) + 1, self._program))
            self._program = program
            _attach(self._accepting, program)
            self._counters = [(count, drop.count()) for count, drop in zip(counters, self._drops, strict=False)]
        for task, connection in self._connections.items():
            if connection is None:
                continue
            if self.rules.knows(connection.flow):
                connection.let(self.rules.carries(connection.flow))
            else:
                task.cancel()

    def collect(self) -> None:
        """Hands what the kernel has dropped since to the counters."""
        fresh = []
        for (count, before), drop in zip(self._counters, self._drops, strict=False):
            now = drop.count()
            if now > before:
                count(now - before)
            fresh.append((count, now))
        self._counters = fresh

    def _refuses(self, address: str, port: int) -> icmp.Refusal | None:
        return self.rules.refuses(Flow(address, port, *self.destination))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, (address, port) = await loop.sock_accept(listener)
            client.setblocking(False)
            flow = Flow(address, port, *self.destination)
            if not self.rules.opens(flow):
                _reset(client)
                continue
            task = asyncio.create_task(self._forward(flow, client), name=f"relay {self.name} {address}")
            self._connections[task] = None
            task.add_done_callback(partial(self._ended, flow))

    def _ended(self, flow: Flow, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        self.rules.closed(flow)
        if not task.cancelled():
            task.result()  # a fault of this program is not to be lost

    async def _forward(self, flow: Flow, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        server = socket.socket()
        server.setblocking(False)
        try:
            with contextlib.suppress(OSError):  # an address of another machine: the target sees ours instead
                if sys.platform == "linux":
                    server.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                server.bind((flow.client, 0))
            await loop.sock_connect(server, self.target)
        except OSError:  # nobody there: the client sees its connection reset
            _reset(client)
            server.close()
            return
        except asyncio.CancelledError:
            _reset(client)
            server.close()
            raise
        connection = _Connection(flow, client, server, lambda: self.rules.carried(flow))
        if not self.rules.knows(flow):  # the rules may have changed in between
            _reset(client)
            _reset(server)
            return
        connection.let(self.rules.carries(flow))
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection
        await connection.run()

    async def stop(self) -> None:
        tasks = [*self._connections, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for drop in self._drops:
            drop.close()
        if self._icmp is not None:
            self._icmp.close()
        if self._accepting is not None:
            self._accepting.close()
