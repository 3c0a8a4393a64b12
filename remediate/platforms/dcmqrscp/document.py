"""dcmqrscp.cfg: two tables of it, edited line by line; every other line stays as it is, to the byte.

Read as DCMTK 3.6.7 does (dcmqrdb/libsrc/dcmqrcnf.cc): a line that begins with # is a comment, one that begins with a
space is misread, white space, = and commas part words, and quotes or parentheses keep words together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from remediate.errors import Unprovable
from remediate.model.base import canonical

HOSTS, AES = "HostTable", "AETable"
#: What our entries in the HostTable are called before the peer's name, and the one that names them all.
OURS, CALLERS = "rmd_", "rmd__callers"
ANY = "ANY"
#: dcmqrscp reads into 512 bytes; what is longer becomes a line of its own.
LONGEST = 510

_WORD = re.compile(r"[\"'(]([^\"'()]*)[\"')]|([^\s=,]+)")
_GAP = re.compile(r"[\s=,]+")
_END = re.compile(r"\r?\n?$")


@dataclass(frozen=True)
class Row:
    """Of the AETable. ``peers``: words as they stand there, without ours; ``ours``: ANY, our own entry, or neither."""

    title: str
    access: str
    peers: tuple[str, ...]
    ours: str | None
    line: int


class Document:
    """Raises Unprovable where a table is missing, stands twice or holds a line that dcmqrscp would misread."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines = text.splitlines(keepends=True)
        self._ends: dict[str, int] = {}
        self.hosts: dict[str, tuple[tuple[str, ...], int]] = {}
        self.rows: dict[str, Row] = {}
        table: str | None = None
        for number, line in enumerate(self._lines):
            if not line.strip() or line.startswith("#"):
                if table and line[0] in " \t":
                    raise _misread(number, "white space in a table")
                continue
            words = line.split()
            if words[0] in (HOSTS, AES, "VendorTable"):
                table = self._boundary(table, words, number)
            elif table is not None:
                self._entry(table, line, number)
        if table is not None:
            raise _misread(len(self._lines), f"{table} does not end")
        for name in (HOSTS, AES):
            if name not in self._ends:
                raise Unprovable(f"there is no {name} in the file", next="mend the file")

    @property
    def foreign(self) -> str:
        """All but our entries, the words of a row parted by one space."""
        ours = {line for name, (_, line) in self.hosts.items() if name.startswith(OURS)}
        rows = {row.line: row for row in self.rows.values()}
        kept = []
        for number, line in enumerate(self._lines):
            if number in rows:
                words = [found[0] for found in _WORD.finditer(line)]
                kept.append(" ".join(words[:4] + list(rows[number].peers)) + "\n")
            elif number not in ours:
                kept.append(line)
        return "".join(kept)

    def host(self, name: str) -> str | None:
        """The value as canonical JSON: [title, host, port], or the names that it stands for."""
        if name not in self.hosts:
            return None
        words = self.hosts[name][0]
        if name == CALLERS or not words or not words[0].startswith("("):
            return canonical(list(words))
        parts: list[Any] = _GAP.split(words[0].strip("() "))
        return canonical([*parts[:2], int(parts[2])] if len(parts) == 3 and parts[2].isdigit() else parts)

    def merged(self, patch: dict[str, Any]) -> Document:
        """See the template. Raises Unprovable for what is neither a table's nor ours."""
        made = self
        if unknown := patch.keys() - {HOSTS, AES}:
            raise Unprovable(f"the patch names {min(unknown)}, which is no table of ours", next="mend the template")
        for name, value in patch.get(HOSTS, {}).items():
            if not name.startswith(OURS):
                raise Unprovable(f"the entry {name} of the HostTable is not ours", next="mend the template")
            made = made._without_host(name) if value is None else made._with_host(name, value)
        for title, value in patch.get(AES, {}).items():
            made = made._with_row(title, value)
        return made

    # -- inside ---------------------------------------------------------------------------------------

    def _boundary(self, table: str | None, words: list[str], number: int) -> str | None:
        name, what = words[0], words[1] if len(words) > 1 else ""
        if what == "BEGIN" and table is None and name not in self._ends:
            return name
        if what == "END" and table == name:
            self._ends[name] = number
            return None
        raise _misread(number, f"{name} {what} out of place")

    def _entry(self, table: str, line: str, number: int) -> None:
        if line[0] in " \t":
            raise _misread(number, "white space before an entry")
        if len(line.encode()) > LONGEST:
            raise _misread(number, f"more than {LONGEST} bytes")
        words = [found[0] for found in _WORD.finditer(line)]
        if table == HOSTS:
            if words[0] in self.hosts:
                raise _misread(number, f"{words[0]} stands twice")
            self.hosts[words[0]] = tuple(words[1:]), number
        elif table == AES:
            if len(words) < 5:
                raise _misread(number, "title, storage area, access, quota and peers are expected")
            title = words[0].strip("\"'()")
            if title in self.rows:
                raise _misread(number, f"{title} stands twice")
            peers = words[4:]
            ours = ANY if peers[0] == ANY else CALLERS if CALLERS in peers else None
            others = tuple(word for word in peers if word not in (ANY, CALLERS))
            self.rows[title] = Row(title, words[2], others, ours, number)

    def _with_host(self, name: str, value: list[Any]) -> Document:
        """A name must stand above the line that uses it."""
        if name == CALLERS:
            text = f"{name} = {', '.join(map(str, value))}\n"
        else:
            title, address, port = value
            text = f"{name} = ({title}, {address}, {port})\n"
        lines = list(self._lines)
        if name in self.hosts:
            lines[self.hosts[name][1]] = text
        else:
            above = self.hosts[CALLERS][1] if CALLERS in self.hosts else self._ends[HOSTS]
            lines.insert(above, text)
        return Document("".join(lines))

    def _without_host(self, name: str) -> Document:
        if name not in self.hosts:
            return self
        at = self.hosts[name][1]
        return Document("".join([*self._lines[:at], *self._lines[at + 1 :]]))

    def _with_row(self, title: str, value: object) -> Document:
        """Only the peers' column is written."""
        if title not in self.rows:
            raise Unprovable(f"the AETable has no title {title}", next="plan again")
        row = self.rows[title]
        line = self._lines[row.line]
        found = list(_WORD.finditer(line))
        head, end = line[: found[4].start()], _END.search(line)
        assert end is not None
        peers = line[found[4].start() : end.start()]
        if row.ours == ANY:
            peers = peers.replace(ANY, "", 1)
        elif row.ours == CALLERS:
            peers = re.sub(rf"(?:, )?{CALLERS}", "", peers, count=1)
        new = ANY if value == ANY else CALLERS if value == [CALLERS] else "" if value is None else None
        if new is None or (new == ANY and row.peers):
            raise Unprovable(f"{canonical(value)} cannot stand for the peers of {title}", next="mend the template")
        if new == CALLERS and row.peers:
            words = list(_WORD.finditer(peers))
            peers = peers[: words[-1].end()] + ", " + new + peers[words[-1].end() :]
        else:
            peers = new + peers
        lines = list(self._lines)
        lines[row.line] = head + peers + line[end.start() :]
        return Document("".join(lines))


def _misread(number: int, why: str) -> Unprovable:
    return Unprovable(f"dcmqrscp would misread line {number + 1} of its file: {why}", next="mend the file")
