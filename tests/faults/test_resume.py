"""A process that is really killed, at several instants; the same command ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

import muscle
from muscle import engine

SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import tiny
from muscle import engine
from muscle.machine import Machine
from muscle.progress import Progress

engine.LOG_STEPS = 1

class Loud(Progress):
    def message(self, text):
        print("message", text, flush=True)
    def count(self, what, done, total, unit):
        print("count", done, flush=True)

films, root = map(Path, sys.argv[1:])
machine = Machine(device="cpu", threads=1, workers=0, snapshot_minutes=1e-9)
made = tiny.pipeline(tiny.small("md-moco", epochs=3), tiny.corpus(films), root, Loud(), machine).pretrain()[-1]
print("sha256", made.sha256, flush=True)
"""


def _command(films: Path, root: Path) -> subprocess.Popen[str]:
    paths = [str(Path(tiny.__file__).parent), str(Path(muscle.__file__).parents[1])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(films), str(root)], env=env, stdout=subprocess.PIPE, text=True
    )


def _until(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdout is not None
    seen = []
    for said in process.stdout:
        seen.append(said)
        if said.startswith(line):
            return said.strip()
    raise AssertionError(f"ended without {line!r}: {''.join(seen)}")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_sigkill_at_several_instants_then_the_same_command(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path_factory.getbasetemp() / "tiny"
    corpus = tiny.corpus(films)
    monkeypatch.setattr(engine, "LOG_STEPS", 1)
    expected = tiny.pipeline(tiny.small("md-moco", epochs=3), corpus, tmp_path / "unbroken").pretrain()[-1]
    assert expected.about["steps"] == 9
    killed = tmp_path / "killed"
    # right after a step, while its snapshot is being written; at the scores between epochs
    for step, later in ((2, 0.05), (6, 0.3)):
        process = _command(films, killed)
        _until(process, f"count {step}")
        time.sleep(later)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()  # type: ignore[union-attr]
        assert not list(killed.glob("*/stage.json"))
    process = _command(films, killed)
    assert "resumed at step" in _until(process, "message pretrain: resumed")
    sha = _until(process, "sha256").split()[1]
    process.stdout.close()  # type: ignore[union-attr]
    assert process.wait() == 0
    assert sha == expected.sha256
    assert (killed / expected.folder.name / "log.jsonl").read_bytes() == expected.log_file.read_bytes()
    assert not list(killed.glob("*.running"))
