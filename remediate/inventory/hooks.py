"""A play's ``run`` tasks and its ``notify``, read from their nodes. None: not as it must be, and already said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from remediate.inventory import fields, secrets
from remediate.inventory.document import Node
from remediate.model.hook import Hook, RunOn

#: Beside ``name``.
HOOK_KEYS = ("run", "args", "run_on", "timeout", "ignore_errors", "check_mode")
RUN_RULE = "MODULE:FUNCTION, a Nornir task such as  tickets:opened"
LONGEST = 3600
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"


def hook(name: str, keys: Mapping[str, Node]) -> Hook | None:
    run = keys["run"].string(RUN_RULE)
    if run is not None and not re.fullmatch(rf"{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}", run, re.ASCII):
        keys["run"].wrong(RUN_RULE)
        run = None
    args = _args(keys["args"]) if "args" in keys else {}
    run_on = fields.choice(keys["run_on"], RunOn) if "run_on" in keys else RunOn.PACS
    rule = f"seconds, 1 to {LONGEST}"
    timeout = keys["timeout"].integer(1, LONGEST, rule) if "timeout" in keys else 120
    ignore_errors = _flag(keys["ignore_errors"]) if "ignore_errors" in keys else False
    check_safe = "check_mode" in keys
    if check_safe and keys["check_mode"].raw is not False:
        keys["check_mode"].problem("allowed: false, where --check is to run it too; without it --check does not")
    if run is None or args is None or run_on is None or timeout is None or ignore_errors is None:
        return None
    return Hook(
        name=name,
        run=run,
        args=args,
        run_on=run_on,
        timeout=timedelta(seconds=timeout),
        ignore_errors=ignore_errors,
        check_safe=check_safe,
    )


def _args(node: Node) -> dict[str, object] | None:
    """They are in the plan and in the record, so nothing among them may be a secret."""
    keys = node.mapping()
    if keys is None:
        return None
    node.check_keys()
    for key, value in keys.items():
        if not re.fullmatch(_IDENTIFIER, key, re.ASCII):
            value.problem("is no name of a function's parameter; allowed: letters, digits and _")
    if _secret(node):
        node.problem("would put a secret into plan and record; let the function read it itself, from the environment")
        return None
    return {key: value.plain() for key, value in keys.items()}


def _secret(node: Node) -> bool:
    inner = node.raw.values() if isinstance(node.raw, dict) else node.raw if isinstance(node.raw, list) else ()
    return node.secret or any(map(_secret, inner))


def _flag(node: Node) -> bool | None:
    if not isinstance(node.raw, bool):
        node.wrong("true or false")
        return None
    return node.raw


def notify(node: Node, base: Path) -> tuple[str, ...]:
    """References to Apprise's URLs, which hold secrets; a relative path starts at ``base``."""
    found = []
    for item in node.one_or_more():
        text = item.string(secrets.REFERENCE_RULE)
        if text is None:
            continue
        if not secrets.is_reference(text):
            item.problem(f"a URL is not written here, since it holds a secret; allowed: {secrets.REFERENCE_RULE}")
            continue
        try:
            found.append(secrets.absolute(text, base))
        except secrets.Missing as missing:
            item.problem(str(missing))
    if node.raw == []:
        node.wrong(f"{secrets.REFERENCE_RULE}, or a list of these")
    return tuple(dict.fromkeys(found))
