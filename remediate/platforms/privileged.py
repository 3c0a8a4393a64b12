"""How a session comes to privileged mode at a Cisco command line."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from remediate.errors import AuthenticationFailed
from remediate.model.device import Login

#: Seconds; a server of passwords that does not answer is given up by the device after 5 to 15 s a try.
_WAITS = 60.0
_LOOKS_UP = 0.5
_ASKS = r"(?P<asks>password|username): ?$"


def enable(channel: Any, hostname: str, login: Login, device: str, aborted: threading.Event) -> None:
    """Raises AuthenticationFailed; TimeoutError and EOFError where the device says nothing more.

    IOS asks three times and says `% Bad secrets`; with `aaa new-model` it asks once and says `% Access denied`.
    """
    expected = re.compile(rf"{_ASKS}|^{re.escape(hostname)}(?P<level>[#>]) ?$", re.IGNORECASE | re.MULTILINE)
    channel.sendall(b"enable\n")
    said, answer = _until(channel, expected, aborted)
    if answer["asks"] is None and answer["level"] == "#":
        return
    if answer["asks"] is None:
        raise AuthenticationFailed(
            f"the device lets nobody into privileged mode from here: {_words(said) or 'it says nothing'}",
            where=device,
            next="give this user privilege 15, or the device an enable secret; then write that as "
            "data: {enable: env:NAME} at this device in the inventory",
        )
    if answer["asks"].casefold() == "username":
        raise AuthenticationFailed(
            "the device asks for another user's name at `enable`, and this program has only one login",
            where=device,
            next="give this user privilege 15 at its login (exec authorization)",
        )
    secret = login.enable or login.password
    if secret is None:
        raise AuthenticationFailed(
            "the device asks for an enable secret, and the inventory has none",
            where=device,
            next="write data: {enable: env:NAME} (or file:, keyring:, vault:) at this device in the inventory, or give "
            "this user privilege 15",
        )
    channel.sendall(secret.get_secret_value().encode() + b"\n")
    said, answer = _until(channel, expected, aborted)
    if answer["level"] != "#":
        told = f" ({_words(said)})" if _words(said) else ""
        what = "the enable secret" if login.enable else "the login's own password as its enable secret"
        correct = "correct data.enable" if login.enable else "write its enable secret as data: {enable: env:NAME}"
        raise AuthenticationFailed(
            f"the device does not take {what}{told}",
            where=device,
            next=f"{correct} at this device in the inventory, or give this user privilege 15",
        )


def _until(channel: Any, expected: re.Pattern[str], aborted: threading.Event) -> tuple[str, re.Match[str]]:
    """What the device said, and its end, which fits."""
    until = time.monotonic() + _WAITS
    said = ""
    while True:
        if aborted.is_set():
            raise EOFError("the connection was lost while a command ran")
        if time.monotonic() > until:
            raise TimeoutError(f"no answer to `enable` within {_WAITS:g} s")
        channel.settimeout(_LOOKS_UP)
        try:
            more = channel.recv(65536)
        except TimeoutError:
            continue
        if not more:
            raise EOFError("the device closed the connection")
        said += more.decode(errors="replace").replace("\r", "")
        if found := expected.search(said):
            return said[: found.start()], found


def _words(said: str) -> str:
    """The device's refusal: the lines that begin with %."""
    return " ".join(line.strip() for line in said.splitlines() if line.strip().startswith("%"))
