"""How long the scores of 10,000 cases take, with their default intervals, once the predictions are there.

    python benchmarks/scores.py [--cases 10000] [--repeats 5]

Writes ``benchmarks/results/scores.json``: seconds of ``muscle.evaluate.scores`` by kind of task, of cases drawn at
random, two a patient: two classes; fourteen labels of which a tenth is unknown; masks of one class, 160x256 pixels; two
boxes a film, of one class. Truth and predictions are in memory; nothing is read or written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from muscle.evaluate import scores
from muscle.machine import Machine
from muscle.predictions import Predictions
from muscle.provenance import provenance

SIZE = (160, 256)


def two_classes(n: int, rng: np.random.Generator) -> Predictions:
    truth = rng.integers(0, 2, n)
    sick = 1 / (1 + np.exp(-rng.normal(size=n) - truth))
    return _predictions(
        n, "labels", ("no", "yes"), True, np.stack([1 - truth, truth], 1).astype(np.float32),
        np.stack([1 - sick, sick], 1).astype(np.float32),
    )  # fmt: skip


def fourteen_labels(n: int, rng: np.random.Generator) -> Predictions:
    truth = (rng.random((n, 14)) < 0.1).astype(np.float32)
    output = 1 / (1 + np.exp(2 - rng.normal(size=truth.shape) - truth)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    return _predictions(n, "labels", tuple("abcdefghijklmn"), False, truth, output)


def masks(n: int, rng: np.random.Generator) -> Predictions:
    side = rng.integers(20, 100, (n, 2))
    truth, output = np.zeros((2, n, *SIZE), np.uint8)
    for i, (down, across) in enumerate(side):
        truth[i, 10 : 10 + down, 20 : 20 + across] = 1
        output[i, 12 : 12 + down, 17 : 17 + across] = 1
    return _predictions(n, "mask", ("lung",), True, truth, output)


def boxes(n: int, rng: np.random.Generator) -> Predictions:
    truth, output = [], []
    for _ in range(n):
        corner = rng.uniform(0, 100, (2, 2))
        xyxy = np.concatenate([corner, corner + rng.uniform(20, 60, (2, 2))], 1).astype(np.float32)
        truth.append((xyxy, np.ones(2, np.int64)))
        near = xyxy + rng.normal(0, 6, xyxy.shape).astype(np.float32)
        output.append((near, rng.uniform(0.1, 1, 2).astype(np.float32), np.ones(2, np.int64)))
    return _predictions(n, "boxes", ("fracture",), True, truth, output)


KINDS: dict[str, Callable[[int, np.random.Generator], Predictions]] = {
    "two classes": two_classes, "fourteen labels": fourteen_labels, "masks": masks, "boxes": boxes,
}  # fmt: skip


def _predictions(
    n: int, kind: Any, classes: tuple[str, ...], exclusive: bool, truth: Any, output: Any
) -> Predictions:
    return Predictions(
        task="task", kind=kind, classes=classes, exclusive=exclusive, ids=[f"s/{i}" for i in range(n)],
        patients=[f"p{i // 2}" for i in range(n)], truth=truth, output=output, pictures=np.zeros((0, 0, 0), np.uint8),
    )  # fmt: skip


def main() -> None:
    """Prints and writes seconds by kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--out", type=Path, help="results/scores.json, where --only is not given")
    asked = parser.parse_args()
    about = provenance(Machine())
    found: dict[str, Any] = {key: about[key] for key in ("command", "commit", "machine", "versions")}
    found |= {"cases": asked.cases, "load average at the start": round(os.getloadavg()[0], 1), "seconds": {}}
    for name, make in KINDS.items():
        if asked.only not in name:
            continue
        drawn, taken = make(asked.cases, np.random.default_rng(0)), []
        for _ in range(asked.repeats):
            start = time.perf_counter()
            scores(drawn)
            taken.append(time.perf_counter() - start)
        found["seconds"][name] = {"median": statistics.median(taken), "least": min(taken), "most": max(taken)}
        print(name, found["seconds"][name], flush=True)
    out = asked.out or (None if asked.only else Path(__file__).parent / "results" / "scores.json")
    if out:
        out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
