"""Recognizes films with mask pictures by their folders and names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from muscle.data.decode import decode_mask
from muscle.data.files import IMAGE_SUFFIXES, folders, images
from muscle.data.headers import mask_levels, may_be_mask
from muscle.errors import UserError

Affix = tuple[str, str]  # what the name of a mask has before and behind that of its film

_AFFIXES: tuple[Affix, ...] = (("", ""), ("", "_mask"), ("mask_", ""), ("", "-mask"), ("", "_seg"))
_DARK, _MOSTLY = (
    32,
    0.98,
)  # how far JPEG blurs black and white, and how much of a mask is neither edge nor blur


def masks_apart(folder: Path) -> dict[str, Any] | None:
    """The fields of a source ``masks`` of films and masks in two folders; None where there are none."""
    inside = {child.name: images(child) for child in folders(folder)} if _called(folder) else {}
    called = [name for name in inside if may_be_mask(name)]
    for films in (name for name in inside if name not in called):
        for masks in called:
            affix = _affix(inside[masks], _names(inside[films]), _AFFIXES)
            if affix and (found := _fields(folder, films, masks, inside[masks], affix)):
                return found
    return None


def masks_beside(folder: Path) -> dict[str, Any] | None:
    """The same of masks that lie beside their films, told apart by a prefix or suffix."""
    every = images(folder)
    for affix in _AFFIXES[1:]:
        masks = [path for path in every if _bare(path, affix)]
        if _affix(masks, _names(every) - _names(masks), [affix]):
            return _fields(folder, ".", ".", masks, affix)
    return None


def films_beside(folder: Path) -> Path | None:
    """The folder beside a folder of masks that holds the films of all of these; None without one."""
    masks = images(folder)
    for other in folders(folder.parent):
        try:
            names = _names(p.name for p in other.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        except OSError:  # somebody else's
            continue
        if other != folder and _affix(masks, names, _AFFIXES):
            return other
    return None


def _called(folder: Path) -> bool:
    return any(may_be_mask(child.name) for child in folders(folder))


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").name


def _names(paths: Iterable[str]) -> set[str]:
    return {_stem(path) for path in paths}


def _bare(path: str, affix: Affix) -> str:
    """The name of the film whose mask has this name; empty where it has not this prefix and suffix."""
    stem, (prefix, suffix) = _stem(path), affix
    fits = stem.startswith(prefix) and stem.endswith(suffix)
    return stem.removeprefix(prefix).removesuffix(suffix) if fits else ""


def _affix(masks: Sequence[str], films: set[str], affixes: Sequence[Affix]) -> Affix | None:
    """The first with which every mask is named like one of the films; None without one, or without masks."""
    fitting = (affix for affix in affixes if masks and all(_bare(mask, affix) in films for mask in masks))
    return next(fitting, None)


def _fields(
    folder: Path, films: str, masks: str, paths: Sequence[str], affix: Affix
) -> dict[str, Any] | None:
    """Of the source, with the levels of some of the masks; None where one is a picture of another kind."""
    levels = _levels([folder / masks / path for path in paths[:: max(1, len(paths) // 10)]])
    if levels is None:
        return None
    fields = {"kind": "masks", "images": films, "masks": masks, "prefix": affix[0], "suffix": affix[1]}
    usual = levels <= {1, 255}
    return fields if usual else fields | {"classes": {f"level_{n}": (n,) for n in sorted(levels)}}


def _levels(masks: Sequence[Path]) -> set[int] | None:
    """The grey levels, but 0, of some masks; None where one is a picture of another kind.

    Of a JPEG, which blurs them, 255 alone where nearly all is black or white.
    """
    found: set[int] = set()
    every = tuple((level, level) for level in range(1, 256))
    for mask in masks:
        try:
            pixels = decode_mask(mask, every)
        except UserError:
            return None
        clear = np.mean((pixels < _DARK) | (pixels > 255 - _DARK)) > _MOSTLY
        if mask.suffix.lower() in (".jpg", ".jpeg") and clear:
            pixels = np.where(pixels > 127, 255, 0)
        if not mask_levels(pixels):
            return None
        found |= set(np.unique(pixels).tolist())
    return found - {0}
