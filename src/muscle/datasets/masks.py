"""Films of one's own with mask pictures."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

from pydantic import field_validator, model_validator

from muscle.data.files import part_of
from muscle.datasets._example import drawn, save
from muscle.datasets._patients import NamedPatients
from muscle.datasets._stems import by_stem
from muscle.errors import UserError
from muscle.types import IGNORE, MaskFiles, Sample, Target


class Masks(NamedPatients):
    """A folder of films and a folder of masks; a mask has the place and name of its film, but for prefix and suffix.

    Attributes:
        images, masks: the two folders, relative to the root; one and the same where masks lie beside their films.
        prefix, suffix: the mask of ``a/x.jpg`` is ``a/<prefix>x<suffix>.png`` (any picture suffix).
        classes: class -> grey levels in the mask; levels not listed are background, but a mask of other levels
            alone is set aside.
        ignore: grey levels that count neither for the loss nor for a score.
        target: the name of the segmentation; by default the source's.

    A film without a mask is unknown.
    """

    kind: ClassVar[str] = "masks"

    images: str = "images"
    masks: str = "masks"
    prefix: str = ""
    suffix: str = ""
    classes: dict[str, tuple[int, ...]] = {"foreground": (1, 255)}
    ignore: tuple[int, ...] = ()
    target: str = ""

    @field_validator("classes")
    @classmethod
    def _levels(cls, classes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        levels = [level for mine in classes.values() for level in mine]
        if not all(classes.values()) or not levels or len(set(levels)) < len(levels):
            raise ValueError("each class needs grey levels of its own, such as {lung: [255]}")
        if len(classes) >= IGNORE:
            raise ValueError(f"{len(classes)} classes; allowed: at most {IGNORE - 1}")
        return classes

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.images == self.masks and not self.prefix + self.suffix:
            raise ValueError(
                f"images and masks are both {self.images}: give the prefix or suffix that masks have"
            )
        return self

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its mask."""
        films = by_stem(name, self.folder, self.images, "images")
        if self.masks == self.images:
            named = films.keys() & set(map(self._mask_of, films))
            masks = {key: films.pop(key) for key in sorted(named)}
        else:
            masks = by_stem(name, self.folder, self.masks, "masks")
        target = Target(name=self.target or name, kind="mask", classes=tuple(self.classes))
        levels = tuple((level, i + 1) for i, mine in enumerate(self.classes.values()) for level in mine)
        levels += tuple((level, IGNORE) for level in self.ignore)
        found = []
        for key, path in films.items():
            mask = masks.pop(self._mask_of(key), None)
            truth = {target.name: MaskFiles(((mask, levels),))} if mask else {}
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=self.patient(name, path),
                                split=part_of(path), annotations=truth))  # fmt: skip
        if masks and films:
            key, path = next(iter(masks.items()))
            bare = key.name.removeprefix(self.prefix).removesuffix(self.suffix)
            raise UserError(
                f"source {name}: mask {path} has no image {self.images}/.../{bare}.* ({len(masks)} such); add the "
                "image, delete the mask, or correct prefix and suffix"
            )
        if films and not any(sample.annotations for sample in found):
            raise UserError(
                f"source {name}: no mask in {self.folder / self.masks}; correct masks, prefix or suffix"
            )
        return found, [target]

    def _mask_of(self, film: PurePosixPath) -> PurePosixPath:
        """Where the mask of a film lies, both below their folders and without their suffixes."""
        return film.with_name(f"{self.prefix}{film.name}{self.suffix}")

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Chests in mixed suffixes with masks of 0 and 255; the last film has no mask."""
        for i in range(n):
            phantom = drawn("chest", seed + i)
            save(root / "images" / f"film{i:03d}{('.png', '.jpg', '.PNG')[i % 3]}", phantom.image)
            if i < n - 1:
                save(root / "masks" / f"film{i:03d}.png", phantom.masks["lungs"])
