"""One, two and four processes that share each batch: the same losses, weights, queues, predictions and scores.

Computed by tests/support/ranks.py in float64, where nothing but the order of sums may differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).resolve().parent.parent / "support"
SIZES = (2, 4)  # beside one
CLOSE = 1e-6  # relative
METHODS = ("muscle", "shuffle", "simclr", "parts")


def launched(ranks: int, *command: str) -> list[str]:
    """The command under torchrun, on this machine."""
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={ranks}",
        *command,
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """What each number of processes computed; ``queues``: the digests of each rank's queue, step by step."""
    where = tmp_path_factory.mktemp("ranks")
    films = where / "films"
    films.mkdir()
    made: dict[int, dict[str, Any]] = {}
    for ranks in (1, *SIZES):
        folder = where / str(ranks)
        folder.mkdir()
        script = [str(SUPPORT / "ranks.py"), str(folder), str(films)]
        command = launched(ranks, *script) if ranks > 1 else [sys.executable, *script]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        assert ended.returncode == 0, ended.stderr[-3000:]
        made[ranks] = json.loads((folder / "found.json").read_text())
        made[ranks]["queues"] = [(folder / f"queue-{r}.txt").read_text().split() for r in range(ranks)]
    return made


@pytest.mark.parametrize("ranks", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_losses_of_every_step_are_those_of_one_process(
    found: dict[int, dict[str, Any]], method: str, ranks: int
) -> None:
    alone, shared = found[1][method], found[ranks][method]
    assert len(alone) >= 3 and [task for task, _ in alone] == [task for task, _ in shared]
    for (_, one), (_, other) in zip(alone, shared, strict=True):
        assert one == pytest.approx(other, rel=CLOSE)


def test_every_kind_of_task_was_trained(found: dict[int, dict[str, Any]]) -> None:
    losses = {name for _, step in found[1]["muscle"] for name in step}
    assert losses >= {"loss:info_nce", "loss:cross_entropy", "loss:rpn_box", "loss:box", "loss:penalty"}
    assert {task for task, _ in found[1]["muscle"]} >= {"pneumonia", "germ", "lungs", "bones"}


@pytest.mark.parametrize("ranks", SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_weights_and_statistics_end_up_the_same(
    found: dict[int, dict[str, Any]], method: str, ranks: int
) -> None:
    assert found[ranks][f"{method} weights"] == pytest.approx(found[1][f"{method} weights"], rel=CLOSE)


@pytest.mark.parametrize("ranks", SIZES)
def test_the_queue_is_the_same_on_all_ranks_after_every_step(
    found: dict[int, dict[str, Any]], ranks: int
) -> None:
    first, *others = found[ranks]["queues"]
    assert len(set(first)) == len(first) == len(found[1]["queues"][0]) and others == [first] * (ranks - 1)


@pytest.mark.parametrize("ranks", SIZES)
@pytest.mark.parametrize("task", ["pneumonia", "germ", "lungs", "bones"])
def test_predictions_are_equal_bit_for_bit_and_so_are_scores(
    found: dict[int, dict[str, Any]], task: str, ranks: int
) -> None:
    """Films that the number of ranks does not divide; none is scored twice."""
    assert found[ranks][f"predicted {task}"] == found[1][f"predicted {task}"]
