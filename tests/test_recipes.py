"""Every shipped recipe, preset and backbone: right in itself, and the same after YAML."""

from __future__ import annotations

import pytest

from muscle.errors import UsageError
from muscle.parts import override
from muscle.recipe import Recipe
from muscle.recipes import PRESETS, RECIPES, recipe
from muscle.schedules import Cyclic, Sequential
from muscle.tasks.moco import MoCo
from muscle.yaml_text import from_yaml

NAMES = (
    "scratch",
    "imagenet",
    "moco",
    "moco-cxr",
    "simclr",
    "md-moco",
    "md-moco-raw",
    "muscle-naive",
    "muscle",
    "muscle-no-memory",
    "muscle-constant",
    "muscle-rounds",
    "muscle-literal",
    "muscle-ewc",
    "muscle-lwf",
    "muscle-replay",
    "joint",
)


def test_the_shipped_names() -> None:
    assert set(RECIPES) == set(NAMES) and set(PRESETS) == {"paper", "small", "demo"}
    assert all(recipe(name).name == name for name in NAMES)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", NAMES)
def test_checks_and_round_trips(name: str, preset: str, backbone: str) -> None:
    shipped = recipe(name, preset, backbone)
    shipped.check()
    text = shipped.yaml()
    again = Recipe.parse(from_yaml(text))
    assert again == shipped and again.yaml() == text and again.key() == shipped.key()


def test_no_two_recipes_or_presets_share_a_key() -> None:
    keys = [recipe(n, p, b).key() for n in NAMES for p in PRESETS for b in ("resnet18", "resnet50")]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("stages.1.schedule.rounds=5", 5),
        ("stages.0.optimizer.rate=1e-4", 1e-4),
        ("stages.0.tasks.0.queue=auto", "auto"),
    ],
)
def test_override_changes_one_leaf(assignment: str, value: object) -> None:
    base = recipe("muscle", "small")
    changed = override(base, [assignment])
    changed.check()
    data = changed.dump()
    path = assignment.partition("=")[0].split(".")
    for step in path:
        data = data[int(step)] if isinstance(data, list) else data[step]
    assert data == value
    # "queue: auto" is what the preset says already
    assert (changed.key() == base.key()) == (value == "auto")


def test_an_override_that_leads_nowhere_is_answered_with_what_is_there() -> None:
    with pytest.raises(UsageError, match=r"no 'round'; did you mean rounds\? known: .*rounds, reshuffle"):
        override(recipe("muscle"), ["stages.1.schedule.round=5"])
    with pytest.raises(UsageError, match="known: 0, 1"):
        override(recipe("muscle"), ["stages.2.name=x"])


@pytest.mark.parametrize("preset", PRESETS)
def test_baselines_are_prefixes_and_the_naive_method_trains_as_long(preset: str) -> None:
    moco, naive, full = (recipe(name, preset).stages for name in ("md-moco", "muscle-naive", "muscle"))
    assert recipe("scratch", preset).stages == ()
    assert moco[0] == naive[0] == full[0]
    cyclic, blocks = full[1].schedule, naive[1].schedule
    assert isinstance(cyclic, Cyclic) and cyclic.reshuffle and isinstance(blocks, Sequential)
    assert cyclic.rounds == blocks.epochs_per_task
    assert naive[1].tasks == full[1].tasks and naive[1].regularizers == () and full[1].regularizers
    tuned = {recipe(name, preset).finetune.key() for name in NAMES}  # type: ignore[union-attr]
    assert len(tuned) == 1  # the same adaptation for every init


def test_the_paper_in_the_preset_paper() -> None:
    full = recipe("muscle")
    assert full.size == (800, 500) and full.stages[1].schedule.rounds == 10  # type: ignore[attr-defined]
    moco = full.stages[0].tasks[0]
    assert isinstance(moco, MoCo) and moco.queue == 24_576 and moco.views.crop is None
    assert moco.views.blur == moco.views.jitter == 0
    assert full.normalization.dump() == {"kind": "zscore", "mean": 122.786, "sd": 18.39}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("mussel",), r"recipe 'mussel'; did you mean muscle\? known: scratch, .*muscle"),
        (("muscle", "smal"), r"preset 'smal'; did you mean small\? known: paper, small, demo"),
        (("muscle", "huge"), "preset 'huge'; known: paper, small, demo"),
        (("muscle", "paper", "vit"), "backbone 'vit'; shipped recipes know resnet18, resnet50"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe(*given)
