"""One start's frozen features on one corpus: which films, found again by key, and their picture in two dimensions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muscle import paths
from muscle.data.corpus import Corpus
from muscle.data.held_out import TaskRows
from muscle.data.rows import Rows
from muscle.data.seen import read_seen
from muscle.errors import UserError
from muscle.features import extract
from muscle.job import Start
from muscle.machine import Machine
from muscle.parts import digest
from muscle.predictions import DAMAGED
from muscle.recipe import Recipe, Weights, assign_roles
from muscle.scoring import subset
from muscle.seal import unsealed

EMBEDDED = 2000  # films in the picture of the features at most


@dataclass(frozen=True)
class Frozen:
    """One start on one corpus. ``root``: the folder of checkpoints; features lie in its ``features``, by key."""

    recipe: Recipe
    corpus: Corpus
    machine: Machine
    root: Path
    start: Start

    @cached_property
    def shown(self) -> Rows:
        """The films of the picture: at most 2,000, the same for every start."""
        return subset(self.corpus.all_rows, EMBEDDED, "embedding")

    @cached_property
    def rows(self) -> Rows:
        """Every film whose features are needed."""
        every = self.corpus.all_rows
        wanted = np.isin(_codes(every), _codes(self.shown))
        for task in labelled(self.corpus).values():
            wanted |= every.known(task.target)
        return every.take(np.flatnonzero(wanted))

    @cached_property
    def key(self) -> str:
        """Equal keys mean equal features."""
        normalization = self.recipe.normalization
        levels = {s.name: [s.mean, s.sd] for s in self.corpus.stores} if normalization.of_store else {}
        return digest({
            "start": self.start.key, "normalization": normalization.key(), "levels": levels,
            "rows": self.rows.digest(),
        })  # fmt: skip

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[N, D] of ``rows``, in eval mode: computed once, then found by key in a file with a checksum."""
        file = self.root / "features" / f"{self.key[:16]}.npz"
        if file.is_file():
            try:
                with file.open("rb") as opened, np.load(opened, allow_pickle=False) as there:
                    found = there["features"]
            except DAMAGED as error:
                raise UserError(f"{file}: damaged ({error}); remove it, and it is computed again") from None
            return np.asarray(found, np.float32)
        self.machine.settle()
        device = self.machine.torch_device()
        backbone = self.start.load(self.recipe.backbone).to(device)
        made = extract(backbone, self.rows, self.recipe.normalization, device)
        whole = io.BytesIO()
        np.savez(whole, features=made)  # a zip archive has a CRC-32 of what is in it
        paths.atomic_write(file, whole.getvalue())
        return made

    def of(self, rows: Rows) -> NDArray[np.float32]:
        """The features of some of the films."""
        mine = _codes(self.rows)
        order = np.argsort(mine)
        return self.features[order[np.searchsorted(mine[order], _codes(rows))]]


def _codes(rows: Rows) -> NDArray[np.int64]:
    """A number for each row that no other row of these stores has."""
    return (rows.store.astype(np.int64) << 32) + rows.row


def labelled(corpus: Corpus) -> dict[str, TaskRows]:
    """The targets that can be probed: labels, with something to learn from and something to be scored on.

    Raises:
        UserError: there is none.
    """
    found = {
        name: rows
        for name, rows in corpus.tasks.items()
        if rows.target.kind == "labels" and len(rows.train) > 1 and len(rows.test)
    }
    if not found:
        raise UserError(
            "no target to probe: labels with training and test films are needed; masks and boxes are not probed; "
            "give labelled films, or a split with test above 0"
        )
    return found


def labels_seen(recipe: Recipe, corpus: Corpus, task: TaskRows) -> bool:
    """Whether these weights were trained with labels of this target: then few labels are not few for them.

    Of a run's folder: its recipe learned labels, and its pool held films of this training part (as ``pool.txt``
    says; without that file it is taken as so). Of weights from elsewhere nothing is known.
    """
    name = task.target.name
    if recipe.stages:
        inside = {n: rows.target for n, rows in corpus.internal_tasks.items()}
        return any(name in assign_roles(stage.tasks, inside, corpus.file) for stage in recipe.stages)
    if not isinstance(recipe.init, Weights):
        return False
    about = Path(recipe.init.file).with_name("backbone.json")
    if not about.is_file():
        return False
    before = Recipe.parse(unsealed(about.read_bytes())["recipe"])
    learned = [t for stage in before.stages for t in stage.tasks if t.needs == "labels"]
    if not any(t.data == name if t.left_out is None else name not in t.left_out for t in learned):
        return False
    seen = {film.image for film in read_seen(Path(recipe.init.file))}
    return not seen or not seen.isdisjoint(task.train.image_hashes)


def embedding(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, D] features as points [N, 2]: PCA to 50 components, t-SNE of these (perplexity 30, less for few); seed 0."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    parts = min(50, *features.shape)
    short = PCA(parts, svd_solver="full").fit_transform(features.astype(np.float64))
    near = min(30.0, (len(features) - 1) / 3)
    points: NDArray[np.float32] = TSNE(2, perplexity=near, init="pca", random_state=0).fit_transform(short)
    return points.astype(np.float32)
