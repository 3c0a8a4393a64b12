"""The SSH vantage, against a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remediate import probes
from remediate.errors import VantageError
from remediate.model.observation import Rung
from remediate.model.site import LocalVia, SshVia
from remediate.model.stream import DialFailed, StreamEnded
from remediate.vantages import Lookout

from .conftest import Sshd
from .places import greets, is_silent, question, run, serving, site

StartSshd = Callable[..., Sshd]


async def opened(via: SshVia, *, canaries: tuple[tuple[str, int], ...] = ()) -> Lookout:
    lookout = Lookout(site("127.0.0.1", "192.0.2.2", "::1", canaries=canaries, here=via), ["here"])
    assert await lookout.open() == {}
    return lookout


def why_not(via: SshVia) -> VantageError:
    """Why a vantage does not open; the other one does."""

    async def main() -> VantageError:
        lookout = Lookout(site("127.0.0.1", here=via, other=LocalVia()), ["here", "other"])
        try:
            errors = await lookout.open()
            assert set(errors) == {"here"}
            assert not (await lookout.canaries("here")).alive
            assert (await lookout.canaries("other")).alive
        finally:
            await lookout.aclose()
        error = errors["here"]
        assert isinstance(error, VantageError)
        return error

    return asyncio.run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_server_opens_the_connection(start_sshd: StartSshd, host: str) -> None:
    async def main() -> None:
        async with serving(greets, host) as port, serving(is_silent) as canary:
            lookout = await opened(start_sshd().via, canaries=(("127.0.0.1", canary),))
            async with lookout.dial(question(port, address=host), 1) as line, line.connect() as stream:
                assert await stream.exactly(5) == b"220 r"
                with pytest.raises(TimeoutError):
                    await stream.exactly(100)
            assert (await lookout.canaries("here")).alive
            await lookout.aclose()

    asyncio.run(main())


def test_the_peer_closes(start_sshd: StartSshd) -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        async with serving(closes) as port:
            lookout = await opened(start_sshd().via)
            async with lookout.dial(question(port), 1) as line, line.connect() as stream:
                with pytest.raises(StreamEnded):
                    await stream.exactly(1)
                stream.write(b"too late")
            await lookout.aclose()

    asyncio.run(main())


def test_refused(start_sshd: StartSshd) -> None:
    async def main() -> None:
        lookout = await opened(start_sshd().via)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(DialFailed) as failed:
            async with lookout.dial(question(port), 1) as line, line.connect():
                pass
        assert failed.value.rung is Rung.CLOSED
        await lookout.aclose()

    asyncio.run(main())


def test_a_cancelled_open_leaves_no_silent_connection(start_sshd: StartSshd) -> None:
    """The server answers the open after nobody waits for it any more."""

    async def main() -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def notes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            ended.set_result(None)

        sshd = start_sshd()
        async with serving(notes) as port, serving(is_silent) as canary:
            lookout = await opened(sshd.via, canaries=(("127.0.0.1", canary),))
            assert (await lookout.canaries("here")).alive, "the process that opens connections is there by now"
            children = sshd.children()
            for pid in children:
                os.kill(pid, signal.SIGSTOP)

            async def ask() -> None:
                async with lookout.dial(question(port), 1) as line, line.connect():
                    pass

            asking = asyncio.ensure_future(ask())
            done, _ = await asyncio.wait([asking], timeout=0.1)
            assert not done
            asking.cancel()
            await asyncio.wait([asking])
            for pid in children:
                os.kill(pid, signal.SIGCONT)
            async with asyncio.timeout(60):
                await ended
            await lookout.aclose()

    asyncio.run(main())


def test_a_lost_connection_is_inconclusive(start_sshd: StartSshd) -> None:
    async def main() -> None:
        sshd = start_sshd()
        async with serving(is_silent) as port:
            lookout = await opened(sshd.via)
            with pytest.raises(VantageError, match="lost"):
                async with lookout.dial(question(port), 10) as line, line.connect() as stream:
                    for pid in sshd.children():
                        os.kill(pid, signal.SIGKILL)
                    await stream.exactly(1)
            with pytest.raises(DialFailed) as failed:
                async with lookout.dial(question(port), 1) as line, line.connect():
                    pass
            assert failed.value.rung is Rung.INCONCLUSIVE
            assert isinstance(failed.value.__cause__, VantageError)
            assert not (await lookout.canaries("here")).alive
            await lookout.aclose()

    asyncio.run(main())


def test_what_a_vantage_saw_that_was_lost_midway_is_inconclusive(start_sshd: StartSshd) -> None:
    """The service was reached, and then the SSH connection went."""

    async def main() -> None:
        sshd = start_sshd()

        async def kills(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 ready\r\n")
            await writer.drain()
            for pid in sshd.children():
                os.kill(pid, signal.SIGKILL)
            await reader.read()

        async with serving(kills) as port:
            lookout = await opened(sshd.via)
            for _ in range(2):
                seen = await probes.observe(lookout.dial, question(port), 10)
                assert seen.rung is Rung.INCONCLUSIVE and "lost" in seen.detail
            assert not (await lookout.canaries("here")).alive
            await lookout.aclose()

    asyncio.run(main())


def test_an_unknown_host_key(start_sshd: StartSshd, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    via = start_sshd().via.model_copy(update={"known_hosts": str(empty)})
    text = str(why_not(via))
    assert "is not known" in text and "here" in text and "127.0.0.1" in text and str(empty) in text
    assert "inventory trust" in text


def test_a_changed_host_key(start_sshd: StartSshd) -> None:
    sshd, other = start_sshd(), start_sshd()
    line = Path(other.via.known_hosts).read_text().split(" ", 1)[1]
    Path(sshd.via.known_hosts).write_text(f"[127.0.0.1]:{sshd.via.port} {line}")
    assert "has changed" in str(why_not(sshd.via))


def test_a_key_that_the_server_does_not_accept(start_sshd: StartSshd) -> None:
    sshd, other = start_sshd(), start_sshd()
    assert "does not let" in str(why_not(sshd.via.model_copy(update={"key": other.via.key})))


def test_no_known_hosts_file_and_no_server(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    assert "cannot be read" in str(why_not(sshd.via.model_copy(update={"known_hosts": "/nowhere/known_hosts"})))
    sshd.process.terminate()
    sshd.process.wait(60)
    assert "no SSH session" in str(why_not(sshd.via))


ASK = """
import asyncio, sys
from ipaddress import ip_address
from remediate.model.site import SshVia, Vantage
from remediate.model.stream import DialFailed
from remediate.vantages.ssh import open_place

