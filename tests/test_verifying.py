"""``muscle verify`` on small real runs of every kind, whole and with every file changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
import tiny

import muscle
from muscle import api, artefacts
from muscle.data.data_file import DataFile
from muscle.data.intact import STAMP
from muscle.data.seen import POOL_FILE
from muscle.datasets.kermany import Kermany
from muscle.errors import UserError
from muscle.predictions import Predictions
from muscle.probing import run_probes
from muscle.report.page import report
from muscle.seal import SEAL, sealed, unsealed

RUNS = ("a", "probed", "mine", "elsewhere")
NAMES_OTHERS = ("results.json", "backbone.json", "stage.json", "manifest.json", artefacts.FILE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two stages, probes, a backbone and an external validation, which share their stages and stores."""
    root = tmp_path_factory.mktemp("verified")
    Kermany.write_example(root / "chest", 40, 0)
    Kermany.write_example(root / "other", 16, 99)
    for name in ("chest", "other"):
        file = DataFile(
            sources={name: Kermany(root=str(root / name))}, split=tiny.SPLIT, synthetic=True,
            allow_leaks=name == "other",  # its persons have the numbers of the first
        )  # fmt: skip
        (root / f"{name}.yaml").write_text(file.yaml())
    here = {"store": root / "stores", "machine": tiny.MACHINE}
    whole = tiny.small("muscle", rounds=1)
    made = api.run(whole, root / "chest.yaml", root / "runs" / "a", **here)
    moco = whole.with_(name="moco", title="MoCo", stages=whole.stages[:1])
    (root / "moco.yaml").write_text(moco.yaml())
    api.pretrain(root / "chest.yaml", str(root / "moco.yaml"), out=root / "runs" / "mine", **here)
    chest = DataFile.load(root / "chest.yaml")
    run_probes([moco], chest, root / "runs" / "probed", root / "stores", tiny.MACHINE, shares=(1.0,))
    report(root / "runs" / "probed")
    model = root / "runs" / "checkpoints" / made.cells[0]["key"][:16]
    api.validate(model, root / "other.yaml", root / "runs" / "elsewhere", **here)
    return root


@pytest.fixture
def kept(place: Path) -> Iterator[Path]:
    """The same place, put back after a test that writes there: the texts; what else it changes it puts back itself."""
    texts = {p: p.read_bytes() for p in on_disk(place) if p.suffix == ".json" or "predictions" in p.parts}
    yield place
    for path, content in texts.items():
        path.write_bytes(content)


def on_disk(place: Path) -> list[Path]:
    """Every file of the runs, their checkpoints and stores that says something."""
    found = [p for folder in ("runs", "stores") for p in sorted((place / folder).rglob("*")) if p.is_file()]
    return [
        p for p in found
        if p.suffix != ".lock" and "tensorboard" not in p.parts and p.name != STAMP
        and not p.match("features/*.npz") and not p.match("stores/near-*.json")
    ]  # fmt: skip


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def bad(place: Path, runs: tuple[str, ...] = RUNS) -> dict[Path, str]:
    """What ``verify`` finds wrong: path -> verdict."""
    found: dict[Path, str] = {}
    for run in runs:
        out = place / "runs" / run
        for check in muscle.verify(out):
            if check.holds is False:
                path = out / check.file
                found[path / "manifest.json" if check.kind == "store" else path] = check.verdict
    return found


def change(path: Path, **parts: Any) -> None:
    path.write_text(sealed(unsealed(path.read_bytes()) | parts))


def test_all_is_as_it_was_written(place: Path) -> None:
    assert bad(place) == {}
    kinds = {check.kind for run in RUNS for check in muscle.verify(place / "runs" / run)}
    assert kinds == {
        "results", "backbone", "recipe", "predictions", "scores of a cell", "scores of a probe", "embedding", "log",
        "checkpoint", "forgetting", "films seen", "model", "store", "report", "cases",
    }  # fmt: skip
    assert all(c.holds for run in RUNS for c in muscle.verify(place / "runs" / run))


