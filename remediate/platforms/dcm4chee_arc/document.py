"""What ldapsearch shows of a dcm4chee-arc device: its network AEs, and whom each of them lets in.

LDIF is RFC 2849. The attribute is dcm4che's (dcm4che-conf-ldap, schema dcm4che): ``dcmAcceptedCallingAETitle`` of a
``dcmNetworkAE``, many values, case matters, any title where it is absent.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

from remediate.errors import Unprovable

ACCEPTED = "dcmAcceptedCallingAETitle"
CLASSES = ("dicomDevice", "dicomNetworkAE")
SHOWN = (
    "objectClass",
    "dicomDeviceName",
    "dicomAETitle",
    "dicomInstalled",
    "dicomAssociationAcceptor",
    "dcmOtherAETitle",
)
#: Stands in every list of ours. It is too long to be anybody's AE title, so that it lets nobody in.
OURS = "managed by remediate, see its record"


class Ae(NamedTuple):
    """``dn``: as ldapsearch shows it; ``titles``: its own ones; ``accepted``: None where any title is let in.

    ``takes``: whether it has the object class with which it may have a list.
    """

    dn: str
    titles: tuple[str, ...]
    accepted: tuple[str, ...] | None
    by_hand: bool
    takes: bool


class Document:
    """Raises Unprovable for what is not LDIF, or shows no device."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._entries = [_entry(block) for block in text.split("\n\n") if block.strip()]
        if not any("devicename" in dn.lower().partition("=")[0] for dn in self._entries_by_dn()):
            raise Unprovable("LDAP shows no dicomDevice there", next="correct config.ldap in the inventory")
        #: By title; those that accept associations.
        self.aes: dict[str, Ae] = {}
        for lines in self._entries:
            values = _values(lines)
            title = values.get("dicomaetitle", [""])[0]
            if not title or values.get("dicomassociationacceptor", ["TRUE"])[0].upper() != "TRUE":
                continue
            listed = values.get(ACCEPTED.lower())
            ours = listed is not None and OURS in listed
            accepted = None if listed is None else tuple(sorted(one for one in listed if one != OURS))
            own = (title, *values.get("dcmotheraetitle", []))
            takes = "dcmnetworkae" in map(str.lower, values.get("objectclass", []))
            self.aes[title] = Ae(lines[0], own, accepted, listed is not None and not ours, takes)

    @property
    def foreign(self) -> str:
        """All but our lists, in one order: a directory keeps none."""
        return self.with_lists({title: None for title, ae in self.aes.items() if not ae.by_hand}).canonical

    @property
    def canonical(self) -> str:
        return "\n\n".join(sorted("\n".join([lines[0], *sorted(lines[1:])]) for lines in self._entries)) + "\n"

    def with_lists(self, lists: Mapping[str, tuple[str, ...] | None]) -> Document:
        """Our list on each of these AEs, or none. Raises Unprovable for an AE that is not there, or has one by hand."""
        made = [list(lines) for lines in self._entries]
        for title, accepted in lists.items():
            ae = self.aes.get(title)
            if ae is None:
                raise Unprovable(f"there is no AE {title} that accepts associations", next="plan again")
            if ae.by_hand:
                raise Unprovable(f"the list of AE {title} was made by hand", next="mend the template")
            (lines,) = [one for one in made if one[0] == ae.dn]
            lines[:] = [line for line in lines if not line.lower().startswith(f"{ACCEPTED.lower()}:")]
            if accepted is not None:
                lines += [f"{ACCEPTED}: {one}" for one in (OURS, *sorted(accepted))]
        return Document("\n\n".join("\n".join(lines) for lines in made) + "\n\n")

    def ldif(self, other: Document) -> str:
        """What makes the directory so where it is as in ``other``; loaded twice it does the same."""
        parts = []
        for title, ae in sorted(self.aes.items()):
            then = other.aes.get(title)
            if then is not None and (then.accepted, then.by_hand) != (ae.accepted, ae.by_hand):
                values = "" if ae.accepted is None else "".join(f"{ACCEPTED}: {v}\n" for v in (OURS, *ae.accepted))
                parts.append(f"{ae.dn}\nchangetype: modify\nreplace: {ACCEPTED}\n{values}-\n")
        return "\n".join(parts)

    def _entries_by_dn(self) -> list[str]:
        return [_decoded(lines[0])[1] for lines in self._entries]


def _entry(block: str) -> list[str]:
    """The lines of one, the first one its name; ldapsearch was told not to wrap them."""
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    if not lines or not lines[0].startswith("dn:") or any(line.startswith(" ") for line in lines):
        raise Unprovable("not LDIF as ldapsearch shows it", next="see what ldapsearch says on that host")
    return lines


def _values(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, value = _decoded(line)
        found.setdefault(name.lower(), []).append(value)
    return found


def _decoded(line: str) -> tuple[str, str]:
    """RFC 2849: a value behind two colons is in base64."""
    name, colon, value = line.partition(":")
    if not colon:
        raise Unprovable(f"not LDIF as ldapsearch shows it: {name!r}", next="see what ldapsearch says on that host")
    if not value.startswith(":"):
        return name, value.removeprefix(" ")
    try:
        return name, base64.b64decode(value[1:].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Unprovable(f"the value of {name} cannot be read", next="see what ldapsearch says on that host") from error
