"""Whose push it is, what the device itself undoes, and what it loads at its next start: two of everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate import platforms
from remediate.change import guarding
from remediate.errors import CommandRejected, DeviceError, NeedsHands, PendingChange
from remediate.lab.real import hosts
from remediate.model.change import Candidate, Token
from remediate.platforms.deadman_scripts import STATE
from remediate.platforms.linux_nftables import parser
from remediate.platforms.linux_nftables.driver import LinuxNftables
from remediate.render import Renderer
from tests import factories
from tests.platforms import posix
from tests.platforms.subjects import ARCHIVE, REVERT_IN, TOKEN, Archive, Filter, commit, fire, push, settled, stage

pytestmark = [pytest.mark.real, posix.NEEDED]

OTHER = Token("test.2.another-name")


@pytest.fixture
def fw(tmp_path: Path) -> Iterator[Filter]:
    with posix.host(tmp_path / "host", *Filter.disks) as host:
        yield Filter(host)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with posix.host(tmp_path / "host", *Archive.disks) as host:
        yield Archive(host)


def under_another_name(fw: Filter) -> LinuxNftables:
    """The same device, as another inventory calls it, in a session of another program."""
    device = factories.FIREWALL.model_copy(update={"name": "another-name"})
    return LinuxNftables(device, fw.host)  # type: ignore[arg-type]


def section(fw: Filter, pacs: str, *, gone: bool = False) -> Candidate:
    running = fw.driver.running_config()
    wanted = guarding.sections(factories.FIREWALL, [factories.intent(pacs=pacs)], running)
    if gone:
        wanted = [one.model_copy(update={"rules": None}) for one in wanted]
    return guarding.candidate(factories.FIREWALL, wanted, running, Renderer())


def armed(driver: LinuxNftables, candidate: Candidate, token: Token) -> None:
    driver.load_merge_candidate(candidate, token)
    driver.commit_config(token=token, revert_in=REVERT_IN, message="")


# -- whose push it is ---------------------------------------------------------------------------------


def test_the_last_one_to_stage_commits_and_the_other_is_told_who(fw: Filter) -> None:
    other = under_another_name(fw)
    fw.driver.load_merge_candidate(fw.candidate, TOKEN)
    other.load_merge_candidate(section(fw, "pacs-west"), OTHER)
    with pytest.raises(PendingChange, match=rf"staged since: {OTHER} of .*@.*, process \d+"):
        fw.driver.commit_config(token=TOKEN, revert_in=REVERT_IN, message="")
    assert fw.is_before() and fw.driver.state_of(TOKEN).name == platforms.ABSENT
    other.commit_config(token=OTHER, revert_in=REVERT_IN, message="")
    assert "acl_pacs-west" in fw.driver.running_config()
    assert other.state_of(OTHER).name == platforms.ARMED


def test_two_pushes_are_never_armed_at_once(fw: Filter) -> None:
    other = under_another_name(fw)
    push(fw)
    with pytest.raises(PendingChange, match=rf"push {TOKEN} of .*, process \d+ is armed"):
        other.load_merge_candidate(section(fw, "pacs-west"), OTHER)
    pending = other.pending()
    assert pending is not None and pending.token == TOKEN
    fw.driver.rollback(TOKEN, fw.candidate)
    armed(other, section(fw, "pacs-west"), OTHER)


def test_one_that_arms_between_the_others_staging_and_its_commit(fw: Filter) -> None:
    """As forced as it can be: its claim is put back, and only what is armed stands in its way."""
    other = under_another_name(fw)
    other.load_merge_candidate(section(fw, "pacs-west"), OTHER)
    fw.host.must(f"mkdir /mnt/kept; cp -a {STATE}/. /mnt/kept/")
    push(fw)
    fw.host.must(f"cp -a /mnt/kept/. {STATE}/")
    with pytest.raises(PendingChange, match=rf"push {TOKEN} of .* is armed"):
        other.commit_config(token=OTHER, revert_in=REVERT_IN, message="")
    assert "acl_pacs-west" not in fw.driver.running_config()


def test_what_is_loaded_is_what_was_staged(fw: Filter) -> None:
    stage(fw)
    fw.host.must(f"sed -i s/drop/accept/ {STATE}/candidate-{TOKEN}/new.nft")
    with pytest.raises(CommandRejected, match="is not what was staged"):
        commit(fw)
    stage(fw)
    file = f"{STATE}/candidate-{TOKEN}"
    fw.host.must(f"cd {file} && sed -i s/drop/accept/ new.nft && sha256sum $(cut -c 67- digests) > d; mv d digests")
    with pytest.raises(CommandRejected, match="is not what was staged"):
        commit(fw)
    assert fw.is_before() and fw.driver.state_of(TOKEN).name == platforms.ABSENT


def test_what_a_killed_program_has_staged_is_removed_by_the_next_one(fw: Filter) -> None:
    stage(fw)  # its program is killed now
    under_another_name(fw).load_merge_candidate(section(fw, "pacs-west"), OTHER)
    assert TOKEN not in fw.host.must(f"ls {STATE}")
    fresh = under_another_name(fw)
    fresh.forget(OTHER)
    assert fw.host.must(f"ls -A {STATE}") == ""


def test_two_archives_on_one_host_do_not_stand_in_each_others_way(archive: Archive, tmp_path: Path) -> None:
    stage(archive)
    device = factories.FIREWALL.model_copy(update={"name": "another-name"})
    LinuxNftables(device, archive.host).load_merge_candidate(  # type: ignore[arg-type]
        archive.candidate.model_copy(update={"text": "", "inverse": ""}), OTHER
    )
    commit(archive)
    assert archive.is_after()


def test_another_name_for_the_same_file_is_the_same_archive(archive: Archive) -> None:
    archive.host.must(f"ln -s {ARCHIVE}/orthanc.json /mnt/link.json")
    other = Archive.__new__(Archive)
    vars(other).update(vars(archive))
    other.driver = archive.at("/mnt/link.json")
    push(archive)
    assert other.driver.running_config() == archive.driver.running_config() != archive.before
    with pytest.raises(PendingChange, match="is armed"):
        other.driver.load_merge_candidate(archive.candidate, OTHER)


def test_nothing_is_saved_while_another_push_is_provisional(fw: Filter) -> None:
    """It would be kept for the next boot with ours, and nobody would take it back from there."""
    push(fw)
    fw.driver.confirm_commit(TOKEN)
    armed(under_another_name(fw), section(fw, "pacs-west"), OTHER)
    with pytest.raises(PendingChange, match=rf"push {OTHER} of .* is armed"):
        fw.driver.save(TOKEN)
    assert fw.driver.boot_config() == ""


# -- what the device undoes by itself -----------------------------------------------------------------


def test_the_timer_undoes_its_own_push_and_nothing_else(tmp_path: Path) -> None:
    """Its candidate was made where no section stood, as every wave's was; another one's has come since."""
    with posix.host(tmp_path / "host", *Filter.disks) as host:
        fw = Filter(host, neighbours=False)
        north, south = fw.candidate, section(fw, "pacs-south")
        driver = fw.driver
        armed(driver, north, TOKEN)
        driver.confirm_commit(TOKEN)
        armed(under_another_name(fw), south, OTHER)
        pid = host.must(f"cat {STATE}/{OTHER}/deadman.pid").strip()
        host.must(f"kill $(cat /proc/{pid}/task/{pid}/children)")
        hosts.until(lambda: driver.state_of(OTHER).name == platforms.REVERTED, what="the timer's end")
        assert set(parser.of_running(driver.running_config())) == {"acl_pacs-north"}
        driver.rollback(TOKEN, north)
        assert host.must("nft list ruleset") == "", "to the byte, table and all"


def test_a_section_that_is_closed_again_leaves_no_table(fw: Filter) -> None:
    for number, pacs in enumerate(("pacs-south",)):
        armed(fw.driver, section(fw, pacs, gone=True), Token(f"test.{number}.x"))
        fw.driver.confirm_commit(Token(f"test.{number}.x"))
    assert fw.host.must("nft list ruleset") == ""


# -- what it loads at its next start ------------------------------------------------------------------


def test_what_is_confirmed_is_in_force_and_read_back(fw: Filter) -> None:
    push(fw)
    assert fw.driver.boot_config() == ""
    fw.driver.confirm_commit(TOKEN)
    fw.driver.save(TOKEN)
    assert parser.of_running(fw.driver.boot_config()) == parser.of_running(fw.driver.running_config()) != {}
    fw.host.must("chmod -x /etc/network/if-pre-up.d/*")
    assert fw.driver.boot_config() == "", "nothing would load it"


def test_a_firewall_that_restarts_before_the_save_keeps_nothing(fw: Filter) -> None:
    push(fw)
    fw.driver.confirm_commit(TOKEN)
    fw.host.must(f"echo another-boot > {STATE}/{TOKEN}/boot; nft flush ruleset")
    state = fw.driver.state_of(TOKEN)
    assert (state.name, state.restarted) == (platforms.CONFIRMED, True)
    with pytest.raises(CommandRejected, match="section acl_pacs-north is no longer in force"):
        fw.driver.save(TOKEN)
    assert fw.driver.boot_config() == "" and fw.host.must("ls -A /etc/remediate /etc/network/if-pre-up.d 2>&1; true")


def test_two_names_of_one_device_leave_one_guard_for_its_boot(fw: Filter) -> None:
    push(fw)
    fw.driver.confirm_commit(TOKEN)
    fw.driver.save(TOKEN)
    other = under_another_name(fw)
    armed(other, section(fw, "pacs-west"), OTHER)
    other.confirm_commit(OTHER)
    other.save(OTHER)
    assert fw.host.must("ls /etc/remediate /etc/network/if-pre-up.d").split() == [
        "/etc/network/if-pre-up.d:",
        "remediate-guard-another-name",
        "/etc/remediate:",
        "guard-another-name.nft",
    ]
    assert parser.of_running(other.boot_config()) == parser.of_running(fw.driver.running_config())


def test_a_device_that_would_load_nothing_is_refused_before_anything_is_changed(fw: Filter) -> None:
    fw.host.must("ip link add wan type veth peer name lan && ip link set wan up && ip link set lan up")
    fw.host.must("rmdir /etc/network/if-pre-up.d")
    (lack,) = fw.driver.preflight()
    assert lack.startswith("nothing that is known would load the guard at the next boot")
    guard = factories.FIREWALL.guard.model_copy(update={"boot": "/etc/rc.local"})
    named = LinuxNftables(factories.FIREWALL.model_copy(update={"guard": guard}), fw.host)  # type: ignore[arg-type]
    (lack,) = named.preflight()
    assert lack.startswith("/etc/rc.local (guard.boot) is not executable, or does not name")
    fw.host.must(
        "printf '#!/bin/sh\\nnft -f /etc/remediate/guard-fw-north.nft\\n' > /etc/rc.local; chmod 755 /etc/rc.local"
    )
    assert named.preflight() == ()
    armed(named, fw.candidate, TOKEN)
    named.confirm_commit(TOKEN)
    assert named.save(TOKEN) == "/etc/rc.local"
    assert "acl_pacs-north" in named.boot_config()
    fw.host.must("mkdir -p /etc/local.d /etc/runlevels/default; rm /etc/rc.local; ln -s x /etc/runlevels/default/local")
    assert fw.driver.preflight() == (), "OpenRC's own"
    assert fw.driver.save(TOKEN) == "/etc/local.d/remediate-guard-fw-north.start"
    assert "acl_pacs-north" in fw.driver.boot_config()


# -- disks --------------------------------------------------------------------------------------------


def test_a_file_system_that_turns_read_only_once_the_archive_has_restarted(archive: Archive) -> None:
    """What runs cannot be taken back, and nobody says that it is; the timer stays, and does it once it can."""
    archive.restart_with(f"sh /mnt/restart && mount -o remount,ro {ARCHIVE}")
    stage(archive)
    with pytest.raises(DeviceError, match="could not take all of it back") as failed:
        commit(archive)
    assert not isinstance(failed.value, CommandRejected) and "its timer takes back" in failed.value.next
    assert archive.is_after()
    assert archive.driver.state_of(TOKEN).name == platforms.ARMED and archive.driver.pending() is not None
    with pytest.raises(NeedsHands, match=r"could not take the change .* back: .*Read-only") as stuck:
        archive.driver.rollback(TOKEN, archive.candidate)
    assert "goes on trying by itself" in stuck.value.next
    state = archive.driver.state_of(TOKEN)
    assert (state.name, archive.is_after()) == (platforms.STUCK, True) and "Read-only" in state.why
    archive.host.must(f"mount -o remount,rw {ARCHIVE}; echo 'sh /mnt/restart' > {STATE}/{TOKEN}/restart.sh")
    fire(archive)
    hosts.until(lambda: settled(archive), what="the timer's end")
    assert archive.driver.state_of(TOKEN).name == platforms.REVERTED and archive.is_before()


def test_a_restart_command_that_works_once_and_fails_has_not_left_it_as_it_was(archive: Archive) -> None:
    """It runs with the new file, and what listens is what listened before the second try."""
    archive.restart_with("[ ! -e /mnt/once ] && touch /mnt/once && sh /mnt/restart && sleep 1; exit 1")
    stage(archive)
    with pytest.raises(DeviceError, match="could not take all of it back") as failed:
        commit(archive)
    assert not isinstance(failed.value, CommandRejected)
    assert archive.driver.state_of(TOKEN).name == platforms.ARMED and archive.is_after()
    archive.host.must(f"echo 'sh /mnt/restart' > {STATE}/{TOKEN}/restart.sh")
    archive.driver.rollback(TOKEN, archive.candidate)
    assert archive.is_before()


def test_a_host_that_restarts_with_the_new_file_has_taken_nothing_back(archive: Archive) -> None:
    archive.restart_with(f"sh /mnt/restart && mount -o remount,ro {ARCHIVE}")
    stage(archive)
    with pytest.raises(DeviceError):
        commit(archive)
    archive.host.must(f"mount -o remount,rw {ARCHIVE}; echo another-boot > {STATE}/{TOKEN}/boot; sh /mnt/restart")
    assert archive.driver.state_of(TOKEN).name == platforms.STUCK and archive.is_after()
    archive.host.must(f"echo 'sh /mnt/restart' > {STATE}/{TOKEN}/restart.sh")
    archive.driver.rollback(TOKEN, archive.candidate)
    assert archive.is_before()


def test_a_timer_whose_disk_is_read_only_takes_it_back_all_the_same(fw: Filter) -> None:
    push(fw)
    fw.host.must(f"mount -o remount,ro {STATE}")
    fire(fw)
    hosts.until(lambda: settled(fw), what="the timer's end")
    assert fw.driver.state_of(TOKEN).name == platforms.REVERTED and fw.is_before()


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_a_disk_that_is_nearly_full(fw: Filter, left: int) -> None:
    """``left``: pages. The push is made, or it is not; it is never unknown."""
    fw.host.must(f"cat /dev/zero > {STATE}/filler; truncate -s -{left * 4}k {STATE}/filler")
    try:
        push(fw)
    except CommandRejected:
        assert fw.is_before() and fw.driver.state_of(TOKEN).name in (platforms.ABSENT, platforms.REVERTED)
        assert fw.driver.pending() is None
        return
    assert fw.is_after() and fw.driver.state_of(TOKEN).name == platforms.ARMED
    fw.driver.rollback(TOKEN, fw.candidate)
    assert fw.is_before()


def test_nothing_is_undone_that_was_never_loaded(fw: Filter) -> None:
    """The program ends between arming and loading. Another's section has come under that name since."""
    stage(fw)
    fw.host.must(f"cd {STATE}/candidate-{TOKEN} && echo 'kill -s KILL $PPID' > load.sh && " + _DIGESTS)
    digest = fw.host.must(f"sha256sum < {STATE}/candidate-{TOKEN}/digests").split()[0]
    fw.driver._deadman._staged = TOKEN, digest
    fw.host.execute("true")
    with pytest.raises((DeviceError, CommandRejected)):
        commit(fw)
    fw.host.must(f"mv {STATE}/{TOKEN}/loading {STATE}/{TOKEN}/unloaded")
    fw.host.execute("nft -f -", stdin=fw.candidate.text)
    fw.driver.rollback(TOKEN, fw.candidate)
    assert fw.is_after()


_DIGESTS = "sha256sum $(cut -c 67- digests) > d; mv d digests"


def test_an_archive_that_does_not_start_is_reported_down_for_all_of_that_time(archive: Archive) -> None:
    """With the new file it ends and does not come back for 3 s; with the old one it is there at once."""
    fails = f"if grep -q AFTER {ARCHIVE}/orthanc.json; then kill -s KILL $(cat /mnt/pid); sleep 3; exit 1; fi"
    archive.restart_with(f"{fails}; sh /mnt/restart")
    stage(archive)
    with pytest.raises(CommandRejected, match=r"it runs with the old one again, after [3-9]\.\d+ s"):
        commit(archive)
    state = archive.driver.state_of(TOKEN)
    assert state.name == platforms.REVERTED and archive.is_before()
    assert state.down is not None and state.down >= 3
