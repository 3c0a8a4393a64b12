"""Callers → Orthanc's settings, and what a configuration already says about them. Pure.

The settings are those of Orthanc 1.10.1 (its Resources/Configuration.json); what each does at the association was
seen there: unknown titles are refused only once every DicomAlwaysAllow is false, and an address is checked only with
DicomCheckModalityHost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from remediate.errors import PlanError
from remediate.model.base import canonical
from remediate.model.rule import Caller, CallerIntent, Setting
from remediate.model.site import Role
from remediate.platforms.orthanc.document import Document

MODALITIES = "DicomModalities"
#: What our entries in DicomModalities are called before the peer's name; others are not ours.
OURS = "rmd_"
#: Must be false, all of them.
ALWAYS_ALLOW = tuple(f"DicomAlwaysAllow{what}" for what in ("Echo", "Find", "FindWorklist", "Get", "Move", "Store"))
#: Must be true.
CHECKS = ("DicomCheckCalledAet", "DicomCheckModalityHost")
TITLE, DEFAULT_TITLE = "DicomAet", "ORTHANC"
IN_DATABASE = "DicomModalitiesInDatabase"

#: What it sets, and what decides whether that counts.
KEYS = frozenset({*ALWAYS_ALLOW, *CHECKS, MODALITIES, TITLE, IN_DATABASE})

#: What each role needs. Echo is everybody's.
_ALLOWS = {
    Role.STORE: ("AllowStore",),
    Role.QUERY: ("AllowFind",),
    Role.RETRIEVE: ("AllowGet", "AllowMove"),
    Role.MWL: ("AllowFindWorklist",),
    Role.STGCMT: ("AllowStorageCommitment",),
}
_ALL_ALLOWS = tuple(sorted({flag for flags in _ALLOWS.values() for flag in flags}))
#: Where a caller does not listen, an entry must name a port all the same.
_NO_PORT = 104


def settings(intent: CallerIntent) -> tuple[Setting, ...]:
    """Raises PlanError where Orthanc would lock somebody out."""
    titles: dict[str, str] = {}
    for caller in intent.callers:
        first = titles.setdefault(caller.ae_title.upper(), caller.peer)
        if first != caller.peer:
            raise PlanError(
                f"peers {first} and {caller.peer} have one AE title, {caller.ae_title}, and of two entries with one "
                "title Orthanc lets only the first address in",
                where=intent.pacs,
                next="give each station a title of its own",
            )
    made = [Setting(key=(key,), value="false") for key in ALWAYS_ALLOW]
    made += [Setting(key=(key,), value="true") for key in CHECKS]
    made += [Setting(key=(MODALITIES,), value="{}")]
    made += [Setting(key=(MODALITIES, OURS + c.peer), value=canonical(_entry(c))) for c in intent.callers]
    return tuple(sorted(made, key=lambda one: one.key))


def _entry(caller: Caller) -> dict[str, Any]:
    allowed = {flag for role in caller.roles for flag in _ALLOWS.get(role, ())}
    return {
        "AET": caller.ae_title,
        "Host": str(caller.address),
        "Port": caller.port or _NO_PORT,
        "AllowEcho": True,
        **{flag: flag in allowed for flag in _ALL_ALLOWS},
    }


def found(document: Document) -> tuple[Setting, ...]:
    """The settings that stand there now; () where none of them does."""
    keys = [*((key,) for key in (*ALWAYS_ALLOW, *CHECKS)), *((MODALITIES, name) for name in _ours(document))]
    made = [Setting(key=key, value=value) for key in keys if (value := document.get(key)) is not None]
    if document.get((MODALITIES,)) is not None:
        made.append(Setting(key=(MODALITIES,), value="{}"))
    return tuple(sorted(made, key=lambda one: one.key))


def without(document: Document) -> Document:
    """Everything but those settings."""
    for setting in sorted(found(document), key=lambda one: len(one.key), reverse=True):
        if setting.key != (MODALITIES,) or not document.keys(setting.key):
            document = document.without(setting.key)
    return document


def patch(document: Document, wanted: Iterable[Setting]) -> dict[str, Any]:
    """The merge patch (RFC 7396) from what stands there to what is wanted; null takes a member out."""
    there, then = {s.key: s.value for s in found(document)}, {s.key: s.value for s in wanted}
    made: dict[str, Any] = {}
    inside: dict[str, Any] = {}
    for key in sorted(there.keys() | then.keys()):
        if there.get(key) == then.get(key) or key == (MODALITIES,):
            continue
        value = None if key not in then else json.loads(then[key])
        if len(key) == 1:
            made[key[0]] = value
        else:
            inside[key[1]] = value
    if (MODALITIES,) in there and (MODALITIES,) not in then and set(document.keys((MODALITIES,))) <= inside.keys():
        made[MODALITIES] = None
    elif inside or ((MODALITIES,) in then and (MODALITIES,) not in there):
        made[MODALITIES] = inside
    return made


def lock_outs(document: Document, intent: CallerIntent) -> tuple[str, ...]:
    """Who would no longer be served though nobody meant that, and what Orthanc would not read."""
    wrong = []
    title = json.loads(document.get((TITLE,)) or canonical(DEFAULT_TITLE))
    if title != intent.ae_title:
        wrong.append(
            f"its own AE title is {title!r}, and the inventory says {intent.ae_title!r}; once called titles are "
            "checked nobody would reach it under that one: correct the inventory"
        )
    if document.get((IN_DATABASE,)) == "true":
        wrong.append(f"{IN_DATABASE} is true, so Orthanc would not read the entries in its file")
    callers = {caller.ae_title.upper(): caller for caller in intent.callers}
    for name, title, host in _others(document):
        same = callers.get(title.upper())
        if same is not None and host != str(same.address):
            wrong.append(
                f"the entry {name!r} has the title of peer {same.peer} and another address; of two entries with one "
                "title only the first address works: take it out, or correct the peer"
            )
        if not _is_address(host):
            wrong.append(
                f"the entry {name!r} names its host {host!r}; once addresses are checked only an address is let in: "
                "write its address there, or take it out"
            )
    return tuple(wrong)


def remarks(document: Document, intent: CallerIntent) -> tuple[str, ...]:
    """Whom it goes on letting in besides, and what a restart costs."""
    said = []
    callers = {(caller.ae_title.upper(), str(caller.address)): caller for caller in intent.callers}
    for name, title, host in _others(document):
        same = callers.get((title.upper(), host))
        said.append(
            f"{MODALITIES} has an entry {name!r} of somebody's own, {title} at {host}: "
            + (
                f"it stands for peer {same.peer} too, with permissions of its own"
                if same
                else "it goes on being let in"
            )
        )
    if any(Role.STGCMT in caller.roles for caller in intent.callers):
        said.append("a restart loses the storage commitment reports that Orthanc has not sent yet")
    return tuple(said)


def _ours(document: Document) -> tuple[str, ...]:
    return tuple(name for name in document.keys((MODALITIES,)) if name.startswith(OURS))


def _others(document: Document) -> Iterable[tuple[str, str, str]]:
    """Name, title and host of each entry; Orthanc takes an array or an object."""
    for name in document.keys((MODALITIES,)):
        if name.startswith(OURS):
            continue
        entry = json.loads(document.get((MODALITIES, name)) or "null")
        if isinstance(entry, list) and len(entry) >= 2:
            yield name, str(entry[0]), str(entry[1])
        elif isinstance(entry, dict):
            yield name, str(entry.get("AET", "")), str(entry.get("Host", ""))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
