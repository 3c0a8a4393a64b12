"""The command parser: abbreviations, and the errors of IOS with the caret where IOS puts it.

The caret stands under the first character that fits no keyword, not under the word (recorded on 17.15:
``copy running-config flash:x`` on a router without flash marks the ``l``, because ``f`` still fits ``ftp:``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Any

USER, PRIVILEGED = 1, 15


class Rejected(Exception):
    """The command was refused; ``words`` are what the router says."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Invalid(Rejected):
    """``offset``: where the caret goes, counted from the start of the typed line."""

    def __init__(self, offset: int) -> None:
        super().__init__("% Invalid input detected at '^' marker.")
        self.offset = offset


class Incomplete(Rejected):
    def __init__(self) -> None:
        super().__init__("% Incomplete command.")


class Ambiguous(Rejected):
    """The router repeats the whole line in it."""

    def __init__(self) -> None:
        super().__init__("% Ambiguous command: ")


@dataclass(frozen=True)
class Token:
    text: str
    start: int


def tokens(line: str) -> list[Token]:
    return [Token(m.group(), m.start()) for m in re.finditer(r"\S+", line)]


def choose(token: Token, keywords: Iterable[str]) -> str | None:
    """The keyword that ``token`` abbreviates, or None. Keywords match in any case, exact ones first."""
    word = token.text.lower()
    fits = [keyword for keyword in keywords if keyword.lower().startswith(word)]
    exact = [keyword for keyword in fits if keyword.lower() == word]
    if exact or len(fits) == 1:
        return (exact or fits)[0]
    if fits:
        raise Ambiguous
    return None


def misfit(token: Token, keywords: Iterable[str]) -> Invalid:
    """The caret stands after the longest beginning that some keyword shares."""
    word = token.text.lower()
    shared = max(
        (next((i for i, (a, b) in enumerate(zip(word, k.lower(), strict=False)) if a != b), len(k)) for k in keywords),
        default=0,
    )
    return Invalid(token.start + min(shared, len(word)))


class Cursor:
    """Reads the rest of a line word by word, for commands whose syntax is more than a tree of words."""

    def __init__(self, line: str, words: list[Token]) -> None:
        self.line = line
        self.words = words
        self.at = 0

    def more(self) -> bool:
        return self.at < len(self.words)

    def peek(self) -> Token:
        if not self.more():
            raise Incomplete
        return self.words[self.at]

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def keyword(self, keywords: Iterable[str]) -> str:
        names = list(keywords)
        token = self.peek()
        found = choose(token, names)
        if found is None:
            raise misfit(token, names)
        self.at += 1
        return found

    def maybe(self, keywords: Iterable[str]) -> str | None:
        if not self.more():
            return None
        found = choose(self.peek(), keywords)
        if found is not None:
            self.at += 1
        return found

    def number(self, low: int, high: int) -> int:
        token = self.peek()
        if not token.text.isascii() or not token.text.isdigit() or not low <= int(token.text) <= high:
            raise Invalid(token.start)
        self.at += 1
        return int(token.text)

    def address(self) -> int:
        token = self.peek()
        value = address(token.text)
        if value is None:
            raise Invalid(token.start)
        self.at += 1
        return value

    def rest(self) -> str:
        """Everything that is left, as it was typed, and nothing more to read."""
        text = self.line[self.peek().start :].rstrip()
        self.at = len(self.words)
        return text

    def end(self) -> None:
        if self.more():
            raise Invalid(self.peek().start)


def address(text: str) -> int | None:
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        return None


#: The kinds of arguments, as the help of IOS writes them. Each says whether one word fits.
_KINDS: dict[str, Callable[[str], Any]] = {
    "WORD": lambda text: text,
    "A.B.C.D": lambda text: text if address(text) is not None else None,
}

Action = Callable[..., Any]


@dataclass
class _Node:
    keywords: dict[str, _Node] = field(default_factory=dict)
    arguments: list[tuple[str, str, _Node]] = field(default_factory=list)  # (kind, name, next)
    action: Action | None = None
    level: int = PRIVILEGED  # the lowest level of any command at or below here


@dataclass(frozen=True)
class Match:
    action: Action
    arguments: Mapping[str, Any]

    def __call__(self, session: Any) -> Any:
        return self.action(session, **{name: value for name, value in self.arguments.items() if name[0] != "_"})


class Grammar:
    """The commands of one mode.

    A command is written as its help shows it: ``show ip access-lists <name:WORD>``. Kinds: WORD, A.B.C.D, a range
    of numbers ``1-120``, LINE (the rest as it was typed) and CURSOR (the rest, read by the action itself). An
    argument whose name begins with an underscore is read and not handed over.
    """

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, syntax: str, action: Action, *, level: int = PRIVILEGED) -> None:
        node = self._root
        node.level = min(node.level, level)
        for part in syntax.split():
            if part.startswith("<"):
                name, kind = part[1:-1].split(":")
                known = [n for k, m, n in node.arguments if (k, m) == (kind, name)]
                if not known:
                    known = [_Node()]
                    node.arguments.append((kind, name, known[0]))
                node = known[0]
            else:
                node = node.keywords.setdefault(part, _Node())
            node.level = min(node.level, level)
        node.action = action

    def command(self, *syntaxes: str, level: int = PRIVILEGED) -> Callable[[Action], Action]:
        def register(action: Action) -> Action:
            for syntax in syntaxes:
                self.add(syntax, action, level=level)
            return action

        return register

    def match(self, line: str, level: int = PRIVILEGED) -> Match:
        words = tokens(line)
        node = self._root
        arguments: dict[str, Any] = {}
        at = 0
        while at < len(words):
            token = words[at]
            visible = {name: child for name, child in node.keywords.items() if child.level <= level}
            found = choose(token, visible)
            if found is not None:
                node = visible[found]
                at += 1
                continue
            for kind, name, child in node.arguments:
                if kind in ("LINE", "CURSOR"):
                    cursor = Cursor(line, words[at:])
                    arguments[name] = cursor.rest() if kind == "LINE" else cursor
                    node, at = child, len(words)
                    break
                value = _argument(kind, token.text)
                if value is not None:
                    arguments[name] = value
                    node, at = child, at + 1
                    break
            else:
                raise misfit(token, visible)
        if node.action is None or node.level > level:
            raise Incomplete
        return Match(node.action, arguments)

    def fits(self, word: Token, level: int) -> str | None:
        """The command that ``word`` begins. Raises Ambiguous."""
        return choose(word, [name for name, child in self._root.keywords.items() if child.level <= level])

    def knows(self, line: str, level: int = PRIVILEGED) -> bool:
        """Whether the first word of ``line`` fits some command here."""
        words = tokens(line)
        return bool(words) and any(
            name.startswith(words[0].text.lower()) and child.level <= level
            for name, child in self._root.keywords.items()
        )


def _argument(kind: str, text: str) -> Any:
    if kind in _KINDS:
        return _KINDS[kind](text)
    low, high = kind.split("-")
    return int(text) if text.isascii() and text.isdigit() and int(low) <= int(text) <= int(high) else None
