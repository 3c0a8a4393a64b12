"""The configuration of interfaces, of the archive and of lines."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from remediate.lab.devices.cisco_ios.config import Archive, Interface
from remediate.lab.devices.cisco_ios.configure import ARCHIVE, INTERFACE, LINE, Context, spelled

# -- interface ----------------------------------------------------------------------------------------


def here(on: Context) -> Interface:
    return on.config.interfaces[on.mode.target]


@INTERFACE.command("description <text:LINE>")
def _description(on: Context, text: str) -> None:
    here(on).description = text


@INTERFACE.command("no description", "no description <_text:LINE>")
def _no_description(on: Context) -> None:
    here(on).description = ""


@INTERFACE.command("ip address <address:A.B.C.D> <mask:A.B.C.D>")
def _address(on: Context, address: str, mask: str) -> str:
    value, bits = int(IPv4Address(address)), int(IPv4Address(mask))
    if (bits | (bits - 1)) != 0xFFFFFFFF:
        return f"Bad mask 0x{bits:X} for address {address}"
    if not on.lenient and (value >> 24 in (0, 127) or value >> 28 >= 14):
        return f"Not a valid host address - {address}"
    here(on).address = (value, bits)
    return ""


@INTERFACE.command("no ip address", "no ip address <_rest:LINE>")
def _no_address(on: Context) -> None:
    here(on).address = None


def _access_group(way: str) -> None:
    @INTERFACE.command(f"ip access-group <name:WORD> {way}")
    def _(on: Context, name: str) -> None:
        here(on).access[way] = name

    @INTERFACE.command(f"no ip access-group <name:WORD> {way}")
    def _(on: Context, name: str) -> None:
        if here(on).access.get(way) == name:
            del here(on).access[way]


_access_group("in")
_access_group("out")


@INTERFACE.command("shutdown")
def _shutdown(on: Context) -> None:
    here(on).shutdown = True


@INTERFACE.command("no shutdown")
def _no_shutdown(on: Context) -> None:
    here(on).shutdown = False


@INTERFACE.command("ip unreachables")
def _unreachables(on: Context) -> None:
    here(on).unreachables = True


@INTERFACE.command("no ip unreachables")
def _no_unreachables(on: Context) -> None:
    here(on).unreachables = False


# -- archive ------------------------------------------------------------------------------------------


def archive_of(on: Context) -> Archive:
    on.config.archive = on.config.archive or Archive()
    return on.config.archive


@ARCHIVE.command("path <path:WORD>")
def _path(on: Context, path: str) -> None:
    archive_of(on).path = path


@ARCHIVE.command("no path", "no path <_path:WORD>")
def _no_path(on: Context) -> None:
    archive_of(on).path = ""


@ARCHIVE.command("maximum <number:1-14>")
def _maximum(on: Context, number: int) -> None:
    archive_of(on).maximum = number


@ARCHIVE.command("no maximum")
def _no_maximum(on: Context) -> None:
    archive_of(on).maximum = 10


@ARCHIVE.command("write-memory")
def _write(on: Context) -> None:
    archive_of(on).write_memory = True


@ARCHIVE.command("no write-memory")
def _no_write(on: Context) -> None:
    archive_of(on).write_memory = False


@ARCHIVE.command("time-period <minutes:1-525600>")
def _period(on: Context, minutes: int) -> None:
    archive_of(on).time_period = minutes


@ARCHIVE.command("no time-period")
def _no_period(on: Context) -> None:
    archive_of(on).time_period = 0


# -- line ---------------------------------------------------------------------------------------------


def line_settings(on: Context) -> Iterable[dict[str, str]]:
    return [on.config.lines[key] for key in on.mode.target]


def _setting(syntax: str, key: str) -> None:
    def put(on: Context, **values: Any) -> None:
        for settings in line_settings(on):
            settings[key] = spelled(syntax, values)

    def drop(on: Context, **_values: Any) -> None:
        for settings in line_settings(on):
            settings.pop(key, None)

    LINE.add(syntax, put)
    LINE.add(f"no {syntax}", drop)
    if key != syntax:
        LINE.add(f"no {key}", drop)


for _syntax, _key in (
    ("access-class <name:WORD> in", "access-class in"),
    ("access-class <name:WORD> out", "access-class out"),
    ("exec-timeout <minutes:0-35791>", "exec-timeout"),
    ("exec-timeout <minutes:0-35791> <seconds:0-2147483>", "exec-timeout"),
    ("login", "login"),
    ("login local", "login"),
    ("logging synchronous", "logging synchronous"),
    ("length <lines:0-512>", "length"),
    ("privilege level <level:0-15>", "privilege level"),
    ("stopbits <bits:1-2>", "stopbits"),
    ("transport input all", "transport input"),
    ("transport input none", "transport input"),
    ("transport input ssh", "transport input"),
    ("transport input telnet", "transport input"),
):
    _setting(_syntax, _key)
