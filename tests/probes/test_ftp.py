"""The FTP probe, put to vsftpd and to scripted peers."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from remediate.model.observation import Rung, Surface
from remediate.model.site import ServiceKind

from .daemons import vsftpd
from .peers import Peer, Script, ask, look_at

BOTH = {Surface.ANONYMOUS_FTP, Surface.DIRECTORY_LISTING}


@pytest.mark.parametrize(
    ("settings", "surfaces", "detail"),
    [
        ({"anonymous_enable": "YES"}, BOTH, "FTP greeting 220; anonymous login accepted"),
        ({"anonymous_enable": "YES", "no_anon_password": "YES"}, BOTH, "FTP greeting 220; anonymous login accepted"),
        (
            {"anonymous_enable": "YES", "dirlist_enable": "NO"},
            {Surface.ANONYMOUS_FTP},
            "FTP greeting 220; anonymous login accepted",
        ),
        ({}, set(), "FTP greeting 220; anonymous login refused"),
        ({"ftpd_banner": "MADEUP"}, set(), "FTP greeting 220; anonymous login refused"),
    ],
)
def test_vsftpd(tmp_path: Path, settings: dict[str, str], surfaces: set[Surface], detail: str) -> None:
    with vsftpd(tmp_path, **settings) as port:
        seen = ask(port, ServiceKind.FTP, 5.0)
    rung = Rung.OPEN if surfaces else Rung.FTP_GUARDED
    assert (seen.rung, set(seen.surfaces), seen.detail) == (rung, surfaces, detail)
    assert "MADEUP" not in seen.model_dump_json()


def converses(greeting: bytes, *replies: bytes) -> Script:
    """The greeting, then one reply to each command."""

    async def script(peer: Peer) -> None:
        await peer.say(greeting)
        for reply in replies:
            peer.received += await peer.reader.readuntil(b"\r\n")
            await peer.say(reply)

    return script


USER, PASS, STAT, QUIT = b"USER anonymous\r\n", b"PASS anonymous@\r\n", b"STAT /\r\n", b"QUIT\r\n"
LISTING = b"213-Status of MADEUP\r\n drwx MADEUP^PATIENT\r\n213 End\r\n"


@pytest.mark.parametrize(
    ("script", "sent", "surfaces", "rung"),
    [
        (converses(b"220 x\r\n", b"331 x\r\n", b"230 x\r\n", LISTING), USER + PASS + STAT + QUIT, BOTH, Rung.OPEN),
        (converses(b"220-a\r\n 220 b\r\n220 c\r\n", b"230 x\r\n", LISTING), USER + STAT + QUIT, BOTH, Rung.OPEN),
        (
            converses(b"220 x\n", b"332 x\n", b"230-x\nMADEUP\n230 x\n", LISTING),
            USER + PASS + STAT + QUIT,
            BOTH,
            Rung.OPEN,
        ),
        (
            converses(b"220 x\r\n", b"230 x\r\n", b"213-x\r\n213 End\r\n"),
            USER + STAT + QUIT,
            {Surface.ANONYMOUS_FTP},
            Rung.OPEN,
        ),
        (
            converses(b"220 x\r\n", b"230 x\r\n", b"211-Status\r\n Connected\r\n211 End\r\n"),
            USER + STAT + QUIT,
            {Surface.ANONYMOUS_FTP},
            Rung.OPEN,
        ),
        (converses(b"220 x\r\n", b"230 x\r\n", b"502 no\r\n"), USER + STAT + QUIT, {Surface.ANONYMOUS_FTP}, Rung.OPEN),
        (converses(b"220 x\r\n", b"331 x\r\n", b"530 no\r\n"), USER + PASS + QUIT, set(), Rung.FTP_GUARDED),
        (converses(b"220 x\r\n", b"530 TLS first\r\n"), USER + QUIT, set(), Rung.FTP_GUARDED),
        (converses(b"220 x\r\n", b"331 x\r\n", b"421 too many\r\n"), USER + PASS + QUIT, set(), Rung.OPEN),
        (converses(b"220 x\r\n", b"331 x\r\n", b"202 superfluous\r\n"), USER + PASS + QUIT, set(), Rung.OPEN),
        (converses(b"421 busy\r\n"), b"", set(), Rung.OPEN),
        (converses(b"530 no\r\n"), b"", set(), Rung.OPEN),
    ],
)
def test_what_is_said(script: Script, sent: bytes, surfaces: set[Surface], rung: Rung) -> None:
    seen, peer = asyncio.run(look_at(script, ServiceKind.FTP, 2.0))
    assert (bytes(peer.received), set(seen.surfaces)) == (sent, surfaces)
    assert seen.rung is rung and "MADEUP" not in seen.model_dump_json()


def endless(before: bytes, more: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.say(before)
        while True:
            await peer.say(more)
            await asyncio.sleep(0)  # the prober, on the same loop, has its turn

    return script


async def closes(peer: Peer) -> None:
    peer.fin()


async def resets_after_the_login(peer: Peer) -> None:
    await peer.say(b"220 x\r\n")
    await peer.reader.readuntil(b"\r\n")
    await peer.say(b"230 x\r\n")
    await peer.reader.readuntil(b"\r\n")
    peer.fin()


@pytest.mark.parametrize(
    ("script", "detail", "surfaces"),
    [
        (closes, "connected, no FTP greeting: connection closed", set()),
        (converses(b""), "connected, no FTP greeting: no answer in time", set()),
        (converses(b"2"), "connected, no FTP greeting: no answer in time", set()),
        (converses(b"SSH-2.0-MADEUP\r\n"), "connected, no FTP greeting: something else came", set()),
        (converses("²20 x\r\n".encode()), "connected, no FTP greeting: something else came", set()),
        (endless(b"", b"x" * 4096), "connected, no FTP greeting: a line without end", set()),
        (endless(b"220-x\r\n", b"220-y\r\n" * 500), "connected, no FTP greeting", set()),
        (endless(b"220 x\r\n", b"221-y\r\n" * 500), "FTP greeting 220; anonymous login refused", set()),
        (
            endless(b"220 x\r\n230 x\r\n213-x\r\n", b" MADEUP\r\n" * 400),
            "FTP greeting 220; anonymous login accepted",
            BOTH,
        ),
        (
            resets_after_the_login,
            "FTP greeting 220; anonymous login accepted: connection closed",
            {Surface.ANONYMOUS_FTP},
        ),
    ],
)
def test_misbehaviour(script: Script, detail: str, surfaces: set[Surface]) -> None:
    deadline = 0.6 if detail.endswith("in time") else 10.0  # what else ends it comes before, on a busy machine too
    tracemalloc.start()
    try:
        seen, _ = asyncio.run(look_at(script, ServiceKind.FTP, deadline))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (seen.detail, set(seen.surfaces), seen.rung) == (detail, surfaces, Rung.OPEN)
    assert peak < 2 << 20
