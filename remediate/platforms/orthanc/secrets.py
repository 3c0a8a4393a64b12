"""What of a configuration must not leave its host: passwords and keys stand in it as they are typed."""

from __future__ import annotations

import re

from remediate.platforms.orthanc.document import Document, Path

MASK = "********"
_PEM = "-----BEGIN"
#: Keys whose value is a secret, in Orthanc and its plugins. Under the last three every value may be one: passwords by
#: user, and other servers in short as [URL, user, password].
_SECRET = re.compile(
    r"pass(word|phrase)|secret|token|(private|access|account|api|encryption).?key|credential|authorization|httpheaders"
    r"|connection.?string|^pin$|^registeredusers$|^orthancpeers$|^servers$",
    re.IGNORECASE,
)
#: User and password in a URL.
_IN_URL = re.compile(r"://[^/\s\"@]*@")
#: Peers by name, with nothing secret in an entry whatever the name is; and the path of a file, not a key.
_NEVER = ("DicomModalities", "DicomTlsPrivateKey")


def masked(text: str) -> str:
    """The document with every secret replaced, those in comments too; objects keep their keys."""
    return Document(text).replaced(_secret, f'"{MASK}"').with_comments(_commented).text


def _secret(path: Path, raw: str) -> bool:
    if path[0] in _NEVER and _PEM not in raw:
        return False
    # An array may hold objects, whose own keys stand in its text.
    return any(map(_SECRET.search, path)) or bool(_IN_URL.search(raw)) or (raw[0] == "[" and _words(raw))


def _words(raw: str) -> bool:
    return any(_SECRET.search(key) for key in re.findall(r'"([^"]*)"\s*:', raw))


def _commented(text: str) -> bool:
    """Whether a run of comments must not be shown: a section that somebody has commented out, password and all."""
    return bool(_IN_URL.search(text)) or any(
        re.search(_SECRET.pattern.replace("^", r"\b").replace("$", r"\b"), line, re.IGNORECASE)
        for line in text.splitlines()
    )
