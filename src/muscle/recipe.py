"""Stages and recipes: what to train, in which order, held back by what. Values only; nothing here touches data."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from muscle.backbones import Backbone, BackboneModule
from muscle.backbones.resnet import ResNet
from muscle.continual.regularizers import Regularizer
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.layouts import how_to_label
from muscle.data.normalization import Normalization, ZScore
from muscle.errors import UsageError
from muscle.optim import Constant, Curve, Optimizer, StepDecay
from muscle.parts import Part
from muscle.schedules import Schedule, Sequential
from muscle.tasks import ANNOTATED, POOL, WITHOUT, Task
from muscle.types import Target
from muscle.weights import imagenet, load_backbone

_NAME = re.compile(r"[^./\\:\x00-\x1f][^/\\:\x00-\x1f]{0,99}")


class Init(Part):
    """Root of the family: where a recipe's backbone starts."""

    home: ClassVar[str] = "muscle.recipe"

    def load(self, backbone: BackboneModule, name: str) -> None:
        """Fills a freshly built backbone; ``name`` is timm's name of its architecture."""
        raise TypeError(f"{type(self).__name__} must define load")

    def identity(self) -> str:
        """What enters the key beside the fields: the SHA-256 of a file of weights."""
        return ""


class Kaiming(Init):
    """Kaiming's initialization, drawn from the seed (He et al. 2015; paper section 2.1)."""

    kind: ClassVar[str] = "kaiming"

    def load(self, backbone: BackboneModule, name: str) -> None:
        """Nothing to load: a backbone is built this way."""


class ImageNet(Init):
    """Weights trained on ImageNet, from ``file`` or else over the network, first convolution folded to one channel."""

    kind: ClassVar[str] = "imagenet"

    file: str | None = None

    def load(self, backbone: BackboneModule, name: str) -> None:
        """Raises UserError, in one line, where the weights cannot be had."""
        imagenet(backbone, name, Path(self.file) if self.file else None)

    def identity(self) -> str:
        """The file's SHA-256; over the network timm's name of the weights stands for them."""
        return _sha256(Path(self.file)) if self.file else ""


class Weights(Init):
    """Weights from a file: ours, timm's, torchvision's or MoCo's (see ``weights.py``)."""

    kind: ClassVar[str] = "weights"

    file: str

    def load(self, backbone: BackboneModule, name: str) -> None:
        """Raises UserError where less than 95 % of the backbone is found in the file."""
        load_backbone(backbone, Path(self.file))

    def identity(self) -> str:
        """The file's SHA-256."""
        return _sha256(Path(self.file))


