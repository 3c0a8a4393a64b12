"""vsftpd.conf: one setting of it, edited in place; all else stays as it is, to the byte.

Read as vsftpd 3.0.3 does (parseconf.c): a line is ``name=value`` without blanks around the sign, a line that begins
with ``#`` is a comment, blanks before a name do not count, names are in small letters, and of a name that stands twice
the last line counts. It does not start with what it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from remediate.errors import Unprovable

ANONYMOUS, LOCAL, TLS, LOCAL_TLS = "anonymous_enable", "local_enable", "ssl_enable", "force_local_logins_ssl"
#: What vsftpd goes by where the file does not say.
_COMPILED = {ANONYMOUS: True, LOCAL: False, TLS: False, LOCAL_TLS: True}
_YES, _NO = ("YES", "TRUE", "1"), ("NO", "FALSE", "0")
WORDS = (*_YES, *_NO)
_LINE = re.compile(r"[ \t\v\f]*(?P<name>[^#=\s][^=]*)=(?P<value>.*)")


class _Line(NamedTuple):
    """``at``, ``end``: of its value in the whole text."""

    number: int
    at: int
    end: int
    value: str


class Document:
    """Raises Unprovable where vsftpd would not start with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._last: dict[str, _Line] = {}
        #: Where the first setting begins.
        self._first: int | None = None
        for number, at, line in _lines(text):
            if line.startswith("#") or not line.strip():
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                raise _misread(number, "a name, = and a value are expected")
            self._first = at if self._first is None else self._first
            self._last[found["name"]] = _Line(
                number, at + found.start("value"), at + found.end("value"), found["value"]
            )
        for name in _COMPILED:
            if name in self._last and self._last[name].value.upper() not in WORDS:
                raise _misread(self._last[name].number, f"{name} is YES or NO, with nothing before or behind it")

    def spelt(self, name: str) -> str | None:
        """As it stands there; None where it does not."""
        return self._last[name].value if name in self._last else None

    def enabled(self, name: str) -> bool:
        """What counts."""
        value = self.spelt(name)
        return _COMPILED[name] if value is None else value.upper() in _YES

    def with_anonymous(self, value: str | None) -> Document:
        """The same with that value; None: without the line that counts."""
        line = self._last.get(ANONYMOUS)
        if line is None:
            if value is None:
                return self
            at = self._first or 0
            return Document(f"{self.text[:at]}{ANONYMOUS}={value}\n{self.text[at:]}")
        if value is not None:
            return Document(self.text[: line.at] + value + self.text[line.end :])
        begin = self.text.rfind("\n", 0, line.at) + 1
        return Document(self.text[:begin] + self.text[line.end :].removeprefix("\n"))


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Number, where it begins, and the line without its end."""
    at = 0
    for number, line in enumerate(text.split("\n"), 1):
        yield number, at, line
        at += len(line) + 1


def _misread(number: int, why: str) -> Unprovable:
    return Unprovable(f"vsftpd would not start with line {number} of its file: {why}", next="mend the file")
