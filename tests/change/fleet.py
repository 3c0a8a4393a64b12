"""Several simulated sites as one inventory: archive-a behind edge-a, archive-b behind edge-b, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from remediate import controls, inventory, platforms, playbook
from remediate.change import planning
from remediate.inventory import Loaded
from remediate.model.change import Plan
from remediate.render import Renderer
from remediate.testing import simulated_site

#: The router drops the clinic as soon as a guard is in force, so that the change is taken back.
DROPS = "drops-inside=inside-dicom"


@dataclass(frozen=True)
class Fleet:
    folder: Path

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    def book(self, keys: str = "", hosts: str = "pacs") -> Path:
        """``keys``: more lines of the play."""
        path = self.folder / "book.yaml"
        path.write_text(
            f"- name: Close\n  hosts: {hosts}\n  vars: {{revert_in: 1m}}\n{keys}"
            "  tasks:\n    - {name: Close, apply: acl}\n"
        )
        return path

    def planned(self, keys: str = "", limit: str | None = None, hosts: str = "pacs") -> tuple[Loaded, Plan]:
        loaded = inventory.load(self.inventory, platforms=set(platforms.PLATFORMS))
        book = playbook.load(
            self.book(keys, hosts), controls=set(controls.CONTROLS), vantages=set(loaded.site.vantages)
        )
        return loaded, planning.make(loaded, book, Renderer(), limit)

    def guarded(self) -> dict[str, bool]:
        """Archive → whether its router holds a guard, provisional or not."""
        site = inventory.load(self.inventory).site
        found = {}
        for name, pacs in site.pacs.items():
            device = site.devices[pacs.protected_by[0]]
            session = platforms.platform(device.platform).connect(device, site.logins[device.name])
            try:
                found[name] = bool(platforms.platform(device.platform).read(device, session.running_config()).sections)
                assert session.pending() is None
            finally:
                session.close()
        return found


@contextmanager
def fleet(folder: Path, misbehave: Sequence[str | None] = (None,)) -> Iterator[Fleet]:
    hosts: dict[str, Any] = {}
    with ExitStack() as stack:
        for letter, how in zip("abcdef", misbehave, strict=False):
            site = stack.enter_context(simulated_site(folder / letter, misbehave=how))
            hosts |= _renamed(site.inventory, letter)
        made = Fleet(folder)
        made.inventory.mkdir()
        (made.inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        yield made


def _renamed(folder: Path, letter: str) -> dict[str, Any]:
    hosts = yaml.safe_load((folder / "hosts.yaml").read_text())
    ssh = yaml.safe_load((folder / "defaults.yaml").read_text())["data"]["ssh"]
    archive, router, clinic = hosts["archive"], hosts["edge-router"], hosts["clinic"]
    archive["data"]["protected_by"] = [f"edge-{letter}"]
    archive["data"]["access"]["peers"][0]["name"] = clinic["data"]["peer"] = f"ct-{letter}"
    router["data"]["ssh"] = ssh
    named = {f"archive-{letter}": archive, f"edge-{letter}": router, f"clinic-{letter}": clinic}
    return named | ({"internet": hosts["internet"]} if letter == "a" else {})
