"""The machine: devices and precisions, and that none of it enters a key."""

from __future__ import annotations

import pytest
import torch

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
    machine = Machine(device="cpu")
    assert [machine.precision(p) for p in DTYPES] == list(DTYPES)
    assert machine.precision("auto") in ("bf16", "float32")  # never fp16 on a CPU


def test_threads() -> None:
    assert Machine(threads=3).thread_count() == 3
    assert Machine().thread_count() >= 1
