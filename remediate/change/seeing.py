"""Whether anybody will see what a change does to an archive: known when it is planned, and refused then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from remediate import policy
from remediate.errors import PlanError
from remediate.model.site import Pacs, Site, Vantage, Zone
from remediate.model.verdict import Purpose, Unasked
from remediate.playbook import Play
from remediate.policy import Expected

_ACCEPTED = (
    "no vantage inside looks at it, which was accepted by name (accept_unseen): that its peers stay served is proved "
    "by the simulation alone"
)
#: Controls after which nobody is served at a published address but who comes by another way.
_SHUT_TO_ALL = {"unpublish": "switches that address off", "vpn_only": "lets in nobody by that address"}


def check_names(play: Play, site: Site) -> None:
    """Raises PlanError for an archive in ``accept_unseen`` that there is not."""
    for name in play.accept_unseen:
        if name not in site.pacs:
            near = get_close_matches(name, site.pacs, 1)
            raise PlanError(
                f"accept_unseen names {name}, and no PACS is called so",
                where=f"play {play.name!r}",
                next=f"did you mean {near[0]}?" if near else f"there are: {', '.join(site.pacs)}",
            )


def check(
    play: Play,
    members: Iterable[Pacs],
    places: Sequence[Vantage],
    expected: Mapping[str, Expected],
    bystanders: Collection[str],
) -> None:
    """Raises PlanError for an archive whose verdict could only be inconclusive, and for a peer that comes in by what is
    to be shut to everybody.

    ``bystanders``: archives for which nothing is configured.
    """
    for pacs in members:
        if not pacs.addresses.outside and (public := policy.routed(pacs)):
            raise PlanError(
                f"its address {public[0]} is a public one, and addresses.outside does not name it: nobody would ask "
                "from outside whether it is closed",
                where=pacs.name,
                next="name it in addresses.outside too, or take the archive out of `hosts`",
            )
        if pacs.name in bystanders:
            continue
        _check_outside(play, pacs, expected[pacs.name])
        _check_inside(play, pacs, expected[pacs.name])
        _check_peers(play, pacs, places)


def unseen_inside(expected: Expected | None) -> bool:
    return expected is not None and not _asks(expected, Purpose.CARE_PATH)


def unasked(name: str, play: Play, expected: Expected) -> tuple[Unasked, ...]:
    """The sides that its verdict does without: where it has nothing, and what was accepted by name."""
    accepted = name in play.accept_unseen and unseen_inside(expected)
    return (*expected.unasked, *([Unasked(purpose=Purpose.CARE_PATH, why=_ACCEPTED)] if accepted else []))


def _asks(expected: Expected, purpose: Purpose) -> bool:
    return any(expectation.purpose is purpose for expectation in expected.expectations)


def _check_outside(play: Play, pacs: Pacs, expected: Expected) -> None:
    without = {side.purpose for side in expected.unasked}
    if play.observes or Purpose.OUTSIDE_CLOSED in without or _asks(expected, Purpose.OUTSIDE_CLOSED):
        return
    raise PlanError(
        "no vantage outside looks at it, so nobody could see that it is closed, and the change would be taken back",
        where=pacs.name,
        next="add a vantage with zone: outside and without peer to the inventory, and name it in verify: {from: [...]}",
    )


def _check_inside(play: Play, pacs: Pacs, expected: Expected) -> None:
    if not unseen_inside(expected) or pacs.name in play.accept_unseen:
        return
    raise PlanError(
        "no vantage inside looks at it, so nobody could see that its peers stay served, and the change would be taken "
        f"back{_whom(pacs)}",
        where=pacs.name,
        next="add a vantage in a peer's place ({zone: inside, peer: NAME}) to the inventory, and name it in verify: "
        "{from: [...]}; or let what the outside sees and the simulation be enough for this archive, by name in the "
        f"play: accept_unseen: [{pacs.name}]",
    )


def _whom(pacs: Pacs) -> str:
    peers = ", ".join(peer.name for peer in pacs.access.peers)
    return f" (its peers: {peers})" if peers else " (it has no peers)"


def _check_peers(play: Play, pacs: Pacs, places: Iterable[Vantage]) -> None:
    shut = [control for control in play.controls if control in _SHUT_TO_ALL]
    for vantage in places if shut else ():
        peer = policy.standing(pacs, vantage)
        if peer is not None and vantage.zone is Zone.OUTSIDE:
            raise PlanError(
                f"peer {peer.name} comes in by the published address, as vantage {vantage.name} stands in its place "
                f"outside, and {shut[0]} {_SHUT_TO_ALL[shut[0]]}: the peer would be cut off",
                where=pacs.name,
                next="bring it in through a VPN (via: vpn), or use acl, which lets it through",
            )
