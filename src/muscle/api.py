"""What ``import muscle`` offers: folders in, a backbone, fine-tuned models and a table out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from muscle import external, paths, verifying
from muscle.case_table import write_cases
from muscle.checks import Check
from muscle.data.levels import grey_levels, trained_levels, unlike
from muscle.data.seen import POOL_FILE, read_seen, write_seen
from muscle.errors import UsageError
from muscle.features import extract
from muscle.grid import Share, prepare, run_grid
from muscle.lineup import compared, more_rows, probed
from muscle.machine import Machine
from muscle.pipeline import Pipeline
from muscle.probing import DRAWS, SHARES, run_probes
from muscle.progress import SILENT, Progress
from muscle.provenance import provenance
from muscle.recipe import Recipe, Weights
from muscle.recipes import RECIPES
from muscle.results import Results
from muscle.seal import sealed
from muscle.starts import (
    Pretrained,
    Sources,
    choose_preset,
    data_file,
    load_recipe,
    start_recipe,
)
from muscle.tasks import ANNOTATED


@dataclass(frozen=True)
class Finished:
    """A comparison, a validation or probes: ``results`` as in ``results.json``, ``report_file`` to look at."""

    out: Path
    results: Results
    report_file: Path

    @property
    def cells(self) -> list[dict[str, Any]]:
        """One entry for each recipe, task and seed."""
        found: list[dict[str, Any]] = self.results.data["cells"]
        return found

    @property
    def probes(self) -> list[dict[str, Any]]:
        """One entry for each start, target, kind of probe, share of the labels and draw."""
        found: list[dict[str, Any]] = self.results.data.get("probes", [])
        return found

    def table(self) -> str:
        """The tables in the paper's form, and AUC by share of the labels, as Markdown."""
        tables = self.out / "tables"
        files = [*sorted(tables.glob("table[23]*.md")), *tables.glob("frozen.md")]
        texts = [file.read_text(encoding="utf-8").partition("\n<!--")[0] for file in files]
        return "\n\n".join(text.strip() for text in texts)


def _finished(out: Path, results: Results, progress: Progress, share: Share = Share()) -> Finished:  # noqa: B008
    """The report, and the long-form table; of one job of several the last to finish writes them."""
    open_ = [cell for cell in results.data["missing"] if cell["status"] == "not run" and not cell["why"]]
    if share.jobs > 1 and open_:
        progress.message(f"{len(open_)} cells are still open; the job that finishes last writes the report")
        return Finished(out, results, out / "report.html")
    write_cases(out)
    return Finished(out, results, _report(out))


def _report(out: Path) -> Path:
    from muscle.report.page import report  # matplotlib takes a second to import, and only a report needs it

    return report(out)


