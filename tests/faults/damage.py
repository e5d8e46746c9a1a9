"""Damaged files of a run: the same command given again must notice, or come to the same result.

    python tests/faults/damage.py --n 1000 [--seed 0]
    python tests/faults/damage.py --only 123 --keep /tmp/case       one case again, its files kept

Each case takes one state of a small real run, damages one of its files in a way that the case's number decides, and
gives a command that reads it. What may happen: the command says what is damaged, by name (``detected``), or all comes
out as of the undamaged run (``harmless``). What may not: another result without a word (``SILENT``), or a traceback,
a hang, or an end without the file's name (``FAILED``).
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_damage import hurt
from small_run import Place

SECONDS = 120  # after which a command counts as one that hangs


@dataclass(frozen=True)
class Kind:
    """Files of one kind, by patterns below a state of the run, and the commands that read them."""

    name: str
    state: str
    patterns: tuple[str, ...]
    commands: tuple[str, ...]

    def files(self, place: Place) -> list[str]:
        """Relative to the case."""
        root = place.kept / self.state
        found = {p.relative_to(root).as_posix() for pattern in self.patterns for p in root.glob(pattern)}
        return sorted(found)


CHECKPOINTS = "runs/checkpoints/"
OF_MODEL = ("pretrain", "compare elsewhere", "validate")
KINDS = (
    Kind("weights of a stage", "finished", (f"{CHECKPOINTS}*/*.safetensors",), OF_MODEL),
    Kind("stage.json", "finished", (f"{CHECKPOINTS}*/stage.json",), OF_MODEL),
    Kind("log of a stage", "finished", (f"{CHECKPOINTS}*/log.jsonl",), OF_MODEL),
    Kind("model.json", "finished", (f"{CHECKPOINTS}*/model.json",), ("validate", "compare")),
    Kind("films seen by a model", "finished", (f"{CHECKPOINTS}*/pool.txt",), ("validate on films seen",)),
    Kind("films seen by a run", "finished", ("runs/mine/pool.txt",), ("compare on films seen", "pretrain")),
    Kind("backbone of a run", "finished", ("runs/mine/backbone.safetensors",), ("compare", "embed", "pretrain")),
    Kind("backbone.json", "finished", ("runs/mine/backbone.json",), ("compare", "embed", "pretrain")),
    Kind("recipe and log of a run", "finished", ("runs/mine/*.yaml", "runs/mine/*.jsonl"), ("pretrain",)),
    Kind("results.json", "finished", ("runs/table/results.json",), ("compare", "report")),
    Kind("predictions", "finished", ("runs/table/predictions/*",), ("compare", "report")),
    Kind("cases, recipes of a table", "finished", ("runs/table/*.parquet", "runs/table/*.yaml"), ("compare",)),
    Kind("logs of a table", "finished", ("runs/table/logs/*",), ("compare", "report")),
    Kind("frozen features", "finished", (f"{CHECKPOINTS}features/*",), ("probe",)),
    Kind("predictions of probes", "finished", ("runs/probe/predictions/*",), ("probe",)),
    Kind("embeddings", "finished", ("runs/probe/embeddings/*",), ("probe", "report of probes")),
    Kind("results of probes", "finished", ("runs/probe/results.json",), ("probe", "report of probes")),
    Kind("arrays of a store", "stores", ("stores/*/*.npy",), ("pretrain", "prepare")),
    Kind("index of a store", "stores", ("stores/*/index.arrow",), ("pretrain", "prepare")),
    Kind("manifest of a store", "stores", ("stores/*/manifest.json",), ("pretrain", "prepare")),
    Kind("near-duplicates", "stores", ("stores/near-*.json",), ("pretrain",)),
    Kind("snapshot", "stage", (f"{CHECKPOINTS}*.running/*.pt",), ("pretrain",)),
    Kind("arrays of a half-made store", "store", ("stores/*.partial/*.npy",), ("prepare",)),
    Kind("journal of a half-made store", "store", ("stores/*.journal",), ("prepare",)),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How one case ended: ``verdict`` is detected, harmless, SILENT or FAILED with the reason."""

    case: int
    kind: str
    file: str
    command: str
    how: str
    verdict: str
    said: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it may not be."""
        return self.verdict.startswith(("SILENT", "FAILED"))

    def __str__(self) -> str:
        """One line."""
        return f"case {self.case}: {self.verdict}: {self.file}, {self.how}, then {self.command}: {self.said[:400]}"


@dataclass(frozen=True)
class End:
    """What a command said and left: its exit code, the lines that it wrote, and its results by name."""

    code: int
    said: tuple[str, ...]
    left: dict[str, Any]


class Campaign:
    """The cases over one place, judged by what undamaged files give."""

    def __init__(self, place: Place, kinds: Sequence[Kind] = KINDS) -> None:
        """The place has been made."""
        self.place = place
        self.kinds = [kind for kind in kinds if kind.files(place)]
        self._sound: dict[tuple[str, str], End] = {}

    def sound(self, state: str, name: str) -> End:
        """How a command ends on the undamaged state."""
        if (state, name) not in self._sound:
            self.place.start(state)
            self._sound[state, name] = self._given(name)
        return self._sound[state, name]

    def attempt(self, case: int, seed: int) -> Outcome:
        """One file damaged, one command, a verdict."""
        rng = np.random.default_rng([seed, case])
        kind = self.kinds[case % len(self.kinds)]
        file = str(rng.choice(kind.files(self.place)))
        name = str(rng.choice(kind.commands))
        sound = self.sound(kind.state, name)
        self.place.start(kind.state)
        path = self.place.case / file
        content, how = hurt(path.read_bytes(), rng)
        path.write_bytes(content)
        try:
            with _bounded():
                end = self._given(name)
        except TimeoutError:
            return Outcome(case, kind.name, file, name, how, f"FAILED: no end after {SECONDS} s")
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return Outcome(case, kind.name, file, name, how, "FAILED: traceback", said)
        return Outcome(case, kind.name, file, name, how, *judged(end, sound, path))

    def _given(self, name: str) -> End:
        ended = self.place.run(name)
        left = self.place.outcome(name) if ended.code == 0 else {}
        return End(ended.code, tuple(ended.err.splitlines()), left)


def judged(end: End, sound: End, path: Path) -> tuple[str, str]:
    """A verdict on how a command ended with one file damaged, and what it is based on."""
    new = [line for line in end.said if line not in sound.said]
    page = [line for line in end.left.get("report", "").splitlines() if "data-state=" in line]
    named = [line for line in (*new, *page) if path.name in line or path.parent.as_posix() in line]
    errors = [line for line in new if line.startswith("error: ")]
    if end.code != sound.code and end.code not in (0, 1, 2):
        return f"FAILED: exit {end.code}", "; ".join(new)
    if errors and end.code:
        if len(errors) > 1 or end.said[-1] != errors[0]:
            return "FAILED: its error is no last line", "; ".join(errors)
        if not named and sound.code == end.code:
            return "SILENT", f"another refusal: {errors[0]}"
        return ("detected" if errors[0] in named else "FAILED: the file is not named"), errors[0]
    other = different(end.left, sound.left)
    if named and other and fewer(end.left, sound.left):
        return "detected", "; ".join(named)
    if end.code != sound.code or other:
        return (
            "FAILED: named, but the result is another" if named else "SILENT"
        ), f"{other}; {'; '.join(new)}"
    return ("detected" if named else "harmless"), "; ".join(named)


def fewer(left: dict[str, Any], sound: dict[str, Any]) -> bool:
    """Whether a table or a page tells less, and what it tells is what the undamaged one tells."""
    if "report" in left:  # the page itself says what it does not show
        return True
    there = [cell for cell in left.get("cells", []) if cell not in sound["cells"]]
    files = {name: value for name, value in left.items() if name.endswith(".npz")}
    return "cells" in left and not there and not different(files, {name: sound[name] for name in files})


def different(one: Any, other: Any, where: str = "") -> str:
    """Where two results differ first; empty: nowhere."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return "" if np.array_equal(one, other, equal_nan=one.dtype.kind == "f") else where
    if type(one) is not type(other):
        return where or "kind"
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"
        pairs = [(one[key], other[key], f"{where}/{key}") for key in one]
    elif isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return f"{where}: {len(one)} entries, not {len(other)}"
        pairs = [(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(one, other, strict=True))]
    else:
        return "" if one == other else (where or "value")
    return next((found for a, b, place in pairs if (found := different(a, b, place))), "")


