"""The command line of a tree, without its imports each time: ``python prompt.py TREE``.

Everything is imported once, of whatever tree stands first on the path. Each line on standard input is a command
(JSON: ``argv``, ``env``, ``cwd``, ``out``, ``err``); a child is forked for it, and calls what the program's console
script calls. One line says its process id, another one how it ended. A process of its own, in no package: it must run
beside any tree.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import sys
import traceback
from typing import Any

#: What a command imports when it runs.
_MODULES = (
    "change.change", "change.planning", "change.approval", "change.notice", "change.own_code", "change.hooks",
    "change.replaying", "inventory", "playbook", "platforms", "probes", "record", "render", "report.tables",
    "report.busy", "report.console", "vantages",
)  # fmt: skip


def _knobs() -> None:
    """A tree from before ``change.patience`` is told in its own words."""
    with contextlib.suppress(ImportError):
        importlib.import_module("remediate.change.patience")
        return
    looking: Any = importlib.import_module("remediate.change.looking")
    looking.PATIENCE = float(os.environ["REMEDIATE_PATIENCE"])
    looking.DEADLINE = float(os.environ["REMEDIATE_LOOK_DEADLINE"])


def _child(command: dict[str, Any]) -> None:
    """Never returns."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, path, flags in (
            (0, "/dev/null", os.O_RDONLY),
            (1, command["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (2, command["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ):
            handle = os.open(path, flags, 0o600)
            os.dup2(handle, number)
            os.close(handle)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)
        os.environ.update(command["env"])
        os.chdir(command["cwd"])
        sys.argv = ["remediate", *command["argv"]]
        try:
            status = importlib.import_module("remediate.cli").main() or 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        sys.stdout.flush()
    except BaseException:  # as the interpreter itself would
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    _knobs()
    for name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"remediate.{name}")
    platforms = importlib.import_module("remediate.platforms")
    for name in ("cisco_ios", "linux_nftables"):
        platforms.platform(name)
    importlib.import_module("remediate.cli.app")
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say(ready=True, tree=os.path.dirname(importlib.import_module("remediate").__file__ or ""))  # noqa: PTH120
    buffer = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            with contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    _say(ended=ended[0], status=os.waitstatus_to_exitcode(ended[1]))
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                return
            *lines, buffer = (buffer + more).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    _child(json.loads(line))
                _say(began=pid)


if __name__ == "__main__":
    main()
