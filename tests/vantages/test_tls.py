"""TLS over every vantage's stream, against OpenSSL's server side and against peers that speak something else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from itertools import chain, repeat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.errors import VantageError
from remediate.model.observation import Tls
from remediate.model.site import ClientCertificate, LocalVia, Site, SocksVia, SshVia
from remediate.model.stream import ByteCapExceeded, Stream, StreamEnded, StreamReset, TlsFailed
from remediate.vantages import Lookout
from remediate.vantages.stream import PeerStream
from remediate.vantages.tls import Context, secure
from remediate.vantages.tls_facts import Handshake

from .certificates import Made, TlsPeer, make, server_context
from .conftest import Sshd
from .places import Handler, is_silent, question, run, says, serving, site

V10, V11, V12, V13 = (
    ssl.TLSVersion.TLSv1,
    ssl.TLSVersion.TLSv1_1,
    ssl.TLSVersion.TLSv1_2,
    ssl.TLSVersion.TLSv1_3,
)
Via = LocalVia | SocksVia | SshVia
HERE = LocalVia()
FOREVER = 30.0
#: openssl/ssl.h: SSL_OP_NO_ENCRYPT_THEN_MAC, which ssl does not name.
NO_ENCRYPT_THEN_MAC = 1 << 19
CONTEXT = Context("here")
#: DER: the object identifier, and the tag and length of a serial number.
ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")
SERIAL = b"\x02\x14"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def good(folder: Path) -> Made:
    return make(folder, "good")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Made:
    return make(folder, "authority", addresses=())


@pytest.fixture(scope="module")
def ct_1(folder: Path, authority: Made) -> Made:
    return make(folder, "ct-1", issuer=authority, addresses=())


@pytest.fixture
def socks() -> Iterator[SocksVia]:
    if not shutil.which("microsocks") or not shutil.which("ss"):
        pytest.skip("needs microsocks and ss")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(["microsocks", "-i", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while f"127.0.0.1:{port} " not in run("ss", "-Hltn"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)  # a poll with a deadline
        yield SocksVia(host="127.0.0.1", port=port)
    finally:
        process.kill()
        process.wait(60)


def echoes(context: ssl.SSLContext, piece: int = 0) -> Handler:
    """Greets, sends back one message in capitals, and ends the session in good order."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TlsPeer(context, reader, writer, piece)
        if await peer.shake_hands():
            await peer.write(b"hello ")
            await peer.write((await peer.read(100)).upper())
            with pytest.raises(ssl.SSLWantReadError):
                peer.session.unwrap()
            await peer.flush()
        writer.write_eof()
        await reader.read()

    return handler


def site_of(via: Via, certificate: ClientCertificate | None) -> Site:
    plain = site("127.0.0.1", "::1", here=via)
    shows = {name: one.model_copy(update={"client_certificate": certificate}) for name, one in plain.vantages.items()}
    return plain.model_copy(update={"vantages": shows})


@contextlib.asynccontextmanager
async def connected(
    handler: Handler, *, via: Via = HERE, certificate: ClientCertificate | None = None, deadline: float = FOREVER
) -> AsyncIterator[Stream]:
    async with serving(handler) as port:
        lookout = Lookout(site_of(via, certificate), ["here"])
        assert await lookout.open() == {}
        try:
            async with lookout.dial(question(port), deadline) as line, line.connect(tls=True) as stream:
                yield stream
        finally:
            await lookout.aclose()


def conversation(handler: Handler, *, via: Via = HERE, certificate: ClientCertificate | None = None) -> Tls:
    """The whole of it with ``echoes``, from the handshake to the end in good order."""

    async def main() -> Tls:
        async with connected(handler, via=via, certificate=certificate) as stream:
            assert await stream.exactly(6) == b"hello "
            stream.write(b"world")
            assert await stream.recv(2) == b"WO"
            assert await stream.exactly(3) == b"RLD"
            for _ in range(2):
                with pytest.raises(StreamEnded):
                    await stream.recv(1)
            stream.write(b"too late")
            assert stream.tls is not None
            return stream.tls

    return asyncio.run(main())


def failure(
    handler: Handler, *, via: Via = HERE, certificate: ClientCertificate | None = None, deadline: float = FOREVER
) -> TlsFailed:
    """Of the handshake, or of the first read after it."""

    async def main() -> TlsFailed:
        with pytest.raises(TlsFailed) as failed:
            async with connected(handler, via=via, certificate=certificate, deadline=deadline) as stream:
                await stream.recv(1)
        return failed.value

    return asyncio.run(main())


