"""Which labelled patients a learner with few labels gets: the same for every rival, smaller draws within larger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from muscle.data.sampling import seed_of
from muscle.errors import UsageError


def label_draw(
    patients: Sequence[str], labels: NDArray[np.float32], share: float, seed: int
) -> NDArray[np.int64]:
    """The rows of a share of the patients; a pure function of these arguments, whatever the order of the rows.

    All films of a patient are drawn together. A draw of a smaller share lies within that of a larger one with the
    same seed. Patients with equal labels are drawn in proportion; first come the few that are needed for every value
    of every class to be there, also where the share alone would give fewer patients.

    Args:
        patients: key of the person of each of N rows.
        labels: [N, C] 1 / 0 / NaN.
        share: of the patients, above 0 and at most 1, rounded to the nearest number.
        seed: of the draw; with share 1 every seed draws everybody.

    Returns:
        Positions of rows, ascending.

    Raises:
        UsageError: a share that is none.
    """
    if not 0 < share <= 1:
        raise UsageError(
            f"share {share:g}; allowed: above 0 and at most 1, such as 0.1 for 10 % of the patients"
        )
    names, of = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    has = np.zeros((len(names), 2 * labels.shape[1]), bool)  # which values of which classes each patient has
    np.logical_or.at(has, of, np.concatenate([labels == 0, labels == 1], axis=1))
    order = _shuffled(has, np.random.default_rng(seed_of("labels", seed)))
    needed = _needed(order, has)
    first = set(needed)
    chosen = [*needed, *(p for p in order if p not in first)]
    number = max(len(needed), round(share * len(names)))
    return np.flatnonzero(np.isin(of, chosen[:number]))


def _shuffled(has: NDArray[np.bool_], rng: np.random.Generator) -> list[int]:
    """Patients by number, shuffled so that each beginning holds their kinds of labels in proportion."""
    _, kind = np.unique(has, axis=0, return_inverse=True)
    place = np.empty(len(has))
    for k in range(int(kind.max(initial=-1)) + 1):
        mine = rng.permutation(np.flatnonzero(kind == k))
        place[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
    return [int(p) for p in np.argsort(place, kind="stable")]


def _needed(order: list[int], has: NDArray[np.bool_]) -> list[int]:
    """The first patients in this order that between them have every value of every class that occurs."""
    missing, found = has.any(0), []
    for patient in order:
        if not missing.any():
            break
        if (has[patient] & missing).any():
            found.append(patient)
            missing &= ~has[patient]
    return found
