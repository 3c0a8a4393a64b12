"""YAML files as people write them, read strictly: every value knows its line, every problem is kept, none is raised.

YAML is taken without its surprises: ``0104`` and ``12:30`` are texts and not the numbers 68 and 750, a date is a
text, a key that stands twice is a problem, and tags (``!vault``, ``!!python/…``) are not known.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from remediate.inventory.secrets import Secrets

#: The same grammar twice; the one in C is seven times as fast, and PyYAML may have been built without it.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

KeyPath = tuple[str | int, ...]
T = TypeVar("T")

#: A value in which this stands is still to be filled in, whatever it should be.
FILL_IN = "FILL_IN"
#: What stands under such a key is never shown.
SECRET_KEYS = frozenset({"password", "passwd", "passphrase", "secret", "enable", "token", "extras"})
MOST_BYTES = 32 * 1024 * 1024
MOST_DEPTH = 40
#: Of the names that would be right, this many are said.
MOST_LISTED = 20
#: Aliases may repeat this many values; a few lines of nested aliases would otherwise fill the memory.
MOST_REPEATED = 50_000
TAG = "tag:yaml.org,2002:"
FLOAT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", re.ASCII)


def did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def listed(words: Collection[str]) -> str:
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return ", ".join(list(words)[:MOST_LISTED]) + more if words else "none"


class Problems:
    """All that is wrong with a set of files. ``lines`` are in the order of files and lines, each once."""

    def __init__(self, files: Sequence[str] = ()) -> None:
        self._found: dict[tuple[int, int, str], None] = {}
        self._unfilled: dict[tuple[int, int, str], str] = {}
        self._files = list(files)

    def add(self, file: str, line: int, text: str) -> None:
        """``line`` 0: about the file as a whole."""
        self._found[self._index(file), line, text] = None

    def fill_in(self, file: str, line: int, place: str, allowed: str) -> None:
        """Of several readers of one place the last one knows best what belongs there."""
        self._unfilled[self._index(file), line, place] = allowed

    def __bool__(self) -> bool:
        return bool(self._found or self._unfilled)

    @property
    def only_unfilled(self) -> bool:
        """Nothing is wrong but that places are still to be filled in."""
        return bool(self._unfilled) and not self._found

    def lines(self) -> tuple[str, ...]:
        unfilled = [(file, line, f"{place}: fill in: {text}") for (file, line, place), text in self._unfilled.items()]
        return tuple(
            f"{self._files[file]}:{line}: {text}" if line else f"{self._files[file]}: {text}"
            for file, line, text in sorted([*self._found, *unfilled])
        )

    def _index(self, file: str) -> int:
        if file not in self._files:
            self._files.append(file)
        return self._files.index(file)


def key_path(path: KeyPath) -> str:
    """``data.services[0].port``"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_key(part)}" for part in path)
    return text.removeprefix(".")


