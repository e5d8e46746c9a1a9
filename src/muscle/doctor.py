"""What this machine offers and lacks, before hours are spent on it. Looks only: installs and downloads nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import torch
import torchvision
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from muscle import paths
from muscle.errors import UsageError
from muscle.machine import Machine

State = Literal["ok", "warn", "bad"]

LOW_DISK = 50_000_000_000  # bytes: 100,000 films at 800x500 are 40 GB
NO_DISK = 2_000_000_000

# What an encoding needs beside pydicom. The two for JPEG Lossless are not installed with muscle: one is GPL-3.
_CODECS = {
    RLELossless: "pydicom",
    JPEGBaseline8Bit: "pillow",
    JPEGLossless: "python-gdcm (or, under the GPL, pylibjpeg-libjpeg)",
    JPEGLosslessSV1: "python-gdcm (or, under the GPL, pylibjpeg-libjpeg)",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg pylibjpeg-openjpeg",
    JPEG2000: "pylibjpeg pylibjpeg-openjpeg",
    HTJ2KLossless: "pylibjpeg pylibjpeg-openjpeg",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``advice`` says what to do where ``state`` is not ``ok``; plain data, for JSON."""

    name: str
    value: str
    state: State = "ok"
    advice: str = ""


def doctor() -> list[Finding]:
    """Looks at everything, in the order in which a reader would want to mend it."""
    return [
        _python(),
        _torch(),
        _device(),
        _precision(),
        _threads(),
        *_disk(),
        _codecs(),
        _offline(),
        _command(),
    ]


def exit_code(findings: list[Finding]) -> int:
    """1 where something is bad, so that a script stops; warnings leave 0."""
    return int(any(finding.state == "bad" for finding in findings))


def to_json(findings: list[Finding]) -> str:
    """The findings as a JSON list of objects with name, value, state and advice."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)


def _python() -> Finding:
    value = f"{sys.version.split()[0]} in {sys.prefix}"
    if sys.version_info[:2] < (3, 11) or sys.version_info[:2] > (3, 13):
        return Finding(
            "python", value, "warn", "tested with 3.11 to 3.13; make an environment with one of these"
        )
    return Finding("python", value)


def _torch() -> Finding:
    build = (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {_hip()}" if _hip() else "CPU build"
    )
    value = f"torch {torch.__version__} ({build}), torchvision {torchvision.__version__}"
    cards = _nvidia_cards()
    if cards and not torch.version.cuda:
        advice = f"{cards[0]} is idle: this torch is a CPU build; install the CUDA build (pytorch.org, Get Started)"
        return Finding("torch", value, "warn", advice)
    if cards and not torch.cuda.is_available():
        advice = (
            f"{cards[0]} is idle: its driver is older than CUDA {torch.version.cuda} needs; renew the driver"
        )
        return Finding("torch", value, "warn", advice)
    return Finding("torch", value)


def _hip() -> str | None:
    return getattr(torch.version, "hip", None)


def _nvidia_cards() -> list[str]:
    """Names of the NVIDIA cards that the driver knows, whatever torch can do with them."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return [f"an NVIDIA card ({p.name})" for p in sorted(Path("/proc/driver/nvidia/gpus").glob("*"))]
    query = [smi, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _device() -> Finding:
    if not torch.cuda.is_available():
        advice = (
            "enough for the demo and small pools; a pool of tens of thousands of films wants a GPU with 8 GB"
        )
        return Finding("device", f"cpu ({torch.backends.cpu.get_cpu_capability()})", "ok", advice)
    names = []
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        names.append(f"cuda:{i} {card.name}, {card.total_memory / 1e9:.0f} GB")
    return Finding("device", "; ".join(names))


def _precision() -> Finding:
    chosen = Machine().precision("auto")
    if chosen == "float32":
        advice = (
            "this device does not compute in bf16: a step takes about three times as long; nothing to set"
        )
        return Finding("precision", chosen, "ok", advice)
    return Finding("precision", chosen)


def _threads() -> Finding:
    used, allowed = torch.get_num_threads(), _allowed_cores()
    value = f"{used} of {allowed} cores"
    if used > allowed:
        advice = f"more threads than cores slow each other down; set OMP_NUM_THREADS={allowed}"
        return Finding("threads", value, "warn", advice)
    if used < allowed // 2:
        named = os.environ.get("OMP_NUM_THREADS")
        cause = f"OMP_NUM_THREADS={named} holds torch back" if named else "torch uses few of them"
        return Finding("threads", value, "warn", f"{cause}; set OMP_NUM_THREADS={allowed}")
    return Finding("threads", value)


def _allowed_cores() -> int:
    """Cores that this process may use: its affinity and its container's quota, not what the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def _disk() -> list[Finding]:
    folder = paths.stores()
    free = paths.free_bytes(folder)
    value = f"{free / 1e9:.1f} GB free at {folder}"
    advice = "100,000 films at 800x500 take 40 GB; set MUSCLE_STORE to a folder on a larger disk"
    state: State = "bad" if free < NO_DISK else "warn" if free < LOW_DISK else "ok"
    disk = Finding("disk", value, state, "" if state == "ok" else advice)
    place = paths.nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = "set MUSCLE_STORE to a folder that you may write to"
        return [disk, Finding("store", f"{folder}: {error.strerror or error}", "bad", advice)]
    return [disk, Finding("store", str(folder) if folder.exists() else f"{folder} (made when it is needed)")]


def _codecs() -> Finding:
    missing = [uid for uid in _CODECS if not get_decoder(uid).is_available]
    if not missing:
        return Finding("dicom", f"all {len(_CODECS)} compressed encodings of radiographs can be read")
    what = "; ".join(dict.fromkeys(_CODECS[uid] for uid in missing))
    value = "cannot be read: " + ", ".join(f"{uid.name.split(',')[0]} ({uid})" for uid in missing)
    return Finding("dicom", value, "warn", f"only where your films use these: pip install {what}")


def _offline() -> Finding:
    try:
        offline = paths.offline()
    except UsageError as error:
        return Finding("offline", "neither", "bad", str(error))
    if offline:
        return Finding(
            "offline", "yes: nothing is downloaded; `imagenet` needs a file of weights (MUSCLE_OFFLINE)"
        )
    return Finding(
        "offline", "no: only `imagenet` downloads, when a recipe names it; MUSCLE_OFFLINE=1 forbids it"
    )


def _command() -> Finding:
    """A sequence aligner and its Python package are called muscle too."""
    found, ours = shutil.which("muscle"), Path(sysconfig.get_path("scripts")).resolve()
    if found is not None and Path(found).resolve().parent != ours:  # pipx and uv put a link on PATH
        advice = (
            f"that is not the one of {ours}, perhaps the aligner: use muscle-xray, which is the same as ours"
        )
        return Finding("command", f"`muscle` is {found}", "warn", advice)
    try:
        other = metadata.version("muscle")
    except metadata.PackageNotFoundError:
        if found:
            return Finding("command", "`muscle` and `muscle-xray` are ours")
        advice = f"call {ours / 'muscle'}, or add its folder: export PATH={ours}:$PATH"
        return Finding("command", "`muscle` is not on PATH", "warn", advice)
    advice = "both want the name `muscle`; make an environment of its own for muscle-xray"
    return Finding(
        "command", f"another distribution `muscle` {other} is installed beside muscle-xray", "bad", advice
    )
