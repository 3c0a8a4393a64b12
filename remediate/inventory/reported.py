"""Lists of addresses that somebody else reported, as CERTs send them: plain text, or CSV with a head line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from remediate.errors import InventoryError, UsageError
from remediate.inventory.wording import not_one_host
from remediate.model.site import IPAddress

#: Bytes of a list that somebody can be meant to send.
LONGEST = 64 << 20
#: In small letters; ``ip``, ``port``, ``src_ip`` are Shadowserver's.
ADDRESS_COLUMNS = ("ip", "address", "ip_address", "ip address", "ip-address", "src_ip")
PORT_COLUMNS = ("port", "src_port")
DELIMITERS = (",", ";", "\t", "|")
#: ``203.0.113.20``, ``203.0.113.20:104``, ``[2001:db8::1]:104``
_ENDPOINT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:]+)):(?P<port>\d{1,5})", re.ASCII)
_COMMENT = re.compile(r"(^|\s)#.*")
_NO_ADDRESS = "no IP address of one host (names are not looked up)"


@dataclass
class Places:
    """Where one address stands. ``ports``: those that the list names with it."""

    ports: set[int] = field(default_factory=set)
    lines: list[int] = field(default_factory=list)


@dataclass
class Addresses:
    """``unreadable``: line → what is wrong there, never with its text: it may be the wrong file."""

    path: Path
    found: dict[IPAddress, Places] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)


def read(path: Path) -> Addresses:
    """Raises UsageError where it cannot be read, InventoryError where no line of it has an address."""
    made = Addresses(path)
    for number, address, port in _rows(_text(path).splitlines()):
        try:
            found, seen = _endpoint(address)
            if port:
                seen = _port(port)
        except ValueError as error:
            made.unreadable[number] = str(error)
            continue
        place = made.found.setdefault(found, Places())
        place.lines.append(number)
        if seen is not None:
            place.ports.add(seen)
    if not made.found:
        raise InventoryError(
            "no line of the list has an address",
            [f"line {number}: {why}" for number, why in list(made.unreadable.items())[:5]],
            where=str(path),
            next="one address a line, with :PORT behind it if you like, or CSV with a column ip; nothing was asked",
        )
    return made


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LONGEST:
            raise UsageError(f"{path}: the list is longer than {LONGEST >> 20} MiB", next="split it; nothing was asked")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the list of reported addresses cannot be read: {getattr(error, 'strerror', None) or error}",
            where=str(path),
            next="name it: -e reported=FILE",
        ) from error
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Excel saves "Unicode text"
    return data.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Line number, address, port; "" where the list has no port there."""
    columns: tuple[int, int | None] | None = None
    delimiter = ""
    first = True
    for number, line in enumerate(lines, 1):
        text = _COMMENT.sub("", line).strip()
        if not text:
            continue
        if first:
            first = False
            if head := _head(text):
                delimiter, columns = head
                continue
        if columns is None:
            cells = [cell.strip("\"' ") for cell in re.split(r"[,;\t| ]+", text)]
            yield number, cells[0], cells[1] if len(cells) > 1 and cells[1].isdigit() else ""
            continue
        cells = _cells(text, delimiter)
        address, port = columns
        if len(cells) <= max(address, port or 0):
            yield number, "", ""
        else:
            yield number, cells[address], cells[port] if port is not None else ""


def _head(line: str) -> tuple[str, tuple[int, int | None]] | None:
    for delimiter in DELIMITERS:
        cells = [cell.lower() for cell in _cells(line, delimiter)]
        if address := next((name for name in ADDRESS_COLUMNS if name in cells), None):
            port = next((cells.index(name) for name in PORT_COLUMNS if name in cells), None)
            return delimiter, (cells.index(address), port)
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _endpoint(text: str) -> tuple[IPAddress, int | None]:
    """Also as it is written so that nobody clicks on it: ``203[.]0[.]113[.]20``. Raises ValueError."""
    text = text.replace("[.]", ".").replace("[:]", ":")
    port = None
    if match := _ENDPOINT.fullmatch(text):
        text, port = match["six"] or match["four"], _port(match["port"])
    try:
        found = ip_address(text)
    except ValueError:
        raise ValueError(_why_not(text)) from None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if not_one_host(found):
        raise ValueError(_NO_ADDRESS)
    return found, port


def _why_not(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return _NO_ADDRESS
    return "a network, not an address"


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("its port is not 1 to 65535")
    return int(text)