def flat(value: Any, path: KeyPath = ()) -> Iterator[str]:
    """``data.services[0].port: 104``: a line for each value, so that a difference says where it is."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, (*path, key if isinstance(key, int) else str(key)))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from flat(inner, (*path, number))
    else:
        yield f"{key_path(path)}: {json.dumps(value, ensure_ascii=False, default=str)}"


def named_element(path: KeyPath) -> str:
    """``pacs-north: data.services[0].port``"""
    return ": ".join(part for part in (key_path(path[:1]), key_path(path[1:])) if part)


@dataclass(frozen=True)
class Source:
    """A file that is being read. ``describe`` turns a path into the words that name its place.

    ``secrets``: where what its references stand for is found; None: it has none.
    """

    file: str
    problems: Problems
    describe: Callable[[KeyPath], str] = key_path
    secrets: Secrets | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """One value and its place. ``raw``: a scalar, a list of nodes, or nodes by key.

    The readers return None for what is not as it must be; the problem is then already kept.
    """

    source: Source = field(repr=False)
    path: KeyPath
    line: int
    raw: Any = field(repr=False)

    def problem(self, text: str) -> None:
        place = self.source.describe(self.path)
        self.source.problems.add(self.source.file, self.line, f"{place}: {text}" if place else text)

    def wrong(self, allowed: str, *, hint: str = "") -> None:
        if self.unfilled:
            self.source.problems.fill_in(self.source.file, self.line, self.source.describe(self.path), allowed)
            return
        self.problem(f"found {self.shown}; allowed: {allowed}{hint}")

    @property
    def unfilled(self) -> bool:
        return isinstance(self.raw, str) and FILL_IN in self.raw

    @property
    def secret(self) -> bool:
        return _is_secret(self.path)

    @property
    def shown(self) -> str:
        """The value for a message: never a secret, never long, never a control character."""
        if self.secret:
            return "***"
        if isinstance(self.raw, dict):
            return "a mapping"
        if isinstance(self.raw, list):
            return "a list"
        if self.raw is None:
            return "nothing"
        if isinstance(self.raw, bool):
            return "a yes/no value"
        text = repr(re.sub(r":\S*@", ":***@", self.raw)) if isinstance(self.raw, str) else str(self.raw)
        return text if len(text) <= 60 else f"{text[:57]}..."

    def mapping(
        self,
        keys: Collection[str] | None = None,
        *,
        required: Collection[str] = (),
        known_elsewhere: Mapping[str, str] | None = None,
    ) -> dict[str, Node] | None:
        """Its nodes by key; unknown and missing keys are problems. ``keys`` None: any.

        ``known_elsewhere``: what to say about keys that would be right in another place.
        """
        if not isinstance(self.raw, dict):
            self.wrong(f"a mapping with the keys {listed(keys)}" if keys else "a mapping")
            return None
        found: dict[str, Node] = {}
        for key, node in self.raw.items():
            if not isinstance(key, str):
                node.problem("the key is a number; allowed: a string; put it in quotes")
            elif keys is None or key in keys:
                found[key] = node
            elif known_elsewhere and key in known_elsewhere:
                node.problem(f"unknown key here: {known_elsewhere[key]}; allowed: {listed(keys)}")
            else:
                node.problem(f"unknown key; allowed: {listed(keys)}{did_you_mean(key, keys)}")
        for key in required:
            if key not in self.raw:
                self.problem(f"{key} is missing")
        return found

    def items(self, allowed: str = "a list") -> list[Node] | None:
        if not isinstance(self.raw, list):
            self.wrong(allowed)
            return None
        return list(self.raw)

    def one_or_more(self) -> list[Node]:
        """A list, or the one value itself."""
        return list(self.raw) if isinstance(self.raw, list) else [self]

    def string(self, allowed: str = "a string") -> str | None:
        if self.unfilled:
            self.wrong(allowed)
            return None
        if not isinstance(self.raw, str):
            number = isinstance(self.raw, int | float) and not isinstance(self.raw, list | dict)
            self.wrong(allowed, hint="; put it in quotes" if number else "")
            return None
        if any(unicodedata.category(letter) == "Cc" for letter in self.raw):
            self.problem(f"has a line break or another control character; allowed: {allowed}")
            return None
        if not self.raw.strip():
            self.problem(f"is empty; allowed: {allowed}")
            return None
        return self.raw

    def integer(self, low: int, high: int, allowed: str) -> int | None:
        if isinstance(self.raw, bool) or not isinstance(self.raw, int) or not low <= self.raw <= high:
            self.wrong(allowed)
            return None
        return self.raw

    def number(self, low: float, high: float, allowed: str) -> float | None:
        if isinstance(self.raw, bool) or not isinstance(self.raw, int | float) or not low <= self.raw <= high:
            self.wrong(allowed)
            return None
        return self.raw

    def choice(self, known: Collection[str]) -> str | None:
        if not isinstance(self.raw, str) or self.raw not in known:
            hint = did_you_mean(self.raw, known) if isinstance(self.raw, str) else ""
            self.wrong(listed(known), hint=hint)
            return None
        return self.raw

    def typed(self, kind: TypeAdapter[T], allowed: str) -> T | None:
        """A string of one of the model's own types."""
        text = self.string(allowed)
        if text is None:
            return None
        try:
            return kind.validate_python(text, strict=True)
        except ValidationError:
            self.wrong(allowed)
            return None

    def plain(self) -> Any:
        """The value without its places, as other programs want it."""
        if isinstance(self.raw, dict):
            return {key: node.plain() for key, node in self.raw.items()}
        if isinstance(self.raw, list):
            return [node.plain() for node in self.raw]
        return self.raw

    def check_keys(self) -> None:
        """A key that is not a string, however deep, is a problem: JSON has no others."""
        if isinstance(self.raw, dict):
            self.mapping()
            for node in self.raw.values():
                node.check_keys()
        elif isinstance(self.raw, list):
            for node in self.raw:
                node.check_keys()


def parse(data: bytes, source: Source) -> Node | None:
    """The document in ``data``; a file of comments only is a node with None. None: it cannot be read at all."""
    try:
        return _parse(data, source)
    except _Unreadable as problem:
        source.problems.add(source.file, problem.line, problem.text)
        return None


class _Unreadable(Exception):
    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.text = text


