"""External validation: a fine-tuned model on films of elsewhere, that neither it nor any stage before has seen."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from muscle import paths
from muscle.backbones import BackboneModule
from muscle.checkpoint import Checkpoint
from muscle.data.audit import compared, met
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.layouts import how_to_label
from muscle.data.levels import Levels, grey_levels, unlike
from muscle.data.rows import Rows
from muscle.data.seen import POOL_FILE, read_seen, write_seen
from muscle.errors import UserError
from muscle.evaluate import described, scored
from muscle.machine import Machine
from muscle.parts import digest
from muscle.pipeline import Pipeline
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe, Stage, Weights
from muscle.report.reading import load_results
from muscle.results import Results
from muscle.scoring import predict_together
from muscle.seal import sealed, unsealed
from muscle.statistics.intervals import describe
from muscle.tasks import Task, TaskModule
from muscle.types import Target

FILE = "model.json"  # beside a fine-tuned checkpoint
KEY = re.compile("[0-9a-f]{64}")  # of a checkpoint, whose folder has the first 16 for a name


class _Kept(BaseModel):
    """What ``FILE`` says of a model; see ``take_home``, which writes it."""

    model_config = ConfigDict(strict=True)

    recipe: dict[str, Any]
    target: Target
    grey_levels: Levels
    train_images: int
    title: str
    task: str
    seed: int  # becomes part of a file's name
    threshold: dict[str, Any] | None
    temperature: float | None
    seen_sha256: str  # of the list of films that it has seen


def take_home(checkpoint: Checkpoint, pipeline: Pipeline, cell: Mapping[str, Any]) -> None:
    """Writes beside a fine-tuned checkpoint what it takes to use it elsewhere, and which films it has seen.

    Seen are those that any stage or the fine-tuning learned from, those that chose its epoch, rate and threshold, and
    those of the weights that it started from.
    """
    corpus, recipe = pipeline.corpus, pipeline.recipe
    rows = corpus.tasks[cell["task"]]
    jobs = [*pipeline.stage_jobs(), *pipeline.finetune_jobs(cell["task"], cell["seed"])]
    parts = [rows.valid, *(taken for job in jobs for taken in job.rows.values())]
    parts += [found.valid for job in jobs for found in job.annotated.values()]
    before = read_seen(Path(recipe.init.file)) if isinstance(recipe.init, Weights) else ()
    paths.sweep(checkpoint.folder)
    write_seen(checkpoint.folder, _together(parts), before)
    about = {
        "recipe": recipe.dump(), "target": asdict(rows.target), "train_images": len(rows.train),
        "grey_levels": grey_levels(rows.train, recipe.normalization),
        **{k: cell[k] for k in ("title", "task", "seed", "threshold", "temperature")},
        "seen_sha256": paths.sha256_file(checkpoint.folder / POOL_FILE),
    }  # fmt: skip
    paths.atomic_write(checkpoint.folder / FILE, sealed(about))


def at_home(root: Path, key: str) -> bool:
    """Whether ``take_home`` has been there."""
    return (root / key[:16] / FILE).is_file()


def _together(parts: Sequence[Rows]) -> Rows:
    """Every row of any of them, once."""
    pairs = np.concatenate([np.stack([p.store.astype(np.int64), p.row.astype(np.int64)], 1) for p in parts])
    store, row = np.unique(pairs, axis=0).T
    return Rows(parts[0].stores, store.astype(np.int16), row.astype(np.int32))


def validate(
    checkpoint: Path,
    file: DataFile,
    out: Path,
    store: Path,
    machine: Machine,
    task: str = "",
    progress: Progress = SILENT,
) -> Results:
    """Every film of a data file that knows the target, whatever its part, predicted and scored as one cell.

    The threshold and temperature are those that the model's own validation part chose.

    Args:
        checkpoint: the folder of a fine-tuned model, as ``compare``, ``finetune`` and ``run`` keep it, or of a run that
            kept one alone.
        task: the target of the data file, also as ``KIND:TARGET``; by default the one of the model's name.

    Raises:
        UserError: no such model; a target that is not there, of no film, or means something else; films that the model
            has seen (not with ``allow_leaks``, which the provenance states); a folder with scores of other films.
    """
    checkpoint = _home(checkpoint)
    made, about = _model(checkpoint)
    recipe, trained = Recipe.parse(about.recipe), about.target
    machine.settle()
    corpus = Corpus.prepare(file, recipe.size, recipe.decode, recipe.fit, store, machine.workers, progress)
    target = _target(corpus, task.rpartition(":")[2] or trained.name, trained)
    every = corpus.all_rows
    rows = every.take(every.known(target))
    if not len(rows):
        raise UserError(
            f"target {target.name}: no film is left that knows it; give films with it, or exclude fewer of them"
        )
    if other := unlike(rows, recipe.normalization, about.grey_levels):
        progress.message(f"warning: {other}")
    seen = read_seen(checkpoint)
    leaks = met(rows, seen)
    if leaks and not file.allow_leaks:
        raise UserError(
            f"{len(leaks)} of {len(rows)} films are no external ones, the model has seen them: {leaks[0]}; leave them "
            "out (exclude: FILE in the data file), or allow it there (allow_leaks: true), which the results will state"
        )
    results = Results(out, f"External validation of {about.title}", file.synthetic, machine)
    _refuse_others(results, corpus)
    model, module = _load(made, recipe, trained, about.train_images)
    predictions = predict_together(model, module, rows, target, recipe.normalization, machine)
    predictions = described(predictions, corpus, rows, recipe.decode)
    facts = results.head["provenance"]
    facts["model"] = f"{made.folder.name}, backbone sha256 {made.sha256}"
    facts["leak check"] = f"films compared with those that the model has learned from: {compared(rows, seen)}"
    facts |= {"grey levels": other} if other else {}
    if leaks:
        facts["leaks allowed"] = f"the model has seen {len(leaks)} of these films, so scores flatter"
    name = f"predictions/{recipe.name}-{recipe.backbone.architecture}-{target.name}-{about.seed}.npz"
    made_by = {"recipe": recipe.name, "backbone": recipe.backbone.architecture, "seed": about.seed,
               "data": corpus.digest, "key": made.about["key"], "commit": facts["commit"]}  # fmt: skip
    sha256 = predictions.save(results.out / name, made_by)
    results.put_file(f"{recipe.name}.yaml", recipe.yaml())
    results.put_sources(corpus, tested=True)
    results.put_cell({
        "recipe": recipe.name, "title": about.title, "backbone": recipe.backbone.architecture, "task": target.name,
        "kind": target.kind, "classes": list(target.classes), "seed": about.seed, "external": True,
        **scored(predictions, {"threshold": about.threshold, "temperature": about.temperature}),
        "predictions": name, "predictions_sha256": sha256, "minutes": made.about["minutes"],
        "data": corpus.digest, "key": made.about["key"], "test": rows.digest(target), "intervals": describe(),
        "settings": digest(about.recipe),
        "commit": results.head["provenance"]["commit"], "threads": results.head["provenance"]["threads"],
        "train_images": about.train_images, "valid": made.about["best"]["valid"],
        "best_epoch": made.about["best"]["turn"] + 1,
        "backbone_rate": made.about["stage"]["optimizer"]["backbone_rate"],
    })  # fmt: skip
    return results


def _refuse_others(results: Results, corpus: Corpus) -> None:
    """Sees that no cell of other films is replaced, nor stands in one table with these."""
    for cell in results.data["cells"]:
        if not cell.get("external") or cell.get("data") != corpus.digest:
            raise UserError(
                f"{results.out}: holds scores of {cell.get('title', cell['recipe'])} on other films ({cell['task']}), "
                "and a table never mixes data; give another folder (--out)"
            )


def _home(folder: Path) -> Path:
    """The folder itself; of a run that of the fine-tuned model that it kept."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise UserError(
            f"{folder}: {what}; give the folder of a run, or of a model in checkpoints/ (`muscle ls` names them)"
        )
    if not (folder / "results.json").is_file():
        return folder
    root = paths.checkpoints(folder)
    cells: dict[Path, dict[str, Any]] = {
        root / key[:16]: cell
        for cell in load_results(folder)["cells"]
        if KEY.fullmatch(key := str(cell.get("key", ""))) and at_home(root, key) and not cell.get("external")
    }
    if not cells:
        raise UserError(
            f"{folder}: none of its fine-tuned models has its weights in {root}; `muscle finetune`, or `muscle compare "
            "--keep-weights`, with the same sources and recipe makes them again"
        )
    if len(cells) > 1:
        each = "; ".join(
            f"{home} ({cell['title']}, {cell['task']}, seed {cell['seed']})" for home, cell in cells.items()
        )
        raise UserError(f"{folder}: {len(cells)} fine-tuned models; give one of their folders: {each}")
    return next(iter(cells))


