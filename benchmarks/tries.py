"""One try before a default is set: MoCo with some leaves changed, its frozen features judged on validation films alone.

    MUSCLE_REAL_DATA=DIR python benchmarks/tries.py backbone.zero_init_last=false seed=1

Prints what docs/results/tries.md holds: AUC of k-NN and of logistic regression on 25 films of each class (mean of five
draws), for the network before and after ten epochs of MoCo. There is no test part; validation is 3 in 10 patients of
all labelled chest films.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from muscle.backbones import BackboneModule
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.features import extract, knn_outputs
from muscle.grid import prepare
from muscle.job import Start
from muscle.linear_probe import linear_probe
from muscle.machine import Machine
from muscle.parts import override
from muscle.pipeline import Pipeline
from muscle.probing import NEIGHBOURS
from muscle.recipe import Recipe
from muscle.recipes import recipe

DATA = """
split: {kind: patient, valid: 0.3, test: 0.0}
sources:
  chest: {kind: kermany, root: ROOT/dev/chest_xray}
  chest-224: {kind: kermany, root: ROOT/chest_xray_224}
  bones:
    kind: yolo
    root: ROOT/dev/bone-fracture-roboflow
    target: fracture
    body_part: bones
    merge: {angle: fracture, line: fracture, messed_up_angle: fracture}
  teeth: {kind: yolo, root: ROOT/dev/dental-xray-roboflow, target: teeth, body_part: teeth}
"""
EACH, DRAWS = 25, 5


def main() -> None:
    """Trains, or finds, and prints both lines."""
    out = Path("runs/tries")
    out.mkdir(parents=True, exist_ok=True)
    root = Path(os.environ["MUSCLE_REAL_DATA"]).resolve().as_posix()
    (out / "data.yaml").write_text(DATA.replace("ROOT", root))
    machine = Machine(threads=1)
    asked = ("size=[64, 112]", "stages.0.schedule.epochs_per_task=10", *sys.argv[1:])
    method = override(recipe("md-moco", "small"), asked).with_(finetune=None)
    corpus = prepare(method, DataFile.load(out / "data.yaml"), out / "store", machine)
    untrained = Start(method.init, method.seed).load(method.backbone)
    print("untrained", judged(untrained, method, corpus, machine), flush=True)
    made = Pipeline(method, corpus, machine, out / "checkpoints").pretrain()[-1]
    print(
        "MoCo", judged(Start(method.init, method.seed, made).load(method.backbone), method, corpus, machine)
    )


def judged(network: BackboneModule, method: Recipe, corpus: Corpus, machine: Machine) -> dict[str, float]:
    """AUC on the validation films of both chest targets."""
    found = {}
    for name in ("pneumonia", "germ"):
        rows = corpus.tasks[name]
        train, valid = (
            extract(network.eval(), part, method.normalization, machine.torch_device())
            for part in (rows.train, rows.valid)
        )
        labels, truth = rows.train.labels(rows.target), rows.valid.labels(rows.target)
        found[f"{name} k-NN"] = roc_auc_score(
            truth[:, 1], knn_outputs(train, labels, valid, NEIGHBOURS)[:, 1]
        )
        aucs = []
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            some = np.concatenate(
                [rng.choice(np.flatnonzero(labels[:, c] == 1), EACH, replace=False) for c in (0, 1)]
            )
            made = linear_probe(train[some], labels[some], valid[:0], truth[:0], valid, True)
            aucs.append(roc_auc_score(truth[:, 1], made.output[:, 1]))
        found[f"{name} {2 * EACH} labels"] = np.mean(aucs)
    return {name: round(float(value), 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
