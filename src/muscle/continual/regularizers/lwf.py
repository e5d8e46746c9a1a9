"""Learning without forgetting (Li and Hoiem, ECCV 2016; TPAMI 2018): old heads go on saying what they said."""

from __future__ import annotations

import copy
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.continual.regularizers import Films, Regularizer, RegularizerModule, Step, Tasks
from muscle.features import evaluating
from muscle.tasks import Outputs
from muscle.types import Turn


class LwF(Regularizer):
    """Distillation: on the films of the task in training, the heads of earlier tasks answer as at the turn's start.

    Classes and pixels: cross-entropy between both answers at a temperature (their Eq. 2 to 5); labels that do not
    exclude each other one by one, summed. As there, the old heads are trained too, and images are not augmented.
    Cost: one pass forward and back and one forward more a step, and a second copy of backbone and heads.

    Differs: one old head a step, in turn, its loss times their number: over a turn the sum that the paper takes at
    each step, at the cost of one. Differs: both answers in eval mode, by a pass of their own: the statistics of batch
    norm, which the paper's networks lack, would otherwise differ by themselves. Differs: detection, of which the
    paper knows nothing, by the mean squared difference of the feature pyramid's levels, as in Faster ILOD (Peng et
    al. 2020), without its terms on proposals and regions.
    """

    kind: ClassVar[str] = "lwf"
    annotated: ClassVar[bool] = True

    weight: float = Field(1.0, ge=0)  # lambda_o of the paper
    temperature: float = Field(2.0, gt=0)  # the paper's

    @property
    def extra(self) -> float:
        """A step is about one pass forward and two for the gradients: four thirds of it."""
        return 4 / 3 if self.weight else 0.0

    def build(self, backbone: BackboneModule, tasks: Tasks) -> RegularizerModule:
        """A module that holds copies of backbone and heads."""
        return _LwF(self, backbone, tasks)


class _LwF(RegularizerModule):
    trained: Tensor

    def __init__(self, config: LwF, backbone: BackboneModule, tasks: Tasks) -> None:
        super().__init__()
        self.config = config
        self.names = tuple(tasks)
        self.backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.tasks = torch.nn.ModuleList(copy.deepcopy(m).requires_grad_(False) for m in tasks.values())
        self.register_buffer("trained", torch.zeros(len(tasks), dtype=torch.bool))
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Never: the copies only answer."""
        return super().train(False)

    def begin_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks) -> None:
        """Records how backbone and heads answer now."""
        self.backbone.load_state_dict(backbone.state_dict())
        for mine, name in zip(self.tasks, self.names, strict=True):
            mine.load_state_dict(tasks[name].state_dict())

    def end_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks, films: Films) -> None:
        """What was trained has something to be kept from now on."""
        for number, name in enumerate(self.names):
            if name in turn.tasks:
                self.trained[number] = True

    def losses(self, backbone: BackboneModule, step: Step) -> dict[str, Tensor]:
        """``distillation``; nothing at weight 0, or while no other task has been trained."""
        trained = self.trained.tolist() if self.config.weight else []
        old = [i for i, known in enumerate(trained) if known and self.names[i] != step.task]
        if not old:
            return {}
        number = old[step.number % len(old)]
        kept, module = self.tasks[number], step.tasks[self.names[number]]
        with torch.no_grad(), step.autocast():
            said = kept.outputs(self.backbone, step.batch)  # type: ignore[operator]
        with evaluating(backbone, module), step.autocast():
            says = module.outputs(backbone, step.batch)
        weight = self.config.weight * len(old) * len(step.batch) / step.batch.total
        return {"distillation": weight * distillation(says, said, self.config.temperature)}


def distillation(says: Outputs, said: Outputs, temperature: float) -> Tensor:
    """How far the answers are from those recorded: mean over images and pixels, float32.

    Cross-entropy, not less the recorded answers' own entropy, which is constant: least, not 0, where they agree.
    """
    if says.kind == "maps":
        pairs = zip(says.tensors, said.tensors, strict=True)
        return torch.stack([F.mse_loss(new.float(), old.float()) for new, old in pairs]).mean()
    new, old = says.tensors[0].float() / temperature, said.tensors[0].float() / temperature
    if says.kind == "softmax":
        return -(old.softmax(1) * new.log_softmax(1)).sum(1).mean()
    return F.binary_cross_entropy_with_logits(new, old.sigmoid(), reduction="none").sum(1).mean()
