"""The command line: parse, call, print, exit status. Heavy imports stand in the commands that need them."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import textwrap
from pathlib import Path

#: These log, traceback and all, what they also raise; raised, it becomes one message of ours.
_TWICE_SAID = ("apprise", "asyncssh", "netmiko", "nornir", "paramiko")

#: Python looks for cycles after each 700 objects more; what imports make, more than 60,000, stays.
_COLLECTED = 50_000, 20, 100


def main() -> None:
    """Entry point: an error of ours is one message and its exit status, never a traceback."""
    _have_standard_streams()
    gc.set_threshold(*_COLLECTED)
    # Or pydantic reads the entry points of every installed distribution, for plugins that nobody here asks for.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    from remediate.cli.app import app
    from remediate.errors import EXIT_INTERRUPTED, RemediateError

    for name in _TWICE_SAID:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    try:
        app(prog_name="remediate")
    except RemediateError as error:
        sys.stderr.write(_fitted(f"error: {error}") + "\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(EXIT_INTERRUPTED)
    finally:
        gc.freeze()  # or Python, at its end, looks for cycles in all of it once more: a fifth of a second


def _have_standard_streams() -> None:
    """One that was closed (``>&-``) leads nowhere; or the next file that is opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 -- as long as the program


def _fitted(text: str) -> str:
    """On a terminal broken between words, continued under the line's own indentation; elsewhere as it is."""
    if not sys.stderr.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip(" -")))
        # a path or a host name stays whole, to be copied
        wrapped = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        lines += wrapped or [""]
    return "\n".join(lines)
