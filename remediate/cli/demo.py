"""``remediate demo``: the first minute."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from remediate.cli import common

if TYPE_CHECKING:
    from remediate.lab.embedded.site import EmbeddedSite


def demo(
    broken: Annotated[
        bool, typer.Option("--break", help="The router misbehaves in a way that no plan can see: watch it taken back.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the site up afterwards, to go on playing.")] = False,
) -> None:
    """The whole loop on this machine: no root, under a minute.

    An archive behind a simulated router, on loopback. Nothing is left behind.
    """
    from remediate.lab.embedded.demo import demo as show

    status = show(common.out(), partial(common.interruptible, armed={}), broken=broken, keep=_hold if keep else None)
    raise typer.Exit(status)


def _hold(site: EmbeddedSite) -> None:
    """Until Enter or Ctrl-C; without a terminal, until standard input ends."""
    console = common.out()
    i = site.layout
    console.print("\nThe site stays up until you press Enter. In another terminal:")
    for command in (
        f"remediate verify -i {site.inventory}",
        f"remediate run {site.playbook} -i {site.inventory} --diff --record {site.folder / 'record.db'}",
        f"remediate record list --record {site.folder / 'record.db'}",
        f"remediate rollback CHANGE --record {site.folder / 'record.db'}",
        f"ssh -p {i.ssh_port} -i {site.folder / 'keys' / 'id'} admin@{i.router_management}",
    ):
        console.print(f"  {command}", soft_wrap=True, markup=False)
    sys.stdin.readline()
