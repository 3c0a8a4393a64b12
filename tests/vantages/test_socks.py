"""The SOCKS5 vantage, against dante, microsocks and OpenSSH's own, and against scripted ones that misbehave."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from remediate import probes
from remediate.errors import VantageError
from remediate.model.observation import Rung
from remediate.model.site import LocalVia, SocksVia
from remediate.model.stream import DialFailed, StreamEnded
from remediate.vantages import Lookout, socks

from .conftest import Sshd
from .places import Handler, greets, is_silent, question, run, serving, site

Start = Callable[..., int]
DANTE = """
errorlog: {folder}/log
internal: 127.0.0.1 port = {port}
external: {outgoing}
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: root
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.3/32 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: ::/0 }}
"""


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], namespace: str | None) -> None:
    looks = ["ip", "netns", "exec", namespace] if namespace else []
    deadline = time.monotonic() + 60
    while f"127.0.0.1:{port} " not in run(*looks, "ss", "-Hltn"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)  # a poll with a deadline


@pytest.fixture
def started() -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Servers of the test's own, by port."""
    found: dict[int, subprocess.Popen[bytes]] = {}
    yield found
    for process in found.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


@pytest.fixture
def kill(started: dict[int, subprocess.Popen[bytes]]) -> Callable[[int], None]:
    def now(port: int) -> None:
        started[port].kill()
        started[port].wait(60)

    return now


@pytest.fixture
def start(started: dict[int, subprocess.Popen[bytes]]) -> Start:
    """Starts one on loopback, in a namespace where one is named."""

    def begin(*command: str, needs: str, port: int, namespace: str | None = None) -> int:
        if not shutil.which(needs) or not shutil.which("ss"):
            pytest.skip(f"needs {needs} and ss")
        enter = ["ip", "netns", "exec", namespace] if namespace else []
        process = subprocess.Popen([*enter, *command], start_new_session=True, stderr=subprocess.DEVNULL)
        started[port] = process
        wait_for(port, process, namespace)
        return port

    return begin


@pytest.fixture
def dante(start: Start, tmp_path: Path) -> Start:
    def begin(namespace: str | None = None, outgoing: str = "lo") -> int:
        if os.geteuid() != 0:
            pytest.skip("needs root for a dante of its own")
        port = unused_port()
        (tmp_path / "sockd").write_text(DANTE.format(port=port, folder=tmp_path, outgoing=outgoing))
        return start("danted", "-f", str(tmp_path / "sockd"), needs="danted", port=port, namespace=namespace)

    return begin


@pytest.fixture
def microsocks(start: Start) -> Start:
    """It says 0x00 only once it is connected, and never with a port of its own."""

    def begin(*options: str) -> int:
        port = unused_port()
        return start("microsocks", "-i", "127.0.0.1", "-p", str(port), *options, needs="microsocks", port=port)

    return begin


@pytest.fixture
def ssh_d(start: Start, start_sshd: Callable[..., Sshd]) -> int:
    """Says 0x00 before it asks its server to connect."""
    via, port = start_sshd().via, unused_port()
    known, key = f"UserKnownHostsFile={via.known_hosts}", str(via.key)
    where = ("-p", str(via.port), f"{via.user}@{via.host}")
    return start("ssh", "-N", "-F", "none", "-o", known, "-i", key, "-D", str(port), *where, needs="ssh", port=port)


def via(port: int, user: str | None = None, password: str | None = None) -> SocksVia:
    return SocksVia(
        host="127.0.0.1", port=port, username=user, password=None if password is None else SecretStr(password)
    )


@asynccontextmanager
async def opened(port: int, *, canaries: tuple[tuple[str, int], ...] = ()) -> AsyncIterator[Lookout]:
    described = site("127.0.0.1", "127.0.0.3", "192.0.2.2", "::1", canaries=canaries, here=via(port))
    lookout = Lookout(described, ["here"])
    assert await lookout.open() == {}
    try:
        yield lookout
    finally:
        await lookout.aclose()


def why_not(via: SocksVia) -> str:
    async def main() -> str:
        lookout = Lookout(site("127.0.0.1", here=via, other=LocalVia()), ["here", "other"])
        errors = await lookout.open()
        assert set(errors) == {"here"} and isinstance(errors["here"], VantageError)
        assert not (await lookout.canaries("here")).alive
        return str(errors["here"])

    return asyncio.run(main())


async def rung(lookout: Lookout, port: int, address: str = "127.0.0.1", deadline: float = 0.5) -> Rung:
    return (await probes.observe(lookout.dial, question(port, address=address), deadline)).rung


# -- real servers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_dante_opens_the_connection(dante: Start, host: str) -> None:
    async def main() -> None:
        async with (
            serving(greets, host) as port,
            serving(is_silent) as canary,
            opened(dante(), canaries=(("127.0.0.1", canary),)) as lookout,
        ):
            async with lookout.dial(question(port, address=host), 1) as line, line.connect() as stream:
                assert await stream.exactly(5) == b"220 r"
                with pytest.raises(TimeoutError):
                    await stream.exactly(100)
            assert (await lookout.canaries("here")).alive

    asyncio.run(main())


