"""One care path per role: what the real archive truly does, by DCMTK's own tools, and what a verify says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from remediate.lab import studies
from remediate.lab.real import LabSite, files
from remediate.model.site import Role
from remediate.model.verdict import Judgement, Outcome, Purpose, Verdict
from tests.e2e.conftest import verify

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

#: Somebody has closed the archive to the outside, so that the care path decides.
CLOSED = """table inet closed {{
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname "{wan}" ip daddr {pacs} reject with tcp reset
    }}
}}
"""
NO_WAY_BACK = """table inet cut {{
    chain forward {{
        type filter hook forward priority -10; policy accept;
        ct state established,related accept
        ip saddr {pacs} ip daddr {clinic} reject with tcp reset
    }}
}}
"""
ORTHANC = f"{files.ETC}/orthanc.json"


class Care:
    """The clinic's side of the real site."""

    def __init__(self, site: LabSite) -> None:
        self.site = site
        self._reject(CLOSED)

    def _reject(self, table: str) -> None:
        i = self.site.layout
        rules = table.format(wan=i.wan_interface, pacs=i.pacs, clinic=i.clinic)
        self.site.must("fw", ["nft", "-f", "-"], input=rules)

    def allow(self, **peer: bool) -> None:
        """Only the clinic is let in, and may do everything but what ``peer`` says: Orthanc's Allow… settings."""
        i = self.site.layout
        entry = {"AET": i.clinic_ae_title, "Host": str(i.clinic), "Port": i.listen_port}
        nobody = {f"DicomAlwaysAllow{what}": False for what in ("Echo", "Store", "Find", "Get", "Move")}
        self._restart(nobody | {"DicomModalities": {"clinic": entry | peer}})

    def _restart(self, settings: dict[str, Any]) -> None:
        written = json.loads(files.orthanc_json(self.site.layout)) | settings
        self.site.must("pacs", ["tee", ORTHANC], input=json.dumps(written))
        self.site.stop_orthanc()
        self.site.start_orthanc()

    def cut_the_way_back(self) -> None:
        self._reject(NO_WAY_BACK)

    def restore(self) -> None:
        self._restart({})

    # -- what is true --------------------------------------------------------------------------------

    def _scu(self, program: str, *options: str) -> str:
        i = self.site.layout
        titles = ["-v", "-to", "5", "-aet", i.clinic_ae_title, "-aec", i.ae_title]
        argv = [program, *titles, *options[:-1], str(i.pacs), str(i.dicom_port), *options[-1:]]
        done = self.site.exec("clinic", [one for one in argv if one])
        return done.stdout + done.stderr

    def truly_does(self) -> set[str]:
        """Of echo, store, query and retrieve. The tools' exit status says nothing: their words do."""
        image = self.site.folder / "image.dcm"
        image.write_bytes(studies.files()[0])
        key = [
            "-S",
            "-k",
            "QueryRetrieveLevel=STUDY",
            "-k",
            f"StudyInstanceUID={studies.study_uid(studies.PATIENTS[0])}",
        ]
        for path in self.site.received.iterdir():
            path.unlink()
        moved = self._scu("movescu", "-aem", self.site.layout.clinic_ae_title, *key, "")
        assert moved, "it says at least that it asked"
        does = {
            "echo": "Received Echo Response (Success)" in self._scu("echoscu", ""),
            "query": studies.study_uid(studies.PATIENTS[0]) in self._answers(self._scu("findscu", *key, "")),
            "store": "Received Store Response (Success)" in self._scu("storescu", str(image)),
            "retrieve": len(list(self.site.received.iterdir())) == studies.IMAGES,
        }
        image.unlink()
        return {name for name, true in does.items() if true}

    @staticmethod
    def _answers(said: str) -> str:
        """What came back of a C-FIND, without what was asked for."""
        return said.partition("Find Response")[2]

    # -- what is said --------------------------------------------------------------------------------

    def verified(self) -> Judgement:
        (judgement,) = verify(self.site).judgements
        return judgement


def outcomes(judgement: Judgement) -> dict[Role, Outcome]:
    """Of the clinic's care path, by role."""
    return {
        finding.expectation.role: finding.outcome
        for finding in judgement.findings
        if finding.expectation.purpose is Purpose.CARE_PATH and finding.expectation.role is not None
    }


def not_proved(judgement: Judgement) -> set[str]:
    """The roles of which it says that they were never exercised."""
    return {
        text.split()[2] for text in judgement.not_asked if text.startswith("peer ct-1: ") and "never exercised" in text
    }


ALL_MET = dict.fromkeys((Role.STORE, Role.QUERY, Role.RETRIEVE, Role.WEB), Outcome.MET)


@pytest.fixture
def care(fresh_site: LabSite) -> Iterator[Care]:
    care = Care(fresh_site)
    yield care
    care.restore()


def test_everything_is_served(care: Care) -> None:
    care.allow()
    assert care.truly_does() == {"echo", "store", "query", "retrieve"}
    judgement = care.verified()
    assert (judgement.verdict, outcomes(judgement)) == (Verdict.PROTECTED, ALL_MET)


def test_an_archive_that_takes_no_image_still_negotiates_it_so_that_is_no_proof(care: Care) -> None:
    care.allow(AllowStore=False)
    assert care.truly_does() == {"echo", "query", "retrieve"}
    judgement = care.verified()
    assert outcomes(judgement) == ALL_MET, "the wire does not tell"
    assert not_proved(judgement) == {"store", "retrieve"}


def test_an_archive_without_an_echo_serves_its_clinic_all_the_same(care: Care) -> None:
    care.allow(AllowEcho=False)
    assert care.truly_does() == {"store", "query", "retrieve"}
    judgement = care.verified()
    assert (judgement.verdict, outcomes(judgement)) == (Verdict.PROTECTED, ALL_MET)


def test_a_query_that_is_denied_breaks_the_care_path(care: Care) -> None:
    care.allow(AllowFind=False)
    assert care.truly_does() == {"echo", "store", "retrieve"}
    judgement = care.verified()
    assert judgement.verdict is Verdict.CARE_PATH_BROKEN
    assert outcomes(judgement) == ALL_MET | {Role.QUERY: Outcome.UNMET}


def test_no_way_back_is_named_since_nobody_looked_there(care: Care) -> None:
    care.allow()
    care.cut_the_way_back()
    assert care.truly_does() == {"echo", "store", "query"}
    judgement = care.verified()
    assert outcomes(judgement) == ALL_MET, "what a peer asks for is answered"
    assert "peer ct-1: retrieve is negotiated, never exercised; the association back to the peer is simulated only" in (
        judgement.not_asked
    )


def test_a_clinic_that_is_not_on_the_list_is_not_served(care: Care) -> None:
    care.allow(AllowEcho=False, AllowStore=False, AllowFind=False, AllowGet=False, AllowMove=False)
    assert care.truly_does() == set()
    judgement = care.verified()
    assert judgement.verdict is Verdict.CARE_PATH_BROKEN
    assert outcomes(judgement)[Role.QUERY] is Outcome.UNMET
