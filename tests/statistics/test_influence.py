"""How a score depends on each patient. Oracles: one class alone, and loops that leave a patient out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from muscle.metrics import score
from muscle.predictions import Predictions
from muscle.statistics.influence import average, influences, of_area


def findings(n: int = 120) -> Predictions:
    """Three findings that are not exclusive: c is rare and unknown of a third of the cases; two films a patient."""
    rng = np.random.default_rng(3)
    truth = (rng.random((n, 3)) < (0.5, 0.4, 0.2)).astype(np.float32)
    truth[::3, 2] = np.nan
    output = np.clip(0.3 + 0.2 * np.nan_to_num(truth) + 0.3 * rng.normal(size=(n, 3)), 0, 1).astype(
        np.float32
    )
    return Predictions(
        task="t", kind="labels", classes=("a", "b", "c"), exclusive=False, ids=[str(i) for i in range(n)],
        patients=[str(i // 2) for i in range(n)], truth=truth, output=output,
    )  # fmt: skip


def alone(p: Predictions, c: int) -> Predictions:
    """One finding, of the cases that it is known of."""
    truth, output = p.arrays
    one = replace(p, classes=(p.classes[c],), truth=truth[:, [c]], output=output[:, [c]])
    return one.take(~np.isnan(truth[:, c]))


@pytest.mark.parametrize("c", [0, 1, 2])
@pytest.mark.parametrize("name", ["auc", "average_precision"])
def test_the_score_of_one_class_is_as_sure_as_that_class_alone(name: str, c: int) -> None:
    """Not as the mean over the classes, which is surer; cases of which it is unknown do not count."""
    p = findings()
    mine, other = influences(p)[f"{name}:{'abc'[c]}"], influences(alone(p, c))[name]
    assert (mine.value, mine.n, mine.clusters) == (pytest.approx(other.value), other.n, other.clusters)
    assert mine.variance == pytest.approx(other.variance) and mine.effective == pytest.approx(other.effective)
    assert mine.df == pytest.approx(other.df)


def test_the_mean_auc_is_that_of_its_classes_and_counts_every_case() -> None:
    p = findings()
    truth, output = p.arrays
    of = np.unique(p.patients, return_inverse=True)[1]
    mean = influences(p)["auc"]
    each = [of_area(truth[:, c].astype(float), output[:, c].astype(float), of) for c in range(3)]
    assert mean.variance == pytest.approx(average(each).variance)
    assert mean.value == pytest.approx(np.mean([e.value for e in each]))
    assert (mean.n, mean.clusters) == (120, 60) and each[2].n == 80


def test_what_is_not_exact_is_left_out_patient_by_patient() -> None:
    p = findings(40)
    found = influences(p)["brier"]
    whole, count = score(p)["brier"], 20
    patients = np.array(p.patients)
    moves = [whole - score(p.take(patients != who))["brier"] for who in np.unique(patients)]
    assert found.variance == pytest.approx(np.sum(np.square(moves)) * (count - 1) / count)
    assert found.by_cluster is not None and len(found.by_cluster) == count


def test_trainings_that_answer_as_one_have_no_spread_together() -> None:
    """Nothing moves either: the variance is 0, not NaN of 0 / 0."""
    p = alone(findings(), 0)
    perfect = influences(replace(p, output=p.arrays[0]))["accuracy"]
    assert average([perfect, perfect]).variance == 0 == perfect.variance
