"""``web_auth``: the archive itself serves its web side only to users that are registered there."""

from __future__ import annotations

from remediate.controls.tls_only import ways_back
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import WebLoginIntent
from remediate.model.site import Addressing, Device, Pacs, ServiceKind


class WebAuth:
    name = "web_auth"
    covers = frozenset({ServiceKind.DICOMWEB, ServiceKind.WEB})
    #: A front of it may ask for a certificate before anybody sees the login.
    outside: frozenset[Rung] = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED, Rung.HTTP_GUARDED}
    everywhere = True
    leaves_open = (
        "web_auth asks for a user and a password: whoever has or guesses one gets in, the port stays reachable, over "
        "HTTP passwords can be read on the way, and no password was tried: that those who need one have it is not "
        "known; DICOM is as before"
    )

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return (pacs.name,)

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> WebLoginIntent:  # noqa: ARG002 -- no filter
        return WebLoginIntent(pacs=pacs.name, control=self.name, device=device.name, ways_back=ways_back(pacs))


CONTROL = WebAuth()