# -- facts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "name", "faults"),
    [
        (V10, "TLSv1", ("protocol below TLS 1.2",)),
        (V11, "TLSv1.1", ("protocol below TLS 1.2",)),
        (V12, "TLSv1.2", ()),
        (V13, "TLSv1.3", ()),
    ],
    ids=str,
)
def test_a_conversation(good: Made, version: ssl.TLSVersion, name: str, faults: tuple[str, ...]) -> None:
    tls = conversation(echoes(server_context(good, version)))
    assert (tls.version, tls.faults) == (name, faults)
    assert tls.cipher.startswith("TLS_AES" if version is V13 else "ECDHE-ECDSA-AES")
    assert (tls.self_signed, tls.names_match, tls.client_certificate) == (True, True, False)
    assert tls.not_before == good.certificate.not_valid_before_utc
    assert tls.not_after == good.certificate.not_valid_after_utc


def test_after_a_hello_retry_request(good: Made) -> None:
    """RFC 8446 4.1.4: the server has another curve than the one that we bring a key for."""
    context = server_context(good, V13)
    context.set_ecdh_curve("secp384r1")
    tls = conversation(echoes(context))
    assert (tls.version, tls.cipher[:4], tls.names_match, tls.faults) == ("TLSv1.3", "TLS_", True, ())


@pytest.mark.parametrize("piece", [1, 7])
@pytest.mark.parametrize("version", [V12, V13], ids=str)
def test_a_few_bytes_at_a_time(good: Made, version: ssl.TLSVersion, piece: int) -> None:
    assert conversation(echoes(server_context(good, version), piece)).faults == ()


@pytest.mark.parametrize("version", [V12, V13], ids=str)
def test_what_is_wrong_with_a_certificate(folder: Path, authority: Made, version: ssl.TLSVersion) -> None:
    def of(made: Made) -> Tls:
        return conversation(echoes(server_context(made, version)))

    assert of(make(folder, "expired", days=(-30, -1))).faults == ("certificate expired",)
    assert of(make(folder, "early", days=(1, 30))).faults == ("certificate not yet valid",)
    issued = of(make(folder, "issued", issuer=authority, addresses=("192.0.2.1",)))
    assert (issued.self_signed, issued.names_match, issued.faults) == (False, False, ())
    assert of(make(folder, "nameless", addresses=())).names_match is False
    short = make(folder, "short", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - that is the fault
    assert of(short).faults == ("certificate with RSA below 2048 bits",)


def der(made: Made) -> bytes:
    return made.certificate.public_bytes(serialization.Encoding.DER)


def judged(certificate: bytes, address: str = "127.0.0.1") -> Tls:
    seen = Handshake(version=0x0304, certificate=certificate)
    tls = seen.judged(ip_address(address), CONTEXT.ciphers, datetime.now(UTC))
    assert tls is not None
    return tls


def test_what_else_is_in_a_certificate(folder: Path, good: Made) -> None:
    assert judged(der(make(folder, "curve", key=ec.generate_private_key(ec.SECP192R1())))).faults == (
        "certificate with an elliptic curve below 224 bits",
    )
    found = [judged(der(good), address).names_match for address in ("127.0.0.1", "::1", "127.0.0.2", "::2")]
    assert found == [True, True, False, False]
    later = good.certificate.not_valid_after_utc
    new_kind = der(good).replace(ECDSA_WITH_SHA256, ECDSA_WITH_SHA256[:-1] + b"\x7f")
    assert (judged(new_kind).not_after, judged(new_kind).self_signed, judged(new_kind).faults) == (later, True, ())
    negative = der(good).replace(SERIAL + good.certificate.serial_number.to_bytes(20), SERIAL + b"\x80" + b"\1" * 19)
    assert (judged(negative).not_after, judged(negative).faults) == (later, ())
    version_8 = der(good).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    assert (judged(version_8).not_after, judged(version_8).faults) == (None, ("certificate cannot be read",))
    namesake = make(folder, "namesake", issuer=make(folder, "namesake"))
    assert judged(der(namesake)).self_signed is False


def test_a_signature_with_sha_1(folder: Path) -> None:
    pem = folder / "sha1.pem"
    made = run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-sha1", "-nodes", "-keyout", "-",
        "-subj", "/CN=old", "-days", "30",
    )  # fmt: skip
    pem.write_text(made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pem)
    tls = conversation(echoes(context))
    assert tls.faults == ("certificate signed with SHA-1 or MD5",)
    assert tls.self_signed is True


