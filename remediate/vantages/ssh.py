"""Through an SSH server that opens the TCP connection itself (RFC 4254 7.2, direct-tcpip)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import asyncssh

from remediate.errors import VantageError
from remediate.model.observation import Rung
from remediate.model.site import IPAddress, SshVia, Vantage
from remediate.model.stream import DialFailed
from remediate.vantages.pace import MAX_PENDING
from remediate.vantages.stream import PeerStream

LOGIN_WAIT = 20.0
#: The server's own connect(2) gives up after about 130 s; only its words tell *filtered* from a slow vantage.
SERVER_CONNECT_WAIT = 140.0
#: A vantage that is gone is noticed after about 40 s of silence.
KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 10, 3

#: strerror(3) at the server, for SSH_OPEN_CONNECT_FAILED (2): the only texts that are facts about the target.
#: EHOSTUNREACH: ICMP 3/1, 3/10, 3/13, ICMPv6 1/3. ENETUNREACH: ICMP 3/0, 3/9, ICMPv6 1/0. ENOPROTOOPT: ICMP 3/2. Which
#: it was, and whether it was the server's own want of a route or a neighbour, is not said (tcp(7), icmp_err_convert
#: in Linux's net/ipv4/icmp.c; BSD's errors are the same).
FACTS = {
    "Connection refused": (Rung.CLOSED, "connection refused, says the SSH server"),
    "Connection timed out": (Rung.FILTERED, "connection timed out, says the SSH server"),
    "No route to host": (Rung.UNREACHABLE, "no route to host, says the SSH server"),
    "Network is unreachable": (Rung.UNREACHABLE, "network is unreachable, says the SSH server"),
    "Protocol not available": (Rung.UNREACHABLE, "protocol not available, says the SSH server"),
}
#: EACCES, which over IPv6 is what ICMPv6 1/1, 1/5 and 1/6 become; over IPv4 only a rule of the server's own says so.
FACTS_IPV6 = {**FACTS, "Permission denied": (Rung.UNREACHABLE, "permission denied, says the SSH server")}
TRUST = "compare its fingerprint with one that you got another way, then record it with `remediate inventory trust`"


class _Client(asyncssh.SSHClient):
    """Knows whether the connection is gone."""

    lost = False

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost = True


class _ChannelStream(PeerStream):
    """A peer's close and a lost SSH connection look alike to a channel; they are not."""

    def __init__(self, byte_cap: int, client: _Client, vantage: str) -> None:
        super().__init__(byte_cap)
        self._client = client
        self._vantage = vantage

    def fault(self) -> Exception | None:
        return _lost(self._vantage) if self._client.lost else super().fault()


async def open_place(vantage: Vantage) -> SshPlace:
    return SshPlace(vantage.name, *await connect(vantage))


