"""DICOMweb: a QIDO-RS query for a study that cannot exist (PS3.18 10.6), and whether WADO-RS is there (10.4).

WADO-RS: the 404 for a study that cannot exist tells nothing, a server without WADO-RS gives it too. But a server that
has it looks at the media type first: asked for one that does not exist, it answers 406 (PS3.18 8.7) or 400 (Orthanc),
and 404 for a path beside it. Only that pair is taken as evidence. Where the query is not open it is not asked.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from urllib.parse import quote

from pydicom.uid import generate_uid

from remediate.model.observation import Question, Rung, Surface
from remediate.model.site import ServiceKind
from remediate.probes.found import Found
from remediate.probes.http_exchange import Answer, Client

#: PS3.18 8.7.3: what we ask for, and what comes from servers of before 2017.
JSON = ("application/dicom+json", "application/json")
#: A media type that nobody has: whatever is asked for with it cannot come.
NO_MEDIA_TYPE = "application/x-none"
#: Bytes of a query's answer that are looked at: enough to tell a list of nothing from a list of something.
LOOKED_AT = 64
#: PS3.18 F.2.1: a list whose first object has a tag as its first name.
DATA_SETS = re.compile(rb'\s*\[\s*\{\s*"[0-9A-Fa-f]{8}"\s*:')
REFUSED = (401, 403)


@dataclass(frozen=True)
class Root:
    """Where a product has its service. ``{ae_title}``: of the archive. ``source``: where we have that from."""

    path: str
    source: str


ROOTS = (
    Root("/dicom-web", "orthanc.uclouvain.be/book/plugins/dicomweb.html: Root"),
    Root("/dcm4chee-arc/aets/{ae_title}/rs", "docs.ohif.org/configuration/configurationFiles: qidoRoot of dcm4chee"),
    Root("/dicomweb", "github.com/RadicalImaging/static-dicomweb: its default server"),
)


async def ask(client: Client, question: Question, found: Found) -> None:
    """Raises NoAnswer."""
    control: int | None = None
    for root in ROOTS:
        if "{" in root.path and question.called_ae_title is None:
            continue
        path = root.path.format(ae_title=quote(question.called_ae_title or "", safe=""))
        target = f"{path}/studies?StudyInstanceUID={_nobody()}&limit=1"
        answer = await client.get(target, JSON[0], LOOKED_AT)
        surface = _read(answer)
        if surface is None:
            continue
        certain = answer.media_type == JSON[0] or _lists_data_sets(answer)
        if not certain and not (question.kind is ServiceKind.DICOMWEB and answer.status in REFUSED):
            # Some servers say the same to every path; that says nothing of a query.
            control = control or (await client.get(f"/{secrets.token_hex(8)}", JSON[0], LOOKED_AT)).status
            if control == answer.status:
                continue
        found.surfaces.add(surface)
        if surface is Surface.QIDO_RS:
            if _lists_data_sets(answer):
                found.rung = Rung.DATA_RETURNED
            else:
                found.rung = Rung.HTTP_ANSWERED
                await _wado(client, path, found)
            return


def _nobody() -> str:
    """PS3.5 B.2: a study instance UID that no study has."""
    return str(generate_uid(prefix=None))


def _read(answer: Answer) -> Surface | None:
    if answer.status in REFUSED:
        return Surface.QIDO_RS_GUARDED
    listed = answer.status == 200 and answer.media_type in JSON and answer.whole
    if (listed and b"".join(answer.body.split()) == b"[]") or answer.status == 204 or _lists_data_sets(answer):
        return Surface.QIDO_RS
    return None


def _lists_data_sets(answer: Answer) -> bool:
    """Whether the server ignored the key."""
    return answer.status == 200 and answer.media_type in JSON and DATA_SETS.match(answer.body) is not None


async def _wado(client: Client, root: str, found: Found) -> None:
    study = _nobody()
    there = await client.get(f"{root}/studies/{study}", NO_MEDIA_TYPE, LOOKED_AT)
    if there.status not in (400, 406):
        return
    beside = await client.get(f"{root}/{secrets.token_hex(8)}/{study}", NO_MEDIA_TYPE, LOOKED_AT)
    if beside.status == 404:
        found.surfaces.add(Surface.WADO_RS)