@contextmanager
def _bounded() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def table(outcomes: Sequence[Outcome]) -> str:
    """Verdicts by kind of file."""
    names = [kind.name for kind in KINDS if any(o.kind == kind.name for o in outcomes)]
    lines = []
    for name in [*names, "all"]:
        counts = Counter(o.verdict.partition(":")[0] for o in outcomes if name in (o.kind, "all"))
        shown = "".join(f"{counts[v]:>10}" for v in ("detected", "harmless", "SILENT", "FAILED"))
        lines.append(f"{name:32}{shown}")
    return "\n".join([f"{'':32}{'detected':>10}{'harmless':>10}{'SILENT':>10}{'FAILED':>10}", *lines])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this case alone")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it there for another call")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Place((given.keep or Path(temporary)).resolve())
        if not place.kept.exists():
            place.make()
        campaign, began, outcomes = Campaign(place), time.perf_counter(), []
        for case in range(given.n) if given.only is None else (given.only,):
            outcomes.append(campaign.attempt(case, given.seed))
            if outcomes[-1].wrong or given.only is not None:
                print(outcomes[-1], flush=True)
            if len(outcomes) % 100 == 0:
                print(
                    f"{len(outcomes)} cases, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True
                )
    print(table(outcomes))
    print(f"{len(outcomes)} cases, seed {given.seed}, {time.perf_counter() - began:.0f} s")
    return int(any(o.wrong for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