def _file_name(name: str) -> str:
    """Names of recipes and stages become parts of files' names: those of strangers must not lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"given {name!r}; allowed: at most 100 characters, no / \\ : and no dot at the beginning"
        )
    return name


Name = Annotated[str, AfterValidator(_file_name)]


def _sha256(file: Path) -> str:
    if not file.is_file():
        raise UsageError(f"init: no weights at {file}; give a .safetensors or .pth file")
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Stage(Part):
    """Tasks, the order of their turns, the rates, and what holds the backbone back.

    ``batch_norm``: ``trained`` shares one set of statistics between tasks; ``frozen`` leaves the backbone's as the
    stage found them. ``optimizer_state``: whether momentum survives the boundary of a turn. ``select``: the
    weights of the last step, or of the turn with the best validation score (one task only). ``skips``: how many steps
    with a loss or gradient that is not finite may be left out before the stage stops (our choice: none).
    """

    name: Name
    tasks: tuple[Task, ...]
    schedule: Schedule = Sequential()
    curve: Curve = Constant()
    optimizer: Optimizer = Optimizer()
    regularizers: tuple[Regularizer, ...] = ()
    batch_norm: Literal["trained", "frozen"] = "trained"
    optimizer_state: Literal["keep", "reset"] = "keep"
    select: Literal["last", "best"] = "last"
    skips: int = Field(0, ge=0)

    def mistakes(self) -> list[str]:
        """Every rule between fields that this stage breaks."""
        found = []
        if not self.tasks:
            found.append(f"stage {self.name}: no task; give at least one")
        pretext = [t for t in self.tasks if t.needs is None]
        found += [f"stage {self.name}: {t.kind} needs no annotation; data {t.data!r}, allowed: 'pool', 'pool:BODYPART'"
                  for t in pretext if t.data.partition(":")[0] != POOL]  # fmt: skip
        found += [f"stage {self.name}: {t.kind} needs {t.needs}; its data is {ANNOTATED!r} or a target, given {POOL!r}"
                  for t in self.tasks if t.needs and t.data == POOL]  # fmt: skip
        names = [(t.kind, t.data) for t in self.tasks]
        found += [
            f"stage {self.name}: {k} on {d} stands twice"
            for k, d in sorted(set(names))
            if names.count((k, d)) > 1
        ]
        if self.select == "best" and pretext:
            found.append(
                f"stage {self.name}: select best needs a validation score; {pretext[0].kind} has none, use last"
            )
        looking = [r.kind for r in self.regularizers if r.annotated]
        if looking and pretext:
            found.append(
                f"stage {self.name}: {looking[0]} needs annotated tasks; {pretext[0].kind} has no outputs to keep"
            )
        found += [
            f"stage {self.name}: {k} stands twice" for k in sorted(set(looking)) if looking.count(k) > 1
        ]
        found += [f"stage {self.name}: {t.kind}, batch_size {t.batch_size} in {t.accumulate} parts; batch norm needs "
                  f"two images in each, so at most {t.batch_size // 2}"
                  for t in self.tasks if t.batch_size // t.accumulate < 2]  # fmt: skip
        found += [f"stage {self.name}: {t.kind}, accumulate {t.accumulate}; its loss is of the batch, which must be "
                  "computed whole: use 1, and --recompute or a smaller batch_size for memory"
                  for t in self.tasks if t.accumulate > 1 and not t.divisible]  # fmt: skip
        for task in pretext:
            queue, batch = getattr(task, "queue", None), task.batch_size
            if isinstance(queue, int) and queue % batch:
                found.append(
                    f"stage {self.name}: queue {queue} is not a multiple of batch_size {batch}; "
                    f"try {max(batch, queue // batch * batch)}, or auto"
                )
        return found


class Finetune(Part):
    """How every init is adapted to one task, alike for all: epochs, rate grid, selection by validation.

    Each of ``backbone_rates`` is tried and the best on validation kept: one fixed rate favours either scratch or
    pre-training (METHODS 10). ``head``: ``fresh`` by default, so that inits compare fairly; ``continued`` takes
    the head of the continual stage where there is one. ``labels`` below 1 trains on a draw of the patients, the same
    for every init (``data.label_draws``, by the seed of the fine-tuning); validation and test parts stay whole.
    """

    tasks: tuple[Task, ...]
    epochs: int = Field(30, ge=1)  # not in the paper; our choice
    least_steps: int = Field(0, ge=0)  # few films make short epochs: as many more as reach this many steps
    more_images: int = Field(0, ge=0)  # beyond these, over all rates: see ``equal_compute``
    curve: Curve = StepDecay()
    optimizer: Optimizer = Optimizer()
    backbone_rates: tuple[float, ...] = (
        3e-4,
        1e-3,
    )  # METHODS 10: classification from pre-training, dense and scratch
    head: Literal["fresh", "continued"] = "fresh"
    labels: float = Field(1.0, gt=0, le=1)  # share of the annotated patients; each seed draws its own

    def stages(self, task: Task) -> list[Stage]:
        """One stage for each rate of the grid."""
        more = math.ceil(self.more_images / len(self.backbone_rates) / task.batch_size)
        return [
            Stage(
                name=f"finetune-{task.data}",
                tasks=(task,),
                schedule=Sequential(
                    epochs_per_task=self.epochs, least_steps=self.least_steps, more_steps=more
                ),
                curve=self.curve,
                optimizer=self.optimizer.with_(backbone_rate=rate),
                select="best",
            )
            for rate in self.backbone_rates
        ]


class Recipe(Part):
    """A method, whole: where the backbone starts, what pre-trains it, how it is fine-tuned. Names roles, not data."""

    name: Name
    title: str = ""  # as tables print it; empty: the name
    backbone: Backbone = ResNet(name="resnet18")
    init: Init = Kaiming()
    size: tuple[int, int] = (800, 500)  # height, width; which is which is not in the paper (METHODS 7.16)
    fit: Literal["stretch", "pad"] = "stretch"  # the paper does not keep the aspect
    decode: Decode = Decode()
    normalization: Normalization = ZScore()
    stages: tuple[Stage, ...] = ()
    finetune: Finetune | None = None
    seed: int = Field(0, ge=0)  # of the pre-training
    seeds: tuple[int, ...] = (0,)  # of the fine-tuning
    precision: Literal["auto", "bf16", "fp16", "float32"] = "auto"

    def mistakes(self) -> list[str]:
        """Every rule between fields that this recipe breaks, before any data is touched."""
        found = [m for stage in self.stages for m in stage.mistakes()]
        names = [stage.name for stage in self.stages]
        found += [f"stages: the name {n!r} stands twice" for n in sorted(set(names)) if names.count(n) > 1]
        if min(self.size) < 32:
            found.append(f"size {self.size[0]}x{self.size[1]}: at least 32x32, the stride of the backbone")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            found.append(f"seeds {list(self.seeds)}: at least one, each once")
        if self.finetune is not None:
            found += [
                f"finetune: {t.kind} has no annotation to learn"
                for t in self.finetune.tasks
                if t.needs is None
            ]
            if not self.finetune.backbone_rates:
                found.append("finetune.backbone_rates: at least one")
            annotated = any(t.needs for stage in self.stages for t in stage.tasks)
            if self.finetune.head == "continued" and not annotated:
                found.append("finetune.head continued: no stage trains a head; use fresh")
        return found

    def check(self) -> None:
        """Raises UsageError with all mistakes at once."""
        if found := self.mistakes():
            raise UsageError(f"recipe {self.name}: " + "; ".join(found))

    def check_weights(self) -> None:
        """Raises UserError where a file to start from does not fill the backbone, UsageError where there is none."""
        if isinstance(self.init, Weights):
            self.init.identity()
            self.init.load(self.backbone.build(), self.backbone.architecture)


def assign_roles(
    tasks: tuple[Task, ...], targets: Mapping[str, Target], data: DataFile | None = None
) -> dict[str, Task]:
    """Concrete tasks by name: pretext tasks as they are, ``annotated`` ones once for each target of their kind.

    A task that names its target takes precedence over the role. ``data`` is where the targets come from, for advice.

    Raises:
        UsageError: a named target does not exist or is of another kind; one to leave out does not exist; no task is
            left.
    """
    named = {t.data: t for t in tasks if t.needs and t.left_out is None}
    for missing in sorted({name for t in tasks for name in t.left_out or ()} - set(targets)):
        raise UsageError(f"data {WITHOUT}:{missing}: known targets: {', '.join(targets) or 'none'}")
    for name, task in named.items():
        if name not in targets or targets[name].kind != task.needs:
            fitting = [t.name for t in targets.values() if t.kind == task.needs]
            raise UsageError(
                f"{task.kind} on {name!r}: known targets of kind {task.needs}: {', '.join(fitting) or 'none'}"
            )
    pretext = [t for t in tasks if t.needs is None]
    kinds = [t.kind for t in pretext]
    found: dict[str, Task] = {
        t.kind if kinds.count(t.kind) == 1 else f"{t.kind} {t.data}": t for t in pretext
    }
    for target in targets.values():
        role = [
            t
            for t in tasks
            if t.needs == target.kind and t.left_out is not None and target.name not in t.left_out
        ]
        if target.name in named:
            found[target.name] = named[target.name]
        elif role:
            found[target.name] = role[0].with_(data=target.name)
    if not found:
        taught = ", ".join(f"{t.name} ({t.kind})" for t in targets.values())
        do = "add an annotated source to the data file" if data is None or taught else how_to_label(data)
        raise UsageError(
            f"no task: these data teach {taught or 'nothing'}, the recipe has {', '.join(t.kind for t in tasks)}; {do}"
        )
    return found
