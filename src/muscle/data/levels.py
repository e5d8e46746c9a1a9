"""Whether films look to a network like those that it was trained on: brightness, contrast and skew of its input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.data.normalization import Normalization
from muscle.data.rows import Rows
from muscle.errors import UserError
from muscle.seal import unsealed

FILMS = 256  # that are looked at
BLOCK = 32
# What is higher, and what lower, in films whose median lies outside of the trained ones.
WORDS = {
    "brightness": ("brighter", "darker"),
    "contrast": ("of more contrast", "of less contrast"),
    "skew": ("darker in their middle levels", "brighter in their middle levels"),
}

Levels = dict[str, list[float]]


def grey_levels(rows: Rows, normalization: Normalization) -> Levels:
    """For ``brightness``, ``contrast`` and ``skew`` of the network's input: what 5, 50 and 95 % of the films lie below.

    Of an input ``(image - mean) / sd`` brightness is the mean, contrast the deviation, both in its units, and skew
    (q90 + q10 - 2 q50) / (q90 - q10), from -1 to 1, which changes its sign with the polarity. At most 256 films are
    looked at, evenly spaced.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), FILMS)).astype(np.int64))
    found = [
        _of(rows.batch(some, normalization, None))
        for some in np.array_split(chosen, -(-len(chosen) // BLOCK))
    ]
    shares = np.quantile(np.concatenate(found), (0.05, 0.5, 0.95), axis=0)
    return {name: [round(float(v), 4) for v in column] for name, column in zip(WORDS, shares.T, strict=True)}


def _of(batch: Any) -> NDArray[np.float64]:
    """Brightness, contrast and skew of each image, [B, 3]."""
    image = batch.image.numpy().reshape(len(batch), -1).astype(np.float64)
    pixels = (image - batch.mean.numpy()[:, None]) / batch.sd.numpy()[:, None]
    low, middle, high = np.quantile(pixels, (0.1, 0.5, 0.9), axis=1)
    skew = (high + low - 2 * middle) / np.maximum(high - low, 1e-9)
    return np.stack([pixels.mean(1), pixels.std(1), skew], 1)


def unlike(rows: Rows, normalization: Normalization, trained: Levels | None) -> str:
    """In words, in what half of the films differ from 95 % of those that were trained on; empty: in nothing.

    Args:
        trained: what ``grey_levels`` gave of those; None where it is not known, of which nothing can be said.
    """
    if trained is None:
        return ""
    now, said = grey_levels(rows, normalization), []
    for name, (higher, lower) in WORDS.items():
        low, _, high = trained[name]
        middle = now[name][1]
        if not low <= middle <= high:
            said.append(
                f"half of the films are {higher if middle > high else lower} than 95 % of those that were trained on "
                f"(median {name} {middle:.2f}, there {low:.2f} to {high:.2f})"
            )
    if said:
        said.append("see with `muscle data inspect` whether polarity and window are read rightly")
    return "; ".join(said)


def trained_levels(weights: Path) -> Levels | None:
    """The levels that ``pretrain`` has written beside its backbone; None for weights from elsewhere.

    Raises:
        UserError: they cannot be read.
    """
    about = weights.with_name("backbone.json")
    if weights.name != "backbone.safetensors" or not about.is_file():
        return None
    try:
        found: Levels | None = unsealed(about.read_bytes()).get("grey_levels")
    except (OSError, ValueError) as error:
        raise UserError(f"{about}: {error}; give the command of that run again to write it anew") from None
    return found
