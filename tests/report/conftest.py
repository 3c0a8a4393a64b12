"""Changes on the simulated router, once for all tests of what is told about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.model.change import Entry
from remediate.record import Record
from remediate.render import Renderer
from remediate.report import export
from remediate.report.schema import Document
from remediate.testing import RecordThatStops, Stopped, simulated_site
from tests.quiet import Quiet


@dataclass(frozen=True)
class Told:
    """One change in a record; ``secret``: what the router's configuration keeps."""

    file: Path
    change: str
    secret: str

    @property
    def entries(self) -> Sequence[Entry]:
        with Record.open(self.file) as record:
            return list(record.journal(self.change))

    @property
    def document(self) -> Document:
        with Record.open(self.file) as record:
            return export.document(list(record.journal(self.change)), record.verify(self.change))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """``confirmed``, ``unchanged``, ``undone`` (its rollback), ``resumed`` and ``crashed``; ``rolled back`` on a
    router that drops the clinic as soon as the guard is in force.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
        found = _on_a_good_router(tmp_path_factory.mktemp("good"))
        found["rolled back"] = _on_a_bad_router(tmp_path_factory.mktemp("bad"))
    return found


def _on_a_good_router(folder: Path) -> dict[str, Told]:
    file = folder / "record.db"
    with simulated_site(folder / "site") as site:
        loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        names = ["confirmed", "unchanged", "undone"]
        made = []
        with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
            made.append(change.run(planning.make(loaded, book, Renderer()), desk).change)
            made.append(change.run(planning.make(loaded, book, Renderer()), desk).change)
            made.append(change.run(change.taking_back(made[0], desk, Renderer()), desk).change)
        for name, at in (("resumed", 7), ("crashed", 8)):
            with (
                RecordThatStops.open(file, at=at) as record,
                change.desk(loaded, record, Quiet()) as desk,
                pytest.raises(Stopped),
            ):
                change.run(planning.make(loaded, book, Renderer()), desk)
            with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
                made.append(change.unfinished(record)[-1])
                names.append(name)
                if name == "resumed":
                    change.resume(made[-1], desk)
                    change.run(change.taking_back(made[-1], desk, Renderer()), desk)
        secret = _secret(site.folder)
    return {name: Told(file, one, secret) for name, one in zip(names, made, strict=True)}


def _on_a_bad_router(folder: Path) -> Told:
    file = folder / "record.db"
    with simulated_site(folder / "site", misbehave="drops-inside=inside-dicom") as site:
        loaded = inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
        with Record.open(file) as record, change.desk(loaded, record, Quiet()) as desk:
            desk.patience = 2.0
            done = change.run(planning.make(loaded, book, Renderer()), desk)
        return Told(file, done.change, _secret(site.folder))


def _secret(folder: Path) -> str:
    text = (folder / "startup-config").read_text()
    return text.partition(" secret 0 ")[2].split()[0]
