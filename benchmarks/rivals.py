"""Our training steps beside what a user would run instead: Lightly, torchvision's reference loops, litdata.

    pip install muscle-xray[bench]
    python benchmarks/rivals.py [--only WORD] [--seconds 3] [--films 200]

Writes ``benchmarks/results/rivals.json``, whole, at the end of a run of all rows. Both sides of a row have the same
films, batch, depth (ResNet-18), input size and threads; each runs in processes of its own and is stopped by signal when
the other has its turn. The first two steps of each do not count; the ratio, ours to theirs in images a second, is the
median over the repeats, with its range. The films are drawn: chests of 1024 pixels a side, half PNG and half JPEG, with
lung masks and boxes. All files are in the system's cache. Memory is the most that a side's processes hold for
themselves.

*Ours* reads a store (``prepared``: the seconds that it took to write, by two processes, once for all epochs), one batch
ahead in a thread, computes in the machine's precision with channels last on one grey channel, draws the views of the
whole batch at once, and takes AdamW steps. *Theirs* decodes in two worker processes, augments film by film, computes on
three channels, and takes the SGD steps of its example, in float32 as shipped or, where ``their precision`` is ours, in
that with channels last.

- MoCo: Lightly's ``examples/pytorch/moco.py`` with its tutorial's SGD. Views of MoCo v2 on both sides; ours jitters no
  hue and saturation, for a grey film has none. Queues are equal. *From arrays*: theirs reads the films shrunk
  beforehand to the input size, one ``.npy`` each; the channel is repeated.
- Classification, segmentation, detection: torchvision's reference loops. *Step*: one batch that lies in memory, one
  channel, SGD, equal precision and memory format; ours draws its views, theirs augments nothing. *From files*: theirs
  flips and crops to the input size (classification), or shrinks to it and flips (segmentation; the reference's random
  scale would give another size); ours flips, turns and shifts.
- Segmentation: DeepLabV3 at output stride 16, 256 channels. torchvision dilates no ResNet-18, so strides and dilations
  of its last stage are set here. Ours draws dropout by the image.
- Detection: the paper preset's size, proposals and regions, at the batch of torchvision's reference. Both flip, and
  both leave out films without a box. Theirs shrinks its films in the model, as the reference does. Our anchors follow
  the image.
- Reading: the same small films from our store, and from litdata's chunks; nothing is done with the batches. Ours adds
  to the pixels what normalizes them, and ids. litdata starts its workers once; its epochs follow each other.

Differs from the published loops: loaders draw from one endless order, since so few films would have them restart
their workers every few batches; no rate follows a curve, nothing is logged, nobody asks for the loss. Threads and
flushed denormal numbers are set alike on both sides; that a process keeps the memory that a step frees is ours
(``Machine.settle``), and theirs is as torch comes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import rivals_ours as ours
import rivals_theirs as theirs
from muscle.data.augment import Views
from muscle.machine import DTYPES, Machine
from muscle.optim import Optimizer
from muscle.paths import atomic_write
from muscle.provenance import provenance
from muscle.recipes import PRESETS
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.tasks.moco import MoCo
from muscle.tasks.segmentation import Segmentation
from rivals_films import Films
from rivals_theirs import Way
from rivals_turns import Steps, in_turns

SIZE, DETECTION_SIZE = (160, 256), PRESETS["paper"].size
BATCH, DENSE_BATCH, DETECTION_BATCH = 32, 16, 2
QUEUE = BATCH * 4
REPEATS = 5
LEAST = theirs.WORKERS  # steps of a turn at least: workers deliver their batches in pairs
SMALL = 2048  # films of the rows on reading
MISSING = "not measured: install muscle-xray[bench]"

Row = dict[str, Any]
V2 = Views(flip=0.5, rotate=0.0, shift=0.0, crop=(0.2, 1.0), blur=0.5, jitter=0.4)  # of the recipe `moco`
CONTRAST = MoCo(batch_size=BATCH, queue=QUEUE, momentum=0.99, views=V2)
LABELS = Classification(data="pneumonia", batch_size=BATCH)
MASKS = Segmentation(data="lungs", batch_size=DENSE_BATCH)
BOXES = Detection(data="opacities", batch_size=DETECTION_BATCH)
ADAMW, SGD = Optimizer(), Optimizer(name="sgd", rate=0.01)


@dataclass(frozen=True)
class Bench:
    """What every row needs."""

    films: Films
    machine: Machine
    seconds: float
    repeats: int

    @property
    def device(self) -> torch.device:
        """Of both sides."""
        return self.machine.torch_device()

    @property
    def ours(self) -> Way:
        """Our precision, with channels last."""
        return Way(DTYPES[self.machine.precision("auto")], self.device)

    @property
    def plain(self) -> Way:
        """What their examples compute in."""
        return Way(torch.float32, self.device)

    def trained(
        self, step: str, source: str, size: tuple[int, int], task: Task, other: Callable[..., Iterator[int]], way: Way,
        *, resident: bool = False,
    ) -> Row:  # fmt: skip
        """Our steps of a task beside theirs, computed in that way."""
        corpus, optimizer = self.films.corpus(source, size), SGD if resident else ADAMW
        mine = partial(ours.train, corpus, task, optimizer, self.ours.precision, self.device, resident)
        precise = "equal precision" if way == self.ours else "as shipped"
        name = f"{step}, {precise}, {size[0]}x{size[1]}, batch {task.batch_size}"
        prepared = {} if resident else {"prepared": round(self.films.seconds[corpus.stores[0].path], 1)}
        precisions = {"precision": str(self.ours), "their precision": str(way)}
        return {"step": name, **precisions, **self.turns(mine, partial(other, way=way)), **prepared}

    def turns(self, mine: Steps, other: Steps) -> Row:
        """Both sides, measured."""
        where = {"threads": self.machine.thread_count(), "device": str(self.device)}
        return where | in_turns(mine, other, self.machine, self.seconds, LEAST, self.repeats)


def moco(bench: Bench, way: Way) -> Row:
    other = partial(theirs.moco, bench.films.large() / "images", SIZE, BATCH, QUEUE)
    return bench.trained("MoCo beside Lightly, from files", "films", SIZE, CONTRAST, other, way)


def moco_arrays(bench: Bench, way: Way) -> Row:
    folder = bench.films.arrays(SIZE)
    other = partial(theirs.moco, folder, SIZE, BATCH, QUEUE)
    row = bench.trained("MoCo beside Lightly, from arrays", "films", SIZE, CONTRAST, other, way)
    return row | {"their prepared": round(bench.films.seconds[folder], 1)}


def classification_step(bench: Bench, way: Way) -> Row:
    other = partial(theirs.classification_resident, SIZE, BATCH)
    return bench.trained(
        "Classification beside torchvision, step", "films", SIZE, LABELS, other, way, resident=True
    )


def classification(bench: Bench, way: Way) -> Row:
    other = partial(theirs.classification, bench.films.large() / "images", SIZE, BATCH)
    return bench.trained("Classification beside torchvision, from files", "films", SIZE, LABELS, other, way)


def segmentation_step(bench: Bench, way: Way) -> Row:
    other = partial(theirs.segmentation_resident, SIZE, DENSE_BATCH)
    return bench.trained(
        "Segmentation beside torchvision, step", "lungs", SIZE, MASKS, other, way, resident=True
    )


def segmentation(bench: Bench, way: Way) -> Row:
    other = partial(theirs.segmentation, bench.films.large(), SIZE, DENSE_BATCH)
    return bench.trained("Segmentation beside torchvision, from files", "lungs", SIZE, MASKS, other, way)


def detection(bench: Bench, way: Way) -> Row:
    other = partial(theirs.detection, bench.films.large(), DETECTION_SIZE, DETECTION_BATCH)
    step = "Detection beside torchvision, from files"
    return bench.trained(step, "opacities", DETECTION_SIZE, BOXES, other, way)


def reading(bench: Bench, workers: int) -> Row:
    folder = bench.films.stream(SIZE)
    corpus = bench.films.corpus("small", SIZE)
    mine, other = partial(ours.read, corpus, BATCH), partial(theirs.stream, folder, BATCH, workers)
    seconds = {"prepared": corpus.stores[0].path, "their prepared": folder}
    return {
        "step": f"Reading beside litdata, {workers} workers, {SIZE[0]}x{SIZE[1]}, batch {BATCH}",
        **bench.turns(mine, other),
        **{name: round(bench.films.seconds[place], 1) for name, place in seconds.items()},
    }


ROWS: dict[str, Callable[[Bench], Row]] = {
    "moco-files": lambda bench: moco(bench, bench.plain),
    "moco-arrays": lambda bench: moco_arrays(bench, bench.plain),
    "moco-arrays-equal": lambda bench: moco_arrays(bench, bench.ours),
    "classification-step": lambda bench: classification_step(bench, bench.ours),
    "classification-files": lambda bench: classification(bench, bench.ours),
    "segmentation-step": lambda bench: segmentation_step(bench, bench.ours),
    "segmentation-files": lambda bench: segmentation(bench, bench.ours),
    "detection-files": lambda bench: detection(bench, bench.plain),
    "reading-0": lambda bench: reading(bench, 0),
    "reading-2": lambda bench: reading(bench, theirs.WORKERS),
}


def measured(name: str, bench: Bench) -> Row:
    """One row; where what it is compared with is not installed or fails, a row that says so."""
    try:
        row = ROWS[name](bench)
    except ModuleNotFoundError as error:
        row = {"step": name, "said": MISSING, "missing": error.name}
    except RuntimeError as error:  # of a side, with its traceback
        row = {"step": name, "said": "failed", "error": str(error)}
    print(json.dumps(row), flush=True)
    return row


def versions() -> dict[str, str]:
    """Of the packages compared with; without those that are missing."""
    found = {}
    for name in ("lightly", "litdata"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"rows whose name has this word: {', '.join(ROWS)}")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of a turn at least; slow steps take longer"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument(
        "--threads", type=int, default=0, help="of each side; 0: OMP_NUM_THREADS, or all cores"
    )
    parser.add_argument("--out", type=Path, help="results/rivals.json, where --only is not given")
    asked = parser.parse_args()
    chosen = [name for name in ROWS if asked.only in name]
    if not chosen or asked.films < QUEUE:
        parser.error(f"--only: a word of {', '.join(ROWS)}; --films: {QUEUE} or more")
    machine = Machine(threads=asked.threads, workers=theirs.WORKERS)
    about = provenance(machine)
    result: Row = {key: about[key] for key in ("command", "commit", "machine", "started")} | {
        "versions": about["versions"] | versions(), "niceness": os.nice(0),
        "load average at the start": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="muscle-rivals-") as scratch:
        films = Films(Path(scratch), asked.films, SMALL, machine.workers)
        bench = Bench(films, machine, asked.seconds, asked.repeats)
        result["rows"] = [measured(name, bench) for name in chosen]
        result["files"] = films.about()
    out = asked.out or (None if asked.only else Path(__file__).parent / "results" / "rivals.json")
    if out:
        atomic_write(out, json.dumps(result, indent=1) + "\n")
    if failed := [row["step"] for row in result["rows"] if "error" in row]:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
