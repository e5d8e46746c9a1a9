"""Bad input: one line that begins with ``error:``, exit 1 (data, machine) or 2 (misuse), nothing finished lost."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import command
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from muscle import paths
from muscle.seal import sealed, unsealed

QUICK = (*command.TINY, "--set", "finetune.epochs=1")
RUN = ("--preset", "demo", "--threads", "1", "--device", "cpu")
CHANGES = ("size=[32,32]", "precision=float32", "finetune.epochs=1")


def pretrain(source: str | Path, place: Path, *more: str | Path) -> command.Ended:
    """Pre-training with its outputs under ``place``."""
    words = (*command.PRETRAIN, "--out", place / "runs" / "mine", "--store", place / "store", *more)
    return command.muscle("pretrain", source, *words)


def prepare(source: str | Path, place: Path) -> command.Ended:
    """Decoding alone."""
    return command.muscle(
        "data", "prepare", source, "--size", "32x32", "--store", place / "store", "--workers", "0"
    )


def write(file: Path, text: str) -> Path:
    """A text file and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def picture(file: Path, size: tuple[int, int] = (40, 48), seed: int = 0) -> Path:
    """A grey picture of noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, size, np.uint8)
    Image.fromarray(noise).save(file)
    return file


# --- folders and files ----------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such file or folder" in pretrain(tmp_path / "nowhere", tmp_path).refused(2)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    assert "no image in" in pretrain(tmp_path / "films", tmp_path).refused(1)


def test_a_folder_without_a_picture(tmp_path: Path) -> None:
    write(tmp_path / "films" / "a.txt", "x")
    assert "no image in" in pretrain(tmp_path / "films", tmp_path).refused(1)


def test_a_folder_in_another_layout_than_named(films: Path, tmp_path: Path) -> None:
    for kind in ("kermany", "yolo", "coco", "v7_lungs"):
        prepare(f"{kind}={films}", tmp_path).refused(1)


def test_a_folder_of_junk_alone(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    command.junk(tmp_path / "films")
    line = pretrain(tmp_path / "films", tmp_path).refused(1)
    assert "none of 3 images can be used; cut.jpg: " in line


def test_a_source_that_is_no_data_file(films: Path, tmp_path: Path) -> None:
    assert "not UTF-8" in pretrain(next(films.glob("*.png")).with_name("film 4.png"), tmp_path).refused(2)


@pytest.mark.parametrize("name", ["cut.jpg", "empty.png", "notes.png", "x.png", "none.png"])
def test_inspecting_what_is_no_film(films: Path, name: str) -> None:
    assert name in command.muscle("data", "inspect", films / name).refused(1)


def test_masks_of_another_size(tmp_path: Path) -> None:
    """Each is set aside with the reason; where none fits, that is the error."""
    for i in range(3):
        picture(tmp_path / "m" / "images" / f"{i}.png", seed=i)
        picture(tmp_path / "m" / "masks" / f"{i}.png", (20, 24) if i else (40, 48), seed=i)
    data = write(tmp_path / "m.yaml", "sources: {m: {kind: masks, root: m, images: images, masks: masks, "
                                      f"classes: {{bone: {list(range(1, 255))}}}}}}}\nsplit: all_train\n")  # fmt: skip
    ended = prepare(data, tmp_path)
    assert ended.done().count("set aside: ") == 2 and "20" in ended.out
    (tmp_path / "m" / "images" / "0.png").unlink()
    (tmp_path / "m" / "masks" / "0.png").unlink()
    assert "none of 2 images can be used" in prepare(data, tmp_path).refused(1)


def yolo(root: Path, line: str) -> Path:
    """An export of three films with one label line each; of the first, the given one."""
    write(root / "data.yaml", "names: [fracture]\n")
    for i in range(3):
        picture(root / "train" / "images" / f"{i}.png", seed=i)
        write(root / "train" / "labels" / f"{i}.txt", line if i == 0 else "0 .5 .5 .2 .2\n")
    return root


def test_a_box_outside_its_image(tmp_path: Path) -> None:
    """Clipped by default; refused with the file's name where the data file asks for it."""
    root = yolo(tmp_path / "y", "0 3.5 .5 .2 .2\n")
    for clip in ("true", "false"):
        data = write(
            tmp_path / f"{clip}.yaml", f"sources: {{y: {{kind: yolo, root: {root}, clip: {clip}}}}}\n"
        )
        assert "0.txt" in prepare(data, tmp_path).refused(1)


def test_an_unknown_label(tmp_path: Path) -> None:
    root = yolo(tmp_path / "y", "7 .5 .5 .2 .2\n")
    assert "0.txt" in prepare(f"yolo={root}", tmp_path).refused(1)


