"""What is recorded of a lab on disk: whoever takes it down later finds everything there that was made for it."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from remediate.lab.real import hosts
from remediate.lab.real.hosts import LabError
from remediate.lab.real.layout import Layout

STATE: Final = "lab.json"


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass
class State:
    """What another process must know to take the lab down. Written before the thing that it names is made.

    ``processes``: role → PID and start time of the host's first process. ``builder``: the same of who runs ``up``.
    """

    layout: Layout
    since: datetime
    boot: str
    builder: tuple[int, int]
    made_folder: bool
    ready: bool = False
    processes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        values = {f.name: getattr(self.layout, f.name) for f in dataclasses.fields(Layout)}
        layout = {name: value if isinstance(value, int) else str(value) for name, value in values.items()}
        body = vars(self) | {"layout": layout, "since": self.since.isoformat()}
        new = folder / f".{STATE}"
        with new.open("w") as file:
            file.write(json.dumps(body, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / STATE)

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """None where no lab was built in that folder."""
        try:
            body = json.loads((folder / STATE).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise LabError("this is not the state of a lab", where=str(folder / STATE)) from error
        defaults = Layout()
        makers: dict[str, Callable[[Any], Any]] = {
            f.name: _maker(getattr(defaults, f.name)) for f in dataclasses.fields(Layout)
        }
        layout = Layout(**{name: makers[name](value) for name, value in body["layout"].items()})
        processes = {role: (pid, started) for role, (pid, started) in body["processes"].items()}
        since = datetime.fromisoformat(body["since"])
        return cls(
            **body | {"layout": layout, "since": since, "processes": processes, "builder": tuple(body["builder"])}
        )

    @staticmethod
    def remove(folder: Path) -> None:
        for name in (STATE, f".{STATE}"):
            (folder / name).unlink(missing_ok=True)

    def first_processes(self) -> list[tuple[int, int]]:
        """Those of the recorded processes that still live."""
        return [self.processes[role] for role in self.processes if self.alive(role)]

    def alive(self, role: str) -> bool:
        pid, started = self.processes.get(role, (0, 0))
        return self.boot == boot_id() and pid > 0 and hosts.start_time(pid) == started


def _maker(default: object) -> Callable[[Any], Any]:
    if isinstance(default, int | str):
        return type(default)
    return ip_network if hasattr(default, "prefixlen") else ip_address
