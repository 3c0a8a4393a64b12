"""Six archives behind two firewalls: several waves on one firewall, several plans for it, and what each leaves there.

What is open and what is served is asked by this file itself, by new associations from the internet and the clinic.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from remediate.lab import real
from remediate.lab.real.layout import Archive
from remediate.probes import upper_layer
from tests.conftest import Lab
from tests.e2e.conftest import Done, User, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LAYOUT = real.Layout(archive_count=6, firewall_count=2)
NAMES = [archive.name for archive in LAYOUT.archives]
FIRST, SECOND, *LAST = NAMES  # the starter's waves of six: [1, 25%, 100%]
FIREWALLS = [firewall.role for firewall in LAYOUT.firewalls]
#: Where a care path is cut for good, nothing is learnt by asking it for 90 s.
BRIEF = {"REMEDIATE_PATIENCE": "20"}


@pytest.fixture
def user(lab: Lab, tmp_path: Path) -> Iterator[User]:
    site = lab.site(LAYOUT)
    site.reset()
    user = User(site, tmp_path)
    yield user
    user.end()
    site.stop_sabotage()


def answer(user: User, role: str, archive: Archive) -> int:
    """The type of the PDU that answers an A-ASSOCIATE-RQ over a new connection from there; 0: nothing answers."""
    address = archive.published if role == "internet" else archive.address
    request = upper_layer.association_request(LAYOUT.clinic_ae_title, archive.ae_title, echo_only=True)
    seconds = 1 if role == "internet" else 5  # silence is expected from outside only

    def ask() -> int:
        try:
            with socket.create_connection((str(address), LAYOUT.dicom_port), seconds) as connection:
                connection.sendall(request)
                pdu_type = connection.recv(1)
                connection.sendall(upper_layer.A_ABORT_BYTES)
        except OSError:
            return 0
        return pdu_type[0] if pdu_type else 0

    return user.site.inside(role, ask)


def answering(user: User, role: str) -> list[str]:
    """The archives that anything comes back from: a rejection is an answer too."""
    return [archive.name for archive in LAYOUT.archives if answer(user, role, archive)]


def serving(user: User) -> list[str]:
    """The archives that accept an association from the clinic."""
    return [archive.name for archive in LAYOUT.archives if answer(user, "clinic", archive) == upper_layer.ASSOCIATE_AC]


def stands(user: User, *closed: str) -> None:
    """Exactly those are closed to the internet, now and after both firewalls restart; the clinic is served by all."""
    still_open = [name for name in NAMES if name not in closed]
    assert answering(user, "internet") == still_open
    assert serving(user) == NAMES
    assert not armed(user)
    for role in FIREWALLS:
        user.site.restart_firewall(role)
    assert answering(user, "internet") == still_open, "after a restart"
    assert serving(user) == NAMES, "after a restart"


def armed(user: User) -> str:
    """What is left of pushes on the firewalls: folders and timers."""
    look = ["sh", "-c", "ls -A /var/lib/remediate; pgrep -af [d]eadman.sh"]
    return "".join(user.site.exec(role, look).stdout for role in FIREWALLS)


def foreign(user: User, role: str) -> str:
    """Everything that filters there, but for our own table and for counters."""
    rules = user.site.must(role, ["nft", "-s", "list", "ruleset"])
    return re.sub(r"^table inet remediate \{\n.*?^\}\n", "", rules, flags=re.MULTILINE | re.DOTALL)


def waves(done: Done) -> list[tuple[list[str], str]]:
    return [(wave["pacs"], wave["state"]) for wave in done.json["waves"]]


def recorded(user: User) -> dict[str, list[str]]:
    """Of the newest change: how each wave ended → its archives."""
    entries = user.entries()
    (plan,) = [entry.data["plan"] for entry in entries if entry.kind == "planned"]
    numbers = {wave["number"]: wave["pacs"] for wave in plan["waves"]}
    ends: dict[str, list[str]] = {"confirmed": [], "rolled back": []}
    for entry in entries:
        if entry.kind in ends:
            ends[entry.kind] += numbers[entry.data["wave"]]
    return ends


def count(user: User, kind: str) -> int:
    return user.kinds().count(kind) if user.record_file.exists() else 0


def test_one_run_closes_all(user: User) -> None:
    before = {role: foreign(user, role) for role in FIREWALLS}
    assert answering(user, "internet") == NAMES
    done = user.do(*user.run())
    assert done.status == 0, done.err
    assert waves(done) == [([FIRST], "confirmed"), ([SECOND], "confirmed"), (LAST, "confirmed")]
    assert {role: foreign(user, role) for role in FIREWALLS} == before
    stands(user, *NAMES)
    assert user.verify().status == 0
    again = user.do(*user.run())
    assert again.status == 0, again.err
    assert {state for _, state in waves(again)} == {"unchanged"}
    back = user.do("rollback", done.json["change"], *user.inventory(), "--format", "json")
    assert back.status == 0, back.err
    assert {role: foreign(user, role) for role in FIREWALLS} == before
    stands(user)


@pytest.mark.parametrize("victim", ["pacs-north-3", "pacs-south-2"])
def test_the_care_path_is_cut_in_the_third_wave(user: User, victim: str) -> None:
    """On the firewall that has both waves before it, and on the one that has none."""
    user.environment = BRIEF
    user.site.sabotage(LAYOUT.archive(victim))
    done = user.do(*user.run(revert_in=60))
    assert done.status == 4, done.err
    assert waves(done) == [([FIRST], "confirmed"), ([SECOND], "confirmed"), (LAST, "rolled back")]
    assert done.json["stays"] == [FIRST, SECOND]
    user.site.stop_sabotage()
    assert recorded(user) == {"confirmed": [FIRST, SECOND], "rolled back": LAST}
    (taken_back,) = [entry for entry in user.entries() if entry.kind == "rolled back"]
    assert taken_back.data["restored"] is True
    assert f"still confirmed: {FIRST}, {SECOND}" in done.err
    stands(user, FIRST, SECOND)


def test_the_last_sentence_says_what_stands(user: User) -> None:
    user.environment = BRIEF
    user.site.sabotage(LAYOUT.archive("pacs-north-3"))
    done = user.do(*(word for word in user.run(revert_in=60) if word not in ("--format", "json")))
    assert done.status == 4, done.err
    said = " ".join(done.out.split())
    assert re.search(rf"confirmed before: {FIRST}, {SECOND}; `remediate rollback [^`]+` takes that back$", said), said
    user.site.stop_sabotage()
    stands(user, FIRST, SECOND)


def test_blind_in_the_third_wave(user: User) -> None:
    """What nobody outside sees any more is taken back; what was confirmed before that stays."""
    process = user.start(*user.run(revert_in=60))
    wait_for(lambda: count(user, "all pushed") == 3, process, seconds=240)
    user.site.kill_vantage("internet")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 4, err
    assert waves(Done(4, out, err)) == [([FIRST], "confirmed"), ([SECOND], "confirmed"), (LAST, "rolled back")]
    assert recorded(user) == {"confirmed": [FIRST, SECOND], "rolled back": LAST}
    user.site.start_sshd("internet")
    stands(user, FIRST, SECOND)


@pytest.mark.parametrize("wave", [2, 3])
def test_killed_in_a_later_wave_the_timer_takes_back_that_wave_alone(user: User, wave: int) -> None:
    """With nobody there: each firewall's own timer undoes exactly the push that it belongs to."""
    process = user.start(*user.run(revert_in=60))
    wait_for(lambda: count(user, "all pushed") == wave, process, seconds=240)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    closed = [[FIRST], [FIRST, SECOND]][wave - 2]
    timers = ["sh", "-c", "pgrep -f [d]eadman.sh"]
    wait_for(lambda: not any(user.site.exec(role, timers).stdout for role in FIREWALLS), seconds=120)
    assert answering(user, "internet") == [name for name in NAMES if name not in closed]
    resumed = user.do("resume", "--format", "json")
    assert resumed.status == 4, resumed.err
    assert recorded(user)["confirmed"] == closed
    assert user.do("record", "verify").status == 0
    stands(user, *closed)


