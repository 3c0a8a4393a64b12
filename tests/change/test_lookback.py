"""Records of the past that are handed in: what is taken from them, what is refused, and what is never shown."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.change import lookback
from remediate.errors import UsageError
from remediate.model.peers import Covered, Use
from tests import factories

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PATIENT = "DOE^JANE"
FLOW = {"src": "10.20.0.77", "dst": "10.10.0.5", "dport": 104, "first": "2026-01-02T12:00:00Z", "last": 1772000000}


def read(tmp_path: Path, text: str, name: str = "kept.txt") -> tuple[Covered, tuple[Use, ...]]:
    path = tmp_path / name
    path.write_text(text)
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    return lookback.read(path, factories.pacs(), NOW)


def test_flow_records_as_json_lines(tmp_path: Path) -> None:
    other = FLOW | {"dst": "10.10.0.6"}
    seen, uses = read(tmp_path, "\n".join(map(json.dumps, (FLOW, FLOW | {"count": 4, "proto": "6"}, other))))
    assert (seen.format, seen.used, seen.others, seen.bad_lines) == ("flow records", 2, 1, 0)
    (use,) = uses
    assert (str(use.address), use.port, use.times) == ("10.20.0.77", 104, 5)
    assert use.first == datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert use.last == datetime.fromtimestamp(1772000000, UTC)
    assert (seen.first, seen.last) == (use.first, use.last)


def test_flow_records_as_csv(tmp_path: Path) -> None:
    text = (
        "proto,SRC,dst,dport,first,last,count\n"
        'tcp,10.20.0.77,203.0.113.20,11112,2026-01-02T12:00:00+01:00,"2026-01-02T13:00:00+01:00",\n'
        "udp,10.20.0.78,10.10.0.5,104,2026-01-02T12:00:00Z,2026-01-02T12:00:00Z,9\n"
        "tcp,10.20.0.79,10.10.0.5,9999,2026-01-02T12:00:00Z,2026-01-02T12:00:00Z,9\n"
    )
    seen, uses = read(tmp_path, text)
    assert (seen.used, seen.others, seen.bad_lines) == (1, 2, 0)
    assert (str(uses[0].address), uses[0].port) == ("10.20.0.77", 104)  # its own port, seen outside as 11112
    assert uses[0].first == datetime(2026, 1, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"src": "ct-1.clinic.example"}, "src is no IP address"),
        ({"dport": "104a"}, "dport is no number from 1 to 65535"),
        ({"dport": True}, "dport is no number"),
        ({"first": "2026-01-02T12:00:00"}, "first does not say its time zone"),
        ({"last": "yesterday"}, "last is no time"),
        ({"last": "2025-01-02T12:00:00Z"}, "last is before first"),
        ({"last": "2027-01-02T12:00:00Z"}, "in the future"),
        ({"patient": PATIENT}, "1 unknown field; known: src, dst, dport"),
        ({"count": 0}, "count is no number from 1"),
    ],
)
def test_a_bad_record_is_counted_and_named_but_its_text_is_not(
    tmp_path: Path, wrong: dict[str, object], why: str
) -> None:
    seen, uses = read(tmp_path, json.dumps(FLOW) + "\n" + json.dumps(FLOW | wrong) + f"\n{{{PATIENT}\n")
    assert (seen.used, seen.bad_lines, len(uses)) == (1, 2, 1)
    assert seen.bad[0].startswith("line 2: ") and why in seen.bad[0]
    assert seen.bad[1] == "line 3: not JSON"
    assert PATIENT not in seen.model_dump_json()


def test_only_the_first_bad_lines_are_named(tmp_path: Path) -> None:
    seen, _ = read(tmp_path, json.dumps(FLOW) + "\n{}" * 100)
    assert (seen.bad_lines, len(seen.bad)) == (100, 5)


ORTHANC = f"""\
W1230 23:59:58.000001 main.cpp:2017] Orthanc version: 1.10.1
I1231 10:00:00.722172 CommandDispatcher.cpp:333] (dicom) Association Received from AET CLINICMOD on IP 10.20.0.10
I1231 10:00:00.722220 main.cpp:317] Incoming connection from AET CLINICMOD on IP 10.20.0.10, calling AET ORTHANC
I0102 10:00:00.000000 CommandDispatcher.cpp:333] (dicom) Association Received from AET OTHER MOD on IP 10.20.0.77
I0103 10:00:00.000000 CommandDispatcher.cpp:333] Association Received from AET  on IP 10.20.0.78
I0104 10:00:00.000000 DICOM-1 dicom:/CommandDispatcher.cpp:333] Association Received from AET CLINICMOD on IP 10.20.0.10
I0104 10:00:01.000000 CommandDispatcher.cpp:333] (dicom) Association Received from AET RMD_PROBE on IP 10.20.0.9
I0104 10:00:02.000000 ServerContext.cpp:1] New instance stored, PatientName {PATIENT}
  a second line about {PATIENT}
