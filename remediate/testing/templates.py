"""A template, rendered and proved without a device."""

from __future__ import annotations

from pathlib import Path

from remediate import controls, platforms
from remediate.change import guarding
from remediate.model.change import Candidate
from remediate.model.device import Device
from remediate.model.site import Pacs
from remediate.render import Renderer


def render_and_prove(
    pacs: Pacs, device: Device, template_folder: Path | None = None, *, running: str = "", control: str = "acl"
) -> Candidate:
    """What `remediate plan` would make for one PACS on one device that runs ``running``.

    ``template_folder``: as for --templates; None: the templates that come along. Raises TemplateError for a template
    that does not render, Unprovable for text that the platform's parser does not know, PlanError where the text does
    something else than the control means, or its inverse does not restore what was there.
    """
    spec = platforms.platform(device.platform)
    intent = controls.control(control).intent(pacs, device, spec.capabilities.addressing)
    sections = guarding.sections(device, [intent], running)
    return guarding.candidate(device, sections, running, Renderer(template_folder))
