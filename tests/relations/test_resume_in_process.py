"""2N steps are N steps, a kill, and N steps: to the bit, wherever the kill falls."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from kills import EAGER, Killed, Killer

from muscle import engine
from muscle.checkpoint import Checkpoint
from muscle.continual.regularizers.l2sp import L2SP
from muscle.data.corpus import Corpus
from muscle.recipe import Recipe
from muscle.snapshot import Snapshot
from muscle.tasks.classification import Classification


@pytest.fixture(autouse=True)
def _snapshot_after_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOG_STEPS", 1)


def methods() -> dict[str, Recipe]:
    """A pretext with queue and momentum encoder; turns with heads, boxes and moving anchors under two optimizers."""
    muscle = tiny.small("muscle", rounds=1).with_(stages=(tiny.small("muscle", rounds=1).stages[-1],))
    literal = (L2SP(reading="literal", weight=1e-3),)
    labels = (Classification(batch_size=4),)
    return {
        "pretrain": tiny.small("md-moco", epochs=2),
        "continual": muscle,
        "reset": tiny.continual(
            muscle, tasks=labels, optimizer_state="reset", regularizers=literal, batch_norm="frozen"
        ),
    }


@pytest.fixture(scope="session")
def unbroken(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "LOG_STEPS", 1)
        root = tmp_path_factory.mktemp("unbroken")
        return {
            name: tiny.pipeline(method, corpus, root).pretrain()[-1] for name, method in methods().items()
        }


def _without_times(about: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in about.items() if name != "minutes"}


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("pretrain", (2,)),  # inside the first epoch
        ("pretrain", (4, 6)),  # at the first step of the second, and at the very last step
        ("continual", (2, 5)),
        ("reset", (2, 7)),
    ],
)
def test_a_killed_run_ends_with_the_bits_of_an_unbroken_one(
    name: str, kills: tuple[int, ...], corpus: Corpus, unbroken: dict[str, Checkpoint], tmp_path: Path
) -> None:
    method = methods()[name]
    stage = method.stages[-1].name
    for kill in kills:
        with pytest.raises(Killed):
            tiny.pipeline(method, corpus, tmp_path, Killer(stage, kill), EAGER).pretrain()
        assert list(tmp_path.glob("*.running/snapshot.pt"))
    last = Killer("none", 0)
    made = tiny.pipeline(method, corpus, tmp_path, last, EAGER).pretrain()[-1]
    total = made.about["steps"]
    assert f"{stage}: resumed at step {kills[-1] - 1} of {total}" in last.messages
    assert made.about["files"] == unbroken[name].about["files"]  # backbone, heads and log
    assert _without_times(made.about) == _without_times(unbroken[name].about)  # the matrix too
    assert not list(tmp_path.glob("*.running"))


def test_a_kill_in_fine_tuning_keeps_the_best_epoch(corpus: Corpus, tmp_path: Path) -> None:
    method = tiny.small("scratch")
    expected = tiny.tuned(tiny.pipeline(method, corpus, tmp_path / "a"), "pneumonia", 0)
    with pytest.raises(Killed):
        killed = tiny.pipeline(method, corpus, tmp_path / "b", Killer("finetune-pneumonia", 4), EAGER)
        killed.finetune_grid("pneumonia", 0)
    made = tiny.tuned(tiny.pipeline(method, corpus, tmp_path / "b", machine=EAGER), "pneumonia", 0)
    assert made.about["best"] == expected.about["best"]
    assert made.about["files"] == expected.about["files"]


def test_a_run_that_goes_on_elsewhere_says_so(
    corpus: Corpus, unbroken: dict[str, Checkpoint], tmp_path: Path
) -> None:
    """Begun by two processes under another torch, by its snapshot: the order of sums may be in the last bits."""
    method = methods()["pretrain"]
    stage = method.stages[-1].name
    with pytest.raises(Killed):
        tiny.pipeline(method, corpus, tmp_path, Killer(stage, 2), EAGER).pretrain()
    (folder,) = tmp_path.glob("*.running")
    snapshot = Snapshot(tmp_path, folder.name)
    state = snapshot.load()
    assert state is not None
    (here,) = state["surroundings"]
    snapshot.save(state | {"surroundings": [here | {"processes": "2", "torch": "1.0"}]})
    last = Killer("none", 0)
    made = tiny.pipeline(method, corpus, tmp_path, last, EAGER).pretrain()[-1]
    assert [s["processes"] for s in made.about["surroundings"]] == ["2", "1"]
    assert unbroken["pretrain"].about["surroundings"] == [here]
    (said,) = [text for text in last.messages if text.startswith("warning: ")]
    assert (
        f"{stage}: goes on under other conditions (processes 2, now 1; torch 1.0, now {here['torch']})"
        in said
    )
