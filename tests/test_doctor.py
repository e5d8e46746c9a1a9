"""The doctor on machines that are made up: what it must notice, and that each remark says what to do.

Oracles: os.statvfs and os.sched_getaffinity of this machine; otherwise the made-up machine itself.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from muscle import doctor as d
from muscle import paths
from muscle.machine import Machine


def _one(name: str) -> d.Finding:
    return next(f for f in d.doctor() if f.name == name)


def test_everything_is_looked_at_and_is_plain_data() -> None:
    findings = d.doctor()
    assert [f.name for f in findings] == [
        "python", "torch", "device", "precision", "threads", "disk", "store", "dicom", "offline", "command",
    ]  # fmt: skip
    assert all(f.value and "\n" not in f.value + f.advice for f in findings)
    assert all(f.advice for f in findings if f.state != "ok")
    assert [d.Finding(**plain) for plain in json.loads(d.to_json(findings))] == findings


def test_only_what_is_bad_stops_a_script() -> None:
    fine, odd, bad = d.Finding("a", "1"), d.Finding("b", "2", "warn", "x"), d.Finding("c", "3", "bad", "y")
    assert d.exit_code([fine, odd]) == 0
    assert d.exit_code([fine, bad, odd]) == 1


@pytest.mark.parametrize("version", [(3, 10, 1), (3, 14, 0)])
def test_an_untested_python(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert (_one("python").state, "3.11 to 3.13" in _one("python").advice) == ("warn", True)


def test_a_cpu_build_beside_an_nvidia_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "_nvidia_cards", lambda: ["NVIDIA RTX A4000"])
    monkeypatch.setattr(torch.version, "cuda", None)
    finding = _one("torch")
    assert finding.state == "warn"
    assert "NVIDIA RTX A4000 is idle: this torch is a CPU build; install the CUDA build" in finding.advice


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "_nvidia_cards", lambda: ["NVIDIA RTX A4000"])
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "renew the driver" in _one("torch").advice


def test_no_card_no_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "_nvidia_cards", list)
    assert _one("torch").state == "ok"


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for nvidia-smi")
@pytest.mark.parametrize(("code", "cards"), [(0, ["NVIDIA H200", "NVIDIA T4"]), (9, [])])
def test_cards_are_asked_of_the_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, cards: list[str]
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho 'NVIDIA H200'\necho 'NVIDIA T4'\nexit {code}\n")
    smi.chmod(smi.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert d._nvidia_cards() == cards


def test_gpus_are_listed_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    card = SimpleNamespace(name="NVIDIA T4", total_memory=15_800_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    assert d._device().value == "cuda:0 NVIDIA T4, 16 GB; cuda:1 NVIDIA T4, 16 GB"


@pytest.mark.parametrize(("chosen", "advised"), [("bf16", False), ("float32", True)])
def test_the_precision_is_the_one_that_training_would_use(
    monkeypatch: pytest.MonkeyPatch, chosen: str, advised: bool
) -> None:
    monkeypatch.setattr(Machine, "precision", lambda self, asked: chosen)
    assert (_one("precision").value, bool(_one("precision").advice)) == (chosen, advised)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= d._allowed_cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setattr(d, "_allowed_cores", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "set OMP_NUM_THREADS=4" in _one("threads").advice
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert _one("threads").advice == "OMP_NUM_THREADS=1 holds torch back; set OMP_NUM_THREADS=4"
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert _one("threads").state == "ok"


@pytest.mark.parametrize(("free", "state"), [(10**9, "bad"), (10**10, "warn"), (10**12, "ok")])
def test_disk(monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(paths, "free_bytes", lambda path: free)
    finding = _one("disk")
    assert finding.state == state
    assert ("MUSCLE_STORE" in finding.advice) == (state != "ok")


def test_a_store_that_is_still_to_be_made_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSCLE_STORE", str(tmp_path / "a" / "b"))
    assert "made when it is needed" in _one("store").value
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("MUSCLE_STORE", str(tmp_path))
    monkeypatch.setattr(d.tempfile, "TemporaryFile", refuse)
    finding = _one("store")
    assert finding.state == "bad"
    assert "Permission denied" in finding.value
    assert "MUSCLE_STORE" in finding.advice


def test_a_missing_codec_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d, "get_decoder", lambda uid: SimpleNamespace(is_available=uid != d.JPEGLSLossless))
    finding = _one("dicom")
    assert finding.state == "warn"
    assert "1.2.840.10008.1.2.4.80" in finding.value
    assert finding.advice.endswith("pip install pyjpegls")
    monkeypatch.setattr(d, "get_decoder", lambda uid: SimpleNamespace(is_available=True))
    assert _one("dicom").state == "ok"


def test_what_is_installed_with_muscle_reads_everything_but_jpeg_lossless() -> None:
    missing = {uid for uid in d._CODECS if not d.get_decoder(uid).is_available}
    assert missing <= {d.JPEGLossless, d.JPEGLosslessSV1}


@pytest.mark.parametrize(
    ("given", "begins", "state"), [("1", "yes", "ok"), ("0", "no", "ok"), ("x", "neither", "bad")]
)
def test_offline(monkeypatch: pytest.MonkeyPatch, given: str, begins: str, state: str) -> None:
    monkeypatch.setenv("MUSCLE_OFFLINE", given)
    assert _one("offline").value.startswith(begins)
    assert _one("offline").state == state


def test_another_program_called_muscle_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    aligner = tmp_path / "muscle"
    aligner.write_text("#!/bin/sh\n")
    monkeypatch.setattr(d.shutil, "which", lambda name: str(aligner) if name == "muscle" else None)
    finding = _one("command")
    assert finding.state == "warn"
    assert str(aligner) in finding.value
    assert "use muscle-xray" in finding.advice


def test_our_own_program_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = str(Path(sysconfig.get_path("scripts")) / "muscle")
    monkeypatch.setattr(d.shutil, "which", lambda name: mine if name == "muscle" else None)
    assert _one("command").value == "`muscle` and `muscle-xray` are ours"


def test_a_command_that_is_not_found_is_a_warning_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d.shutil, "which", lambda name: None)
    finding = _one("command")
    assert (finding.state, finding.value) == ("warn", "`muscle` is not on PATH")
    assert f"export PATH={Path(sysconfig.get_path('scripts')).resolve()}:$PATH" in finding.advice


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_link_to_our_own_program_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = tmp_path / "muscle"
    link.symlink_to(Path(sysconfig.get_path("scripts")) / "muscle")
    monkeypatch.setattr(d.shutil, "which", lambda name: str(link) if name == "muscle" else None)
    assert _one("command").state == "ok"


def test_another_distribution_called_muscle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(d.shutil, "which", lambda name: None)
    monkeypatch.setattr(metadata, "version", lambda name: "3.8")
    assert (_one("command").state, "muscle` 3.8" in _one("command").value) == ("bad", True)
