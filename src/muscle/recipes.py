"""The shipped recipes on one page: methods, baselines and ablations in three presets.

A method says what is trained in which order; a preset says at which size and for how long. Where the paper gives
no value, the source stands beside it ("METHODS n" are sections of the project's fact sheet; "our choice" is ours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from muscle.backbones.resnet import ResNet
from muscle.continual.regularizers import Regularizer
from muscle.continual.regularizers.ewc import EWC
from muscle.continual.regularizers.l2sp import L2SP
from muscle.continual.regularizers.lwf import LwF
from muscle.continual.regularizers.replay import Replay
from muscle.data.augment import Views
from muscle.data.decode import Decode
from muscle.data.normalization import Unit
from muscle.errors import UsageError, among
from muscle.optim import Curve, CyclicCosine, CyclicMean, Optimizer, StepDecay, WarmCosine
from muscle.recipe import Finetune, ImageNet, Recipe, Stage
from muscle.schedules import Cyclic, Mixed, Sequential
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.tasks.moco import MoCo
from muscle.tasks.segmentation import Segmentation
from muscle.tasks.simclr import SimCLR


@dataclass(frozen=True)
class Preset:
    """Size and effort. All methods of one preset share every number here, so that rows of a table compare."""

    size: tuple[int, int]  # height, width
    moco: MoCo
    simclr: SimCLR
    pretrain_epochs: int
    pretrain_optimizer: Optimizer
    pretrain_curve: Curve
    annotated: tuple[Task, ...]
    rounds: int
    continual_optimizer: Optimizer
    cyclic: CyclicCosine
    finetune: Finetune


def _annotated(batch: int, dense_batch: int, detection: Detection) -> tuple[Task, ...]:
    return (
        Classification(batch_size=batch),
        Segmentation(batch_size=dense_batch),
        detection.with_(batch_size=dense_batch),
    )


_LEAN = Detection.lean()
_PAPER_TASKS = _annotated(32, 8, Detection())
_SMALL_TASKS = _annotated(32, 16, _LEAN)

PRESETS: dict[str, Preset] = {
    # The paper's size, rounds and epochs a turn; for the rest MoCo-CXR's values (METHODS 2.1), since MUSCLE gives none.
    "paper": Preset(
        size=(800, 500),
        moco=MoCo(batch_size=24, queue=24_576, momentum=0.999, temperature=0.2),
        simclr=SimCLR(batch_size=24),
        pretrain_epochs=20,
        pretrain_optimizer=Optimizer(
            name="adam", rate=5e-4, weight_decay=1e-4
        ),  # 1e-4, times 5 when not from ImageNet
        pretrain_curve=StepDecay(milestones=(0.6, 0.9)),  # epochs 12 and 18 of 20
        annotated=_PAPER_TASKS,
        rounds=10,  # paper section 2.2
        continual_optimizer=Optimizer(rate=1e-3),  # eta_max, eta_min: METHODS 10
        cyclic=CyclicCosine(
            floor=0.01, shape="full", period="turn"
        ),  # Eq. 1 as printed; the period: METHODS 7.2
        finetune=Finetune(tasks=_PAPER_TASKS, epochs=30),
    ),
    # For pools under 20,000 images: the settings that worked on real films (METHODS 9 and 10).
    "small": Preset(
        size=(256, 160),  # the paper's shape, a tenth of its pixels; our choice
        moco=MoCo(batch_size=64, queue="auto", momentum=0.99, temperature=0.2),
        simclr=SimCLR(batch_size=64),
        pretrain_epochs=20,
        pretrain_optimizer=Optimizer(rate=1e-3, weight_decay=1e-4),
        pretrain_curve=WarmCosine(warm=0.05),
        annotated=_SMALL_TASKS,
        rounds=10,
        continual_optimizer=Optimizer(rate=1e-3),
        cyclic=CyclicCosine(floor=0.01, shape="half", period="turn"),
        finetune=Finetune(tasks=_SMALL_TASKS, epochs=30, least_steps=100),  # steps: METHODS 10
    ),
    # Minutes on a laptop's CPU, to see every part run; its numbers compare with nothing.
    "demo": Preset(
        size=(128, 80),
        moco=MoCo(
            batch_size=32, queue="auto", momentum=0.95, temperature=0.2
        ),  # 0.99 hardly moves in 70 steps
        simclr=SimCLR(batch_size=32),
        pretrain_epochs=8,
        pretrain_optimizer=Optimizer(rate=3e-4, weight_decay=1e-4),
        pretrain_curve=WarmCosine(warm=0.2),
        annotated=_annotated(16, 16, _LEAN),
        rounds=3,
        continual_optimizer=Optimizer(rate=1e-3),
        cyclic=CyclicCosine(floor=0.01, shape="half", period="turn"),
        finetune=Finetune(tasks=_annotated(16, 16, _LEAN), epochs=8, backbone_rates=(1e-3,)),
    ),
}


def _scratch(p: Preset) -> Recipe:
    return Recipe(name="scratch", title="Scratch", size=p.size, finetune=p.finetune)


def _imagenet(p: Preset) -> Recipe:
    return _scratch(p).with_(name="imagenet", title="ImageNet", init=ImageNet())


def _pretrain(p: Preset, task: Task) -> Stage:
    return Stage(
        name="pretrain",
        tasks=(task,),
        schedule=Sequential(epochs_per_task=p.pretrain_epochs),
        curve=p.pretrain_curve,
        optimizer=p.pretrain_optimizer,
    )


def _md_moco(p: Preset) -> Recipe:
    return _scratch(p).with_(name="md-moco", title="MD-MoCo", stages=(_pretrain(p, p.moco),))


def _md_moco_raw(p: Preset) -> Recipe:
    """Grey-levels as the files store them: polarity, window and range of each source left alone."""
    return _md_moco(p).with_(
        name="md-moco-raw", title="MD-MoCo, raw greys", decode=Decode(grey="raw"), normalization=Unit()
    )


def _moco(p: Preset) -> Recipe:
    """MoCo v2's own augmentation on the same pool (He et al.; METHODS 2.2)."""
    views = Views(flip=0.5, rotate=0.0, shift=0.0, crop=(0.2, 1.0), blur=0.5, jitter=0.4)
    return _md_moco(p).with_(name="moco", title="MoCo", stages=(_pretrain(p, p.moco.with_(views=views)),))


