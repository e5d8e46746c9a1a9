"""A batch computed in parts. Oracle: the batch computed at once, with a batch norm that sees no more than parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch

from muscle.checkpoint import Checkpoint
from muscle.continual.regularizers.l2sp import L2SP
from muscle.continual.regularizers.replay import Replay
from muscle.data.augment import Views
from muscle.data.corpus import Corpus
from muscle.engine import run_stage
from muscle.errors import UsageError
from muscle.job import Job, Start, start_key
from muscle.optim import Optimizer
from muscle.recipe import Kaiming, Stage
from muscle.schedules import Sequential
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.moco import MoCo
from muscle.tasks.simclr import SimCLR

STILL = Views(flip=0.0, rotate=0.0, shift=0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def planned(corpus: Corpus, task: Task, **changes: object) -> Job:
    """SGD, whose steps are as long as the gradient: AdamW's would hide a wrong factor."""
    sgd = Optimizer(name="sgd", rate=0.05)
    stage = Stage(name="s", tasks=(task,), optimizer=sgd).with_(**changes)
    recipe = tiny.small("scratch")
    start = Start(Kaiming(), 0, key=start_key(recipe.backbone, Kaiming(), 0))
    return Job.plan(
        stage, start, corpus, corpus.internal_tasks, recipe.backbone, recipe.normalization, 0, "float32"
    )


def moves(made: Checkpoint) -> dict[str, torch.Tensor]:
    """How far each weight has gone."""
    start = tiny.small("scratch")
    first = Start(start.init, 0).load(start.backbone).net.state_dict()
    return {name: value - first[name] for name, value in made.backbone_state().items()}


def same(corpus: Corpus, root: Path, tasks: tuple[Task, Task], **changes: object) -> list[Checkpoint]:
    """Trains both; asserts that weights have moved alike and losses were alike."""
    made = [run_stage(planned(corpus, task, **changes), corpus, tiny.MACHINE, root) for task in tasks]
    one, other = map(moves, made)
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-3, atol=1e-6, msg=key)
    assert max(float(value.abs().max()) for value in one.values()) > 1e-3
    losses = [
        [value for line in each.log_file.read_text().splitlines() for name, value in json.loads(line).items()
         if name.startswith("loss:")]
        for each in made
    ]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0]
    return made


def test_weights_are_those_of_the_batch_at_once(corpus: Corpus, tmp_path: Path) -> None:
    """Eight images in parts of three, three and two; a penalty and replayed films count once."""
    task = Classification(batch_size=8, views=STILL)
    both = task, task.with_(accumulate=3)
    held = (L2SP(alpha=0.1), Replay())
    made = same(corpus, tmp_path, both, batch_norm="frozen", regularizers=held)
    assert [each.about["replayed"] for each in made] == [10, 10]


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In float32, rounding makes other weights within some steps of MoCo, on some CPUs more than on others."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("in_float64")
def test_parts_of_moco_are_groups_of_split_batch_norm(corpus: Corpus, tmp_path: Path) -> None:
    """Which normalizes them apart but computes them at once: weights, running statistics and the queue."""
    task, short = MoCo(batch_size=8, queue=16, views=STILL), Sequential(epochs_per_task=2)
    same(
        corpus, tmp_path, (task.with_(batch_norm="split", groups=2), task.with_(accumulate=2)), schedule=short
    )


def test_parts_have_two_images_or_more_and_simclr_has_none(corpus: Corpus) -> None:
    for batch_size, parts in ((8, 5), (2, 2)):
        stage = Stage(name="s", tasks=(Classification(batch_size=batch_size, accumulate=parts),))
        (told,) = stage.mistakes()
        assert f"batch_size {batch_size} in {parts} parts" in told and f"at most {batch_size // 2}" in told
    assert not Stage(name="s", tasks=(Classification(batch_size=8, accumulate=4),)).mistakes()
    (told,) = Stage(name="s", tasks=(SimCLR(accumulate=2),)).mistakes()
    assert "simclr, accumulate 2; its loss is of the batch" in told
    with pytest.raises(UsageError, match="4 groups of a part of 4; at most 2"):
        planned(corpus, MoCo(batch_size=8, accumulate=2, queue=8, batch_norm="split", groups=4))
