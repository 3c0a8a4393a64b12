"""The real site: Orthanc behind an nftables firewall, seen from an internet and from a clinic, on this machine."""

from remediate.lab.real.hosts import LabError
from remediate.lab.real.layout import Layout
from remediate.lab.real.lifecycle import LabStatus, Part, down, missing, status, up
from remediate.lab.real.site import LabSite

__all__ = ["LabError", "LabSite", "LabStatus", "Layout", "Part", "down", "missing", "status", "up"]
