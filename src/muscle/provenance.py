"""Where a number comes from: command, commit, machine, versions."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from muscle.machine import PACKAGES, Machine, cpu_name

STARTED = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())  # when this process came here
NOT_CODE = [f":(top,exclude){name}" for name in ("docs", "benchmarks/results", "*.md")]  # in git's words


def provenance(machine: Machine) -> dict[str, Any]:
    """Where and with what this was computed."""
    device = machine.torch_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "commit": _commit(),
        "machine": f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "device": str(device),
        "threads": machine.thread_count(),
        "versions": {p: version(p) for p in ("muscle-xray", *PACKAGES)} | {"python": platform.python_version()},
        "started": STARTED,
    }  # fmt: skip


def _program() -> str:
    """What a shell would be given: ``python -m muscle`` has its name in a file of another."""
    given = Path(sys.argv[0])
    return given.parent.name if given.name == "__main__.py" else given.name


def _commit() -> str:
    """The commit of the source tree that runs, with ``+changes`` where its code differs; empty outside one."""
    here = Path(__file__).resolve().parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno", "--", ":/", *NOT_CODE],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+changes" if changed.strip() else "")
