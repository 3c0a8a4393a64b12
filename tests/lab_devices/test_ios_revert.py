"""The revert timer: armed, confirmed, reset, triggered, expired; and configure replace."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.lab_devices.conftest import STARTUP, Start, configure, until

ARM = "configure terminal revert timer"
OPEN = [
    "    10 permit tcp any host 10.10.0.5 eq 104",
    "    20 permit tcp any any established",
    "    30 deny ip any any",
]
CLOSE = ["ip access-list extended OUTSIDE-IN", "5 deny tcp any host 10.10.0.5 eq 104"]
NOT_PENDING = "%No Rollback Confirmed Change pending"


def _list(connection: Any) -> list[str]:
    shown = connection.send_command("show ip access-lists OUTSIDE-IN")
    return [line.split(" (")[0] for line in shown.splitlines()[1:]]


def _timer(connection: Any) -> str:
    return str(connection.send_command("show archive config rollback timer"))


def test_arming_says_what_it_has_saved_and_what_is_armed(start: Start) -> None:
    connection = start().login()
    output = configure(connection, *CLOSE, revert=5)
    saved = re.search(
        r"^Rollback Confirmed Change: Backing up current running config to (flash:archive-\S+-0)\n\n"
        r"Enter configuration commands, one per line\.  End with CNTL/Z\.\n",
        output,
        re.MULTILINE,
    )
    assert saved
    assert re.fullmatch(
        r"Time configured\(or reconfigured\): \d\d:\d\d:\d\d UTC \w{3} \w{3} \d{1,2} \d{4}\n"
        r"Timer type: absolute timer\nTimer value: 5 min\nUser: admin",
        _timer(connection),
    )
    assert f"{saved[1]} <- Most Recent" in connection.send_command("show archive")
    assert "eq 104\n" in connection.send_command(f"more {saved[1]}")
    assert "deny   tcp any host 10.10.0.5 eq 104" not in connection.send_command(f"more {saved[1]}")
    differences = connection.send_command(f"show archive config differences {saved[1]}")
    assert differences.splitlines() == [
        "!Contextual Config Diffs:",
        "ip access-list extended OUTSIDE-IN",
        " +deny   tcp any host 10.10.0.5 eq 104",
    ]
    log = connection.send_command("show logging")
    assert f"%ARCHIVE_DIFF-5-ROLLBK_CNFMD_CHG_BACKUP: Backing up current running config to {saved[1]}" in log
    assert f"Scheduled to rollback to config {saved[1]} in 5 minutes" in log


def test_the_timer_fires_and_takes_everything_back(start: Start) -> None:
    """A colleague's change since goes too; startup and the login are left alone."""
    router = start("--minute", "1.0")
    connection, colleague = router.login(), router.login("colleague")
    configure(connection, *CLOSE, revert=2)
    assert _list(colleague)[0] == "    5 deny tcp any host 10.10.0.5 eq 104"
    configure(colleague, "interface Gi0/1", "description theirs")
    assert until(lambda: _timer(colleague), lambda text: text == NOT_PENDING) == NOT_PENDING
    assert _list(colleague) == OPEN
    assert "description clinic" in colleague.send_command("show running-config interface Gi0/1")
    log = colleague.send_command("show logging")
    assert re.search(r"ROLLBK_CNFMD_CHG_WARNING_ABSTIMER: .* in one minute\. Enter \"configure confirm\"", log)
    assert re.search(r"ROLLBK_CNFMD_CHG_ROLLBACK_START: Start rolling to: flash:archive-", log)
    assert "Rollback:Acquired Configuration lock." in log
    told = connection.read_channel()
    assert "Rollback Confirmed Change: Rollback will begin in one minute." in told
    assert "Rollback Confirmed Change: rolling to:flash:archive-" in told
    assert "Rollback Done" in told


def test_a_timer_outlives_the_session_that_armed_it(start: Start) -> None:
    router = start("--minute", "1.5")
    connection = router.login()
    configure(connection, *CLOSE, revert=1)
    connection.disconnect()
    other = router.login("colleague")
    assert until(lambda: _list(other), lambda shown: shown == OPEN) == OPEN


