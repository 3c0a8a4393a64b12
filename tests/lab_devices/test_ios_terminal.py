"""The terminal as raw bytes, by asyncssh: echo, keys, pager, width, keys instead of passwords."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from tests.lab_devices.conftest import STARTUP, Process, Start, started


@asynccontextmanager
async def shell(router: Process, user: str = "admin", **more: Any) -> AsyncIterator[Shell]:
    host, port = router.address
    options = {"password": "open-door", "client_keys": None, "agent_path": None, **more}
    async with asyncssh.connect(host, port, username=user, known_hosts=None, config=None, **options) as connection:
        process = await connection.create_process(term_type="vt100", encoding="utf-8")
        yield Shell(process)


class Shell:
    def __init__(self, process: asyncssh.SSHClientProcess[str]) -> None:
        self.process = process

    async def until(self, ending: str) -> str:
        text = ""
        async with asyncio.timeout(60):
            while not text.endswith(ending):
                text += await self.process.stdout.read(1)
        return text

    async def until_any(self, *endings: str) -> str:
        text = ""
        async with asyncio.timeout(10):
            while not text.endswith(endings):
                text += await self.process.stdout.read(1)
        return text

    async def type(self, keys: str, ending: str) -> str:
        self.process.stdin.write(keys)
        return await self.until(ending)


def test_echo_and_line_ends(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at:
            assert await at.until("edge-1#") == "\r\nedge-1#"
            assert await at.type("show priv", "show priv") == "show priv"
            answer = "\r\nCurrent privilege level is 15\r\nedge-1#"
            assert await at.type("\r", "edge-1#") == answer
            for end in ("\n", "\r\n"):
                assert await at.type(f"show priv{end}", "edge-1#") == f"show priv{answer}"
            assert await at.type("\r", "edge-1#") == "\r\nedge-1#"

    asyncio.run(run())


def test_the_caret_byte_for_byte(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1#")
            assert await at.type("show clokc\r", "edge-1#") == (
                f"show clokc\r\n{' ' * 15}^\r\n% Invalid input detected at '^' marker.\r\n\r\nedge-1#"
            )
            assert await at.type("show ip\r", "edge-1#") == "show ip\r\n% Incomplete command.\r\n\r\nedge-1#"

    asyncio.run(run())


def test_editing_keys(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1#")
            assert await at.type("show prix\x7fv\b\bivi\x15show priv\r", "level is 15\r\nedge-1#")
            await at.type("configure terminal\r", "(config)#")
            assert await at.type("hostname never\x03", "edge-1#") == "hostname never\r\nedge-1#"
            await at.type("configure terminal\r", "(config)#")
            assert (await at.type("interface Gi0/1\x1a", "edge-1#")).endswith("^Z\r\nedge-1#")
            assert "hostname never" not in await at.type("show running-config | include hostname\r", "edge-1#")

    asyncio.run(run())


def test_the_pager(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1#")
            first = await at.type("show running-config\r", " --More-- ")
            assert first.count("\r\n") == 24  # the echoed line, and 23 of the output
            erase = "\b" * 9 + " " * 8 + "\b" * 9
            assert (await at.type("\r", " --More-- ")).removeprefix(erase).count("\r\n") == 1
            assert (await at.type(" ", " --More-- ")).startswith(erase)
            assert (await at.type("q", "edge-1#")) == f"{erase}edge-1#"
            await at.type("terminal length 0\r", "edge-1#")
            assert "--More--" not in await at.type("show running-config\r", "end\r\n\r\nedge-1#")

    asyncio.run(run())


def test_a_line_longer_than_the_terminal_is_shifted(router: Process) -> None:
    """Unless the width was set: this is why drivers send ``terminal width 511``."""

    async def run() -> None:
        line = "! " + "x" * 120
        async with shell(router) as at:
            await at.until("edge-1#")
            shifted = await at.type(f"{line}\r", "\r\nedge-1#")
            assert "$" in shifted
            assert line not in shifted
            await at.type("terminal width 511\r", "\r\nedge-1#")
            assert await at.type(f"{line}\r", "\r\nedge-1#") == f"{line}\r\nedge-1#"

    asyncio.run(run())


def test_typed_ahead(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1#")
            text = await at.type(
                "configure terminal\ninterface Loopback3\nshutdown\nno interface Loopback3\nend\n", "edge-1#"
            )
            assert text.count("(config-if)#") == 2
            assert "%" not in text

    asyncio.run(run())


def test_one_command_without_a_shell(router: Process) -> None:
    async def run() -> None:
        host, port = router.address
        async with asyncssh.connect(host, port, username="admin", password="open-door", known_hosts=None) as connection:
            result = await connection.run("show privilege")
            assert result.stdout == "Current privilege level is 15\r\n"

    asyncio.run(run())


def test_a_key_instead_of_a_password(start: Start, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "authorized").write_bytes(key.export_public_key())
    router = start("--authorized-keys", f"admin={tmp_path / 'authorized'}")

    async def run() -> None:
        async with shell(router, client_keys=[key], password=None) as at:
            assert await at.until("edge-1#")

    asyncio.run(run())


def test_the_host_key_is_made_once(start: Start, tmp_path: Path) -> None:
    router = start()
    assert (tmp_path / "host_key").stat().st_mode & 0o777 == 0o600

    async def run() -> None:
        host, port = router.address
        found = await asyncssh.get_server_host_key(host, port)
        assert found is not None
        assert found.public_data == asyncssh.read_private_key(str(tmp_path / "host_key")).public_data

    asyncio.run(run())


def test_log_lines_reach_a_monitor(router: Process) -> None:
    async def run() -> None:
        async with shell(router) as at, shell(router, "colleague") as other:
            await at.until("edge-1#")
            await other.until("edge-1#")
            await other.type("terminal monitor\r", "edge-1#")
            await at.type("configure terminal\r", "(config)#")
            await at.type("end\r", "edge-1#")
            assert "%SYS-5-CONFIG_I: Configured from console by admin on vty" in await other.until("(127.0.0.1)\r\n")

    asyncio.run(run())


def test_sigterm_ends_it(start: Start) -> None:
    router = start()
    router.process.terminate()
    assert router.process.wait(60) == 0


def test_banners_come_before_the_first_prompt(start: Start) -> None:
    router = start(startup=STARTUP.replace("line con 0", "banner motd ^C\nno # entry\n^C\nline con 0"))

    async def run() -> None:
        async with shell(router) as at:
            assert await at.until("edge-1#") == "\r\nno # entry\r\n\r\nedge-1#"

    asyncio.run(run())


def test_a_prompt_of_ones_own_stands_outside_of_configuration_only(start: Start) -> None:
    router = start(startup=STARTUP.replace("no ip domain lookup", "no ip domain lookup\nprompt %h@north%%%s%p"))

    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1@north% #")
            assert (await at.type("configure terminal\r", "(config)#")).endswith("\r\nedge-1(config)#")

    asyncio.run(run())


def test_command_authorization_is_asked_for_what_is_understood_only(start: Start) -> None:
    """Whole commands, by how they begin; what a parser view hides is not understood."""
    router = start("--refuse", "write memory", "--refuse", "no ip route", "--hide", "configure revert")

    async def run() -> None:
        async with shell(router) as at:
            await at.until("edge-1#")
            denied = "\r\nCommand authorization failed.\r\n\r\nedge-1#"
            assert await at.type("write memory\r", "edge-1#") == f"write memory{denied}"
            assert "Invalid input" in await at.type("write memory x\r", "\r\nedge-1#")
            refused = await at.type("configure revert now\r", "\r\nedge-1#")
            assert refused.splitlines()[1].index("^") == len("edge-1#configure ")
            await at.type("configure terminal\r", "(config)#")
            text = await at.type("no ip route 0.0.0.0 0.0.0.0 203.0.113.254\r", "(config)#")
            assert "Command authorization failed." in text
            await at.type("end\r", "edge-1#")
            assert "203.0.113.254" in await at.type("show running-config | include ip route\r", "\r\nedge-1#")

    asyncio.run(run())


def test_the_enable_secret_with_and_without_aaa(start: Start, tmp_path: Path) -> None:
    async def tries(router: Process) -> str:
        async with shell(router, "guest") as at:
            await at.until("edge-1>")
            text = await at.type("enable\r", "Password: ")
            while not text.endswith("edge-1>"):
                at.process.stdin.write("wrong\r")
                text += await at.until_any("Password: ", "edge-1>")
            return text

    plain = asyncio.run(tries(start()))
    assert (plain.count("Password: "), plain.count("% Bad secrets")) == (3, 1)
    aaa = STARTUP.replace("!\nno ip domain lookup", "!\naaa new-model\nno ip domain lookup")
    (tmp_path / "aaa").mkdir()
    with started(tmp_path / "aaa", aaa) as router:
        once = asyncio.run(tries(router))
    assert (once.count("Password: "), once.count("% Access denied")) == (1, 1)
