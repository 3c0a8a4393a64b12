"""A configuration file of stunnel: options of its services, edited line by line; all else stays as it is, to the byte.

Read as stunnel 5.68 does: white space at both ends of a line does not count, a line that begins with ``;`` or ``#`` is
a comment, and any other is ``[service]`` or ``option = value``, with the option in letters of either case. What stands
before the first service is global; an option of a service there is the default of every service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from remediate.errors import Unprovable

#: As isspace() has it.
_SPACE = " \t\n\r\v\f"
_OPTION = re.compile(r"(?P<lead>\s*(?P<name>[^=]*?)\s*=\s*)(?P<value>.*?)(?P<rest>\s*)", re.DOTALL | re.ASCII)
_PORT = re.compile(r"(?:.*:)?([0-9]{1,5})", re.DOTALL)


@dataclass(frozen=True)
class Option:
    """``name``: in small letters; ``line``: its number, from 0."""

    name: str
    value: str
    line: int


@dataclass
class Service:
    """``line``: where its header stands; -1 of the global part."""

    name: str
    line: int
    options: list[Option] = field(default_factory=list)

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(option.value for option in self.options if option.name == name.lower())

    @property
    def ports(self) -> tuple[int, ...]:
        """On which it accepts: numbers only, since other words are looked up where stunnel runs, or are paths."""
        found = (_PORT.fullmatch(value) for value in self.all("accept") if not value.startswith("/"))
        return tuple(int(port[1]) for port in found if port is not None)


class Document:
    """Raises Unprovable for a line that stunnel would not take."""

    def __init__(self, text: str) -> None:
        self.text = text
        if text.startswith("\ufeff"):
            raise Unprovable("the file begins with a byte order mark", next="take it out")
        self._lines = text.split("\n")
        self.globals = Service("", -1)
        self.services: list[Service] = []
        here = self.globals
        for number, line in enumerate(self._lines):
            words = line.strip(_SPACE)
            if not words or words[0] in ";#":
                continue
            if words[0] == "[" and words[-1] == "]":
                here = Service(words[1:-1], number)
                self.services.append(here)
                continue
            found = _OPTION.fullmatch(line)
            if found is None or not found["name"]:
                raise Unprovable(f"stunnel would not take line {number + 1} of its file", next="mend the file")
            here.options.append(Option(found["name"].lower(), found["value"], number))

    def accepting(self, port: int) -> tuple[Service, ...]:
        return tuple(service for service in self.services if port in service.ports)

    def effective(self, service: Service, name: str) -> tuple[str, ...]:
        """What counts for that service: its own, or else the default of all."""
        return service.all(name) or self.globals.all(name)

    def get(self, port: int, name: str) -> str | None:
        """Of the service there; None where it does not say so itself. The last one counts where it stands twice."""
        found = [value for service in self.accepting(port) for value in service.all(name)]
        return found[-1] if found else None

    def foreign(self, ours: frozenset[str]) -> str:
        """All but those options of services; the ends of lines do not count."""
        gone = {o.line for service in self.services if service.ports for o in service.options if o.name in ours}
        return "\n".join(line.rstrip(_SPACE) for number, line in enumerate(self._lines) if number not in gone).rstrip(
            "\n"
        )

    def with_option(self, port: int, name: str, value: str | None) -> Document:
        """None takes it out. A new one stands behind the last of its service, as far to the right.

        Raises Unprovable where there is not exactly one service there, or the option stands in it twice.
        """
        service = self._only(port)
        there = [option for option in service.options if option.name == name.lower()]
        if len(there) > 1:
            raise Unprovable(f"{name} stands twice in [{service.name}]", next="take one of them out")
        lines = list(self._lines)
        if there and value is not None:
            found = _OPTION.fullmatch(lines[there[0].line])
            assert found is not None  # it was read so
            lines[there[0].line] = found["lead"] + value + found["rest"]
        elif there:
            del lines[there[0].line]
        elif value is not None:
            above = service.options[-1].line if service.options else service.line
            indent = re.match(r"[ \t]*", lines[above])
            assert indent is not None  # it matches nothing as well
            lines.insert(above + 1, f"{indent[0]}{name} = {value}" + ("\r" if lines[above].endswith("\r") else ""))
        return Document("\n".join(lines))

    def _only(self, port: int) -> Service:
        found = self.accepting(port)
        if len(found) != 1:
            many = f"{len(found)} services accept" if found else "no service accepts"
            raise Unprovable(f"{many} on port {port}", next="plan again")
        return found[0]
