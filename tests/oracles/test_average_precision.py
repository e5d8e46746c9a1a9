"""Oracles: pycocotools and faster-coco-eval on random boxes, to 1e-9; a resample against its images repeated."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pytest

from muscle.metrics import score, scorer
from muscle.predictions import BoxOutput, BoxTruth, Predictions


def predictions(truth: BoxTruth, output: BoxOutput, classes: tuple[str, ...]) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="boxes", classes=classes, exclusive=True, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def random_boxes(seed: int, images: int = 12, classes: int = 3) -> Predictions:
    """Some images without boxes, some without detections, one with more than 100; scores rounded into ties."""
    rng = np.random.default_rng(seed)
    truth: BoxTruth = []
    output: BoxOutput = []
    for i in range(images):
        m = int(rng.integers(0, 7)) if i % 4 else 0
        corner, side = rng.uniform(0, 80, (m, 2)), rng.uniform(5, 40, (m, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        label = rng.integers(1, classes, m)  # the last class has no box
        near = np.repeat(boxes, 2, 0) + rng.normal(0, 1.2, (2 * m, 4))
        d = 130 if i == 1 else int(rng.integers(0, 5))
        corner, side = rng.uniform(0, 80, (d, 2)), rng.uniform(5, 40, (d, 2))
        found = np.concatenate([near, np.concatenate([corner, corner + side], 1)]).astype(np.float32)
        said = np.concatenate([np.repeat(label, 2), rng.integers(1, classes + 1, d)])
        if i == 1:
            said[:] = 1
        if i % 5 == 2:
            found, said = found[:0], said[:0]
        truth.append((boxes, label))
        output.append((found, np.round(rng.uniform(0, 1, len(found)), 2).astype(np.float32), said))
    return predictions(truth, output, tuple("abc"[:classes]))


def coco(p: Predictions, library: Any, evaluator: Any, areas: tuple[str, ...] = ()) -> Any:
    """Precision [IoU, recall, class] of all areas, at 100 detections; ``areas``: those alone that are evaluated."""
    truth, output = p.boxes
    boxes, found = [], []
    for i, (xyxy, label) in enumerate(truth):
        for box, c in zip(xyxy.astype(float), label, strict=True):
            sides = box[2:] - box[:2]
            boxes.append({"id": len(boxes) + 1, "image_id": i + 1, "category_id": int(c), "iscrowd": 0,
                          "bbox": [*box[:2], *sides], "area": float(sides.prod())})  # fmt: skip
    for i, (xyxy, confidence, label) in enumerate(output):
        for box, s, c in zip(xyxy.astype(float), confidence, label, strict=True):
            found.append({"id": len(found) + 1, "image_id": i + 1, "category_id": int(c), "score": float(s),
                          "iscrowd": 0, "area": float((box[2:] - box[:2]).prod()),
                          "bbox": [*box[:2], *(box[2:] - box[:2])]})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        both = []
        for annotations in (boxes, found):  # not `loadRes`, which takes no empty list
            base = library()
            images = [{"id": i + 1, "width": 200, "height": 200} for i in range(len(truth))]
            base.dataset = {"info": {}, "images": images, "annotations": annotations,
                            "categories": [{"id": i + 1, "name": n} for i, n in enumerate(p.classes)]}  # fmt: skip
            base.createIndex()
            both.append(base)
        run = evaluator(*both, "bbox")
        if areas:
            kept = [i for i, name in enumerate(run.params.areaRngLbl) if name in areas]
            run.params.areaRng = [run.params.areaRng[i] for i in kept]
            run.params.areaRngLbl, run.params.maxDets = list(areas), [100]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][:, :, :, 0, -1]


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("library", ["pycocotools", "faster_coco_eval"])
def test_average_precision_is_cocos(seed: int, library: str) -> None:
    p = random_boxes(seed)
    if library == "pycocotools":
        precision = coco(p, pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval)
    else:
        precision = coco(p, faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)
    found = score(p)
    assert found["map"] == pytest.approx(precision[precision > -1].mean(), abs=1e-9)
    assert found["ap50"] == pytest.approx(precision[0][precision[0] > -1].mean(), abs=1e-9)
    for c, name in enumerate(p.classes[:2]):
        assert found[f"ap50:{name}"] == pytest.approx(precision[0, :, c].mean(), abs=1e-9)
    assert "ap50:c" not in found  # a class without boxes: COCO says -1, we say nothing


def small_set(seed: int) -> Predictions:
    """Whole numbers, so that overlaps tie and meet thresholds exactly; one in four sets has no box or no detection."""
    rng = np.random.default_rng(10_000 + seed)
    truth: BoxTruth = []
    output: BoxOutput = []
    classes = int(rng.integers(1, 4))
    some_boxes, some_found = seed % 8 != 3, seed % 8 != 5
    for _ in range(int(rng.integers(1, 6))):
        m, d = int(rng.integers(0, 5)) * some_boxes, int(rng.integers(0, 9)) * some_found
        corner = rng.integers(0, 12, (m, 2))
        boxes = np.concatenate([corner, corner + rng.integers(1, 9, (m, 2))], 1)
        corner = rng.integers(0, 12, (d, 2))
        found = np.concatenate([corner, corner + rng.integers(1, 9, (d, 2))], 1)
        for i in range(min(m, d)):  # near a true one
            found[i] = boxes[i] + rng.integers(-1, 2, 4) * (boxes[i, 2:] - boxes[i, :2] > 2).all()
        label, said = rng.integers(1, classes + 1, m), rng.integers(1, classes + 1, d)
        said[: min(m, d)] = np.where(rng.random(min(m, d)) < 0.8, label[: min(m, d)], said[: min(m, d)])
        truth.append((boxes.astype(np.float32).reshape(-1, 4), label))
        confidence = np.round(rng.random(d), 1 + seed % 2).astype(np.float32)
        output.append((found.astype(np.float32).reshape(-1, 4), confidence, said))
    return predictions(truth, output, tuple("abc"[:classes]))


@pytest.mark.oracle
def test_a_thousand_random_sets_some_of_them_empty() -> None:
    for seed in range(1000):
        p = small_set(seed)
        precision = coco(p, pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval, areas=("all",))
        expected = {}
        for c, name in enumerate(p.classes):
            if precision[0, 0, c] > -1:
                expected[f"ap50:{name}"] = precision[0, :, c].mean()
        if expected:
            expected |= {
                "map": precision[precision > -1].mean(),
                "ap50": precision[0][precision[0] > -1].mean(),
            }
        found = {name: value for name, value in score(p).items() if not name.startswith("froc")}
        assert found == pytest.approx(expected, abs=1e-9), seed


@pytest.mark.oracle
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_equal_overlaps_the_last_is_taken(order: tuple[int, int]) -> None:
    """The better detection overlaps both boxes alike, the other the left one alone: it is right if that is left."""
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10]], np.float32)[list(order)]
    found = np.array([[1, 0, 11, 10], [-2, 0, 8, 10]], np.float32)
    said = (found, np.array([0.9, 0.8], np.float32), np.array([1, 1]))
    p = predictions([(boxes, np.array([1, 1]))], [said], ("a",))
    precision = coco(p, pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval, areas=("all",))
    assert score(p)["ap50"] == pytest.approx(precision[0].mean(), abs=1e-9)
    assert (score(p)["ap50"] == 1) == (order == (0, 1))


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_weights_mean_repeated_images(seed: int) -> None:
    p = random_boxes(seed)
    truth, output = p.boxes
    rng = np.random.default_rng(seed)
    # distinct scores: where detections of different images tie, their order is arbitrary, in COCO too
    output = [(xyxy, rng.uniform(0, 1, len(s)).astype(np.float32), c) for xyxy, s, c in output]
    weights = rng.multinomial(len(p), np.full(len(p), 1 / len(p)), size=5)
    weighed = scorer(predictions(truth, output, p.classes)).values(weights.astype(float))
    for t, row in enumerate(weights):
        again = np.repeat(np.arange(len(p)), row)
        plain = score(predictions([truth[i] for i in again], [output[i] for i in again], p.classes))
        for name, value in plain.items():
            assert weighed[name][t] == pytest.approx(value, abs=1e-9)
