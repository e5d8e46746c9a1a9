"""When an interval is stamped. Oracle: the rule in docs/statistics.md, at both sides of each of its limits."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.statistics.influence import Influence
from muscle.statistics.trust import distrust, few_differ, movers


def of(
    value: float, effective: float, spread: int = 30, bounds: tuple[float, float] = (0.0, 1.0)
) -> Influence:
    """A score on so many effective clusters, of which ``spread`` move it alike."""
    moves = np.r_[np.full(spread, 0.01), np.zeros(5)]
    return Influence(value, moves, float((moves**2).sum()), effective - 1, effective, 100, 50, bounds)


@pytest.mark.parametrize(
    ("score", "found", "why"),
    [
        ("dice", of(0.7, 20), ""),
        ("dice", of(0.7, 19.6), "too few patients (19, needed 20)"),  # never "20, needed 20"
        ("auc", of(0.7, 9), ""),
        ("auc:sick", of(0.7, 8.9), "too few patients of the rarer class (8, needed 9)"),
        # (1 - score) x effective clusters: what went wrong in all
        ("auc", of(0.9, 11), ""),
        ("auc", of(0.95, 10), "too near 1 for 10 patients of the rarer class"),
        ("auc", of(0.05, 10), "too near 0 for 10 patients of the rarer class"),
        ("dice", of(0.95, 41), ""),
        ("dice", of(0.95, 39), "too near 1 for 39 patients"),
        ("dice", of(0.05, 39), "too near 0 for 39 patients"),
        ("ap50", of(0.95, 71), ""),
        ("ap50:fracture", of(0.95, 69), "too near 1 for 69 patients"),
        # Wilson's interval holds there, and needs no spread
        ("accuracy", of(0.99, 30, 1), ""),
        ("sensitivity", of(1.0, 19), "too few patients (19, needed 20)"),
        # no upper bound, nothing to be near to
        ("hd95", of(0.5, 30, bounds=(0.0, np.inf)), ""),
        ("hd95", of(9.0, 30, 5, (0.0, np.inf)), "5 patients make all the spread, needed 6"),
        ("dice", of(0.7, 30, 6), ""),
        ("dice", of(0.7, 30, 5), "5 patients make all the spread, needed 6"),
        ("auc", of(0.7, 30, 5), ""),  # DeLong's components have every patient
        ("ap50", of(0.7, 30, 5), ""),  # resamples, not patients
    ],
)
def test_each_limit(score: str, found: Influence, why: str) -> None:
    assert distrust(score, found) == why


def test_what_stands_on_one_shows_nothing() -> None:
    moves = np.full(2, 0.1)
    two = Influence(0.5, moves, 0.02, 19, 20, 40, 2)
    assert distrust("accuracy", two) == ""
    assert (
        distrust("dice", Influence(0.5, moves, 0.02, 19, 20, 40, 1))
        == "one patient: nothing shows how others differ"
    )
    alone = Influence(0.5, None, np.nan, 0, 20, 40, 2)
    assert distrust("auc", alone, "image") == "the score stands on one image: nothing shows how others differ"
    alike = Influence(0.5, np.zeros(30), 0.0, 29, 30, 30, 30)
    assert distrust("dice", alike) == "no patient differs from another"


def test_movers_are_as_many_as_weigh_alike() -> None:
    assert movers(np.r_[np.full(7, -0.3), np.zeros(90)]) == pytest.approx(7)
    assert movers(np.r_[1.0, np.full(99, 1e-3)]) == pytest.approx(1, abs=1e-3)
    assert movers(np.zeros(4)) == 0
    assert few_differ(np.full(3, 0.1)) == "the models differ in too few patients (3, needed 4)"
    assert few_differ(np.r_[np.full(3, 0.1), 0.06]) == "the models differ in too few patients (3, needed 4)"
    assert few_differ(np.full(4, 0.1)) == ""
