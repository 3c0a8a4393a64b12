"""What is run on the host of an archive, as POSIX shell."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from remediate.model.site import IPAddress
from remediate.platforms.deadman import FACTS as MACHINE
from remediate.platforms.deadman import HEAD


class InForce(Enum):
    """What makes a product read its configuration.

    ``RESTART``: only a start of its own does, and its ports are closed meanwhile. ``CHANGE``: it looks at its file once
    a second by itself, so what is in force is what stands there, and a restart of the host takes nothing back.
    ``RELOAD``: a command does, and no port is closed; it stands in an LDAP directory, or other processes take over the
    sockets of those that ran.
    """

    RESTART = "restart"
    CHANGE = "change"
    RELOAD = "reload"


READ_FILE = 'cat -- "$1"'

#: $1 the file, then the ports. ``command``: of the process that listens on the last of them.
_FACTS = f"""{MACHINE}
( READ ) >/dev/null 2>&1 && echo file=readable
command -v ss >/dev/null && echo ss=yes
shift; listens=yes
for port in "$@"; do ss -Hltn "sport = :$port" | grep -q . || listens=no; done
echo "listens=$listens"
pid=$(ss -Hltnp "sport = :$port" | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | head -n 1)
[ -z "$pid" ] || printf 'command=%s\\n' "$(tr '\\0\\n' '  ' < "/proc/$pid/cmdline")"
true
"""

READ = f"""{HEAD}
{READ_FILE}
"""


def facts(read: str) -> str:
    """``read``: the command that shows $1."""
    return _FACTS.replace("READ", read)


def reading(read: str) -> str:
    return f"{HEAD}{read}\n"


#: $1 the file of a private key. A passphrase is never asked for.
PUBLIC_KEY = f"""{HEAD}
openssl pkey -in "$1" -passin pass: -pubout 2>/dev/null
"""

#: $1 the file, $2 how the names of the others end.
SIBLINGS = f"""{HEAD}
for one in "$(dirname -- "$1")"/*"$2"; do
    [ -f "$one" ] && [ "$(readlink -f -- "$one")" != "$(readlink -f -- "$1")" ] && printf '%s\\n' "$one"
done
true
"""

#: $1 the file. While a push is in force that is not saved, the archive runs with the push's own copy.
_RUNNING = f"""{HEAD}
for folder in "$state"/*/; do
    [ "$(cat "$folder/path" 2>/dev/null)" = "$1" ] && [ ! -e "$folder/saved" ] || continue
    [ -e "$folder/armed" ] || [ -e "$folder/confirmed" ] || continue
    [ "$(cat "$folder/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ] || continue
    if ( cd "$folder" && . ./common.sh && same old ); then cat "$folder/new"; exit; fi
