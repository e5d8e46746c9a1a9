"""The DICOM matrix: every file of ``tests/golden/make_dicom_matrix.py`` against the pictures committed with it.

Oracle: closed forms of PS3.3 in that script, which imports nothing of ours and agrees with dcmtk within one level.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGExtended12Bit

from muscle.data.decode import Decode, decode
from muscle.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
ALWAYS = (
    "Implicit VR Little Endian",
    "Explicit VR Little Endian",
    "Explicit VR Big Endian",
    "Deflated Explicit VR Little Endian",
    "RLE Lossless",
    "JPEG 2000 Image Compression (Lossless Only)",
)


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_dicom_matrix", GOLDEN / "make_dicom_matrix.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


matrix = script()


@pytest.fixture(scope="module")
def wanted() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "dicom_matrix.npz") as arrays:
        return dict(arrays)


def shown(cell: Any, photometric: str, syntax: str, folder: Path) -> np.ndarray | str:
    """What the decoder makes of one file, or why there is nothing."""
    path = folder / "x.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            matrix.save(matrix.encoded(matrix.dataset(cell, photometric), syntax), path)
        except Exception as error:
            return f"not encodable: {str(error).splitlines()[0][:90]}"
    try:
        return decode(path, Decode()).pixels
    except UserError as error:
        return f"refused: {str(error).removeprefix(f'{path}: ')}"


@pytest.mark.oracle
def test_every_cell_is_within_a_level_or_says_why_not(
    tmp_path: Path, wanted: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    cells = list(matrix.cells())
    assert {cell.name for cell in cells} == set(wanted) and len(cells) == 180
    outcomes: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    for syntax in matrix.SYNTAXES:
        name = UID(syntax).name
        counts = outcomes.setdefault(name, Counter())
        for cell in cells:
            twins = [shown(cell, photometric, syntax, tmp_path) for photometric in matrix.PHOTOMETRIC]
            for photometric, found in zip(matrix.PHOTOMETRIC, twins):
                if isinstance(found, str):
                    counts[found] += 1
                    continue
                far = int(np.abs(found.astype(int) - wanted[cell.name]).max())
                counts["pass" if far <= 1 else "wrong"] += 1
                if far > 1:
                    wrong.append(f"{name}: {cell.name} {photometric}: {far} levels off")
            if all(isinstance(found, np.ndarray) for found in twins) and not np.array_equal(*twins):
                wrong.append(f"{name}: {cell.name}: the twins differ")
    with capsys.disabled():
        print()
        for name, counts in outcomes.items():
            print(f"{name}: " + "; ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    assert not wrong, f"{len(wrong)} cells are wrong:\n" + "\n".join(wrong[:20])
    assert all(outcomes[name]["pass"] == 360 for name in ALWAYS)


@pytest.mark.parametrize("name", matrix.BY_DCMTK)
def test_what_dcmtk_encoded(name: str) -> None:
    """JPEG in all its ways, by another encoder; those without a decoder here are named."""
    _, cell, most = matrix.BY_DCMTK[name]
    file = GOLDEN / f"{name}.dcm"
    syntax = dcmread(file).file_meta.TransferSyntaxUID
    if not get_decoder(syntax).is_available:
        with pytest.raises(
            UserError, match=r"needs a decoder that is not installed; `muscle doctor` names it"
        ):
            decode(file, Decode())
        return
    try:
        found = decode(file, Decode()).pixels
    except UserError as error:  # Pillow reads JPEG Extended of 8 bits alone, and says so
        assert syntax == JPEGExtended12Bit and "cannot be read" in str(error)
        return
    assert np.abs(found.astype(int) - matrix.expected(cell)).max() <= most
