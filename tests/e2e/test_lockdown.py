"""All controls in one play: one transaction over the firewall and the archive together, on the real site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from remediate.lab.real.files import ETC
from tests.e2e.conftest import User, wait_for
from tests.e2e.test_tls_and_web import by_hand, inventory, papers

#: What the archive needs for TLS and for registered users.
__all__ = ["by_hand", "inventory", "papers"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PLAYBOOK = Path(__file__).parents[2] / "playbooks" / "lockdown.yaml"
FILE = f"{ETC}/orthanc.json"
RESTART = f"{ETC}/restart-orthanc"
VPN = "tun-readers"


@pytest.fixture
def where(user: User, request: pytest.FixtureRequest) -> Iterator[Path]:
    """With a VPN's interface, by which nobody comes now."""
    request.getfixturevalue("by_hand")
    folder: Path = request.getfixturevalue("inventory")
    user.site.must("fw", ["ip", "link", "add", VPN, "type", "veth", "peer", "name", "tun-far"])
    hosts = yaml.safe_load((folder / "hosts.yaml").read_text())
    hosts["fw-north"]["data"]["guard"]["vpn"] = [VPN]
    readers = {"name": "readers", "network": "10.99.0.0/24", "via": "vpn", "roles": ["web"]}
    hosts["pacs-north"]["data"]["access"]["peers"].append(readers)
    (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    yield folder
    user.site.must("fw", ["ip", "link", "del", VPN])


def rules(user: User) -> str:
    return user.site.must("fw", ["nft", "-s", "list", "ruleset"])


def test_all_or_none(user: User, where: Path) -> None:
    """The archive's restart fails while the firewall holds its guard already: that one is taken back too. Once it
    works, everything is confirmed in one wave, and taken back in one."""
    site = user.site
    before, file = rules(user), site.must("pacs", ["cat", FILE])
    checked = user.do("run", str(PLAYBOOK), *user.inventory(where), "--check")
    assert checked.status == 1, "nothing was changed: it is open still"
    assert "2 device changes in 1 waves" in checked.err and "needs approval by one of" in checked.err
    assert "SIMULATED ONLY, not accepted: readers" in checked.err
    assert (rules(user), site.must("pacs", ["cat", FILE])) == (before, file)
    (play,) = yaml.safe_load(PLAYBOOK.read_text())
    now = user.folder / "now.yaml"  # at any hour, and by one person
    now.write_text(yaml.safe_dump([{k: v for k, v in play.items() if k not in ("window", "approval", "soak")}]))
    run = ["run", str(now), *user.inventory(where), "--accept", "readers", "--format", "json"]

    restart = site.must("pacs", ["cat", RESTART])
    go, tried = f"{ETC}/go", f"{ETC}/tried"
    fails_once = f"if ! [ -e {tried} ]; then : > {tried}; until [ -e {go} ]; do sleep 0.1; done; exit 1; fi\n"
    head, _, rest = restart.partition("\n")
    site.must("pacs", ["tee", RESTART], input=f"{head}\n{fails_once}{rest}")
    process = user.start(*run)
    user.until("pushed", process)
    wait_for(lambda: not site.exec("pacs", ["test", "-e", tried]).returncode, process)
    assert rules(user) != before, "the firewall holds its guard"
    site.must("pacs", ["touch", go])
    out, err = process.communicate(timeout=200)
    site.must("pacs", ["rm", go, tried])
    site.must("pacs", ["tee", RESTART], input=restart)
    assert process.returncode == 4, out + err
    kinds = [(entry.kind, entry.data.get("device")) for entry in user.entries()]
    assert ("pushed", "fw-north") in kinds and ("refused", "pacs-north") in kinds
    assert not any(kind in ("confirming", "device confirmed") for kind, _ in kinds)
    (end,) = [entry for entry in user.entries() if entry.kind == "rolled back"]
    assert end.data["restored"] and "did not come back with the new file" in end.data["why"]
    assert end.data["down"]["pacs-north"] > 0, "it was restarted with its old file"
    assert (rules(user), site.must("pacs", ["cat", FILE])) == (before, file)

    done = user.do(*run)
    assert done.status == 0, done.err
    confirmed = {entry.data["device"] for entry in user.entries() if entry.kind == "device confirmed"}
    assert (confirmed, len(done.json["waves"])) == ({"fw-north", "pacs-north"}, 1)
    assert set(done.json["waves"][0]["leaves_open"]) == {task["apply"] for task in play["tasks"] if "apply" in task}
    back = user.do("rollback", done.json["change"], *user.inventory(where), "--format", "json")
    assert back.status == 0, back.err
    assert (rules(user), site.must("pacs", ["cat", FILE])) == (before, file)
