"""Targets that were checked, in files without a name: what is asked is what was checked, and it takes no memory.

They are kept in parts, which the processes that ask take one by one: so they end together.
"""

from __future__ import annotations

import errno
import marshal
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address
from typing import BinaryIO, NamedTuple, Self
from zlib import crc32

from remediate.errors import UsageError
from remediate.model.site import IPAddress, ServiceKind

#: The called AE title where a list names none: what DCMTK's tools say.
ANY_AE_TITLE = "ANY-SCP"
#: So many that the last one is a small part of the time, even where there are many cores; at most 256.
_PARTS = 64
#: Targets that are written, and read, at once.
_CHUNK = 256
#: Bytes that say how long a chunk is.
_HEAD = 4
#: Of marshal: the last version that writes every value out, so that fewer of them never take more room.
_FORMAT = 2
_KINDS = {kind.value: kind for kind in ServiceKind}
#: A line number, whether the address is one of IPv4, and the fields of a Target.
_Row = tuple[int, bool, int, int, str, str, str | None]


class Target(NamedTuple):
    """One service to be asked once. ``name`` is for people."""

    address: IPAddress
    port: int
    kind: ServiceKind = ServiceKind.DICOM
    called_ae_title: str = ANY_AE_TITLE
    name: str | None = None

    @property
    def asks(self) -> tuple[IPAddress, int, ServiceKind, str]:
        """What makes two targets one and the same."""
        return self[:4]


class Kept:
    """``with``: in ``parts``, an address in one of them only; forked processes have them, too.

    Raises UsageError where there is no room for them.
    """

    def __init__(self, parts: int = _PARTS) -> None:
        with ExitStack() as closing:
            try:
                #: A byte for each part that nobody has taken: a pipe gives each to one reader only.
                self._untaken, give = os.pipe()
                closing.callback(os.close, self._untaken)
                os.write(give, bytes(range(parts)))
                os.close(give)
                self._files = [closing.enter_context(_File()) for _ in range(parts)]
            except OSError as error:
                raise _no_room(error) from error
            self._closing = closing.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.close()

    def put(self, line: int, target: Target) -> None:
        address, port, kind, title, name = target
        file = self._files[crc32(address.packed) % len(self._files)]
        file.put((line, address.version == 4, int(address), port, kind.value, title, name))

    def finish(self, suspects: Collection[int]) -> int:
        """Nothing more is put. How many asked for what one before them asks for, and were dropped; ``suspects``: the
        hashes of what these ask.
        """
        return sum(file.finish(suspects) for file in self._files)

    def taken(self) -> Iterator[tuple[int, Target]]:
        """Targets with their line numbers, as long as there are parts that nobody else has taken."""
        while part := os.read(self._untaken, 1):
            for rows in self._files[part[0]].chunks():
                yield from map(_read, rows)


class _File:
    """Chunks of rows. It is read and written at offsets given each time: forked processes share the file's own."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 -- as long as the list is
        self._end = 0
        self._rows: list[_Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def put(self, row: _Row) -> None:
        self._rows.append(row)
        if len(self._rows) == _CHUNK:
            self._end = self._write(self._rows, self._end)
            self._rows = []

    def finish(self, suspects: Collection[int]) -> int:
        self._end = self._write(self._rows, self._end)
        self._rows = []
        return self._drop_repeated(suspects) if suspects else 0

    def chunks(self) -> Iterator[list[_Row]]:
        at = 0
        while head := os.pread(self._file.fileno(), _HEAD, at):
            size = int.from_bytes(head)
            yield marshal.loads(os.pread(self._file.fileno(), size, at + _HEAD))  # noqa: S302 -- written below
            at += _HEAD + size

    def _drop_repeated(self, suspects: Collection[int]) -> int:
        """What is left is written in front of what is read next: it never takes more room."""
        seen: set[object] = set()
        end = dropped = 0
        for rows in self.chunks():
            left = []
            for row in rows:
                asks = _read(row)[1].asks
                if asks in seen:
                    dropped += 1
                    continue
                if hash(asks) in suspects:
                    seen.add(asks)
                left.append(row)
            end = self._write(left, end)
        self._file.truncate(end)
        return dropped

    def _write(self, rows: list[_Row], at: int) -> int:
        """Where it ends."""
        data = marshal.dumps(rows, _FORMAT)
        data = len(data).to_bytes(_HEAD) + data
        try:
            if os.pwrite(self._file.fileno(), data, at) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _no_room(error) from error
        return at + len(data)


def _read(row: _Row) -> tuple[int, Target]:
    line, four, address, port, kind, title, name = row
    return line, Target(IPv4Address(address) if four else IPv6Address(address), port, _KINDS[kind], title, name)


def _no_room(error: OSError) -> UsageError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return UsageError("this process may open too few files", next="raise the limit: ulimit -n 4096")
    return UsageError(
        f"what was checked of the list cannot be kept: {error.strerror or error}",
        where=tempfile.gettempdir(),
        next="make room there, or name another folder in TMPDIR; nothing was asked",
    )
