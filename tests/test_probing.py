"""Probes over starts, targets and shares. Oracles: the drawing's own labels, an AUC from the kept predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
import tiny
from held import held_until_slept
from sklearn.metrics import roc_auc_score

import muscle
from muscle import frozen, probing
from muscle.backbones.resnet import ResNet
from muscle.data.audit import write_seen
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.label_draws import label_draw
from muscle.data.splits import PatientSplit
from muscle.datasets.kermany import Kermany
from muscle.errors import UsageError, UserError
from muscle.features import extract
from muscle.frozen import Frozen, embedding, labels_seen
from muscle.job import Start, start_key
from muscle.lineup import probed
from muscle.predictions import Predictions
from muscle.probing import plan_probes, run_probes
from muscle.recipe import Kaiming, Recipe, Weights
from muscle.report.page import check, report
from muscle.report.reading import read_embedding
from muscle.results import Results
from muscle.weights import save_backbone

SHARES, DRAWS = (0.2, 0.5, 1.0), 2
# Whose blocks are no identities at first: its random features see what is drawn.
RANDOM = tiny.small("scratch").with_(title="Random init", backbone=ResNet(zero_init_last=False))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 drawn chests of 24 persons, and a network with weights of its own."""
    where = tmp_path_factory.mktemp("probing")
    Kermany.write_example(where / "films", 96, 0)
    other = Start(Kaiming(), 5, key="").load(RANDOM.backbone)
    save_backbone(other, where / "other.safetensors", {})
    return where


def file(place: Path) -> DataFile:
    return DataFile(
        sources={"chest": Kermany(root=str(place / "films"))},
        split=PatientSplit(valid=0.25, test=0.34, seed=0),
    )


def other(place: Path) -> Recipe:
    weights = Weights(file=str(place / "other.safetensors"))
    return RANDOM.with_(name="other", title="Other", init=weights)


def run(place: Path, recipes: list[Recipe], name: str = "a") -> Results:
    out, stores = place / "runs" / name, place / "stores"
    return run_probes(recipes, file(place), out, stores, tiny.MACHINE, "T", SHARES, DRAWS)


@pytest.fixture(scope="module")
def made(place: Path) -> Results:
    """Both starts, all shares."""
    return run(place, [RANDOM, other(place)])


def corpus(place: Path) -> Corpus:
    return Corpus.prepare(file(place), RANDOM.size, RANDOM.decode, RANDOM.fit, place / "stores", 0)


def test_every_start_has_every_probe_on_the_same_draws(made: Results, place: Path) -> None:
    entries = made.data["probes"]
    draws = [(s, d) for s in SHARES for d in range(DRAWS if s < 1 else 1)]
    wanted = {
        (start, task, probe, *draw)
        for start in ("scratch", "other") for task in ("pneumonia", "germ") for probe in ("k-NN", "linear")
        for draw in draws
    }  # fmt: skip
    names = [(e["start"], e["task"], e["probe"], e["share"], e["draw"]) for e in entries]
    assert set(names) == wanted and len(names) == len(wanted)
    task = corpus(place).tasks["pneumonia"]
    for e in entries:
        if e["task"] == "pneumonia":
            rows = label_draw(task.train.patients, task.train.labels(task.target), e["share"], e["draw"])
            assert e["n_train"] == len(rows) and e["patients"] == len(
                set(np.array(task.train.patients)[rows])
            )
    assert len({e["key"] for e in entries}) == len(entries)


