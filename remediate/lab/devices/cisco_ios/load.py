"""From a configuration text to a configuration, through the grammar of the configuration modes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from remediate.lab.devices.cisco_ios import nacl, nat_commands  # noqa: F401 - they add their commands to the modes
from remediate.lab.devices.cisco_ios.config import Config, Interface, Other, place
from remediate.lab.devices.cisco_ios.configure import (
    GLOBAL,
    Mode,
    carry_out,
    interface_name,
)
from remediate.lab.devices.cisco_ios.grammar import Cursor, Rejected, tokens
from remediate.lab.devices.cisco_ios.submodes import archive_of, here, line_settings
from remediate.lab.devices.cisco_ios.translations import Translations


@dataclass
class Loader:
    """Builds a configuration from its text. Lines that this router does not know are kept where they stand."""

    config: Config = field(default_factory=Config)
    mode: Mode = GLOBAL
    lenient: bool = True
    knows_forced: bool = True
    translations: Translations = field(default_factory=Translations)


#: Lines that must be understood, because packets or logins are judged by them.
_MUST_LOAD = re.compile(r"(ip access-list|ip nat inside source static|access-list|interface|line|username|enable) ")
_HEADERS = re.compile(r"Building configuration|Current configuration|Using \d")


def load(text: str, *, remarks_to_the_end: bool = False) -> Config:
    """``remarks_to_the_end``: see AccessList.

    Raises ValueError, naming the line, where an access list, an address or a login is wrong."""
    loader = Loader(Config(remarks_to_the_end=remarks_to_the_end))
    rank = 0
    unknown: Other | None = None
    closing = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if closing and unknown:
            unknown.body.append(raw)
            closing = "" if closing in raw else closing
            continue
        if not line or line.startswith("!") or _HEADERS.match(line):
            continue
        if line == "end":
            break
        nested = raw[0] == " "
        if nested and unknown is not None:
            unknown.body.append(raw.rstrip()[1:])
            continue
        if not nested:
            loader.mode, unknown = GLOBAL, None
            found = place(line)
            rank = rank if found is None else found
        words = tokens(line)
        if line.startswith("version "):
            loader.config.version = words[1].text
            continue
        try:
            if words[0].text == "interface":
                name = interface_name(Cursor(line, words[1:]))
                loader.config.interfaces.setdefault(name, Interface(name))
            answer = carry_out(loader, line)
        except Rejected as refused:
            answer = refused.words
            if nested and _keep_nested(loader, line):
                continue
            if not nested and not _MUST_LOAD.match(line):
                unknown = Other(rank, line)
                loader.config.other.append(unknown)
                closing = line.split()[2][:2] if re.match(r"banner \S+ \S", line) else ""
                continue
        if answer:
            raise ValueError(f"line {number}: {line!r}: {answer}")
    return loader.config


def _keep_nested(loader: Loader, line: str) -> bool:
    match loader.mode.prompt:
        case "(config-if)" | "(config-subif)" if not line.startswith("ip access-group"):
            here(loader).extra.append(line)
        case "(config-archive)":
            archive_of(loader).extra.append(line)
        case "(config-line)" if not line.startswith("access-class"):
            for settings in line_settings(loader):
                settings[line] = line
        case _:
            return False
    return True
