"""The machine: devices and precisions, and that none of it enters a key."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from muscle import machine
from muscle.errors import UsageError
from muscle.machine import DTYPES, Machine


def test_devices() -> None:
    assert Machine(device="cpu").torch_device() == torch.device("cpu")
    assert Machine().torch_device().type in ("cpu", "cuda")
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda"):
        Machine(device="quantum").torch_device()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="sees no GPU"):
        Machine(device="cuda").torch_device()


def test_precision_that_is_asked_for_is_given_and_auto_is_resolved() -> None:
    cpu = Machine(device="cpu")
    assert [cpu.precision(p) for p in DTYPES] == list(DTYPES)
    assert cpu.precision("auto") in ("bf16", "float32")  # never fp16 on a CPU


def test_memory_is_what_was_given_else_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 16 GiB, drawn: its calls are seen, nothing is computed on it."""
    assert Machine(device="cpu").budget() == 0 and Machine(device="cpu", memory=2).budget() == 2 * 2**30
    asked: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=16 * 2**30)
    )
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: asked.append(given))
    assert Machine(device="cuda:1").budget() == 16 * 2**30
    for memory in (0, 4, 40):
        Machine(device="cuda:1", memory=memory, threads=torch.get_num_threads()).settle()
    assert asked == [(0.25, torch.device("cuda:1")), (1.0, torch.device("cuda:1"))]


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As asked; else as the variable that every library goes by says; else all cores. torchrun's 1 says nothing."""
    monkeypatch.setattr(machine, "allowed_cores", lambda: 8)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for named, threads in {"5": 5, "": 8, "0": 8, "4,2": 8, "-1": 8}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", named)
        assert Machine().thread_count() == threads
        assert Machine(threads=3).thread_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert Machine().thread_count() == 4


STEPS = """
import resource, sys, torch
from muscle.machine import Machine
if sys.argv[1] == "settled":
    Machine(device="cpu", threads=1).settle()
small = [torch.ones(1) for _ in range(2**13)]
last = small.pop()
del small
faults = []
for _ in range(14):
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    held = [torch.ones(16, 2**20) for _ in range(8)]
    del held
print(faults[-1] - faults[0])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to")
def test_what_a_step_frees_is_there_for_the_next() -> None:
    """Oracle: the system's count of pages that a process had to be given, for 512 MiB that are freed and taken again.

    They are in eight pieces, held at once as the activations of a step are. A few more are taken before some are left
    that fit, so this is a ratio. What is small finds its place in what small tensors leave first: one that came to lie
    above the pieces would hold them in the process by chance.
    """

    def faults(how: str) -> int:
        words = [sys.executable, "-c", STEPS, how]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    assert 5 * faults("settled") < faults("plain")


ARITHMETIC = """
import json, torch
from muscle.machine import Machine
def found():
    product = torch.full((2**20,), 1e-30) * 1e-10
    return [torch.get_num_threads(), int((product != 0).sum())]
torch.set_num_threads(1)
supported = torch.set_flush_denormal(False)
before = found()
Machine(device="cpu", threads=3).settle()
print(json.dumps([supported, before, found()]))
"""


def test_a_settled_process_has_its_threads_and_no_denormal_numbers() -> None:
    """Oracle: 1e-40, which float32 holds as a denormal number only; on every thread that computes."""
    ended = subprocess.run([sys.executable, "-c", ARITHMETIC], check=True, capture_output=True, text=True)
    supported, before, after = json.loads(ended.stdout)
    assert before == [1, 2**20] and after == [3, 0 if supported else 2**20]
