"""The task for other people's scripts: the script of the docs as it stands there, under every runner."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.filter import F

from remediate.errors import Inconclusive, UsageError
from remediate.lab.embedded.site import EmbeddedSite, standing
from remediate.model.verdict import Judgement, Verdict
from remediate.runner import LoopRunner
from remediate.tasks import exposure, verify_exposure

DOCS = Path(__file__).parents[1] / "docs" / "nornir.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSite]:
    with standing(tmp_path_factory.mktemp("site") / "site") as made:
        yield made


@pytest.fixture(params=["threaded", "serial", "RemediateRunner"])
def nornir(request: pytest.FixtureRequest, site: EmbeddedSite) -> Iterator[Nornir]:
    inventory = {"plugin": "RemediateInventory", "options": {"path": str(site.inventory)}}
    made = InitNornir(inventory=inventory, runner={"plugin": request.param}, logging={"enabled": False})
    yield made
    if isinstance(made.runner, LoopRunner):
        made.runner.close()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert not exposure._shared._open
    assert not [one for one in set(threading.enumerate()) - before if one.name == "vantages"]


def test_the_script_in_the_docs(site: EmbeddedSite) -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert len([line for line in script.splitlines() if line]) <= 10
    argv = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(argv, cwd=site.folder, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "archive exposed\n", "")


def run(nornir: Nornir, **how: Any) -> Any:
    return nornir.filter(F(has_parent_group="pacs")).run(verify_exposure, **how)["archive"][0]


def test_exposed_is_a_result_and_no_failure(nornir: Nornir) -> None:
    result = run(nornir, vantages=["internet", "clinic"])
    assert (result.failed, result.changed, result.exception) == (False, False, None)
    assert isinstance(result.result, Judgement)
    assert result.result.verdict is Verdict.EXPOSED
    assert result.result.vantages == ("internet", "clinic")
    assert nornir.data.failed_hosts == set()


def test_from_one_vantage_only(nornir: Nornir) -> None:
    result = run(nornir, vantages=["clinic"])
    assert not result.failed, "everything that was to be asked was asked"
    assert result.result.verdict is Verdict.INCONCLUSIVE
    assert any("the outside" in line for line in result.result.not_asked)


def test_a_host_that_is_no_pacs_and_a_vantage_that_is_none(nornir: Nornir) -> None:
    result = nornir.filter(name="edge-router").run(verify_exposure)["edge-router"][0]
    assert result.failed
    assert isinstance(result.exception, UsageError)
    result = run(nornir, vantages=["internt"])
    assert isinstance(result.exception, UsageError)
    assert "no vantage is called internt" in str(result.exception)
    nornir.data.reset_failed_hosts()
    assert isinstance(run(nornir, vantages=[]).exception, UsageError)


def test_what_could_not_be_asked_is_a_failure_and_the_judgement_is_there(
    site: EmbeddedSite, tmp_path: Path, nornir: Nornir
) -> None:
    text = (site.inventory / "hosts.yaml").read_text()
    source = f"local:\n        source: {site.layout.clinic}"
    assert source in text
    (tmp_path / "hosts.yaml").write_text(text.replace(source, "ssh: probe@127.0.0.1:9"))
    (tmp_path / "defaults.yaml").write_text((site.inventory / "defaults.yaml").read_text())
    inventory = {"plugin": "RemediateInventory", "options": {"path": str(tmp_path)}}
    blind = InitNornir(inventory=inventory, logging={"enabled": False}).with_runner(nornir.runner)
    result = run(blind)
    assert result.failed
    assert isinstance(result.exception, Inconclusive)
    assert "questions could not be asked: vantage clinic: no SSH session: Connection refused" in str(result.exception)
    assert result.result.verdict is Verdict.EXPOSED, "the internet's view counts"


def test_hosts_at_the_same_time_share_the_vantages(site: EmbeddedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSH server drops logins above its MaxStartups. All hosts wait for each other inside, so they overlap."""
    hosts = 8
    text = (site.inventory / "hosts.yaml").read_text()
    archive = text.partition("edge-router:")[0]
    address, inside = site.layout.published, site.layout.inside
    for number in range(2, hosts + 1):
        more = archive.replace("archive:", f"archive-{number}:", 1)
        more = more.replace(address, site.layout.at(203, 20 + number)).replace(inside, site.layout.at(20, 50 + number))
        text += more
    folder = site.folder / "many"
    folder.mkdir()
    (folder / "hosts.yaml").write_text(text)
    (folder / "defaults.yaml").write_text((site.inventory / "defaults.yaml").read_text())
    opened: list[object] = []
    everybody = threading.Barrier(hosts, timeout=30)
    real_init, real_round = exposure._OpenLookout.__init__, exposure._OpenLookout.round

    def init(self: exposure._OpenLookout, *args: Any) -> None:
        opened.append(self)
        real_init(self, *args)

    def together(self: exposure._OpenLookout, *args: Any) -> Any:
        everybody.wait()
        return real_round(self, *args)

    monkeypatch.setattr(exposure._OpenLookout, "__init__", init)
    monkeypatch.setattr(exposure._OpenLookout, "round", together)
    inventory = {"plugin": "RemediateInventory", "options": {"path": str(folder)}}
    runner = {"plugin": "threaded", "options": {"num_workers": hosts}}
    made = InitNornir(inventory=inventory, runner=runner, logging={"enabled": False})
    results = made.filter(F(has_parent_group="pacs")).run(verify_exposure)
    assert len(results) == hosts
    verdicts = {name: result[0].result.verdict for name, result in results.items()}
    assert verdicts.pop("archive") is Verdict.EXPOSED
    assert set(verdicts.values()) == {Verdict.CARE_PATH_BROKEN}, "nothing is at the other addresses"
    assert len(opened) == 1
