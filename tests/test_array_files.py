"""Arrays as strangers write them: each file is made by hand, and NumPy alone would do what is refused here."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from muscle.array_files import opened_npz, read_npy
from muscle.errors import UserError
from muscle.predictions import Predictions
from muscle.report.reading import read_embedding


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The head of an array that says it has this shape."""
    out = io.BytesIO()
    npy.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return path


def test_what_numpy_wrote_is_read(tmp_path: Path) -> None:
    given = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text"), "c": np.zeros((0, 4), np.float32)}
    np.savez_compressed(tmp_path / "x.npz", **given)
    with opened_npz(tmp_path / "x.npz") as found:
        assert all(np.array_equal(found[name], value) for name, value in given.items())
    np.save(tmp_path / "x.npy", given["a"])
    assert np.array_equal(read_npy(tmp_path / "x.npy"), given["a"])


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (3,), (-5,), (10**6, 10**6)])
def test_shapes_that_the_file_does_not_hold_take_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Two floats are there; a terabyte, or three, are said to be."""
    lying = header(shape) + bytes(8)
    (tmp_path / "x.npy").write_bytes(lying)
    packed(tmp_path / "x.npz", about=lying, xy=lying)
    tracemalloc.start()
    with pytest.raises(ValueError, match="its header says"):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(UserError, match="not a file of predictions .*its header says"):
        Predictions.load(tmp_path / "x.npz")
    with pytest.raises(UserError, match="its header says"):
        read_embedding(tmp_path / "x.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("words", [b"{'shape': (4", b"{'a' 'b'", b"((((", b'"""', b"{" * 300])
def test_headers_that_are_no_literals(tmp_path: Path, words: bytes) -> None:
    head = b"\x93NUMPY\x01\x00" + (len(words) + 1).to_bytes(2, "little") + words + b"\n"
    (tmp_path / "x.npy").write_bytes(head)
    with pytest.raises(ValueError, match=r"x\.npy|header|[Ll]iteral|parse"):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(ValueError), opened_npz(packed(tmp_path / "x.npz", x=head)):
        pass


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "marker"),)

    content = header((1,), "|O") + pickle.dumps(np.array([Planted()], object))
    (tmp_path / "x.npy").write_bytes(content)
    packed(tmp_path / "x.npz", about=content)
    with pytest.raises(ValueError, match="Python objects"):
        read_npy(tmp_path / "x.npy")
    with pytest.raises(UserError, match="Python objects"):
        Predictions.load(tmp_path / "x.npz")
    assert not (tmp_path / "marker").exists()
    with pytest.raises(OSError):  # and the plant is alive: NumPy, allowed to, does make the folder, once
        for _ in range(2):
            np.load(tmp_path / "x.npy", allow_pickle=True)
    assert (tmp_path / "marker").exists()


def test_archives_that_unpack_to_more_than_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10**6, np.uint8))
    assert (tmp_path / "x.npz").stat().st_size < 5000
    sizes = {"SC_PHYS_PAGES": 400, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("muscle.array_files.os.sysconf", sizes.__getitem__)
    with pytest.raises(ValueError, match="more than half of this machine"), opened_npz(tmp_path / "x.npz"):
        pass


@pytest.mark.parametrize("about", ["[]", "1", '{"version": 1}', "[" * 100_000, '{"version":1,"kind":[]}'])
def test_words_that_are_none_of_ours_are_refused_in_one_line(tmp_path: Path, about: str) -> None:
    np.savez(tmp_path / "x.npz", about=np.array(about), truth=np.zeros(1), output=np.zeros(1))
    with pytest.raises(UserError, match="not a file of predictions"):
        Predictions.load(tmp_path / "x.npz")
