"""A simulated Cisco IOS router as a process of its own: ``python -m remediate.lab.devices.cisco_ios --help``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh

from remediate.lab.devices.cisco_ios.configure import interface_name
from remediate.lab.devices.cisco_ios.forwarding import Path as Way
from remediate.lab.devices.cisco_ios.grammar import Cursor, Rejected, tokens
from remediate.lab.devices.cisco_ios.router import Misbehaviour, Router
from remediate.lab.devices.cisco_ios.session import Habits
from remediate.lab.devices.cisco_ios.vtys import Vtys
from remediate.lab.devices.relay import Relay, drops_work
from remediate.lab.devices.ssh import listen

_ENDPOINT = r"(\d+\.\d+\.\d+\.\d+):(\d+)"
_RELAY = re.compile(rf"([\w.-]+):([^:>]+)(?:>([^:>]+))?:{_ENDPOINT}->{_ENDPOINT}(?:={_ENDPOINT})?(?:@{_ENDPOINT})?")
_FAULTS = {"drops-inside", "forgets-confirm", "rejects-line", "locks-out", "keeps-publishing", "no-forced"}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m remediate.lab.devices.cisco_ios", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the startup configuration")
    parser.add_argument("--ssh", required=True, metavar="ADDRESS:PORT", help="where to listen; port 0: any")
    parser.add_argument("--host-key", required=True, type=Path, help="a private key; made if it is not there")
    parser.add_argument("--authorized-keys", action="append", default=[], metavar="USER=FILE")
    parser.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="NAME:IN[>OUT]:ADDRESS:PORT->TARGET:PORT[=HOST:PORT][@DESTINATION:PORT]",
        help="forward TCP that comes in by interface IN; the access lists take ADDRESS:PORT for DESTINATION:PORT "
        "(itself by default); OUT is where the routing table leads to; with HOST:PORT the target is this host, and "
        "is reached only by what is addressed to it, or translated to it by static NAT",
    )
    parser.add_argument("--serial", default="FTX00000000", help="what tells it from another one of its kind")
    parser.add_argument("--minute", type=float, default=60.0, metavar="SECONDS", help="length of a timer's minute")
    parser.add_argument(
        "--misbehave",
        action="append",
        default=[],
        metavar="HOW",
        help="drops-inside=RELAY: that relay dies as soon as a list bound inbound elsewhere, or static NAT, changes; "
        "forgets-confirm: the timer goes on after a confirm; rejects-line=TEXT: lines with TEXT are refused; "
        "locks-out: no new session as soon as a list bound inbound, or static NAT, changes; "
        "keeps-publishing: static NAT that is removed goes on translating; "
        "no-forced: a release that does not know `no ip nat ... forced`",
    )
    parser.add_argument(
        "--remarks",
        choices=("next-entry", "end"),
        default="next-entry",
        help="where a remark goes that is typed into an access list: where the next entry goes, and it is part of that "
        "entry; or to the end of the list",
    )
    parser.add_argument("--seconds-per-line", type=float, default=0.0, help="that each typed line takes")
    parser.add_argument(
        "--refuse", action="append", default=[], metavar="COMMAND", help="as a server of command authorizations does"
    )
    parser.add_argument("--hide", action="append", default=[], metavar="COMMAND", help="as a parser view does")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input is closed")
    return parser.parse_args(arguments)


def _interface(router: Router, name: str) -> str:
    known = interface_name(Cursor(name, tokens(name)))
    if known not in router.running.interfaces:
        raise SystemExit(f"--relay: no interface {name} in the configuration")
    return known


def _inbound(router: Router, interfaces: Iterable[str]) -> list[list[str]]:
    """What is done to packets that come in there: the lists, and static NAT."""
    bound = (router.running.bound(interface, "in") for interface in interfaces)
    return [[entry.line() for entry in router.running.nat], *(acl.body() if acl else [] for acl in bound)]


def _relays(router: Router, texts: Sequence[str], broken: Sequence[str]) -> list[Relay]:
    relays: list[Relay] = []
    ingress: dict[str, str] = {}
    for text in texts:
        match = _RELAY.fullmatch(text)
        if match is None:
            raise SystemExit(f"--relay: cannot read {text!r}")
        name, into, out, *ends = match.groups()
        listening, target, host, destination = (
            (ends[i], int(ends[i + 1])) if ends[i] is not None else None for i in (0, 2, 4, 6)
        )
        assert listening is not None
        assert target is not None
        ingress[name] = _interface(router, into)
        way = Way(router, ingress[name], _interface(router, out) if out else None, host=host)
        relays.append(Relay(name, way, listening, target, destination))
    for name in broken:
        if name not in ingress:
            raise SystemExit(f"--misbehave: no relay {name}")
    outside = [interface for name, interface in ingress.items() if name not in broken]
    before = _inbound(router, outside)
    for relay in relays:
        if relay.name in broken:
            assert isinstance(relay.rules, Way)
            relay.rules.fails = lambda: _inbound(router, outside) != before
    return relays


def _watch(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


async def _serve(options: argparse.Namespace) -> None:
    how = dict(text.partition("=")[::2] for text in options.misbehave)
    unknown = set(how) - _FAULTS
    if unknown:
        raise SystemExit(f"--misbehave: unknown: {', '.join(sorted(unknown))}")
    router = Router(
        options.config.read_text(),
        minute=options.minute,
        misbehaviour=Misbehaviour(
            rejects=how.get("rejects-line", ""),
            forgets_confirm="forgets-confirm" in how,
            keeps_publishing="keeps-publishing" in how,
            no_forced="no-forced" in how,
        ),
        serial=options.serial,
        remarks_to_the_end=options.remarks == "end",
    )
    relays = _relays(router, options.relay, [how["drops-inside"]] if "drops-inside" in how else [])
    keys = {user: Path(path) for user, _, path in (text.partition("=") for text in options.authorized_keys)}
    address, _, port = options.ssh.rpartition(":")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _watch, stop)
    async with AsyncExitStack() as stack:
        for relay in relays:
            await relay.start()
            stack.push_async_callback(relay.stop)
            router.on_change.append(relay.refresh)
            router.collect.append(relay.collect)
        if not options.host_key.exists():
            options.host_key.touch(mode=0o600)
            asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(options.host_key))
        habits = Habits(tuple(options.refuse), tuple(options.hide), options.seconds_per_line)
        vtys = Vtys(router, habits)
        if "locks-out" in how:
            before = _inbound(router, router.running.interfaces)
            vtys.fails = lambda: _inbound(router, router.running.interfaces) != before
        server = await listen(vtys, address, int(port), options.host_key, keys)
        stack.push_async_callback(vtys.close)
        stack.callback(server.close)
        ready = {
            "ready": True,
            "pid": os.getpid(),
            "ssh": f"{address}:{server.get_port()}",
            "relays": {relay.name: "{}:{}".format(*relay.listen) for relay in relays},
            "denied": "dropped" if drops_work() else "reset",
            "unreachables": {relay.name: relay.unreachables for relay in relays},
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()
        if options.until_stdin_closes:
            loop.remove_reader(sys.stdin.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(_serve(options))
    except (OSError, ValueError, Rejected) as error:
        raise SystemExit(f"{options.config}: {error}") from error


if __name__ == "__main__":
    main()
