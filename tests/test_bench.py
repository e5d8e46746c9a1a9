"""The speed table: both sides compute the same, are measured in one run, and the ratio lies between its ends."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pytest
import tiny
import torch

from muscle.bench import flops
from muscle.bench_steps import Bench, tasks
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.demo import write_phantoms
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


@pytest.mark.parametrize("name", STEPS)
def test_the_floor_does_the_arithmetic_of_the_step_and_no_more(name: str, made: Bench) -> None:
    """Oracle: torch's own count of multiplications; of a detection to the regions that training found."""
    task = tasks(4, known(made))[name]
    if isinstance(task, SimCLR):  # blur multiplies too, and is no part of the floor
        task = task.with_(views=task.views.with_(blur=0.0))
    ours, floor = flops(made.ours(task)), flops(made.floor(task))
    assert floor > 1e8
    assert floor == pytest.approx(ours, rel=0.1 if name == "detection" else 1e-6)


def test_the_floor_of_a_prediction_is_its_forward_pass(made: Bench) -> None:
    task = tasks(4, known(made))["classification"]
    assert flops(made.forward(task)) == flops(made.predicted(task)) > 1e8


def test_multiplications_and_additions_are_counted() -> None:
    """Oracle: n m k of each, for a product of matrices n x m and m x k."""
    assert flops(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7


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
