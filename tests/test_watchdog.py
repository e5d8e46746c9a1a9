"""What is not finite is named, its batch kept, and nothing of it learned. Oracles: the feed's own batches, copies."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from kills import Killer
from torch import Tensor

from muscle.data.corpus import Corpus
from muscle.errors import UserError
from muscle.learner import Learner
from muscle.recipe import Recipe
from muscle.types import Batch


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def _method(skips: int = 0) -> Recipe:
    """MoCo, three steps: a queue, a momentum encoder and batch norm that a step left out must not move."""
    return tiny.continual(tiny.small("md-moco", epochs=1), skips=skips)


def _loss_is_nan(losses: dict[str, Tensor], learner: Learner) -> dict[str, Tensor]:
    return {name: loss * torch.nan for name, loss in losses.items()}


def _gradient_is_nan(losses: dict[str, Tensor], learner: Learner) -> dict[str, Tensor]:
    """The loss itself is finite: the root of 0 is 0, and its slope infinite."""
    weight = next(learner.backbone.parameters())
    return {name: loss + (weight * 0).sqrt().sum() for name, loss in losses.items()}


class _Bad:
    """Spoils the loss at some steps; keeps their batches, and what the learner was before and after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spoil: Any, *steps: int) -> None:
        self.batches: list[Batch] = []
        self.states: list[dict[str, Tensor]] = []
        losses, calls = Learner.losses, []

        def spoilt(learner: Learner, task: str, batch: Batch, *more: Any) -> dict[str, Tensor]:
            calls.append(1)
            self.states.append(copy.deepcopy(learner.state_dict()))
            found = losses(learner, task, batch, *more)
            if len(calls) not in steps:
                return found
            self.batches.append(batch)
            return dict(spoil(found, learner))

        monkeypatch.setattr(Learner, "losses", spoilt)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [(_loss_is_nan, "loss info_nce is nan"), (_gradient_is_nan, "the gradient of backbone.net.conv1.weight")],
)
def test_the_stage_stops_with_names_and_the_batch(
    spoil: Any, what: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = _Bad(monkeypatch, spoil, 2)
    with pytest.raises(UserError) as told:
        tiny.pipeline(_method(), corpus, tmp_path).pretrain()
    (batch,), said = bad.batches, str(told.value)
    assert f"stage pretrain: task moco, step 2 of 3: {what}" in said and "skips=N" in said
    assert all(f" {len([i for i in batch.ids if i.startswith(source)])} of {source}" in said
               for source in {i.partition("/")[0] for i in batch.ids})  # fmt: skip
    assert f"({', '.join(batch.ids[:5])} and 3 more)" in said
    (file,) = tmp_path.glob("*.running/not-finite-2.npz")
    assert str(file) in said
    with np.load(file, allow_pickle=False) as kept:
        assert tuple(kept["0.ids"]) == batch.ids
        assert np.array_equal(kept["0.image"], batch.image.numpy())
        assert np.array_equal(kept["0.mean"], batch.mean.numpy()) and "0.target" not in kept
    assert len(bad.states) == 2  # no step after it


def test_a_step_left_out_moves_nothing_and_is_counted(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Killer("none", 0)
    with monkeypatch.context() as patch:
        bad = _Bad(patch, _loss_is_nan, 2)
        made = tiny.pipeline(_method(skips=1), corpus, tmp_path, said).pretrain()[-1]
    before, after = bad.states[1], bad.states[2]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert made.about["skipped"] == [2]
    assert any("the step is left out, 1 of 1" in text for text in said.messages)


def test_more_than_the_budget_stops(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = _Bad(monkeypatch, _loss_is_nan, 1, 3)
    with pytest.raises(UserError, match=r"step 3 of 3: .*1 steps were left out before, as skips=1 allows"):
        tiny.pipeline(_method(skips=1), corpus, tmp_path).pretrain()
    assert len(bad.batches) == 2


def test_a_budget_that_is_not_used_changes_no_bit(corpus: Corpus, tmp_path: Path) -> None:
    plain, careful = (
        tiny.pipeline(_method(skips), corpus, tmp_path / str(skips)).pretrain()[-1] for skips in (0, 2)
    )
    assert plain.about["state_sha256"] == careful.about["state_sha256"] and careful.about["skipped"] == []
