"""``remediate lab``: a real site in network namespaces to rehearse on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from remediate.cli import common

app = typer.Typer(help="A real site in network namespaces (Linux, root) to rehearse on.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option("--folder", help="Where the lab keeps its files.")]
DEFAULT_FOLDER = Path(tempfile.gettempdir()) / "remediate-lab"


@app.command()
def up(folder: Folder = DEFAULT_FOLDER) -> None:
    """Build the site: an exposed archive behind a firewall, a clinic, the internet. Writes its inventory."""
    from remediate.errors import UsageError
    from remediate.lab import real

    if missing := real.missing():
        raise UsageError("the lab cannot run here:\n  - " + "\n  - ".join(missing))
    site = real.up(folder, say=lambda text: common.err().print(text))
    common.out().print(f"inventory: {site.inventory}\nplaybook:  {site.playbook}")
    common.out().print(f"try:       remediate verify -i {site.inventory}")
    common.out().print(f"           remediate run {site.playbook} -i {site.inventory} --diff")


@app.command()
def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Take the site down, also one that a crash left behind."""
    from remediate.lab import real

    real.down(folder, say=lambda text: common.err().print(text))


@app.command()
def status(folder: Folder = DEFAULT_FOLDER) -> None:
    """What of the site runs."""
    from remediate.lab import real

    common.out().print(str(real.status(folder)))
