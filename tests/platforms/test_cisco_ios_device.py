"""The driver against a router process: a command line over SSH, with a revert timer of its own."""

from __future__ import annotations

import getpass
import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest
from pydantic import SecretStr

from remediate.change import guarding
from remediate.errors import (
    AuthenticationFailed,
    CommandRejected,
    DeviceError,
    DeviceUnreachable,
    DriftError,
    HostKeyError,
    NeedsHands,
    PendingChange,
)
from remediate.model.change import Candidate, Section, Token
from remediate.model.device import Device, Guard, Login
from remediate.model.rule import Intent
from remediate.platforms import ABSENT, ARMED, ARMING, CONFIRMED, REVERTED, STUCK, Pace, cisco_ios
from remediate.platforms.cisco_ios.driver import CiscoIos
from remediate.platforms.session import Reply
from remediate.render import Renderer
from tests.lab_devices.conftest import STARTUP, Process, configure, started
from tests.platforms.ios import EDGE, edge_intent

SPEC = cisco_ios.SPEC
TOKEN = Token("20260102-1.1.edge-1")
FIVE = timedelta(minutes=5)


class Router:
    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        host, port = process.address
        key = paramiko.PKey.from_path(folder / "host_key")
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"[{host}]:{port} {key.get_name()} {key.get_base64()}\n")
        self.user = Login(
            host=host, port=port, username="admin", password=SecretStr("open-door"), known_hosts=str(known_hosts)
        )
        self._open = ExitStack()

    def connect(self, device: Device = EDGE, **login: Any) -> CiscoIos:
        driver = SPEC.connect(device, self.user.model_copy(update=login))
        self._open.callback(driver.close)
        return driver

    def colleague(self) -> Any:
        return self.process.login("colleague")

    def close(self) -> None:
        self._open.close()


Start = Callable[..., Router]


@contextmanager
def running_router(folder: Path, startup: str = STARTUP, *options: str) -> Iterator[Router]:
    with started(folder, startup, *options) as process:
        router = Router(process, folder)
        try:
            yield router
        finally:
            router.close()


@pytest.fixture(params=["next-entry", "end"])
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """A router of either kind: which of the two a train is, by where its remarks go, nobody can tell."""
    with ExitStack() as stack:

        def run(*options: str, startup: str = STARTUP) -> Router:
            return stack.enter_context(running_router(tmp_path, startup, "--remarks", request.param, *options))

        yield run


def made(driver: CiscoIos, *intents: Intent, device: Device = EDGE) -> Candidate:
    running = driver.running_config()
    return guarding.candidate(device, guarding.sections(device, intents, running), running, Renderer())


def taken_away(driver: CiscoIos, *intents: Intent) -> Candidate:
    running = driver.running_config()
    now = SPEC.read(EDGE, running).sections
    gone = [Section(name=i.section, intent=i, rules=None, previous=now[i.section]) for i in intents]
    return guarding.candidate(EDGE, gone, running, Renderer())


def pushed(driver: CiscoIos, candidate: Candidate, token: Token = TOKEN) -> None:
    driver.load_merge_candidate(candidate, TOKEN)
    driver.commit_config(token=token, revert_in=FIVE, message=token)


def test_a_push_is_armed_confirmed_and_saved(start: Start) -> None:
    router = start()
    driver = router.connect()
    assert driver.preflight() == ()
    before = driver.running_config()
    candidate = made(driver, edge_intent())
    pushed(driver, candidate)
    state = driver.state_of(TOKEN)
    assert state.name == ARMED
    assert 0 < state.seconds_left <= 300
    guarding.check_applied(EDGE, candidate, driver.running_config(), before)
    pending = router.connect().pending()
    assert pending is not None
    assert (pending.token, pending.ours) == (TOKEN, True)
    SPEC.try_login(EDGE, router.user)
    driver.confirm_commit(TOKEN)
    assert driver.state_of(TOKEN).name == CONFIRMED
    assert driver.pending() is None
    assert driver.save(TOKEN) == "startup-config"
    assert driver.preflight() == ()
    startup = router.colleague().send_command("show startup-config")
    assert "deny   tcp any host 203.0.113.20 eq 11112" in startup


