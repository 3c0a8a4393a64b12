"""HTTP and HTTPS: the front page, DICOMweb, and what is known of viewers and consoles. GET only; no text is kept.

In clear first; a server that then behaves like one of TLS is asked again over TLS.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from remediate.model.observation import Counts, Question, Rung, Surface
from remediate.model.stream import Line
from remediate.probes import dicomweb
from remediate.probes.found import EVERYTHING, Found
from remediate.probes.http_exchange import Answer, Client, NoAnswer, where_to

FIRST = Rung.NOT_HTTP
#: Redirects of the front page that are followed.
REDIRECTS = 3
#: nginx answers a request in clear to its TLS port with 400; 497 is its own name for that.
MAY_BE_TLS = (400, 497)
HTML = ("text/html", "application/xhtml+xml")
#: Bytes of a title that are looked at.
TITLE_CAP = 200


@dataclass(frozen=True)
class Sign:
    """What shows a surface: words in the title, or anywhere in the page; lower case, one of them is enough.

    Looked for on the front page, and at ``path`` if there is one. ``source``: where we have that from.
    """

    surface: Surface
    path: str | None
    source: str
    title: tuple[bytes, ...] = ()
    text: tuple[bytes, ...] = ()

    def shown(self, answer: Answer) -> bool:
        if answer.status != 200 or answer.media_type not in HTML:
            return False
        page = answer.body.lower()
        title = page[page.find(b">", page.find(b"<title")) + 1 :][:TITLE_CAP].partition(b"<")[0]
        if b"<title" not in page:
            title = b""
        return any(word in title for word in self.title) or any(word in page for word in self.text)


SIGNS = (
    Sign(
        Surface.DIRECTORY_LISTING,
        None,
        "nginx 1.22 and Apache's mod_autoindex: Index of; Python's http.server and Tomcat: Directory listing for; "
        "IIS: [To Parent Directory]",
        title=(b"index of /", b"directory listing for"),
        text=(b"[to parent directory]",),
    ),
    Sign(Surface.CONSOLE, "/app/explorer.html", "Orthanc 1.10.1, its own page", title=(b"orthanc explorer",)),
    Sign(Surface.CONSOLE, "/ui/app/", "github.com/orthanc-server/orthanc-explorer-2", title=(b"orthanc explorer",)),
    Sign(
        Surface.CONSOLE,
        "/dcm4chee-arc/ui2/",
        "github.com/dcm4che/dcm4chee-arc-light, dcm4chee-arc-ui2/src/index.html",
        title=(b"dcm4chee",),
    ),
    Sign(
        Surface.VIEWER,
        "/ohif/",
        "orthanc.uclouvain.be/book/plugins/ohif.html; github.com/OHIF/Viewers, html-templates/index.html",
        title=(b"ohif viewer",),
    ),
    Sign(
        Surface.VIEWER,
        "/stone-webviewer/index.html",
        "orthanc.uclouvain.be/book/plugins/stone-webviewer.html",
        title=(b"stone web viewer",),
        text=(b"stonewebviewer.js",),
    ),
    Sign(
        Surface.VIEWER,
        "/weasis-pacs-connector/",
        "github.com/nroduit/weasis-pacs-connector, README",
        title=(b"weasis",),
    ),
    Sign(Surface.VIEWER, "/oviyam2/", "Oviyam 2, home.jsp and login.jsp: its title", title=(b"oviyam",)),
    Sign(
        Surface.VIEWER,
        None,
        "what such pages call themselves",
        title=(b"dicom viewer", b"dicom web", b"pacs", b"medical image viewer"),
    ),
)
#: orthanc.uclouvain.be/api: GET /statistics, and its fields. It needs no identifier and brings none.
STATISTICS = "/statistics"
COUNTED = ("CountStudies", "CountInstances", "CountPatients")
REDIRECT = (301, 302, 303, 307, 308)
BEHIND_TLS = (Rung.TLS_ONLY, Rung.TLS_CERTIFICATE_WANTED)


async def ask(line: Line, question: Question, found: Found) -> None:
    async with Client(line, question) as client:
        visit = _Visit(client, question, found)
        try:
            front = await visit.front()
            if question.up_to in EVERYTHING:
                await visit.beyond(front)
        except NoAnswer as error:
            found.note(f"connected, {error}" if found.status is None else f"not everything was asked: {error}")
        finally:
            found.tls = client.handshake
            if client.served_in_clear:
                found.surfaces.add(Surface.PLAIN_HTTP)


class _Visit:
    def __init__(self, client: Client, question: Question, found: Found) -> None:
        self._client = client
        self._question = question
        self._found = found

    # -- the front page ----------------------------------------------------------------------------------

    async def front(self) -> Answer:
        """The front page, and how it is served. Raises NoAnswer; what was reached by then is in ``found``."""
        answer, target = await self._first(), "/"
        for _ in range(REDIRECTS):
            if answer.status not in REDIRECT:
                break
            place = where_to(answer, self._question, target, tls=self._client.tls)
            if place is None:
                self._found.detail = "a redirect to elsewhere, not followed"
                break
            target, secure = place
            answer = await (self._secure(target) if secure and not self._client.tls else self._page(target))
        return answer

    async def _first(self) -> Answer:
        try:
            answer = await self._page("/")
        except NoAnswer as error:
            if not error.like_tls:
                raise
            try:
                return await self._secure("/")
            except NoAnswer:
                if self._found.rung is FIRST:  # nor is it TLS: what came in clear says more
                    raise error from None
                raise
        if answer.status not in MAY_BE_TLS:
            return answer
        try:
            return await self._secure("/")
        except NoAnswer:
            if self._found.rung in BEHIND_TLS:
                raise
            await self._client.switch(tls=False)
            return answer

    async def _page(self, target: str) -> Answer:
        answer = await self._client.get(target)
        self._found.status, self._found.rung = answer.status, _rung(answer.status)
        return answer

    async def _secure(self, target: str) -> Answer:
        await self._client.switch(tls=True)
        try:
            answer = await self._page(target)
        except NoAnswer:
            tls = self._client.handshake
            if self._client.speaks_tls:
                # The alert of TLS 1.3 may be lost in the reset that follows it; that one was asked for is not.
                wanted = self._client.certificate_wanted or (tls is not None and tls.client_certificate)
                self._found.rung = Rung.TLS_CERTIFICATE_WANTED if wanted else Rung.TLS_ONLY
                self._found.status = None
            raise
        tls = self._client.handshake
        if answer.status == 400 and tls is not None and tls.client_certificate:  # nginx says it in HTTP
            self._found.rung = Rung.TLS_CERTIFICATE_WANTED
            raise NoAnswer("TLS asked for a client certificate, and HTTP refused the request")
        return answer

    # -- what else is there ------------------------------------------------------------------------------

    async def beyond(self, front: Answer) -> None:
        """Raises NoAnswer."""
        for sign in SIGNS:
            if sign.shown(front):
                self._found.surfaces.add(sign.surface)
        await dicomweb.ask(self._client, self._question, self._found)
        await self._statistics()
        for sign in SIGNS:
            if sign.path is None or sign.surface in self._found.surfaces:
                continue
            if sign.shown(await self._client.get(sign.path)):
                self._open(sign.surface)

    async def _statistics(self) -> None:
        counts = _counts(await self._client.get(STATISTICS, "application/json"))
        if counts is not None:
            self._open(Surface.STATISTICS)
            if self._question.count:
                self._found.counts = counts

    def _open(self, surface: Surface) -> None:
        self._found.surfaces.add(surface)
        if self._found.rung in (Rung.HTTP_ERROR, Rung.HTTP_GUARDED):
            self._found.rung = Rung.HTTP_ANSWERED


def _rung(status: int) -> Rung:
    if status in (401, 403):
        return Rung.HTTP_GUARDED
    # 400: the server refused the request itself, a plain GET; nobody is served that way.
    return Rung.HTTP_ERROR if status >= 500 or status in MAY_BE_TLS else Rung.HTTP_ANSWERED


def _counts(answer: Answer) -> Counts | None:
    """None where it is no such answer."""
    if answer.status != 200 or not answer.whole:
        return None
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    numbers = [said.get(name) for name in COUNTED]
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        return None
    return Counts(**dict(zip(("studies", "instances", "patients"), numbers, strict=True)))
