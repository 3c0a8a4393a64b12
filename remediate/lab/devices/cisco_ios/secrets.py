"""Passwords as IOS stores them: ``secret 8`` is PBKDF2-SHA256, 20,000 rounds, in Cisco's base 64."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CISCO = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 20_000


def hashed(password: str, salt: str | None = None) -> str:
    salt = salt or "".join(secrets.choice(_CISCO) for _ in range(14))
    raw = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ROUNDS)
    text = base64.b64encode(raw).decode().rstrip("=").translate(str.maketrans(_STANDARD, _CISCO))
    return f"$8${salt}${text}"


def stored(kind: str, cursor_words: str) -> str:
    """``secret 0 x`` and ``secret x`` become ``secret 8 …``; a hash, and ``password``, stay as they are.

    ValueError for a hash of a type that could not be checked at a login.
    """
    level, _, rest = cursor_words.partition(" ")
    if not rest:
        level, rest = "0", cursor_words
    if kind == "secret" and level == "0":
        return f"secret 8 {hashed(rest)}"
    if (kind, level) not in (("secret", "8"), ("password", "0")):
        raise ValueError(level)
    return f"{kind} {level} {rest}"


def fits(stored_text: str, password: str) -> bool:
    kind, level, text = stored_text.split(" ", 2)
    if (kind, level) == ("secret", "8"):
        salt = text.split("$")[2]
        return hmac.compare_digest(hashed(password, salt), text)
    return hmac.compare_digest(text.encode(), password.encode())