def test_what_a_preflight_has_read_counts_once_and_only_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    router = start()
    driver = router.connect()
    typed: list[str] = []
    say = driver._session.say

    def noted(line: str, **options: Any) -> Reply:
        typed.append(line)
        return say(line, **options)

    monkeypatch.setattr(driver._session, "say", noted)
    monkeypatch.setattr("remediate.platforms.cisco_ios.driver._FRESH", 60.0)
    assert driver.preflight() == ()
    before = driver.running_config()
    assert typed.count("show running-config") == 1
    configure(router.colleague(), "interface GigabitEthernet0/1", "description theirs, meanwhile")
    theirs = driver.running_config()
    assert "theirs, meanwhile" not in before
    assert "theirs, meanwhile" in theirs
    driver.preflight()
    configure(router.colleague(), "interface GigabitEthernet0/1", "description theirs, later")
    monkeypatch.setattr("remediate.platforms.cisco_ios.driver._FRESH", 0.0)
    assert "theirs, later" in driver.running_config()


def test_the_shortest_timer_warns_while_the_lines_are_typed(start: Start) -> None:
    driver = start().connect()
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=1), message="")
    assert driver.state_of(TOKEN).name == ARMED
    driver.confirm_commit(TOKEN)


def test_the_second_time_there_is_nothing_to_do(start: Start) -> None:
    driver = start().connect()
    pushed(driver, made(driver, edge_intent()))
    driver.confirm_commit(TOKEN)
    again = made(driver, edge_intent())
    assert again.text == ""
    assert [s.rules for s in again.sections] == [s.previous for s in again.sections]


def test_another_archive_later_and_both_away_again(start: Start) -> None:
    driver = start().connect()
    before = SPEC.read(EDGE, driver.running_config())
    one, two = edge_intent(), edge_intent(pacs="pacs-south", door="203.0.113.21")
    for number, candidate_of in enumerate([one, two]):
        pushed(driver, made(driver, candidate_of), Token(f"push.{number}"))
        driver.confirm_commit(Token(f"push.{number}"))
        driver.save(Token(f"push.{number}"))
    both = SPEC.read(EDGE, driver.running_config())
    assert set(both.sections) == {one.section, two.section}
    assert both.foreign == before.foreign
    pushed(driver, taken_away(driver, one), Token("push.3"))
    driver.confirm_commit(Token("push.3"))
    driver.save(Token("push.3"))
    assert set(SPEC.read(EDGE, driver.running_config()).sections) == {two.section}
    pushed(driver, taken_away(driver, two), Token("push.4"))
    assert driver.state_of(Token("push.4")).name == ARMED
    driver.confirm_commit(Token("push.4"))
    after = SPEC.read(EDGE, driver.running_config())
    assert (after.sections, after.foreign) == (before.sections, before.foreign)


def test_the_timer_fires(start: Start) -> None:
    router = start("--minute", "0.5")
    driver = router.connect()
    before = driver.running_config()
    pushed(driver, candidate := made(driver, edge_intent()))
    deadline = time.monotonic() + 60
    while driver.state_of(TOKEN).name == ARMED and time.monotonic() < deadline:
        pass
    assert driver.state_of(TOKEN).name == REVERTED
    assert router.connect().state_of(TOKEN).name == ABSENT
    guarding.check_restored(EDGE, candidate, driver.running_config(), before)
    assert SPEC.read(EDGE, driver.running_config()) == SPEC.read(EDGE, before)
    with pytest.raises(DeviceError, match="is reverted, not confirmed"):
        driver.confirm_commit(TOKEN)


