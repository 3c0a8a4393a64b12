"""The command line: parse, call, print, exit status. Heavy imports stand in the commands that need them."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: an error of ours is one message and its exit status, never a traceback."""
    from remediate.cli.app import app
    from remediate.errors import EXIT_INTERRUPTED, RemediateError

    try:
        app()
    except RemediateError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(EXIT_INTERRUPTED)