def _model(folder: Path) -> tuple[Checkpoint, _Kept]:
    if not (folder / FILE).is_file() or not (folder / "stage.json").is_file():
        raise UserError(
            f"{folder}: no fine-tuned model; give the folder of a run, or one of checkpoints/ that holds {FILE} "
            "(`muscle ls` names them; muscle compare --keep-weights keeps those of every seed)"
        )
    try:
        key = unsealed((folder / "stage.json").read_bytes())["key"]
        about = _Kept.model_validate_json(json.dumps(unsealed((folder / FILE).read_bytes())))
        wrong = "" if KEY.fullmatch(key) else "key"
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, fault["loc"])) or fault["msg"] for fault in error.errors())
    except (ValueError, KeyError, TypeError) as error:
        wrong = f"damaged: {error}"
    if wrong:
        raise UserError(
            f"{folder}: {FILE} or stage.json is not as it was written ({wrong}); remove the folder and give the "
            "command of the run again"
        )
    films = folder / POOL_FILE
    if not films.is_file() or paths.sha256_file(films) != about.seen_sha256:
        raise UserError(
            f"{films}: missing or changed since it was written, so which films the model has seen is not known; remove "
            "the folder and give the command of the run again"
        )
    made = Checkpoint.find(folder.absolute().parent, key)
    if made is None:
        raise UserError(f"{folder}: not where it was written; give back its name {key[:16]}")
    return made, about


