"""Oracle: FROC as a loop over every threshold and every detection, with weights as repeated images."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.metrics import froc_curves, score, scorer
from muscle.predictions import BoxOutput, BoxTruth, Predictions

Box = tuple[float, float, float, float]


def predictions(truth: BoxTruth, output: BoxOutput) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="boxes", classes=("a", "b"), exclusive=True, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def random_boxes(seed: int) -> Predictions:
    """Few images with many detections, doubles among them, and scores rounded into ties; no box of class b."""
    rng = np.random.default_rng(seed)
    truth: BoxTruth = []
    output: BoxOutput = []
    for i in range(int(rng.integers(2, 9))):
        m = int(rng.integers(0, 5)) if i else 2
        corner = rng.integers(0, 60, (m, 2)).astype(float)
        boxes = np.concatenate([corner, corner + rng.integers(5, 20, (m, 2))], 1)
        near = np.repeat(boxes, 3, 0) + rng.integers(-2, 3, (3 * m, 4))
        d = int(rng.integers(0, 12))
        corner = rng.integers(0, 60, (d, 2)).astype(float)
        far = np.concatenate([corner, corner + rng.integers(5, 20, (d, 2))], 1)
        found = np.concatenate([near, far])
        digits = 1 + seed % 3
        said = np.round(rng.random(len(found)) * np.r_[np.full(3 * m, 1.0), np.full(d, 0.9)], digits)
        label = np.where(rng.random(len(found)) < 0.9, 1, 2)
        truth.append((boxes.astype(np.float32), np.ones(m, np.int64)))
        output.append((found.astype(np.float32), said.astype(np.float32), label))
    return predictions(truth, output)


def overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_froc(p: Predictions) -> float:
    """At each threshold: boxes found, and detections that overlap none, counted one by one."""
    truth, output = p.boxes
    images = [([tuple(map(float, box)) for box in xyxy],
               [(float(s), tuple(map(float, box)))
                for box, s, c in zip(boxes, confidence, label, strict=True) if c == 1])
              for (xyxy, _), (boxes, confidence, label) in zip(truth, output, strict=True)]  # fmt: skip
    thresholds = sorted({s for _, found in images for s, _ in found}, reverse=True)
    curve = [(0.0, 0.0)]
    for threshold in thresholds:
        hits = alarms = total = 0
        for boxes, found in images:
            free = set(range(len(boxes)))
            total += len(boxes)
            for s, box in sorted(found, key=lambda f: -f[0]):
                if s < threshold:
                    continue
                over = [overlap(box, other) for other in boxes]
                open_to = [(over[j], j) for j in free if over[j] >= 0.5]
                if open_to:
                    hits += 1
                    free.remove(max(open_to)[1])
                elif max(over, default=0.0) < 0.5:
                    alarms += 1
        curve.append((alarms / len(images), hits / total))
    heights = []
    for x in (0.125, 0.25, 0.5, 1, 2, 4, 8):
        before = [point for point in curve if point[0] <= x][-1]
        after = next((point for point in curve if point[0] > x), None)
        share = (x - before[0]) / (after[0] - before[0]) if after else 0.0
        heights.append(before[1] + share * ((after[1] if after else 0.0) - before[1]))
    return sum(heights) / 7


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(12))
def test_froc_is_the_slow_loop(seed: int) -> None:
    p = random_boxes(seed)
    found = score(p)
    assert found["froc"] == found["froc:a"] == pytest.approx(slow_froc(p), abs=1e-12)
    assert "froc:b" not in found and set(froc_curves(p)) == {"a"}
    truth, output = p.boxes
    rng = np.random.default_rng(seed)
    for _ in range(3):
        drawn = np.sort(rng.integers(0, len(p), len(p)))
        weights = np.bincount(drawn, minlength=len(p)).astype(float)[None]
        weighed = scorer(p).values(weights)["froc"][0]
        if np.isnan(weighed):
            assert not sum(len(truth[i][0]) for i in drawn)
        else:
            again = predictions([truth[i] for i in drawn], [output[i] for i in drawn])
            assert weighed == pytest.approx(slow_froc(again), abs=1e-12)
