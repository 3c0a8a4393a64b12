"""An archive that restarts while it is looked at: its port is refused for as long as nobody listens there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from remediate import inventory
from remediate.change import looking
from remediate.change.looking import Eyes, Look
from remediate.model.observation import Observation, Question, Rung
from remediate.model.verdict import Expectation, Outcome
from tests.probes.daemons import free_port, need, running

HOSTS = """\
archive:
  groups: [pacs]
  data:
    ae_title: ORTHANC
    addresses: {{inside: 127.0.0.1}}
    services: [{{kind: dicom, port: {port}}}]
    access: {{peers: [{{name: ct-1, address: 127.0.0.1, ae_title: CLINICMOD, roles: [store, query]}}]}}
clinic: {{groups: [vantages], data: {{zone: inside, peer: ct-1, via: local}}}}
"""
#: More than an Orthanc takes to start, however busy the machine is.
PATIENCE = 100.0


@dataclass
class Archive:
    """A real Orthanc on one port, for as long as ``with`` it runs."""

    folder: Path
    port: int = field(default_factory=free_port)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        (self.folder / "data").mkdir(exist_ok=True)
        settings = {
            "StorageDirectory": str(self.folder / "data"),
            "IndexDirectory": str(self.folder / "data"),
            "HttpServerEnabled": False,
            "DicomPort": self.port,
            "DicomModalities": {"ct-1": ["CLINICMOD", "127.0.0.1", 104]},
        }
        (self.folder / "orthanc.json").write_text(json.dumps(settings))
        with running(self.folder, self.port, [need("Orthanc"), str(self.folder / "orthanc.json")]):
            yield


@dataclass
class Place:
    eyes: Eyes
    expectations: tuple[Expectation, ...]

    def look(self, reached_before: frozenset[Question] = frozenset(), patience: float = PATIENCE) -> Look:
        return self.eyes.look(self.expectations, {}, reached_before=reached_before, patience=patience)

    def ask(self) -> tuple[Observation, ...]:
        return self.eyes.ask(e.question for e in self.expectations)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


@pytest.fixture
def clinic(archive: Archive, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yaml").write_text(HOSTS.format(port=archive.port))
    loaded = inventory.load(tmp_path / "inventory")
    wanted, names = looking.views(loaded, None, None)
    with looking.opened(loaded, names, lambda _: nullcontext()) as (eyes, unopened):
        assert not unopened
        yield Place(eyes, wanted["archive"].expectations)


def outcomes(look: Look) -> set[Outcome]:
    return {finding.outcome for judgement in look.judgements for finding in judgement.findings}


def test_while_its_port_is_refused_it_is_asked_again(archive: Archive, clinic: Place) -> None:
    with archive():
        before = clinic.look(patience=0.0)
        assert outcomes(before) == {Outcome.MET}
    assert {seen.rung for seen in clinic.ask()} == {Rung.CLOSED}

    refused, looked = threading.Event(), threading.Event()
    clinic.eyes.told = lambda _done, _questions: refused.set()

    def serve() -> None:
        """A child of this thread: it dies with it."""
        refused.wait()
        with archive():
            looked.wait()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        assert outcomes(clinic.look(before.reached)) == {Outcome.MET}
    finally:
        refused.set()
        looked.set()
        serving.join()


def test_without_patience_refused_is_the_answer(clinic: Place) -> None:
    look = clinic.look(patience=0.0)
    assert outcomes(look) == {Outcome.UNMET}
    assert {seen.rung for seen in look.observations} == {Rung.CLOSED}


def test_what_was_not_served_before_is_not_waited_for(archive: Archive, clinic: Place) -> None:
    """Somebody else's archive that is down all the time does not hold up a change."""
    with archive():
        served = clinic.look(patience=0.0).reached
    elsewhere = frozenset(question.model_copy(update={"pacs": "another"}) for question in served)
    asked: list[int] = []
    clinic.eyes.told = lambda done, _questions: asked.append(done)
    assert outcomes(clinic.look(elsewhere)) == {Outcome.UNMET}
    assert len(asked) == len(served), "each once"
