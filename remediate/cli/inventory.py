"""``remediate inventory``: what there is, and whom to trust."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from remediate.cli import common
from remediate.cli.common import DEFAULT_INVENTORY, Format

if TYPE_CHECKING:
    from remediate.vantages.hostkeys import HostKey, Place, Standing

app = typer.Typer(help="The inventory.", no_args_is_help=True)


@app.command()
def check(inventory: common.Inventory = DEFAULT_INVENTORY) -> None:
    """Say everything that is wrong with the inventory, at once.

    An authorisation in its scope that has ended is wrong, too.
    """
    site = common.authorised(inventory).site
    common.out().print(f"{len(site.pacs)} PACS, {len(site.devices)} devices, {len(site.vantages)} vantages: no problem")


@app.command()
def show(
    inventory: common.Inventory = DEFAULT_INVENTORY,
    tree: Annotated[bool, typer.Option("--tree", help="Only the tree.")] = False,
    output: common.Output = Format.TABLE,
) -> None:
    """The archives as a table, and the ways to them as a tree.

    The tree: from each vantage, through which devices, to which archive, and what may pass there.
    """
    from rich.console import Group

    from remediate.report import site as report

    site = common.loaded(inventory).site
    made = report.ways(site) if tree else Group(report.table(site), report.ways(site))
    common.show(made, site.model_dump(mode="json"), output)


@app.command()
def trust(
    inventory: common.Inventory = DEFAULT_INVENTORY,
    limit: Annotated[
        str | None, typer.Option("--limit", help="Only these devices and vantages, separated by commas.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: record what is shown. Only where you compare it afterwards.")
    ] = False,
) -> None:
    """Compare SSH host keys, and record them.

    Fetches them from every device and every vantage over SSH, shows their fingerprints, asks, and adds them to the
    known_hosts file that the inventory names.
    """
    import asyncio

    from remediate.errors import EXIT_INCONCLUSIVE, EXIT_USAGE, RemediateError, UsageError
    from remediate.vantages import hostkeys

    site = common.loaded(inventory).site
    names = None if limit is None else [name.strip() for name in limit.split(",") if name.strip()]
    places = hostkeys.places(site, names)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask whether a fingerprint is right",
            next="run it in a terminal; or with --yes, and compare the fingerprints that it prints afterwards",
        )
    status = 0
    for place, keys in asyncio.run(hostkeys.fetch_all(places)).items():
        if isinstance(keys, RemediateError):
            common.err().print(Text(f"! {keys}", style="bold red"))
            status = status or EXIT_INCONCLUSIVE
            continue
        found = hostkeys.standing(place, keys)
        if found.changed or found.revoked:
            common.err().print(Text(f"! {_not_to_be_trusted(place, found)}", style="bold red"))
            status = EXIT_USAGE
            continue
        _print(place, found)
        if not found.new:
            _say("  known already")
        elif yes or _agreed(place):
            hostkeys.record(place, found.new)
            _say(f"  recorded in {place.known_hosts}")
        else:
            _say("  not recorded")
            status = status or EXIT_INCONCLUSIVE
    raise typer.Exit(status)


def _print(place: Place, found: Standing) -> None:
    _say(f"{', '.join(place.names)}: {place.host} port {place.port}")
    for key in found.offered:
        _say(f"  {key.listed(place.entry)}" + ("" if key in found.new else ", known"))


def _agreed(place: Place) -> bool:
    sys.stdout.write(f"  the same as on {place.names[0]} itself, and to be recorded? [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        _say("")  # Ctrl-D: the cursor is still behind the question
    return answer.strip().lower() in ("y", "yes")


def _not_to_be_trusted(place: Place, found: Standing) -> str:
    def said(key: HostKey) -> str:
        return key.listed(place.entry)

    lines = [f"{', '.join(place.names)}: the SSH host key of {place.host} port {place.port} HAS CHANGED"]
    for old, new in found.changed:
        lines += [f"  on file: {said(old)}", f"  offered: {said(new)}"]
    if found.revoked:
        lines[0] = f"{', '.join(place.names)}: the SSH host key of {place.host} port {place.port} is REVOKED"
        lines += [f"  revoked, and offered: {said(key)}" for key in found.revoked]
    lines += [
        f"  nothing was recorded for it in {place.known_hosts}",
        "  next: find out why before anything else, it may be somebody in between; if the change is known, forget the",
        f"  old key with:  ssh-keygen -R '{place.entry}' -f '{place.known_hosts}'",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    common.out().print(Text(text), soft_wrap=True)