def test_reverted_now(start: Start) -> None:
    router = start()
    driver = router.connect()
    before = driver.running_config()
    candidate = made(driver, edge_intent())
    pushed(driver, candidate)
    router.connect().rollback(TOKEN, candidate)
    assert driver.state_of(TOKEN).name == REVERTED
    assert driver.pending() is None
    assert SPEC.read(EDGE, driver.running_config()) == SPEC.read(EDGE, before)


def test_a_confirmed_change_is_taken_back_by_its_inverse(start: Start) -> None:
    router = start()
    driver = router.connect()
    before = SPEC.read(EDGE, driver.running_config())
    candidate = made(driver, edge_intent())
    pushed(driver, candidate)
    driver.confirm_commit(TOKEN)
    configure(router.colleague(), "interface GigabitEthernet0/1", "description theirs, meanwhile")
    other = router.connect()
    other.rollback(TOKEN, candidate)
    assert other.state_of(TOKEN).name == driver.state_of(TOKEN).name == REVERTED
    after = SPEC.read(EDGE, driver.running_config())
    assert after.sections == {}
    assert after.foreign == before.foreign.replace("description clinic", "description theirs, meanwhile")


@pytest.mark.parametrize(
    "line", ["configure terminal revert timer 5", "no ip access-list", "remark remediate push", "no deny tcp"]
)
def test_a_session_that_is_lost_while_a_confirmed_change_is_taken_back(start: Start, line: str) -> None:
    """The device takes the half of the inverse back, and then the rest of us begins anew."""
    router = start("--minute", "4")
    driver = router.connect()
    before = SPEC.read(EDGE, driver.running_config())
    candidate = made(driver, edge_intent())
    driver.load_merge_candidate(candidate, TOKEN)
    driver.commit_config(token=TOKEN, revert_in=timedelta(minutes=7), message="")
    driver.confirm_commit(TOKEN)
    lose_after(driver, line)
    with pytest.raises(DeviceUnreachable):
        driver.rollback(TOKEN, candidate)
    other = router.connect()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            other.rollback(TOKEN, candidate)
            break
        except PendingChange as error:
            assert 0 <= error.seconds_left <= 300
    assert other.state_of(TOKEN).name == REVERTED
    assert other.pending() is None
    after = SPEC.read(EDGE, other.running_config())
    assert (after.sections, after.foreign) == (before.sections, before.foreign)


def test_a_refused_line_leaves_nothing_behind(start: Start) -> None:
    router = start("--misbehave", "rejects-line=eq 8042")
    driver = router.connect()
    before = driver.running_config()
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    with pytest.raises(CommandRejected, match="the device refuses the line") as caught:
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    assert "%" in caught.value.words
    assert driver.pending() is None
    assert driver.state_of(TOKEN).name == ABSENT
    assert SPEC.read(EDGE, driver.running_config()) == SPEC.read(EDGE, before)
    assert driver._session.say("show clock").prompt == "edge-1#"


def test_without_an_archive_nothing_is_pushed(start: Start) -> None:
    driver = start(startup=STARTUP.replace("archive\n path flash:archive\n", "")).connect()
    before = driver.running_config()
    assert [lack for lack in driver.preflight() if lack.startswith("no archive")]
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    with pytest.raises(CommandRejected, match="Turn config archive on"):
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    assert SPEC.read(EDGE, driver.running_config()) == SPEC.read(EDGE, before)


def test_somebody_elses_timer_is_left_alone(start: Start) -> None:
    router = start()
    driver, colleague = router.connect(), router.colleague()
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    configure(colleague, "interface GigabitEthernet0/1", "description theirs", revert=7)
    pending = driver.pending()
    assert pending is not None
    assert not pending.ours
    assert driver.preflight() == ()  # what is lacking may be the colleague's, and is said by whoever asks for `pending`
    with pytest.raises(DriftError):
        driver.load_merge_candidate(made(driver, edge_intent()).model_copy(update={"text": "no such line"}), TOKEN)
    with pytest.raises(PendingChange):
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    with pytest.raises(DeviceError):
        driver.confirm_commit(TOKEN)
    assert driver.state_of(TOKEN).name == ABSENT
    assert "Timer value: 7 min" in colleague.send_command("show archive config rollback timer")