def pretrain(
    sources: Sources,
    method: str = "md-moco",
    backbone: str | None = None,
    out: str | Path | None = None,
    init: str | Path | None = None,
    preset: str = "auto",
    overrides: Sequence[str] = (),
    store: str | Path | None = None,
    machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Pretrained:
    """Pre-trains a backbone on folders of films; resumes by itself, and finds finished stages again.

    Args:
        sources: a folder, ``KIND=ROOT``, a data file, or several of them.
        method: a shipped recipe's name or a YAML file; its stages are run, its fine-tuning is not.
        backbone: ``resnet18`` (the default) or ``resnet50``; others through a YAML recipe.
        out: where ``backbone.safetensors`` and ``backbone.json`` go; ``./runs/METHOD`` by default.
        init: ``imagenet`` or a file of weights to start from.
        preset: ``paper``, ``small``, ``demo``, or ``auto`` by the number of images.
        overrides: ``path.to.field=value`` changes to the recipe.
        store: the folder of stores; ``$MUSCLE_STORE``, else ``./muscle-store`` by default.

    Raises:
        UserError: in one line, what is wrong with the data, the disk or the run.
    """
    machine = machine or Machine()
    machine.torch_device()
    file = data_file(sources)
    wanted = load_recipe(method, choose_preset(preset, file, progress), backbone, overrides, init).with_(
        finetune=None
    )
    if not wanted.stages:
        trained = ", ".join(name for name in RECIPES if name not in ("scratch", "imagenet"))
        raise UsageError(f"method {method}: it has no stage to pre-train; known: {trained}")
    wanted.check_weights()
    folder = paths.run_folder(out, wanted.name)
    corpus = prepare(wanted, file, Path(store) if store else paths.stores(), machine, progress)
    corpus.check_leaks()
    pipeline = Pipeline(wanted, corpus, machine, paths.checkpoints(folder), progress)
    pipeline.check()
    last = pipeline.pretrain()[-1]
    folder.mkdir(parents=True, exist_ok=True)
    paths.sweep(folder)
    backbone_file = folder / "backbone.safetensors"
    if backbone_file.is_file() and (before := paths.sha256_file(backbone_file)) != last.sha256:
        progress.message(
            f"{backbone_file}: held other weights ({before[:12]}), of other settings or films; they are replaced, and "
            "what was fine-tuned from them no longer tells by the name of this folder what it started from"
        )
    paths.atomic_write(backbone_file, last.backbone_file.read_bytes())
    paths.atomic_write(folder / "recipe.yaml", wanted.yaml())
    paths.atomic_write(folder / "log.jsonl", last.log_file.read_bytes())
    seen_before = read_seen(Path(wanted.init.file)) if isinstance(wanted.init, Weights) else ()
    write_seen(folder, corpus.learnable, seen_before)
    files = {name: paths.sha256_file(folder / name) for name in ("recipe.yaml", "log.jsonl", POOL_FILE)}
    about = {
        "recipe": wanted.dump(), "key": last.about["key"], "sha256": last.sha256, "size": list(wanted.size),
        "normalization": wanted.normalization.dump(), "decode": wanted.decode.dump(), "fit": wanted.fit,
        "images": len(corpus.pool), "features": _last_features(last.about["matrix"]), "provenance": provenance(machine),
        "grey_levels": grey_levels(corpus.pool, wanted.normalization),
        "files": files, "sources": [
            {"name": s.name, "store": str(s.path.resolve()), "digest": s.digest} for s in corpus.stores
        ],
    }  # fmt: skip
    paths.atomic_write(folder / "backbone.json", sealed(about))
    _say_worth(about["features"], progress)
    return Pretrained(folder, backbone_file, last.sha256, about)


def _say_worth(features: dict[str, Any], progress: Progress) -> None:
    """Whether the frozen features became better than those of the start, and what to do if not, in one line."""
    if not features:
        return
    start, end = features["start"], features["end"]
    scores = [name for name in end if name.startswith(("knn:", "probe:")) and name in start]
    if scores:
        better = sum(end[name] > start[name] for name in scores)
        shown = ", ".join(f"{name} {start[name]:.2f} to {end[name]:.2f}" for name in scores[:4])
        more = f" and {len(scores) - 4} more" if len(scores) > 4 else ""
        said = (
            f"frozen features: {better} of {len(scores)} scores on validation films are above those of the start "
            f"({shown}{more}; no intervals: `muscle probe` has them)"
        )
        if 2 * better <= len(scores):
            said += (
                "; without fine-tuning they tell labelled films apart no better than before pre-training: give more "
                "films or epochs (stages.0.schedule.epochs_per_task), and see with `muscle compare` whether it helps"
            )
        progress.message(said)


def _last_features(matrix: list[dict[str, Any]]) -> dict[str, Any]:
    looks = [entry["features"] for entry in matrix if "features" in entry]
    return {"start": looks[0], "end": looks[-1]} if looks else {}


def run(
    recipe: Recipe, sources: Sources, out: Path, store: str | Path | None = None, machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Finished:  # fmt: skip
    """A whole recipe: stages, fine-tuning of every task at every seed, scores, report."""
    where = Path(store) if store else paths.stores()
    results = run_grid(
        [recipe],
        data_file(sources),
        out,
        where,
        machine or Machine(),
        recipe.title or recipe.name,
        progress=progress,
    )
    return _finished(out, results, progress)


def compare(
    sources: Sources,
    starts: Sequence[str | Path | Pretrained] = (),
    recipes: Sequence[str] = (),
    backbone: str | None = None,
    seeds: int = 1,
    out: str | Path | None = None,
    preset: str = "auto",
    tasks: Sequence[str] = (),
    overrides: Sequence[str] = (),
    store: str | Path | None = None,
    machine: Machine | None = None,
    title: str = "",
    progress: Progress = SILENT,
    leave_one_task_out: bool = False,
    equal_compute: bool = False,
    cell: str = "",
    keep_weights: bool = False,
) -> Finished:
    """Was it worth it? Every start (or recipe) fine-tuned alike on every task, with intervals; and the report.

    Args:
        starts: ``scratch``, ``imagenet``, run folders, files of weights, or what ``pretrain`` gave. Where these
            runs have one backbone, all others take it over, and their size.
        recipes: names of shipped recipes or YAML files, run whole.
        seeds: 0, 1, ... of the fine-tuning.
        backbone: one, or several with commas.
        tasks: kinds (``classification``) or targets to restrict to; all by default.
        cell: ``I/N``: only cells I, I + N, ... from 0, for one of N jobs; ``auto``: of torchrun or a Slurm array.
        keep_weights: of every seed; by default those of the first, and of the others scores and predictions.
        leave_one_task_out: a row more for each recipe that learns tasks before fine-tuning: without the task tested.
        equal_compute: a second table, in which cheaper recipes are fine-tuned until they took as many images in all.

    Raises:
        UserError: in one line; cells that were finished are kept.
    """
    machine = machine or Machine()
    file = data_file(sources)
    folder = paths.run_folder(out, "compare")
    where = Path(store) if store else paths.stores()
    found = compared(
        starts, recipes, backbone, seeds, choose_preset(preset, file, progress), tasks, overrides
    )
    found += more_rows(found, file, where, machine, progress, leave_one_task_out, equal_compute)
    share = Share.parse(cell)
    results = run_grid(
        found, file, folder, where, machine, title or "Comparison", progress, share, keep_weights
    )
    return _finished(folder, results, progress, share)


def finetune(
    sources: Sources,
    start: str | Path | Pretrained = "scratch",
    task: str = "",
    backbone: str | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Finished:
    """One start fine-tuned on one task (or on all): model, scores, report. ``settings`` as in ``compare``."""
    tasks = (task,) if task else ()
    folder = paths.run_folder(out, f"finetune-{task.replace(':', '-') or ANNOTATED}")
    return compare(
        sources,
        starts=[start],
        tasks=tasks,
        backbone=backbone,
        out=folder,
        title=f"Fine-tuning {task}".strip(),
        **{"keep_weights": True, **settings},
    )


def validate(
    checkpoint: str | Path, sources: Sources, out: str | Path | None = None, task: str = "",
    store: str | Path | None = None, machine: Machine | None = None, progress: Progress = SILENT,
) -> Finished:  # fmt: skip
    """External validation of a fine-tuned model, with report; see ``external.validate``."""
    folder = paths.run_folder(out, f"validate-{Path(checkpoint).name}")
    where = Path(store) if store else paths.stores()
    results = external.validate(
        Path(checkpoint), data_file(sources), folder, where, machine or Machine(), task, progress
    )
    return _finished(folder, results, progress)


def probe(
    sources: Sources,
    starts: Sequence[str | Path | Pretrained],
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    backbone: str | None = None,
    out: str | Path | None = None,
    preset: str = "auto",
    overrides: Sequence[str] = (),
    store: str | Path | None = None,
    machine: Machine | None = None,
    title: str = "",
    progress: Progress = SILENT,
) -> Finished:
    """What frozen features are worth: k-NN and a linear probe of every labelled target, on few and on all labels.

    Args:
        starts: as in ``compare``, and names of shipped recipes or YAML files, whose stages are run or found. A network
            without any training always stands beside them.
        shares: of the labelled patients of the training part; smaller ones lie within larger ones.
        draws: of each share below 1; the same ones for every start.

    Raises:
        UserError: in one line; probes that were finished are kept.
    """
    machine = machine or Machine()
    file = data_file(sources)
    found = probed(starts, backbone, choose_preset(preset, file, progress), overrides)
    folder = paths.run_folder(out, "probe")
    where = Path(store) if store else paths.stores()
    results = run_probes(found, file, folder, where, machine, title, shares, draws, progress)
    return Finished(folder, results, _report(folder))


def verify(
    out: str | Path, store: str | Path | None = None, progress: Progress = SILENT
) -> list[Check]:  # fmt: skip
    """Whether a run's folder is as it was written, and its scores those of its predictions; see ``verifying.verify``.

    Raises:
        UserError: nothing there to verify; what is damaged is told by the ``Check`` of its file.
    """
    return verifying.verify(Path(out), Path(store) if store else None, progress)


def embed(
    sources: Sources,
    start: str | Path | Pretrained,
    out: str | Path,
    backbone: str | None = None,
    store: str | Path | None = None,
    machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Frozen features of every image as Parquet: id, source, patient, split, and ``feature`` list<float> [D].

    The schema's metadata say of which start and data they are, and the provenance.
    """
    machine = machine or Machine()
    found = start_recipe(start, "small", backbone)
    corpus = prepare(found, data_file(sources), Path(store) if store else paths.stores(), machine, progress)
    model = found.backbone.build()
    found.init.load(model, found.backbone.architecture)
    machine.settle()
    device = machine.torch_device()
    rows = corpus.all_rows
    trained = trained_levels(Path(found.init.file)) if isinstance(found.init, Weights) else None
    if said := unlike(rows, found.normalization, trained):
        progress.message(f"warning: {said}")
    features = extract(model.to(device), rows, found.normalization, device)
    table = pa.table({
        "id": rows.ids, "source": rows.sources, "patient": rows.patients, "split": rows.splits,
        "feature": pa.array(list(features), pa.list_(pa.float32())),
    })  # fmt: skip
    made_by = {
        "start": found.name,
        "weights": found.init.identity(),
        "data": corpus.digest,
        "provenance": provenance(machine),
    }
    whole = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"muscle": json.dumps(made_by)}), whole)
    paths.atomic_write(out, whole.getvalue().to_pybytes())
    return Path(out)
