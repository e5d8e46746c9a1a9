"""Methods are values of the same parts: where the values meet, the weights are equal to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from muscle import engine
from muscle.continual.regularizers.l2sp import L2SP
from muscle.data.corpus import Corpus
from muscle.optim import Constant, Optimizer
from muscle.schedules import Cyclic, Sequential
from muscle.tasks.classification import Classification

LABELS = (Classification(batch_size=8),)


def test_one_round_in_order_without_penalty_at_a_constant_rate_is_the_naive_method(
    corpus: Corpus, tmp_path: Path
) -> None:
    rate = Constant(value=0.5)
    full = tiny.continual(
        tiny.small("muscle"), schedule=Cyclic(rounds=1, reshuffle=False), curve=rate, regularizers=()
    )
    naive = tiny.continual(tiny.small("muscle-naive"), schedule=Sequential(epochs_per_task=1), curve=rate)
    assert full.stages[-1].tasks == naive.stages[-1].tasks and len(full.stages[-1].tasks) == 3
    a, b = (tiny.pipeline(method, corpus, tmp_path).pretrain()[-1] for method in (full, naive))
    assert a.about["key"] != b.about["key"]  # found by its own key, so computed by itself
    assert tiny.bits(a) == tiny.bits(b)
    files = [{n: sha for n, sha in c.about["files"].items() if n != "backbone.safetensors"} for c in (a, b)]
    assert files[0] == files[1] and len(files[0]) == 4  # three heads and the log


def test_a_penalty_of_weight_zero_is_no_penalty_where_nothing_decays(corpus: Corpus, tmp_path: Path) -> None:
    """With decay it is not: no decay falls on what a regularizer pulls."""
    still = Optimizer(rate=1e-3, weight_decay=0.0)
    shas = []
    for regularizers in ((L2SP(weight=0.0),), ()):
        method = tiny.continual(
            tiny.small("muscle", rounds=1), tasks=LABELS, optimizer=still, regularizers=regularizers
        )
        shas.append(tiny.bits(tiny.pipeline(method, corpus, tmp_path).pretrain()[-1]))
    assert shas[0] == shas[1]


def test_a_penalty_keeps_the_backbone_nearer_to_its_anchor(corpus: Corpus, tmp_path: Path) -> None:
    moved = []
    for weight in (0.0, 5000.0):
        method = tiny.continual(
            tiny.small("muscle", rounds=1), tasks=LABELS, optimizer=Optimizer(name="sgd", rate=1e-3, weight_decay=0.0),
            regularizers=(L2SP(weight=weight, anchor="stage", beta=0.0),),
        )  # fmt: skip
        before, after = (c.backbone_state() for c in tiny.pipeline(method, corpus, tmp_path).pretrain())
        moved.append(sum(float((after[k] - before[k]).pow(2).sum()) for k in before if before[k].ndim > 1))
    assert moved[1] < 0.9 * moved[0]


def test_on_one_chest_source_md_moco_is_moco_with_the_same_views(films: Path, tmp_path: Path) -> None:
    chest = tiny.chest_only(films)
    ours, moco = tiny.small("md-moco"), tiny.small("moco")
    assert ours.stages[0].key() != moco.stages[0].key()  # they differ in their views, and in nothing else
    task = moco.stages[0].tasks[0].with_(views=ours.stages[0].tasks[0].dump()["views"])
    same = moco.with_(stages=(moco.stages[0].with_(tasks=(task,)),))
    assert same.with_(name=ours.name, title=ours.title) == ours
    # The chest alone, as a role, names the same rows; its key is its own, so it is computed anew.
    role = ours.with_(
        stages=(ours.stages[0].with_(tasks=(ours.stages[0].tasks[0].with_(data="pool:chest"),)),)
    )
    made = [tiny.pipeline(method, chest, tmp_path).pretrain()[0] for method in (ours, same, role)]
    assert made[0].about["key"] == made[1].about["key"] != made[2].about["key"]
    assert len({tiny.bits(c) for c in made}) == 1


def test_with_two_sources_the_chest_alone_is_another_pool(corpus: Corpus, tmp_path: Path) -> None:
    ours = tiny.small("md-moco")
    role = ours.with_(
        stages=(ours.stages[0].with_(tasks=(ours.stages[0].tasks[0].with_(data="pool:chest"),)),)
    )
    made = [tiny.pipeline(method, corpus, tmp_path).pretrain()[0] for method in (ours, role)]
    assert made[0].about["images"]["moco"] > made[1].about["images"]["moco"]
    assert tiny.bits(made[0]) != tiny.bits(made[1])


def test_looking_changes_nothing(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen features, contrast, scores on shared and on recomputed statistics: training must not notice."""
    method = tiny.small("muscle", rounds=1)
    looked = tiny.pipeline(method, corpus, tmp_path / "looked").pretrain()
    assert looked[0].about["matrix"][-1]["features"] and looked[1].about["matrix"][-1]["recomputed"]
    monkeypatch.setattr(engine._Run, "_look", lambda self, *_: self.state.matrix.append({}))
    blind = tiny.pipeline(method, corpus, tmp_path / "blind").pretrain()
    assert [c.sha256 for c in looked] == [c.sha256 for c in blind]
    heads = [{n: s for n, s in c[-1].about["files"].items() if n.startswith("head")} for c in (looked, blind)]
    assert heads[0] == heads[1] and len(heads[0]) == 3
