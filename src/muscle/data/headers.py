"""One file as its header describes it: what it is, and why it is no radiograph where it is none."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from muscle.data.decode import FORMATS, image_size
from muscle.data.dicom import is_dicom, read_header
from muscle.data.grey import MAX_PIXELS, reason
from muscle.data.raw_img import BITS, is_raw_img
from muscle.errors import UserError

RADIOGRAPHS = ("CR", "DX", "RG", "IO", "PX", "MG")  # DICOM modalities of projection radiography
MIN_SIDE = 64  # pixels; below, a picture is an icon or a thumbnail
_MASK_LEVELS = 8  # a mask has as many grey levels at most; the darkest film has more
_COLOURED, _SHARE = 24, 0.2  # a tint and a coloured marker are no photograph; a fifth of coloured pixels is
_TAGS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "Rows",
         "Columns", "BitsStored", "PhotometricInterpretation", "NumberOfFrames", "ViewPosition",
         "BodyPartExamined")  # fmt: skip
_EACH = "to take each for a film, set frames: each and take it out of exclude"
_FILMS = "1.2.840.10008.5.1.4.1.1.1."  # SOP classes of CR and, with a further number, of DX, MG, IO
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
_UID = re.compile(r"(?<![\d.])[0-2](\.\d+){5,}")  # as a DICOM unique identifier is written
_PARTS = {"chest": "chest|thorax|cxr|lung", "hand": "hand|finger|bone.?age", "wrist": "wrist", "elbow": "elbow",
          "forearm": "forearm|radius|ulna", "humerus": "humerus", "shoulder": "shoulder", "hip": "hip|pelvis|ddh",
          "knee": "knee", "foot": "foot|ankle", "spine": "spine|lumbar|cervical", "skull": "skull|cephalo\\w*",
          "teeth": "dent(al|ex)|teeth|panoram\\w*", "breast": "breast|mammo\\w*"}  # fmt: skip
_PART = {part: re.compile(f"(^|[^a-z])({words})s?([^a-z]|$)") for part, words in _PARTS.items()}
_MASK = re.compile(
    r"(^|[^a-z])(masks?|\w+mask|ground.?truths?|seg|segm|segmentations?|annotations?)([^a-z]|$)"
)
_PLAIN = (
    ((".csv", ".tsv"), "csv", ""),
    ((".parquet",), "parquet", ""),
    ((".json",), "json", ""),
    ((".yaml", ".yml"), "yaml", ""),
    ((".xlsx", ".xls", ".ods"), "spreadsheet", ""),
    ((".xml",), "xml", ""),
    ((".txt", ".md", ".rst", ".log"), "text", ""),
    ((".pdf",), "pdf", "PDF: pages, no film; save the films in it as files of their own"),
    (
        (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"),
        "archive",
        "archive: unpack it and scan again",
    ),
    ((".mp4", ".avi", ".mov", ".mkv", ".wmv", ".mpg", ".mpeg", ".webm"), "video", "video: no film"),
    (
        (".doc", ".docx", ".ppt", ".pptx", ".odt", ".odp", ".rtf"),
        "office file",
        "office file: save the films in it as files",
    ),
    (
        (".nii", ".mha", ".mhd", ".nrrd", ".h5", ".hdf5", ".npy", ".npz"),
        "array or volume",
        "array or volume: not read as film",
    ),
    (
        (".gif", ".webp", ".heic", ".svg"),
        "other picture",
        "a kind of picture that is not read; save it as PNG",
    ),
)
_MAGIC = (
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a zip archive or office file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"GIF8", "a GIF"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a git-lfs pointer without its content"),
)


@dataclass(frozen=True, slots=True)
class Film:
    """One picture as its header describes it.

    ``problem`` says why it is no radiograph, or is empty. ``patient`` is a hash. ``names``: what the path gives away
    ("Patient ID", "UID"). ``colour``: colour channels, which a look at the pixels may find to be grey.
    """

    path: str
    type: str
    bits: int = 0
    width: int = 0
    height: int = 0
    modality: str = ""
    body_part: str = ""
    photometric: str = ""
    view: str = ""
    patient: str = ""
    study: str = ""
    instance: str = ""
    problem: str = ""
    names: tuple[str, ...] = ()
    colour: bool = False


def plain(path: str) -> tuple[str, str]:
    """Of a file that is no picture by its name: what it is, and why it is set aside (or empty)."""
    suffix = PurePosixPath(path).suffix.lower()
    for suffixes, kind, why in _PLAIN:
        if suffix in suffixes:
            return kind, why
    return f"other ({suffix or 'no suffix'})", ""


def look(root: Path, path: str, several: bool = False) -> Film:
    """One picture by its header. Never raises. ``several``: frames are films, so many of them are no problem."""
    file = root / path
    names = ("UID",) if _UID.search(path) else ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if is_dicom(file):
                return _dicom(file, path, names, several)
            if is_raw_img(file):
                width, height = image_size(file)
                return Film(path, "raw img", BITS, width, height, names=names)
            return _picture(file, path, names)
    except UserError as error:
        said = str(error).removeprefix(f"{file}: ")
    except Exception as error:  # whatever a damaged header makes a library trip over
        said = reason(error).replace(str(file), "the file")
    return Film(path, "unreadable", problem=f"unreadable: {_content(file) or said}", names=names)


def _content(file: Path) -> str:
    """What a file is by its first bytes, where it is something else than its name says."""
    try:
        with file.open("rb") as opened:
            head = opened.read(32).lstrip()
    except OSError:
        return ""
    return next((f"{what} by its content" for magic, what in _MAGIC if head.startswith(magic)), "")


def _dicom(file: Path, path: str, names: tuple[str, ...], several: bool) -> Film:
    ds = read_header(file, _TAGS)
    meta: Any = getattr(ds, "file_meta", {})
    sop = str(ds.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
    modality, identity = str(ds.get("Modality") or ""), str(ds.get("PatientID") or "").strip()
    told = [what for what, value in (("Patient ID", identity), ("UID", str(ds.get("SOPInstanceUID") or "")),
                                     ("UID", str(ds.get("StudyInstanceUID") or "")))
            if len(value) > 3 and value in path]  # fmt: skip
    shared: dict[str, Any] = {
        "modality": modality,
        "names": tuple(dict.fromkeys((*names, *told))),
        "patient": hashlib.sha256(identity.encode()).hexdigest()[:16] if identity else "",
        "study": str(ds.get("StudyInstanceUID") or ""),
        "instance": str(ds.get("SOPInstanceUID") or ""),
    }
    if "Rows" not in ds or "PhotometricInterpretation" not in ds:
        return Film(path, "dicom", problem=f"{_object(sop, modality)}, no image", **shared)
    width, height, frames = int(ds.Columns), int(ds.Rows), int(ds.get("NumberOfFrames") or 1)
    photometric = str(ds.PhotometricInterpretation)
    problem = _size_problem(width, height)
    film = modality in RADIOGRAPHS or not modality and (f"{sop}.").startswith(_FILMS)
    if not film:
        what = "secondary capture, " if sop.startswith(_SECONDARY) else ""
        problem = f"{what}modality {modality or 'not stated'}; radiographs are {', '.join(RADIOGRAPHS)}"
    elif sop.startswith(_SECONDARY) and not photometric.startswith("MONOCHROME"):
        problem = f"secondary capture in colour ({photometric}): a picture of a screen, no film"
    elif frames > 1 and not several:
        problem = f"{frames} frames; {_EACH}"
    return Film(path, "dicom", int(ds.BitsStored), width, height, body_part=str(ds.get("BodyPartExamined") or ""),
                photometric=photometric, view=str(ds.get("ViewPosition") or ""), problem=problem, **shared)  # fmt: skip


def _object(sop: str, modality: str) -> str:
    """What kind of DICOM object this is, in words."""
    from pydicom.uid import UID

    name = UID(sop).name if sop else ""
    short = {"Presentation State": " (PR)", " SR": " (SR)", "Radiation Dose SR": " (SR)"}
    known = name.removesuffix(" Storage") if name and name != sop else ""
    mark = next((mark for part, mark in short.items() if part in known), "")
    return f"DICOM {known}{mark}" if known else f"DICOM object ({modality or 'no header'})"


def _picture(file: Path, path: str, names: tuple[str, ...]) -> Film:
    with Image.open(file, formats=FORMATS) as image:
        kind, (width, height) = (image.format or "").lower(), image.size
        bits = 16 if image.mode.startswith("I;16") else {"1": 1, "I": 32, "F": 32}.get(image.mode, 8)
        problem = _size_problem(width, height)
        if getattr(image, "n_frames", 1) > 1:
            problem = f"{image.n_frames} frames; {_EACH}"  # type: ignore[attr-defined]
        elif image.mode == "1":
            problem = "mask or drawing: black and white only"
        colour = not problem and image.mode not in ("L", "LA", "I", "F") and bits == 8
        return Film(path, kind, bits, width, height, photometric=image.mode, problem=problem, names=names,
                    colour=colour)  # fmt: skip


def _size_problem(width: int, height: int) -> str:
    if width * height > MAX_PIXELS:
        return f"{width} x {height}: more than {MAX_PIXELS:,} pixels"
    return f"tiny: {width} x {height}, an icon or thumbnail" if min(width, height) < MIN_SIDE else ""


def colour_problem(file: Path) -> str:
    """Why a picture with colour channels is no film, from a thumbnail; empty when it is grey, or tinted."""
    with Image.open(file, formats=FORMATS) as image:
        image.draft("RGB", (128, 128))  # JPEG unpacks at a fraction of its size
        small: np.ndarray[Any, Any] = np.asarray(image.convert("RGB").resize((64, 64))).astype(int)
    coloured = float((small.max(-1) - small.min(-1) > _COLOURED).mean())
    return f"photograph or colour picture: {coloured:.0%} of it is not grey" if coloured > _SHARE else ""


def part_by_name(path: str) -> str:
    """The body part that folders and name speak of; empty where none, or several."""
    found = [part for part, words in _PART.items() if words.search(path.lower())]
    return found[0] if len(found) == 1 else ""


def may_be_mask(path: str) -> bool:
    """Whether a folder or the name says mask, ground truth, segmentation or the like."""
    return _MASK.search(path.lower()) is not None


def mask_problem(file: Path) -> str:
    """Why a picture is a mask and no film, from all its levels; empty when it is none."""
    with Image.open(file, formats=FORMATS) as image:
        return mask_levels(np.asarray(image))


def mask_levels(pixels: NDArray[Any]) -> str:
    """The same of pixels of any shape and type."""
    levels = len(np.unique(pixels))
    return f"mask: {levels} levels" if levels <= _MASK_LEVELS else ""