def test_a_firewall_restarts_in_the_third_wave(user: User) -> None:
    """What was provisional there is gone, what was confirmed is loaded again; the other firewall takes its own back."""
    process = user.start(*user.run(revert_in=60))
    wait_for(lambda: count(user, "all pushed") == 3, process, seconds=240)
    user.site.restart_firewall("fw")
    _, err = process.communicate(timeout=300)
    assert process.returncode in (4, 5), err
    if process.returncode == 5:
        resumed = user.do("resume", "--format", "json")
        assert resumed.status in (0, 4), resumed.err
    assert recorded(user)["confirmed"] == [FIRST, SECOND]
    stands(user, FIRST, SECOND)


def planned(user: User, limit: str) -> Path:
    plan = user.folder / f"{limit}.json"
    done = user.do("plan", str(user.site.playbook), *user.inventory(), "--limit", limit, "--out", str(plan))
    assert done.status == 0, done.err
    assert "warning" not in done.err, "the lab's playbook fits its vantages"
    return plan


def test_each_change_of_one_firewall_is_taken_back_alone(user: User) -> None:
    changes = {}
    for name in (FIRST, SECOND):
        done = user.do(*user.run("--limit", name))
        assert done.status == 0, done.err
        changes[name] = done.json["change"]
    assert answering(user, "internet") == LAST
    back = user.do("rollback", changes[FIRST], *user.inventory(), "--format", "json")
    assert back.status == 0, back.err
    stands(user, SECOND)


