"""The shell of an archive whose configuration stands in an LDAP directory on its own host, and is loaded on command.

In place of a file there is an entry, with those below it. What is staged as ``old`` and ``new`` is what ldapsearch
shows of it; beside each lies the LDIF that makes the directory so, which may be loaded twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: As root of that host; every LDAP server on it can be told to know root so (RFC 4422 A, the SASL mechanism EXTERNAL).
_AS_ROOT = "-Q -Y EXTERNAL -H ldapi:///"
#: Seconds that the command may take.
_RELOAD = 40


class Shown(NamedTuple):
    """What is looked at: entries of these object classes, and nothing of them but the attributes. ``written``: the one
    that is ours to write."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    written: str


def search(classes: tuple[str, ...], attributes: tuple[str, ...], written: str) -> str:
    """As ``Shown``. $1: the entry, which is shown with those below it."""
    wanted = "".join(f"(objectClass={one})" for one in classes)
    return f"ldapsearch {_AS_ROOT} -LLL -o ldif-wrap=no -b \"$1\" '(|{wanted})' {' '.join((*attributes, written))}"


def functions(entry: str, command: str, attribute: str, ports: Iterable[int]) -> str:
    """``entry``: quoted for the shell; ``command``: shows it; ``attribute``: the one that is written, and compared."""
    return f"""\
file={entry}
show() {{ set -- "$file"; {command}; }}
mine() {{ awk '/^dn:/ {{ dn = $0 }} /^{attribute}:/ {{ print dn "\\t" $0 }}' | LC_ALL=C sort; }}
seen() {{ shown=$(show) || return; now=$(printf '%s\\n' "$shown" | mine); }}
same() {{ seen && [ "$now" = "$(mine < "$1")" ]; }}
readable() {{ seen; }}
quiet() {{ :; }}
ready() {{ [ -f "$1.ldif" ]; }}
clean() {{ :; }}
put() {{ [ ! -s "$1.ldif" ] || ldapmodify {_AS_ROOT} -f "$1.ldif" >&2; }}
take_back() {{ seen || return; if same old || same new; then put old && same old; fi; }}
give_back() {{ :; }}
undone() {{
    case $ended in 0|124) return 1 ;; esac
    echo "the directory is as it was, and the archive has not loaded another one"
}}
in_force() {{ :; }}
loaded() {{ put old && same old; }}
restarted() {{
    timeout {_RELOAD} sh restart.sh > restart.log 2>&1 8<&- 9<&-
    ended=$?; [ $ended = 0 ] || {{ echo "the reload ended with status $ended" >> restart.log; return 1; }}
    for port in {" ".join(map(str, ports))}; do
        ss -Hltn "sport = :$port" | grep -q . || {{ echo "nothing listens on port $port" >> restart.log; return 1; }}
    done
}}
"""
