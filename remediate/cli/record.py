"""``remediate record``: the journal of every change."""

from __future__ import annotations

from typing import Annotated

import typer

from remediate.cli import common
from remediate.cli.common import Format

app = typer.Typer(help="The change record.", no_args_is_help=True)


@app.command("list")
def list_(record: common.RecordAt = None, output: common.Output = Format.TABLE) -> None:
    """Every change in the record, newest last."""
    from remediate.report import tables

    with common.record(record) as opened:
        found = opened.changes()
    common.show(tables.changes(found), [one.model_dump(mode="json") for one in found], output)


@app.command()
def show(
    change: Annotated[str, typer.Argument(help="The change, as `record list` names it.")],
    record: common.RecordAt = None,
    output: common.Output = Format.TABLE,
) -> None:
    """What was done in one change, step by step; everything that was kept of it with --format json."""
    from remediate.report import tables

    with common.record(record) as opened:
        found = list(opened.journal(change))
    common.show(tables.entries(found), [one.model_dump(mode="json") for one in found], output)


@app.command()
def verify(
    change: Annotated[str | None, typer.Argument(help="One change; without: all.")] = None,
    record: common.RecordAt = None,
) -> None:
    """Recompute the hash chain. It shows edits and gaps; a head kept elsewhere also shows a cut tail."""
    from remediate.errors import EXIT_EXPOSED

    with common.record(record) as opened:
        problems = opened.verify(change)
        heads = [one for one in opened.changes() if change in (None, one.change)]
    for problem in problems:
        common.err().print(f"! {problem}", style="bold red")
    if problems:
        raise typer.Exit(EXIT_EXPOSED)
    common.out().print(f"{len(heads)} changes intact")
    for one in heads:
        common.out().print(f"  {one.change} {one.entries} entries, head {one.head}")
