"""Training and prediction steps as they are run from a store, and the least that the same arithmetic can cost."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones.resnet import ResNet
from muscle.data.corpus import Corpus
from muscle.data.normalization import ZScore
from muscle.data.prefetch import Prefetch
from muscle.data.rows import Rows
from muscle.data.sampling import batches
from muscle.detector import Detector
from muscle.heads import DeepLabV3, classifier
from muscle.learner import Learner
from muscle.losses import info_nce, nt_xent
from muscle.optim import Optimizer
from muscle.projector import projector
from muscle.recipe import Stage
from muscle.schedules import Sequential
from muscle.scoring import predict
from muscle.tasks import POOL, Task
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.tasks.moco import MoCo
from muscle.tasks.segmentation import Segmentation
from muscle.tasks.simclr import SimCLR
from muscle.trial import stepping
from muscle.types import Batch, Boxes, Target, TargetKind

Step = Callable[[], None]
TEMPERATURE = 0.2


def tasks(batch: int, targets: Mapping[TargetKind, str]) -> dict[str, Task]:
    """What is timed, by name, at the presets for small images.

    Args:
        targets: kind of annotation -> the target that has it.
    """
    return {
        "MoCo": MoCo(batch_size=batch, queue=batch * 4, temperature=TEMPERATURE),
        "SimCLR": SimCLR(batch_size=batch, temperature=TEMPERATURE),
        "classification": Classification(batch_size=batch, data=targets["labels"]),
        "segmentation": Segmentation(batch_size=batch, data=targets["mask"]),
        "detection": Detection.lean().with_(batch_size=batch, data=targets["boxes"]),
    }


def read_ahead(rows: Rows, target: Target | None, batch: int) -> Prefetch[Any, Batch]:
    """Batches without end, one ahead, in a new order each epoch."""
    chosen = (index for epoch in count() for index in batches(len(rows), batch, ("bench", epoch)))
    return Prefetch(chosen, lambda index: rows.batch(np.asarray(index), ZScore(), target))


class Bench:
    """Steps of a backbone on one device, in one precision, on the training films of a corpus."""

    def __init__(
        self, corpus: Corpus, precision: torch.dtype, device: torch.device, backbone: ResNet | None = None
    ) -> None:
        """Of ResNet-18 where no other is given; nothing is built before it is asked for."""
        self.corpus, self.precision, self.device = corpus, precision, device
        self.backbone = backbone or ResNet(name="resnet18")

    def ours(self, task: Task) -> Step:
        """A training step as the engine takes it, with its reading ahead."""
        learner = self._learner(task)
        learner.train()
        optimizer = Optimizer().build(learner.backbone, learner.others(), [])
        taken = stepping(learner, _name(task), optimizer, self.precision)
        ready = iter(read_ahead(self._rows(task), self.corpus.targets.get(task.data), task.batch_size))
        return lambda: taken([next(ready).to(self.device)])

    def floor(self, task: Task) -> Step:
        """Forward, backward and update of the same networks on random tensors that lie in memory."""
        backbone = self.backbone.build()
        head, loss = self._bare(task, backbone)
        both = nn.ModuleList([backbone, head]).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        both.train()
        optimizer = Optimizer().build(backbone, [head], [])
        key = copy.deepcopy(both).requires_grad_(False) if isinstance(task, MoCo) else both

        def step() -> None:
            with torch.autocast(
                self.device.type, dtype=self.precision, enabled=self.precision != torch.float32
            ):
                found = loss(key)
            found.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if key is not both:
                with torch.no_grad():
                    torch._foreach_lerp_(list(key.parameters()), list(both.parameters()), 0.01)

        return step

    def predicted(self, task: Task) -> Step:
        """Predictions of one batch of training films, read, and made arrays with their truth."""
        learner, target = self._learner(task), self.corpus.targets[task.data]
        some = self._rows(task).take(np.arange(task.batch_size))
        return lambda: _drop(
            predict(learner.backbone, learner.module(_name(task)), some, target, ZScore(), self.device)
        )

    def forward(self, task: Task) -> Step:
        """The forward pass of the same network on random tensors, in the same precision."""
        learner = self._learner(task).eval()
        images, head = self._images(task.batch_size), learner.module(_name(task)).head

        def step() -> None:
            with torch.no_grad():
                head(learner.backbone(images).pooled)

        return step

    def _learner(self, task: Task) -> Learner:
        stage = Stage(name="bench", tasks=(task,), schedule=Sequential())
        rows = {_name(task): len(self._rows(task))}
        backbone = self.backbone.build()
        learner = Learner(backbone, stage, {_name(task): task}, self.corpus.targets, rows)
        return learner.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _rows(self, task: Task) -> Rows:
        return self.corpus.tasks[task.data].train if task.needs else self.corpus.pool_of(POOL)

    def _images(self, n: int) -> Tensor:
        images = torch.randn(n, 1, *self.corpus.stores[0].size, device=self.device)
        return images.to(memory_format=torch.channels_last)

    def _truth(self, task: Task) -> Any:
        index = np.arange(task.batch_size) % len(self._rows(task))
        batch: Batch = self._rows(task).batch(index, ZScore(), self.corpus.targets[task.data])
        return batch.to(self.device).target

    def _bare(self, task: Task, backbone: Any) -> tuple[nn.Module, Callable[[nn.ModuleList], Tensor]]:
        """The head, and the loss of (network, head) on what lies in memory; for MoCo given the key encoder too."""
        n, size = task.batch_size, self.corpus.stores[0].size
        images = self._images(2 * n if isinstance(task, SimCLR) else n)
        if isinstance(task, (MoCo, SimCLR)):
            head: nn.Module = projector(backbone.width, task.dim, mlp=True)
            twins, queue = (
                self._images(n),
                F.normalize(torch.randn(4 * n, task.dim, device=self.device), dim=1),
            )

            def embedded(net: Any, top: nn.Module, x: Tensor) -> Tensor:
                return F.normalize(top(net(x).pooled).float(), dim=1)

            def contrast(key: nn.ModuleList) -> Tensor:
                mine = embedded(backbone, head, images)
                if isinstance(task, SimCLR):
                    first, second = mine.chunk(2)
                    return nt_xent(first, second, TEMPERATURE)
                with torch.no_grad():
                    other = embedded(key[0], key[1], twins)
                return info_nce(mine, other, queue, TEMPERATURE)

            return head, contrast
        truth, classes = self._truth(task), len(self.corpus.targets[task.data].classes)
        if isinstance(task, Classification):
            head = classifier(backbone.width, classes)
            labels = truth.argmax(1)
            return head, lambda _: F.cross_entropy(head(backbone(images).pooled).float(), labels)
        if isinstance(task, Segmentation):
            head = DeepLabV3(backbone.channels[-1], classes + 1, task.output_stride, task.width)
            mask = truth.long()
            return head, lambda _: F.cross_entropy(
                head(backbone(images, task.output_stride).maps[-1], size), mask, ignore_index=255
            )
        assert isinstance(task, Detection) and isinstance(truth, Boxes)
        module = self._learner(task).module(_name(task))
        assert isinstance(module.head, Detector)
        detector = module.head
        return detector, lambda _: sum(
            (
                total / number
                for total, number in detector.losses(backbone(images).maps, size, truth).values()
            ),
            torch.zeros((), device=self.device),
        )


def _name(task: Task) -> str:
    return task.data if task.needs else task.kind


def _drop(_: object) -> None:
    return None
