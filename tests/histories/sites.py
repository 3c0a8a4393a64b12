"""What a site is to a history, and what both kinds of it share: inventories, playbooks, archives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.histories.language import ARCHIVES
from tests.histories.wire import Way

#: Which device stands in front of which archive.
BEHIND = {"a1": "d1", "a2": "d1", "a3": "d2"}
#: Device → its name in each of the two inventories.
NAMES = {"d1": ("edge-1", "core-1"), "d2": ("edge-2", "core-2")}
AE_TITLE, PEER = "ARCHIVE", "CLINICMOD"


@dataclass(frozen=True)
class Archive:
    name: str
    outside: Way
    inside: Way

    @property
    def device(self) -> str:
        return BEHIND[self.name]


@dataclass
class Seen:
    """What the devices themselves say. ``in_force``, ``at_boot``: by archive: nobody from outside gets through, by what
    runs there and by what will be loaded at the next boot. ``armed``: device → what of ours takes something back there
    by itself. ``foreign``: what of others is not as they left it.
    """

    in_force: dict[str, bool] = field(default_factory=dict)
    at_boot: dict[str, bool] = field(default_factory=dict)
    armed: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)


class Site(Protocol):
    """Two devices, three archives. ``fresh`` makes everything as it was at the beginning."""

    @property
    def platform(self) -> str: ...

    @property
    def archives(self) -> Mapping[str, Archive]: ...

    @property
    def inventories(self) -> tuple[Path, Path]: ...

    def fresh(self) -> None: ...

    def look(self, clean: frozenset[str]) -> Seen:
        """``clean``: the devices on which nothing of ours should be."""
        ...

    def armed(self) -> dict[str, str]: ...

    def save(self) -> None:
        """Colleagues save what they have edited."""
        ...

    def unsaved(self) -> bool:
        """Whether a colleague's edit stands in the way of a save."""
        ...

    def edit(self, device: str, *, saved: bool) -> None: ...

    def resequence(self, device: str) -> None: ...

    def nibble(self, device: str) -> str: ...

    def plant(self, device: str, what: str) -> None:
        """See ``language.PLANTS``."""
        ...

    def restart(self, device: str) -> None: ...

    def care(self, archive: str, *, there: bool) -> None: ...

    def canaries(self, *, there: bool) -> None: ...


def device_of(name: str) -> str:
    """By its name in either inventory."""
    return next(device for device, names in NAMES.items() if name in names)


def write_inventories(
    folder: Path,
    archives: Mapping[str, Archive],
    devices: Mapping[str, dict[str, Any]],
    ssh: Mapping[str, str],
    canary: Mapping[str, tuple[str, int]],
    revert_in: str,
) -> tuple[Path, Path]:
    """Two, which differ in the devices' names alone, and the playbooks. ``canary``: by device."""
    internet = next(iter(archives.values())).outside.source
    clinic = next(iter(archives.values())).inside.source
    made = []
    for number in (0, 1):
        hosts: dict[str, Any] = {
            archive.name: {
                "groups": ["pacs"],
                "data": {
                    "ae_title": AE_TITLE,
                    "addresses": {"inside": archive.inside.address, "outside": archive.outside.address},
                    "services": [{"kind": "dicom", "port": archive.inside.port}],
                    "protected_by": [NAMES[archive.device][number]],
                    "access": {
                        "peers": [{"name": "ct-1", "address": clinic, "ae_title": PEER, "roles": ["store", "query"]}]
                    },
                },
            }
            for archive in archives.values()
        }
        hosts |= {NAMES[device][number]: given for device, given in devices.items()}
        canaries = [{"address": address, "port": port} for address, port in canary.values()]
        hosts["internet"] = {
            "groups": ["vantages"],
            "data": {"zone": "outside", "via": {"local": {"source": internet}}, "canaries": canaries},
        }
        hosts["clinic"] = {
            "groups": ["vantages"],
            "data": {"zone": "inside", "peer": "ct-1", "via": {"local": {"source": clinic}}},
        }
        path = folder / f"inventory-{number + 1}"
        path.mkdir(parents=True, exist_ok=True)
        (path / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        (path / "defaults.yaml").write_text(yaml.safe_dump({"data": {"ssh": dict(ssh)}}))
        made.append(path)
    for name, more in (
        ("once", {}),
        ("serial", {"serial": [1]}),
        ("lax", {"serial": [1], "max_fail_percentage": 70}),
    ):
        play = {
            "name": "Close public DICOM exposure",
            "hosts": "pacs",
            **more,
            "vars": {"revert_in": revert_in},
            "tasks": [
                {"name": "Only known peers reach the archive", "apply": "acl"},
                {"name": "Look from outside and from the clinic", "verify": {"from": ["internet", "clinic"]}},
            ],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump([play], sort_keys=False))
    return made[0], made[1]


class Peers:
    """Light DICOM archives, and canaries, in a process of their own that is told what is there.

    ``inside``: what a command must begin with, to stand in somebody's network.
    """

    def __init__(self, listen: Mapping[str, tuple[str, int]], inside: tuple[str, ...] = ()) -> None:
        argv = [*inside, sys.executable, "-m", "tests.histories.peers"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._names = frozenset(listen)
        self._say({"listen": listen})

    def there(self, name: str, there: bool) -> None:
        self._say({"name": name, "there": there})

    def all_there(self) -> None:
        for name in sorted(self._names):
            self.there(name, True)

    def _say(self, words: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError("the archives have ended")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


assert set(BEHIND) == set(ARCHIVES)
