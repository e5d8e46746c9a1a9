"""Stages and recipes: every mistake at once, before any data is touched; roles become tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from blank import films

from muscle.continual.regularizers.l2sp import L2SP
from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.recipe import Finetune, Kaiming, Recipe, Stage, Weights, assign_roles
from muscle.schedules import Sequential
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.tasks.moco import MoCo
from muscle.tasks.segmentation import Segmentation
from muscle.tasks.simclr import SimCLR
from muscle.types import Target

LABELS = Target(name="pneumonia", kind="labels", classes=("no", "yes"))
OTHER = Target(name="germ", kind="labels", classes=("bacteria", "virus"))
LUNGS = Target(name="lungs", kind="mask", classes=("lungs",))


def _targets(*targets: Target) -> dict[str, Target]:
    return {target.name: target for target in targets}


def test_check_lists_all_mistakes_at_once() -> None:
    wrong = Recipe(
        name="wrong",
        size=(16, 500),
        seeds=(0, 0),
        stages=(
            Stage(name="a", tasks=(MoCo(queue=100, batch_size=64, data="annotated"),), select="best"),
            Stage(name="a", tasks=(Classification(data="pool"), Segmentation(), Segmentation())),
            Stage(name="c", tasks=()),
        ),
        finetune=Finetune(tasks=(MoCo(),), backbone_rates=()),
    )
    with pytest.raises(UsageError) as told:
        wrong.check()
    text = str(told.value)
    for mistake in (
        "recipe wrong: ", "stage a: moco needs no annotation", "stage a: select best", "queue 100 is not a multiple",
        "try 64, or auto", "classification needs labels", "segmentation on annotated stands twice", "stage c: no task",
        "the name 'a' stands twice",
        "size 16x500", "seeds [0, 0]", "finetune: moco has no annotation", "finetune.backbone_rates",
    ):  # fmt: skip
        assert mistake in text, mistake
    assert "\n" not in text and len(wrong.mistakes()) == 11


def test_continued_heads_need_a_stage_that_trains_heads() -> None:
    tuned = Finetune(tasks=(Classification(),), head="continued")
    alone = Recipe(name="r", stages=(Stage(name="p", tasks=(MoCo(queue="auto"),)),), finetune=tuned)
    assert alone.mistakes() == ["finetune.head continued: no stage trains a head; use fresh"]
    both = alone.with_(stages=(*alone.stages, Stage(name="c", tasks=(Classification(),))))
    assert both.mistakes() == []


def test_unknown_fields_and_kinds_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: .*schedule"):
        Stage.parse({"name": "x", "tasks": [], "shedule": {}})
    with pytest.raises(UsageError, match=r"unknown kind 'mocco'; did you mean moco\? known: .*moco"):
        Stage.parse({"name": "x", "tasks": [{"kind": "mocco"}]})


def test_an_annotated_role_becomes_a_task_for_each_target_of_its_kind() -> None:
    found = assign_roles((Classification(batch_size=4), Detection(), MoCo()), _targets(LABELS, LUNGS, OTHER))
    assert {name: (t.kind, t.data) for name, t in found.items()} == {
        "moco": ("moco", "pool"), "pneumonia": ("classification", "pneumonia"), "germ": ("classification", "germ"),
    }  # fmt: skip
    assert found["germ"].batch_size == 4


def test_a_named_target_takes_precedence_over_the_role() -> None:
    tasks = (Classification(batch_size=4), Classification(data="germ", batch_size=16))
    assert {n: t.batch_size for n, t in assign_roles(tasks, _targets(LABELS, OTHER)).items()} == {
        "pneumonia": 4,
        "germ": 16,
    }


def test_two_pretexts_of_one_kind_are_two_tasks() -> None:
    found = assign_roles((MoCo(data="pool:chest"), MoCo(data="pool:hand"), SimCLR()), {})
    assert {name: t.data for name, t in found.items()} == {
        "moco pool:chest": "pool:chest", "moco pool:hand": "pool:hand", "simclr": "pool",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((Classification(data="germs"),), "'germs': known targets of kind labels: pneumonia"),
        ((Segmentation(data="pneumonia"),), "'pneumonia': known targets of kind mask: lungs"),
        ((Detection(),), r"no task: these data teach pneumonia \(labels\), lungs \(mask\)"),
    ],
)
def test_roles_that_cannot_be_filled(tasks: tuple[Classification], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assign_roles(tasks, _targets(LABELS, LUNGS))


def test_folders_that_may_be_classes_are_pointed_out_where_nothing_is_taught(tmp_path: Path) -> None:
    """Oracle: the data file that the advised command writes gives the task."""
    root = films(tmp_path / "hands", *(f"a/{c}/{i}.png" for c in ("normal", "broken") for i in range(3)))
    bare = DataFile.of([str(root)])
    with pytest.raises(UsageError) as refused:
        assign_roles((Classification(),), {}, bare)
    said = str(refused.value)
    assert "the folders broken, normal of source hands may be classes: write labels: folder to it" in said
    assert f"`muscle data scan {root} --write hands.yaml`" in said
    films(tmp_path / "mixed", "1.png", "x/2.png", "x/3.png")
    for other in (DataFile.of([str(tmp_path / "mixed")]), None):
        with pytest.raises(UsageError, match="teach nothing, .*; add an annotated source to the data file"):
            assign_roles((Classification(),), {}, other)
    labelled = bare.sources["hands"].with_(labels="folder")
    (target,) = labelled.read("hands")[1]
    assert list(assign_roles((Classification(),), {target.name: target}, bare)) == ["hands"]


def test_fine_tuning_is_one_stage_a_rate_alike_for_all() -> None:
    tuned = Finetune(tasks=(Classification(),), epochs=5, least_steps=7, backbone_rates=(1e-4, 1e-3))
    stages = tuned.stages(Classification(data="germ"))
    assert [s.optimizer.backbone_rate for s in stages] == [1e-4, 1e-3]
    assert {(s.name, s.select) for s in stages} == {("finetune-germ", "best")}
    assert {s.schedule for s in stages} == {Sequential(epochs_per_task=5, least_steps=7)}


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    assert Kaiming().identity() == ""
    for name, content in (("a.pth", b"1"), ("b.pth", b"1"), ("c.pth", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (Weights(file=str(tmp_path / name)).identity() for name in ("a.pth", "b.pth", "c.pth"))
    assert a == b != c
    with pytest.raises(UsageError, match="no weights at"):
        Weights(file=str(tmp_path / "none.pth")).identity()


def test_a_regularizer_changes_the_key_of_its_stage() -> None:
    base = Stage(name="c", tasks=(Classification(),))
    assert (
        len(
            {
                base.key(),
                base.with_(regularizers=(L2SP(),)).key(),
                base.with_(regularizers=(L2SP(alpha=0.2),)).key(),
            }
        )
        == 3
    )
