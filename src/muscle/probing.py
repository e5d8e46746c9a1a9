"""What pre-trained backbones are worth before any fine-tuning: k-NN and linear probes on few and on many labels."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from muscle import paths
from muscle.busy import as_they_get_free, exclusive
from muscle.data.data_file import DataFile
from muscle.data.label_draws import label_draw
from muscle.data.rows import Rows
from muscle.errors import UsageError, UserError
from muscle.evaluate import scores
from muscle.features import knn_outputs
from muscle.frozen import Frozen, embedding, labelled, labels_seen
from muscle.grid import prepare_all
from muscle.job import Start, start_key
from muscle.linear_probe import linear_probe
from muscle.machine import Machine
from muscle.parts import digest
from muscle.pipeline import Pipeline
from muscle.predictions import Predictions
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe
from muscle.report.reading import read_embedding
from muscle.results import Results
from muscle.statistics.intervals import describe

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)  # of the labelled patients of the training part
DRAWS = 3
PROBES = ("k-NN", "linear")
NEIGHBOURS = 20
REVISION = 1  # raised when the same settings come to give other numbers


def run_probes(
    recipes: Sequence[Recipe],
    file: DataFile,
    out: Path,
    store: Path,
    machine: Machine,
    title: str = "",
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    progress: Progress = SILENT,
) -> Results:
    """Every start's frozen features on every labelled target: both probes, every share, every draw of patients.

    What a start lacks is computed, its stages too; what ``out`` has of it is found by key.

    Raises:
        UsageError: shares or draws that are none.
        UserError: no labelled target, or weights that were trained on validation or test films.
    """
    check_shares(shares, draws)
    machine.torch_device()
    corpora = prepare_all(recipes, file, store, machine, progress)
    for corpus in corpora.values():
        labelled(corpus)
    root = paths.checkpoints(out)
    results = Results(out, title, file.synthetic, machine)
    for recipe in recipes:  # what is refused is refused before anything leaves the table
        if said := results.put_start(recipe, corpora[recipe.size, recipe.decode, recipe.fit]):
            progress.message(said)
    results.drop_probes({corpus.digest for corpus in corpora.values()})
    results.put_sources(corpora[recipes[0].size, recipes[0].decode, recipes[0].fit])

    def run(recipe: Recipe) -> None:
        corpus = corpora[recipe.size, recipe.decode, recipe.fit]
        results.put_file(f"{recipe.name}-{recipe.backbone.architecture}.yaml", recipe.yaml())
        start = Start(recipe.init, recipe.seed, key=start_key(recipe.backbone, recipe.init, recipe.seed))
        if recipe.stages:
            pipeline = Pipeline(recipe.with_(finetune=None), corpus, machine, root, progress)
            made = pipeline.pretrain()
            results.put_stages(recipe, made)
            start = Start(recipe.init, recipe.seed, made[-1], str(made[-1].about["key"]))
        frozen = Frozen(recipe, corpus, machine, root, start)
        with exclusive(
            out / f".{recipe.name}-{recipe.backbone.architecture}.lock", f"probes of {recipe.name}"
        ):
            results.refresh()
            _embed(frozen, results)
            for name in labelled(corpus):
                _probe(frozen, name, shares, draws, results, progress)

    as_they_get_free(recipes, run, progress)
    return results


def check_shares(shares: Sequence[float], draws: int) -> None:
    """Raises UsageError: no share, one that is none, or no draw."""
    wrong = [share for share in shares if not 0 < share <= 1]
    if not shares or wrong:
        given = ", ".join(f"{share:g}" for share in wrong) or "none"
        raise UsageError(
            f"shares {given}; allowed: above 0 and at most 1, such as 0.01,0.1,1 for 1, 10 and 100 % of the patients"
        )
    if draws < 1:
        raise UsageError(f"draws {draws}; allowed: at least 1")


def _probe(
    frozen: Frozen, name: str, shares: Sequence[float], draws: int, results: Results, progress: Progress
) -> None:
    """All probes of one start on one target, into ``results``."""
    recipe, corpus = frozen.recipe, frozen.corpus
    task = corpus.tasks[name]
    target, patients, labels = task.target, task.train.patients, task.train.labels(task.target)
    seen = labels_seen(recipe, corpus, task)
    if seen and (left := [share for share in shares if share < 1]):
        progress.message(
            f"{recipe.title}, {name}: trained with its labels before, so {len(left)} smaller shares are not few labels "
            "for it and are left out"
        )
    data = {part: rows.digest(target) for part, rows in vars(task).items() if isinstance(rows, Rows)}
    where = f"{recipe.name}-{recipe.backbone.architecture}-{name}"
    for probe, share, draw in _asked([share for share in shares if share == 1 or not seen], draws):
        index = label_draw(patients, labels, share, draw)
        drawn = np.unique(np.asarray(patients)[index])
        entry = {
            "start": recipe.name, "title": recipe.title or recipe.name, "backbone": recipe.backbone.architecture,
            "task": name, "probe": probe, "share": float(share), "draw": draw,
        }  # fmt: skip
        about = {
            "features": frozen.key,
            "key": digest({
                "features": frozen.key, "data": data, "probe": probe, "rows": index.tolist(), "revision": REVISION,
            }),
            "predictions": f"predictions/probe-{where}-{probe}-{100 * share:g}-{draw}.npz",
        }  # fmt: skip
        if results.probe(entry | about):
            continue
        chosen = {}
        train, test = frozen.of(task.train.take(index)), frozen.of(task.test)
        if probe == "k-NN":
            output = knn_outputs(train, labels[index], test, NEIGHBOURS)
        else:
            found = linear_probe(
                train, labels[index], frozen.of(task.valid), task.valid.labels(target), test, target.exclusive
            )  # fmt: skip
            output, chosen = found.output, {"c": found.c, "valid": found.valid}
        predictions = Predictions(
            task=name, kind="labels", classes=target.classes, exclusive=target.exclusive, ids=task.test.ids,
            patients=task.test.patients, truth=task.test.labels(target), output=output,
        )  # fmt: skip
        made_by = {k: entry[k] for k in ("start", "backbone", "probe", "share", "draw")} | {
            "key": about["key"], "data": corpus.digest, "commit": results.head["provenance"]["commit"]
        }  # fmt: skip
        results.put_probe(
            entry | about | {
                "predictions_sha256": predictions.save(results.out / about["predictions"], made_by),
                "n_train": len(index), "patients": len(drawn), "labels_seen": seen, "classes": list(target.classes),
                "metrics": scores(predictions), "intervals": describe(), "data": corpus.digest, **chosen,
            }
        )  # fmt: skip
    _say(results, frozen, name, progress)


def _asked(shares: Sequence[float], draws: int) -> Iterator[tuple[str, float, int]]:
    """Probe, share and draw; of all patients there is one draw only."""
    for share in sorted(set(shares)):
        for draw in range(draws if share < 1 else 1):
            for probe in PROBES:
                yield probe, share, draw


def _say(results: Results, frozen: Frozen, name: str, progress: Progress) -> None:
    """The AUC at the largest share, in words."""
    mine = {"start": frozen.recipe.name, "task": name, "features": frozen.key}
    found = [e for e in results.data["probes"] if mine.items() <= e.items() and "auc" in e["metrics"]]
    most = max((e["share"] for e in found), default=0.0)
    said = [f"{e['probe']} {e['metrics']['auc']['value']:.3f}" for e in found if e["share"] == most]
    if said:
        progress.message(
            f"{frozen.recipe.title or frozen.recipe.name}, {name}: AUC of frozen features with {most:.0%} of the "
            f"labels: {', '.join(dict.fromkeys(said))}"
        )


def _embed(frozen: Frozen, results: Results) -> None:
    """The picture's points into ``embeddings/``: 50 principal components, then t-SNE with a fixed seed."""
    recipe, rows = frozen.recipe, frozen.shown
    if len(rows) < 10:  # too few to have neighbourhoods
        return
    name = f"{recipe.name}-{recipe.backbone.architecture}"
    entry = {
        "start": recipe.name, "title": recipe.title or recipe.name, "backbone": recipe.backbone.architecture,
        "features": frozen.key, "file": f"embeddings/{name}.npz", "n": len(rows), "data": frozen.corpus.digest,
    }  # fmt: skip
    file = results.out / str(entry["file"])
    for there in results.data.get("embeddings", []):
        if entry.items() <= there.items():
            with suppress(UserError):  # lost or damaged: it is made again
                read_embedding(file)
                if paths.sha256_file(file) == there.get("sha256"):
                    return
    whole = io.BytesIO()
    np.savez_compressed(
        whole, xy=embedding(frozen.of(rows)), id=np.array(rows.ids), source=np.array(rows.sources),
        body_part=np.array(rows.strings("body_part")),
        made_by=np.array(json.dumps({k: entry[k] for k in ("start", "backbone", "features", "data")})),
    )  # fmt: skip
    paths.atomic_write(file, whole.getvalue())
    results.put_embedding(entry | {"sha256": paths.sha256_file(file)})


def plan_probes(
    recipes: Sequence[Recipe], file: DataFile, shares: Sequence[float] = SHARES, draws: int = DRAWS
) -> list[dict[str, Any]]:
    """What ``run_probes`` would compute, a row a start, from the records alone; nothing is decoded or written.

    ``films``: at most so many pass through the network, once; ``fits``: probes, each on its draw of patients.

    Raises:
        UsageError: shares or draws that are none.
        UserError: no labelled target.
    """
    check_shares(shares, draws)
    names: dict[str, None] = {}
    films = 0
    for samples, targets in file.read().values():
        names |= {t.name: None for t in targets if t.kind == "labels"}
        films += len(samples)
    if not names:
        raise UserError(
            "no target to probe: no source has labels; masks and boxes are not probed; give labelled films"
        )
    fits = len(names) * len(list(_asked(shares, draws)))
    return [
        {
            "start": r.name, "backbone": r.backbone.architecture, "size": f"{r.size[0]}x{r.size[1]}", "films": films,
            "targets": ", ".join(names), "fits": fits, "stages first": ", ".join(s.name for s in r.stages) or "none",
        }
        for r in recipes
    ]  # fmt: skip
