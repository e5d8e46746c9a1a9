"""What was computed once is never computed again: methods are prefixes of each other, found by key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import tiny

from muscle.data.corpus import Corpus
from muscle.recipe import Recipe
from muscle.tasks.classification import Classification


def labels_only(name: str, **options: int) -> Recipe:
    """The small recipe without dense tasks in its continual stage."""
    return tiny.continual(tiny.small(name, **options), tasks=(Classification(batch_size=8),))


def test_md_moco_naive_and_muscle_share_one_pretraining(
    corpus: Corpus, tmp_path: Path, ran: Counter[str]
) -> None:
    methods = [tiny.small("md-moco"), labels_only("muscle-naive", rounds=1), labels_only("muscle", rounds=1)]
    made = [tiny.pipeline(method, corpus, tmp_path).pretrain() for method in methods]
    assert ran == {"pretrain": 1, "continual": 2}
    assert len({first.about["key"] for first, *_ in made}) == 1
    assert len({first.folder for first, *_ in made}) == 1
    naive, full = made[1][-1], made[2][-1]
    assert naive.about["key"] != full.about["key"]
    assert naive.about["before"] == full.about["before"] == made[0][0].about["key"]


def test_the_same_command_twice_computes_nothing(corpus: Corpus, tmp_path: Path, ran: Counter[str]) -> None:
    method = labels_only("muscle", rounds=1)
    first = tiny.pipeline(method, corpus, tmp_path)
    tuned = tiny.tuned(first, "pneumonia", 0)
    done = dict(ran)
    assert done == {"pretrain": 1, "continual": 1, "finetune-pneumonia": 1}
    again = tiny.tuned(tiny.pipeline(method, corpus, tmp_path), "pneumonia", 0)
    assert ran == done
    assert again.about == tuned.about


def test_another_seed_of_fine_tuning_shares_the_stages(
    corpus: Corpus, tmp_path: Path, ran: Counter[str]
) -> None:
    run = tiny.pipeline(tiny.small("md-moco"), corpus, tmp_path)
    keys = {tiny.tuned(run, "germ", seed).about["key"] for seed in (0, 1)}
    assert len(keys) == 2 and ran == {"pretrain": 1, "finetune-germ": 2}


def test_seeds_of_scratch_start_from_other_weights(corpus: Corpus, tmp_path: Path) -> None:
    run = tiny.pipeline(tiny.small("scratch"), corpus, tmp_path)
    starts = [tiny.tuned(run, "germ", seed).about["before"] for seed in (0, 1)]
    assert starts[0] != starts[1]