async def ask(place, case):
    address, port = case.rsplit(" ", 1)
    try:
        (await place.dial(ip_address(address), int(port), 1.0, 1000)).abort()
    except DialFailed as error:
        return error.rung.value
    return "open"

async def main():
    via = SshVia.model_validate_json(sys.argv[1])
    place = await open_place(Vantage(name="here", zone="outside", via=via))
    print("\\n".join(await asyncio.gather(*(ask(place, case) for case in sys.argv[2:]))))
    await place.aclose()

asyncio.run(main())
"""


def test_what_a_real_server_says_of_a_real_network(two_hosts: str, start_sshd: StartSshd) -> None:
    run("ip", "netns", "exec", two_hosts, "sysctl", "-q", "-w", "net.ipv4.tcp_syn_retries=1")  # 3 s instead of 130
    run("ip", "netns", "exec", two_hosts, "sysctl", "-q", "-w", "net.ipv4.neigh.v0.retrans_time_ms=200")  # and before
    sshd = start_sshd(two_hosts)
    cases = {
        "192.0.2.2 104": "filtered",
        "192.0.2.2 106": "closed",
        "192.0.2.2 107": "closed",
        "192.0.2.2 201": "unreachable",  # ICMP 3/1
        "192.0.2.2 202": "unreachable",  # 3/2
        "192.0.2.2 209": "unreachable",  # 3/9
        "192.0.2.2 210": "unreachable",  # 3/10
        "192.0.2.2 213": "unreachable",  # 3/13
        "2001:db8::2 200": "unreachable",  # ICMPv6 1/0
        "2001:db8::2 201": "unreachable",  # 1/1
        "2001:db8::2 203": "unreachable",  # 1/3
        "192.0.2.9 104": "unreachable",  # no neighbour, the server's own message: why *unreachable* needs more
        "203.0.113.1 104": "inconclusive",  # no route
    }
    command = ["ip", "netns", "exec", two_hosts, sys.executable, "-c", ASK, sshd.via.model_dump_json(), *cases]
    seen = run(*command).splitlines()
    assert dict(zip(cases, seen, strict=True)) == cases


def test_asyncssh_is_imported_only_for_an_ssh_vantage() -> None:
    program = (
        "import remediate.vantages, remediate.vantages.local, remediate.probes, sys; print('asyncssh' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "False"
