"""Playbooks: which PACS, in which waves, what is applied to them, and from where it is looked at.

The words are Ansible's; what a playbook cannot say, it does not accept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from remediate.errors import PlaybookError
from remediate.inventory import fields, hooks, schedule
from remediate.inventory.document import KeyPath, Node, Problems, Source, flat, key_path, parse
from remediate.model.change import OnUnknown
from remediate.model.site import IPAddress
from remediate.playbook import steps
from remediate.playbook.play import DEFAULT_REVERT_IN, SERIAL_RULE, Apply, Play, Playbook, Verify, is_serial, waves
from remediate.playbook.variables import OURS, given_vars, parse_duration, play_vars, span

__all__ = ["DEFAULT_REVERT_IN", "Apply", "Play", "Playbook", "Verify", "load", "parse_duration", "source", "waves"]

HOSTS_RULE = "a pattern such as  pacs  or  pacs-north,!pacs-south"
SOAK_RULE = 'seconds, or a text such as "90s", "10m", "24h"; at most 336 hours'
LONGEST_SOAK = timedelta(days=14)

PLAY_KEYS = (
    "name",
    "hosts",
    "first",
    "serial",
    "soak",
    "max_fail_percentage",
    "on_unknown",
    "accept",
    "accept_unseen",
    "window",
    "approval",
    "notify",
    "vars",
    "tasks",
)


def load(
    path: Path,
    extra_vars: Mapping[str, str] | None = None,
    *,
    controls: Collection[str] | None = None,
    vantages: Collection[str] | None = None,
) -> Playbook:
    """Reads and checks a playbook. ``extra_vars`` (``-e key=value``) win over the ``vars`` of every play.

    ``controls``, ``vantages``: the names that there are; None: not checked.
    Raises PlaybookError with everything that is wrong.
    """
    data = _bytes(path)
    problems = Problems()
    given = given_vars(extra_vars or {}, problems)
    root = parse(data, Source(path.name, problems, _place))
    read = _Reader(given, controls, vantages, Path(path).expanduser().absolute().parent)
    plays = _plays(root, read) if root is not None else []
    if problems:
        lines = problems.lines()
        count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise PlaybookError(
            f"the playbook has {count}", lines, where=str(path), next="mend that; nothing was asked or changed"
        )
    return Playbook(
        path=str(path),
        digest=hashlib.sha256(data).hexdigest(),
        text=_text(root),
        plays=tuple(play for play in plays if play is not None),
    )


def source(path: Path) -> tuple[str, str]:
    """The digest and the text of a playbook, whatever is wrong in it. Raises PlaybookError if it cannot be read."""
    data = _bytes(path)
    return hashlib.sha256(data).hexdigest(), _text(parse(data, Source(path.name, Problems(), _place)))


def _bytes(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PlaybookError(
            "the playbook cannot be read", [reason], where=str(path), next="give a playbook's file"
        ) from error


def _text(root: Node | None) -> str:
    """A user's own variables may be secrets, and nothing of ours reads them."""
    plain = root.plain() if root is not None else None
    for play in plain if isinstance(plain, list) else ():
        given = play.get("vars") if isinstance(play, dict) else None
        if isinstance(given, dict):
            play["vars"] = {key: value if key in OURS else "(yours)" for key, value in given.items()}
    return "\n".join(flat(plain))


def _place(path: KeyPath) -> str:
    """``play 1: task 2: verify.from[0]``"""
    words = []
    rest = path
    if rest and isinstance(rest[0], int):
        words.append(f"play {rest[0] + 1}")
        rest = rest[1:]
        if len(rest) > 1 and rest[0] == "tasks" and isinstance(rest[1], int):
            words.append(f"task {rest[1] + 1}")
            rest = rest[2:]
    return ": ".join([*words, *([key_path(rest)] if rest else [])])


@dataclass(frozen=True)
class _Reader:
    """``given``: the variables of the command line; ``base``: what relative paths start from."""

    given: dict[str, Any]
    controls: Collection[str] | None
    vantages: Collection[str] | None
    base: Path


def _plays(root: Node, read: _Reader) -> list[Play | None]:
    if root.raw is None or root.raw == []:
        root.problem("no play is in it; allowed: at least one, such as  - name: ...")
        return []
    plays = [_play(node, read) for node in root.items("a list of plays") or []]
    if len(plays) > 1 and any(play is not None and play.reported for play in plays):
        root.problem("a play with reported beside others; allowed: it alone")
    return plays


def _play(node: Node, read: _Reader) -> Play | None:
    keys = node.mapping(PLAY_KEYS, required=("name", "hosts", "tasks"))
    if keys is None:
        return None
    found: dict[str, Any] = {
        "name": keys["name"].string() if "name" in keys else None,
        "hosts": keys["hosts"].string(HOSTS_RULE) if "hosts" in keys else None,
        "tasks": steps.tasks(keys["tasks"], read.controls, read.vantages) if "tasks" in keys else (),
    }
    optional: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "first": ("first", lambda one: one.string(HOSTS_RULE)),
        "serial": ("serial", _serial),
        "soak": ("soak", _soak),
        "max_fail_percentage": ("max_fail_percentage", _percentage),
        "on_unknown": ("on_unknown", lambda one: fields.choice(one, OnUnknown)),
        "accept_unseen": ("accept_unseen", _names),
        "window": ("window", schedule.window),
        "approval": ("allowed_signers", lambda one: _approval(one, read.base)),
        "notify": ("notify", lambda one: hooks.notify(one, read.base)),
    }
    found |= {field: reader(keys[key]) for key, (field, reader) in optional.items() if key in keys}
    if "accept" in keys:
        found["accept"], found["accept_simulated"] = _accept(keys["accept"])
    found["vars"], found["revert_in"], reported = play_vars(keys.get("vars"), read.given, read.base)
    if reported is not None and any(not isinstance(task, Verify) for task in found["tasks"]):
        node.problem("reported beside other tasks; allowed: a verify task, since such a play only looks")
    if any(found[field] is None for field in found) or not found["tasks"] or not found.get("serial", True):
        return None
    return Play(**found, reported=reported)


def _soak(node: Node) -> timedelta | None:
    found = span(node.raw)
    if found is None or not timedelta(0) <= found <= LONGEST_SOAK:
        node.wrong(SOAK_RULE)
        return None
    return found


def _accept(node: Node) -> tuple[tuple[IPAddress, ...], tuple[str, ...]]:
    """Addresses, and names of peers."""
    addresses: list[IPAddress] = []
    peers: list[str] = []
    for item in node.one_or_more():
        if fields.is_peer_name(item.raw):
            peers.append(item.raw)
        elif (address := fields.address(item)) is not None:
            addresses.append(address)
    return tuple(addresses), tuple(peers)


def _names(node: Node) -> tuple[str, ...]:
    names = [fields.name(item) for item in node.one_or_more()]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _approval(node: Node, base: Path) -> str | None:
    keys = node.mapping(("allowed_signers",), required=("allowed_signers",))
    return fields.path(keys["allowed_signers"], base) if keys else None


def _serial(node: Node) -> tuple[int | str, ...]:
    if node.raw == []:
        node.wrong(SERIAL_RULE)
    for item in node.one_or_more():
        if not is_serial(item.raw):
            item.wrong(SERIAL_RULE)
    return tuple(item.raw for item in node.one_or_more() if is_serial(item.raw))


def _percentage(node: Node) -> float | None:
    if isinstance(node.raw, bool) or not isinstance(node.raw, int | float) or not 0 <= node.raw <= 100:
        node.wrong("a number from 0 to 100, without %")
        return None
    return float(node.raw)
