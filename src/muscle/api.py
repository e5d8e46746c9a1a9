"""What ``import muscle`` offers: folders in, a backbone, fine-tuned models and a table out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open

from muscle import paths
from muscle.data.decode import Decode
from muscle.data.normalization import Normalization
from muscle.data.source import DataFile
from muscle.errors import UsageError, UserError
from muscle.features import extract
from muscle.grid import prepare, run_grid
from muscle.machine import Machine
from muscle.parts import from_yaml, override
from muscle.pipeline import Pipeline
from muscle.progress import SILENT, Progress
from muscle.recipe import ImageNet, Recipe, Weights
from muscle.recipes import RECIPES, recipe
from muscle.report import report
from muscle.results import Results, provenance
from muscle.tasks import ANNOTATED

SMALL_POOL = 20_000  # below this many images the preset `auto` is `small` (METHODS 9: K = 24,576 needs more)

Sources = str | Path | DataFile | Sequence[str | Path]


@dataclass(frozen=True)
class Pretrained:
    """A backbone to take home: ``backbone_file`` opens with timm, ``about`` is what ``backbone.json`` says."""

    out: Path
    backbone_file: Path
    sha256: str
    about: dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """A finished grid: ``results`` as in ``results.json``, ``report_file`` to look at."""

    out: Path
    results: Results
    report_file: Path

    @property
    def cells(self) -> list[dict[str, Any]]:
        """One entry for each recipe, task and seed."""
        found: list[dict[str, Any]] = self.results.data["cells"]
        return found

    def table(self) -> str:
        """The tables in the paper's form, as Markdown."""
        files = sorted((self.out / "tables").glob("table[23].md"))
        return "\n\n".join(file.read_text(encoding="utf-8").strip() for file in files)


def data_file(sources: Sources) -> DataFile:
    """The data file behind anything that a SOURCE may be: a folder, ``KIND=ROOT``, a data file, or several."""
    if isinstance(sources, DataFile):
        return sources
    return DataFile.of([str(s) for s in ([sources] if isinstance(sources, (str, Path)) else sources)])


def choose_preset(preset: str, file: DataFile) -> str:
    """``auto`` resolved by the number of images; anything else unchanged."""
    if preset != "auto":
        return preset
    return "small" if sum(len(samples) for samples, _ in file.read().values()) < SMALL_POOL else "paper"


def load_recipe(
    name: str,
    preset: str = "paper",
    backbone: str = "resnet18",
    overrides: Sequence[str] = (),
    init: str | Path | None = None,
) -> Recipe:
    """A shipped recipe or one from a YAML file, with leaves overridden, checked.

    Raises:
        UsageError: every mistake at once.
    """
    if name in RECIPES or not (name.endswith((".yaml", ".yml")) or Path(name).is_file()):
        found = recipe(name, preset, backbone)
    else:
        file = Path(name)
        if not file.is_file():
            raise UsageError(f"recipe {name}: no such file; known recipes: {', '.join(RECIPES)}")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"recipe {name}: not UTF-8 text; give a YAML file") from None
        found = Recipe.parse(from_yaml(text, name))
    if init is not None:
        found = found.with_(init=ImageNet() if str(init) == "imagenet" else Weights(file=str(init)))
    found = override(found, tuple(overrides))
    found.check()
    return found


