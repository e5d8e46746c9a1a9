"""The machine: what a test proves not to change the losses, and therefore stays out of every key."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import threadpoolctl
import torch
from pydantic import Field

from muscle.distributed import launched, world
from muscle.errors import UsageError
from muscle.parts import Part

Precision = Literal["bf16", "fp16", "float32"]
DTYPES: dict[Precision, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "float32": torch.float32,
}
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
)  # whose versions may change a bit
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


class Machine(Part):
    """Where a run happens. ``threads``: of one process; bits are equal at equal thread count only."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: int = Field(0, ge=0, le=4096)  # 0: OMP_NUM_THREADS where it is set, else all cores
    workers: int = Field(2, ge=0)  # processes that decode
    memory: float = Field(0.0, ge=0)  # GiB of the device that a process may take; 0: all
    recompute: bool = False  # activations in the backward pass: a third more arithmetic, far less memory
    deterministic: bool = (
        False  # of a GPU's kernels only those that give equal bits each time; a CPU has no others
    )
    snapshot_minutes: float = Field(5.0, gt=0)  # at most so much is lost to a kill

    def torch_device(self) -> torch.device:
        """The device; ``auto`` is the first GPU, under torchrun that of the local rank, else the CPU.

        Raises:
            UsageError: a device that this torch does not have.
        """
        if self.device == "auto":
            if not torch.cuda.is_available():
                return torch.device("cpu")
            return torch.device("cuda", torch.cuda.current_device()) if launched() else torch.device("cuda")
        try:
            device = torch.device(self.device)
        except RuntimeError:
            raise UsageError(f"device {self.device!r}: allowed: auto, cpu, cuda, cuda:N") from None
        if device.type == "cuda" and not torch.cuda.is_available():
            raise UsageError(f"device {self.device!r}: this torch sees no GPU; use cpu, or see muscle doctor")
        return device

    def settle(self) -> None:
        """Sets this process up to compute: threads, its part of a GPU, no denormal numbers, freed memory kept.

        Arithmetic on denormal numbers is slow on many CPUs, and no score depends on them.
        """
        torch.set_num_threads(self.thread_count())
        threadpoolctl.threadpool_limits(self.thread_count())  # those of NumPy, SciPy and scikit-learn
        torch.set_flush_denormal(True)
        _keep_freed_memory()
        device = self.torch_device()
        if device.type == "cuda":
            os.environ.setdefault(
                "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
            )  # before its first use; no cost elsewhere
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(self.deterministic)
        if self.memory and device.type == "cuda":
            whole = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, self.memory * 2**30 / whole), device)

    def surroundings(self) -> dict[str, str]:
        """What equal bits ask for beside the key: threads, processes, device, kind of CPU, versions of libraries."""
        device = self.torch_device()
        return {
            "threads": str(self.thread_count()),
            "processes": str(world().size),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "cpu": f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}",
            "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "kernels": "deterministic" if self.deterministic or device.type == "cpu" else "any",
            **{name: version(name) for name in PACKAGES},
        }

    def budget(self) -> float:
        """Bytes of memory that training may take: what was given, else the whole GPU; 0 where neither says."""
        device = self.torch_device()
        if self.memory or device.type != "cuda":
            return self.memory * 2**30
        return float(torch.cuda.get_device_properties(device).total_memory)

    def thread_count(self) -> int:
        """How many threads a process computes with: of several that torchrun starts on a machine, its part.

        Among several OMP_NUM_THREADS says nothing: torchrun sets it to 1 where nobody did.
        """
        mates = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        named = os.environ.get("OMP_NUM_THREADS", "") if mates == 1 else ""
        return self.threads or (int(named) if named.isdecimal() else 0) or max(1, allowed_cores() // mates)

    def precision(self, asked: str) -> Precision:
        """``auto`` resolved: bf16 where the device computes in it, else fp16 on a GPU, else float32."""
        named: dict[str, Precision] = {"bf16": "bf16", "fp16": "fp16", "float32": "float32"}
        if asked in named:
            return named[asked]
        if self.torch_device().type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return "bf16" if _cpu_has_bf16() else "float32"


def differences(before: dict[str, str], now: dict[str, str]) -> str:
    """What has changed between two surroundings, in words."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(
        f"{name} {before.get(name, 'unknown')}, now {now.get(name, 'unknown')}" for name in names
    )


def cpu_name() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "CPU"


def allowed_cores() -> int:
    """The cores that this process may use: fewer than the machine's under taskset or a scheduler."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_has_bf16() -> bool:
    probes = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(probe() for probe in probes if probe)


def _keep_freed_memory() -> None:
    """Has glibc keep what a step frees for the next one, up to 2 GiB.

    Else it goes back to the system, and the activations of every step are paged in anew, on a CPU at a cost that shows.
    """
    if sys.platform == "linux" and hasattr(c := ctypes.CDLL(None), "mallopt"):
        c.mallopt(_MMAP_THRESHOLD, 2**30) or c.mallopt(_MMAP_THRESHOLD, 2**25)  # the most that old ones take
        c.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
