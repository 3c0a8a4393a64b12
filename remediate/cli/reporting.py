"""``remediate verify`` of a playbook with ``reported``: a list of addresses that somebody else says are open."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from remediate.cli import common
from remediate.cli.common import Format

if TYPE_CHECKING:
    from remediate.change.reported import Answered, Inquiry
    from remediate.inventory import Loaded
    from remediate.playbook import Playbook


def check(
    loaded: Loaded,
    book: Playbook,
    limit: str | None,
    record: str | None,
    output: Format,
    *,
    list_probes: bool,
    verbose: bool,
) -> None:
    """Prints it, and ends with its exit status."""
    from remediate.change import notice, reported
    from remediate.inventory import reported as lists

    path = book.plays[0].reported
    assert path is not None
    today = datetime.now(UTC).date()
    inquiry = reported.inquiry(loaded, book, lists.read(Path(path)), limit, today)
    told = notice.of(inquiry.expectations, loaded.site, inquiry.vantages)
    if list_probes:
        if output is Format.JSON:
            typer.echo(json.dumps(told.model_dump(mode="json"), indent=2, sort_keys=True))
        else:
            typer.echo("\n".join(told.listing()))
        return
    common.give_notice(told, verbose=verbose)
    answered = _ask(inquiry, record)
    _show(inquiry, answered, path, common.record_path(record), output)
    raise typer.Exit(answered.exit_status)


def _ask(inquiry: Inquiry, at: str | None) -> Answered:
    from remediate.change import reported
    from remediate.report.busy import Busy

    with ExitStack() as stack:
        opened = stack.enter_context(common.record(at)) if common.recorded(at) else None
        busy = stack.enter_context(Busy(common.err()))
        busy.now("asking what was reported")
        return reported.ask(inquiry, opened, common.interruptible, busy.asked)


def _show(inquiry: Inquiry, answered: Answered, path: str, record: str, output: Format) -> None:
    from remediate.report import reported as tables

    notes = [f"vantage {name}: {error}" for name, error in answered.unopened.items()]
    notes += [f"vantage {c.vantage}: {c.detail}" for c in answered.canaries if not c.alive]
    notes += [f"the record cannot be relied on: {text}" for text in answered.doubts]
    if not answered.past:
        notes.append(f"nobody can tell what came back: there is no change record at {record}; name one with --record")
    if answered.stopped:
        notes.append(f"stopped: {answered.stopped}")
    for note in dict.fromkeys(notes):
        common.err().print(Text(f"! {note}", style="bold red"))
    found, unreadable = answered.addresses, answered.unreadable
    more = {
        "at": datetime.now(UTC).isoformat(),
        "list": path,
        "vantages": list(inquiry.vantages),
        "record": answered.past,
        "notes": list(dict.fromkeys(notes)),
        "exit_status": answered.exit_status,
    }
    common.show(
        tables.table(found, unreadable, past=answered.past),
        tables.document(found, unreadable, answered.canaries, more),
        output,
    )
    common.err().print(Text(tables.sentence(found, unreadable)))
