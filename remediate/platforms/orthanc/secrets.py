"""What of a configuration must not leave its host: passwords and keys stand in it as they are typed."""

from __future__ import annotations

import re

from remediate.platforms.orthanc.document import Document

MASK = "********"
#: Keys whose value is a secret, in Orthanc and its plugins; below ``RegisteredUsers`` every value is a password.
_SECRET = re.compile(r"password|secret|token|private.?key|registeredusers|authorization|httpheaders", re.IGNORECASE)


def masked(text: str) -> str:
    """The document with every secret replaced; objects keep their keys. Lists of strings may hold one at any place."""
    document = Document(text)
    return document.replaced(lambda path: any(_SECRET.search(key) for key in path), f'"{MASK}"').text
