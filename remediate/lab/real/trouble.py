"""What goes wrong in a lab when somebody wants it to: a firewall that drops too much, and one that restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from remediate.lab.real import files, hosts, vpn
from remediate.lab.real.layout import Archive

if TYPE_CHECKING:
    from remediate.lab.real.site import LabSite

# $1: what the guard's rules have in them, so that the trouble begins with a push and ends with its rollback.
_SABOTAGE: Final = """
echo $$ >/run/sabotage.pid
while :; do
    if nft list table inet remediate 2>/dev/null | grep -qwF -- "$1"; then
        nft list table ip sabotage >/dev/null 2>&1 || nft -f /run/sabotage.nft
    else
        nft delete table ip sabotage 2>/dev/null || :
    fi
    sleep 0.05
done
"""
_END: Final = """
if [ -s /run/sabotage.pid ]; then
    pid=$(cat /run/sabotage.pid)
    kill "$pid" 2>/dev/null || :
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    rm -f /run/sabotage.pid
fi
! nft list table ip sabotage >/dev/null 2>&1 || nft delete table ip sabotage
"""
#: Nothing is forwarded until the rules are there again. What is in memory only is gone.
_POWER_OFF: Final = """
echo 0 >/proc/sys/net/ipv4/ip_forward
nft flush ruleset
conntrack -F 2>/dev/null
find /run -mindepth 1 -delete
mkdir -m 755 /run/sshd /run/lock
cat /proc/sys/kernel/random/uuid >"$1"
"""
#: Debian's order: nftables.service is before network-pre.target, and ifup runs its hooks once for each interface.
_POWER_ON: Final = """
nft -f /etc/nftables.conf
iptables-nft-restore "$1"
shift
for IFACE; do
    IFACE=$IFACE LOGICAL=$IFACE ADDRFAM=inet METHOD=static MODE=start PHASE=pre-up run-parts /etc/network/if-pre-up.d
done
echo 1 >/proc/sys/net/ipv4/ip_forward
"""


def sabotage(site: LabSite, archive: Archive | None) -> None:
    """The archive's firewall misbehaves: as long as a guard stands there, it drops clinic → archive.

    ``archive``: its own guard, and its own way; without one: any guard on the first firewall, and the first archive's
    way. Returns when the watcher runs; it looks every 50 ms.
    """
    stop_sabotage(site)
    victim = archive or site.layout.archives[0]
    host = victim.firewall.role
    rules = f"""table ip sabotage {{
        chain forward {{
            type filter hook forward priority -400; policy accept;
            ip saddr {site.layout.clinic} ip daddr {victim.address} drop
        }}
    }}
    """
    site.must(host, ["tee", "/run/sabotage.nft"], input=rules)
    watched = str(archive.address) if archive else "table inet remediate"
    hosts.daemon(site.pids[host], ["sh", "-c", _SABOTAGE, "sabotage", watched], log="/var/log/sabotage.log")
    hosts.until(lambda: not site.exec(host, ["test", "-s", "/run/sabotage.pid"]).returncode, what="the saboteur")


def stop_sabotage(site: LabSite) -> None:
    """Ends the watcher and takes its drop away; nothing where there is none."""
    for firewall in site.layout.firewalls:
        site.must(firewall.role, ["sh", "-ec", _END])


def restart_firewall(site: LabSite, role: str) -> None:
    """As after a power cut: every process of it ends, timers of ours and logins too, /run is empty, no rule is left.

    Then it boots: with a boot id of its own it loads /etc/nftables.conf, and what stands in ifupdown's folder of hooks
    for each interface. Returns when its sshd and its canary listen. A guard is there again where something loads it.
    """
    i = site.layout
    site.end_all(role)
    site.must(role, ["sh", "-ec", _POWER_OFF, "off", files.BOOT_ID])
    interfaces = ["lo", i.wan_interface, i.clinic_interface, i.dmz_interface, i.management_interface]
    site.must(role, ["sh", "-ec", _POWER_ON, "on", files.RULES_V4, *interfaces])
    site.start_sshd(role)
    site.start_canary(role)
    if i.vpn:
        vpn.start(site, files.ETC)
