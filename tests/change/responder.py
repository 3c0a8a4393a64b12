"""A program of its own: a verification SCP on many loopback addresses. It ends when its standard input does.

usage: responder.py COUNT [silent]      prints its port, then listens on 127.7.0.0 and the addresses after it.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from ipaddress import IPv4Address

from remediate.probes import upper_layer as ul
from remediate.testing.dicom import ac, command

FIRST = IPv4Address("127.7.0.0")
ACCEPT = ac([(ul.CONTEXT_ID[ul.VERIFICATION], 0)])
ECHO = command(ul.CONTEXT_ID[ul.VERIFICATION], ul.ECHO_RSP, 0)
RELEASE = bytes((ul.RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))
#: By the type of the PDU that came (PS3.8 9.3.1).
ANSWERS = {1: ACCEPT, 4: ECHO, 5: RELEASE}


class Scp(asyncio.Protocol):
    silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6 and len(self.buffer) >= (size := 6 + int.from_bytes(self.buffer[2:6], "big")):
            if not self.silent and (answer := ANSWERS.get(self.buffer[0])) is not None:
                self.transport.write(answer)
            del self.buffer[:size]


async def main(count: int) -> None:
    loop = asyncio.get_running_loop()
    port = 0
    for number in range(count):
        sock = socket.create_server((str(FIRST + number), port), backlog=64)
        port = sock.getsockname()[1]
        await loop.create_server(Scp, sock=sock)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Scp.silent = "silent" in sys.argv
    asyncio.run(main(int(sys.argv[1])))