def test_a_plan_from_before_another_change_of_ours_is_refused_with_its_name(user: User) -> None:
    """It would close two archives, and one of them has been closed meanwhile: what it shows is no longer true."""
    plan = planned(user, f"{FIRST},{SECOND}")
    other = user.do(*user.run("--limit", FIRST))
    assert other.status == 0, other.err
    done = user.do("run", str(plan), *user.inventory())
    assert done.status == 3, done.out + done.err
    assert other.json["change"] in done.out + done.err
    stands(user, FIRST)
    assert user.do("run", str(planned(user, SECOND)), *user.inventory()).status == 0
    stands(user, FIRST, SECOND)


def test_a_plan_that_shows_the_same_after_another_change_of_ours_is_run(user: User) -> None:
    """What the other change left is neither in it nor touched by it, and each is taken back alone."""
    plan = planned(user, FIRST)
    other = user.do(*user.run("--limit", SECOND))
    assert other.status == 0, other.err
    done = user.do("run", str(plan), *user.inventory(), "--format", "json")
    assert done.status == 0, done.out + done.err
    (anew,) = [entry.data for entry in user.entries() if entry.kind == "made anew"]
    assert (anew["device"], anew["sections"], anew["same"]) == ("fw-north", [f"acl_{SECOND}"], True)
    stands(user, FIRST, SECOND)
    assert user.do("rollback", done.json["change"], *user.inventory()).status == 0
    stands(user, SECOND)


# -- the starter's playbooks -----------------------------------------------------------------------------

READERS = "tun-readers"
#: Those that these archives can have: of tls_only and web_auth only an Orthanc knows anything.
STARTER = ("close_dicom_exposure", "unpublish", "vpn_only", "restrict_ae_titles", "lockdown")


def few(*names: str) -> tuple[str, ...]:
    """Each one for REMEDIATE_FAULTS=all, otherwise a telling few: the lab's own playbook is the starter's first."""
    return STARTER if os.environ.get("REMEDIATE_FAULTS") == "all" else names


