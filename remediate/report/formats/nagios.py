"""A Nagios plugin's output and exit status: https://www.monitoring-plugins.org/doc/guidelines.html

One status line with performance data, then lines of long output. A ``|`` or a line break comes from this module alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from remediate.errors import RemediateError
from remediate.model.verdict import Outcome
from remediate.report.formats.document import Document, sentence

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
_WORDS = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}


def status(document: Document) -> int:
    of = document.summary
    if of.exposed or of.care_path_broken:
        return CRITICAL
    if of.inconclusive or not of.pacs:
        return UNKNOWN
    return WARNING if of.tls_faults else OK


def as_nagios(document: Document) -> str:
    head = _line(status(document), sentence(document.summary))
    return f"{head} | {_performance(document)}\n" + "".join(f"{_clean(line)}\n" for line in _long(document))


def failed(error: RemediateError) -> str:
    """It could not look at all, which is UNKNOWN; the exit status is UNKNOWN too."""
    head, *rest = str(error).splitlines()
    return "".join(f"{line}\n" for line in (_line(UNKNOWN, head), *map(_clean, rest)))


def _line(state: int, text: str) -> str:
    return f"REMEDIATE {_WORDS[state]} - {_clean(text)}"


def _performance(document: Document) -> str:
    """label=value;warn;crit;min;max: a threshold of 0 alerts above 0."""
    of = document.summary
    return " ".join(
        (
            f"exposed={of.exposed};;0;0;{of.pacs}",
            f"care_path_broken={of.care_path_broken};;0;0;{of.pacs}",
            f"inconclusive={of.inconclusive};;;0;{of.pacs}",
            f"protected={of.protected};;;0;{of.pacs}",
            f"asked={of.asked};;;0;",
            f"unanswered={of.unanswered};;;0;{of.asked}",
            f"not_asked={of.not_asked};;;0;",
            f"unusable_vantages={of.unusable_vantages};;;0;{of.vantages}",
            f"tls_faults={of.tls_faults};0;;0;",
        )
    )


def _long(document: Document) -> Iterator[str]:
    for vantage in document.vantages:
        if vantage.error:
            yield f"vantage {vantage.name}: {vantage.error}"
    for pacs in document.pacs:
        yield f"{pacs.name}: {pacs.verdict}"
        for view in pacs.views:
            if view.outcome is not Outcome.MET:
                seen = f"{view.rung} at " if view.rung else ""
                yield f"{pacs.name} from {view.vantage}: {seen}{view.service} {view.endpoint}: {view.means}; {view.do}"
        for line in pacs.not_asked:
            yield f"{pacs.name}: not asked: {line}"


def _clean(text: str) -> str:
    """On one line, and without what ends the text of a plugin."""
    return " ".join("".join(char if char.isprintable() else " " for char in text.replace("|", "/")).split())
