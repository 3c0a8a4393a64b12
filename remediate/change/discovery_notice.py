"""What a discovery is going to ask, before it does: for the security desk and the networks' owners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from remediate.change.discovery import Hunt
from remediate.inventory.kept import ANY_AE_TITLE
from remediate.inventory.ports import How
from remediate.model.base import AETitle, Name, Port, Value, span
from remediate.model.site import Authorisation, Canary, IPNetwork
from remediate.policy import PROBE_AE_TITLE


class Asked(Value):
    """``everywhere``: at each address, or only where an archive was found."""

    port: Port
    how: How
    name: str
    source: str
    everywhere: bool


class Notice(Value):
    """``at_least``, ``if_silent``: about how many seconds it takes where every port answers, and where none does."""

    starts: datetime
    at_least: float
    if_silent: float
    vantage: Name
    place: str
    calling_ae_title: AETitle
    called_ae_title: AETitle
    networks: tuple[IPNetwork, ...]
    addresses: int
    ports: tuple[Asked, ...]
    per_host: float | None
    per_site: float | None
    canaries: tuple[Canary, ...]
    authorised: tuple[Authorisation, ...]

    def lines(self) -> list[str]:
        asked = [one for one in self.ports if one.everywhere]
        beside = [one for one in self.ports if not one.everywhere]
        longest = self.starts + timedelta(seconds=self.if_silent)
        shortest = span(timedelta(seconds=self.at_least))
        when = f"from {self.starts:%Y-%m-%d %H:%M:%S} UTC"
        found = [
            f"{when}: sweeping {self.addresses} addresses from {self.vantage} ({self.place})",
            f"for about {shortest} if every port answers, until about {longest:%Y-%m-%d %H:%M:%S} UTC if none does",
            f"networks: {', '.join(map(str, self.networks))}",
            f"at each address, one port at a time: {', '.join(f'{one.how} {one.port}' for one in asked)}",
        ]
        if beside:
            named = ", ".join(f"{one.name} {one.port}" for one in beside)
            found.append(f"where an archive is found, open or closed only: {named}")
        found.append(f"calling AE title: {self.calling_ae_title}, to {self.called_ae_title}, associated and released")
        pace = [
            f"{rate:g} connections a second {where}"
            for rate, where in ((self.per_site, "to all"), (self.per_host, "to one address"))
            if rate
        ]
        found.append(f"at most {', '.join(pace)}" if pace else "without a limit (data.limits)")
        found += [f"allowed by {one.reference}: {one.network} until {one.expires}" for one in self.authorised]
        return found

    def listing(self) -> list[str]:
        """``lines``, and where each port is from, and every canary."""
        found = self.lines()
        found += [f"{one.how} {one.port}: {one.name} ({one.source})" for one in self.ports]
        found += [f"canary at {one.address} port {one.port}, before and after" for one in self.canaries]
        return found


def of(hunt: Hunt) -> Notice:
    """Of a discovery that starts now."""
    at_least, if_silent = hunt.seconds
    first = set(hunt.first)
    networks = hunt.ranges.networks
    return Notice(
        starts=datetime.now(UTC).replace(microsecond=0),
        at_least=at_least,
        if_silent=if_silent,
        vantage=hunt.vantage.name,
        place=hunt.vantage.via.words,
        calling_ae_title=PROBE_AE_TITLE,
        called_ae_title=ANY_AE_TITLE,
        networks=networks,
        addresses=hunt.ranges.count,
        ports=tuple(
            Asked(port=one.port, how=one.how, name=one.name, source=one.source, everywhere=one in first)
            for one in (*hunt.first, *hunt.beside)
        ),
        per_host=hunt.limits.per_host,
        per_site=hunt.limits.per_site,
        canaries=hunt.vantage.canaries,
        authorised=tuple(one for one in hunt.scope.authorised if any(n.overlaps(one.network) for n in networks)),
    )
