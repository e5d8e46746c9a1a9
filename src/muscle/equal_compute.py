"""Rows at equal total compute: what would a cheaper start have reached, had it been trained for as long?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.grid import prepare_all
from muscle.machine import Machine
from muscle.pipeline import Pipeline
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe


def equal_compute(
    recipes: Sequence[Recipe], file: DataFile, store: Path, machine: Machine, progress: Progress = SILENT
) -> list[Recipe]:
    """Each recipe of less pre-training once more, with longer fine-tuning: as many images in all as the longest one.

    Pre-training is done once for all tasks, so each task's fine-tuning takes its share of the images that are
    lacking (``finetune.more_images``). Compute is counted in images that training takes, as ``images_seen`` of the
    results does, within each backbone.

    Args:
        store: where the films are prepared, if they are not yet: images can be counted only then.

    Raises:
        UsageError: all recipes pre-train on as many images, so there is nothing to make equal.
        UserError: what the preparation raises.
    """
    corpora = prepare_all(recipes, file, store, machine, progress)
    pipelines = [
        Pipeline(r, corpora[r.size, r.decode, r.fit], machine, store)
        for r in recipes
        if r.finetune is not None
    ]
    pretrained = [sum(job.images_seen for job in pipeline.stage_jobs()) for pipeline in pipelines]
    found = []
    for pipeline, images in zip(pipelines, pretrained, strict=True):
        recipe = pipeline.recipe
        rivals = [
            n
            for other, n in zip(pipelines, pretrained, strict=True)
            if other.recipe.backbone == recipe.backbone
        ]
        more = round((max(rivals) - images) / len(pipeline.tested()))
        if more and recipe.finetune is not None:
            found.append(
                recipe.with_(
                    name=f"{recipe.name}-same-compute",
                    title=f"{recipe.title or recipe.name}, same compute",
                    finetune=recipe.finetune.with_(more_images=more),
                )
            )
    if not found:
        raise UsageError(
            "equal-compute: all recipes here pre-train on as many images; give --recipes scratch,md-moco,muscle"
        )
    return found
