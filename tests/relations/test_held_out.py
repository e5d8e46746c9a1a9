"""Nobody who is held out anywhere is learned from before the scores."""

from __future__ import annotations

from pathlib import Path

import tiny

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.splits import PatientSplit
from muscle.datasets.yolo import Yolo
from muscle.job import Job, Start
from muscle.pipeline import Pipeline

OTHER = PatientSplit(valid=0.25, test=0.25, seed=1)


def _job(run: Pipeline, index: int) -> Job:
    return run._job(index, Start(run.recipe.init, 0, key="x"))


def test_the_pool_holds_no_patient_of_any_validation_or_test_part(films: Path) -> None:
    """Two sources hold the same persons and split them differently: the strictest part counts."""
    given = tiny.sources(films)
    twice = {
        **given,
        "again": given["chest"].with_(split=OTHER, rename={"pneumonia": "again", "germ": "germ2"}),
    }
    corpus = tiny.prepared(films, DataFile(sources=twice, split=tiny.SPLIT))
    held_out = {
        patient
        for store in corpus.stores
        for patient, part in zip(store.strings("patient"), store.strings("split"), strict=True)
        if part != "train"
    }
    alone = tiny.corpus(films)
    assert len(held_out) > len(
        {p for r in alone.tasks.values() for part in (r.valid, r.test) for p in part.patients}
    )
    assert len(corpus.pool) and set(corpus.pool.splits) == {"train"}
    assert not held_out & set(corpus.pool.patients)
    assert not {
        p for rows in corpus.tasks.values() for p in (*rows.valid.patients, *rows.test.patients)
    } & set(corpus.pool.patients)
    trained = {
        p
        for tasks in (corpus.tasks, corpus.internal_tasks)
        for rows in tasks.values()
        for p in rows.train.patients
    }
    assert trained and not held_out & trained
    assert len(set(corpus.pool.strings("image_hash"))) == len(corpus.pool)  # each image once


def test_the_parts_of_a_target_share_no_patient(corpus: Corpus) -> None:
    for rows in corpus.tasks.values():
        parts = [set(part.patients) for part in (rows.train, rows.valid, rows.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_an_external_source_enters_no_stage_before_its_own_fine_tuning(films: Path, tmp_path: Path) -> None:
    given = tiny.sources(films)
    outside = {"chest": given["chest"], "bones": given["bones"].with_(external=True)}
    corpus = tiny.prepared(films, DataFile(sources=outside, split=tiny.SPLIT))
    run = tiny.pipeline(tiny.small("muscle"), corpus, tmp_path)
    for index in range(2):
        assert {s for rows in _job(run, index).rows.values() for s in rows.sources} == {"chest"}
    assert set(run.tasks()) == {"pneumonia", "germ", "bones"}


def test_an_external_source_stays_out_of_a_task_that_it_shares_with_others(
    films: Path, tmp_path: Path
) -> None:
    """Both teach fractures; the continual stage learns them from the internal one alone."""
    Yolo.write_example(tmp_path / "elsewhere", 30, 50)
    outside = Yolo(root=str(tmp_path / "elsewhere"), target="bones", external=True, split=OTHER)
    shared = {**tiny.sources(films), "outside": outside}
    corpus = tiny.prepared(films, DataFile(sources=shared, split=tiny.SPLIT))
    run = tiny.pipeline(tiny.small("muscle"), corpus, tmp_path)
    for index in range(2):
        assert {s for rows in _job(run, index).rows.values() for s in rows.sources} == {"chest", "bones"}
    assert "outside" in corpus.tasks["bones"].train.sources  # its own fine-tuning learns from it


def test_films_of_an_external_source_stay_out_under_any_other_name(films: Path) -> None:
    """The same films as an internal source too: whoever is external is external everywhere."""
    given = tiny.sources(films)
    shared = {**given, "outside": given["chest"].with_(external=True)}
    corpus = tiny.prepared(films, DataFile(sources=shared, split=tiny.SPLIT))
    assert set(corpus.pool.sources) == {"bones"}
    assert not len(corpus.internal_tasks["germ"].train)
