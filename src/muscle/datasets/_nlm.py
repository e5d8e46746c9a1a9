"""What the adapters of the National Library of Medicine's two tuberculosis sets share: names, persons, labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from muscle.datasets._example import save
from muscle.datasets._trees import one_each, pictures, place, stem
from muscle.datasets.v7_lungs import LUNGS
from muscle.phantom import Phantom
from muscle.types import Annotation, Labels, MaskFiles, Sample, Target

TUBERCULOSIS = Target(name="tuberculosis", kind="labels", classes=("normal", "tuberculosis"))
_FILM = re.compile(r"(chncxr|mcucxr)_(\d{4})_([01])")
_COLLECTION = {"chncxr": "shenzhen", "mcucxr": "montgomery"}
_TRUTH = {"0": Labels((1.0, 0.0)), "1": Labels((0.0, 1.0))}


def shares(prefix: str) -> dict[str, str]:
    """The other sets with the films of a prefix."""
    return {
        "chest_xray_masks": f"its films {prefix}_* are these, under the same names",
        "tbx11k": "its folder extra/ holds these films",
    }


def records(
    name: str, films: Mapping[str, str], lungs: Mapping[str, MaskFiles]
) -> tuple[list[Sample], list[Target]]:
    """Films by stem with their class, and with their lungs where they are known."""
    found = []
    for key, path in films.items():
        truth: dict[str, Annotation] = {"tuberculosis": tuberculosis(key)}
        if key in lungs:
            truth["lungs"] = lungs[key]
        found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=patient(key), body_part="chest",
                            annotations=truth))  # fmt: skip
    return found, [TUBERCULOSIS, LUNGS]


def films(files: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Stem -> path of the films in folders ``CXR_png`` or ``images``; ``prefix``: CHNCXR, MCUCXR or both.

    Masks of the same name lie in other folders, and copies of whole trees deeper.
    """
    there = (p for p in pictures(files) if place(p) in ("cxr_png", "images"))
    found = one_each(p for p in there if _FILM.fullmatch(stem(p)))
    return {key: path for key, path in found.items() if key.startswith(prefix.lower())}


def patient(key: str) -> str:
    """The global key of the person on the film of a stem; equal in every adapter that holds the film."""
    collection, number, _ = key.split("_")
    return f"{_COLLECTION[collection]}:{collection.upper()}_{number}"


def tuberculosis(key: str) -> Labels:
    """The class that ends the stem: 0 normal, 1 tuberculosis."""
    return _TRUTH[key[-1]]


def masks(files: Iterable[str], folder: str, ending: str = "") -> dict[str, str]:
    """Stem of a film -> its mask, named film + ``ending``, in a folder so named."""
    there = [p for p in pictures(files) if place(p) == folder.lower()]
    found = one_each(p for p in there if stem(p).endswith(ending))
    return {key.removesuffix(ending): path for key, path in found.items()}


def white(*paths: str) -> MaskFiles:
    """Masks whose white is lung, merged."""
    return MaskFiles(tuple((path, ((255, 1),)) for path in paths))


def save_film(path: Path, phantom: Phantom, look: str) -> None:
    """Writes a film as the publishers do: grey, with equal channels, or with a palette in any order."""
    image = phantom.image
    if look == "rgb":
        save(path, np.stack([image] * 3, axis=-1))
    elif look == "palette":
        picture = Image.fromarray(255 - image)
        picture.putpalette([255 - i // 3 for i in range(768)])
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    else:
        save(path, image)
