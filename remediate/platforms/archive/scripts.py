"""What is run on the host of an archive, as POSIX shell."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from remediate.model.site import IPAddress
from remediate.platforms.deadman import FACTS as MACHINE
from remediate.platforms.deadman import HEAD, LEFT_AS_IT_WAS


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
case $1 in /*) subject=$(readlink -f -- "$1") ;; *) subject=$1 ;; esac
for folder in "$state"/*/; do
    [ "$(cat "$folder/subject" 2>/dev/null)" = "$subject" ] && [ -e "$folder/new" ] || continue
    [ ! -e "$folder/saved" ] && [ ! -e "$folder/unloaded" ] || continue
    [ -e "$folder/armed" ] || [ -e "$folder/confirmed" ] || [ -e "$folder/reverting" ] || continue
    [ "$(cat "$folder/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ] || continue
    if ( cd "$folder" && . ./common.sh && same old && in_force ); then cat "$folder/new"; exit; fi
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

#: Both copies stand ready beside the file first, so that each swap is one rename. Every way out says what is known:
#: LEFT_AS_IT_WAS only once that was seen; with any other failure the timer goes on running. ``down``: seconds from the
#: last moment at which the old sockets listened to the first at which the new ones did, seen at most 50 ms late, over
#: all restarts in between.
LOAD = f"""\
. ./common.sh
unchanged() {{ clean; exit {LEFT_AS_IT_WAS}; }}
same old || {{ echo "$file has changed since it was staged" >&2; unchanged; }}
quiet || {{
    echo "associations are open, and a restart would end them; run it again when they have ended" >&2; unchanged
}}
ready old && ready new || {{ echo "$file cannot be written beside" >&2; unchanged; }}
if ! put new; then
    put old && same old && unchanged
    echo "$file is written in part, and cannot be put back" >&2; exit 8
fi
if restarted; then
    loaded && exit 0
    echo "the archive runs with the new file, and the old one cannot be put back in its place" >&2; exit 8
fi
cat restart.log >&2
put old && same old || {{ echo "the old file cannot be put back" >&2; exit 8; }}
if restarted; then
    echo "the archive did not come back with the new file; it runs with the old one again, after $(cat down) s" >&2
elif undone >&2; then :
else echo "THE ARCHIVE IS DOWN: it came back neither with the new file nor with the old one" >&2; exit 9; fi
unchanged
"""

#: What somebody has written into the file meanwhile stays, for whoever restarts the archive next.
UNDO = """\
. ./common.sh
take_back || { echo "$file cannot be put back as it was" >&2; exit 8; }
failed=0
restarted || { failed=9; cat restart.log >&2; echo "the archive did not come back with the old file" >&2; }
give_back || { failed=8; echo "$file cannot be given back as somebody has changed it" >&2; }
exit $failed
"""

#: Whether the archive runs with what was loaded: see ``deadman``.
IN_FORCE = """\
. ./common.sh
if [ -e saved ]; then
    same new || { echo "$file is no longer as it was kept" >&2; exit 1; }
    exit 0
fi
[ -e outlasts ] || [ "$(cat boot)" = "$(cat /proc/sys/kernel/random/boot_id)" ] ||
    { echo "the host was restarted since, and its archive runs with $file as that was before" >&2; exit 1; }
in_force || { echo "the archive was restarted since, or its file changed: it runs with another one" >&2; exit 1; }
"""

#: What is not kept yet was in no file that an archive is started with, unless it could not be put back.
AFTER_BOOT = """\
. ./common.sh
readable && ! same new
"""

#: In a push's folder, which SAVE of ``deadman_scripts`` has entered. It is read back.
SAVE_ONE = """\
. ./common.sh
if ! same new; then
    same old || { echo "somebody has changed $file since the push; the next restart takes theirs" >&2; exit 6; }
    ready new && put new && same new || { echo "$file cannot be written" >&2; exit 8; }