def test_a_confirmed_change_stays(start: Start) -> None:
    router = start("--minute", "1.0")
    connection, other = router.login(), router.login("colleague")
    configure(connection, *CLOSE, revert=2)
    assert connection.send_command("configure confirm") == ""
    assert _timer(connection) == NOT_PENDING
    assert connection.send_command("configure confirm").strip() == NOT_PENDING
    # a second timer, armed now, fires after the first one would have
    configure(connection, "interface Loopback9", revert=2)
    gone = until(
        lambda: other.send_command("show running-config | include Loopback9"),
        lambda text: "interface" not in text,
    )
    assert "interface" not in gone
    assert _list(other)[0] == "    5 deny tcp any host 10.10.0.5 eq 104"


def test_revert_now(start: Start) -> None:
    connection = start().login()
    configure(connection, *CLOSE, revert=120)
    output = connection.send_command("configure revert now")
    assert re.match(
        r"Rollback Confirmed Change: rolling to:flash:archive-\S+\n\nTotal number of passes: 1\nRollback Done", output
    )
    assert _list(connection) == OPEN
    assert _timer(connection) == NOT_PENDING


def test_the_timer_can_be_set_anew(start: Start) -> None:
    connection = start().login()
    configure(connection, *CLOSE, revert=5)
    connection.send_command("configure revert timer 7")
    assert "Timer value: 7 min" in _timer(connection)


def test_only_who_armed_it_may_confirm_or_revert(start: Start) -> None:
    router = start()
    connection, colleague = router.login(), router.login("colleague")
    configure(connection, *CLOSE, revert=5)
    for line in ("configure confirm", "configure revert now", "configure revert timer 9"):
        assert colleague.send_command(line).startswith("%")
    assert "Timer value: 5 min" in _timer(colleague)
    assert _list(colleague) != OPEN


def test_no_second_timer_beside_a_pending_one(start: Start) -> None:
    connection = start().login()
    configure(connection, *CLOSE, revert=5)
    connection.write_channel(f"{ARM} 9\n")
    assert "%" in connection.read_until_pattern(r"edge-1#$|edge-1\(config\)#$")
    assert not connection.check_config_mode()
    assert "Timer value: 5 min" in _timer(connection)


@pytest.mark.parametrize("without", ["archive\n path flash:archive\n", " path flash:archive\n"])
def test_without_an_archive_there_is_no_timer(start: Start, without: str) -> None:
    connection = start(startup=STARTUP.replace(without, "")).login()
    output = connection.send_command(f"{ARM} 5")
    assert output.strip() == "%Turn config archive on before using Rollback Confirmed Change"
    assert not connection.check_config_mode()
    assert connection.send_command("show archive").strip() == "Archive feature not enabled"


def test_undoing_keeps_the_numbers_and_counters_of_what_stays(start: Start) -> None:
    router = start()
    connection = router.login()
    configure(connection, "ip access-list resequence OUTSIDE-IN 100 7", *CLOSE, revert=5)
    connection.send_command("configure revert now")
    assert [
        line.split()[0] for line in connection.send_command("show ip access-lists OUTSIDE-IN").splitlines()[1:]
    ] == [
        "100",
        "107",
        "114",
    ]


def test_a_removed_entry_comes_back_in_its_place(start: Start) -> None:
    connection = start().login()
    commands = ["ip access-list extended OUTSIDE-IN", "no 10", "no 20", "permit udp any any"]
    configure(connection, *commands, revert=5)
    connection.send_command("configure revert now")
    assert _list(connection) == OPEN


def test_configure_replace(start: Start) -> None:
    connection = start().login()
    configure(connection, *CLOSE, "hostname edge-2")
    connection.set_base_prompt()
    output = connection.send_command("configure replace nvram:startup-config force", expect_string=r"edge-1#")
    assert "Total number of passes: 1\nRollback Done" in output
    connection.set_base_prompt()
    assert _list(connection) == OPEN
    assert connection.send_command("show archive config differences") == "!No changes were found"


def test_the_archive_keeps_only_so_many(start: Start) -> None:
    connection = start().login()
    configure(connection, "archive", "maximum 2", "write-memory")
    for _ in range(3):
        connection.save_config()
    shown = connection.send_command("show archive")
    assert "There are currently 2 archive configurations saved." in shown
    assert re.findall(r"^   (\d) +flash:archive-\S+-(\d)", shown, re.MULTILINE) == [("1", "1"), ("2", "2")]


def test_a_router_that_forgets_a_confirm(start: Start) -> None:
    router = start("--minute", "1.5", "--misbehave", "forgets-confirm")
    connection, other = router.login(), router.login("colleague")
    configure(connection, *CLOSE, revert=2)
    connection.write_channel("configure confirm\n")
    assert until(lambda: _list(other), lambda shown: shown == OPEN) == OPEN
