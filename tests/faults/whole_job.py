"""The whole main job at the smallest size that still has every part, and what it leaves, as digests.

Two sources of synthetic films, one with labels and one with masks; MoCo, two rounds of MUSCLE with its anchor moved at
each turn, fine-tuning of both tasks, scores, report.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from PIL import Image

from muscle.data.intact import STAMP
from muscle.phantom import draw
from muscle.seal import unsealed

COMMAND = ("run", "../../films/recipe.yaml", "--data", "../../films/data.yaml", "--out", "runs/job", "--store",
           "store", "--device", "cpu", "--threads", "1")  # fmt: skip
LEFTOVERS = ("*.tmp", "*.partial", "*.partial.*", "*.running", "*.journal")
APART = ("minutes", "minutes_total", "store", "seal", "provenance")  # times, and the place of the store

SMALLEST = "{kind: timm, name: test_efficientnet}"  # with batch norm; 0.1 million weights
SHARED = (
    "{kind: resnet, name: resnet18}"  # for several ranks, which share statistics of plain batch norm alone
)
DATA = """\
sources:
  chest: {kind: folder, root: chest, labels: folder, body_part: chest}
  hands: {kind: masks, root: hands, body_part: hand}
split: {kind: patient, valid: 0.25, test: 0.25, seed: 3}
synthetic: true
"""
RECIPE = """\
name: job
backbone: {kind: timm, name: test_efficientnet}
size: [48, 32]
stages:
- name: pretrain
  tasks: [{kind: moco, batch_size: 8, queue: 16, dim: 16}]
  schedule: {kind: sequential, epochs_per_task: 2}
- name: continual
  tasks: [{kind: classification, batch_size: 8}, {kind: segmentation, batch_size: 8, width: 16}]
  schedule: {kind: cyclic, rounds: 2}
  curve: {kind: cyclic_cosine}
  regularizers: [{kind: l2sp}]
finetune:
  tasks: [{kind: classification, batch_size: 8}, {kind: segmentation, batch_size: 8, width: 16}]
  epochs: 2
  backbone_rates: [0.001]
precision: float32
"""


def lay_out(root: Path, backbone: str = SMALLEST) -> None:
    """The films, the data file and the recipe, in ``root/films``; runs lie two folders deep beside them."""
    films = root / "films"
    for sick, name in enumerate(("normal", "pneumonia")):
        drawn = (draw("chest", seed, (48, 32), findings=bool(sick)) for seed in range(1000))
        wanted = (phantom.image for phantom in drawn if phantom.labels["pneumonia"] == sick)
        for number, image in zip(range(16), wanted, strict=False):
            _save(films / "chest" / name / f"{number}.png", image)
    for number in range(20):
        phantom = draw("hand", number, (48, 32))
        _save(films / "hands" / "images" / f"{number}.png", phantom.image)
        _save(films / "hands" / "masks" / f"{number}.png", phantom.masks["bone"].astype(np.uint8) * 255)
    (films / "data.yaml").write_text(DATA)
    (films / "recipe.yaml").write_text(RECIPE.replace(SMALLEST, backbone))


def _save(file: Path, pixels: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def fingerprint(work: Path) -> dict[str, str]:
    """SHA-256 of each part of a finished run in the folder ``work``.

    ``state`` is what a stage drops at its end, MoCo's queue and momentum encoder and the optimizer's moments, by the
    digest that the stage leaves of it.
    """
    out, made = work / "runs" / "job", work / "runs" / "checkpoints"
    results = unsealed((out / "results.json").read_bytes())
    stages = [unsealed(file.read_bytes()) for file in sorted(made.glob("*/stage.json"))]
    about = json.dumps([_untimed(results), _untimed(stages)], sort_keys=True).encode()
    cases = repr(pq.read_table(out / "cases.parquet").to_pydict()).encode()
    logs = [*made.glob("*/log.jsonl"), *(out / "logs").glob("*")]
    return {
        "weights": _sha256(_read(work, made.glob("*/*.safetensors"))),
        "state": _sha256(stage["state_sha256"].encode() for stage in stages),
        "predictions": _sha256(
            part for file in sorted(out.glob("predictions/*.npz")) for part in _arrays(work, file)
        ),
        "log": _sha256(_read(work, logs)),
        "results": _sha256([about, cases, *_read(work, out.glob("tables/table*.csv"))]),
        "store": _sha256(_read(work, (file for file in (work / "store").glob("*/*") if file.name != STAMP))),
    }


def left_behind(work: Path) -> list[str]:
    """What a finished run must not leave: half-written files, resume points, locks that are still held."""
    found = {str(file.relative_to(work)) for pattern in LEFTOVERS for file in work.rglob(pattern)}
    for lock in [*work.rglob("*.lock"), *work.rglob("lock")]:
        try:
            with FileLock(lock, timeout=0):
                pass
        except Timeout:
            found.add(f"{lock.relative_to(work)} held")
    return sorted(found)


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untimed(each) for name, each in value.items() if name not in APART}
    return [_untimed(each) for each in value] if isinstance(value, list) else value


def _arrays(work: Path, file: Path) -> Iterable[bytes]:
    yield str(file.relative_to(work)).encode()
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            yield f"{name} {arrays[name].dtype} {arrays[name].shape}".encode() + arrays[name].tobytes()


def _read(work: Path, files: Iterable[Path]) -> Iterable[bytes]:
    for file in sorted(files):
        yield str(file.relative_to(work)).encode() + b"\0" + file.read_bytes()


def _sha256(pieces: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(hashlib.sha256(piece).digest())
    return found.hexdigest()
