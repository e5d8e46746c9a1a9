"""Synthetic films as DICOM for ``write_example``: the same bytes for the same pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save_dicom(
    path: Path,
    pixels: NDArray[Any],
    uid: str,
    bits: int = 8,
    photometric: str = "MONOCHROME2",
    jpeg: bool = False,
    patient: str = "",
) -> None:
    """Writes [H, W] pixels, dense bright, as a chest radiograph.

    Args:
        uid: the SOP Instance UID.
        bits: Bits Stored; more than 8 are stored in 16.
        photometric: for MONOCHROME1 the values are stored inverted.
        jpeg: compressed with JPEG Baseline, 8 bits only.
        patient: the Patient ID.
    """
    from pydicom.dataset import Dataset, FileMetaDataset  # 0.2 s that reading need not pay
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit

    stored = pixels if photometric == "MONOCHROME2" else 2**bits - 1 - pixels
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = UID(uid)
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.PatientID, ds.PatientName = patient, patient
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, photometric, 0
    ds.BitsAllocated = 8 if bits == 8 else 16
    ds.BitsStored, ds.HighBit = bits, bits - 1
    if jpeg:
        buffer = io.BytesIO()
        Image.fromarray(stored.astype(np.uint8)).save(buffer, "JPEG", quality=90)
        ds.PixelData = encapsulate([buffer.getvalue()])
        ds["PixelData"].is_undefined_length = True
        ds.LossyImageCompression = "01"
    else:
        ds.PixelData = stored.astype(np.uint8 if bits == 8 else "<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
