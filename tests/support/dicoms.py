"""DICOM files made by hand, as sound or as broken as a test wants them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def dataset(values: np.ndarray, bits: int, photometric: str = "MONOCHROME2") -> Dataset:
    """The given stored values, uncompressed."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, meta.MediaStorageSOPInstanceUID
    ds.Modality = "DX"
    ds.Rows, ds.Columns = values.shape[:2]
    ds.SamplesPerPixel = 1 if values.ndim == 2 else 3
    if values.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = values.dtype.itemsize * 8
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.PixelData = values.tobytes()
    return ds


def dicom(path: Path, values: np.ndarray, bits: int, photometric: str = "MONOCHROME2", **fields: Any) -> Path:
    """A DICOM file of the given stored values; ``fields`` are added by keyword, those of None are taken out."""
    return written(path, dataset(values, bits, photometric), **fields)


def written(path: Path, ds: Dataset, **fields: Any) -> Path:
    """The data set as a file, with fields changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that the standard does not allow
        for name, value in fields.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)
        ds.save_as(path, enforce_file_format=True)
    return path


def wrapped(ds: Dataset, stream: bytes, syntax: str) -> Dataset:
    """The data set with a compressed picture for its pixels."""
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    return ds


def table(first: int, entries: list[int], bits: int, signed: bool = False) -> Dataset:
    """An item of a LUT sequence."""
    item = Dataset()
    item.add_new(0x00283002, "SS" if signed else "US", [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, "US", entries)
    return item
