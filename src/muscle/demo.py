"""The demonstration: synthetic radiographs in real layouts, and MUSCLE with its baselines on them."""

from __future__ import annotations

from pathlib import Path

from muscle import paths
from muscle.api import Compared
from muscle.data.source import DataFile
from muscle.data.splits import PatientSplit
from muscle.datasets.kermany import Kermany
from muscle.datasets.v7_lungs import V7Lungs
from muscle.datasets.yolo import Yolo
from muscle.errors import UserError
from muscle.grid import run_grid
from muscle.machine import Machine
from muscle.progress import SILENT, Progress
from muscle.recipes import recipe
from muscle.report import report

METHODS = ("scratch", "md-moco", "muscle-naive", "muscle")
CHANCE = {
    "auc": 0.7,
    "dice": 0.6,
    "ap50": 0.1,
}  # MUSCLE must pass these on its own test part, or the demo fails


def write_phantoms(root: Path, chests: int, forearms: int, seed: int = 0) -> Path:
    """Writes synthetic films and a data file over them.

    Chest films with opacities in Kermany's layout with V7's lung masks, and forearms with fractures as a YOLO export.

    Returns:
        The data file, ``root/data.yaml``.

    Raises:
        UserError: the folder holds something else.
    """
    data = root / "data.yaml"
    if not data.is_file():
        if root.is_dir() and any(root.iterdir()):
            raise UserError(f"{root}: not empty; give an empty folder for the synthetic films")
        V7Lungs.write_example(root / "chest", chests, seed)
        Yolo.write_example(root / "forearm", forearms, seed)
        sources = {
            "chest": Kermany(root="chest/chest_xray", targets=("pneumonia",)),
            "lungs": V7Lungs(root="chest"),
            "forearm": Yolo(root="forearm", target="fracture", body_part="forearm"),
        }
        file = DataFile(sources=sources, split=PatientSplit(valid=0.15, test=0.2), synthetic=True)
        paths.atomic_write(data, "# synthetic radiographs: drawn, not of persons\n" + file.yaml())
    return data


def demo(out: Path, machine: Machine, progress: Progress = SILENT) -> Compared:
    """Scratch, MD-MoCo, MUSCLE-- and MUSCLE on three tasks over two body parts.

    Raises:
        UserError: MUSCLE does not beat chance on its test part; the run's folder holds the whole report.
    """
    file = DataFile.load(write_phantoms(out / "phantoms", 260, 240))
    results = run_grid(
        [recipe(name, "demo") for name in METHODS], file, out, out / "store", machine,
        "Demonstration on synthetic radiographs", progress,
    )  # fmt: skip
    for stage in results.data["stages"]:
        progress.message(f"{stage['recipe']} {stage['name']}: {stage['minutes']:.1f} minutes")
    for cell in results.data["cells"]:
        progress.message(f"{cell['recipe']} fine-tuning {cell['task']}: {cell['minutes']:.1f} minutes")
    made = Compared(out, results, report(out))
    ours = [cell["metrics"] for cell in made.cells if cell["recipe"] == "muscle"]
    for name, least in CHANCE.items():
        values = [metrics[name]["value"] for metrics in ours if name in metrics]
        if not values or min(values) <= least:
            reached = ", ".join(f"{value:.3f}" for value in values) or "no"
            raise UserError(
                f"demo: MUSCLE reaches {reached} {name}, expected above {least}; see {made.report_file}"
            )
    return made
