"""Folder to backbone: what is used, what comes out, who can read it, and what a kill costs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import command
import numpy as np
import pytest
import torch
from safetensors import safe_open

from muscle.backbones.resnet import ResNet
from muscle.weights import load_backbone

TIMM = """
import sys
import numpy, timm, torch
torch.set_num_threads(1)
net = timm.create_model("resnet18", in_chans=1, num_classes=0, checkpoint_path=sys.argv[1]).eval()
with torch.no_grad():
    numpy.save(sys.argv[3], net(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
assert not any(name.split(".")[0] == "muscle" for name in sys.modules)
"""


def test_the_printed_sha_is_that_of_the_file_and_of_the_record(trained) -> None:
    found = hashlib.sha256((trained.out / "backbone.safetensors").read_bytes()).hexdigest()
    about = json.loads((trained.out / "backbone.json").read_text())
    assert found == trained.sha256 == about["sha256"]
    with safe_open(trained.out / "backbone.safetensors", "pt") as opened:
        assert opened.metadata()["size"] == "32x32"
        assert json.loads(opened.metadata()["normalization"])["kind"] == "zscore"


def test_every_film_is_used_and_no_junk(trained) -> None:
    about = json.loads((trained.out / "backbone.json").read_text())
    assert about["images"] == 24  # all phantoms differ, so none is dropped as a copy
    (store,) = (trained.out.parents[1] / "store").glob("my-films-*/manifest.json")
    assert sorted(Path(path).name for path, _ in json.loads(store.read_text())["quarantine"]) == list(
        command.JUNK
    )


def test_the_recipe_beside_the_backbone_gives_the_same_backbone(trained, tmp_path: Path) -> None:
    """Nothing but the YAML says what was done: no preset, no override."""
    store = trained.out.parents[1] / "store"
    words = ("--method", trained.out / "recipe.yaml", "--threads", "1", "--device", "cpu")
    ended = command.muscle("pretrain", trained.films, *words, "--out", tmp_path / "a" / "b", "--store", store)
    assert trained.sha256 in ended.done()


def test_timm_alone_computes_the_same_features(trained, tmp_path: Path) -> None:
    """timm, in a process that never imports muscle, against our backbone; 1e-5."""
    images = np.random.default_rng(0).normal(size=(3, 1, 96, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    words = (trained.out / "backbone.safetensors", tmp_path / "x.npy", tmp_path / "y.npy")
    subprocess.run([sys.executable, "-c", TIMM, *map(str, words)], check=True, cwd=tmp_path)
    mine = ResNet(name="resnet18").build().eval()
    load_backbone(mine, trained.out / "backbone.safetensors")
    with torch.no_grad():
        expected = mine(torch.from_numpy(images)).pooled.numpy()
    assert expected.std() > 0.01
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() <= 1e-5


def test_a_second_command_finds_the_result_and_trains_nothing(trained) -> None:
    before = (trained.out / "backbone.safetensors").stat().st_mtime_ns
    store = trained.out.parents[1] / "store"
    ended = command.muscle(
        "pretrain", trained.films, *command.PRETRAIN, "--out", trained.out, "--store", store, "--json"
    )
    assert json.loads(ended.done())["sha256"] == trained.sha256
    assert "pretrain: " not in ended.err  # no step was counted
    assert (trained.out / "backbone.safetensors").stat().st_mtime_ns >= before


@pytest.mark.slow
def test_weights_that_take_the_place_of_others_are_told(trained, tmp_path: Path) -> None:
    """The run's folder and its checkpoints are copied; another seed is another run."""
    shutil.copytree(trained.out.parent, tmp_path / "runs")
    words = (
        *command.PRETRAIN,
        "--out",
        tmp_path / "runs" / "mine",
        "--store",
        trained.out.parents[1] / "store",
    )
    told = f"held other weights ({trained.sha256[:12]})"
    assert told not in command.muscle("pretrain", trained.films, *words).err
    other = command.muscle("pretrain", trained.films, *words, "--set", "seed=1")
    assert trained.sha256 not in other.done() and told in other.err


def test_what_cannot_be_computed_again_is_refused_before_anything_is_decoded(trained, tmp_path: Path) -> None:
    words = (*command.PRETRAIN, "--recompute", "--set", "backbone={kind: timm, name: regnetx_002}")
    ended = command.muscle(
        "pretrain", trained.films, *words, "--store", tmp_path / "store", "--out", tmp_path / "x"
    )
    assert "no residual blocks" in ended.refused(1) and not list(tmp_path.iterdir())


def test_killed_in_the_middle_again_and_again_it_ends_with_the_same_bytes(trained, tmp_path: Path) -> None:
    """kill -9 while decoding, between epochs and within one; then to the end. Oracle: the unbroken run."""
    words = (
        "pretrain",
        trained.films,
        *command.PRETRAIN,
        "--out",
        tmp_path / "runs" / "mine",
        "--store",
        tmp_path / "s",
    )
    running = tmp_path / "runs" / "checkpoints"
    kills = 0
    for awaited in (lambda: any((tmp_path / "s").glob("*")), lambda: any(running.glob("*.running/lock")),
                    lambda: any(running.glob("*.running/snapshot.pt"))):  # fmt: skip
        process = command.start(*words, cwd=tmp_path)
        while process.poll() is None and not awaited():
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    assert not (tmp_path / "runs" / "mine" / "backbone.safetensors").exists()
    assert trained.sha256 in command.wait(command.start(*words, cwd=tmp_path)).done()
    assert not list(running.glob("*.running"))


@pytest.mark.slow
def test_two_processes_at_once_one_is_told_the_other_ends(trained, tmp_path: Path) -> None:
    words = ("pretrain", trained.films, *command.PRETRAIN, "--set", "stages.0.schedule.epochs_per_task=30",
             "--out", tmp_path / "runs" / "mine", "--store", trained.out.parents[1] / "store")  # fmt: skip
    first = command.start(*words, cwd=tmp_path)
    while first.poll() is None and not any((tmp_path / "runs" / "checkpoints").glob("*.running/snapshot.pt")):
        time.sleep(0.01)
    second = command.muscle(*words)
    first.kill()
    first.communicate()
    assert "another process is computing it" in second.refused(1)
