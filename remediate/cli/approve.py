"""``remediate approve``: a second person answers for a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from remediate.cli import common
from remediate.errors import Interrupted, NotApproved, UsageError


def approve(
    plan: Annotated[Path, typer.Argument(help="A plan that `remediate plan --out` wrote.")],
    key: common.Key = None,
    principal: common.Principal = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; you have read the plan.")] = False,
) -> None:
    """Show a plan, ask, and sign its hash.

    The signature is written beside the plan, for `remediate run PLAN` by somebody else.
    """
    from remediate.change import approval, planning
    from remediate.report import private, tables

    made = planning.parse(plan)
    hand = common.hand(key, principal)
    if hand is None:
        raise UsageError(
            "an approval is signed with your key",
            next="give --key KEY, or REMEDIATE_KEY: a private key, or the .pub of one that ssh-agent holds",
        )
    approval.check_wanted(made)
    if not yes and not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask whether the plan is right", next="run it in a terminal; or with --yes"
        )
    common.err().print(tables.plan(made, diff=True))
    if not yes and not _agreed():
        raise NotApproved("nothing was approved", next="say what is wrong to whoever made the plan")
    signed, signer = approval.approve(made, hand)
    to = approval.place(plan)
    private.write(
        to, approval.as_text(signed), "the approval", "copy the plan to a folder of yours, and bring the approval back"
    )
    common.out().print(
        f"plan {made.digest[:12]} approved by {signer.principal} ({signer.fingerprint}): {to}", markup=False
    )


def _agreed() -> bool:
    try:
        return typer.confirm("approve this plan?", err=True)
    except typer.Abort as error:  # Ctrl-C, or the end of what is typed
        raise Interrupted("nothing was approved", next="run it again to approve it") from error