@pytest.mark.parametrize(
    ("ciphers", "options", "faults"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", 0, ()),
        ("ECDHE-RSA-CHACHA20-POLY1305", 0, ()),
        ("AES256-GCM-SHA384", 0, ("no forward secrecy",)),
        ("DHE-RSA-AES256-GCM-SHA384", 0, ("finite-field Diffie-Hellman",)),
        ("ECDHE-RSA-AES256-SHA", 0, ()),  # with encrypt-then-MAC
        ("ECDHE-RSA-AES256-SHA", NO_ENCRYPT_THEN_MAC, ("CBC without encrypt-then-MAC",)),
        ("AES128-SHA", NO_ENCRYPT_THEN_MAC, ("CBC without encrypt-then-MAC", "no forward secrecy")),
        ("NULL-SHA256", 0, ("no encryption (NULL cipher)", "no forward secrecy")),
        ("AECDH-AES128-SHA", 0, ("anonymous: no server certificate",)),
    ],
)
def test_what_is_wrong_with_a_cipher(folder: Path, ciphers: str, options: int, faults: tuple[str, ...]) -> None:
    rsa_2048 = make(folder, "rsa", key=rsa.generate_private_key(65537, 2048))
    context = server_context(rsa_2048, V12, ciphers=ciphers)
    context.options |= options
    if ciphers.startswith("DHE"):
        parameters = folder / "dh.pem"
        parameters.write_text(run("openssl", "dhparam", "-dsaparam", "1024"))
        context.load_dh_params(str(parameters))
    tls = conversation(echoes(context))
    assert (tls.cipher, tls.faults) == (ciphers, faults)
    assert (tls.names_match is None) == ciphers.startswith("AECDH")


@pytest.mark.parametrize(
    ("name", "bits"),
    [("ECDHE-RSA-RC4-SHA", 128), ("DES-CBC3-SHA", 112), ("EXP-DES-CBC-SHA", 40), ("DES-CBC3-SHA", 168)],
)
def test_ciphers_that_this_openssl_has_no_more(name: str, bits: int) -> None:
    """Where another one still has them, the judgement is there."""
    cipher = {"name": name, "strength_bits": bits, "symmetric": "des-ede3-cbc", "kea": "kx-ecdhe", "auth": "auth-rsa"}
    hello = b"\x02\0\0\x26\x03\x03" + bytes(32) + b"\0\x12\x34\0"
    seen = Handshake()
    seen.message(2, hello)
    tls = seen.judged(ip_address("127.0.0.1"), {0x1234: cipher}, datetime.now(UTC))
    assert tls is not None
    assert (tls.version, tls.cipher) == ("TLSv1.2", name)
    assert tls.faults == ("no secure renegotiation (RFC 5746)", "weak cipher (RC4, 3DES, DES or export)")


def test_a_server_from_before_rfc_5746_is_not_turned_away(folder: Path) -> None:
    """Its ServerHello has no renegotiation_info; with static RSA nothing in the first flight is signed."""
    rsa_2048 = make(folder, "rsa", key=rsa.generate_private_key(65537, 2048))
    flight = recorded(server_context(rsa_2048, V12, ciphers="AES128-GCM-SHA256"))
    head, info, rest = flight.partition(b"\xff\x01\0\x01\0")
    assert info

    def shorter(at: int, size: int) -> None:
        old[at : at + size] = (int.from_bytes(old[at : at + size]) - len(info)).to_bytes(size)

    old = bytearray(head + rest)
    extensions = 44 + old[43] + 3
    for at, size in ((3, 2), (6, 3), (extensions, 2)):  # record, message, extensions
        shorter(at, size)

    async def main() -> None:
        for flight_of, faults in (
            (flight, ("no forward secrecy",)),
            (bytes(old), ("no secure renegotiation (RFC 5746)", "no forward secrecy")),
        ):
            with pytest.raises(TlsFailed, match="the connection was closed") as failed:  # not: is not valid
                await secure(Wire(flight_of), CONTEXT, ip_address("127.0.0.1"))
            assert failed.value.tls is not None
            assert failed.value.tls.faults == faults

    asyncio.run(main())


