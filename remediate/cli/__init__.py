"""The command line: parse, call, print, exit status. Heavy imports stand in the commands that need them."""

from __future__ import annotations

import logging
import sys

#: These log, traceback and all, what they also raise; raised, it becomes one message of ours.
_TWICE_SAID = ("asyncssh", "netmiko", "nornir", "paramiko")


def main() -> None:
    """Entry point: an error of ours is one message and its exit status, never a traceback."""
    from remediate.cli.app import app
    from remediate.errors import EXIT_INTERRUPTED, RemediateError

    for name in _TWICE_SAID:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    try:
        app(prog_name="remediate")
    except RemediateError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(EXIT_INTERRUPTED)
