"""A lab that stands: what tests and people may do with it."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from remediate.errors import UsageError
from remediate.lab.real import files, hosts, trouble, vpn
from remediate.lab.real.hosts import LabError
from remediate.lab.real.layout import ROLES, Archive, Firewall, Layout
from remediate.lab.real.state import State

T = TypeVar("T")

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


@dataclass(frozen=True)
class LabSite:
    """``namespaces`` and ``pids`` by role: internet, clinic, fw, pacs, then fw2, pacs2 and so on where there are more,
    and remote where there are VPNs; a PID is that of the host's first process, as this machine counts. ``received``:
    where the clinic's C-MOVE listener writes. Roles are given as ``host``.
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
        listed = {f"sshd of {role}": (role, 22) for role in i.managed}
        for firewall in i.firewalls:
            listed["canary" + _of(firewall)] = (firewall.role, i.canary_port)
        listed["C-MOVE listener"] = ("clinic", i.listen_port)
        for archive in i.archives:
            if archive.light:
                listed["dcmqrscp" + _of(archive)] = (archive.role, i.dicom_port)
            else:
                listed[f"Orthanc{_of(archive)}, DICOM"] = (archive.role, i.dicom_port)
                listed[f"Orthanc{_of(archive)}, web"] = (archive.role, i.web_port)
        return listed

    def start_sshd(self, role: str) -> None:
        self.must(role, ["/usr/sbin/sshd", "-f", f"{files.ETC}/sshd_config", "-E", "/var/log/sshd.log"])
        self._wait(role, 22, "sshd")

    def start_canary(self, role: str = "fw") -> None:
        (firewall,) = (one for one in self.layout.firewalls if one.role == role)
        program = _CANARY.format(address=str(firewall.wan), port=self.layout.canary_port)
        hosts.daemon(self.pids[role], [sys.executable, "-S", "-c", program], log="/var/log/canary.log")
        self._wait(role, self.layout.canary_port, "canary")

    def start_listener(self) -> None:
        i = self.layout
        options = ["--disable-host-lookup", "--fork", "-aet", i.clinic_ae_title, "-od", str(self.received)]
        hosts.daemon(self.pids["clinic"], ["storescp", *options, str(i.listen_port)], log="/var/log/storescp.log")
        self._wait("clinic", i.listen_port, "C-MOVE listener")

    def start_archive(self, archive: Archive) -> None:
        if archive.light:
            argv = ["dcmqrscp", "--disable-host-lookup", "-c", f"{files.ETC}/dcmqrscp.cfg", str(self.layout.dicom_port)]
            hosts.daemon(self.pids[archive.role], argv, log="/var/log/dcmqrscp.log")
            self._wait(archive.role, self.layout.dicom_port, "dcmqrscp")
        else:
            self.start_orthanc(archive.role)

    def start_orthanc(self, role: str = "pacs") -> None:
        hosts.daemon(self.pids[role], ["Orthanc", f"{files.ETC}/orthanc.json"], log="/var/log/orthanc.log")
        hosts.until(lambda: self.web_answers(role, of=role), what="Orthanc's /system", seconds=30)

    def web_answers(self, host: str, path: str = "/system", *, of: str = "pacs") -> bool:
        """Whether an Orthanc's web service says 200, asked from the internet, the clinic or its own host."""
        i, archive = self.layout, self.layout.archive(of)
        to, port = (archive.published, i.outside_web_port) if host == "internet" else (archive.address, i.web_port)

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

    def dicom_answers(self, host: str, archive: Archive, *, seconds: int = 5) -> bool:
        """Whether a C-ECHO over a new association succeeds, from the internet, the clinic or the archive's own host."""
        i = self.layout
        if host == "internet":
            to = [str(archive.published), str(i.outside_dicom_port)]
        else:
            to = [str(archive.address), str(i.dicom_port)]
        titles = ["-aet", i.clinic_ae_title, "-aec", archive.ae_title]
        # For the connection, for the association and for the answer: the way may be cut between any two of them.
        limits = [word for option in ("-to", "-ta", "-td") for word in (option, str(seconds))]
        return not self.exec(host, ["echoscu", *limits, *titles, *to]).returncode

    def _wait(self, role: str, port: int, what: str) -> None:
        hosts.until(lambda: self.listening(role, port), what=f"{what} of {role} on port {port}")

    # -- things that go wrong ---------------------------------------------------------------------------

    def kill_vantage(self, name: str) -> None:
        """Ends the host's sshd: the listener and every connection. ``start_sshd`` brings it back."""
        self._kill(name, "sshd")

    def kill_canary(self, role: str = "fw") -> None:
        """``start_canary`` brings it back."""
        self._kill(role, "rmd-canary")

    def stop_orthanc(self) -> None:
        """The first archive. ``start_orthanc`` brings it back."""
        self.stop_archive(self.layout.archives[0])

    def stop_archive(self, archive: Archive) -> None:
        """``start_archive`` brings it back."""
        self._kill(archive.role, "dcmqrscp" if archive.light else "Orthanc")

    def _kill(self, host: str, name: str) -> None:
        def gone() -> bool:
            left = self.processes(host, name)
            for pid, started in left:
                hosts.kill(pid, started)
            return not left

        hosts.until(gone, what=f"the end of {name} in {host}")

    def sabotage(self, archive: Archive | None = None) -> None:
        """See ``trouble.sabotage``: the clinic's way to an archive is cut as soon as a guard is there."""
        trouble.sabotage(self, archive)

    def stop_sabotage(self) -> None:
        """See ``trouble.stop_sabotage``."""
        trouble.stop_sabotage(self)

    def restart_firewall(self, role: str = "fw") -> None:
        """See ``trouble.restart_firewall``: as after a power cut."""
        trouble.restart_firewall(self, role)

    # -- back to the beginning --------------------------------------------------------------------------

    def load_firewall(self, role: str = "fw") -> None:
        """What the firewall does at its start: its own rules from its own files, nothing else in force."""
        self.must(role, ["nft", "-f", "/etc/nftables.conf"])
        self.must(role, ["iptables-nft-restore", files.RULES_V4])

    def reset(self) -> None:
        """The site as ``up`` left it, as far as a change can have touched it: for the next test.

        The firewalls' files, rules, sessions and timers, our state on them, and every service that was ended.
        """
        self.stop_sabotage()
        clean = (
            "rm -rf /var/lib/remediate /etc/remediate; find /etc/network /etc/nftables.d -name '*remediate*' -delete; "
            f"find {files.ETC} -name '*.rmd-*' -delete"
        )
        for role in (host.role for some in (self.layout.firewalls, self.layout.archives) for host in some):
            self.exec(role, ["sh", "-c", clean + " 2>/dev/null"])
        for archive in self.layout.archives:
            self._reset_archive(archive)
        for firewall in self.layout.firewalls:
            self.must(firewall.role, ["tee", "/etc/nftables.conf"], input=files.nftables_conf(self.layout, firewall))
            self.end_all(firewall.role, but=vpn.PROGRAMS)
            self.load_firewall(firewall.role)
            self.must(firewall.role, ["conntrack", "-F"])
        for role in self.layout.managed:
            if not self.listening(role, 22):
                self.start_sshd(role)
        for firewall in self.layout.firewalls:
            if not self.listening(firewall.role, self.layout.canary_port):
                self.start_canary(firewall.role)
        if not self.listening("clinic", self.layout.listen_port):
            self.start_listener()
        for archive in self.layout.archives:
            if not all(self.listening(archive.role, port) for port in self.ports(archive)):
                self.stop_archive(archive)
                self.start_archive(archive)
            if not archive.light:
                orthanc = archive.role
                hosts.until(
                    lambda role=orthanc: self.web_answers(role, of=role),  # type: ignore[misc]  # bound
                    what=f"/system of {archive.name}",
                    seconds=30,
                )
        if self.layout.vpn and not vpn.alive(self):
            vpn.start(self, files.ETC)
        for path in self.received.iterdir():
            path.unlink()

    def ports(self, archive: Archive) -> tuple[int, ...]:
        """Where it listens."""
        return (self.layout.dicom_port,) if archive.light else (self.layout.dicom_port, self.layout.web_port)

    def _reset_archive(self, archive: Archive) -> None:
        """Its file as it was, and nobody left who would change it; the archive itself is restarted only if need be."""
        host = archive.role
        self.end_all(host, but=("dcmqrscp" if archive.light else "Orthanc", "sshd"))
        file, wanted = files.archive_file(self.layout, archive)
        changed = self.exec(host, ["cat", file]).stdout != wanted
        if changed:
            self.must(host, ["tee", file], input=wanted)
        # A guard that dropped the other side's FIN has left it a connection that seems to be open.
        ours = " or ".join(f"sport = :{port}" for port in self.ports(archive))
        if changed or self.must(host, ["ss", "-Htn", "state", "established", f"( {ours} )"]):
            self.stop_archive(archive)

    def end_all(self, host: str, but: Collection[str] = ()) -> None:
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


def _of(host: Firewall | Archive) -> str:
    """Behind a part's name: the first of a kind needs no more."""
    return "" if host.role in ROLES else f" of {host.name}"
