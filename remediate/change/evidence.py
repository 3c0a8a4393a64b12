"""What a push may take away for good, kept before it: who came to the archives, as the devices tell."""

from __future__ import annotations

from collections.abc import Mapping

from nornir.core import Nornir

from remediate import runner, tasks
from remediate.errors import RemediateError
from remediate.model.change import Wave
from remediate.model.site import Addressing, IPAddress, Pacs, Site
from remediate.model.traces import Traces


def collect(wave: Wave, site: Site, nornir: Nornir, steady: Nornir) -> dict[str, Traces]:
    """By device that the wave changes. What cannot be read is said in it, and stops nothing.

    ``steady``: closes the sessions that did not get through, so that the next step logs in afresh.
    """
    archives = [site.pacs[name] for name in wave.pacs]
    addresses = {address for pacs in archives for address in _addresses(pacs)}
    ports = {service.port for pacs in archives for service in pacs.services}
    asked = {candidate.device: (addresses, ports) for candidate in wave.candidates}
    if not asked:
        return {}
    collected: dict[str, Traces] = {}
    for name, result in runner.run(nornir, tasks.evidence, hosts=tuple(asked), wanted=asked).items():
        if result.exception is None:
            collected[name] = result[0].result
        elif isinstance(result.exception, RemediateError):
            collected[name] = Traces(lacks=(f"could not be asked: {result.exception.what}",))
            runner.run(steady, tasks.close_session, hosts=(name,))
        else:
            raise result.exception
    return collected


def notes(collected: Mapping[str, Traces]) -> list[str]:
    return [f"{name}: not kept as evidence: {why}" for name, traces in collected.items() for why in traces.lacks]


def _addresses(pacs: Pacs) -> set[IPAddress]:
    """Before any translation and behind it."""
    return {door.address for how in Addressing for door in pacs.doors(how)}
