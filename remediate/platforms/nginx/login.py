"""What in the servers of nginx would let somebody in past the password, or keep everybody out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from remediate.model.rule import WebLoginIntent
from remediate.platforms.nginx.document import AUTH, LISTING, SATISFY, USERS, Document, Server
from remediate.platforms.nginx.statements import Statement

#: RFC 8615: what authorities fetch there to issue a certificate (RFC 8555 8.3) is for everybody.
_WELL_KNOWN = "/.well-known/"
#: Directives of nginx's own that begin so and let nobody in by themselves.
_HARMLESS = (AUTH, USERS, "auth_delay", "auth_http")


def lock_outs(document: Document, intent: WebLoginIntent) -> tuple[str, ...]:
    wrong = [
        f"no server in it listens on port {port}: name the file in which that server stands in config.file"
        for port in intent.ports
        if not document.on(port)
    ]
    for server in _servers(document, intent):
        wrong += _own(server, intent)
        wrong += ways_past(server.statement.inside)
    return tuple(dict.fromkeys(wrong))


def remarks(document: Document, intent: WebLoginIntent) -> tuple[str, ...]:
    said = []
    if len(servers := _servers(document, intent)) > 1:
        lines = ", ".join(str(server.statement.line) for server in servers)
        said.append(f"{len(servers)} servers listen there, and each will ask for a password: those in lines {lines}")
    for server in servers:
        for one in server.plain(intent.ports):
            line = one.statement.line
            if intent.certificate is None:
                said.append(
                    f"passwords can be read on the way: line {line} listens without ssl; give it a certificate and its "
                    "key in config.tls, or let only a trusted network reach it"
                )
            else:
                said.append(f"line {line} listens with HTTPS only from then on: its clients must call it by https://")
        said += [
            f"line {one.line} goes by a list of users of its own, {' '.join(one.args)}"
            for one in server.statement.all_inside()
            if one.name == USERS and one not in server.statement.inside
        ]
        said += [
            f"line {one.line} answers before anybody is asked for a password ({one.name})"
            for one in server.statement.all_inside()
            if one.name == "return"
        ]
        said += [f"line {one.line} goes on asking for none under {where}" for where, one in _open_by_right(server)]
    return tuple(dict.fromkeys(said))


def ways_past(inside: Iterable[Statement], around: tuple[Statement, ...] = ()) -> Iterator[str]:
    """``around``: the blocks in which these stand, the outermost first."""
    for one in inside:
        if one.name == AUTH and _off(one) and not _well_known(around):
            yield f"line {one.line} lets in without a password ({_said(one)}): take it out"
        elif one.name == SATISFY and one.args == ("any",):
            yield f"line {one.line} lets addresses in without a password ({_said(one)}): take it out, or make it all"
        elif one.name.startswith("auth_") and one.name not in _HARMLESS:
            yield (
                f"line {one.line} asks somebody else who may come in ({one.name}), and users would need a password "
                "here besides: leave this control out, or take it out"
            )
        yield from ways_past(one.inside, (*around, one))


def _own(server: Server, intent: WebLoginIntent) -> Iterator[str]:
    """What it says of itself, where ours would stand."""
    users = server.own(USERS)
    if users is not None and users.args != (intent.users,):
        yield (
            f"line {users.line} goes by another list of users, {' '.join(users.args)}: name that one in config.users, "
            "or take it out"
        )
    listed = server.own(LISTING)
    if listed is not None and listed.args not in (("on",), ("off",)):
        yield f"line {listed.line} is neither on nor off ({_said(listed)}): mend it"


def _servers(document: Document, intent: WebLoginIntent) -> list[Server]:
    return [server for server in document.servers if any(server.on(port) for port in intent.ports)]


def _off(one: Statement) -> bool:
    """Or nobody can tell: a variable may say so."""
    return one.args == ("off",) or any("$" in arg for arg in one.args)


def _well_known(around: tuple[Statement, ...]) -> bool:
    return any(one.name == "location" and one.args and one.args[-1].startswith(_WELL_KNOWN) for one in around)


def _open_by_right(server: Server) -> Iterator[tuple[str, Statement]]:
    for place in server.statement.all_inside():
        if _well_known((place,)):
            for one in place.all_inside():
                if one.name == AUTH and _off(one):
                    yield place.args[-1], one


def _said(one: Statement) -> str:
    return " ".join((one.name, *one.args))