# -- client certificates ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V10, V12, V13], ids=str)
def test_a_client_certificate_is_wanted(good: Made, authority: Made, ct_1: Made, version: ssl.TLSVersion) -> None:
    wants = echoes(server_context(good, version, trusts=authority))
    assert conversation(wants, certificate=ct_1.shown).client_certificate
    in_one_file = ClientCertificate(certificate=str(ct_1.pem))
    assert conversation(wants, certificate=in_one_file).client_certificate
    for certificate, alert in ((None, 116 if version is V13 else 40), (good.shown, 48)):
        failed = failure(wants, certificate=certificate)
        assert failed.certificate_wanted
        assert failed.what.startswith(f"the server wants a client certificate: TLS alert {alert}")
        assert failed.what.endswith("after the handshake" if version is V13 else "in the handshake")
        assert failed.tls is not None and failed.tls.client_certificate and failed.tls.names_match


def test_the_late_alert_comes_at_the_first_read_and_stays(good: Made, authority: Made) -> None:
    async def main() -> None:
        wants = echoes(server_context(good, V13, trusts=authority))
        async with connected(wants) as stream:
            assert stream.tls is not None and stream.tls.client_certificate
            stream.write(b"GET / HTTP/1.1\r\n\r\n")
            for _ in range(2):
                with pytest.raises(TlsFailed) as failed:
                    await stream.exactly(1)
                assert failed.value.certificate_wanted
                assert failed.value.tls == stream.tls
            stream.write(b"too late")

    asyncio.run(main())


def test_a_certificate_is_shown_only_from_its_vantage(good: Made, authority: Made, ct_1: Made) -> None:
    async def main() -> None:
        wants = echoes(server_context(good, V12, trusts=authority))
        plain = site("127.0.0.1", here=HERE, there=HERE)
        own = plain.vantages["here"].model_copy(update={"client_certificate": ct_1.shown})
        both = plain.model_copy(update={"vantages": {**plain.vantages, "here": own}})
        async with serving(wants) as port:
            lookout = Lookout(both, ["here", "there"])
            assert await lookout.open() == {}
            async with lookout.dial(question(port), FOREVER) as line, line.connect(tls=True) as stream:
                assert await stream.exactly(5) == b"hello"
            with pytest.raises(TlsFailed) as failed:
                async with lookout.dial(question(port, vantage="there"), FOREVER) as line, line.connect(tls=True):
                    pass
            assert failed.value.certificate_wanted

    asyncio.run(main())


def test_an_alert_about_a_certificate_that_was_never_asked_for() -> None:
    """Anybody on the way can send one in clear text, and a server may be at fault: it closes nothing."""
    for alert in (40, 42, 48, 116):
        failed = failure(partial(answers, b"\x15\x03\x03\0\x02\x02" + bytes([alert])))
        assert failed.answered and not failed.certificate_wanted
        assert (failed.what, failed.tls) == (f"the server ended it: TLS alert {alert} in the handshake", None)


def test_a_certificate_that_is_no_longer_there(folder: Path, ct_1: Made) -> None:
    async def main() -> None:
        gone = ClientCertificate(certificate=str(folder / "gone.crt"), key=str(ct_1.key_pem))
        lookout = Lookout(site_of(HERE, gone), ["here"])
        error = (await lookout.open())["here"]
        assert isinstance(error, VantageError)
        text = str(error)
        assert "here: the client certificate cannot be used" in text and "No such file" in text

    asyncio.run(main())


# -- peers that do not speak TLS as they should -------------------------------------------------------


async def answers(data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """To the ClientHello."""
    await reader.read(1)
    await says(data, writer, reader)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 400 Bad Request\r\n\r\n",
        b"220 ready, PATIENT^NAME\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x03\0\0\0\0\x04\0\x01\x01\x01",  # A-ASSOCIATE-RJ
        b"\x16\x03\x03\0\x04\x02\0\0\0",
        b"\x17\x03\x03\0\x04data",
    ],
)
def test_the_answer_is_not_tls(data: bytes) -> None:
    failed = failure(partial(answers, data))
    assert not failed.certificate_wanted and not failed.answered
    assert failed.what in ("the answer is not TLS", "what the server sent in the handshake is not valid TLS")
    assert "PATIENT" not in repr(failed) + repr(failed.__cause__)


