"""Who answers for a change: the approver signs the plan, the operator the start of its run, the closer its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from remediate.errors import NotApproved, SignatureError, UsageError
from remediate.model.base import Value, canonical
from remediate.model.change import Entry, Plan
from remediate.record import signing

#: Namespaces of the three signatures: none can stand for another.
APPROVER, OPERATOR, CLOSER = "remediate-plan", "remediate-run", "remediate-close"


class Approval(Value):
    """The file beside a plan. ``principal``: who the approver is said to be; None: the key's own name.

    ``signature``: over the plan's hash and a line feed. ``at`` is not signed.
    """

    plan_sha256: str
    principal: str | None
    signature: str
    at: datetime


class Signed(Value):
    """One signature, complete: ``message`` and ``namespace`` are what was signed."""

    principal: str
    fingerprint: str
    namespace: str
    message: str
    signature: str


@dataclass(frozen=True)
class Hand:
    """A person at this machine. ``principal``: who it is, where the key has several names."""

    key: Path
    principal: str | None = None

    def sign(self, namespace: str, message: str) -> str:
        return signing.sign(self.key, namespace, message)


def place(plan: Path) -> Path:
    """Where a plan's approval is."""
    return plan.with_name(f"{plan.name}.approval")


def check_wanted(plan: Plan) -> None:
    if not plan.allowed_signers:
        raise UsageError(
            "the plan asks for no approval",
            next="write  approval: {allowed_signers: FILE}  into its play, and plan again",
        )


def approve(plan: Plan, hand: Hand) -> tuple[Approval, signing.Signer]:
    """Signed, and checked at once against what the run will check it against."""
    check_wanted(plan)
    signature = hand.sign(APPROVER, _of_plan(plan))
    signer = _signers(plan, signature, APPROVER, _of_plan(plan), hand.principal)[0]
    made = Approval(
        plan_sha256=plan.digest,
        principal=hand.principal,
        signature=signature,
        at=datetime.now(UTC).replace(microsecond=0),
    )
    return made, signer


def read(plan: Path) -> Approval | None:
    """None: there is none."""
    path = place(plan)
    try:
        return Approval.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotApproved(f"the approval cannot be read: {error.strerror}", where=str(path), next=_HOW) from error
    except ValueError as error:
        raise NotApproved("this is not an approval", where=str(path), next=_HOW) from error


_HOW = "remediate approve PLAN --key KEY, by somebody else than you"


def missing() -> NotApproved:
    return NotApproved(
        "the plan needs a second person's approval, and there is none",
        next="remediate plan PLAYBOOK --out PLAN; somebody else: remediate approve PLAN --key KEY; then remediate run "
        "PLAN --key KEY. In an emergency: --emergency REASON",
    )


def approver(plan: Plan, approval: Approval | None) -> list[signing.Signer]:
    """Who approved that very plan, as each file of allowed signers names them. Raises NotApproved."""
    if approval is None:
        raise missing()
    if approval.plan_sha256 != plan.digest:
        raise NotApproved(
            f"the approval is for another plan\n  approved: {approval.plan_sha256}\n  this one: {plan.digest}",
            next="the plan was changed after it was approved: see by whom, and have this one approved",
        )
    try:
        return _signers(plan, approval.signature, APPROVER, _of_plan(plan), approval.principal)
    except SignatureError as error:
        raise NotApproved(
            f"the approval does not count: {error.what}\n  this plan: {plan.digest}", where=error.where, next=error.next
        ) from error


def check(plan: Plan, approval: Approval | None, hand: Hand | None, change: str) -> dict[str, Any]:
    """For the journal: the approver's and the operator's signatures. Raises NotApproved, SignatureError.

    Approver and operator differ in every name that their keys have among the allowed signers, and so in key.
    """
    approvers = approver(plan, approval)
    assert approval is not None  # or there would be no approver
    if hand is None:
        raise NotApproved("who runs an approved plan signs too", next="give your key: --key KEY, or REMEDIATE_KEY")
    message = f"{change} {plan.digest}\n"
    signature = hand.sign(OPERATOR, message)
    operators = _signers(plan, signature, OPERATOR, message, hand.principal)
    for first, second in zip(approvers, operators, strict=True):
        if set(first.principals) & set(second.principals):  # one key has the same names for both
            raise NotApproved(
                f"approver ({first.principal}, {first.fingerprint}) and operator ({second.principal}, "
                f"{second.fingerprint}) are the same person",
                next="let somebody else approve the plan, or run it",
            )
    return {
        "signatures": {
            "approver": _signed(approvers[0], APPROVER, _of_plan(plan), approval.signature),
            "operator": _signed(operators[0], OPERATOR, message, signature),
        }
    }


def close(plan: Plan, hand: Hand, last: Entry) -> dict[str, Any]:
    """For the journal: a signature over its last entry, and so over all before it. Raises SignatureError."""
    message = f"{last.change} {last.seq} {last.hash}\n"
    signature = hand.sign(CLOSER, message)
    closer = _signers(plan, signature, CLOSER, message, hand.principal)[0]
    return {"signatures": {"closer": _signed(closer, CLOSER, message, signature)}}


def as_text(made: Approval) -> str:
    return canonical(made.model_dump(mode="json")) + "\n"


def _signers(plan: Plan, signature: str, namespace: str, message: str, who: str | None) -> list[signing.Signer]:
    """Each file of allowed signers that a play names must know the key."""
    return [signing.verify(signature, namespace, message, Path(file), who) for file in plan.allowed_signers]


def _signed(signer: signing.Signer, namespace: str, message: str, signature: str) -> dict[str, Any]:
    made = Signed(
        principal=signer.principal,
        fingerprint=signer.fingerprint,
        namespace=namespace,
        message=message,
        signature=signature,
    )
    return made.model_dump(mode="json")


def _of_plan(plan: Plan) -> str:
    return f"{plan.digest}\n"
