"""Nornir runner plugin: coroutine tasks on one long-lived loop, ordinary tasks in threads.

Whatever happens, there is a result for every host: a deadline that passed, a cancel, a task that broke in a way
Nornir does not catch, each is a failed Result. A thread is joined before its result is given, since it may still
be writing to a device.
"""

from remediate.runner.limits import Cancellation, deadline
from remediate.runner.loop import CoroutineTask
from remediate.runner.plugin import LoopRunner, run

__all__ = ["Cancellation", "CoroutineTask", "LoopRunner", "deadline", "run"]
