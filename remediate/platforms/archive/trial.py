"""What a product says by itself of the files on its host: of those that it runs with, and of a new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from remediate.model.device import ConfigFile


def _nothing(config: ConfigFile) -> tuple[str, ...]:  # noqa: ARG001 -- as `given`
    return ()


def _fine(config: ConfigFile, said: str) -> tuple[str, ...]:  # noqa: ARG001 -- as `told`
    return ()


class Trial(NamedTuple):
    """POSIX shell, run as root.

    ``check``: beside the staged files, with the file itself as ``$file``: fails, with the product's words, where it
    would not start with ``new`` in that place. It changes nothing.
    ``asks``: with the file as $1 and what is ``given`` behind it; ``told`` says what in its output is in the way of a
    change. The output may hold secrets, and is not kept.
    """

    check: str
    asks: str = ""
    given: Callable[[ConfigFile], tuple[str, ...]] = _nothing
    told: Callable[[ConfigFile, str], tuple[str, ...]] = _fine
