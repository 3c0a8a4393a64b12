"""``remediate peers``: who uses an archive."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from remediate.cli import common
from remediate.cli.common import DEFAULT_INVENTORY, Format
from remediate.errors import EXIT_INCONCLUSIVE, UsageError


class PeersFormat(StrEnum):
    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def peers(
    pacs: Annotated[str, typer.Argument(metavar="PACS", help="The archive, as the inventory names it.")],
    inventory: common.Inventory = DEFAULT_INVENTORY,
    files: Annotated[
        list[Path] | None, typer.Option("--from", help="Flow records or a log of the past; may be given several times.")
    ] = None,
    output: Annotated[
        PeersFormat, typer.Option("--format", help="How the result is printed; yaml is for access.peers.")
    ] = PeersFormat.TABLE,
) -> None:
    """List who uses an archive, now and in records of the past, beside `access`.

    Its firewalls and its own host are asked for their connections; nothing is changed.
    """
    from remediate.change import peers as finding
    from remediate.report import peers as report
    from remediate.report.busy import Busy

    loaded = common.loaded(inventory)
    if pacs not in loaded.site.pacs:
        raise UsageError(f"no archive is called {pacs!r}", next=f"there are: {', '.join(loaded.site.pacs)}")
    with Busy(common.err()) as busy:
        busy.now("asking the devices")
        seen = finding.find(loaded, loaded.site.pacs[pacs], files or (), datetime.now(UTC))
    if output is PeersFormat.YAML:
        sys.stdout.write(report.yaml(seen))
    else:
        common.show(report.table(seen), report.document(seen), Format(output))
    failed = [why for why in seen.cannot_tell.values() if why.startswith("could not be asked")]
    raise typer.Exit(EXIT_INCONCLUSIVE if failed else 0)
