"""``remediate init``: a site of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it is made if it is not there.")],
) -> None:
    """Write an inventory, a playbook and templates to start from.

    Nothing that is there already is overwritten.
    """
    from remediate.inventory import starter
    from remediate.inventory.document import FILL_IN

    written = starter.write(folder)
    inventory = folder / "inventory"
    lines = [
        *(str(path) for path in written),
        "",
        "next:",
        f"  1. put a value in place of each {FILL_IN} in {inventory}; what is left is listed by",
        f"       remediate inventory check -i {inventory}",
        "  2. compare and record the SSH host keys of devices and vantages",
        f"       remediate inventory trust -i {inventory}",
        "  3. look, and change nothing",
        f"       remediate verify -i {inventory}",
    ]
    typer.echo("\n".join(lines))