def _target(corpus: Corpus, name: str, trained: Target) -> Target:
    """The target of the data, which must mean what the model has learned."""
    every = {t.name: t for s in corpus.stores for t in s.targets}
    if not every:
        raise UserError(f"target {name!r}: not in this data, which has none; {how_to_label(corpus.file)}")
    asked = replace(trained, name="")
    same = [t.name for t in every.values() if replace(t, name="") == asked]
    if name in same:
        return every[name]
    there = f"it is {_meaning(every[name])} here" if name in every else "not in this data"
    rest = "; ".join(f"{t.name} ({_meaning(t)})" for t in every.values())
    do = (
        f"give --task {' or '.join(same)}"
        if same
        else f"none of its targets is that: {rest}; give data that has it"
    )
    raise UserError(f"target {name!r}: {there}; the model knows {_meaning(trained)}; {do}")


def _meaning(target: Target) -> str:
    each = "" if target.exclusive else ", each present or not"
    return f"{target.kind} of {', '.join(target.classes)}{each}"


def _load(made: Checkpoint, recipe: Recipe, target: Target, images: int) -> tuple[BackboneModule, TaskModule]:
    (task,) = Stage.parse(made.about["stage"]).tasks
    assert isinstance(task, Task)
    backbone = recipe.backbone.build()
    backbone.net.load_state_dict(made.backbone_state())
    module = task.build(backbone, target, images)
    head = made.head_state(target.name)
    if head is None:
        raise UserError(f"{made.folder}: holds no head for {target.name}; give a fine-tuned model")
    module.head.load_state_dict(head)
    return backbone.eval(), module.eval()
