"""A few made-up studies for the lab's archive."""

from __future__ import annotations

import io
import uuid
from typing import Final

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

PATIENTS: Final = ("SYNTHETIC^ONE", "SYNTHETIC^TWO", "SYNTHETIC^THREE")
IMAGES: Final = 2
_SIDE: Final = 32


def _uid(name: str) -> UID:
    """The same UID every time (PS3.5 B.2: a UUID under 2.25)."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, 'remediate lab ' + name).int}")


def study_uid(patient: str) -> str:
    return _uid(f"study {patient}")


def files() -> list[bytes]:
    """One CT study of ``IMAGES`` small images per patient, as DICOM files (PS3.10)."""
    return [
        _image(number, patient, instance)
        for number, patient in enumerate(PATIENTS, 1)
        for instance in range(1, IMAGES + 1)
    ]


def _image(number: int, patient: str, instance: int) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(f"image {patient} {instance}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = study_uid(patient)
    image.SeriesInstanceUID = _uid(f"series {patient}")
    image.PatientName = patient
    image.PatientID = f"SYN-{number:04}"
    image.PatientBirthDate = ""
    image.PatientSex = "O"
    image.StudyDate = "20200101"
    image.StudyTime = "120000"
    image.StudyID = str(number)
    image.AccessionNumber = f"SYN{number}"
    image.ReferringPhysicianName = ""
    image.StudyDescription = "SYNTHETIC STUDY"
    image.Modality = "CT"
    image.SeriesNumber = 1
    image.InstanceNumber = instance
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = image.Columns = _SIDE
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = 0
    image.PixelData = b"".join(
        ((row * column * instance) % 4096).to_bytes(2, "little") for row in range(_SIDE) for column in range(_SIDE)
    )
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