def pretrain(
    sources: Sources,
    method: str = "md-moco",
    backbone: str = "resnet50",
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
        backbone: ``resnet18`` or ``resnet50``; others through a YAML recipe.
        out: where ``backbone.safetensors`` and ``backbone.json`` go; ``./runs/METHOD`` by default.
        init: ``imagenet`` or a file of weights to start from.
        preset: ``paper``, ``small``, ``demo``, or ``auto`` by the number of images.
        overrides: ``path.to.field=value`` changes to the recipe.
        store: the folder of stores; ``$MUSCLE_STORE``, else ``./muscle-store`` by default.

    Raises:
        UserError: in one line, what is wrong with the data, the disk or the run.
    """
    machine = machine or Machine()
    file = data_file(sources)
    wanted = load_recipe(method, choose_preset(preset, file), backbone, overrides, init).with_(finetune=None)
    if not wanted.stages:
        trained = ", ".join(name for name in RECIPES if name not in ("scratch", "imagenet"))
        raise UsageError(f"method {method}: it has no stage to pre-train; known: {trained}")
    folder = paths.run_folder(out, wanted.name)
    corpus = prepare(wanted, file, Path(store) if store else paths.stores(), machine, progress)
    pipeline = Pipeline(wanted, corpus, machine, paths.checkpoints(folder), progress)
    pipeline.check()
    last = pipeline.pretrain()[-1]
    folder.mkdir(parents=True, exist_ok=True)
    backbone_file = folder / "backbone.safetensors"
    paths.atomic_write(backbone_file, last.backbone_file.read_bytes())
    about = {
        "recipe": wanted.dump(), "key": last.about["key"], "sha256": last.sha256, "size": list(wanted.size),
        "normalization": wanted.normalization.dump(), "decode": wanted.decode.dump(), "fit": wanted.fit,
        "images": len(corpus.pool), "features": _last_features(last.about["matrix"]), "provenance": provenance(machine),
    }  # fmt: skip
    paths.atomic_write(folder / "backbone.json", json.dumps(about, indent=1))
    paths.atomic_write(folder / "recipe.yaml", wanted.yaml())
    return Pretrained(folder, backbone_file, last.sha256, about)


def _last_features(matrix: list[dict[str, Any]]) -> dict[str, Any]:
    looks = [entry["features"] for entry in matrix if "features" in entry]
    return {"start": looks[0], "end": looks[-1]} if looks else {}


def run(
    recipe: Recipe, sources: Sources, out: Path, store: str | Path | None = None, machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Compared:  # fmt: skip
    """A whole recipe: stages, fine-tuning of every task at every seed, scores, report."""
    paths.atomic_write(out / f"{recipe.name}.yaml", recipe.yaml())
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
    return Compared(out, results, report(out))


def start_recipe(start: str | Path | Pretrained, backbone: str, preset: str) -> Recipe:
    """A recipe that only fine-tunes: from ``scratch``, ``imagenet``, a run's folder, or a file of weights.

    A run's own size, normalization and decoding are taken over, for its backbone knows no others.
    """
    if isinstance(start, Pretrained):
        start = start.out
    if str(start) in ("scratch", "imagenet"):
        return recipe(str(start), preset, backbone)
    path = Path(start)
    file = path / "backbone.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"start {str(start)!r}: allowed: scratch, imagenet, a folder with backbone.safetensors, a file of weights"
        )
    about_file = file.with_name("backbone.json")
    name = re.sub(r"[^A-Za-z0-9-]+", "-", path.name if path.is_dir() else path.stem)
    found = recipe("scratch", preset, backbone).with_(name=name, title=name, init=Weights(file=str(file)))
    if file.name != "backbone.safetensors" or not about_file.is_file():
        return found
    try:
        about = json.loads(about_file.read_text(encoding="utf-8"))
        return found.with_(
            backbone=about["recipe"]["backbone"], size=tuple(about["size"]), fit=about["fit"],
            normalization=Normalization.parse(about["normalization"]), decode=Decode.parse(about["decode"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{about_file}: not as pretrain writes it ({error!r}); give the command of that run again to write it anew"
        ) from None


def compare(
    sources: Sources,
    starts: Sequence[str | Path | Pretrained] = (),
    recipes: Sequence[str] = (),
    backbone: str = "resnet18",
    seeds: int = 1,
    out: str | Path | None = None,
    preset: str = "auto",
    tasks: Sequence[str] = (),
    overrides: Sequence[str] = (),
    store: str | Path | None = None,
    machine: Machine | None = None,
    title: str = "",
    synthetic: bool = False,
    progress: Progress = SILENT,
) -> Compared:
    """Was it worth it? Every start (or recipe) fine-tuned alike on every task, with intervals; and the report.

    Args:
        starts: ``scratch``, ``imagenet``, run folders, files of weights, or what ``pretrain`` gave. Where these
            runs have one backbone, all others take it over, and their size.
        recipes: names of shipped recipes or YAML files, run whole.
        seeds: 0, 1, ... of the fine-tuning.
        tasks: kinds (``classification``) or targets to restrict to; all by default.

    Raises:
        UserError: in one line; cells that were finished are kept.
    """
    machine = machine or Machine()
    file = data_file(sources)
    found = compared(starts, recipes, backbone, seeds, choose_preset(preset, file), tasks, overrides)
    folder = paths.run_folder(out, "compare")
    for r in found:
        paths.atomic_write(folder / f"{r.name}.yaml", r.yaml())
    where = Path(store) if store else paths.stores()
    results = run_grid(found, file, folder, where, machine, title or "Comparison", synthetic, progress)
    return Compared(folder, results, report(folder))


def compared(
    starts: Sequence[str | Path | Pretrained], recipes: Sequence[str], backbone: str, seeds: int, preset: str,
    tasks: Sequence[str], overrides: Sequence[str],
) -> list[Recipe]:  # fmt: skip
    """The recipes that ``compare`` runs; arguments as there, ``preset`` not auto.

    Raises:
        UsageError: nothing to compare, starts of different sizes, or a recipe that breaks its rules.
    """
    whole = [load_recipe(name, preset, backbone) for name in recipes]
    found = [*[start_recipe(start, backbone, preset) for start in starts], *whole]
    if not found:
        raise UsageError("nothing to compare: give starts (--from scratch,imagenet,DIR) or --recipes")
    sizes = {r.size for r in found if isinstance(r.init, Weights)}
    if len(sizes) > 1:
        raise UsageError(
            f"starts of different sizes {sorted(sizes)}: their pixels do not compare; pre-train them at one size"
        )
    if sizes:
        found = [r.with_(size=next(iter(sizes))) for r in found]
    nets = {r.backbone.key(): r.backbone for r in found if isinstance(r.init, Weights)}
    if len(nets) == 1:  # scratch and imagenet are rivals of a run only on the network of that run
        found = [r.with_(backbone=next(iter(nets.values()))) for r in found]
    found = [override(_restrict(r, tasks).with_(seeds=tuple(range(seeds))), tuple(overrides)) for r in found]
    for r in found:
        r.check()
    return found


def _restrict(found: Recipe, tasks: Sequence[str]) -> Recipe:
    """The recipe with only the tasks asked for: kinds keep their role, targets are named."""
    if not tasks or found.finetune is None:
        return found
    kinds = {t.kind for t in found.finetune.tasks}
    chosen = [t for t in found.finetune.tasks if t.kind in tasks]
    for name in tasks:
        if name not in kinds:
            kind, _, target = name.partition(":")
            match = [t for t in found.finetune.tasks if t.kind == kind]
            if not target or not match:
                raise UsageError(
                    f"task {name!r}; allowed: {', '.join(sorted(kinds))}, or KIND:TARGET (classification:pneumonia)"
                )
            chosen.append(match[0].with_(data=target))
    return found.with_(finetune=found.finetune.with_(tasks=tuple(chosen)))


def finetune(
    sources: Sources,
    start: str | Path | Pretrained = "scratch",
    task: str = "",
    backbone: str = "resnet50",
    out: str | Path | None = None,
    **settings: Any,
) -> Compared:
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
        **settings,
    )


def embed(
    sources: Sources,
    start: str | Path | Pretrained,
    out: str | Path,
    backbone: str = "resnet50",
    store: str | Path | None = None,
    machine: Machine | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Frozen features of every image as Parquet: id, source, patient, split, and ``feature`` list<float> [D]."""
    machine = machine or Machine()
    found = start_recipe(start, backbone, "small")
    corpus = prepare(found, data_file(sources), Path(store) if store else paths.stores(), machine, progress)
    model = found.backbone.build()
    found.init.load(model, str(getattr(found.backbone, "name", "")))
    machine.settle()
    device = machine.torch_device()
    rows = corpus.all_rows
    features = extract(model.to(device), rows, found.normalization, device)
    table = pa.table({
        "id": rows.ids, "source": rows.sources, "patient": rows.patients, "split": rows.splits,
        "feature": pa.array(list(features), pa.list_(pa.float32())),
    })  # fmt: skip
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, out)
    return Path(out)


def describe_weights(file: str | Path) -> dict[str, str]:
    """The metadata that ride in a backbone file: size, normalization, key."""
    with safe_open(str(file), framework="pt") as opened:
        return dict(opened.metadata() or {})
