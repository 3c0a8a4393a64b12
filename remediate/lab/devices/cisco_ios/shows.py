"""What ``show`` prints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from remediate.lab.devices.cisco_ios.config import Interface
from remediate.lab.devices.cisco_ios.grammar import Rejected
from remediate.lab.devices.cisco_ios.router import NOT_PENDING, NVRAM, Router

_MODEL = "CISCO2911/K9"


def version(router: Router) -> str:
    up = int((router.now() - router.booted).total_seconds()) // 60
    minutes = f"{up % 60} minute{'' if up % 60 == 1 else 's'}"
    uptime = f"{up // 60} hour{'' if up // 60 == 1 else 's'}, {minutes}" if up >= 60 else minutes
    gigabit = sum(name.startswith("GigabitEthernet") and "." not in name for name in router.running.interfaces)
    return f"""Cisco IOS Software, C2900 Software (C2900-UNIVERSALK9-M), Version 15.7(3)M8, RELEASE SOFTWARE (fc1)
Technical Support: http://www.cisco.com/techsupport
Copyright (c) 1986-2020 by Cisco Systems, Inc.
Compiled Mon 03-Aug-20 05:41 by prod_rel_team

ROM: System Bootstrap, Version 15.0(1r)M16, RELEASE SOFTWARE (fc1)

{router.running.hostname} uptime is {uptime}
System returned to ROM by reload at {router.clock(router.booted)}
System image file is "flash0:c2900-universalk9-mz.SPA.157-3.M8.bin"
Last reload type: Normal Reload
Last reload reason: Reload Command

Cisco {_MODEL} (revision 1.0) with 479232K/45056K bytes of memory.
Processor board ID {router.serial}
{gigabit} Gigabit Ethernet interfaces
DRAM configuration is 64 bits wide with parity enabled.
255K bytes of non-volatile configuration memory.
250880K bytes of ATA System CompactFlash 0 (Read/Write)

Configuration register is 0x2102
"""


def clock(router: Router) -> str:
    at = router.now()
    return f"*{at:%H:%M:%S}.{at.microsecond // 1000:03} UTC {at:%a %b} {at.day} {at:%Y}"


def running(router: Router) -> str:
    text = router.running_text()
    return f"Building configuration...\n\nCurrent configuration : {len(text)} bytes\n{text}"


def running_interface(router: Router, name: str) -> str:
    text = router.running.interface_text(name)
    return f"Building configuration...\n\nCurrent configuration : {len(text)} bytes\n{text}"


def startup(router: Router) -> str:
    return f"Using {len(router.startup)} out of {NVRAM} bytes\n{router.startup}"


def access_lists(router: Router, name: str | None = None) -> str:
    for bring_up_to_date in router.collect:
        bring_up_to_date()
    return "\n".join(line for acl in router.running.sorted_lists() if name in (None, acl.name) for line in acl.shown())


def _mask_length(mask: int) -> int:
    return mask.bit_count()


def _state(interface: Interface) -> str:
    return "administratively down" if interface.shutdown else "up"


def _protocol(interface: Interface) -> str:
    return "down" if interface.shutdown else "up"


def ip_interface(router: Router, name: str | None = None) -> str:
    chosen = [one for one in router.running.interfaces.values() if name in (None, one.name)]
    return "\n".join(line for interface in chosen for line in _ip_interface(interface))


def _ip_interface(interface: Interface) -> Iterator[str]:
    yield f"{interface.name} is {_state(interface)}, line protocol is {_protocol(interface)}"
    if interface.address is None:
        yield "  Internet protocol processing disabled"
        return
    address, mask = interface.address
    yield f"  Internet address is {IPv4Address(address)}/{_mask_length(mask)}"
    yield "  Broadcast address is 255.255.255.255"
    yield "  Address determined by setup command"
    yield "  MTU is 1500 bytes"
    yield "  Helper address is not set"
    yield "  Directed broadcast forwarding is disabled"
    yield f"  Outgoing access list is {interface.access.get('out', 'not set')}"
    yield f"  Inbound  access list is {interface.access.get('in', 'not set')}"
    yield "  Proxy ARP is enabled"
    yield "  Local Proxy ARP is disabled"
    yield "  Security level is default"
    yield "  Split horizon is enabled"
    yield "  ICMP redirects are always sent"
    yield f"  ICMP unreachables are {'always' if interface.unreachables else 'never'} sent"
    yield "  ICMP mask replies are never sent"


def ip_interface_brief(router: Router) -> str:
    lines = ["Interface                  IP-Address      OK? Method Status                Protocol"]
    for one in router.running.interfaces.values():
        address = str(IPv4Address(one.address[0])) if one.address else "unassigned"
        lines.append(f"{one.name:<26} {address:<15} YES NVRAM  {_state(one):<21} {_protocol(one):<8}")
    return "\n".join(lines)


def interfaces(router: Router, name: str | None = None) -> str:
    lines = []
    for number, one in enumerate(router.running.interfaces.values()):
        if name not in (None, one.name):
            continue
        mac = f"0200.0000.{number:04x}"
        lines.append(f"{one.name} is {_state(one)}, line protocol is {_protocol(one)} ")
        lines.append(f"  Hardware is CN Gigabit Ethernet, address is {mac} (bia {mac})")
        if one.description:
            lines.append(f"  Description: {one.description}")
        if one.address:
            lines.append(f"  Internet address is {IPv4Address(one.address[0])}/{_mask_length(one.address[1])}")
        lines.append("  MTU 1500 bytes, BW 1000000 Kbit/sec, DLY 10 usec, ")
        lines.append("     reliability 255/255, txload 1/255, rxload 1/255")
        lines.append("  Encapsulation ARPA, loopback not set")
    return "\n".join(lines)


def logging(router: Router) -> str:
    count = len(router.lines)
    return f"""Syslog logging: enabled (0 messages dropped, 0 messages rate-limited,
                0 flushes, 0 overruns, xml disabled, filtering disabled)

