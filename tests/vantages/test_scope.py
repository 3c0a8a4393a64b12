"""Who may be asked: at each dial, before a packet leaves."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate import probes
from remediate.errors import ScopeError
from remediate.model.observation import Rung
from remediate.model.site import Authorisation, IPAddress, IPNetwork, LocalVia, Scope
from remediate.vantages import Lookout

from .places import greets, question, serving, site

LAST_DAY = date(2027, 3, 31)
ADDRESSES = st.ip_addresses()
DAYS = st.dates(date(2020, 1, 1), date(2040, 12, 31))


def leave(network: str, *, expires: date = LAST_DAY, reference: str = "TICKET-1") -> Authorisation:
    return Authorisation(network=ip_network(network), reference=reference, expires=expires)


def around(address: IPAddress, bits: int) -> IPNetwork:
    return ip_network((address, bits), strict=False)


NETWORKS = st.one_of(
    st.builds(around, st.ip_addresses(v=4), st.integers(1, 32)),
    st.builds(around, st.ip_addresses(v=6), st.integers(1, 128)),
)


@given(st.lists(st.builds(Authorisation, network=NETWORKS, reference=st.just("T"), expires=DAYS)), ADDRESSES, DAYS)
def test_any_networks_and_days(
    authorised: list[Authorisation], address: IPv4Address | IPv6Address, today: date
) -> None:
    """Against the definition: one authorisation that holds it and has not ended, by whole numbers."""

    def holds(network: IPNetwork) -> bool:
        low = int(network.network_address)
        return network.version == address.version and low <= int(address) < low + network.num_addresses

    allowed = any(holds(one.network) and today <= one.expires for one in authorised)
    for addresses in (None, frozenset({address})):
        scope = Scope(addresses=addresses, authorised=tuple(authorised))
        if allowed or (addresses and not authorised):
            scope.check(address, 104, today)
        else:
            with pytest.raises(ScopeError, match="nothing was sent"):
                scope.check(address, 104, today)


@given(NETWORKS, st.data())
def test_every_address_of_a_network_is_in_it(network: IPNetwork, data: st.DataObject) -> None:
    number = data.draw(st.integers(int(network.network_address), int(network.broadcast_address)))
    address = IPv4Address(number) if network.version == 4 else IPv6Address(number)
    scope = Scope(addresses=None, authorised=(leave(str(network)),))
    scope.check(address, 104, LAST_DAY)
    assert scope.ended(address, LAST_DAY + timedelta(1))


def test_nothing_is_in_an_empty_scope() -> None:
    for scope in (Scope(addresses=None), Scope(addresses=frozenset())):
        with pytest.raises(ScopeError):
            scope.check(ip_address("192.0.2.1"), 104, LAST_DAY)


def test_an_authorisation_counts_to_the_end_of_its_last_day_and_is_asked_for_at_each_dial() -> None:
    today = LAST_DAY
    connections = 0
    second = asyncio.Event()

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 2:
            second.set()
        await greets(reader, writer)

    async def main() -> None:
        nonlocal today
        async with serving(counts) as port:
            described = site("127.0.0.1", canaries=(("127.0.0.1", port),), here=LocalVia())
            allowed = (leave("127.0.0.0/8", expires=date(2026, 1, 1), reference="OLD"), leave("127.0.0.0/16"))
            lookout = Lookout(described.model_copy(update={"authorised": allowed}), ["here"], today=lambda: today)
            await lookout.open()
            assert (await probes.observe(lookout.dial, question(port), 1)).rung is Rung.OPEN
            assert (await lookout.canaries("here")).alive
            async with asyncio.timeout(60):
                await second.wait()  # the server of this very loop gets its turn
            today += timedelta(days=1)
            words = "the authorisation TICKET-1 for 127.0.0.0/16 ended on 2027-03-31"
            for asked in (probes.observe(lookout.dial, question(port), 1), lookout.canaries("here")):
                with pytest.raises(ScopeError, match=words):
                    await asked
            today = LAST_DAY
            assert (await probes.observe(lookout.dial, question(port), 1)).rung is Rung.OPEN
            await lookout.aclose()

    asyncio.run(main())
    assert connections == 3


def test_an_address_of_the_inventory_that_nobody_allowed() -> None:
    async def main() -> None:
        described = site("127.0.0.1", here=LocalVia()).model_copy(update={"authorised": (leave("192.0.2.0/24"),)})
        lookout = Lookout(described, ["here"])
        await lookout.open()
        with pytest.raises(ScopeError, match="no authorisation covers this address"):
            await probes.observe(lookout.dial, question(104), 1)
        await lookout.aclose()

    asyncio.run(main())
