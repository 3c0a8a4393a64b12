"""A JSON document with comments, edited in place: whatever an edit does not name stays as it is, to the byte.

Orthanc reads its configuration with JsonCpp, which takes // and /* */ comments. A round trip through a JSON library
would lose them, and with them what the archive's administrator wrote there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from remediate.errors import Unprovable
from remediate.model.base import canonical

Path = tuple[str, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LINE = re.compile(r"(?:[ \t]*(?:/\*.*?\*/|//[^\n]*))*", re.DOTALL)
_NEW_LINE = re.compile(r"[ \t\r]*\n")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")

#: A run of comments, a string, or any other character.
_RUN = re.compile(rf"(?:{_COMMENT.pattern})(?:\s*(?:{_COMMENT.pattern}))*|{_STRING.pattern}|.", re.DOTALL)
_TOKEN = re.compile(rf"{_COMMENT.pattern}|{_STRING.pattern}|[^\s\"{{}}\[\]:,/]+|.", re.DOTALL)


@dataclass(frozen=True)
class _Member:
    """``comma``: where the comma behind it stands; None behind the last one."""

    key: str
    start: int
    value: _Node
    comma: int | None


@dataclass(frozen=True)
class _Node:
    """A value and its place in the text. ``members``: of an object, otherwise None."""

    start: int
    end: int
    members: tuple[_Member, ...] | None = None


class Document:
    """Raises Unprovable for a text that is not one JSON object, and for a key that stands twice in one object."""

    def __init__(self, text: str) -> None:
        self.text = text
        scanner = _Scanner(text)
        self._root = scanner.document()

    def get(self, path: Path) -> str | None:
        """The value there as canonical JSON; None where there is none."""
        node = self._find(path)
        return None if node is None else canonical(_plain(self.text, node))

    def keys(self, path: Path = ()) -> tuple[str, ...]:
        """Of the object there; () where there is none."""
        node = self._find(path)
        return () if node is None or node.members is None else tuple(m.key for m in node.members)

    @property
    def tokens(self) -> str:
        """All that is not white space, comments included: what two texts share that differ in layout only."""
        return " ".join(found[0] for found in _TOKEN.finditer(self.text))

    def merged(self, patch: Mapping[str, Any], at: Path = ()) -> Document:
        """With a merge patch (RFC 7396) applied: null removes a member, an object is merged, all else replaces."""
        made = self
        for key, value in patch.items():
            path = (*at, key)
            here = made._find(path)
            if value is None:
                made = made.without(path)
            elif isinstance(value, dict) and here is not None and here.members is not None:
                made = made.merged(value, path)
            else:
                made = made._with(path, value)
        return made

    def without(self, path: Path) -> Document:
        """The member is taken out together with the white space before it and one comma."""
        node = self._find(path)
        if node is None:
            return self
        parent = self._find(path[:-1])
        assert parent is not None and parent.members is not None
        number = [m.key for m in parent.members].index(path[-1])
        member = parent.members[number]
        since = parent.members[number - 1].comma if number else parent.start
        assert since is not None
        cuts = [(self._cut_from(since + 1, member), member.value.end)]
        if member.comma is not None:
            cuts.append((member.comma, member.comma + 1))
        elif number:
            comma = parent.members[number - 1].comma
            assert comma is not None
            cuts.append((comma, comma + 1))
        text = self.text
        for start, end in sorted(cuts, reverse=True):
            text = text[:start] + text[end:]
        return Document(text)

    def replaced(self, wanted: Callable[[Path, str], bool], raw: str) -> Document:
        """Every value that is no object, where its path and its text are wanted, replaced by ``raw``."""
        text = self.text
        for path, node in sorted(_leaves(self._root, ()), key=lambda one: one[1].start, reverse=True):
            if wanted(path, text[node.start : node.end]):
                text = text[: node.start] + raw + text[node.end :]
        return Document(text)

    def with_comments(self, hidden: Callable[[str], bool]) -> Document:
        """Comments with only white space between them are one run; those of a hidden run become ``// ...``."""
        parts: list[str] = []
        for found in _RUN.finditer(self.text):
            run = found[0]
            if run[0] == "/" and hidden(run):
                run = _COMMENT.sub(lambda one: "// ..." if one[0].startswith("//") else "/* ... */", run)
            parts.append(run)
        return Document("".join(parts))

    # -- inside ---------------------------------------------------------------------------------------

    def _find(self, path: Path) -> _Node | None:
        node = self._root
        for key in path:
            member = next((m for m in node.members or () if m.key == key), None)
            if member is None:
                return None
            node = member.value
        return node

    def _cut_from(self, since: int, member: _Member) -> int:
        """The white space before a member goes with it, unless a comment to the end of the line would swallow more."""
        comments = [found[0] for found in _COMMENT.finditer(self.text[since : member.start])]
        follows = self.text[member.value.end if member.comma is None else member.comma + 1 :]
        if comments and comments[-1].startswith("//") and not _NEW_LINE.match(follows):
            return member.start
        return _before(self.text, member.start)

    def _with(self, path: Path, value: Any) -> Document:
        """The value replaced, or a new member behind the last one, as far to the right as its neighbours."""
        node = self._find(path)
        if node is not None:
            indent = _indent(self.text, node.start)
            return Document(self.text[: node.start] + _printed(value, indent) + self.text[node.end :])
        parent = self._find(path[:-1])
        assert parent is not None and parent.members is not None  # merged() goes down member by member
        if parent.members:
            last = parent.members[-1]
            lead = self.text[_before(self.text, last.start) : last.start]
            indent = lead.rpartition("\n")[2] if "\n" in lead else ""
            member = f"{json.dumps(path[-1])} : {_printed(value, indent)}"
            # The comma stands right behind the value, the member behind a comment that may follow it.
            end = _rest_of_line(self.text, last.value.end)
            behind = self.text[last.value.end : end]
            if "\n" not in lead and "//" in behind:
                lead = "\n"
            return Document(self.text[: last.value.end] + "," + behind + (lead or " ") + member + self.text[end:])
        indent = _indent(self.text, parent.start) + "  "
        member = f"\n{indent}{json.dumps(path[-1])} : {_printed(value, indent)}"
        return Document(self.text[: parent.start + 1] + member + self.text[parent.start + 1 :])


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> _Node:
        self._blank()
        node = self._value()
        self._blank()
        if self.at != len(self.text) or node.members is None:
            raise self._unreadable("one object")
        return node

    def _value(self) -> _Node:
        start = self.at
        opening = self.text[start : start + 1]
        if opening == "{":
            members = tuple(self._members())
            keys = [m.key for m in members]
            if twice := {key for key in keys if keys.count(key) > 1}:
                raise Unprovable(f"the key {min(twice)} stands twice in one object", next="take one of them out")
            return _Node(start, self.at, members)
        if opening == "[":
            for _ in self._items("]"):
                self._value()
            return _Node(start, self.at)
        found = (_STRING if opening == '"' else _SCALAR).match(self.text, start)
        if found is None:
            raise self._unreadable("a value")
        self.at = found.end()
        return _Node(start, self.at)

    def _members(self) -> Iterator[_Member]:
        for _ in self._items("}"):
            start = self.at
            found = _STRING.match(self.text, start)
            if found is None:
                raise self._unreadable("a key")
            self.at = found.end()
            self._blank()
            self._take(":")
            self._blank()
            value = self._value()
            self._blank()
            comma = self.at if self.text[self.at : self.at + 1] == "," else None
            yield _Member(_decoded(found[0]), start, value, comma)

    def _items(self, closing: str) -> Iterator[None]:
        """The scanner stands at each item in turn, and behind the closing bracket at the end."""
        self.at += 1
        self._blank()
        while self.text[self.at : self.at + 1] != closing:
            yield
            self._blank()
            if self.text[self.at : self.at + 1] == closing:
                break
            self._take(",")
            self._blank()
            if self.text[self.at : self.at + 1] == closing:
                raise self._unreadable("another item")
        self.at += 1

    def _blank(self) -> None:
        found = _BLANK.match(self.text, self.at)
        assert found is not None  # it matches nothing as well
        self.at = found.end()

    def _take(self, character: str) -> None:
        if self.text[self.at : self.at + 1] != character:
            raise self._unreadable(f"`{character}`")
        self.at += 1

    def _unreadable(self, wanted: str) -> Unprovable:
        line = self.text.count("\n", 0, self.at) + 1
        return Unprovable(f"not JSON as Orthanc reads it: {wanted} was expected in line {line}", next="mend the file")


