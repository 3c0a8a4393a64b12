"""What is run on the Linux device, as POSIX shell. Every script ends with the status that tells how it went."""

from __future__ import annotations

from remediate.platforms.deadman import FACTS as MACHINE
from remediate.platforms.deadman import HEAD
from remediate.platforms.linux_nftables import siblings

PERSISTED = "/etc/remediate"

FACTS = f"""{MACHINE}
echo "nft=$(nft --version 2>/dev/null | head -n 1)"
mkdir -p {PERSISTED} && [ -w {PERSISTED} ] && echo persist=writable
if command -v ip >/dev/null; then ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/interface=\\1/'
else for one in /sys/class/net/*; do echo "interface=${{one##*/}}"; done; fi
nft list flowtables 2>/dev/null | grep -q flowtable && echo flowtable=yes
{siblings.FACTS}true
"""

#: -nn: numbers, no names; -s: no counters. iptables-save as well, since nft does not show the patterns of xtables
#: matches; its date lines and counters are no configuration.
RUNNING = f"""{HEAD}
set -e
nft -nn -s list ruleset 2>/dev/null
for family in iptables ip6tables; do
    command -v $family-save >/dev/null || continue
    echo "# $family-save"
    $family-save 2>/dev/null | sed -e '/^# /d' -e 's/ \\[[0-9]*:[0-9]*\\]$//'
done
"""

OBJECTIONS = f"""{HEAD}
nft -c -f -
"""

#: The dead man's two scripts, and the check of what they load. Each file is one transaction of nft's.
LOAD = "nft -f new.nft\n"
UNDO = "nft -f revert.nft\n"
CHECK = "nft -c -f new.nft && nft -c -f revert.nft\n"

#: $1: the device's name, so that two namespaces of one machine do not share a file. Prints what loads it at boot.
SAVE = f"""{HEAD}
set -e
file="{PERSISTED}/guard-$1.nft"
unit="remediate-guard-$1.service"
hook="/etc/network/if-pre-up.d/remediate-guard-$1"
mkdir -p {PERSISTED}
if ! nft list table inet remediate >/dev/null 2>&1; then
    if [ -d /run/systemd/system ] && [ -e "/etc/systemd/system/$unit" ]; then
        systemctl disable --quiet "$unit"; rm -f "/etc/systemd/system/$unit"; systemctl daemon-reload
    fi
    rm -f "$file" "$hook"
    echo nothing
    exit 0
fi
{{
    printf 'table inet remediate\\ndelete table inet remediate\\n'
    nft -nn -s -t list table inet remediate  # -t: who was observed is no configuration
}} > "$file.new"
nft -c -f "$file.new"
chmod 600 "$file.new"
mv "$file.new" "$file"
if [ -d /run/systemd/system ]; then
    cat > "/etc/systemd/system/$unit" <<UNIT
[Unit]
Description=Guard of the medical-image archives behind this firewall
# A reload of nftables.service flushes every table, ours too: load it again each time.
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Before=network-pre.target
Wants=network-pre.target
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$(command -v nft) -f $file
ExecReload=$(command -v nft) -f $file

[Install]
WantedBy=multi-user.target nftables.service
UNIT
    chmod 644 "/etc/systemd/system/$unit"
    systemctl daemon-reload
    systemctl enable --quiet "$unit"
    echo systemd
elif [ -d /etc/network/if-pre-up.d ]; then
    printf '#!/bin/sh\\nexec %s -f %s\\n' "$(command -v nft)" "$file" > "$hook"
    chmod 755 "$hook"
    echo ifupdown
else
    echo file
fi
"""

PERSISTED_GUARD = f"""{HEAD}
cat "{PERSISTED}/guard-$1.nft" 2>/dev/null || true
"""

#: The archive's ports. Its answers come from these, whatever is translated on the way there. Our own login is tracked
#: as everything is, so a count of none says that nothing is.
PEERS = f"""{HEAD}
if nft list ruleset 2>/dev/null | grep -qw notrack || iptables-save 2>/dev/null | grep -Eq 'NOTRACK|--notrack'; then
    echo cannot=notrack; exit 0
fi
table=/proc/net/nf_conntrack
if command -v conntrack >/dev/null; then
    [ "$(conntrack -C 2>/dev/null || echo 0)" -gt 0 ] || {{ echo cannot=off; exit 0; }}
elif [ -r $table ]; then
    [ -s $table ] || {{ echo cannot=off; exit 0; }}
else
    echo cannot=program; exit 0
fi
set -e
for port in "$@"; do
    if command -v conntrack >/dev/null; then
        for family in ipv4 ipv6; do conntrack -L -f $family -p tcp --reply-port-src "$port" 2>/dev/null; done
    else
        grep -w "sport=$port" $table || true
    fi
done
"""

#: Whom an observing guard has noted; nothing where it does not stand.
NOTED = f"""{HEAD}
date +%s
nft -j list table inet remediate 2>/dev/null || true
"""

#: Addresses. For each the interface by which the way back goes; none where rules beyond the usual ones route.
ROUTES = f"""{HEAD}
for family in -4 -6; do
    ip $family rule 2>/dev/null | grep -Eqv 'from all lookup (local|main|default) *$' && exit 0
done
for source in "$@"; do
    echo "$source $(ip -o route get "$source" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)"
done
"""