fi
[ ! -e unsaved ] || mv unsaved saved
"""

SAVE = "sh save.sh\n"

#: Seconds that open associations are given to end, and a restart to be done.
_QUIET, _RESTART = 20, 40


#: Hidden: a product may read whatever else is in that folder. ``theirs``: whole, or not there.
_FILE = """\
file=$(readlink -f -- {file}); beside=${{file%/*}}/.${{file##*/}}.rmd
readable() {{ [ -r "$file" ]; }}
same() {{ cmp -s "$1" "$file"; }}
ready() {{
    cp -p "$file" "$beside-$1" && cat "$1" > "$beside-$1" && cmp -s "$1" "$beside-$1" || return
    sync "$beside-$1" 2>/dev/null; true
}}
clean() {{ rm -f "$beside"-*; }}
keep_theirs() {{ cp -p "$file" "$beside-part" && cmp -s "$file" "$beside-part" && mv "$beside-part" "$beside-theirs"; }}
take_back() {{
    same old && return
    same new || [ -e "$beside-theirs" ] || keep_theirs || return
    ready old && put old && same old
}}
give_back() {{
    [ ! -e "$beside-theirs" ] || mv "$beside-theirs" "$file" || return
    rm -f "$beside-new" "$beside-old" "$beside-part" 2>/dev/null; true
}}
"""

#: Between two looks at a file only its time tells them apart, in seconds: it must differ from the last one's.
_BY_ITSELF = f"""{_FILE}\
quiet() {{{{ :; }}}}
put() {{{{
    while [ "$(stat -c %Y "$beside-$1")" = "$(stat -c %Y "$file")" ]; do
        sleep 0.1; touch "$beside-$1" || return
    done
    mv "$beside-$1" "$file"
}}}}
loaded() {{{{ rm -f "$beside-old" 2>/dev/null; true; }}}}
undone() {{{{ echo "the old file stands there again"; }}}}
in_force() {{{{ same new; }}}}
restarted() {{{{
    since=$(date +%s); true > restart.log || return
    while [ "$(date +%s)" = "$since" ]; do sleep 0.1; done
    for port in {{ports}}; do
        ss -Hltn "sport = :$port" | grep -q . || {{{{ echo "nothing listens on port $port" > restart.log; return 1; }}}}
    done
}}}}
"""


def by_itself(file: str, ports: Iterable[int]) -> str:
    """In place of ``common``, where nothing is restarted."""
    return _BY_ITSELF.format(file=file, ports=" ".join(map(str, ports)))


#: Whether others hold the sockets than those that are ``held``; a master process stays.
_HANDED_OVER = """\
holders() {{ ss -Hltnp '( {listening} )' 2>/dev/null | grep -o 'pid=[0-9]*' | sort -u; }}
fresh() {{
    holding=$(holders)
    printf '%s\\n' "$holding" | grep -qvxF "${{held:-nobody}}" &&
        [ "$(printf '%s\\n' "$holding" | grep -cxF "${{held:-nobody}}")" -le 1 ]
}}
note() {{ holders; }}
in_force() {{ held=$(cat in-force 2>/dev/null); [ -z "$held" ] || ! fresh; }}
"""
_NEVER = """\
holders() {{ :; }}
fresh() {{ false; }}
note() {{ listeners; }}
in_force() {{ [ ! -s in-force ] || [ "$(listeners)" = "$(cat in-force)" ]; }}
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

    ``in-force``: the sockets with which it runs what was loaded, or who holds them: another start has others. What is
    looked at stands in variables, so that a full disk makes nothing look otherwise.
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
before=; full=; gone=; first=
listeners() {{ ss -Hltne '( {listening} )' | sed -n 's/.* ino:\\([0-9]*\\).*/\\1/p' | sort; }}
lines() {{ printf '%s\\n' "$1" | grep -c .; }}
undone() {{
    [ -n "$first" ] && [ "$(note)" = "$first" ] &&
        echo "the restart command changes nothing: what listened before listens still"
}}
now() {{ date +%s%N; }}
quiet() {{
    until=$(($(now) + {_QUIET} * 1000000000))
    while {waits}; do
        [ "$(now)" -lt "$until" ] || return 1
        sleep 0.2
    done
}}
put() {{ mv "$beside-$1" "$file"; }}
loaded() {{ put old && same old || return; note 2>/dev/null > in-force; true; }}
restarted() {{
    before=$(listeners); held=$(holders); count=$(lines "$before")
    [ -n "$full" ] || {{ full=$count; first=$(note); }}
    [ "$full" -gt 0 ] || full={len(tuple(ports))}
    if [ "$count" -ge "$full" ]; then gone=$(now)
    elif [ -z "$gone" ]; then gone=$(cat gone 2>/dev/null); [ -n "$gone" ] || gone=$(now); fi
    until=$(($(now) + {_RESTART} * 1000000000)); at=; ended=
    rm -f down 2>/dev/null
    log=restart.log; true 2>/dev/null > restart.log || log=/dev/null
    ( exec 8<&- 9<&-; exec sh restart.sh ) > "$log" 2>&1 & job=$!
    while [ -z "$at" ] || [ -z "$ended" ]; do
        listening=$(listeners)
        if [ -n "$at" ]; then :
        elif [ "$count" -ge "$full" ] && [ "$listening" = "$before" ]; then gone=$(now); ! fresh || at=$gone
        elif [ "$(lines "$listening")" -ge "$full" ] && ! printf '%s\\n' "$before" | grep -qxF "$listening"; then
            at=$(now)
        fi
        if [ -z "$ended" ] && ! kill -0 "$job" 2>/dev/null; then wait "$job"; ended=$?; fi
        if [ "${{ended:-0}}" != 0 ] || [ "$(now)" -ge "$until" ]; then
            [ -n "$ended" ] || echo "the restart command has not ended after {_RESTART} s" >> "$log"
            [ -n "$at" ] || echo "not listening again after {_RESTART} s" >> "$log"
            echo "$gone" 2>/dev/null > gone
            return 1
        fi
        sleep 0.05
    done
    rm -f gone 2>/dev/null
    down=$(( (at - gone) / 1000000 ))
    printf '%d.%03d\\n' $((down / 1000)) $((down % 1000)) 2>/dev/null > down
    true
}}
"""


def _host(address: IPAddress) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


#: The ports.
PEERS = f"""{HEAD}
set -e
for port in "$@"; do ss -Htn state established "( sport = :$port )"; done
"""
