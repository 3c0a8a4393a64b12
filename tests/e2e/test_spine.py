"""One real exposure on a real site, closed, proved, taken back, recorded: what must hold, by the command line."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from remediate.lab.real import LabSite
from remediate.model.verdict import Verdict
from remediate.probes import upper_layer
from tests.e2e.conftest import User, killed_at, verify, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def ruleset(site: LabSite) -> tuple[str, str]:
    """Everything that filters on the firewall, counters left out."""
    nft = site.must("fw", ["nft", "-s", "list", "ruleset"])
    legacy = site.must("fw", ["iptables-save"])
    return nft, re.sub(r"\[\d+:\d+\]|^#.*\n", "", legacy, flags=re.MULTILINE)


def without_ours(nft: str) -> str:
    return re.sub(r"^table inet remediate \{\n.*?^\}\n", "", nft, flags=re.MULTILINE | re.DOTALL)


def restart_the_firewall(site: LabSite) -> None:
    """What of ours is loaded at boot, and nothing else of ours."""
    site.must("fw", ["nft", "delete", "table", "inet", "remediate"])
    site.must("fw", ["sh", "-c", 'for hook in /etc/network/if-pre-up.d/remediate-guard-*; do "$hook"; done'])


def has_guard(site: LabSite) -> bool:
    return not site.exec("fw", ["nft", "list", "table", "inet", "remediate"]).returncode


def left_on_device(site: LabSite) -> str:
    return site.exec("fw", ["sh", "-c", "ls -A /var/lib/remediate; pgrep -af [d]eadman.sh"]).stdout.strip()


def rungs(document: dict[str, Any], vantage: str) -> set[str]:
    return {
        finding["observation"]["rung"]
        for pacs in document["pacs"]
        for finding in pacs["findings"]
        if finding["expectation"]["question"]["vantage"] == vantage
    }


def retrieve(site: LabSite) -> int:
    """A C-MOVE of every study from the archive back to the clinic's listener; how many files came."""
    for path in site.received.iterdir():
        path.unlink()
    i = site.layout
    common = ["-aet", i.clinic_ae_title, "-aec", i.ae_title]
    query = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"]
    found = site.exec("clinic", ["findscu", *common, *query, str(i.pacs), str(i.dicom_port)])
    studies = re.findall(r"\(0020,000d\) UI \[([0-9.]+)", found.stdout + found.stderr)
    for uid in studies:
        site.must(
            "clinic",
            [
                "movescu",
                *common,
                "-aem",
                i.clinic_ae_title,
                "-S",
                "-k",
                "QueryRetrieveLevel=STUDY",
                "-k",
                f"StudyInstanceUID={uid}",
                str(i.pacs),
                str(i.dicom_port),
            ],
        )
    return len(list(site.received.iterdir()))


