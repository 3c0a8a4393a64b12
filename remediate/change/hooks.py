"""People's own steps around a wave's push: run, journalled, never twice in a change, never while a timer runs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nornir.core import Nornir
from nornir.core.inventory import Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.state import GlobalState
from nornir.core.task import MultiResult, Result, Task

from remediate import runner, tasks
from remediate.change import own_code
from remediate.change.devices import Means, Progress
from remediate.change.machine import IN_FLIGHT
from remediate.change.masking import Mask
from remediate.errors import HookFailed, Interrupted, RemediateError
from remediate.inventory import Loaded
from remediate.model.change import Entry, Plan, State, Wave
from remediate.model.hook import Hook, RunOn, When

BEGAN, ENDED, FAILED = "began", "ended", "failed"
_KINDS = {"hook": BEGAN, "hook ended": ENDED}


def replayed(entry: Entry, at: Progress) -> None:
    """Where a wave's hooks stand, from one more entry."""
    if entry.kind in _KINDS:
        failed = bool(entry.data.get("failed"))
        at.hooks[_key(entry.data["hook"])] = FAILED if failed else _KINDS[entry.kind]


def before(wave: Wave, means: Means, at: Progress) -> None:
    """Raises HookFailed: nothing of the wave was pushed, and nothing may be."""
    for hook, told in _told(wave, When.BEFORE):
        stands = at.hooks.get(_key(told))
        if stands == ENDED:
            means.watch.note(f"hook {hook.name!r} ran before the interruption; it is not run again")
        elif stands is None:
            _run(hook, told, wave, means, at)
        elif not hook.ignore_errors:
            raise HookFailed(
                f"hook {hook.name!r} {_stood(stands)}, and is not run twice",
                next="nothing was pushed; see what it did, then run the playbook again",
            )
        else:
            means.watch.note(f"hook {hook.name!r} {_stood(stands)}; it is not run again (ignore_errors)")


def after(plan: Plan, progress: Mapping[int, Progress], means: Means) -> None:
    """Those of every wave that is confirmed and whose hooks have not run yet. Raises HookFailed: what is confirmed
    stays so, and nothing more is begun."""
    if any(at.state in IN_FLIGHT for at in progress.values()):
        return  # a revert timer may run
    for wave in plan.waves:
        if progress[wave.number].state is State.CONFIRMED:
            _after(wave, means, progress[wave.number])


def _after(wave: Wave, means: Means, at: Progress) -> None:
    for hook, told in _told(wave, When.AFTER):
        stands = at.hooks.get(_key(told))
        try:
            if stands is None and not means.cancellation.requested:
                _run(hook, told, wave, means, at)
            elif stands in (None, BEGAN):
                why = _stood(stands) if stands else f"was not run: {means.cancellation.reason}"
                _ended(told, wave, means, at, {}, failed=why)
                _failed(hook, means, f"hook {hook.name!r} {why}", _CONFIRMED)
            elif stands == FAILED and not hook.ignore_errors:
                raise HookFailed(f"hook {hook.name!r} of wave {wave.number} failed", next=_CONFIRMED)
        except HookFailed as error:
            left = ", ".join(repr(other.name) for other in wave.after[told["number"] :])
            raise HookFailed(error.what + (f"; not run: {left}" if left else ""), next=error.next) from error


_CONFIRMED = "the change stays confirmed; see what the step did, and do by hand what is left of it"


def rehearse(plan: Plan, loaded: Loaded) -> list[str]:
    """With ``--check``: only those that say they are safe then, as Nornir's dry run; one line for each host.

    Raises HookFailed.
    """
    loop = runner.LoopRunner()
    nornir = tasks.framework(loaded.nornir, loaded.site, loop)
    try:
        return _rehearsed(plan, nornir)
    finally:
        nornir.close_connections(on_good=True, on_failed=True)
        loop.close()


def _rehearsed(plan: Plan, nornir: Nornir) -> list[str]:
    lines = []
    for wave in plan.waves:
        for hook in (*wave.before, *wave.after):
            if not hook.check_safe:
                lines.append(f"hook {hook.name!r} is not run with --check")
                continue
            own_code.check_unchanged(hook, plan)
            found, failed = _call(hook, wave, Path(plan.playbook).parent, nornir, dry_run=True)
            lines += [f"hook {hook.name!r} on {name}: {one['result']}" for name, one in found.items()]
            if failed and not hook.ignore_errors:
                raise HookFailed(f"hook {hook.name!r} failed: {failed}", next="mend it; nothing was changed")
    return lines


