"""``remediate approve`` on a terminal: the plan is shown, and somebody has to say yes."""

from __future__ import annotations

import json
import os
import pty
import select
from pathlib import Path

import pytest

from remediate.model.change import Plan
from tests.change.people import People
from tests.e2e.conftest import REMEDIATE


@pytest.mark.parametrize(
    ("answer", "status"),
    [("y\n", 0), ("n\n", 2), ("\n", 2), ("\x04", 130), ("\x03", 130)],
    ids=["y", "n", "enter", "ctrl-d", "ctrl-c"],
)
def test_somebody_has_to_say_yes(tmp_path: Path, answer: str, status: int) -> None:
    people = People(tmp_path)
    key = people.add("alice")
    signers = (str(people.allowed_signers),)
    plan = Plan(tool="0", playbook="/book.yaml", inventory="/i", inputs={}, waves=(), allowed_signers=signers)
    (tmp_path / "plan.json").write_text(json.dumps(plan.model_dump(mode="json")))
    argv = [str(REMEDIATE), "approve", str(tmp_path / "plan.json"), "--key", str(key)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)  # noqa: S606 -- a terminal of its own, no shell
    shown = b""
    asked = False
    while True:
        if asked and not select.select([terminal], [], [], 5)[0]:
            os.write(terminal, answer.encode())  # Python misses a Ctrl-C that comes just before it begins to read
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux ends a terminal whose other side is gone
            break
        shown += part
        if not asked and b"approve this plan?" in shown:
            os.write(terminal, answer.encode())
            asked = True
        if not part:
            break
    os.close(terminal)
    _, ended = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(ended) == status, shown.decode()
    assert plan.digest[:12].encode() in shown[: shown.index(b"approve this plan?")]
    assert (tmp_path / "plan.json.approval").exists() is (status == 0)
