"""Doubles for tests of your own playbooks and templates. docs/testing.md shows each in use."""

from remediate.testing.clock import Clock
from remediate.testing.dicom import Peer, Script, ScriptedPeer
from remediate.testing.journal import JournalThatStops, RecordThatStops, Stopped
from remediate.testing.router import SimulatedRouter, simulated_router, simulated_site
from remediate.testing.templates import render_and_prove

__all__ = [
    "Clock",
    "JournalThatStops",
    "Peer",
    "RecordThatStops",
    "Script",
    "ScriptedPeer",
    "SimulatedRouter",
    "Stopped",
    "render_and_prove",
    "simulated_router",
    "simulated_site",
]
