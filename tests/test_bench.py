"""The speed table: both sides compute the same, are measured in one run, and the ratio lies between its ends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command
import pytest
import tiny
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from muscle import bench
from muscle.bench import flops, in_turns, rate
from muscle.bench_steps import Bench, tasks
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.demo import write_phantoms
from muscle.tasks import Task
from muscle.tasks.simclr import SimCLR

STEPS = ("MoCo", "SimCLR", "classification", "segmentation", "detection")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    where = tmp_path_factory.mktemp("bench")
    file = DataFile.load(write_phantoms(where / "films", 16, 16))
    corpus = Corpus.prepare(file, (64, 64), Decode(), "stretch", where / "store")
    return Bench(corpus, torch.float32, tiny.MACHINE.torch_device())


def known(made: Bench) -> dict[str, str]:
    return {target.kind: name for name, target in made.corpus.targets.items()}


def timed(name: str, made: Bench) -> Task:
    """A task at batch 4, without blur: it is computed as a convolution too, and is no part of the floor."""
    task = tasks(4, known(made))[name]
    return task.with_(views=task.views.with_(blur=0.0)) if isinstance(task, SimCLR) else task


class Seen(TorchDispatchMode):
    """Inside, counts convolutions by their tensors' precisions and orders in memory, and joint interpolations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("convolution", "convolution_backward"):
            tensors = [arg for arg in args if isinstance(arg, torch.Tensor) and arg.ndim == 4]
            last = [one.is_contiguous(memory_format=torch.channels_last) for one in tensors]
            self.counts[name, *(one.dtype for one in tensors), *last] += 1
        elif name == "_foreach_lerp_":
            self.counts[name, len(args[0])] += 1
        return func(*args, **(kwargs or {}))


def seen(step: Callable[[], None]) -> Counter[tuple[Any, ...]]:
    with Seen() as mode:
        step()
    return mode.counts


@pytest.mark.parametrize("name", STEPS)
def test_the_floor_does_the_arithmetic_of_the_step_and_no_more(name: str, made: Bench) -> None:
    """Oracle: torch's own count of multiplications; of a detection to the regions that training found."""
    task = timed(name, made)
    ours, floor = flops(made.ours(task)), flops(made.floor(task))
    assert floor > 1e8
    assert floor == pytest.approx(ours, rel=0.1 if name == "detection" else 1e-6)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", STEPS)
def test_the_floor_is_in_the_precision_and_the_order_of_the_step(
    name: str, precision: torch.dtype, made: Bench
) -> None:
    """Oracle: what torch is asked to compute. A side in other numbers or layouts would be another machine's."""
    task, one = timed(name, made), Bench(made.corpus, precision, made.device)
    ours, floor = seen(one.ours(task)), seen(one.floor(task))
    assert floor == ours
    convolutions = {kind: count for kind, count in ours.items() if kind[0] != "_foreach_lerp_"}
    assert sum(convolutions.values()) >= 2 * 20  # of ResNet-18, forward and backward
    assert all(precision in kind and kind[-1] for kind in convolutions)  # the last tensor is the kernel
    updates = sum(ours.values()) - sum(convolutions.values())
    assert updates == (1 if name == "MoCo" else 0)


def test_the_floor_of_a_prediction_is_its_forward_pass(made: Bench) -> None:
    task = tasks(4, known(made))["classification"]
    assert flops(made.forward(task)) == flops(made.predicted(task)) > 1e8
    assert seen(made.forward(task)) == seen(made.predicted(task))


def test_multiplications_and_additions_are_counted() -> None:
    """Oracle: n m k of each, for a product of matrices n x m and m x k."""
    assert flops(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7


def test_the_ratio_is_ours_over_the_floor_turn_by_turn() -> None:
    """Oracle: 10 / 20, 30 / 40 and 20 / 80, worked out by hand; a first turn of each does not count."""
    ours, floor = iter([1000.0, 10.0, 30.0, 20.0]), iter([1.0, 20.0, 40.0, 80.0])
    assert in_turns(lambda: next(ours), lambda: next(floor), 3) == {
        "repeats": 3, "ours": 20.0, "floor": 40.0, "ratio": 0.5, "low": 0.25, "high": 0.75,
    }  # fmt: skip


def test_a_rate_is_over_the_time_that_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand. Steps of 3 seconds on a clock of its own: after 9 the 7 that were asked for are over."""
    now = [100.0]

    def step() -> None:
        now[0] += 3.0

    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert rate(step, 7.0, 12) == pytest.approx(3 * 12 / 9)
    assert rate(step, 0.0, 12) == pytest.approx(12 / 3)  # one step at least


@pytest.mark.slow
def test_the_table(tmp_path: Path) -> None:
    ended = command.muscle("bench", "--seconds", "1", "--threads", "1", "--to", tmp_path / "b.json")
    assert "MoCo, ResNet-18, 160x256, batch 32" in ended.done()
    made = json.loads((tmp_path / "b.json").read_text())
    assert made["command"].startswith("muscle bench") and {"commit", "machine", "versions"} <= made.keys()
    rows = made["rows"]
    names = [*STEPS[:3], "evaluation", *STEPS[3:], "prepare"]
    assert [row["step"].split(",")[0] for row in rows] == names
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] and row["threads"] == 1 for row in rows)
    of_peak = [row["floor"] * row["GFLOP"] / row["peak"] for row in rows[:-1]]
    assert [row["of peak"] for row in rows[:-1]] == pytest.approx(of_peak)
    few = command.muscle("bench", "--seconds", "1", "--threads", "1", "--only", "eval").done()
    assert "evaluation" in few and "MoCo" not in few
