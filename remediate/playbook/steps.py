"""The tasks of a play, and the order in which they may stand."""

from __future__ import annotations

from collections.abc import Collection

from remediate.inventory import fields, hooks
from remediate.inventory.document import Node
from remediate.model.hook import Hook
from remediate.playbook.play import Apply, Verify

TASK_KEYS = ("name", "apply", "mode", "verify", *hooks.HOOK_KEYS)
#: The control that can note who would be denied.
OBSERVING = "acl"


def tasks(
    node: Node, controls: Collection[str] | None, vantages: Collection[str] | None
) -> tuple[Apply | Verify | Hook, ...]:
    items = node.items("a list of tasks")
    if items == []:
        node.problem("no task; allowed: apply tasks, and a verify task after them")
    found: list[Apply | Verify | Hook] = []
    verify: Node | None = None
    between: Node | None = None
    applied: set[str] = set()
    for item in items or []:
        keys = item.mapping(TASK_KEYS, required=("name",))
        if keys is None:
            continue
        name = keys["name"].string() if "name" in keys else None
        kinds = [kind for kind in ("apply", "run", "verify") if kind in keys]
        if len(kinds) != 1:
            item.problem(f"found {' and '.join(kinds) or 'neither'}; allowed: exactly one of apply, run and verify")
            continue
        if kinds != ["run"] and (stray := [key for key in hooks.HOOK_KEYS if key in keys]):
            keys[stray[0]].problem(f"belongs to a run task; this is {kinds[0]}")
        if "run" in keys:
            if "mode" in keys:
                keys["mode"].problem("a run task has no mode")
            if applied and verify is None:
                between = between or item
            if (hook := hooks.hook(name or "", keys)) is not None and name is not None:
                found.append(hook)
            continue
        if between is not None:
            between.problem(f"run before the {kinds[0]} on line {item.line}, after an apply: {_ARMED}")
            between = None
        if "verify" in keys:
            if "mode" in keys:
                keys["mode"].problem("a verify task has no mode")
            if verify is not None:
                item.problem(f"a second verify, after the one on line {verify.line}; allowed: one in a play")
            verify = item
            places = _from(keys["verify"], vantages)
            if name is not None and places:
                found.append(Verify(name=name, vantages=places))
            continue
        if verify is not None:
            item.problem(f"apply after the verify on line {verify.line}: nothing would look at what it does")
        control = _control(keys["apply"], controls)
        if control in applied:
            keys["apply"].problem(f"{control} stands twice")
        if control is not None:
            applied.add(control)
        observe = "mode" in keys and _observe(keys["mode"], control)
        if name is not None and control is not None:
            found.append(Apply(name=name, control=control, observe=observe))
    applies = [task for task in found if isinstance(task, Apply)]
    if not applied and any(isinstance(task, Hook) for task in found):
        node.problem("run in a play that applies nothing; allowed: before or after a push")
    if len(applies) > 1 and any(task.observe for task in applies):
        node.problem("mode: observe beside another apply; allowed: it alone, since it closes nothing")
    return tuple(found)


#: Where no step of people's own may stand.
_ARMED = "a revert timer runs there; allowed: before the first apply, and at the end"


def _observe(node: Node, control: str | None) -> bool:
    if node.raw != "observe":
        node.wrong("observe")
    elif control not in (OBSERVING, None):
        node.problem(f"{control} cannot observe; allowed with: apply: {OBSERVING}")
    return True


def _control(node: Node, controls: Collection[str] | None) -> str | None:
    control = fields.name(node)
    if control is None or controls is None:
        return control
    return control if fields.check_name(node, control, controls, "control") else None


def _from(node: Node, vantages: Collection[str] | None) -> tuple[str, ...]:
    keys = node.mapping(("from",), required=("from",))
    if not keys:
        return ()
    if keys["from"].raw == []:
        keys["from"].problem("no vantage; allowed: at least one")
    found = fields.names(keys["from"], "a list of vantages")
    if vantages is not None:
        found = [(item, name) for item, name in found if fields.check_name(item, name, vantages, "vantage")]
    return tuple(name for _, name in found)
