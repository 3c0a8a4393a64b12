"""Two Linux firewalls with real nftables and a real sshd, in network namespaces, and three archives behind them.

Everything stands in the network of this process, which is one of its own; see ``alone``. Both vantages are addresses of
it. What a firewall loads at boot is loaded for the oracle in a network that is empty.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from remediate.lab.real import files, hosts
from remediate.lab.real.hosts import run
from tests.histories.sites import AE_TITLE, BEHIND, Archive, Peers, Seen, write_inventories
from tests.histories.wire import Way

#: How long a firewall waits before it takes a push back. A push that nothing disturbs is confirmed in a third of it.
REVERT_IN = "18s"
_PORT, _CANARY = 11112, 8443
_INTERNET, _CLINIC = "192.0.2.10", "10.20.0.10"
_WAN = {"d1": "203.0.113", "d2": "198.51.100"}
#: What a start of the machine does, in a network of whoever runs it.
_LOAD = 'nft -f /etc/nftables.conf && for hook in /etc/network/if-pre-up.d/*; do [ ! -x "$hook" ] || "$hook"; done'
_SSHD = """\
Port 22
HostKey /etc/histories/host_key
AuthorizedKeysFile /etc/histories/authorized_keys
PidFile none
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
MaxStartups 1000:30:2000
MaxSessions 1000
PrintMotd no
PrintLastLog no
LogLevel ERROR
"""


class Firewalls:
    platform = "firewall"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._name = f"rmh{os.getpid()}"
        self.archives: Mapping[str, Archive] = {name: self._archive(number, name) for number, name in enumerate(BEHIND)}
        self._pids: dict[str, int] = {}
        self._edits: dict[str, list[str]] = {}
        self._boot_edits: dict[str, list[str]] = {}
        self._base: dict[str, str] = {}
        self._counter = 0
        self._keys()
        self._wire()
        self._peers: dict[str, Peers] = {}
        self._canaries: dict[str, Peers] = {}
        for device in ("d1", "d2"):
            self._boot(device)
            listen = {a.name: (a.inside.address, _PORT) for a in self.archives.values() if a.device == device}
            self._peers[device] = Peers(listen, ("nsenter", f"--net={hosts.NETNS / self._space('pacs', device)}"))
            canary = ("nsenter", f"--net={hosts.NETNS / self._space('fw', device)}")
            self._canaries[device] = Peers({f"canary-{device}": (f"{_WAN[device]}.1", _CANARY)}, canary)
            stack.callback(self._peers[device].close)
            stack.callback(self._canaries[device].close)
        devices = {
            device: {
                "hostname": self._management(device),
                "username": "root",
                "platform": "linux_nftables",
                "groups": ["firewalls"],
                "data": {"guard": {"interface": "wan"}},
            }
            for device in ("d1", "d2")
        }
        ssh = {"key": str(folder / "keys" / "id"), "known_hosts": str(folder / "keys" / "known_hosts")}
        canaries = {device: (f"{net}.1", _CANARY) for device, net in _WAN.items()}
        self.inventories = write_inventories(folder, self.archives, devices, ssh, canaries, REVERT_IN)

    # -- addresses ------------------------------------------------------------------------------------

    @staticmethod
    def _archive(number: int, name: str) -> Archive:
        device = BEHIND[name]
        published, own = f"{_WAN[device]}.{20 + number}", f"10.10.{device[1]}.{5 + number}"
        return Archive(name, Way(_INTERNET, published, _PORT, AE_TITLE), Way(_CLINIC, own, _PORT, AE_TITLE))

    @staticmethod
    def _management(device: str) -> str:
        return f"10.99.{device[1]}.2"

    def _space(self, role: str, device: str) -> str:
        return f"{self._name}-{role}-{device}"

    # -- building -------------------------------------------------------------------------------------

    def _keys(self) -> None:
        keys = self._folder / "keys"
        keys.mkdir(parents=True)
        known = ""
        for name in ("id", "host-d1", "host-d2"):
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "histories", "-f", str(keys / name)])
            if name != "id":
                public = " ".join((keys / f"{name}.pub").read_text().split()[:2])
                known += f"{self._management(name.removeprefix('host-'))} {public}\n"
        (keys / "known_hosts").write_text(known)

    def _wire(self) -> None:
        run(["ip", "address", "add", f"{_INTERNET}/32", "dev", "lo"])
        run(["ip", "address", "add", f"{_CLINIC}/32", "dev", "lo"])
        for device, wan in _WAN.items():
            number = device[1]
            fw, pacs = self._space("fw", device), self._space("pacs", device)
            for space in (fw, pacs):
                run(["ip", "netns", "add", space])
                self._stack.callback(run, ["ip", "netns", "delete", space])
            outer = {"wan": f"{wan}.254/24", "lan": f"10.30.{number}.10/24", "mgmt": f"10.99.{number}.1/24"}
            for link, address in outer.items():
                run(["ip", "link", "add", f"{link}{number}", "type", "veth", "peer", "name", link, "netns", fw])
                run(["ip", "address", "add", address, "dev", f"{link}{number}"])
                run(["ip", "link", "set", f"{link}{number}", "up"])
            run(["ip", "-n", fw, "link", "add", "dmz", "type", "veth", "peer", "name", "eth0", "netns", pacs])
            inner = [("wan", f"{wan}.1/24"), ("lan", f"10.30.{number}.1/24"), ("mgmt", f"10.99.{number}.2/24")]
            inner.append(("dmz", f"10.10.{number}.1/24"))
            behind = [a for a in self.archives.values() if a.device == device]
            inner += [("wan", f"{a.outside.address}/32") for a in behind]
            for link, address in inner:
                run(["ip", "-n", fw, "address", "add", address, "dev", link])
            for link in ("lo", "wan", "lan", "mgmt", "dmz"):
                run(["ip", "-n", fw, "link", "set", link, "up"])
            run(["ip", "-n", fw, "route", "add", "default", "via", f"{wan}.254"])
            run(["ip", "-n", fw, "route", "add", f"{_CLINIC}/32", "via", f"10.30.{number}.10"])
            for archive in behind:
                run(["ip", "-n", pacs, "address", "add", f"{archive.inside.address}/24", "dev", "eth0"])
            for link in ("lo", "eth0"):
                run(["ip", "-n", pacs, "link", "set", link, "up"])
            run(["ip", "-n", pacs, "route", "add", "default", "via", f"10.10.{number}.1"])
            run(["ip", "route", "add", f"10.10.{number}.0/24", "via", f"10.30.{number}.1"])
            settings = [
                f"net.ipv4.{key}" for key in ("ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0")
            ]
            run(["ip", "netns", "exec", fw, "sysctl", "-q", "-w", *settings])

    def _boot(self, device: str) -> None:
        """The firewall's first process, with files of its own, and a boot id that a restart changes."""
        folder = self._folder / "hosts" / device
        etc = folder / "etc"
        (etc / "histories").mkdir(parents=True)
        (folder / files.BOOT_ID.lstrip("/")).parent.mkdir()
        (folder / files.BOOT_ID.lstrip("/")).touch()  # what the host takes for its boot id; a restart changes it
        (folder / "var" / "root").mkdir(parents=True, mode=0o700)
        (etc / "passwd").write_text(files.passwd(Path("/etc/passwd").read_text()))
        (etc / "shadow").write_text(files.shadow(Path("/etc/shadow").read_text()))
        (etc / "histories" / "sshd_config").write_text(_SSHD)
        shutil.copy(self._folder / "keys" / f"host-{device}", etc / "histories" / "host_key")
        shutil.copy(self._folder / "keys" / "id.pub", etc / "histories" / "authorized_keys")
        (etc / "network" / "if-pre-up.d").mkdir(parents=True)
        lock = os.open("/dev/null", os.O_RDONLY)
        try:
            space = self._space("fw", device)
            pid = hosts.boot(folder, namespace=space, name=f"fw-{device}", lock=lock, started=lambda _: None)
        finally:
            os.close(lock)
        self._pids[device] = pid
        self._stack.callback(hosts.kill, pid, hosts.start_time(pid))
        self._must(device, "rm -f /etc/network/if-pre-up.d/*")

    def _conf(self, device: str) -> str:
        behind = [a for a in self.archives.values() if a.device == device]
        dnat = "\n".join(
            f"\t\tiifname wan ip daddr {a.outside.address} tcp dport {_PORT} dnat ip to {a.inside.address}"
            for a in behind
        )
        accept = "\n".join(f"\t\tiifname wan ip daddr {a.inside.address} tcp dport {_PORT} accept" for a in behind)
        return f"""\
flush ruleset
table ip nat {{
	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
{dnat}
	}}
}}
table inet filter {{
	chain forward {{
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
{accept}
		iifname lan oifname dmz accept
		iifname dmz accept
	}}
}}
"""

    def fresh(self) -> None:
        for device in self._pids:
            self._end_all(device)
            self._must(device, "rm -rf /etc/remediate /var/lib/remediate /etc/network/if-pre-up.d/*")
            self._write(device, self._conf(device))
            self._edits[device], self._boot_edits[device] = [], []
            self._start(device)
            self._base[device] = self._others(device)
            self._peers[device].all_there()
            self._canaries[device].all_there()

    # -- what happens there ---------------------------------------------------------------------------

    def edit(self, device: str, *, saved: bool) -> None:
        self._counter += 1
        line = f"add rule inet filter forward ip saddr 192.0.2.200 tcp dport {5000 + self._counter} accept"
        self._must(device, f"nft '{line}'")
        self._edits[device].append(line)
        if saved:
            self._boot_edits[device] = list(self._edits[device])
            self._write(device, self._conf(device) + "".join(f"{one}\n" for one in self._edits[device]))

    def resequence(self, device: str) -> None:
        raise NotImplementedError(device)

    def plant(self, device: str, what: str) -> None:
        last = [archive for archive in self.archives.values() if archive.device == device][-1]
        chain, hook = "inet remediate stray", "{ type filter hook forward priority -400; }"
        self._must(
            device,
            {
                "guard": "nft delete table inet remediate",
                "boot": "rm /etc/network/if-pre-up.d/*",
                "foreign": "nft add rule inet filter forward ip saddr 192.0.2.99 accept",
                "stray": f"nft add table inet remediate; nft 'add chain {chain} {hook}'; "
                f"nft add rule {chain} iifname wan ip daddr {last.inside.address} drop",
                "timer": "setsid -f sh -c 'sleep 120; : deadman' >/dev/null 2>&1 </dev/null",
            }[what],
        )

    def nibble(self, device: str) -> str:
        raise NotImplementedError(device)

    def restart(self, device: str) -> None:
        self._end_all(device)
        self._edits[device] = list(self._boot_edits[device])
        self._start(device)

    def care(self, archive: str, *, there: bool) -> None:
        self._peers[BEHIND[archive]].there(archive, there)

    def canaries(self, *, there: bool) -> None:
        for device, canary in self._canaries.items():
            canary.there(f"canary-{device}", there)

    def _start(self, device: str) -> None:
        """As a machine starts: its own rules, then what hooks into its network, then sshd."""
        fresh = f"cat /proc/sys/kernel/random/uuid > {files.BOOT_ID}; conntrack -F 2>/dev/null"
        self._must(device, f"{fresh}; {_LOAD}")
        hosts.daemon(
            self._pids[device], ["/usr/sbin/sshd", "-D", "-f", "/etc/histories/sshd_config"], log="/var/log/sshd.log"
        )
        hosts.until(lambda: hosts.listening(self._pids[device], 22), what=f"sshd of {device}")

    def _end_all(self, device: str) -> None:
        """Everything but its first process, at once, as the power does: nothing may act on the end of another."""
        first = self._pids[device]
        inner = Path(f"/proc/{first}/ns/pid").stat().st_ino
        while left := [
            one for one in hosts.members(self._space("fw", device)) if one[0] != first and _in(one[0], inner)
        ]:
            for pid, _ in left:
                _signal(pid, 19)
            for pid, started in left:
                hosts.kill(pid, started)
            time.sleep(0.01)  # until they are gone

    def _write(self, device: str, conf: str) -> None:
        done = hosts.execute(self._pids[device], ["tee", "/etc/nftables.conf"], input=conf)
        assert not done.returncode, done.stderr

    # -- what is there --------------------------------------------------------------------------------

    def armed(self) -> dict[str, str]:
        found = {}
        for device, first in self._pids.items():
            inner = Path(f"/proc/{first}/ns/pid").stat().st_ino
            for pid, _ in hosts.members(self._space("fw", device)):
                if _in(pid, inner) and b"deadman" in (line := _command_line(pid)):
                    found[device] = line.replace(b"\0", b" ").decode(errors="replace").strip()[:160]
        return found

    def save(self) -> None:
        pass  # see ``unsaved``

    def unsaved(self) -> bool:
        return False  # the guard is saved beside the others' rules, not with them

    def look(self, clean: frozenset[str]) -> Seen:
        seen = Seen(armed=self.armed())
        for device in self._pids:
            ruleset = json.loads(self._must(device, "nft -j -s list ruleset"))
            boot = json.loads(self._must(device, f"unshare --net sh -c '{_LOAD}; nft -j -s list ruleset'"))
            for archive in self.archives.values():
                if archive.device == device:
                    seen.in_force[archive.name] = _drops(ruleset, archive.inside.address)
                    seen.at_boot[archive.name] = _drops(boot, archive.inside.address)
            seen.foreign += self._foreign(device, ruleset, boot, clean=device in clean)
        return seen

    def _foreign(self, device: str, ruleset: Any, boot: Any, *, clean: bool) -> Iterator[str]:
        for what, shown, edits in (
            ("running", ruleset, self._edits[device]),
            ("at boot", boot, self._boot_edits[device]),
        ):
            others = [line for line in _others(shown) if line not in self._base[device].splitlines()]
            gone = [line for line in self._base[device].splitlines() if line not in _others(shown)]
            ports = [edit.split("dport ")[1].split()[0] for edit in edits]
            now = [port for line in others for port in [_port(line)]]
            if gone or now != ports:
                yield f"{device}, {what}: theirs is {ports}, there is {now}; gone: {gone}"
            if clean and any("remediate" in line for line in map(json.dumps, shown["nftables"])):
                yield f"{device}, {what}: something of ours is left behind"

    def _others(self, device: str) -> str:
        return "\n".join(_others(json.loads(self._must(device, "nft -j -s list ruleset"))))

    def _must(self, device: str, script: str) -> str:
        done = hosts.execute(self._pids[device], ["sh", "-c", script])
        if done.returncode:
            raise RuntimeError(f"{device}: {script}: {done.stderr}")
        return done.stdout


