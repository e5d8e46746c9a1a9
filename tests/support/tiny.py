"""The smallest corpus and recipes that still exercise everything: synthetic films, 64 x 48 pixels, batches of 8."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

from muscle.backbones.resnet import ResNet
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.splits import PatientSplit
from muscle.datasets.kermany import Kermany
from muscle.datasets.yolo import Yolo
from muscle.machine import Machine
from muscle.parts import digest
from muscle.pipeline import Pipeline, best
from muscle.progress import Progress
from muscle.recipe import Finetune, Recipe, Stage
from muscle.recipes import recipe
from muscle.schedules import Cyclic, Mixed, Sequential
from muscle.tasks import Task
from muscle.weights import save_backbone

SIZE = (64, 48)
MACHINE = Machine(device="cpu", threads=1, workers=0)
SPLIT = PatientSplit(
    valid=0.25, test=0.25, seed=7
)  # with this seed every part of every target has both classes


@cache
def roots(where: Path) -> dict[str, Path]:
    """The films as files: ``chest`` in the layout of Kermany, ``bones`` in that of YOLO."""
    Kermany.write_example(where / "chest", 40, 0)
    Yolo.write_example(where / "bones", 30, 0)
    return {name: where / name for name in ("chest", "bones")}


def sources(where: Path) -> dict[str, Kermany | Yolo]:
    """Two sources of two body parts, which teach two label targets and one of boxes."""
    found = roots(where)
    return {
        "chest": Kermany(root=str(found["chest"])),
        "bones": Yolo(root=str(found["bones"]), body_part="forearm"),
    }


def prepared(where: Path, file: DataFile) -> Corpus:
    """A corpus of such sources; stores are found again by their key."""
    return Corpus.prepare(file, SIZE, Decode(), "stretch", where / "stores", workers=0)


@cache
def corpus(where: Path) -> Corpus:
    """Both sources: targets pneumonia and germ (labels), bones (boxes)."""
    return prepared(where, DataFile(sources=sources(where), split=SPLIT))


@cache
def chest_only(where: Path) -> Corpus:
    """The chest source alone."""
    return prepared(where, DataFile(sources={"chest": sources(where)["chest"]}, split=SPLIT))


def small(name: str, epochs: int = 1, rounds: int = 2) -> Recipe:
    """A shipped recipe with everything cut down but its structure: float32, batches of 8, few epochs."""
    shipped = recipe(name, "demo")
    stages = tuple(_shrunk(stage, epochs, rounds) for stage in shipped.stages)
    finetune = shipped.finetune or Finetune(tasks=())
    finetune = finetune.with_(tasks=tuple(map(_eight, finetune.tasks)), epochs=2, least_steps=0)
    return shipped.with_(size=SIZE, precision="float32", stages=stages, finetune=finetune)


def _eight(task: Task) -> Task:
    return task.with_(batch_size=8)


def _shrunk(stage: Stage, epochs: int, rounds: int) -> Stage:
    pretext = all(task.needs is None for task in stage.tasks)
    schedule = stage.schedule
    if isinstance(schedule, (Cyclic, Mixed)):
        schedule = schedule.with_(rounds=rounds)
    if isinstance(schedule, Sequential):
        schedule = schedule.with_(epochs_per_task=epochs if pretext else rounds)
    return stage.with_(tasks=tuple(map(_eight, stage.tasks)), schedule=schedule)


def continual(method: Recipe, **changes: object) -> Recipe:
    """The recipe with fields of its last stage changed."""
    *before, last = method.stages
    return method.with_(stages=(*before, last.with_(**changes)))


def pipeline(
    method: Recipe, data: Corpus, root: Path, progress: Progress | None = None, machine: Machine = MACHINE
) -> Pipeline:
    """One thread on the CPU."""
    return Pipeline(method, data, machine, root, progress or Progress())


def tuned(run: Pipeline, task: str, seed: int) -> Checkpoint:
    """A task fine-tuned at every rate; the best on validation, as a cell takes it."""
    return best(run.finetune_grid(task, seed))


def bits(made: Checkpoint) -> str:
    """SHA-256 of the backbone's tensors alone: the file also holds the key, which is another for another recipe."""
    state = made.backbone_state()
    return digest({name: hashlib.sha256(state[name].numpy().tobytes()).hexdigest() for name in sorted(state)})


def run_folder(folder: Path, backbone: str = "resnet18", size: tuple[int, int] = (64, 48)) -> Path:
    """What ``pretrain`` leaves, of random weights."""
    made = recipe("md-moco", "demo", backbone).with_(size=size)
    folder.mkdir(parents=True)
    save_backbone(ResNet.parse({"name": backbone}).build(), folder / "backbone.safetensors", {})
    about = {"recipe": made.dump(), "size": list(size), "fit": "pad",
             "normalization": made.normalization.dump(), "decode": made.decode.dump()}  # fmt: skip
    (folder / "backbone.json").write_text(json.dumps(about))
    return folder
