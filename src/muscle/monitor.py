"""What is looked at at the boundaries of turns: never trains, never moves a random state that training sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from muscle.backbones import BackboneModule
from muscle.data.corpus import Corpus
from muscle.data.held_out import TaskRows
from muscle.data.normalization import Normalization
from muscle.features import contrast, dense_probe, effective_rank, evaluating, extract, knn_score
from muscle.judging import constant
from muscle.progress import SILENT
from muscle.scoring import main_score, predict, recomputed_statistics, subset
from muscle.tasks import TaskModule

MOST_TRAIN, MOST_VALID, MOST_DENSE = 1000, 256, 64  # images that a look may cost


@dataclass
class Monitor:
    """Scores of one stage's backbone and tasks, on fixed subsets of training and validation parts."""

    corpus: Corpus
    normalization: Normalization
    device: torch.device
    say: Callable[[str], None] = SILENT.message
    warned: set[str] = field(default_factory=set)

    def backbone(self, backbone: BackboneModule) -> dict[str, float]:
        """Frozen features on the validation part of every annotated source that is not external.

        Returns:
            ``knn:TARGET`` for labels, ``probe:TARGET`` (dense ridge probe) for masks and boxes, both AUC; and
            ``effective_rank``, ``feature_sd`` of pooled features on the pool.
        """
        found: dict[str, float] = {}
        for name, rows in self.corpus.internal_tasks.items():
            value = self.frozen(backbone, rows)
            if value is not None:
                found[f"{'knn' if rows.target.kind == 'labels' else 'probe'}:{name}"] = value
        sample = extract(
            backbone, subset(self.corpus.pool, MOST_VALID, "pool"), self.normalization, self.device
        )
        found["effective_rank"] = effective_rank(sample)
        found["feature_sd"] = float(sample.std(0).mean())
        return found

    def frozen(self, backbone: BackboneModule, rows: TaskRows) -> float | None:
        """AUC on validation films of the frozen features alone: k-NN of labels, ridge probe of masks and boxes."""
        target = rows.target
        few = MOST_TRAIN if target.kind == "labels" else MOST_DENSE
        train, valid = subset(rows.train, few, target.name), subset(rows.valid, few, target.name)
        if len(train) < 2 or len(valid) < 2:
            return None
        if target.kind in ("mask", "boxes"):
            return dense_probe(backbone, train, valid, target.name, self.normalization, self.device)
        if target.kind != "labels":
            return None
        near, far = (extract(backbone, part, self.normalization, self.device) for part in (train, valid))
        return knn_score(near, train.labels(target), far, valid.labels(target))

    def contrast(self, backbone: BackboneModule, module: TaskModule) -> dict[str, float]:
        """Can a view find its twin? See ``features.contrast``; on up to 128 images, the same views each time."""
        state = torch.get_rng_state()
        torch.manual_seed(0)
        with evaluating(backbone, module):
            found = contrast(
                module, backbone, subset(self.corpus.pool, 128, "contrast"), self.normalization, self.device
            )
        torch.set_rng_state(state)
        return found

    @staticmethod
    def words(seen: dict[str, float], first: dict[str, float]) -> str:
        """What a look found, in words; scores beside those of the ``first`` look, at the start of the stage."""
        names = {"knn": "k-NN AUC", "probe": "pixel-probe AUC"}
        said = []
        for key, value in seen.items():
            score, _, target = key.partition(":")
            if target:
                start = f" (start {first[key]:.3f})" if key in first else ""
                said.append(f"{names[score]} {target} {value:.3f}{start}")
        if "top1" in seen:
            said.append(f"views that find their twin {seen['top1']:.0%}")
        if "effective_rank" in seen:
            said.append(f"directions in use {seen['effective_rank']:.0f}")
        return ", ".join(said)

    def warnings(self, seen: dict[str, float]) -> list[str]:
        """Words for what looks wrong, each said once a stage."""
        said = []
        if seen.get("embedding_sd", 1.0) < 0.1:
            said.append(
                "the embeddings have nearly collapsed to one point (sd under 0.1): lower the rate, or check the images"
            )
        if seen.get("effective_rank", 99.0) < 3:
            said.append("the features use fewer than 3 directions: the backbone is collapsing")
        if seen.get("top1", 0.0) > 0.995:  # and so among its own source, where the negatives are fewer
            said.append(
                "views find their twin every time: the game is too easy; widen rotation and shift, or enlarge the queue"
            )
        fresh = [text for text in said if text not in self.warned]
        self.warned |= set(fresh)
        return fresh

    def task(
        self, backbone: BackboneModule, module: TaskModule, rows: TaskRows, most: int
    ) -> tuple[float | None, int]:
        """Main score on at most ``most`` validation images with the statistics as they are; and how many."""
        valid = subset(rows.valid, most, rows.target.name)
        if not len(valid):
            return None, 0
        found = predict(backbone, module, valid, rows.target, self.normalization, self.device)
        if (said := constant(found)) and rows.target.name not in self.warned:
            self.warned.add(rows.target.name)
            self.say(
                f"warning: {rows.target.name}: {said}; no harm in a first epoch; later the rate is too high or "
                "too low, or the films do not show what their annotations say"
            )
        return main_score(found), len(valid)

    def task_recomputed(
        self, backbone: BackboneModule, module: TaskModule, rows: TaskRows, most: int, films: int
    ) -> float | None:
        """As ``task``, with batch-norm statistics recomputed on up to ``films`` training images of the task."""
        train = subset(rows.train, films, rows.target.name)
        with recomputed_statistics(backbone, module, train, self.normalization, self.device):
            return self.task(backbone, module, rows, most)[0]
