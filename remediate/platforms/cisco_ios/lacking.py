"""What a router, its login or its inventory entry lacks for a safe change, found without changing anything."""

from __future__ import annotations

import re
from collections.abc import Iterable

from remediate.errors import CommandRejected
from remediate.platforms.cisco_ios.config import Config
from remediate.platforms.cisco_ios.terminal import Terminal

#: What a change types in the exec mode; its configuration lines can be tried by no one who is not to configure.
VERBS = (
    "configure terminal revert timer 5",
    "configure confirm",
    "configure revert now",
    "write memory",
)
#: No keyword begins so: a parser that has read a verb as a whole command stops at this word, and does nothing.
JUNK = "remediate-asks"
_DENIED = re.compile(r"authorization failed", re.IGNORECASE)
_VTY = re.compile(r"^\*?\s*\d+ +vty +(\d+)\b.*?(\S+)\s*$", re.MULTILINE)
_LINES = re.compile(r"line vty (\d+)(?: (\d+))?")


def rights(at: Terminal) -> Iterable[str]:
    """The verbs that this user may not type, by its level or its parser view.

    Each is typed with a word behind it that is no keyword, so nothing is carried out: IOS marks where it stopped to
    understand (``^``), which is that word where the verb is known to it, and the verb where it is hidden. What a
    server of authorizations (TACACS+) says is not known so: it is only asked for commands that are whole.
    """
    reply = at.session.say("show privilege")
    if not re.search(r"level is 15\b", reply.text):
        yield "not privilege 15: give this user privilege 15, and commands that no parser view hides"
    hidden, denied = [], []
    for verb in VERBS:
        reply = at.session.say(f"{verb} {JUNK}")
        caret = re.search(r"^( *)\^", reply.text, re.MULTILINE)
        if _DENIED.search(reply.text):
            denied.append(verb)
        elif caret and len(caret[1]) - len(reply.prompt) < len(verb):
            hidden.append(verb)
    if hidden:
        yield (
            f"not known to this user here: {_quoted(hidden)}: its privilege level or parser view hides that, or the "
            "release has no rollback confirmed change (IOS before 12.4(20)T); allow it to this user"
        )
    if denied:
        yield f"not allowed to this user: {_quoted(denied)}: the device says `Command authorization failed`; allow it"


def refused(error: CommandRejected) -> str:
    """A command that only looks, and that is refused."""
    return f"{error.what.splitlines()[0]}, which every change needs: {error.words.strip()}; allow it to this user"


def lines(running: str, users: str) -> Iterable[str]:
    """Whether one more login finds a line: what is pushed is only confirmed after a new login beside this session.

    ``users``: what ``show users`` says, with this session in it.
    """
    takes_ssh: set[int] = set()
    for head, body in re.findall(r"^(line vty .+)\n((?: .*\n)*)", running, re.MULTILINE):
        span = _LINES.match(head)
        transport = re.search(r"^ transport input (.+?)\s*$", body, re.MULTILINE)
        if span and (transport is None or re.search(r"\b(ssh|all)\b", transport[1])):
            takes_ssh |= set(range(int(span[1]), int(span[2] or span[1]) + 1))
    busy = {int(number): place for number, place in _VTY.findall(users)}
    if not busy or not takes_ssh or takes_ssh - set(busy):
        return
    places = ", ".join(dict.fromkeys(busy[number] for number in sorted(busy)))
    count = len(takes_ssh)
    yield (
        f"no free line: {'the only line' if count == 1 else f'all {count} lines'} that SSH may use "
        f"{'is' if count == 1 else 'are'} taken, this session's included (from {places}), and what is pushed is "
        "confirmed only after a new login beside it: end a session that nobody needs (`show users`, `clear line vty "
        "N`), or configure more (`line vty 5 15`)"
    )


def prompt(running: str, seen: str) -> Iterable[str]:
    """Answers are read up to the prompt, which has to be the host name's in every mode. ``seen``: without its end."""
    hostname = re.search(r"^hostname (\S+)", running, re.MULTILINE)
    if hostname and seen != hostname[1]:
        yield (
            f"the prompt begins with {seen!r}, and the host name is {hostname[1]!r}: what the device answers in "
            "configuration mode could not be told from its prompt; take the line `prompt ...` out (`no prompt`)"
        )
    if re.search(r"^no service prompt config", running, re.MULTILINE):
        yield (
            "configuration mode has no prompt (`no service prompt config`), so nothing tells that a line was taken: "
            "configure `service prompt config`"
        )


def archive(config: Config) -> Iterable[str]:
    block = next((block for block in config.blocks if block.head == "archive"), None)
    if block is None or not any(line.strip().startswith("path ") for line in block.children):
        yield "no archive, so no revert timer: configure `archive` / `path flash:archive`, and save"


def asks_a_server(config: Config) -> str:
    """What no look can find, for whoever approves the plan: a server that is asked for each command."""
    heads = [block.head for block in config.blocks if block.head.startswith("aaa authorization ")]
    commands = [head for head in heads if re.match(r"aaa authorization (commands 15|config-commands)\b", head)]
    if not commands:
        return ""
    return (
        f"a server is asked for each command there (`{commands[0]}`), and what it refuses is known only once it is "
        f"typed: see that it allows {_quoted(VERBS)} and, in configuration mode, `ip access-list`, "
        "`no ip access-list`, `permit`, `deny`, `remark`, `no`, `interface` and `ip access-group`. A refusal before "
        "the confirm leaves nothing behind; one of `write memory` leaves a change that does not outlast a restart "
        "(needs hands)"
    )


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
