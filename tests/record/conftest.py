from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate.record import Record
from tests.record import processes
from tests.record import server as servers
from tests.record.processes import Start
from tests.record.server import Server

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with servers.server() as started:
        yield started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """For what holds of a file only."""
    return tmp_path / "record" / "changes.db"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(backend: str, path: Path, request: pytest.FixtureRequest) -> str:
    """Where a record can be made: a file's name, or the URL of an empty database."""
    if backend == "sqlite":
        return str(path)
    server: Server = request.getfixturevalue("server")
    return server.url(server.database())


@pytest.fixture
def record(place: str) -> Iterator[Record]:
    with Record.open(place) as opened:
        yield opened


@pytest.fixture
def file_record(path: Path) -> Iterator[Record]:
    """For what holds of a file only."""
    with Record.open(path) as opened:
        yield opened


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def begin(what: str, change: str, *rest: str, place: str | None = None) -> subprocess.Popen[str]:
        at = request.getfixturevalue("place") if place is None else place
        children.append(processes.begin(what, at, change, *rest))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
        with child:
            pass