I0104 10:00:03.000000 CommandDispatcher.cpp:333] (dicom) Association Received from AET {PATIENT}\\X on IP 10.20.0.9
"""


def test_the_log_of_orthanc(tmp_path: Path) -> None:
    """Lines as 1.10.1 writes them (seen), and later ones with the thread's name."""
    seen, uses = read(tmp_path, ORTHANC)
    assert seen.format == "Orthanc's log"
    assert {(str(u.address), u.ae_title, u.port, u.times) for u in uses} == {
        ("10.20.0.10", "CLINICMOD", 104, 2),
        ("10.20.0.77", "OTHER MOD", 104, 1),
        ("10.20.0.78", None, 104, 1),
    }
    # the year is not in the log: the file ended in March 2026
    assert seen.first == datetime(2025, 12, 30, 23, 59, 58, tzinfo=UTC)
    assert seen.last == datetime(2026, 1, 4, 10, 0, 2, tzinfo=UTC)
    assert seen.bad_lines == 1
    assert PATIENT not in seen.model_dump_json() + "".join(use.model_dump_json() for use in uses)


EVENTS = """\
[1772000000.713212]\t    [NEW] tcp      6 120 SYN_SENT src=10.20.0.77 dst=10.10.0.5 sport=47042 dport=104 [UNREPLIED] src=10.10.0.5 dst=10.20.0.77 sport=104 dport=47042
[1772000000.713290]\t [UPDATE] tcp      6 60 SYN_RECV src=10.20.0.77 dst=10.10.0.5 sport=47042 dport=104 src=10.10.0.5 dst=10.20.0.77 sport=104 dport=47042
[1772000000.713298]\t [UPDATE] tcp      6 432000 ESTABLISHED src=10.20.0.77 dst=10.10.0.5 sport=47042 dport=104 src=10.10.0.5 dst=10.20.0.77 sport=104 dport=47042 [ASSURED]
[1772000060.806388]\t [UPDATE] tcp      6 120 TIME_WAIT src=10.20.0.77 dst=10.10.0.5 sport=47042 dport=104 src=10.10.0.5 dst=10.20.0.77 sport=104 dport=47042 [ASSURED]
[1772000180.806388]\t[DESTROY] tcp      6 src=10.20.0.77 dst=10.10.0.5 sport=47042 dport=104 src=10.10.0.5 dst=10.20.0.77 sport=104 dport=47042 [ASSURED]
[1772000190.713212]\t    [NEW] tcp      6 120 SYN_SENT src=203.0.113.66 dst=10.10.0.5 sport=4 dport=104 [UNREPLIED] src=10.10.0.5 dst=203.0.113.66 sport=104 dport=4
[1772000191.000000]\t    [NEW] udp      17 30 src=10.20.0.77 dst=10.10.0.5 sport=4 dport=104 [UNREPLIED] src=10.10.0.5 dst=10.20.0.77 sport=104 dport=4
    [NEW] tcp      6 120 SYN_SENT src=10.20.0.79 dst=10.10.0.5 sport=4 dport=104 src=10.10.0.5 dst=10.20.0.79 sport=104 dport=4
"""  # noqa: E501 -- lines as conntrack prints them


def test_events_of_conntrack(tmp_path: Path) -> None:
    """One connection is one use, however many events it has; a SYN that nobody answered is none."""
    seen, (use,) = read(tmp_path, EVENTS)
    assert seen.format == "conntrack events"
    assert (str(use.address), use.port, use.times) == ("10.20.0.77", 104, 1)
    assert use.last - use.first == timedelta(seconds=180)
    assert (seen.used, seen.others, seen.bad_lines) == (4, 3, 1)
    assert seen.bad == ("line 8: no event with a time stamp: conntrack -E -o timestamp",)


@pytest.mark.parametrize("text", ["", "anything\nelse\n", f"name,{PATIENT}\n"])
def test_what_is_none_of_these_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="it is not known what this is") as error:
        read(tmp_path, text)
    assert "conntrack -E -o timestamp" in error.value.next and PATIENT not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        lookback.read(tmp_path / "none", factories.pacs(), NOW)


HEADS = [json.dumps(FLOW), "src,dst,dport,first,last", ORTHANC.splitlines()[0], EVENTS.splitlines()[0]]


@given(
    st.sampled_from(HEADS),
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from(ORTHANC.splitlines() + EVENTS.splitlines()),
            st.dictionaries(st.sampled_from(["src", "dst", "dport", "first", "last", "count"]), st.text()).map(
                json.dumps
            ),
            st.tuples(*[st.text(alphabet="0123456789.,-:TZ+e\"'", max_size=12)] * 5).map(",".join),
        ),
        max_size=8,
    ),
)
def test_no_file_breaks_it(tmp_path_factory: pytest.TempPathFactory, head: str, lines: list[str]) -> None:
    text = "\n".join([head, *lines]).encode("utf-8", "replace").decode()
    seen, uses = read(tmp_path_factory.getbasetemp(), text)
    written = [line for line in io.StringIO(text, newline=None) if line.strip()]
    assert seen.bad_lines + seen.used + seen.others == len(written) - head.startswith("src,")
    assert all(use.first <= use.last for use in uses)
