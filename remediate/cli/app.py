"""The commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from remediate import __version__
from remediate.cli import approve as approve_command
from remediate.cli import common, lab, record
from remediate.cli import demo as demo_command
from remediate.cli import discover as discover_command
from remediate.cli import init as init_command
from remediate.cli import inventory as inventory_commands
from remediate.cli import peers as peers_command
from remediate.cli import verify as verify_command
from remediate.cli.common import DEFAULT_INVENTORY, Format
from remediate.errors import UsageError

if TYPE_CHECKING:
    from remediate.model.change import Plan

#: How the file of a plan ends.
PLAN = ".json"

app = typer.Typer(
    help="Find exposed medical-image archives (PACS), close them on the device, prove it, or take it back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode=None,
)
app.command("init")(init_command.init)
app.command("demo")(demo_command.demo)
app.command("approve")(approve_command.approve)
app.command("verify")(verify_command.verify)
app.command("discover")(discover_command.discover)
app.command("peers")(peers_command.peers)
app.add_typer(inventory_commands.app, name="inventory")
app.add_typer(record.app, name="record")
app.add_typer(lab.app, name="lab")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"remediate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass


@app.command()
def plan(
    playbook: Annotated[Path, typer.Argument(help="The playbook to plan.")],
    inventory: common.Inventory = DEFAULT_INVENTORY,
    limit: common.Limit = None,
    extra_vars: common.ExtraVars = None,
    accept: common.Accept = None,
    templates: common.Templates = None,
    to: Annotated[Path | None, typer.Option("--out", help="Write the plan there, for `remediate run`.")] = None,
    output: common.Output = Format.TABLE,
    forks: common.Forks = 20,
) -> None:
    """Render, simulate and prove a change.

    The devices are read, and nothing on them is changed.
    """
    from remediate.report import private, tables

    accepted = common.accepted(accept)
    if to is not None:
        _check_out(to)
    made = common.accepting(_plan(playbook, inventory, limit, extra_vars, templates, forks), accepted)
    if to is not None:
        text = json.dumps(made.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
        private.write(to, text, "the plan", "name a file in an existing folder of yours with --out")
    common.show(tables.plan(made, diff=True), made.model_dump(mode="json"), output)


@app.command()
def run(
    playbook: Annotated[Path, typer.Argument(help="A playbook, or a plan that `remediate plan --out` wrote.")],
    inventory: common.Inventory = DEFAULT_INVENTORY,
    limit: common.Limit = None,
    check: Annotated[bool, typer.Option("-C", "--check", help="Plan and look, but change nothing.")] = False,
    diff: Annotated[bool, typer.Option("-D", "--diff", help="Show what changes on each device.")] = False,
    extra_vars: common.ExtraVars = None,
    accept: common.Accept = None,
    templates: common.Templates = None,
    key: common.Key = None,
    principal: common.Principal = None,
    emergency: Annotated[
        str | None, typer.Option("--emergency", metavar="REASON", help="Run without the approval that it needs.")
    ] = None,
    rollback_all: Annotated[
        bool, typer.Option("--rollback-all", help="If a wave fails, take the confirmed ones back too.")
    ] = False,
    record: common.RecordAt = None,
    output: common.Output = Format.TABLE,
    forks: common.Forks = 20,
    verbose: common.Verbose = False,
) -> None:
    """Plan, push provisionally, prove, confirm or undo.

    The whole loop; every step is in the record before it is done.
    """
    from remediate.change import approval, change, hooks, notice, own_code
    from remediate.change.watch import Stopwatch
    from remediate.render import Renderer
    from remediate.report import tables

    if emergency is not None and not emergency.strip():
        raise UsageError("--emergency needs a reason", next="say why nobody could be asked: it goes into the record")
    accepted = common.accepted(accept)
    hand = common.hand(key, principal)
    clock = Stopwatch()
    if playbook.suffix == PLAN:
        made = _plan_in(playbook, inventory, changed=limit is not None or bool(extra_vars) or templates is not None)
    else:
        approved = check or emergency is not None
        made = _plan(playbook, inventory, limit, extra_vars, templates, forks, to_run=not approved)
    if accept and made.needs_approval and playbook.suffix == PLAN and emergency is None:
        raise UsageError(
            "what was approved is run as it was approved: --accept cannot change it",
            where=str(playbook),
            next="give it to `remediate plan`, and have that approved",
        )
    made = common.accepting(made, accepted)
    if emergency is not None:
        made = made.model_copy(update={"emergency": emergency.strip()})
    if diff or check:
        common.err().print(tables.plan(made, diff=diff))
    if check:
        _warn(made)
        for line in hooks.rehearse(made, common.loaded(inventory)) if any(own_code.hooks_of(made)) else ():
            common.err().print(line, markup=False)
        if playbook.suffix == PLAN:  # it was made of that playbook as it is now, perhaps with a --limit
            playbook, limit = Path(made.playbook), ",".join(name for wave in made.waves for name in wave.pacs) or None
        how = verify_command.VerifyFormat(output)
        verify_command.verify(playbook, inventory, limit=limit, extra_vars=extra_vars, output=how, verbose=verbose)
        return  # whatever verify does: with --check nothing goes on from here
    given = approval.read(playbook) if made.needs_approval else None
    if made.needs_approval:
        approval.approver(made, given)  # before there is a record
    with common.desk(inventory, record, forks=forks, verbose=verbose, clock=clock) as desk:
        _warn(made)
        common.give_notice(notice.of_plan(made, desk.loaded.site), verbose=verbose)
        undo = Renderer(templates) if rollback_all else None
        done = change.run(made, desk, approval=given, hand=hand, undo=undo)
    common.show(tables.outcome(done), done.model_dump(mode="json"), output)
    raise typer.Exit(done.exit_status)


@app.command()
def resume(
    name: Annotated[
        str | None, typer.Argument(metavar="CHANGE", help="Which change; without: the unfinished one.")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option("-i", "--inventory", help="Without: the one that the change was made with.")
    ] = None,
    key: common.Key = None,
    principal: common.Principal = None,
    record: common.RecordAt = None,
    output: common.Output = Format.TABLE,
    verbose: common.Verbose = False,
) -> None:
    """After a crash: finish the change, or undo it.

    Reads the record, then asks the devices, then decides. Nothing is pushed twice.
    """
    from remediate.change import change, replaying
    from remediate.errors import RecordError
    from remediate.report import tables

    nothing = "nothing to resume: every change in the record has ended"
    if name is None and not common.recorded(record):
        common.out().print(nothing)
        return
    with common.record(record) as opened:
        waiting = change.unfinished(opened)
        if name is None and not waiting:
            common.out().print(nothing)
            return
        wanted = name or waiting[0]
        found, _ = replaying.replay(list(opened.journal(wanted)))
        if found is None:
            raise RecordError(f"change {wanted} has no plan in its record", next="remediate record show")
        if wanted not in waiting:
            common.out().print(f"change {wanted} has ended; nothing to resume")
            return
    with common.desk(inventory or Path(found.inventory), record, verbose=verbose) as desk:
        done = change.resume(wanted, desk, hand=common.hand(key, principal))
    common.show(tables.outcome(done), done.model_dump(mode="json"), output)
    raise typer.Exit(done.exit_status)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(metavar="CHANGE", help="The confirmed change to take back.")],
    inventory: Annotated[
        Path | None, typer.Option("-i", "--inventory", help="Without: the one that the change was made with.")
    ] = None,
    templates: common.Templates = None,
    check: Annotated[
        bool, typer.Option("-C", "--check", help="Show what would be taken back, change nothing.")
    ] = False,
    record: common.RecordAt = None,
    output: common.Output = Format.TABLE,
    verbose: common.Verbose = False,
) -> None:
    """After second thoughts: undo a confirmed change.

    This is a change of its own, and opens again what the other had closed.
    """
    from remediate.change import change, replaying
    from remediate.errors import RecordError
    from remediate.render import Renderer
    from remediate.report import tables

    with common.record(record) as opened:
        found, _ = replaying.replay(list(opened.journal(name)))
    if found is None:
        raise RecordError(f"change {name} has no plan in its record", next="remediate record show")
    with common.desk(inventory or Path(found.inventory), record, verbose=verbose) as desk:
        back = change.taking_back(name, desk, Renderer(templates))
        common.err().print(tables.plan(back, diff=True))
        if check:
            return
        done = change.run(back, desk)
    common.show(tables.outcome(done), done.model_dump(mode="json"), output)
    raise typer.Exit(done.exit_status)


def _plan(
    playbook: Path,
    inventory: Path,
    limit: str | None,
    extra_vars: list[str] | None,
    templates: Path | None,
    forks: int,
    *,
    to_run: bool = False,
) -> Plan:
    """``to_run``: at once, so that nobody can have approved it."""
    from remediate import playbook as playbooks
    from remediate.change import approval, planning
    from remediate.render import Renderer
    from remediate.report.busy import Busy

    loaded = common.authorised(inventory)
    book = playbooks.load(
        playbook, common.extra_vars(extra_vars), controls=common.controls(), vantages=set(loaded.site.vantages)
    )
    if to_run and any(play.allowed_signers for play in book.plays):
        raise approval.missing()
    with Busy(common.err()) as busy:
        busy.now("reading the devices")
        return planning.make(loaded, book, Renderer(templates), limit, forks=forks)


def _check_out(to: Path) -> None:
    """Before the devices are read."""
    if to.suffix != PLAN:
        raise UsageError(f"--out {to}: the file of a plan is known by its name", next=f"let it end in {PLAN}")
    if to.is_dir() or not to.parent.is_dir():
        raise _not_there(to, "it is a folder" if to.is_dir() else "its folder does not exist")


def _not_there(to: Path, why: str) -> UsageError:
    return UsageError(f"--out {to}: the plan cannot be written there: {why}", next="name a file in an existing folder")


def _warn(plan: Plan) -> None:
    for warning in plan.warnings:
        common.err().print(Text(f"warning: {warning}", style="yellow"))


def _plan_in(path: Path, inventory: Path, *, changed: bool) -> Plan:
    from remediate.change import planning

    if changed:
        raise UsageError(
            "a plan is run as it is: --limit, -e and --templates cannot change it",
            where=str(path),
            next="give them to `remediate plan`, and run what it writes",
        )

    return planning.read(path, common.authorised(inventory))
