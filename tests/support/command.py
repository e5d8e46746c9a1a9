"""The command line as a user meets it, and a folder as users have them: films of every kind between junk."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pydicom
from PIL import Image

from muscle.cli import main as cli
from muscle.phantom import PARTS, draw

# The least that still trains: one thread, 32 x 32 pixels, batches of 8.
TINY = ("--preset", "demo", "--backbone", "resnet18", "--threads", "1", "--device", "cpu", "--set", "size=[32,32]",
        "--set", "precision=float32")  # fmt: skip
PRETRAIN = (*TINY, "--set", "stages.0.tasks.0.batch_size=8", "--set", "stages.0.schedule.epochs_per_task=2")
JUNK = ("cut.jpg", "empty.png", "notes.png")  # what no decoder can read


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refused(self, code: int) -> str:
        """The one line of an error meant for the user; other lines may tell of progress, none of a traceback."""
        assert self.code == code, f"exit {self.code}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.out + self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1 and self.err.rstrip().splitlines()[-1] == lines[0], self.err
        return lines[0]

    def done(self) -> str:
        """Standard output of a command that succeeded."""
        assert self.code == 0, f"exit {self.code}\n{self.out}\n{self.err}"
        return self.out


def muscle(*words: str | Path) -> Ended:
    """Runs the command in this process, as the console script does."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["muscle", *map(str, words)]
    with patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            return Ended(int(ended.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("main must end in an exit code")


def start(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "muscle", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait(process: subprocess.Popen[str], seconds: float = 300) -> Ended:
    """Its end."""
    out, err = process.communicate(timeout=seconds)
    return Ended(process.returncode, out, err)


def films(root: Path, n: int, size: tuple[int, int] = (64, 48)) -> None:
    """``n`` synthetic films as 8-bit and 16-bit PNG, JPEG and DICOM without suffix, names with spaces and accents."""
    deep = root / "Röntgen links"
    deep.mkdir(parents=True)
    for i in range(n):
        image = draw(PARTS[i % 4], i, size, 16 if i % 4 == 1 else 8).image
        folder = deep if i % 3 == 0 else root
        if i % 4 == 3:
            _dicom(folder / f"IM{i:04d}", image, "MONOCHROME1" if i % 8 == 3 else "MONOCHROME2")
        else:
            name = (f"film {i}.png", f"film {i}.PNG", f"手 {i}.jpeg")[i % 4]
            Image.fromarray(image).save(folder / name)


def junk(root: Path) -> None:
    """What lies about in such folders: text named ``.png``, half a JPEG, an empty file, a folder ``x.png``, notes."""
    (root / "notes.png").write_text("this is text\n")
    whole = io.BytesIO()
    Image.fromarray(draw("hand", 99, (64, 48)).image).save(whole, "JPEG")
    (root / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (root / "empty.png").touch()
    (root / "x.png").mkdir()
    (root / "read me.txt").write_text("a list\n")


def _dicom(file: Path, image: np.ndarray, photometric: str) -> None:
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.3.{file.name[2:].lstrip('0') or 0}"
    ds.Modality, ds.PatientID, ds.PhotometricInterpretation = "DX", file.name, photometric
    ds.Rows, ds.Columns = image.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = (image.astype(np.uint16) * 16).tobytes()
    ds.save_as(file, enforce_file_format=True)
