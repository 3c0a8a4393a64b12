"""What the commands share: options, consoles, opening the inventory and the record."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from remediate.errors import EXIT_INTERRUPTED, RecordError, UsageError

if TYPE_CHECKING:
    from remediate.change.approval import Hand
    from remediate.change.change import Desk
    from remediate.change.notice import Notice
    from remediate.change.watch import Stopwatch
    from remediate.inventory import Loaded
    from remediate.model.change import Plan
    from remediate.model.site import IPAddress
    from remediate.record import Record
    from remediate.runner import Cancellation


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Inventory = Annotated[
    Path, typer.Option("-i", "--inventory", help="The inventory's directory, or the hosts.yaml in it.")
]
Limit = Annotated[str | None, typer.Option("-l", "--limit", help="Only these PACS or groups, as in Ansible.")]
ExtraVars = Annotated[
    list[str] | None, typer.Option("-e", "--extra-vars", help="key=value, or several; wins over a play's vars.")
]
Forks = Annotated[int, typer.Option("-f", "--forks", min=1, max=200, help="Devices at a time.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more while it runs.")]
Output = Annotated[Format, typer.Option("--format", help="How the result is printed.")]
Templates = Annotated[
    Path | None, typer.Option("--templates", help="A folder of templates that come before the built-in ones.")
]
RecordAt = Annotated[
    str | None,
    typer.Option("--record", envvar="REMEDIATE_RECORD", help="The change record: a file, or a database URL."),
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        metavar="ADDRESS|PEER",
        help="The address may be cut off, connected or not; for the peer, simulation is proof enough. Several times.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", envvar="REMEDIATE_KEY", help="Your SSH key: private, or the .pub of one in ssh-agent."),
]
Principal = Annotated[
    str | None, typer.Option("--as", metavar="PRINCIPAL", help="Who you are, where your key has several names.")
]

DEFAULT_INVENTORY = Path("inventory")


#: A pipe has no width, and a folded table is of no use there.
PIPE_WIDTH = 200


def out() -> Console:
    terminal = sys.stdout.isatty()
    return Console(highlight=False, soft_wrap=not terminal, width=None if terminal else PIPE_WIDTH)


def err() -> Console:
    terminal = sys.stderr.isatty()
    return Console(stderr=True, highlight=False, soft_wrap=not terminal, width=None if terminal else PIPE_WIDTH)


def show(made: RenderableType, data: Any, how: Format) -> None:
    """The result on standard output: for people, or as one JSON document."""
    if how is Format.JSON:
        sys.stdout.write(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    else:
        out().print(made)


def loaded(path: Path, *, may_be_empty: bool = False) -> Loaded:
    """``may_be_empty``: of archives."""
    from remediate import inventory, platforms

    return inventory.load(path, platforms=set(platforms.PLATFORMS), may_be_empty=may_be_empty)


def authorised(path: Path) -> Loaded:
    """To ask with it. Raises InventoryError where an authorisation has ended; each dial asks once more."""
    found = loaded(path)
    found.check_authorised(datetime.now(UTC).date())
    return found


def give_notice(notice: Notice, *, verbose: bool) -> None:
    """To a person who can pass it on, or who asked for more words; a pipe stays as it is."""
    if verbose or sys.stderr.isatty():
        for line in notice.lines():
            err().print(Text(f"notice: {line}", style="dim"))


def controls() -> set[str]:
    """The names that a playbook may apply."""
    from remediate import controls

    return set(controls.CONTROLS)


def hand(key: Path | None, principal: str | None) -> Hand | None:
    """Whoever is at this prompt, with the key to sign with."""
    from remediate.change.approval import Hand

    if key is None and principal is not None:
        raise UsageError("--as says whose key it is, and there is none", next="give --key KEY, or REMEDIATE_KEY")
    if key is not None and not key.expanduser().is_file():
        raise UsageError(
            f"--key {key}: there is no such key", next="name a private key, or the .pub of one in ssh-agent"
        )
    return None if key is None else Hand(key, principal)


def extra_vars(given: list[str] | None) -> dict[str, str]:
    pairs = []
    for item in given or ():
        try:
            words = shlex.split(item)  # as Ansible does: several in one, and quotes where a value holds a blank
        except ValueError as error:
            raise UsageError(
                f"-e {item}: a quote is not closed", next="write, for example, -e revert_in=10m"
            ) from error
        if item.startswith(("@", "{", "[")):
            raise UsageError(
                f"-e {item}: neither a file nor YAML is read here", next="write, for example, -e revert_in=10m"
            )
        pairs += [word.partition("=") for word in words]
        if wrong := [word for word in words or [item] if not word.partition("=")[1] or word.startswith("=")]:
            raise UsageError(f"-e {wrong[0]} is not key=value", next="write, for example, -e revert_in=10m")
    return {key: value for key, _, value in pairs}


class Accepted(NamedTuple):
    addresses: tuple[IPAddress, ...]
    peers: tuple[str, ...]


def accepted(given: list[str] | None) -> Accepted:
    """Before a device is read."""
    from remediate.inventory import fields

    peers = tuple(text for text in given or () if fields.is_peer_name(text))
    try:
        return Accepted(tuple(ip_address(text) for text in given or () if text not in peers), peers)
    except ValueError as error:
        raise UsageError(
            f"--accept: {error}", next="give the address of a peer that may be cut off, or a peer's name"
        ) from error


def accepting(plan: Plan, what: Accepted) -> Plan:
    """The plan, in which this is accepted as well."""
    if not any(what):
        return plan
    waves = tuple(
        wave.model_copy(
            update={
                "accept": tuple(dict.fromkeys((*wave.accept, *what.addresses))),
                "accept_simulated": tuple(dict.fromkeys((*wave.accept_simulated, *what.peers))),
            }
        )
        for wave in plan.waves
    )
    return plan.model_copy(update={"waves": waves})


def record_path(given: str | None) -> str:
    if given:
        return given
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return str(Path(home) / "remediate" / "record.db")


def recorded(given: str | None) -> bool:
    """Whether there is a record. A database server knows that better than we do."""
    path = record_path(given)
    try:
        return "://" in path or Path(path).exists()
    except OSError:  # opening it says why
        return True


@contextmanager
def record(given: str | None) -> Iterator[Record]:
    """A record to read; a misspelt name makes no new one."""
    from remediate.record import Record

    if not recorded(given):
        raise RecordError(
            "there is no change record there",
            where=record_path(given),
            next="the first change makes one; another is named with --record or REMEDIATE_RECORD",
        )
    with Record.open(record_path(given)) as opened:
        yield opened


@contextmanager
def desk(
    inventory: Path,
    record_at: str | None,
    *,
    forks: int = 20,
    verbose: bool = False,
    clock: Stopwatch | None = None,
) -> Iterator[Desk]:
    """Inventory, record, runner and vantages of one command, with Ctrl-C made safe."""
    from remediate.change import change
    from remediate.record import Record
    from remediate.report.busy import Busy
    from remediate.report.console import ConsoleWatch

    site = loaded(inventory)
    console = err()
    with (
        Busy(console) as busy,
        Record.open(record_path(record_at)) as opened,
        change.desk(site, opened, ConsoleWatch(console, busy=busy, verbose=verbose), forks=forks, clock=clock) as made,
        interruptible(made.cancellation, made.armed),
    ):
        yield made


@contextmanager
def interruptible(cancellation: Cancellation, armed: Mapping[str, datetime] | None = None) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM starts nothing more and takes back what is in flight; the second one leaves that to
    the devices' own timers, and says which are armed until when. ``armed``: None where nothing is changed."""
    stopping, left = "nothing more is asked", "left at once"
    if armed is not None:
        stopping = "nothing more is started, what is in flight is taken back"
        left += "; `remediate resume` says what became of it"

    def stop(number: int, _: FrameType | None) -> None:
        if cancellation.requested:
            for name, until in (armed or {}).items():
                sys.stderr.write(f"\n{name}: armed; it takes the change back by itself at {until:%H:%M:%S} UTC")
            sys.stderr.write(f"\n{left}\n")
            sys.stderr.flush()
            os._exit(EXIT_INTERRUPTED)  # nothing here may wait: that is what was asked for
        sys.stderr.write(f"\nstopping: {stopping} (again: leave at once)\n")
        cancellation.request(f"stopped by {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