def test_a_start_that_another_process_probes_is_left_for_later(
    made: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the lock of the first start, held until the probes sleep; then all is as without it."""
    slept = held_until_slept(place / "runs" / "beside" / ".scratch-resnet18.lock", monkeypatch)
    entries = run(place, [RANDOM, other(place)], "beside").data["probes"]
    half = len(entries) // 2
    assert [e["start"] for e in entries] == ["other"] * half + ["scratch"] * half and len(slept) == 1
    assert sorted(e["key"] for e in entries) == sorted(e["key"] for e in made.data["probes"])


def test_scores_come_from_the_kept_predictions(made: Results) -> None:
    for e in made.data["probes"]:
        p = Predictions.load(made.out / e["predictions"])
        truth, output = p.arrays
        assert e["metrics"]["auc"]["value"] == pytest.approx(roc_auc_score(truth[:, 1], output[:, 1]))
        assert {"low", "high", "n", "clusters", "reliable"} <= set(e["metrics"]["auc"])
        np.testing.assert_allclose(output.sum(1), 1, atol=1e-5)


def test_all_labels_of_drawn_chests_beat_chance(made: Results) -> None:
    """Even of a random network, which is why it stands in every table: 48 films learn what was drawn."""
    (found,) = (
        e["metrics"]["auc"]["value"]
        for e in made.data["probes"]
        if (e["start"], e["task"], e["probe"], e["share"]) == ("scratch", "pneumonia", "linear", 1.0)
    )
    assert found > 0.75


def test_a_second_call_computes_nothing(made: Results, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "extract", lambda *_: pytest.fail("computed again"))
    for name in ("knn_outputs", "linear_probe", "embedding"):
        monkeypatch.setattr(probing, name, lambda *_, **__: pytest.fail("computed again"))
    again = run(place, [RANDOM, other(place)])
    assert again.data["probes"] == made.data["probes"]
    assert again.data["embeddings"] == made.data["embeddings"]


def test_a_torn_file_is_made_again_alone_and_features_serve_other_runs(
    made: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "extract", lambda *_: pytest.fail("features computed again"))
    monkeypatch.setattr(probing, "linear_probe", lambda *_: pytest.fail("computed again"))
    lost = made.out / next(e["predictions"] for e in made.data["probes"] if e["probe"] == "k-NN")
    before = Predictions.load(lost).arrays[1]
    lost.write_bytes(lost.read_bytes()[:60])
    picture = made.out / made.data["embeddings"][0]["file"]
    points = read_embedding(picture)[0]
    picture.write_bytes(picture.read_bytes()[:-60])
    with pytest.raises(UserError, match="probe again to write it"):
        read_embedding(picture)
    again = run(place, [RANDOM, other(place)])
    np.testing.assert_array_equal(read_embedding(picture)[0], points)
    np.testing.assert_array_equal(Predictions.load(lost).arrays[1], before)
    assert sorted(map(str, again.data["probes"])) == sorted(map(str, made.data["probes"]))
    monkeypatch.undo()
    monkeypatch.setattr(frozen, "extract", lambda *_: pytest.fail("features computed again"))
    alone = [e for e in again.data["probes"] if e["start"] == "scratch"]
    assert sorted(map(str, run(place, [RANDOM], "b").data["probes"])) == sorted(map(str, alone))


def test_new_weights_under_an_old_name_leave_none_of_the_old_rows(place: Path) -> None:
    run(place, [RANDOM], "c")
    found = run(place, [other(place).with_(name="scratch")], "c").data["probes"]
    assert len({e["features"] for e in found}) == 1 and len(found) == 20


def test_features_are_those_of_the_film(made: Results, place: Path) -> None:
    """Asked for in another order, each row is what the network says of that film alone."""
    data = corpus(place)
    start = Start(RANDOM.init, RANDOM.seed, key=start_key(RANDOM.backbone, RANDOM.init, RANDOM.seed))
    one = Frozen(RANDOM, data, tiny.MACHINE, place / "runs" / "checkpoints", start)
    rows = data.tasks["germ"].test.take(np.array([5, 0, 3]))
    alone = extract(start.load(RANDOM.backbone), rows, RANDOM.normalization, tiny.MACHINE.torch_device())
    np.testing.assert_allclose(one.of(rows), alone, rtol=1e-4, atol=1e-5)


def test_the_report_has_table_curves_and_pictures(made: Results) -> None:
    report(made.out)
    listed = dict(check(made.out))
    assert listed["Frozen features"] == 2 * (1 + 4)
    assert listed["Every score of frozen features"] == sum(len(e["metrics"]) for e in made.data["probes"])
    assert {f"AUC by share of labels: {task}, resnet18" for task in ("pneumonia", "germ")} <= set(listed)
    assert listed["Features of 96 films: Other"] == 96
    first = (made.out / "report.html").read_text()
    report(made.out)
    assert (made.out / "report.html").read_text() == first


def test_labels_that_the_weights_have_seen(place: Path, tmp_path: Path) -> None:
    """Of a recipe by its stages; of a run by its recipe and its pool; unlabelled pre-training has seen none."""
    data = corpus(place)
    germ, pneumonia = data.tasks["germ"], data.tasks["pneumonia"]
    method = tiny.small("muscle")
    assert labels_seen(method, data, germ) and not labels_seen(tiny.small("md-moco"), data, germ)
    *before, last = method.stages
    without = method.with_(
        stages=(
            *before,
            last.with_(tasks=tuple(t.without("germ") if t.needs == "labels" else t for t in last.tasks)),
        )
    )
    assert not labels_seen(without, data, germ) and labels_seen(without, data, pneumonia)

    weights = RANDOM.with_(init=Weights(file=str(tmp_path / "backbone.safetensors")))
    assert not labels_seen(weights, data, germ)  # from elsewhere
    for of, pool, seen in ((method, data.pool, True), (method, germ.test, False),
                           (without, data.pool, False), (tiny.small("md-moco"), data.pool, False)):  # fmt: skip
        (tmp_path / "backbone.json").write_text(json.dumps({"recipe": of.dump()}))
        write_seen(tmp_path, pool)
        assert labels_seen(weights, data, germ) is seen


def test_seen_labels_have_no_small_shares(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "labels_seen", lambda *_: True)
    found = run(place, [RANDOM], "seen")
    assert {e["share"] for e in found.data["probes"]} == {1.0}
    report(found.out)
    monkeypatch.undo()
    both = run(place, [other(place)], "seen")
    report(both.out)
    text = (both.out / "tables" / "frozen.md").read_text()
    assert text.count("labels seen") == 2 * 2 * 2  # targets, probes, shares below 1


def test_embedding_is_the_same_twice_and_keeps_neighbours() -> None:
    """Two groups far apart in 60 dimensions stay two groups."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 60)).astype(np.float32)
    features[20:] += 8
    xy = embedding(features)
    assert xy.shape == (40, 2)
    np.testing.assert_array_equal(xy, embedding(features))
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 1e9 * np.eye(40)
    assert (distance.argmin(1) // 20 == np.arange(40) // 20).all()


def test_a_random_network_always_stands_beside(place: Path) -> None:
    for starts in (["md-moco"], ["scratch", "md-moco"], ["md-moco", "scratch"]):
        found = probed(starts, "resnet18", "demo")
        assert [(r.name, r.title) for r in found] == [("scratch", "Random init"), ("md-moco", "MD-MoCo")]
        assert isinstance(found[0].init, Kaiming) and not found[0].stages and found[1].stages
    assert [r.name for r in probed([place / "other.safetensors"], None, "demo")] == ["scratch", "other"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--shares", "0,1"), "above 0 and at most 1"),
        (("--shares", "few"), "not numbers"),
        (("--from", ","), "nothing to probe"),
        (("--from", "nowhere"), "start 'nowhere'"),
    ],
)
def test_misuse(place: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    given = (
        "probe",
        place / "films",
        "--from",
        "scratch",
        "--preset",
        "demo",
        "--out",
        tmp_path / "x",
        *words,
    )
    assert told in command.muscle(*given).refused(2)
    assert not (tmp_path / "x").exists()


def test_data_without_labels(tmp_path: Path) -> None:
    films = tmp_path / "films"
    command.films(films, 4)
    with pytest.raises(UserError, match="no target to probe"):
        plan_probes([RANDOM], DataFile.of([str(films)]))
    bare = DataFile(sources={"f": DataFile.of([str(films)]).sources.popitem()[1]})
    with pytest.raises(UserError, match="no target to probe"):
        run_probes([RANDOM], bare, tmp_path / "o", tmp_path / "s", tiny.MACHINE)
    assert not (tmp_path / "o").exists()


def test_plan_counts_what_is_then_computed(made: Results, place: Path) -> None:
    rows = plan_probes([RANDOM, other(place)], file(place), SHARES, DRAWS)
    assert sum(row["fits"] for row in rows) == len(made.data["probes"])
    assert [row["films"] for row in rows] == [96, 96] and rows[0]["targets"] == "pneumonia, germ"
    assert rows[0]["stages first"] == "none"
    with pytest.raises(UsageError, match="draws 0"):
        plan_probes([RANDOM], file(place), SHARES, 0)


def test_command_and_function_find_the_same(place: Path) -> None:
    words: tuple[Any, ...] = (
        "probe", f"kermany={place / 'films'}", "--from", place / "other.safetensors", "--shares", "0.5,1", "--draws", 1,
        "--store", place / "stores", *command.TINY,
    )  # fmt: skip
    plan = json.loads(command.muscle(*words, "--plan", "--json").done())
    assert [row["start"] for row in plan] == ["scratch", "other"]
    out = place / "runs" / "cli"
    table = command.muscle(*words, "--out", out).done()
    assert "Random init" in table and "labelled patients" in table and "report.html" in table
    made = muscle.probe(
        f"kermany={place / 'films'}", [place / "other.safetensors"], (0.5, 1.0), 1, "resnet18", out, "demo",
        ("size=[32,32]", "precision=float32"), place / "stores", muscle.Machine(device="cpu", threads=1),
    )  # fmt: skip
    assert made.table().splitlines()[-1].split(" | ")[3] in table  # the first AUC of the last row
    assert len(made.probes) == len({e["key"] for e in made.probes}) == sum(row["fits"] for row in plan)