def test_every_file_that_changed_is_named(place: Path) -> None:
    """One bit in the middle of every file there is, but those that name others; then of those; all must be named."""
    files = [p for p in on_disk(place) if p.name not in NAMES_OTHERS]
    stores = {p for p in files if "stores" in p.parts}
    whole = {p: p.read_bytes() for p in on_disk(place)}
    try:
        for path in files:
            flip(path)
        named = bad(place)
        assert set(files) - stores <= set(named)
        for store in {p.parent for p in stores}:
            assert all(p.name in named[store / "manifest.json"] for p in stores if p.parent == store)
        assert set(named) <= set(files) | {p.parent / "manifest.json" for p in stores}
        for path in files:
            path.write_bytes(whole[path])
        first = [p for p in whole if p.name in NAMES_OTHERS[2:]]
        last = [p for p in whole if p.name in NAMES_OTHERS[:2]]
        for some in (first, last):
            for path in some:
                flip(path)
            assert set(bad(place)) == set(some)
            for path in some:
                path.write_bytes(whole[path])
    finally:
        for path, content in whole.items():
            path.write_bytes(content)
    assert bad(place) == {}


def test_a_file_that_is_gone_is_named_but_a_checkpoint_that_was_dropped_is_none(kept: Path) -> None:
    out = kept / "runs" / "a"
    for name in ("report.html", "tables/table2.csv", "logs/muscle-resnet18-continual.jsonl", "muscle.yaml"):
        path = out / name
        content = path.read_bytes()
        path.unlink()
        assert bad(kept, ("a",)) == {path: "missing"}
        path.write_bytes(content)
    key = unsealed((out / "results.json").read_bytes())["cells"][0]["key"]
    folder = kept / "runs" / "checkpoints" / key[:16]
    shutil.move(folder, kept / "away")
    found = [c for c in muscle.verify(out) if c.holds is not True]
    shutil.move(kept / "away", folder)
    assert [(c.verdict, c.holds) for c in found] == [("not kept", None)]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def blanked(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def bare(path: Path) -> None:
    """Edited, and without its seal, so that nothing holds it."""
    path.write_text(json.dumps(unsealed(path.read_bytes()) | {"minutes": 7, "made": {}}))


def null(path: Path) -> None:
    path.write_text(json.dumps(unsealed(path.read_bytes()) | {"name": "another", SEAL: None}))


@pytest.mark.parametrize("harm", [Path.unlink, emptied, blanked, bare, null])
def test_files_that_are_gone_or_lost_their_seal_are_named(place: Path, harm: Callable[[Path], None]) -> None:
    """Each alone, with all else as it was: those that name others, and the lists of films that weights have seen."""
    names = {*NAMES_OTHERS, "model.json", *((POOL_FILE,) if harm not in (bare, null) else ())}
    names -= {"results.json", "backbone.json"} if harm == Path.unlink else set()  # without them it is no run
    files = [p for p in on_disk(place) if p.name in names and p.parent.name not in ("probed", "elsewhere")]
    assert {p.name for p in files} == names
    for path in files:
        whole = path.read_bytes()
        harm(path)
        try:
            found = bad(place)
        finally:
            path.write_bytes(whole)
        assert any(path.name in f"{named} {verdict}" for named, verdict in found.items()), (path, found)
    assert bad(place) == {}


def test_what_belongs_to_other_results_is_named(kept: Path) -> None:
    """A table that no report made; a store, a model and a fine-tuning that was tried, which the results do not know."""
    out = kept / "runs" / "a"
    stray = out / "tables" / "mine.csv"
    stray.write_text("a,b\n")
    assert bad(kept, ("a",)) == {stray: "no table of the report"}
    stray.unlink()
    data = unsealed((out / "results.json").read_bytes())
    (cell, *_), (source, *_) = data["cells"], data["sources"]
    change(out / "results.json", sources=[source | {"digest": "0" * 64}])
    store = Path(source["store"])
    assert bad(kept, ("a",))[store / "manifest.json"].startswith("another store: its digest is ")
    change(out / "results.json", sources=data["sources"])
    chosen = kept / "runs" / "checkpoints" / cell["key"][:16]
    other = chosen.with_name("f" * 16)
    shutil.copytree(chosen, other)
    change(other / "stage.json", key="f" * 64)
    change(out / "results.json", cells=[cell | {"tried": [cell["key"], "f" * 64]}, *data["cells"][1:]])
    before = set(bad(kept, ("a",)))
    flip(other / "log.jsonl")
    assert set(bad(kept, ("a",))) - before == {other / "log.jsonl"}
    shutil.rmtree(other)
    model = chosen / "model.json"
    target = unsealed(model.read_bytes())["target"]
    change(model, target=target | {"classes": target["classes"][::-1]})
    assert bad(kept, ("a",))[model].startswith("not that of the run: classes")


def test_predictions_of_another_task_are_not_those_of_a_probe(kept: Path) -> None:
    file = kept / "runs" / "probed" / "results.json"
    (first, *rest) = unsealed(file.read_bytes())["probes"]
    for name, value in (("task", "another"), ("classes", ["a", "b"])):
        if name in first:
            change(file, probes=[first | {name: value}, *rest])
            verdict = bad(kept, ("probed",))[file.parent / first["predictions"]]
            assert verdict.startswith(f"not those of the predictions: {name}")


def test_figures_that_were_changed_and_sealed_again_are_found(kept: Path) -> None:
    """Each is another figure of results.json, under a new seal that is right."""
    file = kept / "runs" / "a" / "results.json"
    for part, at, name, value in (
        ("cells", 0, "metrics", None), ("cells", 1, "threshold", None), ("cells", 0, "valid", 0.99),
        ("cells", 0, "worst", {"sex": "m"}), ("stages", 0, "minutes", 1e3), ("forgetting", 0, "average", 0.5),
    ):  # fmt: skip
        data = unsealed(file.read_bytes())
        before = data[part]
        entry = dict(data[part][at])
        if name == "metrics":
            value = entry["metrics"] | {"auc": entry["metrics"]["auc"] | {"low": 0.123}}
        if name == "threshold":
            value = entry["threshold"] | {"value": 0.123}
        change(file, **{part: [entry | {name: value} if i == at else e for i, e in enumerate(data[part])]})
        found = bad(kept, ("a",))
        change(file, **{part: before})
        assert any(name in verdict for verdict in found.values()), (name, found)
        assert found[file.parent / "report.html"].startswith(
            "made from other results than these; `muscle report"
        )
    change(file, title="Another")  # nothing was computed from it
    assert set(bad(kept, ("a",))) == {
        file.parent / name
        for entry in unsealed((file.parent / artefacts.FILE).read_bytes())["made"].values()
        for name in entry["files"]
    }


@pytest.mark.parametrize("run", ["a", "probed", "elsewhere"])
def test_predictions_that_were_edited_and_hashed_again_give_other_scores(kept: Path, run: str) -> None:
    """The file loads and its hash is the one in the results: only scoring again tells; the tables are told as well."""
    file = kept / "runs" / run / "results.json"
    part = "probes" if run == "probed" else "cells"
    entries = unsealed(file.read_bytes())[part]
    path = file.parent / entries[0]["predictions"]
    p = Predictions.load(path)
    output = p.arrays[1].copy()
    output[:3] = 1 - output[:3]
    edited = Predictions(**{n: getattr(p, n) for n in p.__dataclass_fields__} | {"output": output})
    change(file, **{part: [entries[0] | {"predictions_sha256": edited.save(path)}, *entries[1:]]})
    assert bad(kept, (run,))[path].startswith("not those of the predictions: metrics")


def test_predictions_that_score_alike_are_told_by_their_hash(kept: Path) -> None:
    """Other pictures: no score comes from them."""
    path = next((kept / "runs" / "a" / "predictions").glob("*-0.npz"))
    p = Predictions.load(path)
    edited = Predictions(**{n: getattr(p, n) for n in p.__dataclass_fields__} | {"pictures": p.pictures // 2})
    edited.save(path)
    assert bad(kept, ("a",)) == {path: "changed since it was written"}


def test_a_changed_model_or_manifest_that_was_sealed_again_is_found(kept: Path) -> None:
    """Temperature of a model; digest, mean and deviation of a store, which follow from its files."""
    key = unsealed((kept / "runs" / "a" / "results.json").read_bytes())["cells"][0]["key"]
    model = kept / "runs" / "checkpoints" / key[:16] / "model.json"
    change(model, temperature=7.5)
    assert "temperature: 7.5 said" in bad(kept, ("a",))[model]
    manifest = (
        Path(unsealed((kept / "runs/mine/backbone.json").read_bytes())["sources"][0]["store"])
        / "manifest.json"
    )
    whole = manifest.read_bytes()
    for name, value in (("digest", "0" * 64), ("mean", 3.5), ("sd", 3.5)):
        change(manifest, **{name: value})
        assert bad(kept, ("mine",)) == {
            manifest: "its manifest is not that of its files; delete the folder and prepare again"
        }
        manifest.write_bytes(whole)


def test_results_of_older_versions_have_no_hashes(kept: Path) -> None:
    """Files whose checksum nobody wrote down: nothing is wrong with them, and that it cannot be told is said."""
    out = kept / "runs" / "a"
    data = unsealed((out / "results.json").read_bytes())
    for entry in (*data["cells"], *data["stages"]):
        for name in [name for name in entry if name.endswith("_sha256")]:
            entry.pop(name)
    (out / "results.json").write_text(sealed(data))
    found = muscle.verify(out)
    untold = {c.file for c in found if c.verdict == "no hash (written by an older version)"}
    assert untold == {c.file for c in found if c.kind in ("predictions", "log")}
    assert not [c for c in found if c.kind in ("predictions", "log") and c.holds is False]


def test_stores_that_moved_are_found_with_their_folder(place: Path) -> None:
    (place / "stores").rename(place / "moved")
    gone = [c for c in muscle.verify(place / "runs" / "mine") if c.kind == "store"]
    there = [c for c in muscle.verify(place / "runs" / "mine", place / "moved") if c.kind == "store"]
    (place / "moved").rename(place / "stores")
    assert [(c.holds, c.verdict) for c in gone] == [(None, "not kept, or elsewhere: give --store")]
    assert [c.verdict for c in there] == ["ok"]


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results.json or backbone.json here; give the folder of a run"):
        muscle.verify(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        muscle.verify(tmp_path / "none")
    (tmp_path / "results.json").write_text(sealed({"version": 1, "cells": [{"recipe": "a"}]}))
    (check,) = muscle.verify(tmp_path)
    assert check.holds is False and check.verdict == "cells entry 1 lacks backbone, task, seed"


def test_what_was_changed_is_made_again_by_the_same_command(kept: Path) -> None:
    """Changed predictions and a changed log are not taken for found: after the run's command all holds."""
    out = kept / "runs" / "a"
    log, predictions = (
        out / "logs/muscle-resnet18-pretrain.jsonl",
        out / "predictions/muscle-resnet18-germ-0-valid.npz",
    )
    p = Predictions.load(predictions)
    Predictions(**{n: getattr(p, n) for n in p.__dataclass_fields__} | {"output": np.flip(p.arrays[1])}).save(
        predictions
    )
    flip(log)
    assert {log, predictions} <= set(bad(kept, ("a",)))
    api.run(tiny.small("muscle", rounds=1), kept / "chest.yaml", out, kept / "stores", tiny.MACHINE)
    assert bad(kept, ("a",)) == {}


def test_the_command_tells_what_was_checked_and_names_what_is_wrong(kept: Path) -> None:
    """Oracle: the checks as Python gets them; a table and a last line, or JSON; one line of error, exit code 1."""
    out = kept / "runs" / "elsewhere"
    found = muscle.verify(out)
    lines = command.muscle("verify", out).done().splitlines()
    assert lines[0].split() == ["kind", "file", "verdict"] and len(lines) == len(found) + 2
    assert lines[-1] == f"{out}: as it was written: {len(found)} checks hold"
    listed = json.loads(command.muscle("verify", out, "--json").done())
    assert listed == [asdict(check) for check in found]
    for name in ("other/none", "chest"):
        assert "give the folder of a run" in command.muscle("verify", kept / name).refused(1)
    (path,) = (out / "predictions").glob("*.npz")
    path.write_bytes(b"nothing")
    for words in ((), ("--json",)):
        ended = command.muscle("verify", out, *words)
        said = ended.refused(1)
        assert f"2 of {len(found)} checks fail: predictions/{path.name}: changed since it was written" in said
        assert "not a file of predictions" in said and path.name in ended.out