def _moco_cxr(p: Preset) -> Recipe:
    """MoCo-CXR: from ImageNet, chest films only, flip, rotation 10 and a random crop (METHODS 2.1).

    Differs: MoCo-CXR resizes the shorter side to 320 and crops 320x320; stretched stores are square to begin with,
    so the crop here keeps at least 80 % of the area. Its rate is a fifth, as its scripts have it from ImageNet.
    """
    views = Views(flip=0.5, rotate=10.0, shift=0.0, crop=(0.8, 1.0))
    stage = _pretrain(p, p.moco.with_(views=views, data="pool:chest", queue="auto"))
    stage = stage.with_(optimizer=p.pretrain_optimizer.with_(rate=p.pretrain_optimizer.rate / 5))
    return _imagenet(p).with_(name="moco-cxr", title="MoCo-CXR", stages=(stage,))


def _simclr(p: Preset) -> Recipe:
    return _md_moco(p).with_(name="simclr", title="SimCLR", stages=(_pretrain(p, p.simclr),))


def _muscle(p: Preset) -> Recipe:
    """Rounds in a reshuffled order, Eq. 1, and the anchor of Eq. 2 moved at each turn."""
    continual = Stage(
        name="continual",
        tasks=p.annotated,
        schedule=Cyclic(rounds=p.rounds, reshuffle=True),
        curve=p.cyclic,
        optimizer=p.continual_optimizer,
        regularizers=(L2SP(),),
    )
    before = _md_moco(p)
    return before.with_(name="muscle", title="MUSCLE", stages=(*before.stages, continual))


