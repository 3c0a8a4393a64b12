"""Changes on the simulated router, once for all tests of what is told about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediate import controls, inventory, platforms, playbook
from remediate.change import change, looking, planning
from remediate.lab.embedded.site import EmbeddedSite
from remediate.model.change import Entry, Plan
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
    """``confirmed``, ``unchanged``, ``undone`` (its rollback) and ``resumed``; ``rolled back`` and ``crashed`` on a
    router that drops the clinic as soon as the guard is in force.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "DEADLINE", 1.0)  # loopback answers at once, or never
        return _on_a_good_router(tmp_path_factory.mktemp("good")) | _on_a_bad_router(tmp_path_factory.mktemp("bad"))


def _on_a_good_router(folder: Path) -> dict[str, Told]:
    file = folder / "record.db"
    with simulated_site(folder / "site") as site:
        made = []
        with Record.open(file) as record, change.desk(_load(site), record, Quiet()) as desk:
            made.append(change.run(_plan(site), desk).change)
            made.append(change.run(_plan(site), desk).change)
            made.append(change.run(change.taking_back(made[0], desk, Renderer()), desk).change)
        made.append(_crashed(site, file, at=8))
        with Record.open(file) as record, change.desk(_load(site), record, Quiet()) as desk:
            change.resume(made[-1], desk)
        secret = _secret(site.folder)
    names = ("confirmed", "unchanged", "undone", "resumed")
    return {name: Told(file, one, secret) for name, one in zip(names, made, strict=True)}


def _on_a_bad_router(folder: Path) -> dict[str, Told]:
    file = folder / "record.db"
    with simulated_site(folder / "site", misbehave="drops-inside=inside-dicom") as site:
        with Record.open(file) as record, change.desk(_load(site), record, Quiet()) as desk:
            desk.patience = 2.0
            rolled_back = change.run(_plan(site), desk).change
        crashed = _crashed(site, file, at=9)
        secret = _secret(site.folder)
    return {"rolled back": Told(file, rolled_back, secret), "crashed": Told(file, crashed, secret)}


def _load(site: EmbeddedSite) -> inventory.Loaded:
    return inventory.load(site.inventory, platforms=set(platforms.PLATFORMS))


def _plan(site: EmbeddedSite) -> Plan:
    loaded = _load(site)
    book = playbook.load(site.playbook, controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages))
    return planning.make(loaded, book, Renderer())


def _crashed(site: EmbeddedSite, file: Path, at: int) -> str:
    with RecordThatStops.open(file, at=at) as record, change.desk(_load(site), record, Quiet()) as desk:
        with pytest.raises(Stopped):
            change.run(_plan(site), desk)
        return change.unfinished(record)[-1]


def _secret(folder: Path) -> str:
    text = (folder / "startup-config").read_text()
    return text.partition(" secret 0 ")[2].split()[0]
