"""A configuration file of nginx: the servers on some ports ask for a password; all else stays as it is, to the byte.

Ours is marked by comments, and can be taken out again exactly: a group of lines at the begin of a server, from
``# rmd`` to ``# /rmd``, and directives of its that had to change, with what they were behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from remediate.errors import Unprovable
from remediate.model.base import canonical
from remediate.platforms.nginx.statements import Statement, Word, parsed

REALM = "Medical images"
AUTH, USERS, LISTING, SATISFY = "auth_basic", "auth_basic_user_file", "autoindex", "satisfy"
CERTIFICATE, KEY = "ssl_certificate", "ssl_certificate_key"

_HEAD, _END, _END_OURS = "# rmd web_auth ", "# /rmd", "# /rmd, same line"
#: Behind a directive of ours. Where more stood on its line, the line's end is ours too.
_WAS, _WAS_OURS = "# rmd was ", "# rmd, same line, was "
_BLANK_TO_END = re.compile(r"[ \t]*\r?(\n|\Z)")
_PORTS = re.compile(r"(?:(?:\[[^\]]*\]|[^:\[\]]*):)?(\d+)(?:-(\d+))?")

#: What is wanted of the servers on a port: ``users``, the file of those who may come in; ``certificate`` and ``key``.
Login = Mapping[str, str]


class Listen(NamedTuple):
    """``ports``: None for a socket that is no TCP port."""

    statement: Statement
    ports: range | None
    ssl: bool


class Server(NamedTuple):
    statement: Statement
    listens: tuple[Listen, ...]

    def on(self, port: int) -> bool:
        """One that does not say is on port 80."""
        return any(one.ports and port in one.ports for one in self.listens) or (port == 80 and not self.listens)

    def plain(self, ports: Collection[int]) -> Iterator[Listen]:
        """Where it listens on one of these without TLS."""
        return (one for one in self.listens if not one.ssl and one.ports and any(p in one.ports for p in ports))

    def own(self, name: str) -> Statement | None:
        """A directive of its own, not one of a block in it."""
        return next((one for one in self.statement.inside if one.name == name), None)


class Document:
    """Raises Unprovable where nginx would not read it, and where what is ours in it was edited by hand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parsed(text)
        self.servers = [_server(one) for one in self.tree.every() if _is_server(one)]
        #: By port, what was made so; as the comments say.
        self.logins: dict[int, Login] = {}
        #: The same without anything of ours.
        self.foreign = self
        if any(comment.text.startswith(("# rmd", _END)) for comment in self.tree.comments):
            self.foreign = Document(self._without())
            if self.foreign._with(self.logins) != text:
                raise _edited()

    def on(self, port: int) -> list[Server]:
        return [server for server in self.servers if server.on(port)]

    def with_logins(self, changes: Mapping[int, Login | None]) -> Document:
        """The same with those on these ports; None: without."""
        for port in changes:
            if not self.on(port):
                raise Unprovable(f"no server in this file listens on port {port}", next="plan again")
        wanted = {**self.logins, **changes}
        return Document(self.foreign._with({port: login for port, login in wanted.items() if login is not None}))

    # -- inside ---------------------------------------------------------------------------------------

    def _with(self, logins: Mapping[int, Login]) -> str:
        """Of a document without anything of ours. Raises Unprovable for what cannot be said in this file."""
        edits: list[tuple[int, int, str]] = []
        for server in self.servers:
            ours = {port: logins[port] for port in sorted(logins) if server.on(port)}
            if not ours:
                continue
            first, *others = ours.values()
            if any(other != first for other in others):
                line = server.statement.line
                raise Unprovable(f"the server in line {line} cannot go by two lists of users", next="part its ports")
            plain = list(server.plain(ours)) if "certificate" in first else []
            edits.append(self._group(server, ours, first, certificate=bool(plain)))
            edits += [self._changed(one.statement, f"{_source(self.text, one.statement)} ssl;") for one in plain]
            edits += [self._changed(one, f"{one.words[0].text} off;") for one in listing(server.statement)]
        text = self.text
        for begin, end, new in sorted(edits, reverse=True):
            text = text[:begin] + new + text[end:]
        return text

    def _group(
        self, server: Server, ours: Mapping[int, Login], login: Login, *, certificate: bool
    ) -> tuple[int, int, str]:
        says = [(AUTH, f'"{REALM}"'), (USERS, login["users"]), (LISTING, "off"), (SATISFY, "all")]
        if certificate:
            says += [(CERTIFICATE, login["certificate"]), (KEY, login["key"])]
        lines = [f"{name} {value};" for name, value in says if server.own(name) is None]
        head = _HEAD + canonical({str(port): dict(one) for port, one in ours.items()})
        at = server.statement.end
        end = _END if _BLANK_TO_END.match(self.text, at) else _END_OURS + "\n"
        blank = self._indent(server.statement)
        return at, at, "".join(f"\n{blank}{line}" for line in (head, *lines, end))

    def _indent(self, block: Statement) -> str:
        """Of what stands in that block, where that begins on a line of its own."""
        for one, more in (*((one, "") for one in block.inside[:1]), (block, "    ")):
            before = self.text[self.text.rfind("\n", 0, one.at) + 1 : one.at]
            if not before.strip(" \t"):
                return before + more
        return "    "

    def _changed(self, one: Statement, new: str) -> tuple[int, int, str]:
        was = self.text[one.at : one.end]
        if "\n" in was or "#" in was:
            raise Unprovable(f"{one.name} in line {one.line} does not stand on one line", next="write it on one line")
        if _BLANK_TO_END.match(self.text, one.end):
            return one.at, one.end, f"{new} {_WAS}{was}"
        return one.at, one.end, f"{new} {_WAS_OURS}{was}\n"

    def _without(self) -> str:
        """Also notes what the comments say."""
        edits: list[tuple[int, int, str]] = []
        ends = {one.end: one for one in self.tree.every() if one.close < 0}
        comments = iter(self.tree.comments)
        for comment in comments:
            for mark, more in ((_WAS, 0), (_WAS_OURS, 1)):
                if comment.text.startswith(mark) and (one := ends.get(comment.at - 1)) is not None:
                    edits.append((one.at, comment.end + more, comment.text.removeprefix(mark)))
                    break
            else:
                if comment.text.startswith(_HEAD):
                    edits.append((*self._noted(comment, next(comments, comment)), ""))
                elif comment.text.startswith(("# rmd", _END)):
                    raise _edited()
        text = self.text
        for begin, end, new in sorted(edits, reverse=True):
            text = text[:begin] + new + text[end:]
        return text

    def _noted(self, head: Word, end: Word) -> tuple[int, int]:
        """From where to where a group goes."""
        begin = self.text.rfind("\n", 0, head.at)
        own = end.text.startswith(_END_OURS)
        known = (AUTH, USERS, LISTING, SATISFY, CERTIFICATE, KEY)
        inside = [one.name for one in self.tree.every() if head.at < one.at < end.at]
        try:
            says = {int(port): dict(login) for port, login in json.loads(head.text.removeprefix(_HEAD)).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise _edited() from error
        if not end.text.startswith(_END) or any(name not in known for name in inside):
            raise _edited()
        self.logins |= says
        return begin, end.at + (len(_END_OURS) + 1 if own else len(_END))


def _edited() -> Unprovable:
    return Unprovable(
        "what is ours there was edited by hand, or what it is about came in since",
        next="take it out, from # rmd to # /rmd, and give each directive marked `# rmd was` back what it was",
    )


def listing(block: Statement) -> list[Statement]:
    """What in it says that a folder is listed, at any depth."""
    return [one for one in block.all_inside() if one.name == LISTING and one.args == ("on",)]


def _is_server(one: Statement) -> bool:
    return one.name == "server" and one.close >= 0 and one.within in ((), ("http",))


def _server(block: Statement) -> Server:
    always = any(one.name == "ssl" and one.args == ("on",) for one in block.inside)
    listens = [one for one in block.inside if one.name == "listen" and one.args]
    return Server(
        block, tuple(Listen(one, _ports(one.args[0]), always or bool({"ssl", "quic"} & {*one.args})) for one in listens)
    )


def _ports(where: str) -> range | None:
    """``8443``, ``203.0.113.1:8443``, ``[::]:8443``, ``*:8000-8010``; an address alone is port 80."""
    if where.startswith("unix:"):
        return None
    found = _PORTS.fullmatch(where)
    return range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(80, 81)


def _source(text: str, one: Statement) -> str:
    """Without the ``;``."""
    return text[one.at : one.words[-1].end]