def _continual(p: Preset, name: str, title: str, **changes: object) -> Recipe:
    """MUSCLE with fields of its continual stage changed, and nothing else."""
    full = _muscle(p)
    *before, last = full.stages
    return full.with_(name=name, title=title, stages=(*before, last.with_(**changes)))


def _mean(p: Preset) -> CyclicMean:
    """The mean of the cosine: at its peak a constant rate would be twice as high (METHODS 10)."""
    return CyclicMean(floor=p.cyclic.floor, shape=p.cyclic.shape, period=p.cyclic.period)


def _muscle_naive(p: Preset) -> Recipe:
    """MUSCLE--: the same task-epochs in blocks, fixed order, constant rate, no penalty."""
    blocks = Sequential(epochs_per_task=p.rounds)
    return _continual(
        p, "muscle-naive", "MUSCLE--", schedule=blocks, curve=_mean(p), regularizers=()
    )  # fmt: skip


# The ablation that the paper leaves out, schedule x memorization in reshuffled rounds at equal mean rate: `muscle`
# has both, the next three one or none.


def _muscle_no_memory(p: Preset) -> Recipe:
    return _continual(p, "muscle-no-memory", "MUSCLE, no penalty", regularizers=())


def _muscle_constant(p: Preset) -> Recipe:
    return _continual(p, "muscle-constant", "MUSCLE, constant rate", curve=_mean(p))


def _muscle_rounds(p: Preset) -> Recipe:
    return _continual(p, "muscle-rounds", "Rounds alone", curve=_mean(p), regularizers=())


# Other ways to hold the backbone, in place of Eq. 2.


def _held_by(name: str, title: str, regularizer: Regularizer) -> Callable[[Preset], Recipe]:
    return lambda p: _continual(p, name, title, regularizers=(regularizer,))


def _joint(p: Preset) -> Recipe:
    """Every task at once, as many epochs of each as MUSCLE's: what continual learning is measured against.

    Eq. 1 over a round, which is the turn here.
    """
    return _continual(p, "joint", "Joint training", schedule=Mixed(rounds=p.rounds), regularizers=())


RECIPES: dict[str, Callable[[Preset], Recipe]] = {
    "scratch": _scratch,
    "imagenet": _imagenet,
    "moco": _moco,
    "moco-cxr": _moco_cxr,
    "simclr": _simclr,
    "md-moco": _md_moco,
    "md-moco-raw": _md_moco_raw,
    "muscle-naive": _muscle_naive,
    "muscle": _muscle,
    "muscle-no-memory": _muscle_no_memory,
    "muscle-constant": _muscle_constant,
    "muscle-rounds": _muscle_rounds,
    # With weight 1 the printed formula destroys the backbone (METHODS 10); our choice.
    "muscle-literal": _held_by("muscle-literal", "Eq. 2 as printed", L2SP(reading="literal", weight=1e-3)),
    "muscle-ewc": _held_by("muscle-ewc", "EWC for Eq. 2", EWC()),
    "muscle-lwf": _held_by("muscle-lwf", "LwF for Eq. 2", LwF()),
    "muscle-replay": _held_by("muscle-replay", "Replay for Eq. 2", Replay()),
    "joint": _joint,
}


def recipe(name: str, preset: str = "paper", backbone: str = "resnet18") -> Recipe:
    """A shipped recipe.

    Raises:
        UsageError: the name, preset or backbone is unknown, with the known ones.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r}; {among(name, RECIPES)}, or a YAML file")
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r}; {among(preset, PRESETS)}, or auto where there are data")
    if backbone not in ("resnet18", "resnet50"):
        raise UsageError(
            f"backbone {backbone!r}; shipped recipes know resnet18, resnet50; others in a YAML file (kind timm)"
        )
    return RECIPES[name](PRESETS[preset]).with_(backbone=ResNet.parse({"name": backbone}))