def _told(wave: Wave, when: When) -> Iterator[tuple[Hook, dict[str, Any]]]:
    """Each with what entries say of it."""
    for number, hook in enumerate(wave.before if when is When.BEFORE else wave.after, start=1):
        yield hook, {"when": when, "number": number, "name": hook.name, "run": hook.run}


def _key(told: Mapping[str, Any]) -> str:
    return f"{told['when']} {told['number']}"


def _stood(stands: str) -> str:
    if stands == FAILED:
        return "failed before the interruption"
    return "began before the interruption, and whether it finished is not known"


def _run(hook: Hook, told: dict[str, Any], wave: Wave, means: Means, at: Progress) -> None:
    hosts = _hosts(hook, wave)
    means.watch.stage(wave.number, "hook", f"{hook.name} ({hook.run}) on {', '.join(hosts)}")
    means.journal.append("hook", {"wave": wave.number, "hook": told, "hosts": list(hosts)})
    at.hooks[_key(told)] = BEGAN
    try:
        own_code.check_unchanged(hook, means.plan)
        results, failed = _call(hook, wave, Path(means.plan.playbook).parent, means.nornir)
    except RemediateError as error:
        results, failed = {}, error.what
    _ended(told, wave, means, at, results, failed=failed)
    if means.cancellation.requested and told["when"] == When.BEFORE:
        raise Interrupted(means.cancellation.reason)
    if failed:
        pushed = "nothing was pushed; mend the step, and run again"
        next_step = pushed if told["when"] == When.BEFORE else _CONFIRMED
        _failed(hook, means, f"hook {hook.name!r} failed: {failed}", next_step)


def _ended(
    told: dict[str, Any], wave: Wave, means: Means, at: Progress, results: dict[str, Any], *, failed: str
) -> None:
    means.journal.append(
        "hook ended", {"wave": wave.number, "hook": told, "results": results, **({"failed": failed} if failed else {})}
    )
    at.hooks[_key(told)] = FAILED if failed else ENDED


def _failed(hook: Hook, means: Means, what: str, next_step: str) -> None:
    means.watch.alarm(what)
    if not hook.ignore_errors:
        raise HookFailed(what, next=next_step)


def _hosts(hook: Hook, wave: Wave) -> tuple[str, ...]:
    return wave.pacs if hook.run_on is RunOn.PACS else tuple(c.device for c in wave.candidates)


def _call(hook: Hook, wave: Wave, folder: Path, nornir: Nornir, *, dry_run: bool = False) -> tuple[dict[str, Any], str]:
    """What the record keeps of each host, and why it failed; "" where it did not on any."""
    hosts = _hosts(hook, wave)
    if not hosts:
        return {}, ""
    function = own_code.load(hook, folder)
    if not ConnectionPluginRegister.available.keys() - {"remediate"}:
        ConnectionPluginRegister.auto_register()
    mask = Mask.of(nornir.inventory)
    own = _apart(nornir, dry_run=dry_run)
    try:
        found = runner.run(own, _step(hook, function), hosts=hosts)
    finally:
        own.close_connections(on_good=True, on_failed=True)
    results = {name: _kept(one, mask) for name, one in found.items()}
    failed = [f"{name}: {one['result']}" for name, one in results.items() if one["failed"]]
    return results, "; ".join(failed)


def _step(hook: Hook, function: Callable[..., Any]) -> Callable[..., Any]:
    step: Callable[..., Any]
    if inspect.iscoroutinefunction(function):

        async def step(task: Task) -> Any:
            return await function(task, **hook.args)
    else:

        def step(task: Task) -> Any:
            return function(task, **hook.args)

    step.__name__ = hook.function
    return runner.deadline(hook.timeout.total_seconds())(step)


def _apart(nornir: Nornir, *, dry_run: bool) -> Nornir:
    """Connections of its own: a step that closes one, or leaves it in a strange mode, does not touch ours."""
    hosts = {name: copy.copy(host) for name, host in nornir.inventory.hosts.items()}
    for host in hosts.values():
        host.connections = {}
    inventory = Inventory(Hosts(hosts), nornir.inventory.groups, nornir.inventory.defaults)
    return Nornir(inventory, config=nornir.config, data=GlobalState(dry_run=dry_run), runner=nornir.runner)


def _kept(found: MultiResult, mask: Mask) -> dict[str, Any]:
    first: Result = found[0]
    value = mask.text(_words(first.exception)) if first.failed and first.exception else mask.value(first.result)
    return {"failed": bool(found.failed), "changed": bool(found.changed), "result": value}


def _words(error: BaseException) -> str:
    """Without its traceback, which shows code and may show values."""
    if isinstance(error, RemediateError):
        return error.what
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