async def connect(vantage: Vantage) -> tuple[asyncssh.SSHClientConnection, _Client]:
    """Raises VantageError."""
    via = vantage.via
    assert isinstance(via, SshVia)
    where = f"{vantage.name} ({via.host} port {via.port})"
    try:
        known_hosts = asyncssh.read_known_hosts(via.known_hosts)
    except (OSError, ValueError) as error:
        raise VantageError(
            f"the known_hosts file {via.known_hosts} cannot be read: {reason(error)}",
            where=where,
            next="correct it, or let it be made: remediate inventory trust",
        ) from error
    try:
        _ = via.key and asyncssh.read_private_key(via.key)
    except (OSError, ValueError) as error:
        raise VantageError(
            f"the private key {via.key} cannot be read: {reason(error)}",
            where=where,
            next="correct ssh.key in the inventory; one with a passphrase cannot be used here",
        ) from error
    try:
        connection, client = await asyncssh.create_connection(
            _Client,
            via.host,
            via.port,
            username=via.user,
            client_keys=() if via.key is None else [via.key],
            agent_path=() if via.key is None else None,
            agent_forwarding=False,
            config=None,  # ~/.ssh/config could name a proxy or another known_hosts file
            known_hosts=known_hosts,
            preferred_auth="publickey",
            connect_timeout=LOGIN_WAIT,
            login_timeout=LOGIN_WAIT,
            keepalive_interval=KEEPALIVE_INTERVAL,
            keepalive_count_max=KEEPALIVE_COUNT,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        known, *_ = known_hosts.match(via.host, "", via.port)
        state = "has changed, or is not the one on file" if known else "is not known"
        raise VantageError(
            f"the host key {state} ({via.known_hosts}); nothing was asked from there", where=where, next=TRUST
        ) from error
    except asyncssh.PermissionDenied as error:
        raise VantageError(
            f"the server does not let {via.user} in",
            where=where,
            next="put the public key there, or name another in `ssh.key`",
        ) from error
    except (OSError, ValueError, asyncssh.Error) as error:
        raise VantageError(
            f"no SSH session: {reason(error)}", where=where, next=f"try: ssh -p {via.port} {via.user}@{via.host}"
        ) from error
    assert isinstance(client, _Client)
    return connection, client


class SshPlace:
    def __init__(self, name: str, connection: asyncssh.SSHClientConnection, client: _Client) -> None:
        self._name = name
        self._connection = connection
        self._client = client
        self._pending = asyncio.Semaphore(MAX_PENDING)

    @property
    def lost(self) -> bool:
        return self._client.lost

    async def dial(self, address: IPAddress, port: int, deadline: float, byte_cap: int) -> PeerStream:
        """Raises DialFailed; VantageError once the connection to the server is gone.

        ``deadline``: seconds for all reads together; the connect is the server's, up to SERVER_CONNECT_WAIT.
        """
        async with self._pending:
            if self._client.lost:
                raise _lost(self._name)
            opening = asyncio.ensure_future(
                self._connection.create_connection(
                    lambda: _ChannelStream(byte_cap, self._client, self._name),  # type: ignore[arg-type,return-value]
                    str(address),  # asyncssh asks for its own base class; it calls only what PeerStream has
                    port,
                )
            )
            try:
                async with asyncio.timeout(SERVER_CONNECT_WAIT):
                    _, session = await asyncio.shield(opening)
            except TimeoutError as error:
                opening.add_done_callback(_hang_up_late)
                raise DialFailed(Rung.INCONCLUSIVE, "the SSH server did not say how its connect ended") from error
            except asyncio.CancelledError:
                opening.add_done_callback(_hang_up_late)
                raise
            except (asyncssh.Error, OSError) as error:
                if self._client.lost:
                    raise _lost(self._name) from error
                raise _meaning(error, address.version) from error
        assert isinstance(session, _ChannelStream)
        session.expire_in(deadline)
        return session

    async def aclose(self) -> None:
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._connection.wait_closed()
                return
        self._connection.abort()


def _meaning(error: Exception, version: int) -> DialFailed:
    """``version``: of IP, of the address that was asked for."""
    if isinstance(error, asyncssh.ChannelOpenError):
        facts = FACTS_IPV6 if version == 6 else FACTS
        if error.code == asyncssh.OPEN_CONNECT_FAILED and error.reason in facts:
            return DialFailed(*facts[error.reason])
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            return DialFailed(Rung.INCONCLUSIVE, "the SSH server does not allow forwarding (AllowTcpForwarding)")
        return DialFailed(Rung.INCONCLUSIVE, "the SSH server could not connect, for a reason of its own")
    return DialFailed(Rung.INCONCLUSIVE, "the SSH server could not be asked")


def reason(error: Exception) -> str:
    """Without asyncio's own way to print an address."""
    number = error.errno if isinstance(error, OSError) else None
    # A resolver's numbers are below zero.
    return os.strerror(number) if number and number > 0 else str(error) or type(error).__name__


def _hang_up_late(opening: asyncio.Task[tuple[Any, Any]]) -> None:
    """An open that nobody waits for any more may still succeed: no silent connection stays in the archive."""
    if not opening.cancelled() and opening.exception() is None:
        _, session = opening.result()
        assert isinstance(session, _ChannelStream)
        session.abort()


def _lost(vantage: str) -> VantageError:
    return VantageError("the SSH connection to the vantage was lost", where=vantage, next="run it again")
