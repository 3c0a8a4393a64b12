"""A firewall that answers what it denies: the real site, looked at from outside through a real OpenSSH."""

from __future__ import annotations

from typing import Any

import pytest

from remediate.lab.real import LabSite
from tests.e2e.conftest import User
from tests.e2e.test_spine import rungs
from tests.e2e.test_unpublish import PLAYBOOK, shell

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

#: What nftables says, and what is seen of it over SSH.
ANSWERS = {
    "reject with icmp type admin-prohibited": "unreachable",  # ICMP 3/13: firewalld's, RHEL's
    "reject with icmp type host-prohibited": "unreachable",  # 3/10
    "reject with icmp type net-prohibited": "unreachable",  # 3/9
    "reject with icmp type host-unreachable": "unreachable",  # 3/1
    "reject with tcp reset": "closed",
    "drop": "filtered",
}


def somebody_elses(site: LabSite, hook: str, address: Any, answer: str) -> None:
    """A rule ahead of the others, for what comes from outside to the archive's ports at that address."""
    i = site.layout
    shell(
        site,
        f"""
        nft 'add table inet others; delete table inet others; table inet others {{
            chain {hook} {{
                type filter hook {hook} priority -10;
                iifname "{i.wan_interface}" ip daddr {address} tcp dport {{ {i.dicom_port}, {i.web_port} }} {answer}
            }}
        }}'
        """,
    )


def from_outside(document: Any) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = document["pacs"][0]["findings"]
    return [finding for finding in findings if finding["expectation"]["purpose"] == "outside closed"]


def test_what_a_closed_archive_looks_like(user: User) -> None:
    """Nobody has a baseline here, nor a canary on these ports: an ICMP message alone is no proof over SSH."""
    for answer, rung in ANSWERS.items():
        somebody_elses(user.site, "forward", user.site.layout.pacs, answer)
        done = user.verify()
        assert rungs(done.json, "internet") == {rung}, answer
        if rung != "unreachable":
            assert done.status == 0, answer
            continue
        assert done.status == 3, answer
        for finding in from_outside(done.json):
            assert (finding["outcome"], finding["observation"]["icmp"]) == ("unknown", None)
            assert "vantage internet never reached the archive, and may have no way there" in finding["why"]
        (view,) = (one for one in done.json["pacs"][0]["views"] if one["vantage"] == "internet")
        assert "would tell" in view["means"]


def test_one_port_that_is_open_shows_the_way_to_the_other(user: User) -> None:
    site, i = user.site, user.site.layout
    somebody_elses(site, "forward", i.pacs, "reject with icmp type admin-prohibited")
    shell(site, f"nft insert rule inet others forward ip daddr {i.pacs} tcp dport {i.dicom_port} accept")
    done = user.verify()
    assert done.status == 1, "the other one is exposed"
    outcomes = {finding["observation"]["rung"]: finding["outcome"] for finding in from_outside(done.json)}
    assert outcomes.pop("unreachable") == "met"
    assert set(outcomes.values()) == {"unmet"}


@pytest.mark.parametrize("code", ["admin-prohibited", "net-prohibited"])
def test_a_right_change_is_confirmed_where_the_firewall_rejects_what_is_left(user: User, code: str) -> None:
    """No longer forwarded, the connections end at the firewall itself, which answers as firewalld does.

    OpenSSH has one text for the first, another for the second.
    """
    site = user.site
    somebody_elses(site, "input", site.layout.published, f"reject with icmp type {code}")
    play = user.folder / "unpublish.yaml"
    play.write_text(PLAYBOOK)
    run = ["run", str(play), *user.inventory(), "--format", "json"]
    done = user.do(*run)
    assert done.status == 0, done.err
    assert [wave["state"] for wave in done.json["waves"]] == ["confirmed"]
    looked = next(entry for entry in reversed(user.entries()) if entry.kind == "looked")
    seen = {one["rung"] for one in looked.data["observations"] if one["question"]["vantage"] == "internet"}
    assert seen == {"unreachable"}
    again = user.do(*run)
    assert again.status == 0, again.err
    assert [wave["state"] for wave in again.json["waves"]] == ["unchanged"], "the record knows who reached it before"
    user.record_file.unlink()
    forgotten = user.do(*run)
    assert forgotten.status == 3, "without it that is credited to nobody"
    assert "vantage internet never reached the archive, and may have no way there" in forgotten.out
