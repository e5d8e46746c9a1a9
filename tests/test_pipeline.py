"""A recipe on a corpus: what starts from what, and which rate is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from muscle import paths
from muscle import pipeline as pipelines
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.label_draws import label_draw
from muscle.errors import UsageError, UserError
from muscle.job import Job
from muscle.recipe import Finetune
from muscle.scoring import main_score, predict
from muscle.tasks.classification import Classification


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def test_each_stage_starts_where_the_one_before_ended(corpus: Corpus, tmp_path: Path) -> None:
    method = tiny.continual(tiny.small("muscle", rounds=1), tasks=(Classification(batch_size=8),))
    first, second = tiny.pipeline(method, corpus, tmp_path).pretrain()
    assert second.about["before"] == first.about["key"]
    matrix = second.about["matrix"]
    kernels = [v.norm() for v in first.backbone_state().values() if v.ndim > 1]
    assert matrix[0]["kernel_norm"] == pytest.approx(float(torch.stack(kernels).norm()), rel=1e-4)


def test_scratch_has_no_stage(corpus: Corpus, tmp_path: Path) -> None:
    assert tiny.pipeline(tiny.small("scratch"), corpus, tmp_path).pretrain() == []


def test_a_recipe_without_fine_tuning_scores_nothing(corpus: Corpus, tmp_path: Path) -> None:
    run = tiny.pipeline(tiny.small("md-moco").with_(finetune=None), corpus, tmp_path)
    with pytest.raises(UsageError, match="no finetune"):
        run.tasks()


def test_the_rate_that_validates_best_is_kept(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1e-4: 0.6, 1e-3: 0.8, 1e-2: 0.7}
    tried: list[float] = []

    def computed(job: Job, *_: object) -> Checkpoint:
        rate = job.stage.optimizer.backbone_rate
        assert rate is not None
        tried.append(rate)
        return Checkpoint(tmp_path, {"best": {"valid": scores[rate]}, "rate": rate})

    monkeypatch.setattr(pipelines, "run_stage", computed)
    method = tiny.small("scratch")
    method = method.with_(finetune=Finetune(tasks=(Classification(),), backbone_rates=tuple(scores)))
    assert tiny.tuned(tiny.pipeline(method, corpus, tmp_path), "germ", 0).about["rate"] == 1e-3
    assert tried == list(scores)
    scores |= dict.fromkeys(scores, None)  # type: ignore[arg-type]  # nothing to select by: the first
    assert tiny.tuned(tiny.pipeline(method, corpus, tmp_path), "germ", 0).about["rate"] == 1e-4


def test_a_tuned_model_comes_back_as_it_was(corpus: Corpus, tmp_path: Path) -> None:
    """Oracle: the validation score that was written when its epoch was chosen."""
    run = tiny.pipeline(tiny.small("scratch"), corpus, tmp_path)
    made = tiny.tuned(run, "pneumonia", 0)
    rows = corpus.tasks["pneumonia"]
    backbone, module = run.load(made, run.tasks()["pneumonia"], rows.target)
    assert not backbone.training and not module.training
    again = predict(backbone, module, rows.valid, rows.target, run.recipe.normalization, torch.device("cpu"))
    assert main_score(again) == made.about["best"]["valid"]
    with pytest.raises(UsageError, match="holds no head for germ"):
        run.load(made, run.tasks()["germ"], corpus.tasks["germ"].target)


def test_heads_are_fresh_unless_they_are_continued(corpus: Corpus, tmp_path: Path) -> None:
    """The head of the continual stage is where fine-tuning starts only if asked; seen before the first step."""
    method = tiny.continual(tiny.small("muscle", rounds=1), tasks=(Classification(batch_size=8),))
    still = method.finetune.optimizer.with_(rate=1e-12, weight_decay=0.0)  # type: ignore[union-attr]
    found = {}
    for head in ("fresh", "continued"):
        tuned = method.finetune.with_(head=head, optimizer=still, backbone_rates=(1e-12,), epochs=1)  # type: ignore[union-attr]
        run = tiny.pipeline(method.with_(finetune=tuned), corpus, tmp_path)
        found[head] = tiny.tuned(run, "germ", 0).head_state("germ")
        trained = run.pretrain()[-1].head_state("germ")
    assert trained is not None and found["fresh"] is not None and found["continued"] is not None
    for name, value in trained.items():
        torch.testing.assert_close(found["continued"][name], value, rtol=0, atol=1e-6)
    assert any(not torch.allclose(found["fresh"][n], v, atol=1e-3) for n, v in trained.items())


def test_the_machine_does_not_enter_a_key(corpus: Corpus, tmp_path: Path) -> None:
    run = tiny.pipeline(tiny.small("md-moco"), corpus, tmp_path)
    other = replace(run, machine=tiny.MACHINE.with_(workers=3, snapshot_minutes=9.0))
    assert run._job(0, run._start(0)).key == other._job(0, other._start(0)).key


def test_rates_and_added_epochs_are_said(corpus: Corpus, tmp_path: Path) -> None:
    """Two passes over one task, and more epochs than were asked for, looked like a fault."""
    heard: list[str] = []

    class Heard(tiny.Progress):
        def message(self, text: str) -> None:
            heard.append(text)

    scratch = tiny.small("scratch")
    assert scratch.finetune is not None
    asked = scratch.finetune.with_(epochs=1, least_steps=5, backbone_rates=(1e-3, 1e-4))
    scratch = scratch.with_(finetune=asked)
    run = pipelines.Pipeline(scratch, corpus, tiny.MACHINE, tmp_path, Heard())
    run.finetune_grid("pneumonia", 0)
    said = [text for text in heard if "backbone rate" in text]
    assert len(said) == 2
    assert said[1].startswith("finetune-pneumonia: backbone rate 0.0001, 2 of 2; ")
    assert said[1].endswith("epochs instead of 1, to reach finetune.least_steps (0: no more than asked)")
    heard.clear()
    run.finetune_grid("pneumonia", 0)
    assert heard == [
        f"finetune-pneumonia: backbone rate {rate:g}, {n} of 2, found: it was computed before"
        for n, rate in enumerate((1e-3, 1e-4), 1)
    ]


def test_few_labels_are_a_draw_of_patients_the_same_for_every_init(corpus: Corpus, tmp_path: Path) -> None:
    """Compared with the draw itself; a share of 1 trains on the part as it is."""
    task = corpus.tasks["pneumonia"]
    assert len(set(task.train.patients)) == 4
    drawn = []
    for name, seed in (("md-moco", 0), *(("scratch", seed) for seed in range(6))):
        method = tiny.small(name)
        assert method.finetune is not None
        few = method.with_(finetune=method.finetune.with_(labels=0.5))
        found = tiny.pipeline(few, corpus, tmp_path).learned("pneumonia", seed)
        rows = label_draw(task.train.patients, task.train.labels(task.target), 0.5, seed)
        assert found.train.ids == task.train.take(rows).ids and found.valid is task.valid
        assert tiny.pipeline(method, corpus, tmp_path).learned("pneumonia", seed) is task
        drawn.append(found.train.ids)
        boxes = tiny.pipeline(few, corpus, tmp_path).learned("bones", seed)
        assert len(set(boxes.train.patients)) == round(len(set(corpus.tasks["bones"].train.patients)) / 2)
    assert drawn[0] == drawn[1] and len({tuple(ids) for ids in drawn}) > 1 and len(drawn[0]) == 8


def test_few_labels_train_another_model_under_another_key(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []

    def computed(job: Job, *_: object) -> Checkpoint:
        jobs.append(job)
        return Checkpoint(tmp_path, {"best": {"valid": 0.5}})

    monkeypatch.setattr(pipelines, "run_stage", computed)
    method = tiny.small("scratch")
    assert method.finetune is not None
    for labels in (1.0, 0.5):
        changed = method.with_(finetune=method.finetune.with_(labels=labels, backbone_rates=(1e-3,)))
        tiny.pipeline(changed, corpus, tmp_path).finetune_grid("pneumonia", 0)
    whole, few = jobs
    assert len(whole.rows["pneumonia"]) == 2 * len(few.rows["pneumonia"]) and whole.key != few.key


def test_few_labels_are_refused_where_a_stage_has_learned_them_all(corpus: Corpus, tmp_path: Path) -> None:
    method = tiny.continual(tiny.small("muscle"), tasks=(Classification(batch_size=8),))
    assert method.finetune is not None
    few = method.with_(finetune=method.finetune.with_(labels=0.5))
    with pytest.raises(UsageError, match="continual learns all labels of pneumonia"):
        tiny.pipeline(few, corpus, tmp_path).check()
    without = tiny.continual(few, tasks=(Classification(batch_size=8, data="germ"),))
    assert len(tiny.pipeline(without, corpus, tmp_path).learned("pneumonia", 0).train)


def test_a_stage_that_will_not_fit_on_the_disk_does_not_begin(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the bytes of ResNet-18's weights as torchvision counts them, less the snapshot that is there."""
    weights = 4 * (11_689_512 - 513_000 - 2 * 64 * 7 * 7)  # without classifier, one channel in
    free = 10 * weights - 1
    monkeypatch.setattr(paths, "free_bytes", lambda _: free)
    run = tiny.pipeline(tiny.small("md-moco"), corpus, tmp_path)
    began: list[Job] = []
    monkeypatch.setattr(pipelines, "run_stage", lambda job, *_: began.append(job))
    with pytest.raises(UserError, match="stage pretrain, with its snapshots, needs 0.4 GB at .* make room"):
        run.pretrain()
    assert not began
    snapshot = tmp_path / f"{run.stage_jobs()[0].key[:16]}.running" / "snapshot.pt"
    snapshot.parent.mkdir()
    snapshot.write_bytes(b"1")
    run.pretrain()
    assert len(began) == 1
