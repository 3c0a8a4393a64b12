"""Many simulated routers in one process, each of which takes a moment for every command.

Reads one JSON object from standard input: {"delay": seconds, "routers": [{"config", "ssh": [address, port], "host_key",
"authorized_keys", "relays": {name: [interface in, interface out, [address, port], [target, port]]}}, …]}; prints
"loaded" once all configurations are. Then each line "start" sets them all going, as they were loaded ("ready" once they
answer), and each line "stop" ends them ("stopped COMMANDS SECONDS": what was typed, and what it took of the processor).
It ends when its standard input is closed. A router is the one of the demo, with an SSH server and a packet filter of
its own; the process is only what they share.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from remediate.lab.devices.cisco_ios.forwarding import Path as Way
from remediate.lab.devices.cisco_ios.router import Router
from remediate.lab.devices.cisco_ios.vtys import Vtys
from remediate.lab.devices.relay import Relay
from remediate.lab.devices.ssh import Peer, Terminal, listen


class Slow(Terminal):
    """Its echo comes at once; what a command says, ``delay`` seconds later. An empty line is no command."""

    delay = 0.0
    commands = 0

    async def line(self, prompt: str, *, echo: bool = True) -> tuple[str, bool]:
        typed, ended = await super().line(prompt, echo=echo)
        if typed.strip():
            Slow.commands += 1
            self.flush()
            await asyncio.sleep(self.delay)
        return typed, ended


class SlowVtys(Vtys):
    async def serve(self, terminal: Terminal, peer: Peer, command: str | None) -> None:
        await super().serve(Slow(terminal._read, terminal._send), peer, command)


async def start(router: Router, one: dict[str, Any]) -> None:
    for name, (into, out, listening, target) in one["relays"].items():
        relay = Relay(name, Way(router, into, out), tuple(listening), tuple(target))
        await relay.start()
        router.on_change.append(relay.refresh)
        router.collect.append(relay.collect)
    address, port = one["ssh"]
    await listen(SlowVtys(router), address, port, Path(one["host_key"]), {"admin": Path(one["authorized_keys"])})


async def serve(routers: list[tuple[Router, dict[str, Any]]], until_closed: int) -> None:
    for router, one in routers:
        await start(router, one)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    closed = asyncio.Event()
    asyncio.get_running_loop().add_reader(until_closed, closed.set)
    await closed.wait()


def generation(routers: list[tuple[Router, dict[str, Any]]]) -> None:
    """A copy of this process has them going until "stop", or until this one is gone."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(writing)
        began = time.process_time()
        try:
            asyncio.run(serve(routers, reading))
            sys.stdout.write(f"stopped {Slow.commands} {time.process_time() - began:.3f}\n")
            sys.stdout.flush()
        finally:
            os._exit(0)  # the routers hold nothing that outlives the process
    os.close(reading)
    sys.stdin.readline()
    os.close(writing)
    os.waitpid(child, 0)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    wanted = json.loads(sys.stdin.readline())
    Slow.delay = wanted["delay"]
    routers = [(Router(Path(one["config"]).read_text()), one) for one in wanted["routers"]]
    sys.stdout.write("loaded\n")
    sys.stdout.flush()
    while sys.stdin.readline():
        generation(routers)


main()
