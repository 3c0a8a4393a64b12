"""``unpublish`` on the real site: the archive's forwards are switched off, whoever made them, and those alone."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import yaml

from remediate.lab.real import LabSite
from tests.e2e.conftest import User, wait_for
from tests.e2e.test_spine import Outsider, has_guard, left_on_device, retrieve, ruleset, rungs, without_ours

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PLAYBOOK = """\
- name: No longer published
  hosts: pacs
  vars: {revert_in: 90s}
  tasks:
    - name: No port forward leads to the archive
      apply: unpublish
    - name: Look from outside and from the clinic
      verify: {from: [internet, clinic]}
"""
#: A forward on the same published address that is another host's.
OTHER = 8104
TRANSLATED = 11112


@pytest.fixture
def play(user: User) -> Path:
    path = user.folder / "unpublish.yaml"
    path.write_text(PLAYBOOK)
    return path


def shell(site: LabSite, text: str) -> None:
    site.must("fw", ["sh", "-ec", text])


def by_nft(site: LabSite) -> None:
    i = site.layout
    shell(
        site,
        f"""
        nft add rule ip nat prerouting ip daddr {i.published} tcp dport {OTHER} dnat to {i.clinic}:{i.listen_port}
        nft insert rule inet filter forward iifname {i.wan_interface} ip daddr {i.clinic} accept
        """,
    )


def by_iptables(site: LabSite) -> None:
    """The DICOM port translated, and with conditions that iptables writes in its own way."""
    i = site.layout
    to = {TRANSLATED: f"{i.pacs}:{i.dicom_port}", i.web_port: f"{i.pacs}:{i.web_port}"}
    to[OTHER] = f"{i.clinic}:{i.listen_port}"
    forwards = "\n".join(
        f"iptables-nft -t nat -A FORWARDS -p tcp --dport {port} -m comment --comment 'by hand: {port}' "
        f"-j DNAT --to-destination {address}"
        for port, address in to.items()
    )
    shell(
        site,
        f"""
        nft delete table ip nat
        iptables-nft -t nat -N FORWARDS
        iptables-nft -t nat -A PREROUTING -i {i.wan_interface} -d {i.published} -j FORWARDS
        {forwards}
        iptables-nft -t nat -A POSTROUTING -s {i.dmz_network} -o {i.wan_interface} -j MASQUERADE
        nft insert rule inet filter forward iifname {i.wan_interface} ip daddr {i.clinic} accept
        """,
    )


def translated(site: LabSite, folder: Path) -> Path:
    """The inventory, with the DICOM port as ``by_iptables`` publishes it."""
    where = folder / "inventory"
    shutil.copytree(site.inventory, where)
    file = where / "hosts.yaml"
    hosts = yaml.safe_load(file.read_text())
    published = {"address": str(site.layout.published), "ports": {site.layout.dicom_port: TRANSLATED}}
    hosts["pacs-north"]["data"]["addresses"]["outside"] = published
    file.write_text(yaml.safe_dump(hosts))
    return where


def other_is_served(site: LabSite) -> bool:
    i = site.layout
    argv = ["echoscu", "-to", "5", "-aec", i.clinic_ae_title, str(i.published), str(OTHER)]
    return not site.exec("internet", argv).returncode


def planned(user: User, play: Path, inventory: list[str]) -> str:
    plan = user.do("plan", str(play), *inventory)
    assert plan.status == 0, plan.err
    said = " ".join(plan.out.split())
    assert "not given by unpublish: unpublish ends the translation alone" in said
    assert f"{OTHER}" not in said, "the other host's forward is none of ours"
    return said


def test_the_whole_loop(user: User, play: Path) -> None:
    site, inventory = user.site, user.inventory()
    by_nft(site)
    before = ruleset(site)
    exposed = user.verify()
    assert exposed.status == 1, exposed.err
    assert rungs(exposed.json, "internet") & {"query answered", "data returned"}
    assert other_is_served(site)
    said = planned(user, play, inventory)
    rule = "table ip nat, chain prerouting: ip daddr 203.0.113.20 tcp dport 104 dnat to 10.10.0.5:104"
    assert f"is switched off for what comes in to 203.0.113.20 port 104: {rule}" in said

    run = ["run", str(play), *inventory, "--accept", str(site.layout.internet), "--format", "json"]
    with Outsider(site, user.folder) as outsider:
        wait_for(lambda: len(outsider.lines()) > 2)
        assert set(outsider.lines()) - {"silence"}
        done = user.do(*run)
        assert done.status == 0, done.err
        wait_for(lambda: outsider.lines()[-3:] == ["silence"] * 3)
    after = user.verify()
    assert after.status == 0, after.out
    assert rungs(after.json, "internet") == {"closed"}, "nothing listens there on the firewall itself"
    assert other_is_served(site), "and only that"
    assert retrieve(site) > 0, "the clinic is served, and the archive opens associations back to it"
    now = ruleset(site)
    assert (without_ours(now[0]), now[1]) == (without_ours(before[0]), before[1])
    assert now != before
    assert left_on_device(site) == ""

    again = user.do(*run)
    assert again.status == 0 and [wave["state"] for wave in again.json["waves"]] == ["unchanged"], again.err
    assert ruleset(site) == now
    at_boot = 'nft delete table inet remediate; for one in /etc/network/if-pre-up.d/remediate-guard-*; do "$one"; done'
    shell(site, at_boot)
    assert ruleset(site) == now, "what is loaded at boot is the same"

    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert ruleset(site) == before
    assert user.verify().status == 1
    assert other_is_served(site)


def test_forwards_of_iptables_and_acl_in_the_same_play(user: User, play: Path) -> None:
    """A translated port, and two controls that go in together, and out together."""
    site = user.site
    by_iptables(site)
    play.write_text(PLAYBOOK.replace("    - name: Look", "    - {name: Known peers, apply: acl}\n    - name: Look"))
    inventory = user.inventory(translated(site, user.folder))
    before = ruleset(site)
    said = planned(user, play, inventory)
    rule = "iptables, table nat, chain FORWARDS: -p tcp -m tcp --dport 11112"
    assert f"is switched off for what comes in to 203.0.113.20 port 11112: {rule}" in said
    done = user.do("run", str(play), *inventory, "--format", "json")
    assert done.status == 0, done.err
    before_it = next(entry for entry in user.entries() if entry.kind == "baseline")
    assert "query answered" in str(before_it.data)
    assert rungs(user.do("verify", *inventory, "--format", "json").json, "internet") == {"closed"}
    assert other_is_served(site), "and only that"
    now = ruleset(site)
    assert (without_ours(now[0]), now[1]) == (without_ours(before[0]), before[1])
    back = user.do("rollback", done.json["change"], "--format", "json")
    assert back.status == 0, back.err
    assert ruleset(site) == before
    assert other_is_served(site) and site.web_answers("internet")


#: The entries on both sides of each thing that is done on the device.
TOUCHED = ("pushing", "device confirmed")
OTHERS = (
    "pushed",
    "planned",
    "preflight",
    "evidence",
    "live peers",
    "baseline",
    "arming",
    "all pushed",
    "looked",
    "verified",
    "confirming",
)
ENTRIES = (*TOUCHED, *OTHERS) if os.environ.get("REMEDIATE_FAULTS") == "all" else TOUCHED


@pytest.mark.parametrize("at", ENTRIES)
def test_killed_at_an_entry_and_resumed(user: User, play: Path, at: str) -> None:
    site = user.site
    by_nft(site)
    before = ruleset(site)
    process = user.start("run", str(play), *user.inventory(), "--format", "json")
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert not has_guard(site)
        assert ruleset(site) == before
    else:
        assert resumed.status == 0, resumed.err
        assert user.verify().status == 0
    assert kinds.count("pushing") <= 1, "nothing is pushed twice"
    assert kinds[-1] == "ended"
    assert other_is_served(site)
    assert left_on_device(site) == ""


def test_what_the_firewall_itself_answers_there_is_taken_back(user: User, play: Path) -> None:
    """Behind the forward stood a service of the firewall's own: it is not what the outside is to see instead."""
    site, i = user.site, user.site.layout
    before = ruleset(site)
    program = (
        f"import socket\ns = socket.create_server(({str(i.published)!r}, {i.outside_web_port}))\nwhile True: s.accept()"
    )
    own = site.popen("fw", ["sh", "-c", f"exec python3 -c {shlex.quote(program)}"])
    try:
        wait_for(lambda: site.listening("fw", i.outside_web_port))
        done = user.do("run", str(play), *user.inventory(), "--format", "json")
        assert done.status == 4, done.err
        assert ruleset(site) == before
    finally:
        own.kill()
        own.communicate()
