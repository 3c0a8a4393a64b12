"""JSON for PRTG's EXE/Script Advanced sensor: https://www.paessler.com/manuals/prtg/custom_sensors

Reversed: what can be reached is the alarm. Exposed, or a care path broken: Down, by an upper error limit of 0, which
PRTG takes over when it first sees a channel. Inconclusive, or a fault of TLS: Warning, in every scan.
"""

from __future__ import annotations

import json

from remediate.errors import RemediateError
from remediate.model.verdict import Outcome, Purpose
from remediate.report.formats.document import Document, PacsSeen, sentence

#: PRTG supports no more: https://www.paessler.com/manuals/prtg/exe_script_advanced_sensor
MOST_CHANNELS = 50
#: Characters of a sensor's message.
LONGEST_TEXT = 2000

Channel = dict[str, str | int]


def as_prtg(document: Document) -> str:
    of = document.summary
    channels = [
        _alarm("Exposed", of.exposed, "reachable from outside"),
        _alarm("Care path broken", of.care_path_broken, "a peer is not served"),
        _count("Inconclusive", of.inconclusive, warns=True),
        _count("Protected", of.protected),
        _count("Questions asked", of.asked),
        _count("Questions without an answer", of.unanswered),
        _count("Things not asked", of.not_asked),
        _count("Vantages that cannot be used", of.unusable_vantages),
        _count("TLS faults", of.tls_faults, warns=True),
    ]
    room = MOST_CHANNELS - len(channels)
    channels += [_alarm(f"{one.name}: reachable", _reachable(one), "doors reachable") for one in document.pacs[:room]]
    text = [sentence(of)]
    if len(document.pacs) > room:
        text.append(f"only the first {room} PACS have a channel of their own")
    text += [f"{one.name} {one.verdict}" for one in document.pacs if one.verdict != "protected"]
    return _printed({"result": channels, "text": _fitted("; ".join(text))})


def failed(error: RemediateError) -> str:
    """It could not look at all: the sensor is Down, and says why."""
    return _printed({"error": 1, "text": _fitted(" ".join(str(error).split()))})


def _reachable(pacs: PacsSeen) -> int:
    return len(
        {
            f.expectation.question
            for f in pacs.findings
            if f.outcome is Outcome.UNMET and f.expectation.purpose is Purpose.OUTSIDE_CLOSED
        }
    )


def _count(name: str, value: int, *, warns: bool = False) -> Channel:
    return {"channel": name, "value": value, "unit": "Count", "warning": int(warns and value > 0)}


def _alarm(name: str, value: int, message: str) -> Channel:
    return {**_count(name, value), "LimitMaxError": "0", "LimitErrorMsg": message, "LimitMode": 1}


def _fitted(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _printed(content: object) -> str:
    return json.dumps({"prtg": content}, indent=2) + "\n"