def test_a_timer_that_was_set_anew_is_not_taken_for_ours(start: Start) -> None:
    router = start()
    driver = router.connect()
    pushed(driver, made(driver, edge_intent()))
    time_was = driver._at.timer()
    other = router.process.login()
    deadline = time.monotonic() + 60
    while driver._at.timer() == time_was and time.monotonic() < deadline:
        other.send_command("configure revert timer 9")
    assert driver.state_of(TOKEN).name == STUCK
    with pytest.raises(NeedsHands):
        driver.confirm_commit(TOKEN)
    assert "Timer value: 9 min" in other.send_command("show archive config rollback timer")


def test_a_colleagues_unsaved_change_is_not_saved(start: Start) -> None:
    router = start()
    driver = router.connect()
    pushed(driver, made(driver, edge_intent()))
    driver.confirm_commit(TOKEN)
    configure(router.colleague(), "interface GigabitEthernet0/1", "description theirs")
    with pytest.raises(DeviceError, match="description theirs"):
        driver.save(TOKEN)
    assert "203.0.113.20" not in router.colleague().send_command("show startup-config")
    assert [lack for lack in driver.preflight() if "description theirs" in lack]


def test_what_was_planned_no_longer_fits(start: Start) -> None:
    """The list was numbered anew since: the guard would land behind the entry that opens the archive."""
    router = start()
    driver, colleague = router.connect(), router.colleague()
    configure(colleague, "ip access-list resequence OUTSIDE-IN 100 10")
    candidate = made(driver, edge_intent(peers=12))
    assert " 14 deny" in candidate.text
    configure(colleague, "ip access-list resequence OUTSIDE-IN 10 10")
    with pytest.raises(DriftError, match="does not fit"):
        driver.load_merge_candidate(candidate, TOKEN)


def test_an_edit_between_the_check_and_the_push_stops_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediate.platforms.cisco_ios.driver._FRESH", 60.0)  # what the check has read is no excuse
    router = start()
    driver = router.connect()
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    configure(router.colleague(), "interface GigabitEthernet0/1", "description theirs, meanwhile")
    with pytest.raises(DriftError, match="since it was checked"):
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    assert router.connect().pending() is None


def test_interfaces_that_are_not_there(start: Start) -> None:
    device = EDGE.model_copy(update={"guard": Guard(interface=("GigabitEthernet0/9",))})
    assert [lack for lack in start().connect(device).preflight() if lack.startswith("no interface GigabitEthernet0/9")]


def test_who_may_not(start: Start) -> None:
    router = start(startup=STARTUP.replace("enable secret 0 sesam", "enable secret 0 open-door"))
    assert router.connect(username="guest").preflight() == ()
    Path(router.user.known_hosts).write_text("")
    with pytest.raises(HostKeyError):
        router.connect()


AAA = STARTUP.replace("enable secret 0 sesam", "enable secret 0 sesam\n!\naaa new-model")


def with_key(folder: Path) -> dict[str, Any]:
    """A login of guest's, who begins in user mode, without any password."""
    return {"username": "guest", "password": None, "key": str(folder / "id")}


@pytest.fixture
def key_for_guest(tmp_path: Path) -> str:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "id")
    key.write_public_key(tmp_path / "id.pub")
    return f"guest={tmp_path / 'id.pub'}"


@pytest.mark.parametrize("startup", [STARTUP, AAA])
def test_an_enable_secret_that_is_not_the_logins_password(
    start: Start, tmp_path: Path, key_for_guest: str, startup: str
) -> None:
    router = start("--authorized-keys", key_for_guest, startup=startup)
    assert router.connect(username="guest", enable=SecretStr("sesam")).preflight() == ()
    assert router.connect(**with_key(tmp_path), enable=SecretStr("sesam")).preflight() == ()


