"""What fits a budget, and what to set so that it does. Oracle: the same steps under the settings proposed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.errors import UserError
from muscle.grid import prepare
from muscle.memory import GIB, SPARE, Need, in_parts
from muscle.recipe import Recipe
from muscle.trial import Fits, Trial

SETTING = "stages.0.tasks.0.accumulate"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    where = tmp_path_factory.mktemp("trial")
    file = DataFile(sources=dict(tiny.sources(where / "tiny")), split=tiny.SPLIT)
    return prepare(recipe(), file, where / "stores", tiny.MACHINE)


def recipe() -> Recipe:
    return tiny.small("md-moco").with_(size=(128, 128), finetune=None)


def trial(corpus: Corpus, gib: float, recompute: bool = False, accumulate: int = 1) -> Trial:
    """MoCo at batch 32 on a machine of so much memory."""
    (stage,) = recipe().stages
    (task,) = stage.tasks
    task = task.with_(batch_size=32, queue=64, accumulate=accumulate)
    return Trial(
        recipe(), stage, "moco", task, 64, corpus, tiny.MACHINE.with_(memory=gib, recompute=recompute)
    )


def usable(need: float) -> float:
    """The memory of a machine, in GiB, of which so many bytes are usable."""
    return need / (1 - SPARE) / GIB


def told(one: Trial) -> tuple[float | None, str, str]:
    """GiB of a step, why it will not do, and what to set."""
    fits = Fits(one.machine)
    memory, note = fits.told(one, SETTING)
    (settings,) = fits.settings().values()
    return memory["step GiB"], note, settings


def test_without_a_budget_nothing_is_measured(corpus: Corpus) -> None:
    fits = Fits(tiny.MACHINE)
    assert fits.told(trial(corpus, 0.0), SETTING) == ({}, "") and fits.settings() == {}


def test_settings_are_proposed_and_what_they_make_fits(corpus: Corpus) -> None:
    kept, again = (trial(corpus, 1.0).need(recompute) for recompute in (False, True))
    enough = trial(corpus, usable(kept.of(32)) * 1.01)
    assert told(enough)[1:] == ("", "as they are")
    less = trial(corpus, usable((kept.of(32) + again.of(32)) / 2))
    gib, note, settings = told(less)
    assert settings == "--recompute" and note.startswith(f"no: moco needs {gib:.2g}")
    assert told(trial(corpus, less.machine.memory, recompute=True))[1:] == ("", "as they are")
    little = trial(corpus, usable(again.of(8)) * 1.01)
    assert told(little)[2] == f"--recompute --set {SETTING}=4"
    assert told(trial(corpus, little.machine.memory, recompute=True, accumulate=4))[1:] == ("", "as they are")
    assert told(trial(corpus, usable(again.fixed)))[2].startswith("none: take a smaller")


def test_of_several_tasks_all_must_fit(corpus: Corpus) -> None:
    """One that is as small as it gets, another that needs parts: both are computed again, one in parts."""
    again = trial(corpus, 1.0).need(True)
    one = trial(corpus, usable(again.of(16)) * 1.01)
    fits = Fits(one.machine)
    fits.told(one, "a.accumulate")
    fits.told(trial(corpus, one.machine.memory, accumulate=2), "b.accumulate")
    (settings,) = fits.settings().values()
    assert settings == "--recompute --set a.accumulate=2"
    (name,) = fits.settings()
    assert name == f"settings for {one.machine.memory:g} GiB"


@pytest.mark.parametrize("first", [16, 32])
def test_tasks_that_share_a_setting_are_in_as_many_parts_as_the_largest_needs(
    first: int, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GiB an image, 20 usable: a batch of 16 has room, one of 32 needs two parts, whichever is asked first."""
    monkeypatch.setattr(Trial, "need", lambda self, recompute: Need(0, GIB))
    one = trial(corpus, usable(20 * GIB))
    fits = Fits(one.machine)
    for batch in (first, 48 - first):
        fits.told(replace(one, task=one.task.with_(batch_size=batch)), SETTING)
    assert fits.choice() == (False, {SETTING: 2})
    assert list(fits.settings().values()) == [f"--set {SETTING}=2"]


def test_a_step_in_uneven_parts_takes_what_its_largest_takes(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 images in parts of 11, 11 and 10; by hand: 20 GiB, and 5 for each of 11."""
    monkeypatch.setattr(Trial, "need", lambda self, recompute: Need(20 * GIB, 5 * GIB))
    memory, note, _ = told(trial(corpus, usable(74 * GIB), accumulate=3))
    assert memory == 75 and note == "no: moco needs 75 GiB, 74 are usable"


@pytest.mark.parametrize(("images", "settings"), [(84, "as they are"), (86, f"--set {SETTING}=2")])
def test_of_a_device_15_percent_are_left_to_its_libraries(
    images: int, settings: str, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/memory.md says: of 100 GiB, at a GiB an image."""
    monkeypatch.setattr(Trial, "need", lambda self, recompute: Need(0, GIB))
    one = trial(corpus, 100.0)
    one = replace(one, task=one.task.with_(batch_size=images), rows=images)
    memory, note, told_ = told(one)
    assert (memory, told_) == (images, settings)
    assert note == ("" if images < 85 else "no: moco needs 86 GiB, 85 are usable")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), UserError("no blocks")])
def test_what_cannot_be_measured_is_no_way_and_no_end(
    error: Exception, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU on which two images have no room; a network that cannot compute its activations again."""
    measured = Trial.need

    def need(self: Trial, recompute: bool) -> Need:
        if recompute:
            raise error
        return measured(self, recompute)

    monkeypatch.setattr(Trial, "need", need)
    assert told(trial(corpus, 4.0))[1:] == ("", "as they are")  # kept activations have room
    memory, note, settings = told(trial(corpus, 4.0, recompute=True))
    assert memory is None and note.startswith("no: ") and settings.startswith("none")


def test_groups_of_a_batch_have_two_images_each(corpus: Corpus) -> None:
    """Four groups of a batch: eight images at once are the least that can be measured, and proposed."""
    (stage,) = recipe().stages
    task = stage.tasks[0].with_(batch_size=32, queue=64, batch_norm="split", groups=4)
    one = Trial(recipe(), stage, "moco", task, 64, corpus, tiny.MACHINE)
    found = one.need(False)
    assert in_parts(task, 32, found.of(8), found) == 4
    assert in_parts(task, 32, found.of(8) - 1, found) is None


def test_a_step_is_timed_and_the_head_counted(corpus: Corpus) -> None:
    seconds, head = trial(corpus, 0.0).seconds()
    assert seconds > 0 and head == 0  # MoCo's projector is scaffold