No Active Message Discriminator.

No Inactive Message Discriminator.

    Console logging: level debugging, {count} messages logged, xml disabled,
                     filtering disabled
    Monitor logging: level debugging, 0 messages logged, xml disabled,
                     filtering disabled
    Buffer logging:  level debugging, {count} messages logged, xml disabled,
                    filtering disabled
    Exception Logging: size (4096 bytes)
    Count and timestamp logging messages: disabled
    Persistent logging: disabled

No active filter modules.

    Trap logging: level informational, {count} message lines logged
        Logging Source-Interface:       VRF Name:

Log Buffer (8192 bytes):

""" + "\n".join(router.lines)


def archive(router: Router) -> str:
    settings = router.running.archive
    if settings is None or not settings.path:
        return " Archive feature not enabled"
    path = settings.path.replace("$h", router.running.hostname)
    lines = [
        f"The maximum archive configurations allowed is {settings.maximum}.",
        f"There are currently {len(router.archived)} archive configurations saved.",
        f"The next archive file will be named {path}-<timestamp>-{router.archive_number}",
        " Archive #  Name",
    ]
    for number in range(1, settings.maximum + 1):
        name = router.archived[number - 1] if number <= len(router.archived) else ""
        recent = " <- Most Recent" if number == len(router.archived) else ""
        lines.append(f"   {number:<8} {name}{recent}")
    return "\n".join(lines)


def rollback_timer(router: Router) -> str:
    pending = router.pending
    if pending is None:
        return NOT_PENDING
    return (
        f"Time configured(or reconfigured): {router.clock(pending.since)}\n"
        "Timer type: absolute timer\n"
        f"Timer value: {pending.minutes} min\n"
        f"User: {pending.owner}"
    )


def differences(router: Router, first: str, second: str) -> str:
    """``-``: only in the first file, ``+``: only in the second."""
    texts = []
    for name in (first, second):
        text = router.file(name)
        if text is None:
            raise Rejected(f"%Error opening {name} (No such file or directory)")
        texts.append(_blocks(text))
    old, new = texts
    lines: list[str] = []
    for head in [*new, *(head for head in old if head not in new)]:
        if head not in old or head not in new:
            sign, body = ("+", new[head]) if head in new else ("-", old[head])
            lines += [sign + head, *(f" {sign}{line}" for line in body)]
            continue
        changes = [line for line in difflib.ndiff(old[head], new[head]) if line[0] in "+-"]
        if changes:
            lines += [head, *(f" {line[0]}{line[2:]}" for line in changes)]
    return "\n".join(["!Contextual Config Diffs:", *lines]) if lines else "!No changes were found"


def _blocks(text: str) -> dict[str, list[str]]:
    blocks: dict[str, list[str]] = {}
    head = ""
    for line in text.splitlines():
        if line.startswith("!") or line in ("", "end"):
            continue
        if line.startswith(" "):
            blocks[head].append(line[1:])
        else:
            head = line
            blocks.setdefault(head, [])
    return blocks


def filtered(output: str, how: str, pattern: str) -> str:
    """``| include``, ``exclude``, ``begin``, ``section`` [``include`` | ``exclude``]. Raises Rejected."""
    try:
        fits: Callable[[str], object] = re.compile(pattern).search
    except re.error as error:
        raise Rejected("% Failed to compile regular expression.") from error
    lines = output.splitlines()
    match how:
        case "include":
            chosen = [line for line in lines if fits(line)]
        case "exclude":
            chosen = [line for line in lines if not fits(line)]
        case "begin":
            first = next((i for i, line in enumerate(lines) if fits(line)), len(lines))
            chosen = lines[first:]
        case _:
            chosen = list(_sections(lines, fits))
    return "\n".join(chosen)


def _sections(lines: list[str], fits: Callable[[str], object]) -> Iterator[str]:
    """A line that fits, and everything below it that stands further in."""
    depth: int | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        if depth is not None and indent > depth:
            yield line
            continue
        depth = indent if fits(line) else None
        if depth is not None:
            yield line
