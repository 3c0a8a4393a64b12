"""A file of nginx as a tree of directives, each with its place in the text.

Read as nginx 1.22 does (ngx_conf_read_token): words are parted by blanks, and ended by ``;`` and ``{``; quotes count
only at the begin of a word; a backslash takes the next character along; ``${`` is part of a word, and so is a ``}``
that does not begin one; ``#`` begins a comment only where a word could begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from remediate.errors import Unprovable

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r"|(?P<comment>#[^\n]*?(?=\r?(?:\n|\Z)))"
    r"|(?P<mark>[;{}])"
    r"|(?P<quoted>\"(?:\\.|[^\"\\])*\"(?=[ \t\r\n;{)])|'(?:\\.|[^'\\])*'(?=[ \t\r\n;{)]))"
    r"|(?P<bare>(?![\"'])(?:\\.|\$\{|[^ \t\r\n;{\\])+)",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\([\"'\\trn])")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}


@dataclass(frozen=True)
class Word:
    """``text``: as it stands there; ``value``: what nginx reads."""

    at: int
    text: str

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def value(self) -> str:
        inner = self.text[1:-1] if self.text[0] in "\"'" else self.text
        return _ESCAPED.sub(lambda found: _CONTROLS.get(found[1], found[1]), inner)


@dataclass
class Statement:
    """``end``: right behind its ``;`` or ``{``; ``close``: where the ``}`` of a block is, -1 where it is none.

    ``within``: the names of the blocks around it, the outermost first.
    """

    words: tuple[Word, ...]
    line: int
    end: int
    within: tuple[str, ...]
    close: int = -1
    inside: list[Statement] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.words[0].value

    @property
    def args(self) -> tuple[str, ...]:
        return tuple(word.value for word in self.words[1:])

    @property
    def at(self) -> int:
        return self.words[0].at

    def all_inside(self) -> Iterator[Statement]:
        """At any depth."""
        for one in self.inside:
            yield one
            yield from one.all_inside()


@dataclass(frozen=True)
class Tree:
    """``comments``: each with the ``#``."""

    statements: tuple[Statement, ...]
    comments: tuple[Word, ...]

    def every(self) -> Iterator[Statement]:
        for one in self.statements:
            yield one
            yield from one.all_inside()


def parsed(text: str) -> Tree:
    """Raises Unprovable for what nginx would not read, and for languages of other modules within it."""
    top: list[Statement] = []
    blocks: list[Statement] = []
    words: list[Word] = []
    comments: list[Word] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _unread(text, at, "a word that does not end")
        kind, at = found.lastgroup, found.end()
        if kind == "comment":
            comments.append(Word(found.start(), found[0]))
        elif kind in ("quoted", "bare"):
            words.append(Word(found.start(), found[0]))
            if len(words) == 1 and words[0].value.endswith("_by_lua_block"):
                raise _unread(text, found.start(), "Lua stands in it, which is not read here")
        elif kind == "mark" and found[0] == "}":
            if words or not blocks:
                raise _unread(text, found.start(), "a } out of place")
            blocks.pop().close = found.start()
        elif kind == "mark":
            if not words:
                raise _unread(text, found.start(), f"a {found[0]} out of place")
            within = tuple(block.name for block in blocks)
            one = Statement(tuple(words), text.count("\n", 0, words[0].at) + 1, found.end(), within)
            (blocks[-1].inside if blocks else top).append(one)
            words = []
            if found[0] == "{":
                blocks.append(one)
    if words or blocks:
        raise _unread(text, words[0].at if words else blocks[-1].at, "a directive that does not end")
    return Tree(tuple(top), tuple(comments))


def _unread(text: str, at: int, why: str) -> Unprovable:
    return Unprovable(f"line {text.count(chr(10), 0, at) + 1} cannot be read: {why}", next="mend the file")
