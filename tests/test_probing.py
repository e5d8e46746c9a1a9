"""Probes over starts, targets and shares. Oracles: the drawing's own labels, an AUC from the kept predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
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
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.label_draws import label_draw
from muscle.data.normalization import PerImage, PerSource
from muscle.data.seen import write_seen
from muscle.data.splits import PatientSplit
from muscle.datasets.kermany import Kermany
from muscle.errors import UsageError, UserError
from muscle.features import extract
from muscle.frozen import Frozen, embedding, labels_seen
from muscle.job import Start, start_key
from muscle.lineup import probed
from muscle.predictions import Predictions
from muscle.probing import check_shares, plan_probes, run_probes
from muscle.progress import Progress
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


def test_a_picture_names_each_film_and_its_source(made: Results, place: Path) -> None:
    films = corpus(place).all_rows
    (entry,) = (e for e in made.data["embeddings"] if e["start"] == "other")
    with np.load(made.out / entry["file"]) as kept:
        assert kept["id"].tolist() == list(films.ids) and kept["source"].tolist() == ["chest"] * 96
        assert kept["body_part"].tolist() == ["chest"] * 96 and kept["xy"].shape == (96, 2)


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


def frozen_of(place: Path, data: Any, method: Recipe = RANDOM, seed: int = 0) -> Frozen:
    """The untrained network on a corpus."""
    start = Start(method.init, seed, key=start_key(method.backbone, method.init, seed))
    return Frozen(method, data, tiny.MACHINE, place / "alone", start)


def test_features_are_of_all_labelled_films_and_of_those_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chests have labels, the bones boxes alone."""
    data = tiny.corpus(tmp_path)
    assert len(frozen_of(tmp_path, data).rows) == len(data.all_rows)
    monkeypatch.setattr(frozen, "EMBEDDED", 9)
    some = frozen_of(tmp_path, data)
    shown, bones = set(some.shown.ids), {i for i in data.all_rows.ids if i.startswith("bones/")}
    assert len(shown) == 9 and shown & bones and bones - shown
    assert set(some.rows.ids) == {i for i in data.all_rows.ids if i not in bones} | shown
    np.testing.assert_array_equal(some.of(some.rows), some.features)
    file = next((tmp_path / "alone" / "features").iterdir())
    whole = file.read_bytes()
    flipped = whole[:999] + bytes([whole[999] ^ 1]) + whole[1000:]  # a feature that is a little other
    for damage in (b"", b"no array", whole[:200], flipped):
        file.write_bytes(damage)
        with pytest.raises(UserError, match="damaged .*remove it, and it is computed again"):
            _ = frozen_of(tmp_path, data).features


def test_features_have_the_key_of_what_decides_them(tmp_path: Path) -> None:
    """Weights, films, normalization; and the levels of a store only where a film is normalized by them."""
    data = tiny.corpus(tmp_path)

    def key(method: Recipe = RANDOM, corpus: Any = data, seed: int = 0) -> str:
        return frozen_of(tmp_path, corpus, method, seed).key

    by_source, by_image = (RANDOM.with_(normalization=one()) for one in (PerSource, PerImage))
    stores = [SimpleNamespace(name=s.name, mean=s.mean + 1, sd=s.sd) for s in data.stores]
    brighter = SimpleNamespace(all_rows=data.all_rows, tasks=data.tasks, stores=stores)
    fewer = SimpleNamespace(all_rows=data.pool, tasks=data.tasks, stores=data.stores)
    assert key(by_source) == key(by_source) != key(by_image)
    assert key(by_source, brighter) != key(by_source) and key(by_image, brighter) == key(by_image)
    assert len({key(), key(corpus=fewer), key(seed=1)}) == 3


def test_what_can_be_probed_has_labels_and_films_on_both_sides(place: Path) -> None:
    data = corpus(place)
    germ, boxed = (
        data.tasks["germ"],
        SimpleNamespace(target=SimpleNamespace(kind="boxes"), train="ab", test="c"),
    )
    one, none = germ.train.take(np.array([0])), germ.test.take(np.array([], np.int64))
    given = {"germ": germ, "boxes": boxed, "one": replace(germ, train=one), "none": replace(germ, test=none)}
    assert list(frozen.labelled(SimpleNamespace(tasks=given))) == ["germ"]  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no target to probe"):
        frozen.labelled(SimpleNamespace(tasks=given | {"germ": boxed}))  # type: ignore[arg-type, dict-item]


