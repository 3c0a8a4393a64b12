"""What of a configuration of nginx must not leave its host: headers, tokens and passwords that stand in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from remediate.platforms.nginx.statements import Statement, Word, parsed

MASK = "********"
_SECRET = re.compile(r"passw|passphrase|secret|token|api.?key|credential|authorization|^cookie$", re.IGNORECASE)
_GIVEN = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{6,}")
#: User and password in a URL.
_IN_URL = re.compile(r"://[^/\s\"@]*@")
#: Variables and operators, which are no secrets.
_OPEN = re.compile(r"(\$\w+|\$\{\w+\}|[()=!~*])+")


def masked(text: str) -> str:
    """Raises Unprovable for a text that nginx would not read."""
    tree = parsed(text)
    hidden = {word.at: (word, new) for one in tree.statements for word, new in _hidden(one, within=False)}
    hidden |= {
        comment.at: (comment, f"# {MASK}")
        for comment in tree.comments
        if not comment.text.startswith(("# rmd", "# /rmd"))
        and any(kind.search(comment.text) for kind in (_SECRET, _GIVEN, _IN_URL))
    }
    for at in sorted(hidden, reverse=True):
        word, new = hidden[at]
        text = text[:at] + new + text[word.end :]
    return text


def _hidden(one: Statement, *, within: bool) -> Iterator[tuple[Word, str]]:
    """``within``: of a block that is about a secret, as a map of tokens is."""
    about = within or bool(_SECRET.search(one.name))
    if within and one.name != "default":
        yield one.words[0], f'"{MASK}"'
    for word in one.words[1:]:
        value = word.value
        if about and not value.startswith("/") and not _OPEN.fullmatch(value):
            yield word, f'"{MASK}"' + (")" if word.text.endswith(")") else "")
        elif _GIVEN.search(value):
            yield word, f'"{MASK}"'
        elif _IN_URL.search(value):
            yield word, _IN_URL.sub(f"://{MASK}@", word.text)
        about = about or (not value.startswith("/") and bool(_SECRET.search(value)))
    for inner in one.inside:
        yield from _hidden(inner, within=about and one.name in ("map", "geo"))