class Outsider:
    """An association from outside, open while the guard goes up: a C-ECHO on it again and again, a line an answer."""

    def __init__(self, site: LabSite, folder: Path) -> None:
        i = site.layout
        hello = upper_layer.association_request("OUTSIDER", i.ae_title)
        echo = upper_layer.c_echo(16384)
        program = (
            "import socket, time\n"
            f"s = socket.create_connection(({str(i.published)!r}, {i.outside_dicom_port}), 60)\n"
            f"s.sendall({hello!r})\n"
            "assert s.recv(65536)[0] == 2\n"  # A-ASSOCIATE-AC
            "s.settimeout(1)\n"
            "while True:\n"
            "    try:\n"
            f"        s.sendall({echo!r})\n"
            "        print(len(s.recv(65536)), flush=True)\n"
            "    except TimeoutError:\n"
            "        print('silence', flush=True)\n"
            "    time.sleep(0.1)\n"
        )
        self.out = folder / "outsider.txt"
        self.process = site.popen("internet", ["sh", "-c", f"exec python3 -c {shlex.quote(program)} > {self.out} 2>&1"])

    def lines(self) -> list[str]:
        return self.out.read_text().split() if self.out.exists() else []

    def __enter__(self) -> Outsider:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_the_whole_loop(user: User, tmp_path: Path) -> None:
    site = user.site
    before = ruleset(site)
    exposed = user.verify()
    assert exposed.status == 1
    assert rungs(exposed.json, "internet") & {"query answered", "data returned"}
    assert retrieve(site) > 0

    with Outsider(site, tmp_path) as outsider:
        wait_for(lambda: len(outsider.lines()) > 2)
        assert set(outsider.lines()) - {"silence"}
        done = user.do(*user.run("--accept", str(site.layout.internet)))
        assert done.status == 0, done.err
        assert [wave["state"] for wave in done.json["waves"]] == ["confirmed"]
        # an association that was open before passes no byte any more
        passed = len([line for line in outsider.lines() if line != "silence"])
        wait_for(lambda: outsider.lines()[-3:] == ["silence"] * 3)
        assert len([line for line in outsider.lines() if line != "silence"]) == passed

    guarded = ruleset(site)
    restart_the_firewall(site)
    assert ruleset(site) == guarded

    after = user.verify()
    assert after.status == 0, after.out
    assert rungs(after.json, "internet") == {"filtered"}
    assert retrieve(site) > 0, "the archive still opens associations back to the clinic"
    now = ruleset(site)
    assert without_ours(now[0]) == without_ours(before[0])
    assert now[1] == before[1]
    assert now[0] != before[0]
    assert left_on_device(site) == ""

    assert done.json["waits"]["timer"] == 0, "what is confirmed waits for no timer"

    again = user.do(*user.run())
    assert again.status == 0
    assert [wave["state"] for wave in again.json["waves"]] == ["unchanged"]
    assert ruleset(site) == now

    first = user.do("record", "list", "--format", "json").json[0]["change"]
    shown = user.do("record", "show", first)
    assert "pushing" in shown.out
    assert "device confirmed" in shown.out
    assert user.do("record", "verify").status == 0

    back = user.do("rollback", first, "--format", "json")
    assert back.status == 0, back.err
    assert ruleset(site) == before
    assert user.verify().status == 1


def test_check_and_plan_change_nothing(user: User) -> None:
    before = ruleset(user.site)
    assert user.do(*user.run("--check", "--diff")).status == 1
    planned = user.do("plan", str(user.site.playbook), *user.inventory(), "--out", str(user.folder / "plan.json"))
    assert planned.status == 0
    assert re.search(r"^\+\s+iifname .* drop", planned.out, re.MULTILINE)
    assert ruleset(user.site) == before
    assert left_on_device(user.site) == ""
    done = user.do("run", str(user.folder / "plan.json"), *user.inventory())
    assert done.status == 0, done.err


def test_killed_after_the_push_the_device_takes_it_back_alone(user: User) -> None:
    site = user.site
    before = ruleset(site)
    process = user.start(*user.run(revert_in=15))
    user.until("all pushed", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert has_guard(site)
    wait_for(lambda: ruleset(site) == before)
    resumed = user.do("resume", "--format", "json")
    assert resumed.status == 4, resumed.err
    assert "own timer" in resumed.json["reason"]
    assert user.kinds()[-2:] == ["rolled back", "ended"]
    assert left_on_device(site) == ""
    assert user.do("resume").status == 0, "nothing left to resume"
    assert user.do("record", "verify").status == 0


@pytest.mark.parametrize("at", killed_at("baseline", "pushed", "confirming"))
def test_killed_and_resumed_in_time_it_is_verified_and_confirmed_once(user: User, at: str) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run())
    user.until(at, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = user.do("resume", "--format", "json")
    kinds = user.kinds()
    if at in ("arming", "pushing") and resumed.status == 4:  # killed before the push itself
        assert ruleset(user.site) == before
    else:
        assert resumed.status == 0, resumed.err
        assert has_guard(user.site)
        assert kinds.count("pushing") == 1
        assert kinds.count("confirmed") == 1
        (judged,) = verify(user.site).judgements
        assert judged.verdict is Verdict.PROTECTED
    assert kinds[-1] == "ended"
    assert left_on_device(user.site) == ""


def test_resumed_without_a_vantage_it_is_taken_back(user: User) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run())
    user.until("all pushed", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    user.site.kill_vantage("internet")
    resumed = user.do("resume")
    assert resumed.status == 4, resumed.err
    assert ruleset(user.site) == before
    assert left_on_device(user.site) == ""


def test_a_firewall_that_drops_the_clinic_too_is_taken_back(user: User) -> None:
    site = user.site
    before = ruleset(site)
    site.sabotage()
    done = user.do(*user.run(revert_in=40))
    assert done.status == 4, done.err
    assert done.json["waves"][0]["state"] == "rolled back"
    site.stop_sabotage()
    assert ruleset(site) == before
    assert left_on_device(site) == ""
    entry = user.do("record", "show", done.json["change"], "--format", "json").json[-2]
    assert entry["kind"] == "rolled back"
    assert entry["data"]["restored"] is True
    assert "OPEN TO THE OUTSIDE AGAIN" in done.err


@pytest.mark.parametrize("what", ["vantage", "canary"])
def test_blind_at_the_baseline_nothing_is_pushed(user: User, what: str) -> None:
    before = ruleset(user.site)
    if what == "vantage":
        user.site.kill_vantage("internet")
    else:
        user.site.kill_canary()
    done = user.do(*user.run())
    assert done.status == 3, done.err
    assert "pushing" not in user.kinds()
    assert ruleset(user.site) == before
    assert left_on_device(user.site) == ""


@pytest.mark.parametrize("what", ["vantage", "canary"])
def test_blind_after_the_push_it_is_taken_back(user: User, what: str) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run(revert_in=40))
    with user.halted("all pushed", process):
        if what == "vantage":
            user.site.kill_vantage("internet")
        else:
            user.site.kill_canary()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert ruleset(user.site) == before
    assert left_on_device(user.site) == ""