@pytest.mark.parametrize(
    ("startup", "login", "what", "next_step"),
    [
        (STARTUP, {"password": None}, "asks for an enable secret, and the inventory has none", "enable: env:NAME"),
        (STARTUP, {"enable": "wrong"}, "does not take the enable secret", "correct data.enable"),
        (AAA, {"enable": "wrong"}, r"does not take the enable secret \(% Access denied\)", "correct data.enable"),
        (STARTUP, {}, "does not take the login's own password as its enable secret", "enable: env:NAME"),
        (STARTUP.replace("enable secret 0 sesam", "!"), {"enable": "sesam"}, "% No password set", "privilege 15"),
        (AAA.replace("enable secret 0 sesam", "!"), {"enable": "sesam"}, "% Error in authentication", "privilege 15"),
    ],
)
def test_why_privileged_mode_is_not_reached(
    start: Start, tmp_path: Path, key_for_guest: str, startup: str, login: dict[str, Any], what: str, next_step: str
) -> None:
    router = start("--authorized-keys", key_for_guest, startup=startup)
    given = {"username": "guest", **(with_key(tmp_path) if "password" in login else {})}
    if "enable" in login:
        given["enable"] = SecretStr(login["enable"])
    with pytest.raises(AuthenticationFailed, match=what) as caught:
        router.connect(**given)
    assert caught.value.exit_status == 3
    assert caught.value.where == EDGE.name
    assert next_step in caught.value.next
    assert not [secret for secret in ("sesam", "wrong", "open-door") if secret in str(caught.value)]


def test_no_secret_is_shown(start: Start) -> None:
    running = start().connect().running_config()
    assert "$8$" not in running
    assert "username admin privilege 15 secret <removed>" in running


def test_shared_lists_and_equal_entries_get_a_list_of_their_own(start: Start) -> None:
    shared = STARTUP.replace(
        " permit tcp any host 10.10.0.5 eq 104\n", " permit tcp host 10.20.0.10 host 203.0.113.20 eq 11112\n"
    ).replace(
        " ip address 10.20.0.1 255.255.255.0\n",
        " ip address 10.20.0.1 255.255.255.0\n ip access-group OUTSIDE-IN out\n",
    )
    router = start(startup=shared)
    driver = router.connect()
    before = driver.running_config()
    candidate = made(driver, edge_intent())
    pushed(driver, candidate)
    guarding.check_applied(EDGE, candidate, driver.running_config(), before)
    shown = router.colleague().send_command("show running-config | section GigabitEthernet0/")
    assert "ip access-group RMD1.OUTSIDE-IN in" in shown
    assert "ip access-group OUTSIDE-IN out" in shown
    driver.confirm_commit(TOKEN)
    assert made(driver, edge_intent()).text == ""
    driver.save(TOKEN)
    pushed(driver, taken_away(driver, edge_intent()), Token("back"))
    driver.confirm_commit(Token("back"))
    after = driver.running_config()
    assert SPEC.read(EDGE, after).config.lists.keys() - SPEC.read(EDGE, before).config.lists.keys() == {
        "REMEDIATE-PUSH"
    }
    assert SPEC.read(EDGE, after).config.bound == SPEC.read(EDGE, before).config.bound


def test_a_confirm_that_the_device_forgets_is_not_believed(start: Start) -> None:
    driver = start("--misbehave", "forgets-confirm").connect()
    pushed(driver, made(driver, edge_intent()))
    with pytest.raises(DeviceError, match="is armed, not confirmed"):
        driver.confirm_commit(TOKEN)


def test_the_marker_says_whose_push_it_is_and_of_what(start: Start) -> None:
    router = start()
    driver = router.connect()
    pushed(driver, candidate := made(driver, edge_intent()))
    pending = router.connect().pending()
    assert pending is not None
    assert pending.owner == f"{getpass.getuser()}@{socket.gethostname()}"
    shown = router.colleague().send_command("show running-config | section REMEDIATE-PUSH")
    assert f"remark remediate digest {hashlib.sha256(candidate.text.encode()).hexdigest()[:16]}" in shown
    assert all(len(line.strip().removeprefix("remark ")) <= 100 for line in shown.splitlines())