def test_silence_and_endings() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write_eof()
        await reader.read()

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    for handler, deadline, words, cause in (
        (is_silent, 0.2, "no answer to the TLS handshake in time", TimeoutError),
        (closes, FOREVER, "the connection was closed in the TLS handshake", StreamEnded),
        (resets, FOREVER, "the connection was reset in the TLS handshake", StreamReset),
    ):
        failed = failure(handler, deadline=deadline)
        assert (failed.what, failed.certificate_wanted, failed.tls) == (words, False, None)
        assert isinstance(failed.__cause__, cause)


def test_the_deadline_covers_handshake_and_conversation(good: Made) -> None:
    """Each byte comes in time, all of them do not."""

    async def crawls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in chain(b"\x16\x03\x03\x40\0\x02\0\x3f", repeat(0)):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    async def main() -> None:
        with pytest.raises(TlsFailed, match="in time"):
            async with connected(crawls, deadline=0.3):  # its bytes come for ever
                pass
        async with connected(echoes(server_context(good, V13)), deadline=2) as stream:
            assert await stream.exactly(6) == b"hello "
            with pytest.raises(TimeoutError):
                await stream.exactly(1)

    asyncio.run(main())


def test_an_endless_handshake_ends_at_the_byte_cap() -> None:
    """HelloRequests, that a client passes over in a handshake (RFC 5246 7.4.1.1): OpenSSL alone would read for ever."""

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        while True:
            writer.write(b"\x16\x03\x03\x40\0" + bytes(0x4000))
            await writer.drain()

    failed = failure(floods)
    assert isinstance(failed.__cause__, ByteCapExceeded), failed


def test_an_endless_session_ends_at_the_byte_cap(good: Made) -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TlsPeer(server_context(good, V13), reader, writer)
        assert await peer.shake_hands()
        while True:
            await peer.write(bytes(16384))

    async def main() -> None:
        async with connected(floods) as stream:
            read = 0
            with pytest.raises(ByteCapExceeded):
                while True:
                    read += len(await stream.recv(1 << 20))
            assert 0 < read <= 1 << 20

    asyncio.run(main())


def test_a_broken_record_after_the_handshake(good: Made) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TlsPeer(server_context(good, V13), reader, writer)
        assert await peer.shake_hands()
        await says(b"\x17\x03\x03\0\x20" + bytes(32), writer, reader)

    failed = failure(breaks)
    assert failed.what == "what the server sent after the handshake is not valid TLS"
    assert failed.tls is not None and failed.tls.version == "TLSv1.3"


# -- ends ---------------------------------------------------------------------------------------------


def ends_of(good: Made, ends: asyncio.Queue[str], *, shakes: bool) -> Handler:
    async def notes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = TlsPeer(server_context(good, V12), reader, writer)
        try:
            if shakes:
                await peer.shake_hands()
                await ends.put("hands shaken")
            else:
                await reader.read(1)
                await ends.put("asked")
            try:
                data = await peer.read(1) if shakes else await reader.read()
            except ssl.SSLZeroReturnError:
                data = b""
            told = "close_notify, " if shakes and not data and not reader.at_eof() else ""
            await reader.read()
            await ends.put(f"{told}FIN")
        except ConnectionResetError:
            await ends.put("RST")

    return notes


@pytest.mark.parametrize("shakes", [False, True])
def test_cancelled_in_and_after_the_handshake(good: Made, shakes: bool) -> None:
    async def main() -> None:
        ends: asyncio.Queue[str] = asyncio.Queue()
        async with serving(ends_of(good, ends, shakes=shakes)) as port, asyncio.timeout(FOREVER):
            lookout = Lookout(site("127.0.0.1", here=HERE), ["here"])
            assert await lookout.open() == {}

            async def ask() -> None:
                async with lookout.dial(question(port), FOREVER) as line, line.connect(tls=True) as stream:
                    await stream.recv(1)

            for _ in range(2):  # the gate is free again
                asking = asyncio.ensure_future(ask())
                await ends.get()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                assert await ends.get() == "RST"

    asyncio.run(main())


def test_close_says_so_in_tls_and_then_with_a_fin(good: Made) -> None:
    async def main() -> None:
        ends: asyncio.Queue[str] = asyncio.Queue()
        async with connected(ends_of(good, ends, shakes=True)) as stream, asyncio.timeout(FOREVER):
            await ends.get()
            stream.close()
            stream.abort()
            assert await ends.get() == "close_notify, FIN"
            with pytest.raises(StreamEnded):
                await stream.recv(1)

    asyncio.run(main())


