"""What is run on the Linux device, as POSIX shell. Every script ends with the status that tells how it went.

On the device each push has a folder of its own under STATE, named by its token. A push is in exactly one of the
states ``armed``, ``confirmed``, ``reverting``, ``reverted``, which are file names: a rename from ``armed`` succeeds
for one side only, be it the confirm, the revert timer or an explicit rollback.
"""

from __future__ import annotations

STATE = "/var/lib/remediate"
PERSISTED = "/etc/remediate"

#: systemd and login shells need not have the sbin folders on PATH. Messages must be nft's own, not a translation.
_HEAD = f"""\
PATH=/usr/sbin:/sbin:/usr/local/sbin:$PATH; export PATH LC_ALL=C
umask 077
state={STATE}
"""

FACTS = f"""{_HEAD}
echo "uid=$(id -u)"
echo "nft=$(nft --version 2>/dev/null | head -n 1)"
echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
[ -d /run/systemd/system ] && echo timer=systemd || {{ command -v setsid >/dev/null && echo timer=setsid; }}
mkdir -p "$state" && echo state=writable
mkdir -p {PERSISTED} && [ -w {PERSISTED} ] && echo persist=writable
if command -v ip >/dev/null; then ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/interface=\\1/'
else for one in /sys/class/net/*; do echo "interface=${{one##*/}}"; done; fi
nft list flowtables 2>/dev/null | grep -q flowtable && echo flowtable=yes
true
"""

#: -nn: numbers, no names; -s: no counters. iptables-save as well, since nft does not show the patterns of xtables
#: matches; its date lines and counters are no configuration.
RUNNING = f"""{_HEAD}
set -e
nft -nn -s list ruleset 2>/dev/null
for family in iptables ip6tables; do
    command -v $family-save >/dev/null || continue
    echo "# $family-save"
    $family-save 2>/dev/null | sed -e '/^# /d' -e 's/ \\[[0-9]*:[0-9]*\\]$//'
done
"""

OBJECTIONS = f"""{_HEAD}
nft -c -f -
"""

#: $1 the device's name, $2 the file's; stdin: its text.
STAGE = f"""{_HEAD}
set -e
mkdir -p "$state/candidate-$1"
cat > "$state/candidate-$1/$2.nft"
"""

CHECK = f"""{_HEAD}
cd "$state/candidate-$1" && nft -c -f new.nft && nft -c -f revert.nft
"""

DISCARD = f"""{_HEAD}
[ -n "$1" ] && rm -rf "$state/candidate-$1"
"""

_DISARM = """\
if [ -d /run/systemd/system ]; then systemctl stop "remediate-$1.timer" || true
else kill -- "-$(cat deadman.pid)" 2>/dev/null || true; fi
"""

#: $1 token, $2 seconds, $3 the device's name. Arms first, sees the timer alive, and only then loads.
COMMIT = f"""{_HEAD}
[ -e "$state/$1" ] && {{ echo "$state/$1 exists: this push was made before" >&2; exit 3; }}
set -e
mv "$state/candidate-$3" "$state/$1"
cd "$state/$1"
cat /proc/sys/kernel/random/boot_id > boot
cat > deadman.sh <<'DEADMAN'
PATH=/usr/sbin:/sbin:/usr/local/sbin:$PATH; export PATH
cd "$1" && mv armed reverting && nft -f revert.nft && mv reverting reverted
DEADMAN
echo $(( $(date +%s) + $2 )) > deadline
: > armed
if [ -d /run/systemd/system ]; then
    systemd-run --quiet --unit="remediate-$1" --on-active="$2" --timer-property=AccuracySec=1s \\
        /bin/sh "$state/$1/deadman.sh" "$state/$1"
else
    setsid -f sh -c 'echo $$ > deadman.pid; sleep '"$2"'; sh deadman.sh "$PWD"' >/dev/null 2>&1 </dev/null
    tries=0
    until [ -s deadman.pid ]; do
        tries=$((tries + 1)); [ $tries -le 200 ] || {{ echo "the revert timer did not start" >&2; exit 4; }}
        sleep 0.02
    done
fi
if ! nft -f new.nft; then
    mv armed refused
    {_DISARM}    exit 5
fi
"""

#: One line a push: token, state, seconds left, whether the timer lives.
PENDING = f"""{_HEAD}
now=$(date +%s); boot=$(cat /proc/sys/kernel/random/boot_id)
for folder in "$state"/*/; do
    [ -f "$folder/deadline" ] || continue
    token=$(basename "$folder")
    for name in armed reverting reverted confirmed refused; do [ -e "$folder/$name" ] && break; name=unknown; done
    [ "$(cat "$folder/boot")" = "$boot" ] || name="$name-before-boot"
    alive=no
    if [ -d /run/systemd/system ]; then systemctl is-active --quiet "remediate-$token.timer" && alive=yes
    else kill -0 "$(cat "$folder/deadman.pid")" 2>/dev/null && alive=yes; fi
    echo "$token $name $(( $(cat "$folder/deadline") - now )) $alive"
done
"""

CONFIRM = f"""{_HEAD}
cd "$state/$1" || exit 3
mv armed confirmed 2>/dev/null || exit 4
{_DISARM}"""

#: An explicit rollback: of a push that is still armed, or of one just confirmed whose fellow on another device failed.
REVERT = f"""{_HEAD}
cd "$state/$1" || exit 3
mv armed reverting 2>/dev/null || mv confirmed reverting 2>/dev/null || exit 4
{_DISARM}nft -f revert.nft && mv reverting reverted
"""

FORGET = f"""{_HEAD}
[ -n "$1" ] || exit 3
rm -rf "$state/$1"
"""

#: $1: the device's name, so that two namespaces of one machine do not share a file. Prints what loads it at boot.
SAVE = f"""{_HEAD}
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
    nft -nn -s list table inet remediate
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

PERSISTED_GUARD = f"""{_HEAD}
cat "{PERSISTED}/guard-$1.nft" 2>/dev/null || true
"""
