"""Rule lists: the guard's entries, first-match simulation, and the proof that a list does what was meant. Pure."""

from remediate.rules.effect import effect
from remediate.rules.guard import entries
from remediate.rules.proof import prove
from remediate.rules.published import prove_unpublished, unpublished, unpublished_entry
from remediate.rules.simulate import Packet, first_match

__all__ = [
    "Packet",
    "effect",
    "entries",
    "first_match",
    "prove",
    "prove_unpublished",
    "unpublished",
    "unpublished_entry",
]
