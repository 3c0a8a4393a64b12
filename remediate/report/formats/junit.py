"""JUnit XML, as CI servers read it: a suite for each PACS, a test case for each expectation.

A failure is what is not as it must be; an error is what could not be asked.
"""

from __future__ import annotations

import re
from datetime import UTC
from xml.etree import ElementTree

from remediate.model.observation import Question
from remediate.model.verdict import Expectation, Finding, Outcome
from remediate.report import meaning
from remediate.report.formats.document import Document, PacsSeen

#: What XML 1.0 cannot hold at all, escaped or not (its production 2, Char).
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(document: Document) -> str:
    errors = {one.name: one.error for one in document.vantages if one.error}
    suites = [_suite(document, one, errors) for one in document.pacs]
    root = _element("testsuites", name="remediate verify", **_totals(suites))
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(document: Document, pacs: PacsSeen, errors: dict[str, str]) -> ElementTree.Element:
    cases = [_case(pacs.name, finding) for finding in pacs.findings]
    elapsed: dict[Question, float] = {
        f.expectation.question: f.observation.elapsed for f in pacs.findings if f.observation is not None
    }
    suite = _element(
        "testsuite",
        name=pacs.name,
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        time=f"{sum(elapsed.values()):.3f}",
        timestamp=f"{document.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    said = [("verdict", pacs.verdict.value), ("scope", document.scope), ("version", document.tool.version)]
    said += [("not asked", line) for line in pacs.not_asked]
    used = {view.vantage for view in pacs.views}
    said += [(f"vantage {name}", error) for name, error in errors.items() if name in used]
    properties.extend(_element("property", name=name, value=value) for name, value in said)
    suite.extend(cases)
    return suite


def _case(pacs: str, finding: Finding) -> ElementTree.Element:
    seen = finding.observation
    case = _element("testcase", classname=f"{pacs}.{finding.expectation.question.vantage}", name=_name(finding))
    if seen is not None:
        case.set("time", f"{seen.elapsed:.3f}")
    if finding.outcome is not Outcome.MET:
        said = meaning.of(finding)
        unmet = finding.outcome is Outcome.UNMET
        rung = f"{seen.rung}: " if unmet and seen is not None else ""
        kind = f"not {finding.expectation.purpose}" if unmet else "could not be asked"
        result = _element("failure" if unmet else "error", message=f"{rung}{said.means}", type=kind)
        lines = [finding.why, *(meaning.besides(seen) if seen is not None else []), f"do: {said.do}"]
        result.text = _clean("\n".join(line for line in lines if line))
        case.append(result)
    return case


def _name(finding: Finding) -> str:
    expectation: Expectation = finding.expectation
    who = " ".join(word for word in (expectation.peer, expectation.role) if word)
    asked = expectation.question
    return f"{expectation.purpose}: {f'{who}, ' if who else ''}{asked.kind} {asked.endpoint}"


def _totals(suites: list[ElementTree.Element]) -> dict[str, str]:
    counts = {name: str(sum(int(one.get(name, "0")) for one in suites)) for name in ("tests", "failures", "errors")}
    return counts | {"time": f"{sum(float(one.get('time', '0')) for one in suites):.3f}"}


def _element(tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.Element(tag, {key: _clean(value) for key, value in attributes.items()})


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
