"""Masks by relations. (Dice and IoU, and distances by the distance transform: tests/oracles.)"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from muscle.metrics import LOWER_IS_BETTER, score, scorer, surface_distances
from muscle.predictions import Predictions
from muscle.scoring import main_score


def masks(truth: np.ndarray, output: np.ndarray, classes: tuple[str, ...] = ("lungs",)) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="mask", classes=classes, exclusive=True, ids=ids, patients=ids,
                       truth=truth.astype(np.uint8), output=output.astype(np.uint8))  # fmt: skip


def test_weights_mean_repeated_cases() -> None:
    rng = np.random.default_rng(0)
    truth, output = (rng.choice([0, 0, 1, 2], (8, 5, 6)) * (rng.random((8, 1, 1)) < 0.8) for _ in range(2))
    truth[0, :2] = 255
    drawn = rng.integers(0, 8, (5, 8))
    weights = np.stack([np.bincount(d, minlength=8) for d in drawn]).astype(float)
    weighed = scorer(masks(truth, output, ("a", "b"))).values(weights)
    for t, d in enumerate(drawn):
        plain = score(masks(truth[d], output[d], ("a", "b")))
        assert plain == pytest.approx({n: v[t] for n, v in weighed.items() if not np.isnan(v[t])}, abs=1e-12)


def test_cases_with_one_of_the_two_empty_count_with_the_diagonal() -> None:
    """A perfect case, one missed, one invented, one where neither has it: 3 of 4 cases, 2 at the diagonal of 3 x 4."""
    there, nothing = np.zeros((3, 4)), np.zeros((3, 4))
    there[1, 1:3] = 1
    p = masks(np.stack([there, there, nothing, nothing]), np.stack([there, nothing, there, nothing]))
    found, of = score(p), scorer(p)
    assert found["hd95"] == found["asd"] == found["hd95:lungs"] == pytest.approx(10 / 3)
    assert found["one_empty"] == pytest.approx(2 / 3)
    assert (of.cases["hd95"], of.cases["asd:lungs"], of.cases["one_empty"], of.cases["dice"]) == (3, 3, 3, 4)
    assert of.bounds == dict.fromkeys(("hd95", "asd", "hd95:lungs", "asd:lungs"), (0, 5))
    assert {"hd95", "asd", "one_empty"} <= LOWER_IS_BETTER and "dice" not in LOWER_IS_BETTER


def test_a_class_that_is_nowhere_in_the_truth_has_no_distance() -> None:
    """As it has no Dice: an output alone is no case of the class."""
    nothing = np.zeros((2, 3, 4))
    assert score(masks(nothing, nothing + 1)).keys() == {"miou"}
    assert score(masks(nothing[:0], nothing[:0])) == {}


def test_a_shift_moves_all_of_it_as_far() -> None:
    square = np.zeros((40, 50), bool)
    square[10:20, 10:30] = True
    moved = np.roll(square, 7, axis=1)
    hd95, asd = surface_distances(square, moved)
    assert 0 < asd < hd95 == 7  # the sides that slide along themselves stay near


def test_films_of_the_papers_size_are_quick() -> None:
    y, x = np.mgrid[:800, :500]
    lung = ((x - 140) / 95) ** 2 + ((y - 400) / 290) ** 2 < 1
    began = time.perf_counter()
    for _ in range(10):
        surface_distances(lung, np.roll(lung, 4, axis=1))
    assert time.perf_counter() - began < 1


def test_surface_distances_where_denormal_numbers_are_flushed() -> None:
    """SciPy's k-d tree dies of it; training flushes them, so this is tried in a process of its own."""
    lines = (
        "import numpy, torch; from muscle.metrics import surface_distances; torch.set_flush_denormal(True)",
        "a = numpy.zeros((60, 60), bool); a[5:50, 5:50] = True; print(*surface_distances(a, numpy.roll(a, 3, 1)))",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.split()[0] == "3.0", done.stderr


def test_what_selects_measures_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 2, (2, 4, 16, 12), np.uint8)
    ids = [f"{i}" for i in range(4)]
    p = Predictions(task="m", kind="mask", classes=("lungs",), exclusive=True, ids=ids, patients=ids, truth=truth,
                    output=output)  # fmt: skip
    whole = score(p)
    monkeypatch.setattr("muscle.metrics.masks.surface_distances", None)
    assert main_score(p) == whole["dice"]
    far = {name for name in whole if name.partition(":")[0] in ("hd95", "asd")}
    assert far and score(p, distances=False) == {name: v for name, v in whole.items() if name not in far}