def test_a_marker_of_something_else_is_not_confirmed(start: Start) -> None:
    router = start()
    driver = router.connect()
    pushed(driver, made(driver, edge_intent()))
    shown = router.colleague().send_command("show running-config | include remark remediate digest").strip()
    configure(router.colleague(), "ip access-list extended REMEDIATE-PUSH", f"no {shown}", "remark remediate digest 0")
    with pytest.raises(NeedsHands, match="its digest is 0, not"):
        driver.confirm_commit(TOKEN)
    assert driver.state_of(TOKEN).name == ARMED


def test_a_push_that_another_program_has_not_saved_yet_stops_ours(start: Start) -> None:
    """Our timer's end, or our save, would take theirs back, or keep it."""
    router = start()
    theirs, ours = router.connect(), router.connect()
    pushed(theirs, made(theirs, edge_intent()), Token("theirs.1.edge-1"))
    theirs.confirm_commit(Token("theirs.1.edge-1"))
    south = made(ours, edge_intent(pacs="pacs-south", door="203.0.113.21"))
    assert [lack for lack in ours.preflight() if "the push theirs.1.edge-1 of " in lack]
    ours.load_merge_candidate(south, Token("ours.1.edge-1"))
    with pytest.raises(PendingChange, match=r"the push theirs\.1\.edge-1 of .* is confirmed there and not saved"):
        ours.commit_config(token=Token("ours.1.edge-1"), revert_in=FIVE, message="")
    assert ours.pending() is None
    theirs.save(Token("theirs.1.edge-1"))
    pushed(ours, made(ours, edge_intent(pacs="pacs-south", door="203.0.113.21")), Token("ours.1.edge-1"))
    assert ours.state_of(Token("ours.1.edge-1")).name == ARMED


def test_what_another_program_has_armed_stops_ours_by_name(start: Start) -> None:
    router = start()
    theirs, ours = router.connect(), router.connect()
    south = made(ours, edge_intent(pacs="pacs-south", door="203.0.113.21"))
    ours.load_merge_candidate(south, Token("ours.1.edge-1"))
    pushed(theirs, made(theirs, edge_intent()), Token("theirs.1.edge-1"))
    with pytest.raises(PendingChange, match=r"the push theirs\.1\.edge-1 of .* is provisional there"):
        ours.commit_config(token=Token("ours.1.edge-1"), revert_in=FIVE, message="")
    assert theirs.state_of(Token("theirs.1.edge-1")).name == ARMED


def test_nothing_is_saved_while_a_timer_runs_that_is_not_this_pushs(start: Start) -> None:
    router = start()
    driver = router.connect()
    pushed(driver, made(driver, edge_intent()))
    driver.confirm_commit(TOKEN)
    other = router.process.login()  # under the same user name, and with nothing changed yet
    configure(other, "ip access-list extended REMEDIATE-PUSH", revert=7)
    with pytest.raises(PendingChange, match="revert timer"):
        driver.save(TOKEN)
    assert "203.0.113.20" not in other.send_command("show startup-config")
    other.send_command("configure confirm")
    assert driver.save(TOKEN) == "startup-config"


def test_what_the_next_start_loads_is_read_as_what_runs(start: Start) -> None:
    router = start()
    driver = router.connect()
    before = driver.boot_config()
    assert SPEC.read(EDGE, before).sections == {}
    pushed(driver, made(driver, edge_intent()))
    driver.confirm_commit(TOKEN)
    assert SPEC.read(EDGE, driver.boot_config()).sections == {}
    driver.save(TOKEN)
    boot, running = SPEC.read(EDGE, driver.boot_config()), SPEC.read(EDGE, driver.running_config())
    assert boot.sections == running.sections != {}
    assert boot.foreign == running.foreign
    assert "$8$" not in driver.boot_config()


