"""Who is connected while a guard goes up, on the real site: by the firewall's connection tracking."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from remediate.lab.real import LabSite
from tests.e2e.conftest import User, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

#: An archive ends a connection that has said nothing for 30 s (Orthanc's HttpRequestTimeout), and on a busy machine the
#: program comes later than that. So there is a new one every few seconds, until nobody is let in any more.
HOLD = """
import select, socket, sys
held = [socket.create_connection(({0!r}, {1}), 5, ({2!r}, 0))]
print("open", flush=True)
while not select.select([sys.stdin], [], [], 5)[0]:
    try:
        held.append(socket.create_connection(({0!r}, {1}), 5, ({2!r}, 0)))
    except OSError:
        pass
"""
#: In the clinic's network, and in nobody's `access`.
STRANGER = "10.20.0.77"
BOTH = {"fw-north": "connection tracking", "pacs-north": "its open connections"}


@contextmanager
def held(site: LabSite, host: str, source: str, to: str, port: int) -> Iterator[None]:
    """At any time at least one connection is open, and says nothing. On its DICOM port, such a one keeps Orthanc from
    all others."""
    pipe = subprocess.PIPE
    process = site.popen(host, ["python3", "-c", HOLD.format(to, port, source)], stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
    finally:
        process.communicate("")


def guarded(site: LabSite) -> bool:
    return not site.exec("fw", ["nft", "list", "table", "inet", "remediate"]).returncode


def test_an_outsider_who_is_connected_stops_it_until_accepted(user: User) -> None:
    site, i = user.site, user.site.layout
    with held(site, "internet", str(i.internet), str(i.published), i.outside_web_port):
        stopped = user.do(*user.run())
        assert stopped.status == 1, stopped.err
        assert "cut off who uses the archive now" in stopped.json["reason"]
        assert f"--accept {i.internet}" in stopped.json["reason"]
        assert "pushing" not in user.kinds() and not guarded(site)
        (seen,) = [entry.data for entry in user.entries() if entry.kind == "live peers"]
        assert seen["told"] == BOTH
        assert [(one["address"], one["ports"], one["accepted"]) for one in seen["cut"]] == [
            (str(i.internet), [i.web_port], False)
        ]
        ours = [(one["device"], one["address"], one["interface"]) for one in seen["connections"] if one["established"]]
        assert sorted(set(ours)) == [("fw-north", str(i.internet), "wan"), ("pacs-north", str(i.internet), "")]
        assert user.kinds().index("live peers") < user.kinds().index("baseline")

        done = user.do(*user.run("--accept", str(i.internet)))
        assert done.status == 0, done.err
        assert guarded(site)
        (seen,) = [entry.data for entry in user.entries() if entry.kind == "live peers"]
        assert seen["cut"][0]["accepted"]


def test_whoever_comes_by_another_interface_is_not_cut_off_and_is_listed(user: User) -> None:
    site, i = user.site, user.site.layout
    site.must("clinic", ["ip", "address", "add", f"{STRANGER}/24", "dev", "eth0"])
    try:
        with (
            held(site, "clinic", STRANGER, str(i.pacs), i.web_port),
            held(site, "clinic", str(i.clinic), str(i.pacs), i.web_port),
        ):
            listed = user.do("peers", "pacs-north", *user.inventory(), "--format", "json")
            assert listed.status == 0, listed.err
            found = {one["address"]: one for one in listed.json["peers"] if one["open_now"]}
            assert set(found) == {STRANGER, str(i.clinic)}
            assert not found[STRANGER]["is_listed"] and found[str(i.clinic)]["is_listed"]
            assert listed.json["asked"] == BOTH
            pasted = yaml.safe_load(user.do("peers", "pacs-north", *user.inventory(), "--format", "yaml").out)
            assert [one["address"] for one in pasted] == [STRANGER]
            assert "no look-back" in user.do("peers", "pacs-north", *user.inventory()).out

            done = user.do(*user.run())
            assert done.status == 0, done.err
    finally:
        site.must("clinic", ["ip", "address", "del", f"{STRANGER}/24", "dev", "eth0"])


def test_the_log_of_the_archive_and_conntrack_s_events_are_read(user: User) -> None:
    """Recorded here, by the programs themselves."""
    site, i = user.site, user.site.layout
    events = user.folder / "events.txt"
    watcher = site.popen("fw", ["sh", "-c", f"exec conntrack -E -p tcp -o timestamp > {events} 2>&1"])
    try:

        def association() -> bool:
            site.must("clinic", ["echoscu", "-aet", i.clinic_ae_title, str(i.pacs), str(i.dicom_port)])
            return "ESTABLISHED" in events.read_text()

        wait_for(lambda: events.exists() and association())
    finally:
        watcher.terminate()
        watcher.wait()
    found = user.do("peers", "pacs-north", *user.inventory(), "--from", str(events), "--format", "json")
    assert found.status == 0, found.err
    (file,) = found.json["files"]
    assert (file["format"], file["bad_lines"]) == ("conntrack events", 0)
    assert file["used"] >= 1
    (clinic,) = [one for one in found.json["peers"] if one["address"] == str(i.clinic)]
    assert any(name.startswith("conntrack events") for name in clinic["times"]), json.dumps(clinic)


def test_a_firewall_that_does_not_track_says_so(user: User) -> None:
    site = user.site
    rule = "table ip raw_test {\nchain c {\ntype filter hook prerouting priority -300\ntcp dport 9 notrack\n}\n}\n"
    site.must("fw", ["nft", "-f", "-"], input=rule)
    try:
        told = user.do("peers", "pacs-north", *user.inventory(), "--format", "json")
        assert told.status == 0, told.err
        assert "notrack" in told.json["cannot_tell"]["fw-north"]
    finally:
        site.must("fw", ["nft", "delete", "table", "ip", "raw_test"])


def test_observing_notes_who_would_be_denied_and_denies_nobody_until_the_guard_replaces_it(user: User) -> None:
    site, i = user.site, user.site.layout
    observing = user.folder / "observe.yaml"
    observing.write_text(
        "- name: See who comes\n  hosts: pacs\n  vars: {revert_in: 90s}\n"
        "  tasks: [{name: Observe, apply: acl, mode: observe}]\n"
    )
    done = user.do("run", str(observing), *user.inventory(), "--format", "json")
    assert done.status == 0, done.err
    assert [wave["state"] for wave in done.json["waves"]] == ["confirmed"]
    exposed = user.verify()
    assert exposed.status == 1, "nothing is closed, and nobody says so"
    assert "drop" not in site.must("fw", ["nft", "list", "table", "inet", "remediate"])
    boot = site.must("fw", ["sh", "-c", "cat /etc/remediate/guard-*.nft"])
    assert "seen4_acl_pacs-north" in boot and "elements" not in boot

    again = user.do("run", str(observing), *user.inventory(), "--format", "json")
    assert [wave["state"] for wave in again.json["waves"]] == ["unchanged"]

    told = user.do("peers", "pacs-north", *user.inventory(), "--format", "json")
    (outsider,) = [one for one in told.json["peers"] if one["address"] == str(i.internet)]
    assert set(outsider["ports"]) >= {i.dicom_port, i.web_port}
    assert outsider["times"]["packets, noted by the guard of fw-north"] > 0
    assert str(i.clinic) not in {one["address"] for one in told.json["peers"] if "packets" in str(one["times"])}

    closed = user.do(*user.run())
    assert closed.status == 0, closed.err
    assert user.verify().status == 0
    (seen,) = [entry.data for entry in user.entries() if entry.kind == "live peers"]
    assert {one["source"] for one in seen["noted"]["fw-north"]} == {str(i.internet)}
    opening = user.do("run", str(observing), *user.inventory())
    assert opening.status == 2
    assert "denies there now, and to observe would open that again" in opening.err