def table(root: Path, labels: list[str]) -> Path:
    """A data file over a CSV with one label column."""
    rows = ["image,finding"]
    for i, label in enumerate(labels):
        picture(root / f"{i}.png", seed=i)
        rows.append(f"{i}.png,{label}")
    write(root / "t.csv", "\n".join(rows) + "\n")
    return write(root / "t.yaml", "sources: {t: {kind: table, root: ., label: finding}}\n")


def test_one_class_only(tmp_path: Path) -> None:
    for label in ("yes", "no"):
        line = prepare(table(tmp_path / label, [label] * 4), tmp_path).refused(1)
        assert "only one class" in line


# --- recipes --------------------------------------------------------------------------------------------------


def test_a_queue_larger_than_the_pool(trained) -> None:
    place = trained.out.parents[1]
    line = pretrain(trained.films, place, "--set", "stages.0.tasks.0.queue=1024").refused(2)
    assert "larger than the pool of 24 images" in line
    assert (trained.out / "backbone.safetensors").is_file()


def test_a_recipe_for_annotations_on_data_without_is_refused_before_it_trains(
    films: Path, tmp_path: Path
) -> None:
    words = ("--data", films, *RUN, "--out", tmp_path / "runs" / "a", "--store", tmp_path / "store")
    line = command.muscle("run", "muscle", *CHANGES, *words).refused(2)
    assert "add an annotated source" in line
    assert not list((tmp_path / "runs").glob("checkpoints/*"))


def test_targets_without_test_part_are_refused_before_anything_trains(
    annotated: Path, tmp_path: Path
) -> None:
    data = write(
        annotated.with_name("all.yaml"),
        annotated.read_text().partition("\nsplit:")[0] + "\nsplit: all_train\n",
    )
    words = ("--data", data, *RUN, "--out", tmp_path / "runs" / "a", "--store", tmp_path / "store")
    assert "no test part" in command.muscle("run", "md-moco", *CHANGES, *words).refused(1)
    assert not list((tmp_path / "runs").glob("checkpoints/*"))


def test_stores_of_other_sizes_do_not_mix(trained, tmp_path: Path) -> None:
    """Two starts pre-trained at two sizes."""
    other = tmp_path / "other"
    shutil.copytree(trained.out, other)
    about = unsealed((other / "backbone.json").read_text())
    (other / "backbone.json").write_text(sealed(about | {"size": [64, 64]}))
    ended = command.muscle("compare", trained.films, "--from", f"{trained.out},{other}", *QUICK)
    assert "different size" in ended.refused(2)


# --- the disk -------------------------------------------------------------------------------------------------


def full(monkeypatch: pytest.MonkeyPatch, where: Callable[[str], bool]) -> None:
    """A disk on which files of some names cannot be flushed: ENOSPC from the operating system's call."""
    real = paths.os.fsync

    def fsync(handle: int) -> None:
        import os

        if where(os.readlink(f"/proc/self/fd/{handle}")):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(paths.os, "fsync", fsync)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names open files through /proc")
