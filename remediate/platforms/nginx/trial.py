"""What nginx itself says: of the files that it runs with, and of a new one in the place of one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import PurePosixPath

from remediate.errors import Unprovable
from remediate.model.device import ConfigFile
from remediate.platforms.nginx.document import Document, Server, listing
from remediate.platforms.nginx.login import ways_past

#: With a port in $port: how nginx was started (its master's title says so), and as whom its workers read files.
_STARTED = r"""
master= worker=
for pid in $(ss -Hltnp "sport = :$port" 2>/dev/null | grep -o 'pid=[0-9]*' | cut -d= -f2); do
    title=$(tr '\0' ' ' < "/proc/$pid/cmdline")
    case $title in
    "nginx: master process "*) master=$pid; started=${title#nginx: master process } ;;
    "nginx: worker process"*) worker=$pid ;;
    esac
done
program=$(readlink "/proc/$master/exe"); program=${program% (deleted)}
how=$(printf '%s\n' "$started" | grep -oE ' -[cp] [^ ]+' | tr '\n' ' ')
"""

#: Seconds that nginx may take to read its files.
_TAKES = 20

#: In a mount name space of its own the new file stands in the old one's place, and nowhere else.
CHECK = f"""
port=${{ports%% *}}
{_STARTED}
cat > trial.sh <<'TRIAL'
mount --bind "$1" "$2" && shift 2 && exec timeout {_TAKES} "$@" -t -q
TRIAL
unshare --mount sh trial.sh "$PWD/new" "$file" "$program" $how > trial.log 2>&1 || {{ cat trial.log >&2; exit 8; }}
"""

#: $1 the file, $2 that of the users, then the ports.
ASKS = f"""
file=$(readlink -f -- "$1"); users=$2; port=$3
{_STARTED}
[ -n "$master" ] && [ -n "$worker" ] || {{ echo "master=none"; exit 0; }}
unshare --mount true 2>/dev/null && echo trial=possible
if [ -n "$users" ]; then
    number() {{ sed -n "s/^$1:[[:space:]]*\\([0-9]*\\).*/\\1/p" "/proc/$worker/status"; }}
    groups=$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$worker/status" | tr -s ' ' , | sed 's/,$//')
    if [ ! -f "$users" ]; then echo users=missing
    elif ! grep -q '^[^#:][^:]*:.' "$users"; then echo users=nobody
    elif ! setpriv --reuid "$(number Uid)" --regid "$(number Gid)" \\
        $([ -n "$groups" ] && echo --groups "$groups" || echo --clear-groups) cat "$users" >/dev/null 2>&1
    then echo users=unreadable
    fi
fi
words=$(timeout {_TAKES} "$program" $how -T 2>&1 >/dev/null) || {{
    printf '%s\\n' "$words" | sed 's/^/error=/'
    exit 0
}}
echo files=
timeout {_TAKES} "$program" $how -T 2>/dev/null | while IFS= read -r line; do
    printf '%s\\n' "$line"
    case $line in "# configuration file "*:)
        one=${{line#"# configuration file "}}; one=${{one%:}}
        [ "$(readlink -f -- "$one")" != "$file" ] || echo "# this one"
    esac
done
"""
_FILE = re.compile(r"^# configuration file (.+):\n", re.MULTILINE)
_THIS = "# this one\n"


def given(config: ConfigFile) -> tuple[str, ...]:
    return (config.users or "", *map(str, config.ports))


def told(config: ConfigFile, said: str) -> tuple[str, ...]:
    head, _, dump = said.partition("files=\n")
    facts = [line.partition("=")[::2] for line in head.splitlines()]
    if ("master", "none") in facts:
        return ()  # that nothing listens, or something else, is said anyhow
    errors = sorted((text for key, text in facts if key == "error"), key=lambda text: "[emerg]" not in text)
    wrong = [f"nginx does not take the files that stand there now: {text}" for text in errors[:1]]
    if ("trial", "possible") not in facts:
        wrong.append("a new file cannot be tried out there before it is swapped in: unshare --mount (util-linux) fails")
    wrong += [_USERS[text].format(config.users) for key, text in facts if key == "users"]
    if dump:
        wrong += _around(config, dict(_files(dump)))
    return tuple(wrong)


_USERS = {
    "missing": "no file {} there (config.users): make it, htpasswd -c",
    "nobody": "nobody is in {} (config.users), so nobody could come in: htpasswd adds a user",
    "unreadable": (
        "nginx's workers cannot read {} (config.users), and would answer with an error: let their group read it"
    ),
}


def _files(dump: str) -> Iterator[tuple[str, str]]:
    _, *parts = _FILE.split(dump)
    return zip(parts[::2], parts[1::2], strict=True)


def _around(config: ConfigFile, files: dict[str, str]) -> Iterator[str]:
    """What the other files that nginx reads do to the servers in this one."""
    this = next((path for path, text in files.items() if text.startswith(_THIS)), None)
    if this is None:
        yield f"nginx does not read {config.path} (config.file): name the file in which the server stands"
        return
    try:
        own = Document(files.pop(this).removeprefix(_THIS).removesuffix("\n"))
    except Unprovable:
        return  # said of it where it is planned for
    others: dict[str, Document] = {}
    for path, text in files.items():
        try:
            others[path] = Document(text)
        except Unprovable as error:
            yield f"{path}, which nginx reads too: {error.what}"
    ports = config.ports
    for path, other in others.items():
        for server in other.servers:
            if any(server.on(port) for port in ports):
                yield (
                    f"a server in line {server.statement.line} of {path} listens there too, and would go on without a "
                    "password: move it into the file that config.file names, or to another port"
                )
    for server in own.servers:
        if any(server.on(port) for port in ports):
            yield from _included(server, others)


def _included(server: Server, others: dict[str, Document]) -> Iterator[str]:
    wanted = [one.args[0] for one in server.statement.all_inside() if one.name == "include" and one.args]
    for path, other in others.items():
        if not any(_names(pattern, path) for pattern in wanted):
            continue
        for said in ways_past(other.tree.statements):
            yield f"{path}, which the server reads: {said}"
        for one in other.tree.statements:
            for found in [one] if one.name == "autoindex" and one.args == ("on",) else listing(one):
                yield f"{path}, which the server reads: line {found.line} lists folders (autoindex on): take it out"


def _names(pattern: str, path: str) -> bool:
    """Relative ones begin where nginx's main file is."""
    return fnmatch(path, pattern) or (not PurePosixPath(pattern).is_absolute() and fnmatch(path, f"*/{pattern}"))