def test_the_second_connection_of_a_line_has_what_is_left(good: Made) -> None:
    async def main() -> None:
        handler = echoes(server_context(good, V12))
        async with serving(handler) as port:
            lookout = Lookout(site("127.0.0.1", here=HERE), ["here"])
            assert await lookout.open() == {}
            async with lookout.dial(question(port), 0.4) as line:
                async with line.connect() as stream:
                    assert stream.tls is None
                    with pytest.raises(TimeoutError):
                        await stream.recv(1)
                with pytest.raises(TlsFailed, match="in time"):
                    async with line.connect(tls=True):
                        pass

    asyncio.run(main())


# -- over another vantage -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V12, V13], ids=str)
def test_through_an_ssh_server(
    start_sshd: Callable[..., Sshd], good: Made, authority: Made, ct_1: Made, version: ssl.TLSVersion
) -> None:
    via = start_sshd().via
    assert conversation(echoes(server_context(good, version)), via=via).names_match
    wants = echoes(server_context(good, version, trusts=authority))
    assert conversation(wants, via=via, certificate=ct_1.shown).client_certificate
    assert failure(wants, via=via).certificate_wanted
    assert failure(partial(answers, b"220 ready\r\n"), via=via).what == "the answer is not TLS"


def test_through_a_socks_server(socks: SocksVia, good: Made, authority: Made, ct_1: Made) -> None:
    assert conversation(echoes(server_context(good, V13)), via=socks).names_match
    wants = echoes(server_context(good, V13, trusts=authority))
    assert conversation(wants, via=socks, certificate=ct_1.shown).client_certificate
    assert failure(wants, via=socks).certificate_wanted


def test_a_lost_vantage_is_not_a_failure_of_tls(start_sshd: Callable[..., Sshd]) -> None:
    async def main() -> None:
        sshd = start_sshd()

        async def kills(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            for pid in sshd.children():
                os.kill(pid, signal.SIGKILL)
            await reader.read()

        with pytest.raises(VantageError, match="lost"):
            async with connected(kills, via=sshd.via):
                pass

    asyncio.run(main())


# -- any bytes ----------------------------------------------------------------------------------------


class Wire(PeerStream):
    """A stream on which all has come already; then the peer is gone."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data_received(data)
        self.connection_lost(None)


def recorded(context: ssl.SSLContext) -> bytes:
    """What a server sends to our ClientHello, up to where it waits for us."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    to_server, from_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = Context("here").session(from_server, to_server)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(to_server.read())
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    return outgoing.read()


@pytest.fixture(scope="module")
def flights(good: Made, authority: Made) -> list[bytes]:
    """TLS 1.3's is encrypted for one client: its ServerHello can be understood by another."""
    return [recorded(server_context(good, version, trusts=authority)) for version in (V10, V12, V13)]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_bytes_make_the_layer_raise_anything_else(flights: list[bytes], data: st.DataObject) -> None:
    sent = bytearray(data.draw(st.sampled_from([*flights, b""]), label="flight"))
    for _ in range(data.draw(st.integers(0, 4), label="changes")):
        at = data.draw(st.integers(0, len(sent)))
        sent[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=40))

    async def main() -> None:
        with pytest.raises(TlsFailed) as failed:
            await secure(Wire(bytes(sent)), CONTEXT, ip_address("127.0.0.1"))
        for word in ("good", "pacs.example"):  # what stands in the certificate
            assert word not in str(failed.value)

    asyncio.run(main())


@settings(max_examples=400, deadline=None)
@given(kind=st.sampled_from([2, 11, 13]), head=st.sampled_from([b"", b"\x02\0\0\x50\x03\x03"]), rest=st.binary())
def test_no_message_makes_the_facts_raise(kind: int, head: bytes, rest: bytes) -> None:
    seen = Handshake()
    for one in (2, kind):
        seen.message(one, head + rest)
    seen.judged(ip_address("127.0.0.1"), CONTEXT.ciphers, datetime.now(UTC))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_certificate_makes_the_facts_raise(good: Made, data: st.DataObject) -> None:
    bent = bytearray(der(good))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(bent)))
        bent[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    tls = judged(bytes(bent))
    assert (tls.names_match is None) == ("certificate cannot be read" in tls.faults)