def test_a_line_that_the_device_rejects(user: User) -> None:
    site = user.site
    before = ruleset(site)
    templates = user.folder / "templates" / "linux_nftables"
    templates.mkdir(parents=True)
    ours = Path(__file__).parents[2] / "templates" / "linux_nftables" / "acl.j2"
    text = ours.read_text()
    loop = "{% for rule in section.rules %}"
    assert loop in text
    templates.joinpath("acl.j2").write_text(text.replace(loop, f"{loop}\n\t\tthis is not nft", 1))
    done = user.do(*user.run("--templates", str(templates.parent)))
    assert done.status == 2, done.err
    assert "syntax error" in done.err, "the device's own words"
    assert "Traceback" not in done.err
    assert ruleset(site) == before
    assert left_on_device(site) == ""


def test_ctrl_c_after_the_push_takes_it_back(user: User) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run())
    user.until("all pushed", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert ruleset(user.site) == before
    assert left_on_device(user.site) == ""


def test_ctrl_c_twice_leaves_it_to_the_timer_and_says_so(user: User) -> None:
    before = ruleset(user.site)
    process = user.start(*user.run(revert_in=20))
    with user.halted("all pushed", process):
        user.site.kill_vantage("clinic")  # so that taking back takes a while: every vantage looks again
    process.send_signal(signal.SIGINT)
    user.until("rolling back", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "fw-north: armed; it takes the change back by itself at" in err
    wait_for(lambda: ruleset(user.site) == before)
    user.site.start_sshd("clinic")
    assert user.do("resume").status == 4
    assert left_on_device(user.site) == ""


def test_somebody_elses_rule_between_plan_and_push_stops_it(user: User) -> None:
    site = user.site
    plan = user.folder / "plan.json"
    assert user.do("plan", str(site.playbook), *user.inventory(), "--out", str(plan)).status == 0
    site.must("fw", ["nft", "add", "table", "inet", "colleague"])
    done = user.do("run", str(plan), *user.inventory())
    assert done.status == 3, done.err
    assert "not the one that the plan was made for" in done.err + done.out
    assert not has_guard(site)


def test_two_changes_at_once_on_one_device(user: User) -> None:
    """The second one neither builds on a guard that is not confirmed yet nor touches it."""
    process = user.start(*user.run(revert_in=600))
    with user.halted("all pushed", process):  # it does not confirm before the second one has looked
        second = user.do(*user.run())
    assert second.status == 3, second.err
    assert "provisional change" in second.err
    process.communicate(timeout=180)
    assert process.returncode == 0
    assert user.verify().status == 0