@pytest.mark.parametrize(
    "what",
    [
        "images.npy",
        "backbone.safetensors",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("snapshot", "stage.json")),
    ],
)
def test_a_full_disk_and_then_room(
    what: str, trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(patch, lambda name: what in name)
        assert "No space left" in pretrain(trained.films, tmp_path).refused(1)
    assert not (tmp_path / "runs" / "mine").exists()
    assert trained.sha256 in pretrain(trained.films, tmp_path).done()


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, resource.RLIM_INFINITY))
from muscle.seal import sealed, unsealed
from muscle.cli.main import main
sys.argv[0] = "muscle"
main()
"""


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(trained, tmp_path: Path) -> None:
    """The operating system itself refuses to write a checkpoint; Python ignores SIGXFSZ and so sees an error."""
    words = ("pretrain", trained.films, *command.PRETRAIN, "--out", tmp_path / "runs" / "mine",
             "--store", trained.out.parents[1] / "store")  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", LIMITED, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "cannot" in command.wait(process).refused(1)
    assert trained.sha256 in command.muscle(*words).done()


def test_places_that_cannot_be_written_to(trained, tmp_path: Path) -> None:
    blocked = write(tmp_path / "file", "x")
    words = ("pretrain", trained.films, *command.PRETRAIN)
    command.muscle(*words, "--out", blocked / "a" / "b", "--store", tmp_path / "store").refused(1)
    command.muscle(*words, "--out", tmp_path / "runs" / "a", "--store", blocked).refused(1)
    store = trained.out.parents[1] / "store"
    embed = ("embed", trained.films, "--from", trained.out, "--threads", "1", "--store", store)
    command.muscle(*embed, "--to", tmp_path).refused(1)
    assert blocked.read_text() == "x"


# --- weights --------------------------------------------------------------------------------------------------


def test_imagenet_without_a_network(films: Path, tmp_path: Path) -> None:
    """``MUSCLE_OFFLINE`` is set for every test."""
    assert "MUSCLE_OFFLINE" in pretrain(films, tmp_path, "--init", "imagenet").refused(1)


def test_an_interrupted_download(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = timm.create_model

    def broken(*words: object, pretrained: bool = False, **settings: object) -> object:
        if pretrained:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return real(*words, **settings)

    monkeypatch.setenv("MUSCLE_OFFLINE", "0")
    monkeypatch.setattr(timm, "create_model", broken)
    line = pretrain(films, tmp_path, "--init", "imagenet").refused(1)
    assert "Connection reset by peer" in line and "give a file" in line


def test_a_truncated_file_of_weights(trained, tmp_path: Path) -> None:
    whole = (trained.out / "backbone.safetensors").read_bytes()
    torch.save({"state_dict": {}}, tmp_path / "whole.pth")
    for name, content in (
        ("cut.safetensors", whole[: len(whole) // 2]),
        ("head.safetensors", whole[:100]),
        ("none.safetensors", b""),
        ("cut.pth", (tmp_path / "whole.pth").read_bytes()[:-50]),
        ("text.pth", b"<html>404</html>"),
    ):
        (tmp_path / name).write_bytes(content)
        assert name in pretrain(trained.films, tmp_path, "--init", tmp_path / name).refused(1)


def test_weights_that_are_not_there(films: Path, tmp_path: Path) -> None:
    assert "no weights at" in pretrain(films, tmp_path, "--init", "nowhere.pth").refused(2)


# --- what was finished and then damaged ------------------------------------------------------------------------


@pytest.fixture
def finished(trained, tmp_path: Path) -> Path:
    """A copy of the finished run and its store, to be damaged."""
    shutil.copytree(trained.out.parents[1], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["backbone.safetensors", "log.jsonl", "stage.json"])
def test_a_checkpoint_that_changed_on_the_disk(finished: Path, trained, name: str) -> None:
    (file,) = (finished / "runs" / "checkpoints").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:-20] + b"\0" * 20)
    assert str(file.parent) in pretrain(trained.films, finished).refused(1)
    shutil.rmtree(file.parent)  # as the line says
    assert trained.sha256 in pretrain(trained.films, finished).done()


def test_a_damaged_snapshot(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from muscle.engine import _Run

    store = ("--store", trained.out.parents[1] / "store")
    with monkeypatch.context() as patch:  # stopped right before the end, a snapshot on the disk
        patch.setattr(_Run, "_finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
        assert pretrain(trained.films, tmp_path, *store).code == 75
    (snapshot,) = (tmp_path / "runs" / "checkpoints").glob("*.running/snapshot.pt")
    whole = snapshot.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text", whole[:-5]):
        snapshot.write_bytes(damaged)
        assert "damaged snapshot" in pretrain(trained.films, tmp_path, *store).refused(1)
    snapshot.write_bytes(whole)
    assert trained.sha256 in pretrain(trained.films, tmp_path, *store).done()


@pytest.mark.parametrize("name", ["images.npy", "index.arrow", "manifest.json"])
def test_a_damaged_store(finished: Path, trained, name: str) -> None:
    (file,) = (finished / "store").glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:-20])
    shutil.rmtree(finished / "runs")
    assert str(file.parent) in pretrain(trained.films, finished).refused(1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}', b"\xff\xfe"])
def test_damaged_results(annotated: Path, trained, tmp_path: Path, content: bytes) -> None:
    """Refused with the file's name, by the run that would continue it and by the report; left as it is."""
    out = tmp_path / "runs" / "a"
    write(out / "results.json", "")
    (out / "results.json").write_bytes(content)
    store = trained.out.parents[1] / "phantoms"
    words = ("--data", annotated, *RUN, "--out", out, "--store", store)
    assert "results.json" in command.muscle("run", "scratch", *CHANGES, *words).refused(1)
    assert "results.json" in command.muscle("report", out).refused(1)
    assert (out / "results.json").read_bytes() == content
    assert "damaged" in command.muscle("ls", tmp_path / "runs").done() or content == b'{"version": 99}'


def test_a_damaged_record_of_the_backbone(finished: Path, trained) -> None:
    for content in ("", "[]", "{}"):
        (finished / "runs" / "mine" / "backbone.json").write_text(content)
        words = (
            "--from",
            finished / "runs" / "mine",
            "--store",
            finished / "store",
            "--to",
            finished / "f.parquet",
        )
        assert "backbone.json" in command.muscle("embed", trained.films, *words).refused(1)
