"""What a public set's folder looks like: the fewest files and folders that tell it from all others.

One entry a layout: its kind, and patterns below the folder that must all be there. The more special stand first.
A kind that has no adapter is passed over.
"""

from __future__ import annotations

from pathlib import Path

from muscle.data.source import Source
from muscle.parts import known

SIGNATURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nih_chestxray14", ("Data_Entry_2017*.csv",)),
    ("chest_xray_masks", ("Lung Segmentation/CXR_png", "Lung Segmentation/masks")),
    ("chest_xray_masks", ("CXR_png", "masks/MCUCXR_*")),
    ("chest_xray_masks", ("CXR_png", "masks/CHNCXR_*")),
    ("montgomery", ("CXR_png/MCUCXR_*",)),
    ("shenzhen", ("CXR_png/CHNCXR_*",)),
    ("indiana", ("ecgen-radiology",)),
    ("indiana", ("indiana_reports.csv",)),
    ("indiana", ("NLMCXR_png",)),
    ("rsna_bone_age", ("boneage-training-dataset.csv",)),
    ("mura", ("train_image_paths.csv",)),
    ("mura", ("train/XR_*/patient*",)),
    ("tbx11k", ("imgs/tb", "annotations")),
    ("tbx11k", ("imgs/tb", "lists")),
    ("rsna_pneumonia", ("stage_2_train_labels.csv",)),
    ("vindr_cxr", ("train.csv", "train/*.dicom")),
    ("vindr_cxr", ("annotations/annotations_train.csv",)),
    ("chexpert", ("train.csv", "train/patient*")),
    ("siim_acr", ("train-rle.csv",)),
    ("siim_acr", ("*/train-rle.csv",)),
    ("covid_radiography", ("COVID/images", "Normal/images")),
    ("covid_images", ("metadata.csv", "images")),
    ("qata_cov19", ("Train Set/Images", "Train Set/Ground-truths")),
    ("jsrt", ("JPCLN*.IMG",)),
    ("jsrt", ("*/JPCLN*.IMG",)),
    ("fracatlas", ("images/Fractured", "images/Non_fractured")),
    ("grazpedwri", ("folder_structure/yolov5",)),
    ("dentex", ("training_data/quadrant*",)),
    ("cephalometric", ("400_junior", "400_senior")),
)


def published(folder: Path) -> list[str]:
    """The kinds whose layout a folder has, by its signature alone, most special first."""
    there = known(Source)
    kinds = [
        kind
        for kind, patterns in SIGNATURES
        if kind in there and all(next(folder.glob(pattern), None) is not None for pattern in patterns)
    ]
    return list(dict.fromkeys(kinds))