def test_how_long_a_line_takes_is_measured(start: Start) -> None:
    driver = start("--seconds-per-line", "0.05").connect()
    driver.preflight()
    line, reading = driver.pace()
    assert line >= 0.05
    assert reading >= 0.05


@pytest.mark.parametrize(("lines", "minutes"), [(10, 5), (600, 30), (4000, 120), (90_000, 120)])
def test_the_timer_under_which_a_change_is_taken_back_fits_its_lines(
    start: Start, monkeypatch: pytest.MonkeyPatch, lines: int, minutes: int
) -> None:
    driver = start().connect()
    monkeypatch.setattr(driver, "pace", lambda: Pace(0.45, 2.0))
    assert driver._undo_minutes("no 10\n" * lines) == minutes


def test_a_hanging_session_is_ended_from_another_thread(start: Start) -> None:
    driver = start().connect()
    driver._session.say("terminal length 5")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(driver.running_config)  # stands at --More--
        with pytest.raises(TimeoutError):
            hanging.result(0.5)
        driver.abort()
        with pytest.raises(DeviceUnreachable):
            hanging.result()


def lose_after(driver: CiscoIos, words: str) -> None:
    """The wire is cut as soon as a line with those words was answered; all else is real."""
    say = driver._session.say

    def lose(line: str, **options: Any) -> Reply:
        reply = say(line, **options)
        if words in line:
            driver.abort()
        return reply

    driver._session.say = lose  # type: ignore[method-assign]  # as the line above says


@pytest.mark.parametrize("line", ["configure terminal revert timer 5", "ip access-list extended REMEDIATE-PUSH"])
def test_a_session_that_is_lost_while_the_timer_is_being_armed(start: Start, line: str) -> None:
    """Nothing on the device says whose timer that is; it is waited for, and neither confirmed nor ended."""
    router = start("--minute", "1")
    driver = router.connect()
    before = SPEC.read(EDGE, driver.running_config())
    candidate = made(driver, edge_intent())
    driver.load_merge_candidate(candidate, TOKEN)
    lose_after(driver, line)
    with pytest.raises(DeviceUnreachable):
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    other = router.connect()
    assert other.state_of(TOKEN).name == ARMING
    with pytest.raises(PendingChange) as caught:
        other.rollback(TOKEN, candidate)
    assert 0 < caught.value.seconds_left <= 300
    with pytest.raises(DeviceError):
        other.confirm_commit(TOKEN)
    deadline = time.monotonic() + 60
    while other.pending() and time.monotonic() < deadline:
        pass
    assert other.state_of(TOKEN).name == ABSENT
    assert SPEC.read(EDGE, other.running_config()) == before


def test_a_session_that_is_lost_in_the_middle_of_a_push(start: Start) -> None:
    """The timer was armed before the first line, and the token tells the next session whose it is."""
    router = start("--minute", "1")
    driver = router.connect()
    before = SPEC.read(EDGE, driver.running_config())
    driver.load_merge_candidate(made(driver, edge_intent()), TOKEN)
    say = driver._session.say

    def lose(line: str, **options: Any) -> Reply:
        if "eq 8042" in line:
            driver.abort()
        return say(line, **options)

    driver._session.say = lose  # type: ignore[method-assign]  # the wire is cut at one line; all else is real
    with pytest.raises(DeviceUnreachable):
        driver.commit_config(token=TOKEN, revert_in=FIVE, message="")
    other = router.connect()
    assert other.state_of(TOKEN).name == ARMED
    pending = other.pending()
    assert pending is not None
    assert pending.ours
    deadline = time.monotonic() + 60
    while other.pending() and time.monotonic() < deadline:
        pass
    assert SPEC.read(EDGE, other.running_config()) == before
    assert other.state_of(TOKEN).name == ABSENT
