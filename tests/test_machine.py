"""The machine: devices and precisions, and that none of it enters a key."""

from __future__ import annotations

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
