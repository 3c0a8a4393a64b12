"""``scope`` and ``limits`` of defaults.yaml, SOCKS vantages, and canaries behind a device."""

from __future__ import annotations

from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from remediate.errors import InventoryError
from remediate.inventory import load
from remediate.inventory.scope import GENTLE
from remediate.model.site import Authorisation, Limits, SocksVia

from .test_inventory import DESIGN, vantage, write

SCOPE = """\
data:
  scope:
    - {network: 10.10.0.0/16, reference: TICKET-1, expires: 2027-03-31}
    - {network: 203.0.113.0/24, reference: Letter of 2 May, expires: 2027-06-30}
    - {network: 203.0.113.20/32, reference: TICKET-2, expires: 2026-12-31}
"""


def test_a_scope(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, DESIGN, defaults=SCOPE))
    assert loaded.site.authorised == (
        Authorisation(network=ip_network("10.10.0.0/16"), reference="TICKET-1", expires=date(2027, 3, 31)),
        Authorisation(network=ip_network("203.0.113.0/24"), reference="Letter of 2 May", expires=date(2027, 6, 30)),
        Authorisation(network=ip_network("203.0.113.20/32"), reference="TICKET-2", expires=date(2026, 12, 31)),
    )
    assert loaded.site.scope().authorised == loaded.site.authorised
    assert load(write(tmp_path / "without", DESIGN)).site.authorised == ()


def test_what_has_ended_is_said_with_reference_and_date(tmp_path: Path) -> None:
    """The inventory can still be read: a change that is under way must be able to be taken back."""
    loaded = load(write(tmp_path, DESIGN, defaults=SCOPE))
    loaded.check_authorised(date(2027, 3, 31))  # TICKET-2 has ended, and the letter covers that address too
    with pytest.raises(InventoryError) as one:
        loaded.check_authorised(date(2027, 4, 1))
    assert one.value.problems == (
        "pacs-north: addresses: 10.10.0.5: the authorisation TICKET-1 for 10.10.0.0/16 ended on 2027-03-31",
    )
    with pytest.raises(InventoryError) as all_of_them:
        loaded.check_authorised(date(2027, 7, 1))
    letter = "the authorisation Letter of 2 May for 203.0.113.0/24 ended on 2027-06-30"
    other = "the authorisation TICKET-2 for 203.0.113.20/32 ended on 2026-12-31"
    assert all_of_them.value.problems[1:] == (
        f"pacs-north: addresses: 203.0.113.20: {letter}; {other}",
        f"internet: canaries: 203.0.113.1: {letter}",
    )
    assert "data.scope of defaults.yaml" in str(all_of_them.value)


def test_limits(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a", DESIGN)).site.limits == GENTLE
    some = load(write(tmp_path / "b", DESIGN, defaults="data: {limits: {per_host: 0.5, associations: 12}}"))
    assert some.site.limits == Limits(per_host=0.5, per_site=GENTLE.per_site, associations=12)


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("socks.example", SocksVia(host="socks.example")),
        ("127.0.0.1:9050", SocksVia(host="127.0.0.1", port=9050)),
        ("'[2001:db8::1]:1081'", SocksVia(host="2001:db8::1", port=1081)),
    ],
)
def test_socks(tmp_path: Path, written: str, made: SocksVia) -> None:
    folder = write(tmp_path, vantage(f"{{zone: inside, via: {{socks: {written}}}}}"))
    assert load(folder).site.vantages["spare"].via == made


def test_the_password_of_a_socks_server_is_its_own_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKS_PASSWORD", "Tr0ub4dor")
    data = "{zone: inside, via: {socks: 'probe@socks.example:9'}, socks: {password: env:SOCKS_PASSWORD}}"
    site = load(write(tmp_path, vantage(data), defaults="password: env:HOME")).site
    via = site.vantages["spare"].via
    assert isinstance(via, SocksVia) and via.password is not None
    assert (via.username, via.port, via.password.get_secret_value()) == ("probe", 9, "Tr0ub4dor")
    assert "Tr0ub4dor" not in f"{site!r}{site.model_dump()}{site.model_dump_json()}"


@pytest.mark.parametrize(("length", "fits"), [(255, True), (256, False)])
def test_a_socks_password_has_at_most_255_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, fits: bool
) -> None:
    monkeypatch.setenv("SOCKS_PASSWORD", "x" * length)
    folder = write(tmp_path, vantage("{zone: inside, via: {socks: p@h}, socks: {password: env:SOCKS_PASSWORD}}"))
    if fits:
        load(folder)
    else:
        with pytest.raises(InventoryError, match="longer than 255 bytes"):
            load(folder)


def test_a_canary_behind_a_device(tmp_path: Path) -> None:
    text = DESIGN.replace("port: 443}", "port: 443, behind: fw-north}")
    (canary,) = load(write(tmp_path, text)).site.vantages["internet"].canaries
    assert (canary.address, canary.port, canary.behind) == (ip_address("203.0.113.1"), 443, "fw-north")
