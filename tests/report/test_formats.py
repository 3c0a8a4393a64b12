"""What programs read: JSON, JUnit, PRTG, Nagios."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from remediate.errors import InventoryError, RemediateError
from remediate.model.verdict import Judgement
from remediate.report.formats import document, junit, nagios, prtg
from remediate.report.formats.document import Document
from tests.report import samples

DOCS = Path(__file__).parents[2] / "docs"
ROUNDS = {"round": samples.ROUND, "protected": samples.PROTECTED, "nothing": ()}


# -- JSON ---------------------------------------------------------------------------------------------


def test_the_schema_in_the_docs_is_that_of_the_program() -> None:
    spec = importlib.util.spec_from_file_location("verify_schema", DOCS / "verify_schema.py")
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.schema(), "run: python docs/verify_schema.py"


@pytest.mark.parametrize("found", ROUNDS.values(), ids=ROUNDS)
def test_what_is_printed_fits_the_schema_in_the_docs(found: tuple[Judgement, ...]) -> None:
    schema = json.loads((DOCS / "verify-schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.check_schema(schema)
    printed = json.loads(document.as_json(samples.made(found)))
    validator.validate(printed)
    assert Document.model_validate(printed) == samples.made(found)
    for key in printed:  # it does not let everything pass
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({name: value for name, value in printed.items() if name != key})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**printed, "schema": "remediate.verify/2"})
    validator.validate({**printed, "later": 1})


def models() -> Iterator[type[BaseModel]]:
    yield from (one for one in vars(document).values() if isinstance(one, type) and one.__module__ == document.__name__)


def test_every_field_is_documented_and_nothing_else_is() -> None:
    text = (DOCS / "output.md").read_text()
    documented = {
        (section.split("\n", 1)[0], name)
        for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]
        for row in re.findall(r"^\| (`.+?) \|", section.partition("\n## ")[0], re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    ours = {(m.__name__, f.alias or name) for m in models() for name, f in m.model_fields.items()}
    assert documented == ours


def test_the_denominators() -> None:
    of = samples.made(unusable={"clinic": "no route"}).summary
    assert (of.pacs, of.exposed, of.care_path_broken, of.inconclusive, of.protected) == (4, 1, 1, 1, 1)
    assert (of.asked, of.answered, of.unanswered) == (16, 15, 1), "two services from two vantages, four times"
    assert of.expectations == of.met + of.unmet + of.unknown == 4 * (2 + 3 + 1)
    assert (of.vantages, of.unusable_vantages, of.not_asked, of.tls_faults) == (2, 1, 12, 1)
    assert "16 questions from 2 vantages, 1 without an answer; 12 things not asked" in document.sentence(of)


# -- JUnit --------------------------------------------------------------------------------------------

#: What Jenkins, GitLab and others agree on: element → required attributes, others, children.
SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "timestamp", "hostname", "id", "package", "skipped"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": ({"name"}, {"time", "classname"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
}


def in_shape(element: ElementTree.Element) -> None:
    required, others, children = SHAPE[element.tag]
    assert required <= set(element.attrib) <= required | others
    for child in element:
        assert child.tag in children
        in_shape(child)
    for name in ("tests", "failures", "errors"):
        assert element.get(name, "0").isdigit()
    assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.get("timestamp", "2026-01-02T12:00:00"))


@pytest.mark.parametrize("found", ROUNDS.values(), ids=ROUNDS)
def test_junit_is_in_shape_and_its_sums_are_right(found: tuple[Judgement, ...]) -> None:
    made = samples.made(found)
    root = ElementTree.fromstring(junit.as_junit(made))  # noqa: S314 -- our own text
    in_shape(root)
    assert root.tag == "testsuites"
    sums = [int(root.attrib[name]) for name in ("tests", "failures", "errors")]
    assert sums == [made.summary.expectations, made.summary.unmet, made.summary.unknown]
    for suite in root:
        cases = suite.findall("testcase")
        assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))


def test_junit_says_what_failed_and_what_could_not_be_asked() -> None:
    root = ElementTree.fromstring(junit.as_junit(samples.made(unusable={"internet": "no route"})))  # noqa: S314 -- ours
    suites = {suite.get("name"): suite for suite in root}
    failure = suites["pacs-open"].find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "data returned: strangers are given patients' data"
    assert "certificate expired on 2025-12-23" in (failure.text or "")
    assert len(suites["pacs-broken"].findall("testcase/failure")) == 3, "one for each role that is not served"
    error = suites["pacs-unknown"].find("testcase/error")
    assert error is not None
    assert "the vantage was lost" in error.get("message", "")
    said = {(one.get("name"), one.get("value")) for one in suites["pacs-closed"].findall("properties/property")}
    assert {("verdict", "protected"), ("vantage internet", "no route")} <= said
    assert len([name for name, _ in said if name == "not asked"]) == 3


# -- PRTG ---------------------------------------------------------------------------------------------


def prtg_of(made: Document) -> dict[str, Any]:
    printed = json.loads(prtg.as_prtg(made))
    assert set(printed) == {"prtg"}
    assert set(printed["prtg"]) == {"result", "text"}
    return dict(printed["prtg"])


def state(sensor: dict[str, Any]) -> str:
    """As PRTG's manual says: Down above an upper error limit, Warning where a channel says so."""
    channels = sensor["result"]
    if any(c.get("LimitMode") == 1 and c["value"] > float(c["LimitMaxError"]) for c in channels):
        return "Down"
    return "Warning" if any(c["warning"] for c in channels) else "Up"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (samples.CLOSED, "Up"),
        (samples.OPEN, "Down"),
        (samples.BROKEN, "Down"),
        (samples.UNKNOWN, "Warning"),
        (
            {**samples.CLOSED, (samples.CARE, True): {**samples.SERVED[samples.CARE, True], "tls": samples.TLS}},
            "Warning",
        ),
    ],
    ids=["protected", "exposed", "broken", "unknown", "tls"],
)
def test_prtg_reachable_is_the_alarm(answers: samples.Answers, expected: str) -> None:
    sensor = prtg_of(samples.made((samples.judged("pacs-1", answers),)))
    assert state(sensor) == expected
    channels = {one["channel"]: one["value"] for one in sensor["result"]}
    assert channels["pacs-1: reachable"] == (2 if answers is samples.OPEN else 0)
    assert channels["Questions asked"] == 4
    assert all(isinstance(value, int) for value in channels.values())


