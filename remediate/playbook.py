"""Playbooks: which PACS, in which waves, what is applied to them, and from where it is looked at.

The words are Ansible's; what a playbook cannot say, it does not accept.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from remediate.errors import PlaybookError, UsageError
from remediate.inventory import fields, hooks, schedule
from remediate.inventory.document import KeyPath, Node, Problems, Source, flat, key_path, parse
from remediate.model.base import Name, Value
from remediate.model.change import OnUnknown
from remediate.model.hook import Hook, When
from remediate.model.site import IPAddress
from remediate.model.window import Window

SERIAL_RULE = 'a number of hosts (1 or more), a percentage ("1%" to "100%"), or a list of these'
HOSTS_RULE = "a pattern such as  pacs  or  pacs-north,!pacs-south"
SOAK_RULE = 'seconds, or a text such as "90s", "10m", "24h"; at most 336 hours'
DURATION_RULE = 'seconds, or a text such as "90s", "5m", "1h30m"; from 1 second to 24 hours'
#: The variables that are not the user's own.
OURS = ("revert_in", "reported")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
LONGEST = timedelta(hours=24)
DEFAULT_REVERT_IN = timedelta(minutes=5)

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
    "window",
    "approval",
    "notify",
    "vars",
    "tasks",
)
TASK_KEYS = ("name", "apply", "mode", "verify", *hooks.HOOK_KEYS)
#: The control that can note who would be denied.
OBSERVING = "acl"

Serial = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^(100|[1-9][0-9]?)%$")]


class Apply(Value):
    """A task that puts a control into force. ``observe``: it denies nothing, and notes whom it would deny."""

    name: str
    control: Name
    observe: bool = False


class Verify(Value):
    """A task that looks at the result, from ``vantages``."""

    name: str
    vantages: tuple[Name, ...]


class Play(Value):
    """``revert_in``: how long a device waits before it takes an unconfirmed change back.

    ``vantages``: from where its verify task looks; a play without one is looked at from all of them.
    ``first``: a pattern; what it selects of ``hosts`` is a wave of its own, before all others.
    ``soak``: how long a confirmed wave is left alone before the next one begins.
    ``max_fail_percentage``: of the play's hosts, 0 to 100; more failures end the change.
    ``accept``: addresses that may be cut off while they are connected, though ``access`` does not name them.
    ``accept_simulated``: peers for which the simulation is proof enough, though no vantage stands in their place.
    ``allowed_signers``: an absolute path; the people who may approve (ssh-keygen(1), ALLOWED SIGNERS). None: no
    approval is asked for.
    ``reported``: an absolute path; a list of addresses, and the play only asks whether those are still open.
    ``notify``: references to the URLs that are told how a change ends.
    ``vars``: the user's own; JSON values only. Kept, and read by nothing of ours.
    """

    name: str
    hosts: str
    first: str | None = None
    serial: Annotated[tuple[Serial, ...], Field(min_length=1)] = ("100%",)
    soak: timedelta = timedelta(0)
    window: Window | None = None
    allowed_signers: str | None = None
    max_fail_percentage: Annotated[float, Field(ge=0, le=100)] = 0
    on_unknown: OnUnknown = OnUnknown.ROLLBACK
    accept: tuple[IPAddress, ...] = ()
    accept_simulated: tuple[Name, ...] = ()
    revert_in: timedelta = DEFAULT_REVERT_IN
    reported: str | None = None
    notify: tuple[str, ...] = ()
    vars: dict[str, Any] = {}
    tasks: Annotated[tuple[Apply | Verify | Hook, ...], Field(min_length=1)]

    @property
    def controls(self) -> tuple[str, ...]:
        return tuple(task.control for task in self.tasks if isinstance(task, Apply))

    def hooks(self, when: When) -> tuple[Hook, ...]:
        """Those that stand before the first apply, or after the last and the verify."""
        first = next((n for n, task in enumerate(self.tasks) if isinstance(task, Apply)), len(self.tasks))
        chosen = self.tasks[:first] if when is When.BEFORE else self.tasks[first:]
        return tuple(task for task in chosen if isinstance(task, Hook))

    @property
    def observes(self) -> bool:
        return any(task.observe for task in self.tasks if isinstance(task, Apply))

    @property
    def vantages(self) -> tuple[str, ...]:
        return tuple(name for task in self.tasks if isinstance(task, Verify) for name in task.vantages)


class Playbook(Value):
    """``digest``: SHA-256 over the file. ``text``: what it says, a line for each value; not the values of your own
    variables."""

    path: str
    digest: str
    text: str = ""
    plays: Annotated[tuple[Play, ...], Field(min_length=1)]


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
    given = _extra_vars(extra_vars or {}, problems)
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


def parse_duration(value: str | int) -> timedelta:
    """300, "300", "300s", "5m", "1h30m". Raises UsageError for anything else and outside 1 second to 24 hours."""
    found = _duration(value)
    if found is None:
        raise UsageError(f"{value!r} is not a duration", next=f"give {DURATION_RULE}")
    return found


def waves(hosts: Sequence[str], serial: int | str | Sequence[int | str]) -> list[tuple[str, ...]]:
    """The hosts in waves, by Ansible's rule: the last entry of ``serial`` repeats until no host is left.

    A percentage is of all hosts, rounded down, and at least one. Raises UsageError when there is no host.
    """
    if not hosts:
        raise UsageError("there is no host to make waves of", next="choose other hosts")
    entries = [serial] if isinstance(serial, int | str) else list(serial)
    if not entries or not all(_is_serial(entry) for entry in entries):
        raise UsageError(f"{serial!r} is no serial", next=f"give {SERIAL_RULE}")
    sizes = [entry if isinstance(entry, int) else max(1, len(hosts) * int(entry[:-1]) // 100) for entry in entries]
    found: list[tuple[str, ...]] = []
    start = 0
    while start < len(hosts):
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append(tuple(hosts[start : start + size]))
        start += size
    return found


def _duration(value: object) -> timedelta | None:
    found = _span(value)
    return found if found is not None and timedelta(seconds=1) <= found <= LONGEST else None


def _span(value: object) -> timedelta | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = re.fullmatch(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s?)?", str(value), re.ASCII)
    if match is None or not str(value):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _is_serial(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"(100|[1-9][0-9]?)%", value, re.ASCII) is not None
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


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


def _extra_vars(given: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        if not VARIABLE.fullmatch(key):
            problems.add("-e", 0, f"found {key[:63]!r} as the name of a variable; allowed: letters, digits and _")
        elif any("\ud800" <= letter <= "\udfff" for letter in value):
            problems.add("-e", 0, f"{key}: is not UTF-8 text")
        elif key == "revert_in" and _duration(value) is None:
            problems.add("-e", 0, f"revert_in: found {value[:60]!r}; allowed: {DURATION_RULE}")
        elif hint := _misspelt_variable(key):
            problems.add("-e", 0, f"{key}: unknown variable{hint}")
        else:
            found[key] = value
    return found


def _misspelt_variable(key: str) -> str:
    """A variable may have any name, but one that is nearly ours is a slip that would leave the timer as it was."""
    near = (one for one in OURS if difflib.SequenceMatcher(None, key.lower(), one).ratio() >= 0.8)
    return "" if key in OURS else "".join(f"; did you mean {one}?" for one in near)


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
        "tasks": _tasks(keys["tasks"], read.controls, read.vantages) if "tasks" in keys else (),
    }
    optional: dict[str, tuple[str, Callable[[Node], Any]]] = {
        "first": ("first", lambda one: one.string(HOSTS_RULE)),
        "serial": ("serial", _serial),
        "soak": ("soak", _soak),
        "max_fail_percentage": ("max_fail_percentage", _percentage),
        "on_unknown": ("on_unknown", lambda one: fields.choice(one, OnUnknown)),
        "window": ("window", schedule.window),
        "approval": ("allowed_signers", lambda one: _approval(one, read.base)),
        "notify": ("notify", lambda one: hooks.notify(one, read.base)),
    }
    found |= {field: reader(keys[key]) for key, (field, reader) in optional.items() if key in keys}
    if "accept" in keys:
        found["accept"], found["accept_simulated"] = _accept(keys["accept"])
    found["vars"], found["revert_in"], reported = _vars(keys.get("vars"), read)
    if reported is not None and any(not isinstance(task, Verify) for task in found["tasks"]):
        node.problem("reported beside other tasks; allowed: a verify task, since such a play only looks")
    if any(found[field] is None for field in found) or not found["tasks"] or not found.get("serial", True):
        return None
    return Play(**found, reported=reported)


def _soak(node: Node) -> timedelta | None:
    found = _span(node.raw)
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


def _approval(node: Node, base: Path) -> str | None:
    keys = node.mapping(("allowed_signers",), required=("allowed_signers",))
    return fields.path(keys["allowed_signers"], base) if keys else None


def _serial(node: Node) -> tuple[int | str, ...]:
    if node.raw == []:
        node.wrong(SERIAL_RULE)
    for item in node.one_or_more():
        if not _is_serial(item.raw):
            item.wrong(SERIAL_RULE)
    return tuple(item.raw for item in node.one_or_more() if _is_serial(item.raw))


def _percentage(node: Node) -> float | None:
    if isinstance(node.raw, bool) or not isinstance(node.raw, int | float) or not 0 <= node.raw <= 100:
        node.wrong("a number from 0 to 100, without %")
        return None
    return float(node.raw)


def _vars(node: Node | None, read: _Reader) -> tuple[dict[str, Any], timedelta, str | None]:
    """The user's own variables, and those that are ours."""
    found: dict[str, Any] = {}
    reported: str | None = None
    for key, value in (node.mapping() or {}).items() if node is not None else []:
        if hint := _misspelt_variable(key):
            value.problem(f"unknown variable{hint}")
        elif not VARIABLE.fullmatch(key):
            value.problem("is no name of a variable; allowed: letters, digits and _")
        elif key == "revert_in" and _duration(value.raw) is None:
            value.wrong(DURATION_RULE)
        elif key == "reported":
            reported = fields.path(value, read.base)
        value.check_keys()
        found[key] = value.plain()
    found |= read.given
    revert_in = found.pop("revert_in", None)
    if "reported" in read.given:
        reported = str(Path(read.given["reported"]).absolute())
    found.pop("reported", None)
    return found, DEFAULT_REVERT_IN if revert_in is None else _duration(revert_in) or DEFAULT_REVERT_IN, reported


def _tasks(
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
