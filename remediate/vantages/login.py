"""A login to a device from a vantage: its SSH server opens the connection, and ours is spoken through it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import asyncssh

from remediate.errors import AnotherUnit, AuthenticationFailed, DeviceUnreachable, HostKeyError, VantageError
from remediate.model.change import Unit
from remediate.model.device import Login
from remediate.model.site import Vantage
from remediate.vantages.ssh import LOGIN_WAIT, TRUST, connect, reason


def try_login(vantage: Vantage, device: str, login: Login, unit: Unit | None = None) -> None:
    """In a thread of the caller's, which has no loop. The vantage is logged in to afresh, too.

    ``unit``: whose host key it must be, where more than one are known. Raises VantageError where the vantage itself
    cannot be used, otherwise the DeviceError family.
    """
    asyncio.run(_try_login(vantage, device, login, unit))


async def _try_login(vantage: Vantage, device: str, login: Login, unit: Unit | None) -> None:
    where = f"{device} from {vantage.name}"
    try:
        # The vantage is not trusted with the device's identity: the key is compared with the one that is known here.
        known_hosts = asyncssh.read_known_hosts(login.known_hosts)
    except (OSError, ValueError) as error:
        raise HostKeyError(f"known_hosts cannot be read: {reason(error)}", where=where, next=TRUST) from error
    own = login.key is None and login.password is None  # the agent, and the usual files in ~/.ssh
    place, _ = await connect(vantage)
    try:
        async with asyncio.timeout(LOGIN_WAIT):
            connection = await asyncssh.connect(
                login.host,
                login.port,
                tunnel=place,
                username=login.username,
                password=login.password.get_secret_value() if login.password else None,
                client_keys=() if own else [login.key] if login.key else None,
                agent_path=() if own else None,
                config=None,
                known_hosts=known_hosts if unit is None else partial(_only, known_hosts, unit),
            )
        connection.close()
        await connection.wait_closed()
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        if unit is not None:
            raise AnotherUnit(
                f"another host key than that of {unit.words} answers there",
                where=where,
                next="see which unit of the pair that place gets to, or who is in between",
            ) from error
        raise HostKeyError(
            f"another host key than the one that is known ({login.known_hosts}) answers there", where=where, next=TRUST
        ) from error
    except asyncssh.PermissionDenied as error:
        raise AuthenticationFailed("the device does not accept this login", where=where, next=_LET_IN) from error
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            raise VantageError(
                "the SSH server does not allow forwarding (AllowTcpForwarding)", where=vantage.name, next=_LET_IN
            ) from error
        raise DeviceUnreachable(f"no way to it: {error.reason}", where=where, next=_LET_IN) from error
    except TimeoutError as error:
        raise DeviceUnreachable(f"no login within {LOGIN_WAIT:g} s", where=where, next=_LET_IN) from error
    except (OSError, ValueError, asyncssh.Error) as error:
        raise DeviceUnreachable(f"no login: {reason(error)}", where=where, next=_LET_IN) from error
    finally:
        place.abort()


def _only(known: asyncssh.SSHKnownHosts, unit: Unit, host: str, addr: str, port: int | None) -> tuple[Any, ...]:
    keys, _, *others = known.match(host, addr, port)
    return ([key for key in keys if key.get_fingerprint() == unit.key], [], *others)


_LET_IN = "see that the device can be managed from there, or take that place out of its `management`"
