"""TensorBoard events of a stage, made from the lines of its log, which remain the record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

_PLACE = ("step", "turn", "round", "epoch", "task")  # says where a line stands, not what was measured


class Events:
    """Curves to look at while a stage runs: ``tensorboard --logdir FOLDER``."""

    def __init__(self, folder: Path, log: str) -> None:
        """Begins the folder anew with what the log holds, so that a resumed stage shows no step twice.

        Args:
            folder: of this stage alone; what lies in it is replaced.
            log: JSON lines.
        """
        from torch.utils.tensorboard import SummaryWriter  # half a second that only training needs

        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self.writer = SummaryWriter(str(folder))
        self.step = 0
        for line in log.splitlines():
            self.add(json.loads(line))

    def add(self, line: dict[str, Any]) -> None:
        """Every number of one line of the log; losses under their task, scores at the step of the last loss."""
        self._keep_folder()
        self.step = int(line.get("step", self.step))
        task = f"{line['task']}/" if "step" in line else ""
        for name, value in line.items():
            if name not in _PLACE:
                for part, number in value.items() if isinstance(value, dict) else (("", value),):
                    if isinstance(number, (int, float)):
                        tag = f"{task}{name}" + (f"/{part}" if part else "")
                        self.writer.add_scalar(tag.replace(":", "/"), number, self.step)

    def close(self) -> None:
        """Writes what is still in memory."""
        self._keep_folder()
        self.writer.close()

    def _keep_folder(self) -> None:
        """Makes it again where somebody has removed it: its thread would end with a traceback."""
        self.folder.mkdir(parents=True, exist_ok=True)