def _leaves(node: _Node, path: Path) -> Iterator[tuple[Path, _Node]]:
    if node.members is None:
        yield path, node
    for member in node.members or ():
        yield from _leaves(member.value, (*path, member.key))


def _plain(text: str, node: _Node) -> Any:
    if node.members is not None:
        return {m.key: _plain(text, m.value) for m in node.members}
    raw = text[node.start : node.end]
    if raw.startswith("["):
        return [_plain(raw, one) for one in _elements(raw)]
    return json.loads(raw)


def _elements(raw: str) -> Iterator[_Node]:
    scanner = _Scanner(raw)
    for _ in scanner._items("]"):
        yield scanner._value()


def _decoded(string: str) -> str:
    try:
        decoded: str = json.loads(string)
    except ValueError as error:
        raise Unprovable(f"not JSON as Orthanc reads it: {string}", next="mend the file") from error
    return decoded


def _before(text: str, start: int) -> int:
    """Where the white space in front of ``start`` begins."""
    return len(text[:start].rstrip(" \t\r\n"))


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    found = _SPACE.match(line)
    return found[0] if found else ""


def _rest_of_line(text: str, at: int) -> int:
    """Behind the comments that follow on the same line."""
    found = _LINE.match(text, at)
    assert found is not None
    return found.end()


def _printed(value: Any, indent: str) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + indent)