@pytest.fixture
def own_site(user: User) -> Iterator[Path]:
    """What `remediate init` writes, with the lab's inventory, and an interface of a VPN by which nobody comes now."""
    folder = user.folder / "site"
    assert user.do("init", str(folder)).status == 0
    hosts = yaml.safe_load((user.site.inventory / "hosts.yaml").read_text())
    for archive in LAYOUT.archives:
        reader = {"name": "reader", "address": "10.98.0.9", "ae_title": "READER", "via": "vpn", "roles": ["query"]}
        hosts[archive.name]["data"]["access"]["peers"].append(reader)
    for firewall in LAYOUT.firewalls:
        hosts[firewall.name]["data"]["guard"]["vpn"] = [READERS]
        user.site.must(firewall.role, ["ip", "link", "add", READERS, "type", "veth", "peer", "name", "tun-far"])
    for file in ("groups.yaml", "defaults.yaml"):
        (folder / "inventory" / file).write_text((user.site.inventory / file).read_text())
    (folder / "inventory" / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    yield folder
    for firewall in LAYOUT.firewalls:
        user.site.must(firewall.role, ["ip", "link", "del", READERS])


def now(folder: Path, name: str, without: tuple[str, ...] = ()) -> Path:
    """The starter's play at any hour, by one person, and without the tasks that these archives cannot have."""
    path = folder / "playbooks" / f"{name}.yaml"
    (play,) = yaml.safe_load(path.read_text())
    if name == "lockdown":
        play = {key: value for key, value in play.items() if key not in ("window", "approval", "soak")}
        play["tasks"] = [task for task in play["tasks"] if task.get("apply") not in without]
        path = path.with_name("lockdown-now.yaml")
        path.write_text(yaml.safe_dump([play], sort_keys=False))
    return path


def starter_run(user: User, folder: Path, name: str) -> list[str]:
    book = now(folder, name, without=("tls_only", "web_auth"))
    inventory = user.inventory(folder / "inventory")
    return ["run", str(book), *inventory, "--accept", "reader", "--format", "json"]


def pushed(user: User) -> str:
    """What a push may change: each firewall's rules, each archive's file."""
    rules = [user.site.must(role, ["nft", "-s", "list", "ruleset"]) for role in FIREWALLS]
    return "".join([*rules, *(configuration(user, archive) for archive in LAYOUT.archives)])


def configuration(user: User, archive: Archive) -> str:
    return user.site.must(
        archive.role, ["sh", "-c", "cat /etc/remediate-lab/orthanc.json /etc/remediate-lab/*.cfg ||:"]
    )


@pytest.mark.parametrize("name", few("unpublish", "restrict_ae_titles", "lockdown"))
def test_the_starters_playbooks(user: User, own_site: Path, name: str) -> None:
    before = pushed(user)
    done = user.do(*starter_run(user, own_site, name))
    assert done.status == 0, done.err
    assert waves(done) == [([FIRST], "confirmed"), ([SECOND], "confirmed"), (LAST, "confirmed")]
    if name == "restrict_ae_titles":
        there = {answer(user, "internet", archive) for archive in LAYOUT.archives}
        assert there == {upper_layer.ASSOCIATE_RJ}, "a known title, from the wrong address"
    else:
        stands(user, *NAMES)
    back = user.do("rollback", done.json["change"], *user.inventory(own_site / "inventory"), "--format", "json")
    assert back.status == 0, back.err
    assert pushed(user) == before


@pytest.mark.parametrize("name", few("unpublish", "lockdown"))
def test_the_starters_playbooks_taken_back_in_the_third_wave(user: User, own_site: Path, name: str) -> None:
    user.environment = BRIEF
    process = user.start(*starter_run(user, own_site, name))
    wait_for(lambda: count(user, "all pushed") == 3, process, seconds=300)
    user.site.kill_vantage("clinic")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 4, err
    assert [state for _, state in waves(Done(4, out, err))] == ["confirmed", "confirmed", "rolled back"]
    user.site.start_sshd("clinic")
    assert recorded(user) == {"confirmed": [FIRST, SECOND], "rolled back": LAST}
    stands(user, FIRST, SECOND)
