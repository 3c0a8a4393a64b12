"""One question to one service: what may be asked, how, and what came back.

A new protocol is a module with ``first`` (the rung of an open port) and ``ask``, and a line of PROBES.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Protocol, cast

from remediate.errors import VantageError
from remediate.model.observation import Observation, Question, Rung
from remediate.model.site import ServiceKind
from remediate.model.stream import Dial, DialFailed, Line
from remediate.probes.found import STREAM_FAILURES, Found

#: Imported only when such a service is asked.
PROBES: dict[ServiceKind, str] = {
    ServiceKind.DICOM: "remediate.probes.dicom",
    ServiceKind.DICOM_TLS: "remediate.probes.dicom",
    ServiceKind.DICOMWEB: "remediate.probes.web",
    ServiceKind.WEB: "remediate.probes.web",
    ServiceKind.FTP: "remediate.probes.ftp",
}


class Probe(Protocol):
    #: What is said of a port that accepts a connection and then nothing else.
    FIRST: Rung

    async def ask(self, line: Line, question: Question, found: Found) -> None:
        """Climbs as far as the peer lets it; notes in ``found`` what it reached.

        The peer cannot make it raise; that the first connection fails is what DialFailed says.
        """
        ...


@cache
def _probe(kind: ServiceKind) -> Probe:
    return cast("Probe", import_module(PROBES[kind]))


def prepare() -> None:
    """Imports the probe for DICOM, which takes a fifth of a second and more."""
    _probe(ServiceKind.DICOM)


async def observe(dial: Dial, question: Question, deadline: float) -> Observation:
    """Asks once. Whatever the peer does is an observation; ScopeError and cancellation pass.

    ``deadline``: seconds to connect, and once more for all that follows. ``asked_at`` is before the dial's gate.
    """
    probe = _probe(question.kind)
    found = Found(probe.FIRST)
    asked_at, start = datetime.now(UTC), time.monotonic()
    try:
        async with dial(question, deadline) as line:
            await probe.ask(line, question, found)
    except DialFailed as error:
        found = Found(error.rung, error.what, icmp=error.icmp)
    except VantageError as error:  # lost on the way: what was seen until then is no answer either
        found = Found(Rung.INCONCLUSIVE, f"{error.what} (it had reached: {found.rung.value})")
    return Observation(
        question=question,
        rung=found.rung,
        asked_at=asked_at,
        answered_at=datetime.now(UTC),
        elapsed=time.monotonic() - start,
        reject=found.reject,
        status=found.status,
        negotiated=found.negotiated,
        surfaces=frozenset(found.surfaces),
        counts=found.counts,
        tls=found.tls,
        stack=found.stack,
        icmp=found.icmp,
        detail=found.detail,
    )


async def touch(dial: Dial, question: Question, deadline: float) -> Rung:
    """Whether a port takes a connection, which is aborted at once: OPEN, or why not. Never a DICOM one (ValueError):
    an archive would wait for an A-ASSOCIATE-RQ meanwhile, and serve nobody. ScopeError and cancellation pass.
    """
    if question.kind.is_dicom:
        raise ValueError(f"a bare connection to {describe(question)}")
    try:
        async with dial(question, deadline) as line, line.connect() as stream:
            if not stream.proven:
                await stream.recv(1)
            return Rung.OPEN
    except DialFailed as error:
        return error.rung
    except VantageError:
        return Rung.INCONCLUSIVE
    except STREAM_FAILURES:  # before anything had proved that there is a connection
        return Rung.INCONCLUSIVE


def describe(question: Question) -> str:
    """``dicom at 203.0.113.20:104 of pacs-north, from internet as RMD4711 to ORTHANC``"""
    text = f"{question.kind.value} at {question.endpoint} of {question.pacs}, from {question.vantage}"
    if question.calling_ae_title is not None:
        text += f" as {question.calling_ae_title}"
    if question.kind.is_dicom and question.called_ae_title is not None:
        text += f" to {question.called_ae_title}"
    return text