def test_what_dante_says_of_ports(dante: Start) -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        port = unused_port()
        async with (
            serving(is_silent) as silent,
            serving(closes) as closing,
            opened(dante(), canaries=(("127.0.0.1", port),)) as lookout,
        ):
            assert await rung(lookout, silent) is Rung.OPEN
            assert await rung(lookout, port) is Rung.CLOSED
            assert await rung(lookout, silent, "127.0.0.3") is Rung.INCONCLUSIVE  # its rules
            assert not (await lookout.canaries("here")).alive
            async with lookout.dial(question(closing), 1) as line, line.connect() as stream:
                with pytest.raises(StreamEnded):
                    await stream.exactly(1)

    asyncio.run(main())


def test_a_password(microsocks: Start) -> None:
    port = microsocks("-u", "probe", "-P", "secret-1")

    async def main() -> None:
        lookout = Lookout(site("127.0.0.1", here=via(port, "probe", "secret-1")), ["here"])
        assert await lookout.open() == {}
        async with serving(greets) as service:
            assert await rung(lookout, service) is Rung.OPEN
            assert await rung(lookout, unused_port()) is Rung.CLOSED

    asyncio.run(main())
    wrong = why_not(via(port, "probe", "secret-2"))
    assert "does not let probe in" in wrong and "secret" not in wrong
    assert "accepts no password" in why_not(via(port))


def test_success_without_a_port_needs_a_byte(microsocks: Start) -> None:
    async def main() -> None:
        async with serving(is_silent) as silent, serving(greets) as greeting:
            server = microsocks()
            async with opened(server, canaries=(("127.0.0.1", greeting),)) as lookout:
                assert await rung(lookout, silent) is Rung.INCONCLUSIVE
                assert await rung(lookout, greeting) is Rung.OPEN
                assert (await lookout.canaries("here")).alive
            async with opened(server, canaries=(("127.0.0.1", silent),)) as lookout:
                report = await lookout.canaries("here")
                assert not report.alive and "nothing came from there" in report.detail

    asyncio.run(main())


def test_an_ssh_d_that_says_connected_too_early_opens_nothing(ssh_d: int) -> None:
    """A port that is closed behind it, a canary that is dead: neither may look reached."""

    async def main() -> None:
        closed = unused_port()
        async with (
            serving(greets) as greeting,
            opened(ssh_d, canaries=(("127.0.0.1", closed),)) as lookout,
        ):
            assert await rung(lookout, closed) is Rung.INCONCLUSIVE
            assert await rung(lookout, greeting) is Rung.OPEN
            assert not (await lookout.canaries("here")).alive

    asyncio.run(main())


ASK = """
import asyncio, sys
from ipaddress import ip_address
from remediate.model.site import SocksVia, Vantage
from remediate.model.stream import DialFailed
from remediate.vantages.socks import open_place

async def ask(place, case):
    address, port = case.rsplit(" ", 1)
    try:
        (await place.dial(ip_address(address), int(port), 1.0, 1000)).abort()
    except DialFailed as error:
        return error.rung.value
    return "open"

async def main():
    via = SocksVia.model_validate_json(sys.argv[1])
    place = await open_place(Vantage(name="here", zone="outside", via=via))
    print("\\n".join(await asyncio.gather(*(ask(place, case) for case in sys.argv[2:]))))

asyncio.run(main())
"""


def test_what_a_real_network_gives(two_hosts: str, dante: Start) -> None:
    run("ip", "netns", "exec", two_hosts, "sysctl", "-q", "-w", "net.ipv4.tcp_syn_retries=1")  # 3 s instead of 130
    server = via(dante(two_hosts, "v0"))
    cases = {
        "192.0.2.2 104": "filtered",
        "192.0.2.2 201": "unreachable",  # ICMP 3/1
        "192.0.2.2 213": "unreachable",  # 3/13
        "192.0.2.2 107": "closed",
        "203.0.113.1 104": "unreachable",  # the server's own want of a route: why *unreachable* needs more
    }
    command = ["ip", "netns", "exec", two_hosts, sys.executable, "-c", ASK, server.model_dump_json(), *cases]
    seen = run(*command).splitlines()
    assert dict(zip(cases, seen, strict=True)) == cases


# -- a lost server ------------------------------------------------------------------------------------


