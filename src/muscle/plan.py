"""What a run will cost, before it is begun: 64 files decoded, a few steps of each stage timed, nothing trained."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from muscle import paths
from muscle.data.audit import compared, kept_back, read_left_out, refuse, seen_by_weights
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.prepare import finished
from muscle.data.rows import all_rows
from muscle.data.sampling import steps_of
from muscle.data.seen import read_seen
from muscle.data.source import Source
from muscle.data.splits import AllTrain, PaperSplit
from muscle.errors import UserError
from muscle.job import too_few
from muscle.machine import Machine
from muscle.memory import GIB, told
from muscle.pipeline import IN_SNAPSHOTS, tested
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe, Weights, assign_roles
from muscle.trial import Fits, Trial
from muscle.types import Sample, SplitName, Target

FILES = 64  # decoded over all sources


class _Few(Source):
    """The first few images of each part of another source, so that every task finds something to time on."""

    whole: Source
    few: int

    def read(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every target of the source; as many images as are wanted, annotated ones first."""
        samples, targets = self.whole.read(name)
        ordered = sorted(samples, key=lambda s: -len(s.annotations))
        step = max(1, len(ordered) // self.few)
        chosen = {s.id: s for s in [*ordered[: self.few // 2], *ordered[::step]]}
        return sorted(list(chosen.values())[: self.few], key=lambda s: s.id), targets


def plan(
    recipe: Recipe, file: DataFile, out: Path, store: Path, machine: Machine, progress: Progress = SILENT
) -> dict[str, Any]:
    """Sizes and hours of a recipe on some data.

    The counts are those of the run, but for what only decoding every file would show: files that cannot be read,
    and copies of one film under two names, beyond the files that were tried.

    Args:
        out: the folder of the run.
        store: the folder of the stores. Nothing is written to either.

    Returns:
        Lines of a table: images, store and checkpoint GB, free GB, decoding and total hours, peak memory of this trial,
        the settings that ``auto`` became, with a budget (``Machine.memory``, or a GPU) those that keep each step within
        it, whether the weights to start from have seen test films, ``fits`` ("yes", or the reason why not), and
        ``stages``.

    Raises:
        UserError: what the run itself would raise: no usable image, no task, too few images, a queue too large, weights
            that were trained on films of a finished store that are to test them.
    """
    recipe.check()
    machine.settle()
    recipe.check_weights()
    records = file.read()
    seen = _seen_before(recipe, file, records, store)
    with tempfile.TemporaryDirectory(prefix="muscle-plan-") as scratch:
        few = max(4, FILES // len(file.sources))
        small = DataFile(
            sources={
                n: _Few(root=s.root, external=s.external, whole=s, few=few) for n, s in file.sources.items()
            },
            split=AllTrain(),
        )
        start = time.monotonic()
        corpus = Corpus.prepare(small, recipe.size, recipe.decode, recipe.fit, Path(scratch), 0, progress)
        seconds = (time.monotonic() - start) / max(1, len(corpus.all_rows))
        counts = _count(file, records, corpus)
        stages, settings, heads = _time_stages(recipe, corpus, counts, machine, progress)
    pixels = recipe.size[0] * recipe.size[1]
    store_gb = pixels * (counts.images + counts.masks) / 1e9
    parameters = sum(p.numel() for p in recipe.backbone.build().parameters())
    copies = sum(s["runs"] for s in stages.values()) + IN_SNAPSHOTS + 1  # 1: the copy to take home
    checkpoint_gb = 4 * (parameters * copies + heads) / 1e9
    timed = [row for s in stages.values() for row in s["rows"]]
    free, reasons = _room(store, store_gb, paths.checkpoints(out), checkpoint_gb)
    reasons = [row["note"] for row in timed if row["note"].startswith("no")] + reasons
    return {
        "recipe": recipe.name,
        "images": counts.images,
        "pool": len(counts.pool),
        "unreadable": f"{sum(len(s.quarantine) for s in corpus.stores)} of {counts.tried} tried",
        "size": f"{recipe.size[0]}x{recipe.size[1]}",
        "backbone": recipe.backbone.architecture,
        "device": str(machine.torch_device()),
        "precision": machine.precision(recipe.precision),
        **settings,
        "test films seen by the weights": seen,
        "store GB": round(store_gb, 3),
        "checkpoint GB": round(checkpoint_gb, 3),
        "free GB": round(free, 1),
        "peak memory of this trial GiB": round(_peak(machine) / GIB, 2),
        "decoding hours": _short(seconds * counts.images / 3600),
        "hours in all": _short(seconds * counts.images / 3600 + sum(row["hours"] for row in timed)),
        "fits": "; ".join(reasons) or "yes",
        "stages": timed,
    }


def _seen_before(
    recipe: Recipe, file: DataFile, records: Mapping[str, tuple[list[Sample], list[Target]]], where: Path
) -> str:
    """Which validation and test films the weights to start from were trained on, as far as finished stores tell.

    Raises:
        UserError: there are any, in the words of the run; not with ``allow_leaks``.
    """
    if not isinstance(recipe.init, Weights) or recipe.finetune is None:
        return "none"
    weights = Path(recipe.init.file)
    if not (trained_on := read_seen(weights)):
        return "not known: nothing beside the weights says what they were trained on"
    stores, missing = [], []
    for name, source in file.sources.items():
        split = file.split_of(name)
        found = finished(name, source, records[name], split, recipe.size, recipe.decode, where, recipe.fit)
        if found is None:
            missing.append(name)
        else:
            stores.append(found)
    unknown = f"not checked: no store yet of {', '.join(missing)}"
    if not stores:
        return unknown
    rows = all_rows(tuple(stores), read_left_out(file.exclude))
    leaks = seen_by_weights(rows, trained_on)
    if not file.allow_leaks:
        refuse(leaks, f" --from {weights.parent}")
    if missing:
        return unknown
    count = f"{len(leaks)}, and they are allowed" if leaks else "none"
    return f"{count}, compared {compared(kept_back(rows), trained_on)}"


def _room(store: Path, store_gb: float, checkpoints: Path, checkpoint_gb: float) -> tuple[float, list[str]]:
    """GB free where least are, and why they will not do; two places on one disk share what it has."""
    needs = [("store", store, store_gb), ("checkpoints", checkpoints, checkpoint_gb)]
    if paths.nearest(store).stat().st_dev == paths.nearest(checkpoints).stat().st_dev:
        needs = [("store and checkpoints", store, store_gb + checkpoint_gb)]
    free = [paths.free_bytes(place) / 1e9 for _, place, _ in needs]
    return min(free), [
        f"no: {what} need {needed:.1f} GB, {there:.1f} GB are free; set MUSCLE_STORE or MUSCLE_CHECKPOINTS"
        for (what, _, needed), there in zip(needs, free, strict=True)
        if needed > there
    ]


@dataclass(frozen=True)
class _Counts:
    """What the run will find. ``pool``: the body part of each image; the others: images by target."""

    images: int
    masks: int
    tried: int
    pool: list[str]
    inside: Counter[str]  # to train on in stages
    outside_too: Counter[str]  # to train on in fine-tuning
    test: Counter[str]


def _count(
    file: DataFile, records: Mapping[str, tuple[list[Sample], list[Target]]], tried: Corpus
) -> _Counts:
    """From records, with what the few decoded files tell: which cannot be read, and which show the same film."""
    bad = {(s.name, path) for s in tried.stores for path, _ in s.quarantine}
    same = {
        _place(file, s.name, path, i.removeprefix(f"{s.name}/")): sha
        for s in tried.stores
        for path, i, sha in zip(s.strings("path"), s.strings("id"), s.strings("image_hash"), strict=True)
    }
    left_out = read_left_out(file.exclude)
    rows: list[tuple[str, Sample, SplitName, str]] = []
    for name, (samples, targets) in records.items():
        parts = file.split_of(name).assign(samples, targets)
        for sample, part in zip(samples, parts, strict=True):
            if (name, sample.picture) not in bad and sample.id not in left_out:
                place = _place(file, name, sample.path, sample.picture)
                rows.append((name, sample, part, same.get(place, place)))
    held = [(name, sample.patient, film) for name, sample, part, film in rows if part != "train"]
    films = {film for *_, film in held}
    persons = {p for name, p, _ in held if not isinstance(file.split_of(name), PaperSplit)}
    away = {
        known
        for name, sample, _, film in rows
        if file.sources[name].external
        for known in (sample.patient, film)
    }
    pool: dict[str, str] = {}
    inside, outside_too, test = Counter[str](), Counter[str](), Counter[str]()
    for _, sample, part, film in rows:
        if part == "train" and film not in films and sample.patient not in persons:
            outside_too.update(sample.annotations.keys())
            if sample.patient not in away and film not in away:
                inside.update(sample.annotations.keys())
                pool.setdefault(film, sample.body_part)
        elif part == "test":
            test.update(sample.annotations.keys())
    masks = sum(len(s) * sum(t.kind == "mask" for t in targets) for s, targets in records.values())
    number = sum(len(s) + len(s.quarantine) for s in tried.stores)
    return _Counts(len(rows), masks, number, list(pool.values()), inside, outside_too, test)


def _place(file: DataFile, source: str, path: str, picture: str) -> str:
    """One name for one picture, from whatever source and through whatever link it is reached."""
    return os.path.realpath(file.sources[source].folder / path) + picture.removeprefix(path)


def _time_stages(
    recipe: Recipe, corpus: Corpus, counts: _Counts, machine: Machine, progress: Progress
) -> tuple[dict[str, dict[str, Any]], dict[str, str], int]:
    """By stage: how often it is run, and a row a task; the settings chosen; and how many parameters heads have."""
    inside = {name: rows.target for name, rows in corpus.internal_tasks.items()}
    jobs = [
        (f"stages.{i}", stage.tasks, stage, 1, assign_roles(stage.tasks, inside, corpus.file), counts.inside)
        for i, stage in enumerate(recipe.stages)
    ]
    if recipe.finetune is not None:
        asked = recipe.finetune.tasks
        for name, task in tested(assign_roles(asked, corpus.targets, corpus.file), counts.test).items():
            stage, *_ = grid = recipe.finetune.stages(task)
            runs = len(grid) * len(recipe.seeds)
            jobs.append(("finetune", asked, stage, runs, {name: task}, counts.outside_too))
    found: dict[str, dict[str, Any]] = {}
    chosen, heads = [], 0
    fits = Fits(machine)
    for place, asked, stage, runs, tasks, train in jobs:
        found[stage.name] = {"runs": runs, "rows": []}
        for name, task in tasks.items():
            part = task.data.partition(":")[2]
            rows = train[task.data] if task.needs else sum(part in ("", p) for p in counts.pool)
            if rows < 2:
                raise too_few(stage.name, name, rows)
            index = next(i for i, one in enumerate(asked) if one.with_(data=task.data) == task)
            task = task.resolve(rows)
            turns = stage.schedule.turns({name: steps_of(rows, task.batch_size)}, recipe.seed)
            steps = sum(turn.steps for turn in turns) * runs
            progress.message(f"timing {stage.name}, {name}")
            trial = Trial(recipe, stage, name, task, rows, corpus, machine)
            if (queue := getattr(task, "queue", None)) is not None:
                chosen.append(f"queue {queue}, batch {trial.batch}")
            memory, note = fits.told(trial, f"{place}.tasks.{index}.accumulate")
            seconds, failed, head = _timed(trial)
            if len(tasks) > 1:  # what looks back at other tasks costs nothing where one is timed alone
                seconds *= 1 + sum(part.extra for part in stage.regularizers)
            heads += head * runs
            found[stage.name]["rows"].append({
                "stage": stage.name, "task": name, "images": rows, "batch": trial.batch, "steps": steps,
                "images/s": round(trial.batch / seconds, 1) if seconds else 0.0,
                "hours": _short(steps * seconds / 3600), **memory, "note": failed or note,
            })  # fmt: skip
    settings = {"settings": "; ".join(dict.fromkeys(chosen)) or "none chosen"}
    return found, settings | fits.settings(), heads


def _timed(trial: Trial) -> tuple[float, str, int]:
    """Seconds a step; why it will not do; and how many parameters its head has."""
    try:
        with told(trial.task, trial.machine.recompute):
            seconds, head = trial.seconds()
    except UserError as error:
        return 0.0, f"no: {error}", 0
    return seconds, "", head


def _short(hours: float) -> float:
    """In four digits, which show seconds too."""
    return float(f"{hours:.4g}")


def _peak(machine: Machine) -> float:
    """Bytes at the most, of the GPU, else of this process; 0 where the system does not tell."""
    if machine.torch_device().type == "cuda":
        return torch.cuda.max_memory_allocated(machine.torch_device())
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
