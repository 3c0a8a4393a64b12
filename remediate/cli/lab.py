"""``remediate lab``: a real site in network namespaces to rehearse on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from remediate.cli import common

app = typer.Typer(help="A real site in network namespaces (Linux, root) to rehearse on.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder", help="Where the lab keeps its files; without: remediate-lab in the folder for temporary files."
    ),
]
DEFAULT_FOLDER = Path(tempfile.gettempdir()) / "remediate-lab"


@app.command()
def up(
    folder: Folder = None,
    vpn: Annotated[
        bool, typer.Option("--vpn", help="With a reader's place too, and OpenVPN and WireGuard from there.")
    ] = False,
    archives: Annotated[
        int,
        typer.Option(
            "--archives", metavar="N", help="How many archives. The first behind each firewall is an Orthanc."
        ),
    ] = 1,
    firewalls: Annotated[
        int, typer.Option("--firewalls", metavar="N", help="How many firewalls. They share the archives among them.")
    ] = 1,
) -> None:
    """Build the site, and write its inventory.

    An exposed archive behind a firewall, a clinic, and the internet.
    """
    from remediate.errors import UsageError
    from remediate.lab import real

    layout = real.Layout(vpn=vpn, archive_count=archives, firewall_count=firewalls)
    if missing := real.missing(layout):
        raise UsageError(
            "the lab cannot run here:\n  - " + "\n  - ".join(missing),
            next="see to that, or try `remediate demo`, which needs none of it",
        )
    site = real.up(folder or DEFAULT_FOLDER, say=_say, layout=layout)
    print_ = common.out().print
    print_(f"inventory: {site.inventory}\nplaybook:  {site.playbook}\n\ntry:", soft_wrap=True)
    print_(f"  remediate verify -i {site.inventory}", soft_wrap=True)
    print_(f"  remediate run {site.playbook} -i {site.inventory} --diff", soft_wrap=True)
    print_("  remediate lab down")


@app.command()
def down(folder: Folder = None) -> None:
    """Take the site down, also one that a crash left behind."""
    from remediate.lab import real

    real.down(folder, say=_say)


@app.command()
def status(folder: Folder = None) -> None:
    """What of the site runs."""
    from remediate.errors import EXIT_INCONCLUSIVE
    from remediate.lab import real

    found = real.status(folder)
    if found.up_for is None:
        common.out().print("no lab stands")
        raise typer.Exit(EXIT_INCONCLUSIVE)
    common.out().print(f"{found.folder}, up for {found.up_for}", soft_wrap=True, markup=False)
    for part in found.parts:
        common.out().print(f"  {part.name}: {'runs' if part.runs else 'DOES NOT RUN'}")
    raise typer.Exit(0 if found.sound else EXIT_INCONCLUSIVE)


def _say(text: str) -> None:
    common.err().print(text, soft_wrap=True)
