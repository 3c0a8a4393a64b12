"""``remediate record``: the journal of every change."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from remediate.cli import common
from remediate.cli.common import Format
from remediate.errors import UsageError

app = typer.Typer(help="The change record.", no_args_is_help=True)


class ExportFormat(StrEnum):
    JSON = "json"
    MARKDOWN = "markdown"


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
    """What happened in one change, told wave by wave.

    Everything that was kept of it with --format json.
    """
    from remediate.report import export as exports
    from remediate.report import telling

    with common.record(record) as opened:
        found = list(opened.journal(change))
        problems = opened.verify(change)
    if output is Format.JSON:
        common.show("", [one.model_dump(mode="json") for one in found], output)
    else:
        common.show(telling.told(exports.document(found, problems), found), None, output)


@app.command()
def export(
    change: Annotated[str, typer.Argument(help="The change, as `record list` names it.")],
    record: common.RecordAt = None,
    output: Annotated[
        ExportFormat, typer.Option("--format", help="For a program, or for a person.")
    ] = ExportFormat.JSON,
    to: Annotated[Path | None, typer.Option("--out", help="Write it there, readable by its owner alone.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where the hash chain is broken.")] = False,
) -> None:
    """Hand one change on: what was exposed, what was changed, what proved it."""
    from remediate.report import export as exports
    from remediate.report import export_markdown, private

    with common.record(record) as opened:
        made = exports.document(list(opened.journal(change)), opened.verify(change), forced=force)
    exports.refuse_broken(made, force=force)
    text = exports.as_json(made) if output is ExportFormat.JSON else export_markdown.as_markdown(made)
    if to is None:
        sys.stdout.write(text)
        return
    private.write(to, text, "the export")
    common.err().print(f"written to {to}", soft_wrap=True, markup=False)


@app.command()
def verify(
    change: Annotated[str | None, typer.Argument(help="One change; without: all.")] = None,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", help="What `record anchor` wrote: finds a cut tail and a full rewrite.")
    ] = None,
    allowed_signers: Annotated[
        Path | None, typer.Option("--allowed-signers", help="Who may have signed the anchor.")
    ] = None,
    tsa_ca: Annotated[
        Path | None,
        typer.Option("--tsa-ca", help="Who may have stamped it: certificates (PEM). Checks the time stamp."),
    ] = None,
    record: common.RecordAt = None,
) -> None:
    """Recompute the hash chain. It shows edits and gaps; an anchor that was kept elsewhere also shows a cut tail."""
    from remediate.errors import EXIT_EXPOSED
    from remediate.record import anchor as anchors
    from remediate.record import timestamp

    if allowed_signers is not None and anchor is None:
        raise UsageError("--allowed-signers is for the anchor's signature", next="give --anchor FILE too")
    if tsa_ca is not None and anchor is None:
        raise UsageError("--tsa-ca is for the anchor's time stamp", next="give --anchor FILE too")
    given = anchors.read(anchor) if anchor is not None else None
    by = anchors.signer(given, allowed_signers) if given is not None else ""
    stamped = timestamp.check(anchor, tsa_ca) if anchor is not None and tsa_ca is not None else None
    with common.record(record) as opened:
        problems = opened.verify(change)
        heads = [one for one in opened.changes() if change in (None, one.change)]
        if given is not None:
            problems += anchors.problems(opened, given)
    for problem in problems:
        common.err().print(f"! {problem}", style="bold red", markup=False)
    if problems:
        raise typer.Exit(EXIT_EXPOSED)
    common.out().print(f"{len(heads)} changes intact")
    if given is not None:
        common.out().print(
            f"  as anchored {given.at:%Y-%m-%d %H:%M:%S} UTC ({len(given.heads)} changes), by {by}", markup=False
        )
    if stamped is not None:
        common.out().print(
            f"  the anchor was time-stamped {stamped:%Y-%m-%d %H:%M:%S} UTC, by whom {tsa_ca} trusts", markup=False
        )
    elif anchor is not None and timestamp.beside(anchor).exists():
        common.out().print(
            f"  its time stamp {timestamp.beside(anchor)} was not looked at (--tsa-ca FILE)", markup=False
        )
    for one in heads:
        common.out().print(f"  {one.change} {one.entries} entries, head {one.head}")


@app.command()
def anchor(
    change: Annotated[str | None, typer.Argument(help="One change; without: all.")] = None,
    key: common.Key = None,
    to: Annotated[Path | None, typer.Option("--out", help="Write them there, signed.")] = None,
    syslog: Annotated[
        str | None, typer.Option("--syslog", metavar="ADDRESS", help="Send them there: /dev/log, or host:port (UDP).")
    ] = None,
    tsa: Annotated[
        str | None, typer.Option("--tsa", metavar="URL", help="Have the file time-stamped there (RFC 3161).")
    ] = None,
    tsa_ca: Annotated[
        Path | None, typer.Option("--tsa-ca", help="Who counts there: certificates (PEM), the authority's or its CA's.")
    ] = None,
    record: common.RecordAt = None,
) -> None:
    """Take the heads of the hash chains out of the record.

    Kept where nobody who can write the record can write, they show later what a chain alone cannot.
    """
    from remediate.record import anchor as anchors
    from remediate.record import timestamp
    from remediate.report import private

    if (tsa is None) != (tsa_ca is None):
        raise UsageError(
            "a time stamp is checked as soon as it comes", next="give --tsa URL and --tsa-ca FILE, or neither"
        )
    if tsa is not None and to is None:
        raise UsageError("a time stamp is of an anchor in a file", next="give --out FILE --key KEY too")
    if to is None and syslog is None:
        raise UsageError("an anchor is kept outside the record", next="give --out FILE --key KEY, or --syslog ADDRESS")
    if to is not None and key is None:
        raise UsageError("an anchor in a file is signed with your key", next="give --key KEY, or REMEDIATE_KEY")
    if to is not None and tsa is None and timestamp.beside(to).exists():
        raise UsageError(
            "a time stamp is beside it, of the anchor that was there",
            where=str(to),
            next="name another file with --out",
        )
    with common.record(record) as opened:
        made = anchors.of(opened, change)
    if to is not None and key is not None:
        text = anchors.signed(made, key).model_dump_json(indent=2) + "\n"
        stamp = timestamp.ask(tsa, tsa_ca, text.encode()) if tsa is not None and tsa_ca is not None else None
        private.write(to, text, "the anchor")
        common.err().print(f"written to {to}", soft_wrap=True, markup=False)
        if stamp is not None:
            private.write(timestamp.beside(to), stamp, "the time stamp")
            common.err().print(f"written to {timestamp.beside(to)}", soft_wrap=True, markup=False)
    if syslog is not None:
        anchors.to_syslog(made.heads, syslog)
    for line in anchors.lines(made.heads):
        common.out().print(line)
