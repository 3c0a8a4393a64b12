"""``remediate discover``: archives that are in no inventory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from remediate.cli import common
from remediate.cli.common import DEFAULT_INVENTORY
from remediate.errors import UsageError

if TYPE_CHECKING:
    from remediate.change.discovery import Hunt, Tally
    from remediate.change.discovery_notice import Notice
    from remediate.change.lanes import Room
    from remediate.change.written import Written
    from remediate.inventory import Loaded
    from remediate.model.discovery import Discovered
    from remediate.model.site import IPAddress, Vantage, Zone
    from remediate.runner import Cancellation


class DiscoverFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def discover(
    inventory: common.Inventory = DEFAULT_INVENTORY,
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="CIDR", help="Only this part of data.scope; may be given several times."),
    ] = None,
    ports: Annotated[
        list[str] | None,
        typer.Option("--ports", metavar="LIST", help="Instead of the usual ones, such as 104,web:8088,other:5900."),
    ] = None,
    vantage: Annotated[
        str | None, typer.Option("--from", metavar="VANTAGE", help="Where to look from; without: this machine.")
    ] = None,
    other_services: Annotated[
        bool, typer.Option("--other-services", help="Ask every address for RDP, SMB, databases …, not only archives.")
    ] = False,
    output: Annotated[
        DiscoverFormat, typer.Option("--format", help="How the result is printed, see docs/discover.md.")
    ] = DiscoverFormat.TABLE,
    deadline: Annotated[
        float, typer.Option("--deadline", min=0.1, max=60, help="Seconds to connect, and once more to answer.")
    ] = 3.0,
    list_probes: Annotated[
        bool, typer.Option("--list-probes", help="Say what would be asked, of whom and from where; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Sweep more than 65536 addresses.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Give the notice in a pipe, too.")] = False,
) -> None:
    """Sweep the authorised networks for archives that are in no inventory.

    Prints inventory entries to fill in. Only networks of data.scope are asked, and nothing is changed.
    """
    from remediate.change import discovery_notice
    from remediate.inventory import ranges

    loaded = common.loaded(inventory, may_be_empty=True)
    hunt = _hunt(loaded, network or (), ports, vantage, deadline, other_services=other_services)
    notice = discovery_notice.of(hunt)
    if list_probes:
        _list(notice, output)
        return
    ranges.agreed(hunt.ranges, yes=yes)
    if verbose or sys.stderr.isatty():
        for line in notice.lines():
            common.err().print(Text(f"notice: {line}", style="dim"))
    side = None if vantage is None else hunt.vantage.zone
    _sweep(hunt, notice, side, set(loaded.nornir.hosts), output)


def _hunt(
    loaded: Loaded,
    networks: list[str] | tuple[()],
    ports: list[str] | None,
    vantage: str | None,
    deadline: float,
    *,
    other_services: bool,
) -> Hunt:
    """Everything that is refused is refused here, before a packet leaves."""
    from remediate.change import discovery
    from remediate.inventory import ports as tables
    from remediate.inventory import ranges
    from remediate.model.site import Scope

    site = loaded.site
    today = datetime.now(UTC).date()
    return discovery.Hunt(
        ranges=ranges.authorised(site.authorised, networks, today, str(loaded.path)),
        vantage=_vantage(loaded, vantage),
        scope=Scope(addresses=None, authorised=site.authorised),
        limits=site.limits,
        places=tables.PLACES if ports is None else tables.chosen(ports),
        known=discovery.known(site),
        all_others=other_services,
        deadline=deadline,
    )


def _vantage(loaded: Loaded, name: str | None) -> Vantage:
    from remediate.change import sweep

    if name is None:
        return sweep.vantage(None)
    if name not in loaded.site.vantages:
        known = ", ".join(loaded.site.vantages) or "none"
        raise UsageError(f"--from {name}: no vantage is called so", next=f"choose from: {known}")
    return loaded.site.vantages[name]


def _list(notice: Notice, output: DiscoverFormat) -> None:
    match output:
        case DiscoverFormat.TABLE:
            typer.echo("\n".join(notice.listing()))
        case DiscoverFormat.JSON:
            typer.echo(json.dumps(notice.model_dump(mode="json"), indent=2, sort_keys=True))
        case DiscoverFormat.YAML:
            raise UsageError("--list-probes is a listing for people, or JSON", next="give --format table or json")


class _Found:
    """What was found, kept for a table or a document; entries are written as they come."""

    def __init__(self, side: Zone | None, taken: set[str], *, streamed: bool) -> None:
        from remediate.report.lines import Lines

        self.side = side
        self.taken = taken
        self.all: list[Discovered] = []
        self._written: Written | None = None
        self._lines = Lines(self._write) if streamed else None

    def told(self, found: Discovered) -> str:
        from remediate.report import discovered

        return discovered.told(found, self.zone(found.address), self.taken)

    def zone(self, address: IPAddress) -> Zone:
        from remediate.report import discovered

        return self.side or discovered.zone(address)

    @contextmanager
    def taking(self, cancellation: Cancellation) -> Iterator[None]:
        from remediate.change.written import Ending, Written

        if self._lines is None:
            yield
            return
        self._written = Written(sys.stdout.fileno(), cancellation, Ending(cancellation))
        try:
            yield
        finally:
            self._lines.close()

    @property
    def room(self) -> Room | None:
        return None if self._lines is None else self._lines.room

    def take(self, found: Discovered) -> None:
        if self._lines is None:
            self.all.append(found)
        elif text := self.told(found):
            self._lines.put(text)

    def _write(self, entries: bytes) -> None:
        assert self._written is not None  # nothing is found before it is taken
        self._written.write(entries)


def _sweep(hunt: Hunt, notice: Notice, side: Zone | None, taken: set[str], output: DiscoverFormat) -> None:
    """Prints it, and ends with its exit status."""
    from remediate.change import discovery
    from remediate.report.busy import Busy

    tally = discovery.Tally(hunt.ranges.count)
    found = _Found(side, taken, streamed=output is DiscoverFormat.YAML)

    @contextmanager
    def guarded(cancellation: Cancellation) -> Iterator[None]:
        with Busy(common.err()) as busy, common.interruptible(cancellation), found.taking(cancellation):
            busy.now("sweeping")
            busy.following(lambda: _progress(tally))
            yield

    discovery.run(hunt, found.take, guarded, tally, found.room)
    if output is DiscoverFormat.TABLE:
        _table(found)
    elif output is DiscoverFormat.JSON:
        _json(found, notice, tally)
    common.err().print(Text(_summary(tally)))
    raise typer.Exit(tally.exit_status)


def _table(found: _Found) -> None:
    from remediate.report import discovered

    if found.all:
        common.out().print(discovered.table(found.all))
    entries = [found.told(one) for one in found.all if one.is_new]
    if entries:
        typer.echo("\n".join(["# for hosts.yaml: put a value in place of each FILL_IN", *entries]), nl=False)


def _json(found: _Found, notice: Notice, tally: Tally) -> None:
    from remediate.report import discovered

    summary: dict[str, Any] = {
        "addresses": tally.addresses,
        "asked": tally.asked,
        "answered": tally.answered,
        "could_not_be_asked": tally.not_askable,
        "asked_in_part": tally.partly,
        "not_reached": tally.not_asked,
        "rungs": discovered.counts(tally.rungs),
        "seconds": round(tally.seconds, 3),
        "stopped": tally.why_stopped if tally.stopped else None,
        "silence_proves_nothing": tally.blind or None,
    }
    made = notice.model_dump(mode="json", exclude={"at_least", "if_silent", "addresses"})
    more = {"asked": made, "summary": summary, "exit_status": tally.exit_status}
    common.show("", discovered.document(found.all, found.side, found.taken, more), common.Format.JSON)


def _progress(tally: Tally) -> str:
    return f"{tally.asked} of {tally.addresses} addresses, {tally.new.total()} that are in no inventory"


def _summary(tally: Tally) -> str:
    from remediate.model.discovery import Likeness
    from remediate.model.observation import Rung

    sure, possible = tally.new[Likeness.ARCHIVE], tally.new[Likeness.POSSIBLE]
    asked = f"{tally.asked} asked in {tally.seconds:.1f} s, {tally.answered} of them answered"
    missed = f"{tally.not_askable} could not be asked, {tally.partly} only in part, {tally.not_asked} not reached"
    new = f"in no inventory: {sure} that {'is an archive' if sure == 1 else 'are archives'}, {possible} that may be"
    parts = [
        f"{tally.addresses} addresses: {asked}, {missed}",
        f"{new}; in the inventory with a service that its entry does not have: {tally.unlisted}",
    ]
    if mute := tally.rungs[Rung.NOT_DICOM]:
        parts.append(
            f"open, and no DICOM heard: {mute} of the ports that were asked for it; a busy archive is silent, too"
        )
    if tally.blind:
        parts.append(f"silence proves nothing: {tally.blind}")
    elif not tally.answered and not tally.has_canaries:
        parts.append("silence proves nothing: nobody answered at all; look from a vantage that has canaries (--from)")
    if tally.stopped:
        parts.append(f"stopped: {tally.why_stopped}")
    return "\n".join(parts)
