"""Pre-training on radiographs across data sets, tasks and body parts.

import muscle
mine = muscle.pretrain("xrays.yaml", out="runs/mine")
print(muscle.compare("wrist.yaml", starts=["scratch", mine], seeds=3).table())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = [
    "DataFile",
    "Machine",
    "Recipe",
    "compare",
    "embed",
    "finetune",
    "load_recipe",
    "pretrain",
    "probe",
    "validate",
    "verify",
]

if TYPE_CHECKING:
    from muscle.api import compare, embed, finetune, pretrain, probe, validate, verify
    from muscle.data.data_file import DataFile
    from muscle.machine import Machine
    from muscle.recipe import Recipe
    from muscle.starts import load_recipe

_HOMES = {
    "DataFile": "muscle.data.data_file",
    "Machine": "muscle.machine",
    "Recipe": "muscle.recipe",
    "load_recipe": "muscle.starts",
}


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is asked for: ``import muscle`` alone does not pull in torch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("muscle-xray")
    if name not in __all__:
        raise AttributeError(f"module 'muscle' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "muscle.api")), name)