def _others(ruleset: Mapping[str, Any]) -> list[str]:
    """Everything that is not in the table of ours, without what counts by itself."""
    found = []
    for entry in ruleset["nftables"]:
        ((kind, value),) = entry.items()
        if kind == "metainfo" or "remediate" in (value.get("table"), value.get("name")):
            continue
        found.append(json.dumps({kind: {key: v for key, v in value.items() if key != "handle"}}, sort_keys=True))
    return found


def _port(line: str) -> str:
    expressions = json.loads(line).get("rule", {}).get("expr", [])
    return next(
        (str(e["match"]["right"]) for e in expressions if "match" in e and isinstance(e["match"]["right"], int)), "?"
    )


def _drops(ruleset: Mapping[str, Any], address: str) -> bool:
    """Whether a rule of a base chain at the forward hook, in the table of ours, drops what goes to that address."""
    chains = {
        entry["chain"]["name"]
        for entry in ruleset["nftables"]
        if entry.get("chain", {}).get("table") == "remediate" and entry["chain"].get("hook") == "forward"
    }
    for entry in ruleset["nftables"]:
        rule = entry.get("rule", {})
        if rule.get("table") != "remediate" or rule.get("chain") not in chains:
            continue
        expressions = rule["expr"]
        if any("drop" in one for one in expressions) and any(address in _daddr(one) for one in expressions):
            return True
    return False


def _daddr(expression: Mapping[str, Any]) -> list[Any]:
    """The addresses to which an expression of a rule wants a packet to go."""
    match = expression.get("match", {})
    left = match.get("left")
    if not isinstance(left, dict) or left.get("payload", {}).get("field") != "daddr":
        return []
    right = match["right"]
    return list(right["set"]) if isinstance(right, dict) and "set" in right else [right]


def _in(pid: int, namespace: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino == namespace
    except OSError:
        return False


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@contextmanager
def firewalls(folder: Path) -> Iterator[Firewalls]:
    """As root, in a network of one's own."""
    with ExitStack() as stack:
        yield Firewalls(folder, stack)
