"""What an implementation class UID and version name suggest (PS3.7 D.3.3.2): our own table, and our own words.

The bytes of the peer are compared and dropped. A version is not kept: it does not show what a distribution has fixed.
"""

from __future__ import annotations

from remediate.model.observation import Stack

#: The UID, its version name's start (b"" where it has none of its own), what it is.
#: Public tables contradict each other for ClearCanvas, Horos, OsiriX, Sectra and Agfa: they are not in here.
_KNOWN: tuple[tuple[bytes, bytes, Stack], ...] = (
    (
        b"1.2.276.0.7230010.3.0",
        b"OFFIS_DCMTK",
        Stack(
            name="DCMTK",
            source="tries with DCMTK's own programs and with Orthanc, which are the same on the wire",
        ),
    ),
    (
        b"1.2.40.0.13.1.3",
        b"dcm4che",
        Stack(name="dcm4che", source="public logs"),
    ),
    (b"1.2.826.0.1.3680043.9.3811", b"PYNETDICOM", Stack(name="pynetdicom", source="its source code")),
    (
        b"1.2.826.0.1.3680043.2.135.1066.101",
        b"",
        Stack(name="Conquest", product="likely Conquest DICOM server", source="a public log"),
    ),
    (b"1.3.6.1.4.1.30071.8", b"fo-dicom", Stack(name="fo-dicom", source="its source code")),
    (b"1.2.826.0.1.3680043.2.1143.107.104.103.115", b"GDCM", Stack(name="GDCM", source="its source code")),
)


def stack(implementation: bytes, version: bytes) -> Stack | None:
    """The UID decides; the version name only where the UID is in no row. None: nothing is known."""
    # PS3.5 9.4: a UID may be padded with a NUL.
    uid = implementation.rstrip(b"\0 ")
    for known, _, meant in _KNOWN:
        if uid == known or uid.startswith(known + b"."):
            return meant
    for _, name, meant in _KNOWN:
        if name and version.startswith(name):
            return meant
    return None
