"""``web_auth``: the archive, or a front of it, serves its web side only to users that are registered there."""

from __future__ import annotations

from remediate.controls import fronts
from remediate.controls.tls_only import ways_back
from remediate.model.device import Device
from remediate.model.observation import UNREACHED, Rung
from remediate.model.rule import WebLoginIntent
from remediate.model.site import Addressing, Pacs, Service, ServiceKind


class WebAuth:
    name = "web_auth"
    covers = frozenset({ServiceKind.DICOMWEB, ServiceKind.WEB})
    #: A front of it may ask for a certificate before anybody sees the login.
    outside: frozenset[Rung] = UNREACHED | {Rung.TLS_CERTIFICATE_WANTED, Rung.HTTP_GUARDED, Rung.FTP_GUARDED}
    everywhere = True
    before_archive = False
    leaves_open = (
        "web_auth asks for a user and a password: whoever has or guesses one gets in, the port stays reachable, over "
        "HTTP passwords can be read on the way, and no password was tried: that those who need one have it is not "
        "known; DICOM is as before"
    )

    def services(self, pacs: Pacs) -> tuple[Service, ...]:
        """FTP only by a front: no archive asks for a password there."""
        files = tuple(s for s in pacs.services if s.kind is ServiceKind.FTP and s.front is not None)
        return (*fronts.answering(pacs, self.covers), *files)

    def devices(self, pacs: Pacs) -> tuple[str, ...]:
        return fronts.carriers(pacs, self.services(pacs))

    def intent(self, pacs: Pacs, device: Device, addressing: Addressing) -> WebLoginIntent:  # noqa: ARG002 -- no filter
        services = self.services(pacs)
        ports = fronts.of(pacs, services, device.name)
        config = device.config
        assert config is not None  # neither an archive nor a front is a device without it
        front = device.name in pacs.fronts
        return WebLoginIntent(
            pacs=pacs.name,
            control=self.name,
            device=device.name,
            ports=ports,
            kinds=tuple(sorted({service.kind for service in services if service.port in ports})),
            users=config.users,
            certificate=config.tls.certificate if front and config.tls else None,
            key=config.tls.key if front and config.tls else None,
            # A front opens no association: what the archive opens does not pass it.
            ways_back=() if front else ways_back(pacs),
        )


CONTROL = WebAuth()