done
READ
"""


def running(read: str) -> str:
    return _RUNNING.replace("READ", read)


#: Beside the staged files: the file must still be what was read, to the byte, or somebody else's edit would be lost.
CHECK = """\
. ./common.sh
same old || { echo "$file has changed since it was read, or is not UTF-8 text" >&2; exit 6; }
"""

#: Both copies stand ready beside the file first, so that each swap is one rename. ``down``: seconds from the last
#: moment at which the old sockets listened to the first at which the new ones did, seen at most 50 ms late.
LOAD = """\
. ./common.sh
same old || { echo "$file has changed since it was staged" >&2; exit 6; }
quiet || { echo "associations are open, and a restart would end them; run it again when they have ended" >&2; exit 7; }
ready old && ready new || { clean; exit 8; }
put new
if restarted; then loaded; exit; fi
cat restart.log >&2
put old
if restarted; then echo "the archive did not come back with the new file; it runs with the old one again" >&2
elif answers; then echo "the restart command changes nothing: what listened before listens still" >&2
else echo "THE ARCHIVE IS DOWN: it came back neither with the new file nor with the old one" >&2; fi
exit 9
"""

#: What somebody has written into the file meanwhile stays, for whoever restarts the archive next.
UNDO = """\
. ./common.sh
take_back || exit 8
restarted; failed=$?
give_back
exit $failed
"""

#: In a push's folder. Where the host was restarted since, the archive runs with the old file and is restarted too.
SAVE_ONE = """\
. ./common.sh
if same new; then : > saved; exit; fi
same old || { echo "somebody has changed $file since the push; the next restart takes theirs" >&2; exit 6; }
ready new || exit 8
put new
if [ "$(cat boot)" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then
    restarted || { cat restart.log >&2; exit 9; }
fi
: > saved
"""

#: $1 the file.
SAVE = f"""{HEAD}
for folder in "$state"/*/; do
    [ "$(cat "$folder/path" 2>/dev/null)" = "$1" ] && [ -e "$folder/confirmed" ] && [ ! -e "$folder/saved" ] || continue
    ( cd "$folder" && sh save.sh ) || exit
done
"""

#: Seconds that open associations are given to end, and a restart to be done.
_QUIET, _RESTART = 20, 40


#: Hidden: a product may read whatever else is in that folder.
_FILE = """\
file=$(readlink -f -- {file}); beside=${{file%/*}}/.${{file##*/}}.rmd
same() {{ cmp -s "$1" "$file"; }}
ready() {{ cp -p "$file" "$beside-$1" && cat "$1" > "$beside-$1"; }}
clean() {{ rm -f "$beside"-*; }}
answers() {{ false; }}
take_back() {{
    same old || same new || [ -e "$beside-theirs" ] || cp -p "$file" "$beside-theirs" || return
    ready old && put old
}}
give_back() {{
    [ ! -e "$beside-theirs" ] || mv "$beside-theirs" "$file"
    rm -f "$beside-new"
}}
"""

#: Between two looks at a file only its time tells them apart, in seconds: it must differ from the last one's.
_BY_ITSELF = f"""{_FILE}\
quiet() {{{{ :; }}}}
put() {{{{
    while [ "$(stat -c %Y "$beside-$1")" = "$(stat -c %Y "$file")" ]; do sleep 0.1; touch "$beside-$1"; done
    mv "$beside-$1" "$file"
}}}}
loaded() {{{{ rm -f "$beside-old"; }}}}
restarted() {{{{
    since=$(date +%s); : > restart.log
    while [ "$(date +%s)" = "$since" ]; do sleep 0.1; done
    for port in {{ports}}; do
        ss -Hltn "sport = :$port" | grep -q . || {{{{ echo "nothing listens on port $port" > restart.log; return 1; }}}}
    done
}}}}
"""


def by_itself(file: str, ports: Iterable[int]) -> str:
    """In place of ``common``, where nothing is restarted."""
    return _BY_ITSELF.format(file=file, ports=" ".join(map(str, ports)))


#: Whether others hold the sockets than before; a master process stays.
_HANDED_OVER = """\
holders() {{ ss -Hltnp '( {listening} )' 2>/dev/null | grep -o 'pid=[0-9]*' | sort -u; }}
fresh() {{
    holders > holding
    grep -qvxFf held holding && [ "$(grep -cxFf held holding)" -le 1 ]
}}
"""
_NEVER = """\
holders() {{ :; }}
fresh() {{ false; }}
"""


def common(
    file: str,
    ports: Iterable[int],
    dicom: Iterable[int],
    callers: Iterable[tuple[IPAddress, int]],
    *,
    reload: bool = False,
) -> str:
    """``file``: quoted for the shell. ``dicom``: those of its ports on which associations come in; ``callers``: where
    it opens some itself. Others, those of browsers, may be cut. ``reload``: the sockets may stay as they are.
    """
    listening = " or ".join(f"sport = :{port}" for port in ports)
    ways = [f"sport = :{port}" for port in dicom]
    ways += [f"( dst {_host(address)} and dport = :{port} )" for address, port in dict.fromkeys(callers)]
    connected = " or ".join(ways)
    waits = f"ss -Htn state established '( {connected} )' | grep -q ." if ways else "false"
    return f"""\
{_FILE.format(file=file)}\
{(_HANDED_OVER if reload else _NEVER).format(listening=listening)}\
ports="{" ".join(map(str, ports))}"
answers() {{ listeners > listening && [ -s before ] && cmp -s before listening; }}
now() {{ date +%s%N; }}
listeners() {{ ss -Hltne '( {listening} )' | sed -n 's/.* ino:\\([0-9]*\\).*/\\1/p' | sort; }}
quiet() {{
    until=$(($(now) + {_QUIET} * 1000000000))
    while {waits}; do
        [ "$(now)" -lt "$until" ] || return 1
        sleep 0.2
    done
}}
put() {{ mv "$beside-$1" "$file"; }}
loaded() {{ put old; }}
restarted() {{
    listeners > before; holders > held; count=$(grep -c . < before)
    [ "$count" -gt 0 ] || count={len(tuple(ports))}
    gone=$(now); until=$(($(now) + {_RESTART} * 1000000000)); at=
    rm -f restart.status down
    ( sh restart.sh > restart.log 2>&1; echo $? > restart.status ) &
    while [ -z "$at" ] || [ ! -s restart.status ]; do
        listeners > listening
        if [ -n "$at" ]; then :
        elif [ -s before ] && cmp -s before listening; then gone=$(now); ! fresh || at=$gone
        elif [ "$(grep -c . < listening)" -ge "$count" ] && ! grep -qxFf listening before; then at=$(now); fi
        if [ -s restart.status ] && [ "$(cat restart.status)" != 0 ]; then return 1; fi
        if [ "$(now)" -ge "$until" ]; then
            [ -s restart.status ] || echo "the restart command has not ended after {_RESTART} s" >> restart.log
            [ -n "$at" ] || echo "not listening again after {_RESTART} s" >> restart.log
            return 1
        fi
        sleep 0.05
    done
    down=$(( (at - gone) / 1000000 ))
    printf '%d.%03d\\n' $((down / 1000)) $((down % 1000)) > down
}}
"""


def _host(address: IPAddress) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


#: The ports.
PEERS = f"""{HEAD}
set -e
for port in "$@"; do ss -Htn state established "( sport = :$port )"; done
"""