def test_a_server_that_is_lost_midway_is_inconclusive(microsocks: Start, kill: Callable[[int], None]) -> None:
    """Its kernel hangs up for it, which looks like the peer."""
    port = microsocks()

    async def main() -> None:
        async with serving(greets) as service, opened(port, canaries=(("127.0.0.1", service),)) as lookout:
            assert (await lookout.canaries("here")).alive
            with pytest.raises(VantageError, match="cannot be reached"):
                async with lookout.dial(question(service), 5) as line, line.connect() as stream:
                    assert await stream.exactly(11) == b"220 ready\r\n"
                    kill(port)
                    await stream.exactly(1)
            seen = await probes.observe(lookout.dial, question(service), 1)
            assert seen.rung is Rung.INCONCLUSIVE and "lost" in seen.detail
            assert (await lookout.canaries("here")).detail == "the vantage was lost"

    asyncio.run(main())


def test_no_server_and_no_name() -> None:
    assert "cannot be reached: Connection refused" in why_not(via(unused_port()))
    assert "cannot be resolved" in why_not(SocksVia(host="socks.invalid", port=1080))


# -- scripted servers ---------------------------------------------------------------------------------


def replying(reply: bytes, seen: list[bytes]) -> Handler:
    """Greets, notes the request, answers with ``reply`` and hangs up."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(3) == b"\5\1\0"
        writer.write(b"\5\0")
        if request := await reader.read(100):
            seen.append(request)
            writer.write(reply)
            await writer.drain()
            if reply:
                await reader.read()

    return handler


async def fails(server: Handler, address: str = "127.0.0.1") -> DialFailed:
    async with serving(server) as port, opened(port) as lookout:
        with pytest.raises(DialFailed) as failed:
            async with lookout.dial(question(104, address=address), 1) as line, line.connect():
                pass
    return failed.value


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, Rung.INCONCLUSIVE),
        (2, Rung.INCONCLUSIVE),
        (3, Rung.UNREACHABLE),
        (4, Rung.UNREACHABLE),
        (5, Rung.CLOSED),
        (6, Rung.FILTERED),
        (7, Rung.INCONCLUSIVE),
        (8, Rung.INCONCLUSIVE),
        (9, Rung.INCONCLUSIVE),
        (255, Rung.INCONCLUSIVE),
    ],
)
def test_what_each_reply_means(code: int, expected: Rung) -> None:
    seen: list[bytes] = []
    server = replying(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]), seen)
    assert asyncio.run(fails(server)).rung is expected
    assert asyncio.run(fails(server, "::1")).rung is expected
    assert seen == [b"\5\1\0\1\x7f\0\0\1\0\x68", b"\5\1\0\4" + ip_address("::1").packed + b"\0\x68"]


@pytest.mark.parametrize("bound", [b"\3\4host\1\2", b"\1\0\0\0\0\0\0", b"\4" + bytes(18)])
def test_what_comes_in_the_same_packet_as_the_reply(bound: bytes) -> None:
    """It is the peer's, whether a port was named or not."""

    async def main() -> None:
        async with (
            serving(replying(b"\5\0\0" + bound + b"220 ready\r\n", [])) as port,
            opened(port) as lookout,
            lookout.dial(question(104), 0.3) as line,
            line.connect() as stream,
        ):
            assert await stream.exactly(11) == b"220 ready\r\n"
            with pytest.raises(TimeoutError):
                await stream.exactly(1)

    asyncio.run(main())


@pytest.mark.parametrize("reply", [b"", b"\5", b"\5\0\0\1\0", b"\4\0\0\1" + bytes(6), b"\5\0\0\x09" + bytes(6)])
def test_a_reply_that_is_none_is_inconclusive(reply: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socks, "SERVER_CONNECT_WAIT", 0.2)
    assert asyncio.run(fails(replying(reply, []))).rung is Rung.INCONCLUSIVE


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"", "did not greet us"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak SOCKS5"),
        (b"\5\1", "does not speak SOCKS5"),
        (b"\5\xff", "accepts no password"),
    ],
)
def test_a_server_that_does_not_let_us_in(says: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socks, "SERVER_WAIT", 0.2)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(says)
        await writer.drain()
        await reader.read()

    async def main() -> str:
        async with serving(answer) as port:
            lookout = Lookout(site("127.0.0.1", here=via(port)), ["here"])
            return str((await lookout.open())["here"])

    assert words in asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(greeting=st.binary(max_size=4), reply=st.binary(max_size=40))
def test_no_answer_whatever_is_a_crash(greeting: bytes, reply: bytes) -> None:
    """``greeting`` b"": a good one."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(greeting or b"\5\0")
        if await reader.read(100):
            writer.write(reply)
            await writer.drain()

    async def main() -> None:
        async with serving(handler) as port:
            lookout = Lookout(site("127.0.0.1", here=via(port)), ["here"])
            unopened = await lookout.open()
            assert all(isinstance(error, VantageError) for error in unopened.values())
            seen = await probes.observe(lookout.dial, question(104), 0.3)
            if not greeting and reply[:2] == b"\5\5" and len(reply) >= 4:
                assert seen.rung is Rung.CLOSED

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socks, "SERVER_WAIT", 0.1)
        asyncio.run(main())
