"""A verify of an archive that a clinic is working with costs the clinic no association."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remediate.lab.real import LabSite
from remediate.model.verdict import Outcome, Purpose, Verdict
from tests.e2e import clinic_load
from tests.e2e.conftest import verify

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

VERIFIES = 20
#: Associations of the clinic at once, and how many each of them makes at most.
AT_A_TIME, MOST = 3, 2000


@contextlib.contextmanager
def clinic(site: LabSite, most: int = MOST) -> Iterator[Clinic]:
    i = site.layout
    where = [str(i.pacs), str(i.dicom_port), i.ae_title, i.clinic_ae_title, str(AT_A_TIME), str(most)]
    program = [sys.executable, str(Path(clinic_load.__file__)), *where]
    pipe = subprocess.PIPE
    process = site.popen("clinic", program, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise AssertionError(process.communicate()[1])
        yield Clinic(process)
    finally:
        process.kill()
        process.communicate()


@dataclass
class Clinic:
    """At work. ``outcomes``: of its associations; tells it to stop."""

    process: subprocess.Popen[str]

    def outcomes(self) -> Counter[str]:
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return Counter(json.loads(out))


def test_a_verify_costs_the_clinic_no_association(fresh_site: LabSite) -> None:
    with clinic(fresh_site, most=20) as alone:
        alone.process.wait(timeout=60)
        assert alone.outcomes() == {"served": 20 * AT_A_TIME}
    with clinic(fresh_site) as disturbed:
        for _ in range(VERIFIES):
            (judgement,) = verify(fresh_site).judgements
            assert judgement.verdict is Verdict.EXPOSED, "nothing was left unknown"
            assert {f.outcome for f in judgement.findings if f.expectation.purpose is Purpose.CARE_PATH} == {
                Outcome.MET
            }
            assert disturbed.process.poll() is None
        outcomes = disturbed.outcomes()
    assert set(outcomes) == {"served"}, outcomes
    assert VERIFIES < outcomes["served"] < MOST * AT_A_TIME, "it was at work from the first verify to the last"


def test_one_that_is_lost_would_be_counted(fresh_site: LabSite) -> None:
    with clinic(fresh_site) as cut_off:
        fresh_site.stop_orthanc()
        outcomes = cut_off.outcomes()
    assert set(outcomes) > {"served"}
