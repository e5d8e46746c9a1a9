"""What one or several processes compute of the same recipes, in float64: run by tests/relations/test_ranks.py.

    torchrun --nproc-per-node N tests/support/ranks.py FOLDER

Losses are written at every step; ``queue-RANK.txt`` has a line for the queue of MoCo after every step.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import tiny
import torch
from torch import Tensor

from muscle import distributed, engine, scoring
from muscle.data.augment import Views
from muscle.data.data_file import DataFile
from muscle.data.sampling import blocks
from muscle.datasets.v7_lungs import V7Lungs
from muscle.optim import Optimizer
from muscle.pipeline import Pipeline
from muscle.recipe import Recipe
from muscle.schedules import Sequential
from muscle.scoring import main_score, predict_together
from muscle.tasks.classification import Classification
from muscle.tasks.moco import MoCo, _MoCo

STILL = Views(flip=0.0, rotate=0.0, shift=0.0)
# Four ranks also compute activations again in the backward pass: the numbers must not know.
MACHINE = tiny.MACHINE.with_(recompute=os.environ.get("WORLD_SIZE") == "4")


def in_float64() -> None:
    """Everything: losses then differ by the order of sums alone, at 1e-16."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]


def watch_queue(folder: Path, rank: int) -> None:
    """Writes down what the queue holds after each step."""
    enqueue = _MoCo._enqueue

    def watched(self: _MoCo, keys: Tensor) -> None:
        enqueue(self, keys)
        with (folder / f"queue-{rank}.txt").open("a") as file:
            file.write(hashlib.sha256(self.queue.numpy().tobytes()).hexdigest() + "\n")

    _MoCo._enqueue = watched  # type: ignore[method-assign]


def methods() -> dict[str, Recipe]:
    """Every kind of task, alternating heads, batches that two and four do not divide, also in parts.

    Two processes compute the 11 images of a step in three parts, of which each has an uneven share; four have two
    parts. The rest is such that parts do not show: no batch statistics, no views, and steps as long as gradients.
    """
    muscle = tiny.small("muscle", rounds=1)
    contrast, continual = muscle.stages
    odd = continual.with_(tasks=tuple(task.with_(batch_size=7) for task in continual.tasks))
    (moco,) = contrast.tasks
    assert isinstance(moco, MoCo)
    dealt = contrast.with_(tasks=(moco.with_(batch_norm="shuffle", groups=4),))
    labels = Classification(data="pneumonia", batch_size=11, accumulate=3, views=STILL)
    parts = continual.with_(
        tasks=(labels,),
        optimizer=Optimizer(name="sgd", rate=0.05),
        schedule=Sequential(epochs_per_task=3),
        batch_norm="frozen",
        regularizers=(),
    )
    return {
        "muscle": muscle.with_(stages=(contrast, odd)),
        "shuffle": muscle.with_(stages=(dealt,)),
        "simclr": tiny.small("simclr"),
        "parts": muscle.with_(stages=(parts,)),
    }


def corpus(where: Path) -> tiny.Corpus:
    """Labels, boxes and masks."""
    V7Lungs.write_example(where / "lungs", 24, 0)
    lungs = V7Lungs(root=str(where / "lungs"))
    return tiny.prepared(where, DataFile(sources={**tiny.sources(where), "lungs": lungs}, split=tiny.SPLIT))


def main(folder: Path, films: Path) -> None:
    """Losses of every stage; predictions and scores of one model of each task."""
    data = corpus(films)
    found: dict[str, object] = {}
    for name, method in methods().items():
        made = Pipeline(method, data, MACHINE, folder / "checkpoints").pretrain()
        lines = [json.loads(line) for one in made for line in one.log_file.read_text().splitlines()]
        found[name] = [[line["task"], {k: v for k, v in line.items() if k.startswith("loss:")}]
                       for line in lines if "rate" in line]  # fmt: skip
        found[f"{name} weights"] = {
            k: float(v.norm()) for k, v in made[-1].backbone_state().items() if v.is_floating_point()
        }
    torch.manual_seed(0)
    method = methods()["muscle"]
    for name, rows in data.tasks.items():
        run = Pipeline(method, data, tiny.MACHINE, folder / "checkpoints")
        backbone = method.backbone.build().eval()
        module = run.tasks()[name].build(backbone, rows.target, len(rows.train)).eval()
        made_ = predict_together(
            backbone, module, rows.train, rows.target, method.normalization, tiny.MACHINE
        )
        output = (
            made_.output
            if isinstance(made_.output, np.ndarray)
            else np.concatenate([b for b, *_ in made_.output])
        )
        assert len(rows.train) > 9  # four blocks: every rank of four predicts
        found[f"predicted {name}"] = [
            made_.ids, hashlib.sha256(np.ascontiguousarray(output).tobytes()).hexdigest(), main_score(made_),
        ]  # fmt: skip
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    in_float64()
    engine.LOG_STEPS = 1
    scoring.blocks = partial(blocks, size=3)  # so few films make several blocks, the last of them short
    place, films = Path(sys.argv[1]), Path(sys.argv[2])
    watch_queue(place, int(os.environ.get("RANK", "0")))
    with distributed.joined() as leads:
        if leads:
            main(place, films)