def test_a_start_is_what_the_last_stage_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [SimpleNamespace(about={"key": name}) for name in ("first", "last")]
    put: list[Any] = []
    starts: list[Start] = []
    monkeypatch.setattr(probing.Pipeline, "pretrain", lambda self: made)
    monkeypatch.setattr(Results, "put_stages", lambda self, *words: put.append((words[0].name, words[1])))
    monkeypatch.setattr(probing, "_embed", lambda frozen, results: starts.append(frozen.start))
    monkeypatch.setattr(probing, "_probe", lambda *words: None)
    method = tiny.small("muscle")
    found = run(place, [RANDOM, method], "stages")
    assert [start.checkpoint for start in starts] == [None, made[1]] and starts[1].key == "last"
    assert starts[0].key == start_key(RANDOM.backbone, RANDOM.init, RANDOM.seed)
    assert put == [("muscle", made)]
    assert [s["name"] for s in found.data["sources"]] == ["chest"]
    for recipe in (RANDOM, method):
        assert (found.out / f"{recipe.name}-resnet18.yaml").read_text() == recipe.yaml()


def test_probes_learn_from_the_drawn_films_and_choose_on_validation(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the draw and the parts by hand, in what the two probes are given."""
    given: dict[str, list[Any]] = {"knn_outputs": [], "linear_probe": []}
    for name, calls in given.items():
        real = getattr(probing, name)

        def seen(*words: Any, calls: list[Any] = calls, real: Any = real) -> Any:
            calls.append((words, real(*words)))
            return calls[-1][1]

        monkeypatch.setattr(probing, name, seen)
    found = run_probes(
        [RANDOM], file(place), place / "runs" / "given", place / "stores", tiny.MACHINE, "T", (0.5,), 1
    )
    data = corpus(place)
    of = frozen_of(place / "runs", data, seed=RANDOM.seed).of
    for i, (name, task) in enumerate(data.tasks.items()):
        target, truth = task.target, task.train.labels(task.target)
        index = label_draw(task.train.patients, truth, 0.5, 0)
        train, test, valid = of(task.train.take(index)), of(task.test), of(task.valid)
        near, _ = given["knn_outputs"][i]
        linear, chosen = given["linear_probe"][i]
        for words, wanted in ((near, (train, truth[index], test, 20)), (linear, (
            train, truth[index], valid, task.valid.labels(target), test, target.exclusive,
        ))):  # fmt: skip
            for one, other in zip(words, wanted, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        (entry,) = (e for e in found.data["probes"] if (e["task"], e["probe"]) == (name, "linear"))
        assert (entry["c"], entry["valid"]) == (chosen.c, chosen.valid)


def test_probes_of_other_data_leave_and_few_films_have_no_picture(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two networks each says its own scores, with all labels."""
    monkeypatch.setattr(frozen, "EMBEDDED", 9)
    said: list[str] = []
    heard = Progress()
    monkeypatch.setattr(heard, "message", said.append)
    out = place / "runs" / "other data"
    old = {"start": "old", "backbone": "b", "features": "f", "predictions": "p", "data": "of before"}
    before = Results(out, "T", True, tiny.MACHINE)
    before.put_probe(old | {"task": "t", "probe": "linear", "share": 1.0, "draw": 0})
    before.put_embedding(old)
    deeper = RANDOM.with_(backbone=ResNet(name="resnet50", zero_init_last=False))
    found = run_probes(
        [RANDOM, deeper], file(place), out, place / "stores", tiny.MACHINE, "T", (0.5, 1.0), 1, heard
    )
    assert {(e["start"], e["backbone"]) for e in found.data["probes"]} == {
        ("scratch", "resnet18"),
        ("scratch", "resnet50"),
    }
    assert found.data["embeddings"] == []
    expected = []
    for backbone in ("resnet18", "resnet50"):
        for task in ("pneumonia", "germ"):
            auc = {e["probe"]: e["metrics"]["auc"]["value"] for e in found.data["probes"]
                   if (e["backbone"], e["task"], e["share"]) == (backbone, task, 1.0)}  # fmt: skip
            words = f"k-NN {auc['k-NN']:.3f}, linear {auc['linear']:.3f}"
            expected.append(f"Random init, {task}: AUC of frozen features with 100% of the labels: {words}")
    assert [text for text in said if "AUC" in text] == expected
    monkeypatch.setattr(probing, "labels_seen", lambda *_: True)
    run_probes([RANDOM], file(place), out, place / "stores", tiny.MACHINE, "T", (0.2, 0.5, 1.0), 1, heard)
    assert [text.partition(": ")[2].partition(",")[0] for text in said if "left out" in text] == [
        "trained with its labels before"
    ] * 2


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
    assert rows[0]["stages first"] == "none" and rows[0]["size"] == "64x48"
    assert plan_probes([tiny.small("muscle")], file(place))[0]["stages first"] == "pretrain, continual"
    twice = plan_probes([RANDOM], file(place), (0.5, 0.5, 1.0), 1)[0]["fits"]
    assert twice == plan_probes([RANDOM], file(place), (0.5, 1.0), 1)[0]["fits"] == 2 * 2 * 2
    both = DataFile(sources=dict(tiny.sources(place / "tiny")))
    assert plan_probes([RANDOM], both)[0]["targets"] == "pneumonia, germ"  # boxes are not probed
    with pytest.raises(UsageError, match="shares none"):
        check_shares((), 1)
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
