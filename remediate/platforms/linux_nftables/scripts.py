"""What is run on the Linux device, as POSIX shell. Every script ends with the status that tells how it went."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from remediate.platforms.deadman import FACTS as MACHINE
from remediate.platforms.deadman import HEAD, LEFT_AS_IT_WAS
from remediate.platforms.linux_nftables import siblings

PERSISTED = "/etc/remediate"
#: See ``deadman_scripts``: one packet filter a host.
SUBJECT = "nftables"

#: $1 the device's name, so that two namespaces of one machine do not share a file; $2 a start-up file of somebody's own
#: that loads the guard, or "". ``loader``: what loads it at boot; nothing where nothing is certain to.
_LOADER = f"""\
file="{PERSISTED}/guard-$1.nft"; boot_hook=$2
unit="remediate-guard-$1.service"
hook="/etc/network/if-pre-up.d/remediate-guard-$1"
start="/etc/local.d/remediate-guard-$1.start"
loader() {{
    if [ -n "$boot_hook" ]; then
        [ -x "$boot_hook" ] && grep -qF "$file" "$boot_hook" && echo hook
    elif [ -d /run/systemd/system ]; then echo systemd
    elif [ -d /etc/network/if-pre-up.d ]; then echo ifupdown
    elif [ -d /etc/local.d ] && ls /etc/runlevels/*/local >/dev/null 2>&1; then echo openrc
    fi
}}
"""

FACTS = f"""{MACHINE}
{_LOADER}
echo "loader=$(loader)"
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

#: Our table goes once no section is left in it, whoever made the last one: looked at behind the lock under which
#: pushes begin, since another change's section may have come meanwhile.
_DROP_EMPTY = """\
exec 9< "$state"
tries=0
until flock -n 9; do tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.1; done
if listing=$(nft -t list table inet remediate 2>/dev/null); then
    #: A program that fails must not look like an empty table.
    case $listing in
    *"chain "*) ;;
    "table inet remediate {"*) nft delete table inet remediate || exit 1 ;;
    *) exit 1 ;;
    esac
fi
"""

#: The dead man's two scripts, and the check of what they load. Each file is one transaction of nft's: what it refuses
#: leaves everything as it was.
LOAD = f"""{HEAD}
nft -f new.nft; ended=$?
case $ended in 0) ;; 1) exit {LEFT_AS_IT_WAS} ;; *) exit 1 ;; esac
{_DROP_EMPTY}"""
UNDO = f"""{HEAD}
nft -f revert.nft || exit 1
{_DROP_EMPTY}"""
CHECK = "nft -c -f new.nft && nft -c -f revert.nft\n"


def in_force(sections: Mapping[str, bool]) -> str:
    """Fails where a section that should stand there does not, or the other way round."""
    lines = [HEAD]
    for name, stands in sections.items():
        chain, said = shlex.quote(name), shlex.quote(f"section {name} is {'no longer' if stands else 'still'} in force")
        listed = f"nft list chain inet remediate {chain} >/dev/null 2>&1"
        lines.append(f"{listed} {'||' if stands else '&&'} {{ echo {said} >&2; exit 1; }}")
    return "\n".join([*lines, "true", ""])


#: In a push's folder, which SAVE of ``deadman_scripts`` has entered. $3, $4: as _LOADER. Prints what loads it at boot.
#: What is written is the whole table, so a copy of it under another of the device's names goes: it would be loaded too.
SAVE = f"""
shift 2
{_LOADER}
how=$(loader)
others() {{
    for other in {PERSISTED}/guard-*.nft; do
        [ -e "$other" ] && [ "$other" != "$file" ] || continue
        [ "$(sed -n 's/^# filter of //p' "$other")" = "$(readlink /proc/self/ns/net)" ] || continue
        name=${{other##*/guard-}}; name=${{name%.nft}}
        remove "$other" "remediate-guard-$name.service" "/etc/network/if-pre-up.d/remediate-guard-$name" \
            "/etc/local.d/remediate-guard-$name.start" || return
    done
}}
#: $1 file, $2 unit, $3 and $4 hooks
remove() {{
    if [ -d /run/systemd/system ] && [ -e "/etc/systemd/system/$2" ]; then
        systemctl disable --quiet "$2" && rm -f "/etc/systemd/system/$2" && systemctl daemon-reload || return
    fi
    rm -f "$1" "$3" "$4"
}}
set -e
tables=$(nft list tables)
case "$tables
" in
*"table inet remediate
"*) ;;
*)
    remove "$file" "$unit" "$hook" "$start"
    others
    echo nothing
    exit 0 ;;
esac
[ -n "$how" ] || {{ echo "nothing loads $file at boot; name what does as guard.boot in the inventory" >&2; exit 7; }}
mkdir -p {PERSISTED}
listing=$(nft -nn -s -t list table inet remediate)  # -t: who was observed is no configuration
{{
    printf '# filter of %s\\n' "$(readlink /proc/self/ns/net)"
    printf 'table inet remediate\\ndelete table inet remediate\\n'
    printf '%s\\n' "$listing"
}} > "$file.new"
nft -c -f "$file.new"
[ "$(tail -n +4 "$file.new")" = "$listing" ] && [ "$(nft -nn -s -t list table inet remediate)" = "$listing" ] ||
    {{ echo "what was written to $file.new is not what is in force" >&2; exit 8; }}
chmod 600 "$file.new"
sync "$file.new" 2>/dev/null || sync
mv "$file.new" "$file"
others
case $how in
systemd)
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
    systemctl enable --quiet "$unit" ;;
ifupdown|openrc)
    [ $how = ifupdown ] || hook=$start
    printf '#!/bin/sh\\nexec %s -f %s\\n' "$(command -v nft)" "$file" > "$hook.new"
    chmod 755 "$hook.new"
    mv "$hook.new" "$hook" ;;
esac
echo "$how"
"""

#: $1, $2: as _LOADER. A copy under another name of this device is loaded too, and shown.
AT_BOOT = f"""{HEAD}
{_LOADER}
case $(loader) in
hook) ;;
systemd) systemctl is-enabled --quiet "$unit" 2>/dev/null || exit 0 ;;
ifupdown) [ -x "$hook" ] && grep -qF "$file" "$hook" || exit 0 ;;
openrc) [ -x "$start" ] && grep -qF "$file" "$start" || exit 0 ;;
*) exit 0 ;;
esac
[ ! -e "$file" ] || cat "$file"
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
