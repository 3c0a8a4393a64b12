"""``remediate verify``: look, and change nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from remediate.cli import common, reporting, sweeping
from remediate.cli.common import DEFAULT_INVENTORY
from remediate.errors import RemediateError, UsageError

if TYPE_CHECKING:
    from remediate.change.looking import Verified
    from remediate.change.notice import Notice
    from remediate.inventory import Loaded
    from remediate.playbook import Playbook
    from remediate.report.formats.document import Document
    from remediate.titles import TitleFinding


class VerifyFormat(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    PRTG = "prtg"
    NAGIOS = "nagios"


#: Lines as they come, for target lists only.
STREAMED = VerifyFormat.JSONL


def verify(
    playbook: Annotated[Path | None, typer.Argument(help="Look as this playbook's plays do; without: at all.")] = None,
    inventory: common.Inventory = DEFAULT_INVENTORY,
    limit: common.Limit = None,
    extra_vars: common.ExtraVars = None,
    output: Annotated[
        VerifyFormat, typer.Option("--format", help="How the result is printed, see docs/output.md.")
    ] = VerifyFormat.TABLE,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say every question and its answer.")] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Ask how much each archive holds, too: from inside only.")
    ] = False,
    titles: Annotated[
        bool, typer.Option("--titles", help="Ask which AE titles each archive lets in, too: two or four pairs.")
    ] = False,
    list_probes: Annotated[
        bool, typer.Option("--list-probes", help="Say what would be asked, of whom and from where; send nothing.")
    ] = False,
    targets: sweeping.Targets = None,
    rung: sweeping.Rung = sweeping.UpTo.ECHO,
    scope: sweeping.Scope_ = None,
    source: sweeping.Source = None,
    canary: sweeping.Canaries = None,
    deadline: sweeping.Deadline = 3.0,
    record: common.RecordAt = None,
) -> None:
    """Look from every vantage; change nothing.

    No device is logged in to, and no record is kept. A playbook with reported looks at what came back in one.
    """
    with _failing_as(output):
        if targets is not None:
            if list_probes:
                raise UsageError("--list-probes lists what an inventory asks", next="a list of targets is its own")
            if (
                playbook is not None
                or limit is not None
                or count
                or titles
                or output not in (VerifyFormat.TABLE, STREAMED)
            ):
                raise UsageError(
                    "--targets asks what its list names, and prints lines or a table of counts",
                    next="leave out the playbook, --limit, --count and --titles, and give --format jsonl or table",
                )
            options = sweeping.Options(targets, inventory, rung, scope or (), source, canary or (), deadline)
            sweeping.sweep(options, lines=output is STREAMED)
        if output is STREAMED:
            raise UsageError(
                "--format jsonl is for target lists: one line for each answer as it comes",
                next="give --format json for the archives of an inventory",
            )
        if titles and (list_probes or output not in (VerifyFormat.TABLE, VerifyFormat.JSON)):
            raise UsageError(
                "--titles prints lines under the table, or JSON",
                next="leave out --list-probes, and give --format table or json",
            )
        loaded = common.authorised(inventory)
        book = _book(loaded, playbook, extra_vars)
        if book is not None and book.plays[0].reported:
            if count or titles or output not in (VerifyFormat.TABLE, VerifyFormat.JSON):
                raise UsageError(
                    "a list of reported addresses is answered with a table or JSON",
                    where=book.path,
                    next="leave out --count and --titles, and give --format table or json",
                )
            how = common.Format(output)
            reporting.check(loaded, book, limit, record, how, list_probes=list_probes, verbose=verbose)
            return
        notice = _notice(loaded, book, limit, count=count)
        if list_probes:
            _list(notice, output)
            return
        common.give_notice(notice, verbose=verbose)
        if count:
            common.err().print(Text("counting: from inside vantages only, where an archive has /statistics"))
        looked = _look(loaded, book, limit, count=count)
        _show(loaded, looked, output, verbose=verbose, titles=_titles(loaded, book, limit) if titles else ())


def _notice(loaded: Loaded, book: Playbook | None, limit: str | None, *, count: bool) -> Notice:
    from remediate.change import looking, notice
    from remediate.policy import counting

    wanted, used = looking.views(loaded, book, limit)
    vantages = loaded.site.vantages
    expected = [counting(e, vantages) if count else e for one in wanted.values() for e in one.expectations]
    return notice.of(expected, loaded.site, used)


def _list(notice: Notice, output: VerifyFormat) -> None:
    match output:
        case VerifyFormat.TABLE:
            typer.echo("\n".join(notice.listing()))
        case VerifyFormat.JSON:
            typer.echo(json.dumps(notice.model_dump(mode="json"), indent=2, sort_keys=True))
        case _:
            raise UsageError("--list-probes is a listing for people, or JSON", next="give --format table or json")


def _book(loaded: Loaded, playbook: Path | None, extra_vars: list[str] | None) -> Playbook | None:
    from remediate import playbook as playbooks

    if playbook is None:
        return None
    given = common.extra_vars(extra_vars)
    return playbooks.load(playbook, given, controls=common.controls(), vantages=set(loaded.site.vantages))


def _look(loaded: Loaded, book: Playbook | None, limit: str | None, *, count: bool) -> Verified:
    from remediate.change import looking
    from remediate.report.busy import Busy

    with Busy(common.err()) as busy:
        busy.now("looking from every vantage")
        return looking.verify(loaded, book, limit, common.interruptible, busy.asked, count=count)


def _titles(loaded: Loaded, book: Playbook | None, limit: str | None) -> tuple[TitleFinding, ...]:
    from remediate.change import titles
    from remediate.report.busy import Busy

    common.err().print(Text("asking for AE titles: random ones start with RMD, a peer's only from that peer's place"))
    with Busy(common.err()) as busy:
        busy.now("asking which AE titles are let in")
        return titles.ask(loaded, book, limit, common.interruptible)


def _show(
    loaded: Loaded, verified: Verified, output: VerifyFormat, *, verbose: bool, titles: tuple[TitleFinding, ...]
) -> None:
    """Prints it, and ends with its exit status."""
    from datetime import UTC, datetime

    from remediate.change.statuses import status_of
    from remediate.report import tables
    from remediate.report.formats import document, nagios

    found = verified.look.judgements
    made = document.made(
        found,
        at=datetime.now(UTC),
        zones={report.vantage: loaded.site.vantages[report.vantage].zone for report in verified.look.canaries},
        unusable={name: str(error) for name, error in verified.unopened.items()},
        canaries=verified.look.canaries,
        exit_status=status_of(found),
        titles=titles,
    )
    for name, error in verified.unopened.items():
        common.err().print(Text(f"! vantage {name}: {error}", style="bold red"))
    if verbose:
        common.err().print(tables.details(found))
    if output is VerifyFormat.TABLE:
        common.show(tables.verification(made, found), None, common.Format.TABLE)
        for line in titles:
            common.out().print(Text(str(line)))
    else:
        sys.stdout.write(_printed(made, output))
    raise typer.Exit(nagios.status(made) if output is VerifyFormat.NAGIOS else made.exit_status)


def _printed(made: Document, output: VerifyFormat) -> str:
    from remediate.report.formats import document, junit, nagios, prtg

    match output:
        case VerifyFormat.JUNIT:
            return junit.as_junit(made)
        case VerifyFormat.PRTG:
            return prtg.as_prtg(made)
        case VerifyFormat.NAGIOS:
            return nagios.as_nagios(made)
    return document.as_json(made)


@contextmanager
def _failing_as(output: VerifyFormat) -> Iterator[None]:
    """PRTG and Nagios read standard output alone: what stops us is said there, in their words."""
    try:
        yield
    except RemediateError as error:
        from remediate.report.formats import nagios, prtg

        if output is VerifyFormat.NAGIOS:
            sys.stdout.write(nagios.failed(error))
            raise typer.Exit(nagios.UNKNOWN) from error
        if output is VerifyFormat.PRTG:
            sys.stdout.write(prtg.failed(error))
        raise
