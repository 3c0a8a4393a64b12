"""dicom.ini of Conquest: one value of its section [lua], edited in place; all else stays as it is, to the byte.

Read as dgate does (src/gpps.cpp): a line that begins with ``;`` or a space is skipped, sections and keys are the same
in any case, blanks around ``=`` and at the end do not count, quotes around a whole value are taken off, and of a key
that stands twice in one section the first counts. ``#`` begins no comment: it is part of a key that nobody asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from remediate.errors import Unprovable

ROOT, LUA, SCRIPT = "sscscp", "lua", "association"
#: dgate reads a line into 2048 bytes, and keeps a value in 1024; Lua that is cut off does not run, and refuses nobody.
LONGEST_LINE, LONGEST_VALUE = 2046, 1022

_SECTION = re.compile(r"\[([^\]]*)\]")
_OURS = re.compile(r"--\[\[rmd\]\].*?--\[\[/rmd\]\]")
#: Of a section that we have added.
_ADDED = " ; rmd"
#: As ``_script`` prints it, and no other way.
_FORM = re.compile(
    r"--\[\[rmd\]\] if Association\.ConnectedIP~='127\.0\.0\.1' and not \(Association\.Called=='([^']+)' and "
    r"\(\{([^{}]*)\}\)\[Association\.Calling\.\.' '\.\.Association\.ConnectedIP\]\) then reject\(\) end --\[\[/rmd\]\]"
)
_ENTRY = re.compile(r"\['([^']+) ([0-9.]+)'\]='([^']+)'")


_SECRET = re.compile(r"pass(word|phrase)?\b|pwd|secret|token|api.?key", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/\s\"@]*@")


class Filter(NamedTuple):
    """``callers``: peer → AE title and address."""

    called: str
    callers: Mapping[str, tuple[str, str]]


class _Line(NamedTuple):
    """``key`` in small letters, None where the line sets none; ``at``: where its value begins in the line."""

    section: str
    key: str | None
    at: int
    value: str


class Document:
    """Raises Unprovable where dgate would read something else than what stands there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._raw = text.splitlines(keepends=True)
        self._lines = list(self._read())
        if self._raw and not self._raw[-1].endswith("\n"):
            raise Unprovable("the last line of the file does not end", next="end it with a new line")
        if self.value(ROOT, "MicroPACS") is None:
            raise Unprovable("there is no MicroPACS in section [sscscp]: dgate does not start", next="mend the file")
        scripts = self._numbers(LUA, SCRIPT)
        if len(scripts) > 1:
            raise Unprovable(
                f"{SCRIPT} stands twice in [lua], in lines {scripts[0] + 1} and {scripts[1] + 1}",
                next="take one of them out",
            )
        self._number = scripts[0] if scripts else None
        #: What stands there beside ours; None where no such line stands there.
        self.theirs: str | None = None
        self.filter: Filter | None = None
        if self._number is not None:
            self._split(self._lines[self._number].value)

    def value(self, section: str, key: str) -> str | None:
        found = self._numbers(section, key)
        if not found:
            return None
        value = self._lines[found[0]].value
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        return value[1:-1] if quoted else value

    @property
    def ae_title(self) -> str | None:
        return self.value(self.value(ROOT, "MicroPACS") or ROOT, "MyACRNema")

    def with_filter(self, wanted: Filter | None) -> Document:
        """The same with another filter, or with none."""
        if wanted == self.filter:
            return self
        if self._number is None:
            assert wanted is not None
            return self._added(f"{SCRIPT} = {_script(wanted)}")
        if wanted is None and self.theirs is None:
            return self._removed()
        line, value = self._raw[self._number], self._lines[self._number]
        head, end = line[: value.at], line[value.at + len(value.value) :]
        if self.filter is not None and self.theirs == "":
            end = end[1:]  # the blank is ours
        body = self.theirs or ""
        if wanted is not None:
            body = _script(wanted) + ("" if self.theirs is None else f" {self.theirs}")
        return self._with({self._number: head + body + end})

    def masked(self, mask: str) -> Document:
        """The values of keys that are secrets, those that are commented out too."""
        hidden = {}
        for number, raw in enumerate(self._raw):
            key, equals, value = raw.partition("=")
            if equals and _SECRET.search(key):
                hidden[number] = f"{key}= {mask}{raw[len(raw.rstrip()) :]}"
            elif _IN_URL.search(value):
                hidden[number] = key + equals + _IN_URL.sub(f"://{mask}@", value)
        return self._with(hidden)

    # -- inside ---------------------------------------------------------------------------------------

    def _read(self) -> Iterator[_Line]:
        section = ""
        for number, raw in enumerate(self._raw):
            line = raw.rstrip("\n").removesuffix("\r")
            if len(line.encode()) > LONGEST_LINE:
                raise Unprovable(f"line {number + 1} is longer than dgate reads", next="mend the file")
            if line.startswith("["):
                found = _SECTION.match(line)
                section = found[1].lower() if found else section
                yield _Line(section, None, 0, "")
            elif line.startswith((" ", ";")) or "=" not in line:
                yield _Line(section, None, 0, "")
            else:
                key, _, value = line.partition("=")
                at = len(line) - len(value.lstrip(" \t"))
                yield _Line(section, key.rstrip(" \t").lower(), at, value.strip(" \t"))

    def _numbers(self, section: str, key: str) -> list[int]:
        return [n for n, one in enumerate(self._lines) if (one.section, one.key) == (section.lower(), key.lower())]

    def _split(self, value: str) -> None:
        ours = _OURS.findall(value)
        if value[:1] in ("'", '"') and value[-1:] == value[:1]:
            raise Unprovable(f"the value of {SCRIPT} in [lua] stands in quotes", next="take the quotes off")
        if not ours and "rmd]]" not in value:
            self.theirs = value
            return
        form = _FORM.match(value)
        rest = value[form.end() :] if form else ""
        if form is None or len(ours) != 1 or (rest and not rest.startswith(" ")):
            raise Unprovable(f"our part of {SCRIPT} in [lua] was edited by hand", next="take it out, from rmd to /rmd")
        entries = _ENTRY.findall(form[2])
        self.filter = Filter(form[1], {peer: (title, address) for title, address, peer in entries})
        if _script(self.filter) != form[0]:
            raise Unprovable(f"our part of {SCRIPT} in [lua] was edited by hand", next="take it out, from rmd to /rmd")
        # A value of nothing at all has lost its blank at the end, as dgate reads it.
        raw = self._raw[self._number or 0].rstrip("\r\n")
        self.theirs = rest[1:] if rest else "" if raw.endswith(" ") else None

    def _added(self, line: str) -> Document:
        end = "\r\n" if self._raw and self._raw[0].endswith("\r\n") else "\n"
        for number, raw in enumerate(self._raw):
            if raw.startswith("[") and self._lines[number].section == LUA:
                return self._with({number: raw + line + end})
        return Document(f"{self.text}[{LUA}]{_ADDED}{end}{line}{end}")

    def _removed(self) -> Document:
        """The section goes too where it is ours and nothing else stands in it."""
        assert self._number is not None
        gone = {self._number: ""}
        inside = [n for n, one in enumerate(self._lines) if one.section == LUA and n != self._number]
        if len(inside) == 1 and self._raw[inside[0]].rstrip("\r\n").endswith(f"]{_ADDED}"):
            gone[inside[0]] = ""
        return self._with(gone)

    def _with(self, lines: Mapping[int, str]) -> Document:
        return Document("".join(lines.get(number, raw) for number, raw in enumerate(self._raw)))


def size(wanted: Filter) -> int:
    return len(_script(wanted).encode())


def _script(wanted: Filter) -> str:
    """Lua. The archive calls itself by DICOM from 127.0.0.1, for its own web pages."""
    entries = ",".join(f"['{title} {address}']='{peer}'" for peer, (title, address) in sorted(wanted.callers.items()))
    return (
        "--[[rmd]] if Association.ConnectedIP~='127.0.0.1' and not "
        f"(Association.Called=='{wanted.called}' and "
        f"({{{entries}}})[Association.Calling..' '..Association.ConnectedIP]) then reject() end --[[/rmd]]"
    )
