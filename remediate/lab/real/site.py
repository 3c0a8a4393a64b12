"""A lab that stands: what is recorded of it on disk, and what tests and people may do with it."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from remediate.errors import UsageError
from remediate.lab.real import files, hosts, vpn
from remediate.lab.real.hosts import LabError
from remediate.lab.real.layout import Layout

T = TypeVar("T")

STATE: Final = "lab.json"
#: What a lab makes in its folder, apart from the state: all of it goes when it is taken down.
CONTENT: Final = ("hosts", "keys", "received", "inventory", "playbooks")
#: It gives itself a name, by which it is found again.
_CANARY: Final = """
import socket
open("/proc/self/comm", "w").write("rmd-canary")
listener = socket.create_server(({address!r}, {port}))
while True:
    listener.accept()[0].close()
"""
# The condition is the table's presence, so that the trouble begins with a push and ends with its rollback.
_SABOTAGE: Final = """
echo $$ >/run/sabotage.pid
while :; do
    if nft list table inet remediate >/dev/null 2>&1; then
        nft list table ip sabotage >/dev/null 2>&1 || nft -f /run/sabotage.nft
    else
        nft delete table ip sabotage 2>/dev/null || :
    fi
    sleep 0.05
done
"""


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
        layout = {
            name: str(value) if not isinstance(value, int) else value for name, value in vars(self.layout).items()
        }
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


@dataclass(frozen=True)
class LabSite:
    """``namespaces`` and ``pids`` by role: internet, clinic, fw, pacs, and remote where there are VPNs; a PID is that
    of the host's first process, as this machine counts. ``received``: where the clinic's C-MOVE listener writes.
    Roles are given as ``host``.
    """

    folder: Path
    layout: Layout
    pids: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> LabSite:
        """The lab that stands in that folder. Raises: UsageError where none does."""
        folder = folder.resolve()
        state = State.load(folder)
        if state is None or not state.ready or not all(map(state.alive, state.layout.roles)):
            raise UsageError("no lab stands here", where=str(folder), next="build one: remediate lab up")
        return cls(folder, state.layout, {role: pid for role, (pid, _) in state.processes.items()})

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def playbook(self) -> Path:
        return self.folder / "playbooks" / "close_dicom_exposure.yaml"

    @property
    def received(self) -> Path:
        return self.folder / "received"

    @property
    def key(self) -> Path:
        return self.folder / "keys" / "id_lab"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "keys" / "known_hosts"

    @property
    def namespaces(self) -> dict[str, str]:
        return {role: self.layout.namespace(role) for role in self.layout.roles}

    # -- in a host --------------------------------------------------------------------------------------

    def exec(self, host: str, argv: Sequence[str], **kw: Any) -> subprocess.CompletedProcess[str]:
        """See ``hosts.execute``."""
        return hosts.execute(self.pids[host], argv, **kw)

    def must(self, host: str, argv: Sequence[str], **kw: Any) -> str:
        """Like ``exec``, for what must succeed; its standard output."""
        done = self.exec(host, argv, **kw)
        if done.returncode:
            raise LabError(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip()}", where=host)
        return done.stdout

    def popen(self, host: str, argv: Sequence[str], **kw: Any) -> subprocess.Popen[str]:
        """See ``hosts.spawn``."""
        return hosts.spawn(self.pids[host], argv, **kw)

    def inside(self, host: str, work: Callable[[], T]) -> T:
        """See ``hosts.inside``: this process, looking from there."""
        return hosts.inside(self.layout.namespace(host), work)

    def listening(self, host: str, port: int) -> bool:
        return hosts.listening(self.pids[host], port)

    def processes(self, host: str, name: str) -> list[tuple[int, int]]:
        """PID and start time of the host's processes whose program is called ``name`` (15 characters at most)."""
        found = []
        for pid, started in hosts.members(self.layout.namespace(host)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended while we looked
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append((pid, started))
        return found

    # -- services ---------------------------------------------------------------------------------------

    def services(self) -> dict[str, tuple[str, int]]:
        """What must listen: a name for people → host and port."""
        i = self.layout
        return {
            **{f"sshd of {role}": (role, 22) for role in i.managed},
            "canary": ("fw", i.canary_port),
            "C-MOVE listener": ("clinic", i.listen_port),
            "Orthanc, DICOM": ("pacs", i.dicom_port),
            "Orthanc, web": ("pacs", i.web_port),
        }

    def start_sshd(self, role: str) -> None:
        self.must(role, ["/usr/sbin/sshd", "-f", f"{files.ETC}/sshd_config", "-E", "/var/log/sshd.log"])
        self._wait(role, 22, "sshd")

    def start_canary(self) -> None:
        program = _CANARY.format(address=str(self.layout.fw_wan), port=self.layout.canary_port)
        hosts.daemon(self.pids["fw"], [sys.executable, "-S", "-c", program], log="/var/log/canary.log")
        self._wait("fw", self.layout.canary_port, "canary")

    def start_listener(self) -> None:
        i = self.layout
        options = ["--disable-host-lookup", "--fork", "-aet", i.clinic_ae_title, "-od", str(self.received)]
        hosts.daemon(self.pids["clinic"], ["storescp", *options, str(i.listen_port)], log="/var/log/storescp.log")
        self._wait("clinic", i.listen_port, "C-MOVE listener")

    def start_orthanc(self) -> None:
        argv = ["Orthanc", f"{files.ETC}/orthanc.json"]
        hosts.daemon(self.pids["pacs"], argv, log="/var/log/orthanc.log")
        hosts.until(lambda: self.web_answers("pacs"), what="Orthanc's /system", seconds=30)

    def web_answers(self, host: str, path: str = "/system") -> bool:
        """Whether the archive's web service says 200, asked from the internet, the clinic or its own host."""
        i = self.layout
        to, port = (i.published, i.outside_web_port) if host == "internet" else (i.pacs, i.web_port)

        def ask() -> bool:
            connection = http.client.HTTPConnection(str(to), port, timeout=3)
            try:
                connection.request("GET", path)
                return connection.getresponse().status == 200
            except OSError:
                return False
            finally:
                connection.close()

        return self.inside(host, ask)

    def _wait(self, role: str, port: int, what: str) -> None:
        hosts.until(lambda: self.listening(role, port), what=f"{what} of {role} on port {port}")

    # -- things that go wrong ---------------------------------------------------------------------------

    def kill_vantage(self, name: str) -> None:
        """Ends the host's sshd: the listener and every connection. ``start_sshd`` brings it back."""
        self._kill(name, "sshd")

    def kill_canary(self) -> None:
        """``start_canary`` brings it back."""
        self._kill("fw", "rmd-canary")

    def stop_orthanc(self) -> None:
        """``start_orthanc`` brings it back."""
        self._kill("pacs", "Orthanc")

    def _kill(self, host: str, name: str) -> None:
        def gone() -> bool:
            left = self.processes(host, name)
            for pid, started in left:
                hosts.kill(pid, started)
            return not left

        hosts.until(gone, what=f"the end of {name} in {host}")

    def sabotage(self) -> None:
        """The firewall misbehaves: whenever a table ``inet remediate`` is there, it drops clinic → archive.

        Returns when the watcher runs; it looks every 50 ms.
        """
        self.stop_sabotage()
        i = self.layout
        rules = f"""table ip sabotage {{
            chain forward {{
                type filter hook forward priority -400; policy accept;
                ip saddr {i.clinic} ip daddr {i.pacs} drop
            }}
        }}
        """
        self.must("fw", ["tee", "/run/sabotage.nft"], input=rules)
        hosts.daemon(self.pids["fw"], ["sh", "-c", _SABOTAGE], log="/var/log/sabotage.log")
        hosts.until(lambda: not self.exec("fw", ["test", "-s", "/run/sabotage.pid"]).returncode, what="the saboteur")

    def stop_sabotage(self) -> None:
        """Ends the watcher and takes its drop away; nothing where there is none."""
        end = """
        if [ -s /run/sabotage.pid ]; then
            pid=$(cat /run/sabotage.pid)
            kill "$pid" 2>/dev/null || :
            while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
            rm -f /run/sabotage.pid
        fi
        ! nft list table ip sabotage >/dev/null 2>&1 || nft delete table ip sabotage
        """
        self.must("fw", ["sh", "-ec", end])

    # -- back to the beginning --------------------------------------------------------------------------

    def load_firewall(self) -> None:
        """What the firewall does at its start: its own rules from its own files, nothing else in force."""
        self.must("fw", ["nft", "-f", "/etc/nftables.conf"])
        self.must("fw", ["iptables-nft-restore", files.RULES_V4])

    def reset(self) -> None:
        """The site as ``up`` left it, as far as a change can have touched it: for the next test.

        The firewall's files, rules, sessions and timers, our state on it, and every service that was ended.
        """
        self.stop_sabotage()
        self.must("fw", ["tee", "/etc/nftables.conf"], input=files.nftables_conf(self.layout))
        clean = (
            "rm -rf /var/lib/remediate /etc/remediate; find /etc/network /etc/nftables.d -name '*remediate*' -delete; "
            f"find {files.ETC} -name '*.rmd-*' -delete"
        )
        for role in ("fw", "pacs"):
            self.exec(role, ["sh", "-c", clean + " 2>/dev/null"])
        self._reset_archive()
        self._end_all("fw", but=vpn.PROGRAMS)
        self.load_firewall()
        self.must("fw", ["conntrack", "-F"])
        restart = {"canary": self.start_canary, "C-MOVE listener": self.start_listener}
        for name, (role, port) in self.services().items():
            if not self.listening(role, port):
                if name.startswith("sshd"):
                    self.start_sshd(role)
                elif name in restart:
                    restart[name]()
                else:
                    self._kill("pacs", "Orthanc")
                    self.start_orthanc()
        hosts.until(lambda: self.web_answers("pacs"), what="Orthanc's /system", seconds=30)
        if self.layout.vpn and not vpn.alive(self):
            vpn.start(self, files.ETC)
        for path in self.received.iterdir():
            path.unlink()

    def _reset_archive(self) -> None:
        """Its file as it was, and nobody left who would change it; the archive itself is restarted only if need be."""
        self._end_all("pacs", but=("Orthanc", "sshd"))
        file, wanted = f"{files.ETC}/orthanc.json", files.orthanc_json(self.layout)
        changed = self.exec("pacs", ["cat", file]).stdout != wanted
        if changed:
            self.must("pacs", ["tee", file], input=wanted)
        # A guard that dropped the other side's FIN has left it a connection that seems to be open.
        ours = f"( sport = :{self.layout.dicom_port} or sport = :{self.layout.web_port} )"
        if changed or self.must("pacs", ["ss", "-Htn", "state", "established", ours]):
            self._kill("pacs", "Orthanc")

    def _end_all(self, host: str, but: Collection[str] = ()) -> None:
        """Ends all but the host's first process and those called so.

        A shell goes before the ``sleep`` that it waits for: otherwise a dead man's timer would go off now, which is
        what this is to prevent.
        """
        first = self.pids[host]
        parent = int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1])

        def ended() -> bool:
            sleeps = {pid for pid, _ in self.processes(host, "sleep")}
            kept = {first, parent, *(pid for name in but for pid, _ in self.processes(host, name))}
            left = [one for one in hosts.members(self.layout.namespace(host)) if one[0] not in kept]
            for pid, started in sorted(left, key=lambda one: one[0] in sleeps):
                hosts.kill(pid, started)
            return not left

        hosts.until(ended, what=f"the end of all processes in {host}")
