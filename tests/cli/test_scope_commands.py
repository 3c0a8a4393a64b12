"""What commands say before they ask, and that they ask nothing where they may not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.prompt import SECRET, User

TODAY = datetime.now(UTC).date()


def scope(*entries: tuple[str, str, int]) -> str:
    """Network, reference, days from today."""
    lines = [
        f"    - {{network: {network}, reference: {reference}, expires: {TODAY + timedelta(days=days)}}}\n"
        for network, reference, days in entries
    ]
    return "data:\n  scope:\n" + "".join(lines)


@pytest.mark.parametrize(
    "command",
    [
        ("inventory", "check"),
        ("verify",),
        ("verify", "--list-probes"),
        ("plan", "book.yaml"),
        ("run", "book.yaml"),
    ],
)
def test_an_authorisation_that_has_ended_stops_what_asks(user: User, command: tuple[str, ...]) -> None:
    user.write("inventory/defaults.yaml", scope(("127.0.0.0/28", "TICKET-1", 2), ("127.0.0.16/28", "TICKET-2", -1)))
    said = user.types(*command)
    assert (said.status, said.network) == (2, [])
    ended = f"ended on {TODAY - timedelta(days=1)}"
    assert f"pacs-north: addresses: 127.0.0.20: the authorisation TICKET-2 for 127.0.0.16/28 {ended}" in said.err
    assert "TICKET-1" not in said.err
    assert user.types("inventory", "show").status == 0


def test_the_inventory_check_names_what_is_outside(user: User) -> None:
    user.write("inventory/defaults.yaml", scope(("127.0.0.0/28", "TICKET-1", 2)))
    said = user.types("inventory", "check")
    assert said.status == 2
    assert "pacs-north: data.addresses: 127.0.0.20 is in no network of data.scope (defaults.yaml)" in said.err


def test_a_listing_asks_nothing(user: User) -> None:
    user.write("inventory/defaults.yaml", scope(("127.0.0.0/8", "TICKET-1", 2)))
    said = user.types("verify", "--list-probes")
    assert (said.status, said.network, said.err) == (0, [], "")
    assert said.out.splitlines()[1:] == [
        "calling AE titles: RMD_PROBE from internet, CLINICMOD from clinic",
        "pacs-north: 2 questions, 2 DICOM associations or more one after the other, at most 8",
        f"allowed by TICKET-1: 127.0.0.0/8 until {TODAY + timedelta(days=2)}",
        "dicom at 127.0.0.20:104 of pacs-north, from internet as RMD_PROBE to ORTHANC",
        "dicom at 127.0.0.5:104 of pacs-north, from clinic as CLINICMOD to ORTHANC",
        "canary at 127.0.0.1 port 9, from internet, before and after",
    ]
    listed = json.loads(user.types("verify", "--list-probes", "--format", "json").out)
    assert [question["port"] for question in listed["questions"]] == [104, 104]
    assert user.types("verify", "--list-probes", "--format", "nagios").status != 0


def test_the_notice_is_for_a_person(user: User) -> None:
    """Standard error is no terminal here."""
    loud, quiet = user.types("verify", "-v"), user.types("verify")
    assert "notice: calling AE titles: RMD_PROBE from internet" in loud.err
    assert "notice:" not in quiet.err and "notice:" not in loud.out


def test_the_password_of_a_socks_server_is_never_shown(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKS_PASSWORD", SECRET)
    user.change(
        "inventory/hosts.yaml",
        'via: {ssh: "probe@127.0.0.1:9"}',
        'via: {socks: "probe@127.0.0.1:9"}, socks: {password: env:SOCKS_PASSWORD}',
    )
    for options in (["inventory", "show"], ["inventory", "show", "--format", "json"], ["verify", "-v"]):
        said = user.types(*options)
        assert SECRET not in said.out + said.err
    assert "clinic (127.0.0.1 port 9): the SOCKS server cannot be reached" in said.err