def _parse(data: bytes, source: Source) -> Node:
    if len(data) > MOST_BYTES:
        raise _Unreadable(0, f"found {len(data)} bytes; allowed: at most {MOST_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable(data[: error.start].count(b"\n") + 1, "is not UTF-8 text") from error
    try:
        depth = 0
        for event in yaml.parse(text, Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_DEPTH:  # before anything recurses into it
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise _Unreadable(line, f"is nested more than {MOST_DEPTH} deep")
        root = yaml.compose(text, Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a code point that does not exist
        raise _Unreadable(*_syntax(error, text)) from error
    if root is None:
        return Node(source, (), 1, None)
    return _Builder(source).build(root, (), 1, ())


def _syntax(error: Exception, text: str) -> tuple[int, str]:
    """Line and words, without what PyYAML quotes from the file: it may be part of a password."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read")
    words = re.sub(r"'[^'\s<][^']+'|\"[^\"\s<][^\"]+\"", "…", words)
    if mark is None:  # a character that YAML forbids
        at = getattr(error, "position", 0)
        return text[:at].count("\n") + 1, f"is not YAML: {words}"
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
        return mark.line + 1, "is not YAML: a tab stands in the indentation; YAML wants blanks there"
    return mark.line + 1, f"is not YAML: {words}"


class _Builder:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.seen: set[int] = set()
        self.repeated = 0

    def build(self, node: yaml.Node, path: KeyPath, line: int, trail: tuple[int, ...]) -> Node:
        """``trail``: the nodes that this one stands in."""
        if id(node) in trail:
            raise _Unreadable(line, "an alias (*) stands for something that it is itself a part of")
        if id(node) in self.seen:
            self.repeated += 1
            if self.repeated > MOST_REPEATED:
                raise _Unreadable(line, f"aliases (*) repeat more than {MOST_REPEATED} values")
        self.seen.add(id(node))
        raw: Any
        if isinstance(node, yaml.ScalarNode):
            raw = self.scalar(node, path, line)
        elif isinstance(node, yaml.SequenceNode):
            raw = [
                self.build(item, (*path, index), item.start_mark.line + 1, (*trail, id(node)))
                for index, item in enumerate(node.value)
            ]
        else:
            raw = self.pairs(node, path, (*trail, id(node)))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (TAG + "seq", TAG + "map"):
            self.problem(path, line, "has a tag (!...); allowed: plain YAML")
        return Node(self.source, path, line, raw)

    def pairs(self, mapping: yaml.Node, path: KeyPath, trail: tuple[int, ...]) -> dict[str | int, Node]:
        found: dict[str | int, Node] = {}
        merged: list[yaml.Node] = []
        for key_node, value in mapping.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == TAG + "merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            key = self.scalar(key_node, path, line) if isinstance(key_node, yaml.ScalarNode) else None
            if isinstance(key, bool) or not isinstance(key, str | int) or "\0" in str(key):
                self.problem(path, line, "a key is not a string; allowed: a string; put it in quotes")
            elif key in found:
                shown = "a key" if _is_secret(path) else f"the key {_key(str(key))}"
                self.problem(path, line, f"{shown} stands twice, first on line {found[key].line}")
            else:
                found[key] = self.build(value, (*path, str(key)), line, trail)
        for other in merged:  # "<<": what is written here wins over what is merged in
            line = other.start_mark.line + 1
            if id(other) in trail:
                raise _Unreadable(line, "an alias (*) stands for something that it is itself a part of")
            if not isinstance(other, yaml.MappingNode):
                self.problem(path, line, "what is merged in by << is not a mapping")
                continue
            self.repeated += 1
            if self.repeated > MOST_REPEATED:
                raise _Unreadable(line, f"aliases (*) repeat more than {MOST_REPEATED} values")
            for key, node in self.pairs(other, path, (*trail, id(other))).items():
                found.setdefault(key, node)
        return found

    def scalar(self, node: yaml.ScalarNode, path: KeyPath, line: int) -> str | int | float | bool | None:
        text: str = node.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            self.problem(path, line, "has half a character (a lone surrogate)")
            return ""
        match node.tag.removeprefix(TAG):
            case "null":
                return None
            case "bool":
                return text.lower() in ("true", "yes", "on")
            case "int" if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
                return int(text)
            case "float" if FLOAT.fullmatch(text) and math.isfinite(float(text)):
                return float(text)
            case "str" | "int" | "float" | "timestamp" | "merge" | "value":
                return text
        self.problem(path, line, "has a tag (!...); allowed: plain YAML")
        return text

    def problem(self, path: KeyPath, line: int, text: str) -> None:
        Node(self.source, path, line, None).problem(text)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]{1,63}", text) else repr(text[:63])


def _is_secret(path: Sequence[str | int]) -> bool:
    return any(isinstance(part, str) and part.lower() in SECRET_KEYS for part in path)