def test_prtg_has_room_for_fifty_channels_and_says_what_has_none() -> None:
    found = tuple(samples.judged(f"pacs-{number}", samples.OPEN) for number in range(120))
    sensor = prtg_of(samples.made(found))
    names = [one["channel"] for one in sensor["result"]]
    assert len(names) == len(set(names)) == prtg.MOST_CHANNELS
    assert "only the first 41 PACS have a channel of their own" in sensor["text"]
    assert len(sensor["text"]) <= prtg.LONGEST_TEXT
    assert sensor["result"][0]["value"] == 120


def test_prtg_says_why_it_could_not_look() -> None:
    error = InventoryError("the inventory has one problem", ["hosts.yaml:1: empty"], where="inventory", next="mend it")
    printed = json.loads(prtg.failed(error))
    assert printed["prtg"]["error"] == 1
    assert "hosts.yaml:1: empty" in printed["prtg"]["text"]
    assert "\n" not in printed["prtg"]["text"]


# -- Nagios -------------------------------------------------------------------------------------------

STATUS_LINE = re.compile(r"REMEDIATE (OK|WARNING|CRITICAL|UNKNOWN) - ([^|\n]+)(?: \| ([^|\n]+))?")
#: 'label'=value[UOM];[warn];[crit];[min];[max]
DATUM = re.compile(r"[a-z_]{1,19}=\d+;\d*;\d*;\d*;\d*")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (samples.PROTECTED, nagios.OK),
        (samples.ROUND, nagios.CRITICAL),
        ((samples.judged("pacs-1", samples.BROKEN),), nagios.CRITICAL),
        ((samples.judged("pacs-1", samples.UNKNOWN),), nagios.UNKNOWN),
        ((samples.judged("pacs-1", samples.CLOSED, blind=["internet"]),), nagios.UNKNOWN),
        ((), nagios.UNKNOWN),
        (
            (
                samples.judged(
                    "pacs-1",
                    {
                        **samples.CLOSED,
                        (samples.CARE, True): {**samples.SERVED[samples.CARE, True], "tls": samples.TLS},
                    },
                ),
            ),
            nagios.WARNING,
        ),
    ],
    ids=["protected", "all", "broken", "unknown", "blind", "nothing", "tls"],
)
def test_nagios_status(found: tuple[Judgement, ...], status: int) -> None:
    made = samples.made(found)
    assert nagios.status(made) == status
    head, *rest = nagios.as_nagios(made).splitlines()
    line = STATUS_LINE.fullmatch(head)
    assert line is not None
    assert line[1] == ["OK", "WARNING", "CRITICAL", "UNKNOWN"][status]
    assert "without an answer" in line[2]
    assert all(DATUM.fullmatch(datum) for datum in line[3].split(" "))
    assert not any("|" in one for one in rest)


def test_nagios_names_what_to_do() -> None:
    text = nagios.as_nagios(samples.made())
    assert (
        "pacs-open from internet: data returned at dicom 203.0.113.20:11112: strangers are given patients' data; "
        in text
    )
    assert "pacs-closed from internet" not in text


NASTY = st.text(alphabet=st.characters(), max_size=60).map(lambda text: f"a|{text}\n{text}\x00\x1b[31m\u2028b")


@given(NASTY)
def test_no_text_breaks_out_of_its_format(text: str) -> None:
    """An SSH server's words may be in the reason why a vantage cannot be used."""
    one = samples.PROTECTED[0].model_copy(update={"not_asked": (text,)})
    made = samples.made((one,), unusable={"internet": text})
    lines = nagios.as_nagios(made).removesuffix("\n").split("\n")
    assert len(lines) == 1 + 1 + 1 + 1  # status, vantage, archive, not asked
    for head, *rest in (lines, nagios.failed(RemediateError(text, where="x")).removesuffix("\n").split("\n")):
        assert STATUS_LINE.fullmatch(head)
        assert not any("|" in line or not line.isprintable() for line in rest)
    in_shape(ElementTree.fromstring(junit.as_junit(made)))  # noqa: S314 -- our own text
    assert json.loads(prtg.failed(RemediateError(text)))["prtg"]["error"] == 1
