"""Which recipes stand in one comparison: rivals on a run's own network and pixels, rows of one name apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from muscle.backbones.resnet import ResNet
from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.lineup import compared, more_rows, probed
from muscle.progress import Progress
from muscle.recipe import Recipe
from muscle.schedules import Sequential
from muscle.starts import Pretrained


def test_rivals_take_over_network_and_pixels_of_the_run(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "mine", "resnet50")
    asked = compared(["scratch", run], ["md-moco"], None, 2, "demo", (), ())
    assert [r.name for r in asked] == ["scratch", "mine", "md-moco"]
    for r in asked:
        assert (r.backbone, r.size, r.fit) == (ResNet(name="resnet50"), (64, 48), "pad")
        assert r.seeds == (0, 1)


def test_a_change_goes_to_every_recipe_that_has_a_place_for_it() -> None:
    """Scratch has no stages; what has a place nowhere is a mistake."""
    change = "stages.0.schedule.epochs_per_task=3"
    scratch, moco = compared(["scratch"], ["md-moco"], None, 1, "demo", (), (change, "size=[64,48]"))
    assert not scratch.stages and moco.stages[0].schedule == Sequential(epochs_per_task=3)
    assert scratch.size == moco.size == (64, 48)
    with pytest.raises(UsageError, match="no '0'"):
        compared(["scratch"], (), None, 1, "demo", (), (change,))


def test_runs_that_differ_do_not_compare(tmp_path: Path) -> None:
    runs = [tiny.run_folder(tmp_path / "a"), tiny.run_folder(tmp_path / "b", size=(48, 64))]
    with pytest.raises(UsageError, match="starts of different size do not compare"):
        compared(runs, (), None, 1, "demo", (), ())


def test_folders_of_one_name_become_rows_of_their_own(tmp_path: Path) -> None:
    runs = [tiny.run_folder(tmp_path / place / "mine") for place in ("a", "b", "c")]
    asked = compared(runs, (), None, 1, "demo", (), ())
    assert [r.name for r in asked] == ["mine", "mine-2", "mine-3"]


def test_of_several_backbones_each_is_a_comparison_and_a_run_joins_that_of_its_network(
    tmp_path: Path,
) -> None:
    """A run is given as its folder or as the file of weights in it."""
    run = tiny.run_folder(tmp_path / "mine", "resnet50")
    made = Pretrained(run, run / "backbone.safetensors", "", {})  # as ``pretrain`` gave it
    for start in (run, made, run / "backbone.safetensors"):
        asked = compared(["scratch", start], ["md-moco"], "resnet18,resnet50", 1, "demo", (), ())
        rows = [(r.backbone.architecture, r.name) for r in asked]
        assert rows[:2] == [("resnet18", "scratch"), ("resnet18", "md-moco")]
        assert rows[2:] == [
            ("resnet50", "scratch"),
            ("resnet50", "backbone" if start == run / "backbone.safetensors" else "mine"),
            ("resnet50", "md-moco"),
        ]
        assert asked[0].size != asked[2].size == (64, 48)  # the pixels of the run, where it stands
    alone = compared([run], (), "resnet18,resnet50", 1, "demo", (), ())
    assert [r.name for r in alone] == ["mine"]


def test_no_start_leaves_a_comparison_in_silence(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "mine")
    about = json.loads((run / "backbone.json").read_text())
    about["recipe"]["backbone"] = {"kind": "timm", "name": "densenet121"}
    (run / "backbone.json").write_text(json.dumps(about))
    with pytest.raises(UsageError, match="mine holds a densenet121; name it there, or leave it out"):
        compared(["scratch", run], (), "resnet18,resnet50", 1, "demo", (), ())
    own = tmp_path / "own.yaml"
    own.write_text(tiny.small("scratch").yaml())
    with pytest.raises(UsageError, match="recipe scratch: it has a network of its own"):
        compared((), [str(own)], "resnet50,resnet18", 1, "demo", (), ())


@pytest.mark.parametrize(
    ("starts", "backbone", "seeds", "told"),
    [
        ((), None, 1, "nothing to compare"),
        ((), "resnet18,resnet50", 1, "nothing to compare"),
        (("scratch",), "resnet18,resnet18", 1, "each once, such as resnet18,resnet50"),
        (("scratch",), None, 0, "at least one"),
        (("scratch",), "resnet18,", 1, "shipped recipes know resnet18, resnet50"),
    ],
)
def test_misuse(starts: tuple[str, ...], backbone: str | None, seeds: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        compared(starts, (), backbone, seeds, "demo", (), ())


def test_tasks_are_kinds_in_their_role_or_targets_by_name() -> None:
    def tuned(*tasks: str) -> list[tuple[str, str]]:
        (found,) = compared(["scratch"], (), None, 1, "demo", tasks, ())
        assert found.finetune is not None
        return [(t.kind, t.data) for t in found.finetune.tasks]

    every = ["classification", "detection", "segmentation"]
    assert sorted(tuned()) == [(kind, "annotated") for kind in every]
    assert tuned("detection") == [("detection", "annotated")]
    named = tuned("segmentation:lungs", "classification")
    assert named == [("classification", "annotated"), ("segmentation", "lungs")]
    for wrong in ("lungs", "lungs:segmentation", "segmentation:"):
        with pytest.raises(
            UsageError, match=f"task '{wrong}'; allowed: classification, detection, segmentation, or"
        ):
            tuned(wrong)


def test_a_recipe_without_fine_tuning_has_no_tasks_to_choose_from(tmp_path: Path) -> None:
    (tmp_path / "bare.yaml").write_text(tiny.small("md-moco").with_(finetune=None).yaml())
    (found,) = compared((), [str(tmp_path / "bare.yaml")], None, 1, "demo", ["classification"], ())
    assert found.finetune is None


def test_what_is_probed_is_weights_that_are_there_or_recipes_to_run(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "mine")
    (tmp_path / "own.yaml").write_text(tiny.small("simclr").yaml())
    found = probed([run, "imagenet", "scratch", str(tmp_path / "own.yaml"), "md-moco"], None, "demo")
    assert [r.name for r in found] == ["scratch", "mine", "imagenet", "simclr", "md-moco"]
    assert [bool(r.stages) for r in found] == [False, False, False, True, True]
    assert {r.seeds for r in found} == {(0,)} and found[0].title == "Random init"
    with pytest.raises(UsageError, match="nothing to probe"):
        probed([], None, "demo")


def test_rows_beside_are_those_asked_for(tmp_path: Path) -> None:
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    given = [tiny.small("scratch"), tiny.small("muscle")]

    def more(*asked: bool) -> list[str]:
        rows: list[Recipe] = more_rows(given, file, tmp_path / "stores", tiny.MACHINE, Progress(), *asked)
        return [r.name for r in rows]

    without = [f"muscle-without-{t}" for t in ("pneumonia", "germ", "bones")]
    assert more(False, False) == []
    assert more(True, False) == without
    assert more(False, True) == ["scratch-same-compute"]
    assert more(True, True) == [*without, "scratch-same-compute"]
