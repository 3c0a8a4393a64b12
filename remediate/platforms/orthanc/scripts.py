"""What is run on the host of an Orthanc, as POSIX shell."""

from __future__ import annotations

from collections.abc import Iterable

from remediate.platforms.deadman import FACTS as MACHINE
from remediate.platforms.deadman import HEAD

#: $1 the file, then the ports.
FACTS = f"""{MACHINE}
[ -f "$1" ] && [ -r "$1" ] && echo file=readable
command -v ss >/dev/null && echo ss=yes
shift; listens=yes
for port in "$@"; do ss -Hltn "sport = :$port" | grep -q . || listens=no; done
echo "listens=$listens"
true
"""

READ = f"""{HEAD}
cat -- "$1"
"""

#: Beside the staged files: the file must still be what was read, to the byte, or somebody else's edit would be lost.
CHECK = """\
. ./common.sh
cmp -s old.json "$file" || { echo "$file has changed since it was read, or is not UTF-8 text" >&2; exit 6; }
"""

#: Swaps the file and restarts. ``down``: seconds from the last moment at which the old sockets listened to the first
#: at which the new ones did, seen at most 50 ms late.
LOAD = """\
. ./common.sh
cmp -s old.json "$file" || { echo "$file has changed since it was staged" >&2; exit 6; }
quiet || { echo "associations are open, and a restart would end them; run it again when they have ended" >&2; exit 7; }
put new.json || exit 8
if ! restarted; then
    cat restart.log >&2
    echo "the archive did not come back with the new file; the old one is in place again" >&2
    put old.json; restarted
    exit 9
fi
"""

UNDO = """\
. ./common.sh
put old.json && restarted
"""

#: Seconds that open associations are given to end, and a restart to be done.
_QUIET, _RESTART = 20, 60


def common(file: str, ports: Iterable[str]) -> str:
    """``file``: quoted for the shell."""
    listening = " or ".join(f"sport = :{port}" for port in ports)
    return f"""\
file={file}
now() {{ date +%s%N; }}
listeners() {{ ss -Hltne '( {listening} )' | sed -n 's/.* ino:\\([0-9]*\\).*/\\1/p' | sort; }}
quiet() {{
    tries=0
    while ss -Htn state established '( {listening} )' | grep -q .; do
        tries=$((tries + 1)); [ $tries -le $(({_QUIET} * 5)) ] || return 1
        sleep 0.2
    done
}}
put() {{
    cp -p "$file" "$file.remediate" && cat "$1" > "$file.remediate" && mv "$file.remediate" "$file"
}}
restarted() {{
    listeners > before; count=$(grep -c . < before)
    gone=$(now); until=$(($(now) + {_RESTART} * 1000000000))
    sh restart.sh > restart.log 2>&1 &
    restarting=$!
    while :; do
        listeners > listening; at=$(now)
        if cmp -s before listening; then gone=$at
        elif [ "$(grep -c . < listening)" -ge "$count" ] && ! grep -qxFf listening before; then break; fi
        [ "$at" -lt "$until" ] || {{ echo "not listening again after {_RESTART} s" >> restart.log; return 1; }}
        sleep 0.05
    done
    wait $restarting || return 1
    down=$(( (at - gone) / 1000000 ))
    printf '%d.%03d\\n' $((down / 1000)) $((down % 1000)) > down
}}
"""
