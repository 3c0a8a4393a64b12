"""What a plan was made of, and what of that has changed since.

A plan carries everything that it renders. If the inventory, the playbook or a template has changed, it is no longer
what a new plan would be, and must not be run as if it were.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from difflib import unified_diff
from pathlib import Path

from remediate import playbook as playbooks
from remediate.change import own_code
from remediate.errors import DriftError, PlaybookError
from remediate.inventory import Loaded
from remediate.model.base import sha256
from remediate.model.change import Plan
from remediate.model.hook import Hook
from remediate.playbook import Playbook
from remediate.render import Renderer

_INVENTORY, _PLAYBOOK, _TEMPLATE, _DEVICE = "inventory", "playbook", "template ", "device "
#: Of each difference this many lines are shown.
_MOST_LINES = 60


def inputs(loaded: Loaded, playbook: Playbook, renderer: Renderer) -> tuple[dict[str, str], dict[str, str]]:
    """The hashes and the texts for the plan, once everything is rendered."""
    used = {f"{_TEMPLATE}{name}": source for name, source in sorted(renderer.used.items())}
    hooks = [task for play in playbook.plays for task in play.tasks if isinstance(task, Hook)]
    own = own_code.sources(hooks, Path(playbook.path).absolute().parent)
    digests = {name: sha256(source) for name, source in used.items()}
    texts = {name: packed(text) for name, text in ({_INVENTORY: loaded.text, _PLAYBOOK: playbook.text} | used).items()}
    # Not the texts of people's own modules: nobody knows what is in there.
    digests |= {own_code.key(module): sha256(text) for module, text in sorted(own.items())}
    return {_INVENTORY: loaded.digest, _PLAYBOOK: playbook.digest, **digests}, texts


def devices(running: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The texts of what the devices run; drivers have taken the secrets out of it."""
    return {f"{_DEVICE}{name}": packed(running[name]) for name in names}


def planned_for(plan: Plan, device: str) -> str | None:
    """What the device ran when the plan was made."""
    text = plan.texts.get(f"{_DEVICE}{device}")
    return None if text is None else unpacked(text)


def check(plan: Plan, loaded: Loaded, where: str) -> None:
    """Raises DriftError with what has changed, and how, since the plan was made."""
    own = own_code.sources(own_code.hooks_of(plan), Path(plan.playbook).parent)
    modules = {own_code.key(module): (sha256(text), text) for module, text in own.items()}
    now = {_INVENTORY: (loaded.digest, loaded.text), _PLAYBOOK: _playbook(plan), **_templates(plan), **modules}
    changed = {name: text for name, (digest, text) in now.items() if plan.inputs.get(name) != digest}
    if not changed:
        return
    names = [f"the {name}" for name in changed]
    said = f"{', '.join(names[:-1])} and {names[-1]} have" if len(names) > 1 else f"{names[0]} has"
    differences = [_difference(name, plan.texts.get(name), text) for name, text in changed.items()]
    raise DriftError(
        f"{said} changed since the plan was made" + "".join(f"\n{one}" for one in differences if one),
        where=where,
        next="plan again",
    )


def _playbook(plan: Plan) -> tuple[str, str]:
    try:
        return playbooks.source(Path(plan.playbook))
    except PlaybookError:  # it is not there any more: that is a change too
        return "", ""


def _templates(plan: Plan) -> dict[str, tuple[str, str]]:
    folder = Path(plan.templates) if plan.templates is not None else None
    renderer = Renderer(folder if folder is not None and folder.is_dir() else None)
    names = [name for name in plan.inputs if name.startswith(_TEMPLATE)]
    sources = {name: renderer.source(name.removeprefix(_TEMPLATE)) for name in names}
    return {name: ("", "") if found is None else (sha256(found), found) for name, found in sources.items()}


def _difference(name: str, planned: str | None, now: str) -> str:
    if planned is None:
        return ""
    lines = difference(unpacked(planned), now, f"{name}, as planned", f"{name}, now")
    return lines or f"  {name}: what is shown of it is the same: comments, layout, logins or data of your own differ"


def difference(old: str, new: str, old_label: str, new_label: str) -> str:
    """Unified; long ones are cut, and say so."""
    lines = list(unified_diff(old.splitlines(), new.splitlines(), old_label, new_label, "", "", 1, ""))
    left = len(lines) - _MOST_LINES
    return "\n".join([*lines[:_MOST_LINES], *([f"... and {left} lines more"] if left > 0 else [])])


def packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> str:
    """Nothing for what is no packed text: a plan may come from anywhere, and this is only for showing."""
    try:
        return zlib.decompress(base64.b64decode(text)).decode()
    except (ValueError, zlib.error):
        return ""
