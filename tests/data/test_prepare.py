from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from muscle.data import journal
from muscle.data.decode import Decode
from muscle.data.prepare import prepare
from muscle.data.source import Source
from muscle.data.splits import PatientSplit
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.types import BoxList, Labels, MaskFiles, MaskRuns, Sample, Target

LABELS = Target(name="sick", kind="labels", classes=("no", "yes"))


def films(n: int) -> list[Sample]:
    """Records with one label each, by turns."""
    return [
        Sample(
            id="",
            source="",
            path=f"{i:03}.png",
            patient=f"p{i}",
            annotations={"sick": Labels((i % 2, 1 - i % 2))},
        )
        for i in range(n)
    ]


def make(source: Source, where: Path, **options: Any) -> Store:
    given: dict[str, Any] = {"size": (8, 12), "decode": Decode(), "workers": 0} | options
    return prepare("a", source, PatientSplit(), where=where, **given)


def tree(path: Path) -> dict[str, bytes]:
    return {
        p.relative_to(path).as_posix(): p.read_bytes()
        for p in path.rglob("*")
        if p.is_file() and p.suffix != ".lock" and p.name != "verified.json"  # says when, not what
    }


def test_rows_are_the_pictures(tmp_path: Path, given: Callable[..., Source]) -> None:
    """Oracle: OpenCV on each file by itself; mean and deviation by NumPy over the training rows."""
    store = make(given("a", films(30), [LABELS]), tmp_path / "s")
    for i in range(30):
        pixels = np.asarray(cv2.imread(str(tmp_path / f"a/{i:03}.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
        assert np.array_equal(store.images[i], cv2.resize(pixels, (12, 8), interpolation=cv2.INTER_AREA))
    train = store.images[store.is_("split", "train")].astype(np.float64)
    assert 0 < len(train) < 30
    assert store.mean == pytest.approx(train.mean(), rel=1e-12) and store.sd == pytest.approx(
        train.std(), rel=1e-12
    )
    mean, sd = store.numbers("mean"), store.numbers("sd")
    np.testing.assert_allclose(mean, store.images.mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(sd, store.images.std((1, 2)), rtol=1e-5)
    assert store.strings("id") == [f"a/{i:03}.png" for i in range(30)]
    assert [p.name for p in (tmp_path / "s").iterdir() if not p.name.startswith(".")] == [store.path.name]


def test_found_again_without_decoding(
    tmp_path: Path, given: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = given("a", films(5))
    first = make(source, tmp_path / "s")
    shutil.copytree(tmp_path / "a", tmp_path / "moved", copy_function=shutil.copy2)
    monkeypatch.setattr("muscle.data.workers._contained", None)  # nothing is decoded
    moved = source.with_(root=str(tmp_path / "moved"), external=True, split=PatientSplit(seed=3))
    assert make(moved, tmp_path / "s").digest == first.digest
    monkeypatch.setattr("muscle.data.prepare.films_of", None)
    assert make(source, tmp_path / "s").path == first.path


def test_other_films_under_the_same_names_sizes_and_times_are_decoded(
    tmp_path: Path, given: Callable[..., Source]
) -> None:
    """As from two archives without dates: what tells them apart is their bytes."""
    pictures = {
        name: np.random.default_rng(seed).integers(0, 256, (9, 7), np.uint8) for seed, name in enumerate("ab")
    }
    made = {}
    for name, pixels in pictures.items():
        source = given("x", films(1))
        (tmp_path / name).mkdir(exist_ok=True)
        file = tmp_path / name / "000.bmp"
        assert cv2.imwrite(str(file), pixels)
        os.utime(file, (315532800, 315532800))
        (sample,) = films(1)
        moved = source.with_(root=str(tmp_path / name), samples=(replace(sample, path="000.bmp"),))
        made[name] = make(moved, tmp_path / "s", size=(9, 7)).images[0]
    assert all(np.array_equal(made[name], pixels) for name, pixels in pictures.items())


def test_everything_that_decides_the_content_makes_another_store(
    tmp_path: Path, given: Callable[..., Source]
) -> None:
    samples = films(4)
    source = given("a", samples, [LABELS])
    first = make(source, tmp_path / "s")
    relabelled = source.with_(
        samples=(replace(samples[0], annotations={"sick": Labels((1, 0))}), *samples[1:])
    )
    others = [
        make(relabelled, tmp_path / "s"),
        make(source, tmp_path / "s", size=(8, 13)),
        make(source, tmp_path / "s", fit="pad"),
        make(source, tmp_path / "s", decode=Decode(grey="raw")),
        prepare("a", source, PatientSplit(test=0.6), (8, 12), Decode(), tmp_path / "s", workers=0),
    ]
    os.utime(tmp_path / "a/001.png", ns=(1, 1))
    touched = make(source, tmp_path / "s")
    assert (
        touched.digest == first.digest
    )  # a file with another time is decoded again; equal content is equal content
    assert len({s.path for s in (first, touched, *others)}) == 7
    assert len({s.digest for s in (first, *others)}) == 6


def test_bad_files_are_set_aside_with_the_reason(tmp_path: Path, given: Callable[..., Source]) -> None:
    samples = films(4)
    samples[1] = replace(samples[1], annotations={"box": BoxList(((0, 0, 90, 9),), (1,))})
    samples[2] = replace(samples[2], annotations={"mask": MaskFiles((("002.png", ((255, 1),)),))})
    samples[3] = replace(samples[3], annotations={"mask": MaskFiles((("001.png", ((255, 1),)),))})
    targets = [
        Target(name="box", kind="boxes", classes=("x",)),
        Target(name="mask", kind="mask", classes=("y",)),
    ]
    source = given("a", samples, targets)
    (tmp_path / "a/000.png").write_bytes(b"GIF")
    cv2.imwrite(str(tmp_path / "a/003.png"), np.zeros((3, 4), np.uint8))
    store = make(source, tmp_path / "s")
    reasons = dict(store.quarantine)
    assert list(reasons) == ["000.png", "001.png", "003.png"] and len(store) == 1
    assert "0, 0, 90, 9" in reasons["001.png"] and "30x20" in reasons["001.png"]
    assert "30x20" in reasons["003.png"] and "4x3" in reasons["003.png"]
    assert store.known("mask").tolist() == [True] and store.known("box").tolist() == [False]


def test_runs_and_scaled_masks_are_stored(tmp_path: Path, given: Callable[..., Source]) -> None:
    """Oracle: the left half of an image of 30x20, as runs and as a picture of 3x2 pixels."""
    samples = [replace(s, annotations={}) for s in films(3)]
    samples[0] = replace(samples[0], annotations={"mask": MaskRuns(20, 30, ((0, 300),))})
    samples[1] = replace(samples[1], annotations={"mask": MaskFiles((("m.png", ((9, 1),)),), scaled=True)})
    source = given("a", samples, [Target(name="mask", kind="mask", classes=("y",))])
    cv2.imwrite(str(tmp_path / "a/m.png"), np.array([[9, 0], [9, 0]], np.uint8))
    store = make(source, tmp_path / "s")
    assert store.known("mask").tolist() == [True, True, False] and not store.quarantine
    for mask in store.masks["mask"][:2]:
        assert (mask[:, :6] == 1).all() and not mask[:, 6:].any()


def test_nothing_left_is_an_error(tmp_path: Path, given: Callable[..., Source]) -> None:
    source = given("a", films(2))
    for i in range(2):
        (tmp_path / f"a/{i:03}.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"none of 2 images can be used; 000.png: "):
        make(source, tmp_path / "s")


SCRIPT = """
import os, signal, sys
from pathlib import Path
import conftest as c
from muscle.data import journal, prepare as p
from muscle.data.decode import Decode
from muscle.data.splits import PatientSplit
from muscle.types import Sample
import multiprocessing
journal.COMMIT = 8
root, where, workers, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
samples = tuple(Sample(id="", source="", path=f"{i:03}.png", patient=f"p{i}") for i in range(40))
first = []
def progress(done, total):
    if not first:
        print(done, *[c.pid for c in multiprocessing.active_children()], flush=True)
    first.append(done)
    if done == stop:
        os.kill(os.getpid(), signal.SIGKILL)
if stop > 40:
    Path.rename = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
p.prepare("a", c.Given(root=root, samples=samples), PatientSplit(), (8, 12), Decode(), where, workers=workers,
          progress=progress)
"""


@pytest.mark.parametrize(("workers", "stop", "again"), [(0, 13, "9"), (2, 30, "25"), (0, 41, "")])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, given: Callable[..., Source], workers: int, stop: int, again: str
) -> None:
    """Oracle: an unbroken run. Killed within the films, and before the rename."""
    source = given("a", [replace(s, annotations={}) for s in films(40)])
    (tmp_path / "a/003.png").write_bytes(b"broken")
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    where = tmp_path / "s"

    def run(stop: int) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            str(tmp_path / "script.py"),
            source.root,
            str(where),
            str(workers),
            str(stop),
        ]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    killed = run(stop)
    assert killed.returncode == -signal.SIGKILL and killed.stdout.startswith("1"), killed.stderr
    assert not any(p.is_dir() and p.suffix != ".partial" for p in where.iterdir())
    for pid in killed.stdout.split()[1:]:
        assert gone(int(pid)), "a decoding process outlived the run"
    resumed = run(0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.split()[:1] == again.split()  # the first film that was decoded again
    make(source, tmp_path / "unbroken")
    assert tree(where) == tree(tmp_path / "unbroken")


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and ") Z" in state.read_text():
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_full_disk_loses_nothing(
    tmp_path: Path, given: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = given("a", films(20))
    monkeypatch.setattr(journal, "COMMIT", 8)
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; what is decoded is kept"):
            make(source, tmp_path / "s")
    seen: list[int] = []
    make(source, tmp_path / "s", progress=lambda done, total: seen.append(done))
    assert seen == list(range(9, 21))
    make(source, tmp_path / "unbroken")
    assert tree(tmp_path / "s") == tree(tmp_path / "unbroken")


def test_room_is_looked_for_first(
    tmp_path: Path, given: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5 * 10**5))
    with pytest.raises(
        UserError, match=r"needs 0.0 GB in .* 0.0 GB are free; free some, choose a smaller size"
    ):
        make(given("a", films(2)), tmp_path / "s", size=(800, 500))


def test_a_store_whose_name_clashes_is_not_taken_for_found(
    tmp_path: Path, given: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two keys with their first eight digits in common: each store is found by its whole key."""
    keys = {"stretch": "0" * 8 + "1" * 56, "pad": "0" * 8 + "2" * 56}
    monkeypatch.setattr("muscle.data.prepare.Films.key", property(lambda films: keys[films.fit]))
    source = given("a", films(5))
    made = {fit: make(source, tmp_path / "s", fit=fit) for fit in keys}
    assert [len(store.path.name) for store in made.values()] == [len("a-8x12-") + 8, len("a-8x12-") + 64]
    monkeypatch.setattr("muscle.data.prepare.films_of", None)
    for fit, key in keys.items():
        again = make(source, tmp_path / "s", fit=fit)
        assert (again.path, again.manifest["key"], again.manifest["fit"]) == (made[fit].path, key, fit)


def test_a_damaged_key_is_told_and_no_second_store_made(tmp_path: Path, given: Callable[..., Source]) -> None:
    """A digit of the key changed in the manifest, as a disk may do: not the store of another key."""
    made = make(given("a", films(3)), tmp_path / "s")
    manifest = made.path / "manifest.json"
    key = made.manifest["key"]
    manifest.write_text(manifest.read_text().replace(key, key[:-1] + ("0" if key[-1] != "0" else "1")))
    with pytest.raises(UserError, match=r"manifest\.json: .*changed since it was written"):
        make(given("a", films(3)), tmp_path / "s")
    assert [p for p in (tmp_path / "s").glob("a-*") if p.is_dir()] == [made.path]


def test_a_store_without_its_manifest_is_named_before_anything_is_decoded(
    tmp_path: Path, given: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an interrupted copy or removal leaves it."""
    made = make(given("a", films(3)), tmp_path / "s")
    (made.path / "manifest.json").unlink()
    monkeypatch.setattr("muscle.data.prepare.films_of", None)
    with pytest.raises(
        UserError, match=rf"{made.path}: lies where the store a is to be .* manifest\.json is missing"
    ):
        make(given("a", films(3)), tmp_path / "s")


@pytest.mark.parametrize("manifest", ["[]", "null", '{"version": 3}', '{"version": 3, "size": [8, 12]}'])
def test_a_leftover_folder_hinders_no_other_source(
    tmp_path: Path, given: Callable[..., Source], manifest: str
) -> None:
    left = tmp_path / "s" / "other-8x12-00000000"
    left.mkdir(parents=True)
    (left / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match="prepare again"):
        Store.open(left)
    assert len(make(given("a", films(3)), tmp_path / "s")) == 3
