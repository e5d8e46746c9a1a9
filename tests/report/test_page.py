"""The page from a small results folder. Oracles: the numbers put in, an HTML parser, the files on disk."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import films, labels, save, write_results

from muscle.data.decode import Decode
from muscle.data.prepare import prepare
from muscle.data.splits import PatientSplit
from muscle.datasets.folder import Folder
from muscle.errors import UserError
from muscle.report.page import check, report

NASTY = "<script>alert(1)</script>|*$x$_"


def test_every_table_and_figure_is_on_one_page_and_counted(tmp_path: Path) -> None:
    results = write_results(tmp_path)
    page = report(tmp_path).read_text()
    assert not re.search(r"<script|https?:|src=\"(?!data:)|url\(", page)  # nothing is fetched, nothing runs
    listed = dict(check(tmp_path))
    assert listed["Data sets as counted here"] == 1
    assert listed["Classification"] == 3 and listed["Segmentation and detection"] == 3
    assert listed["ROC: pneumonia, resnet18"] > 3 * 2 * 10
    assert listed["Masks: lungs, resnet18"] == listed["Boxes: fractures, resnet18"] == 3 * 3
    assert listed["Forgetting matrix: MUSCLE"] == 4
    assert (
        listed["Training curves: pretrain (md-moco, muscle)"] == 50 + 50 + 1 + 1
    )  # one stage, computed once
    assert listed["AUC of every seed"] == 6 and listed["Dice and mAP of every seed"] == 12
    assert listed["Every score"] == sum(len(c["metrics"]) for c in results["cells"])
    assert listed["Differences from Scratch"] == 3 * 3  # two against the baseline and MUSCLE against MD-MoCo
    tables = {path.stem for path in (tmp_path / "tables").glob("*.csv")}
    assert tables == {path.stem for path in (tmp_path / "tables").glob("*.tex")}
    assert {name for name in listed if name.endswith(".tex")} == {f"tables/{name}.tex" for name in tables}
    assert listed["tables/scores.tex"] == listed["Every score"]
    assert any("films of kermany" in name.lower() and "no longer there" in name for name in listed)
    assert "Synthetic images." in page
    assert "with recomputed statistics backward transfer -0.010, forgetting +0.020." in page
    assert "score at the end, recomputed: 0.812. Forward transfer (frozen" in page
    assert "less at the start): +0.030. Replayed: 30 batches beside 40 steps." in page
    assert page == report(tmp_path).read_text()  # the same results, the same bytes


def test_the_numbers_are_the_ones_put_in(tmp_path: Path) -> None:
    results = write_results(tmp_path)
    report(tmp_path)
    with (tmp_path / "tables" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(r["recipe"], r["task"], int(r["seed"]), r["metric"]): (float(r["value"]), float(r["low"]),
             float(r["high"]), int(r["n"])) for r in rows}  # fmt: skip
    assert found == {(c["recipe"], c["task"], c["seed"], m): (v["value"], v["low"], v["high"], v["n"])
                     for c in results["cells"] for m, v in c["metrics"].items()}  # fmt: skip
    mine = [
        c["metrics"]["auc"]["value"]
        for c in results["cells"]
        if (c["recipe"], c["task"]) == ("muscle", "pneumonia")
    ]
    with (tmp_path / "tables" / "table2.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert (
        float(last["AUC"]) == pytest.approx(np.mean(mine)) and last["Seeds"] == "2" and last["Cases"] == "40"
    )
    assert f"{100 * np.mean(mine):.2f}" in (tmp_path / "tables" / "table2.md").read_text()


def test_films_of_a_store_that_is_there_are_shown(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for i, film in enumerate(films(3)):
        assert cv2.imwrite(str(tmp_path / "films" / f"{i}.png"), film)
    source = Folder(root=str(tmp_path / "films"))
    store = prepare("mine", source, PatientSplit(), (32, 24), Decode(), tmp_path / "stores", workers=1)
    results = write_results(tmp_path, (labels,), seeds=1)
    results["sources"][0]["store"] = store.path.relative_to(tmp_path).as_posix()
    save(tmp_path, results)
    report(tmp_path)
    assert ("Films of kermany", 3) in check(tmp_path)


def test_names_from_data_are_text_and_never_markup(tmp_path: Path) -> None:
    results = write_results(tmp_path, (labels,), seeds=1)
    for cell in results["cells"]:
        cell["task"], cell["title"] = NASTY, cell["title"] + NASTY
    results["sources"][0]["name"] = results["title"] = NASTY
    results["provenance"][NASTY] = NASTY
    save(tmp_path, results)
    page = report(tmp_path).read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
    assert check(tmp_path)
    assert all(
        line.count(" | ") <= 10 for line in (tmp_path / "tables" / "table1.md").read_text().splitlines()
    )


def test_what_was_asked_for_and_is_not_there_is_a_table_and_so_are_groups(tmp_path: Path) -> None:
    results = write_results(tmp_path)
    report(tmp_path)
    assert not any("Not in the tables" in name or name == "Subgroups" for name in dict(check(tmp_path)))
    assert (tmp_path / "tables/table2.md").read_text().startswith("Classification (synthetic radiographs)\n")
    cell = results["cells"][0]
    open_ = {k: cell[k] for k in ("recipe", "title", "backbone", "task", "seed")} | {
        "seed": 7,
        "status": "not run",
    }
    results["missing"] = [open_ | {"why": ""}, open_ | {"seed": 8, "why": "no room | on the disk"}]
    score = {"value": 0.8, "low": 0.6, "high": 0.9, "n": 30}
    for one, value in zip(results["cells"][:2], (0.8, 0.6), strict=True):
        assert (one["recipe"], one["task"]) == ("scratch", "pneumonia")
        one["subgroups"] = [
            {
                "column": "sex",
                "value": "F",
                "n": 30,
                "patients": 25,
                "score": score | {"value": value},
                "why": "",
            },
            {
                "column": "sex",
                "value": "M",
                "n": 3,
                "patients": 3,
                "score": None,
                "why": "few patients (3, needed 20)",
            },
        ]
        one["worst"] = {"sex": "F"}
    (tmp_path / "results.json").write_text(json.dumps(results))
    report(tmp_path)
    listed = dict(check(tmp_path))
    assert listed["Not in the tables: 2 cells that were asked for"] == 2 and listed["Subgroups"] == 2
    groups = (tmp_path / "tables/subgroups.md").read_text().splitlines()[4:-2]
    assert groups == [
        "| pneumonia | resnet18 | Scratch | sex | F | AUC | 70.00 (60.00–90.00) | 30 | 25 | worst |",
        "| pneumonia | resnet18 | Scratch | sex | M | AUC | – (few patients (3, needed 20)) | 3 | 3 | – |",
    ]
    assert "no room" in (tmp_path / "tables/missing.md").read_text()


def test_missing_pieces_say_why_and_nothing_falls(tmp_path: Path) -> None:
    results = write_results(tmp_path, (labels,), seeds=1)
    results["forgetting"] = results["stages"] = []
    for cell in results["cells"]:  # a test part with one class: no AUC, no specificity
        cell["metrics"] = {"accuracy": cell["metrics"]["accuracy"]}
    save(tmp_path, results)
    page = report(tmp_path).read_text()
    assert (
        "No continual stage" in page
        and "No segmentation or detection" in page
        and "no training curves" in page
    )
    assert not any("ROC" in name for name, _ in check(tmp_path))
    save(tmp_path, {"version": 1})
    assert "No source" in report(tmp_path).read_text()


def test_a_page_of_probes_alone_does_not_miss_fine_tuning(tmp_path: Path) -> None:
    """Nobody asked for it; where somebody did and nothing came of it, the page says that there is none."""
    results = write_results(tmp_path, (labels,), seeds=1)
    (cell, *_) = results["cells"]
    probe = {"start": "a", "title": "A", "probe": "k-NN", "share": 1.0, "draw": 0, "patients": 9} | {
        k: cell[k] for k in ("backbone", "task", "metrics")
    }
    results |= {"cells": [], "stages": [], "forgetting": [], "probes": [probe]}
    save(tmp_path, results)
    page = report(tmp_path).read_text()
    assert not re.search("No classification|No segmentation|nothing to compare|No log|No continual", page)
    assert "Every cell is shown" in page
    results["missing"] = [{k: cell[k] for k in ("recipe", "task", "seed")} | {"status": "not run", "why": ""}]
    save(tmp_path, results)
    page = report(tmp_path).read_text()
    assert "No classification" in page and "What is missing is listed with its reason; every other" in page


def test_check_names_all_that_is_missing(tmp_path: Path) -> None:
    write_results(tmp_path, seeds=1)
    with pytest.raises(UserError, match="no report here"):
        check(tmp_path)
    (tmp_path / "logs" / "md-moco.jsonl").unlink()
    (tmp_path / "predictions" / "muscle-lungs-0.npz").write_bytes(b"")
    page = report(tmp_path)
    with pytest.raises(UserError, match=r"Masks: lungs.*Training curves: pretrain") as caught:
        check(tmp_path)
    assert "\n" not in str(caught.value) and "missing or empty" in str(caught.value)
    page.write_text(
        re.sub(r"<tbody>.*?</tbody>", "<tbody></tbody>", page.read_text(), count=1, flags=re.DOTALL)
    )
    (tmp_path / "tables" / "scores.csv").unlink()
    with pytest.raises(UserError, match=r"Data sets as counted here \(empty\).*Every score \(empty\)"):
        check(tmp_path)


def test_tables_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    results = write_results(tmp_path, seeds=1)
    report(tmp_path)
    assert (tmp_path / "tables" / "table3.csv").exists()
    results["cells"] = [c for c in results["cells"] if c["kind"] == "labels"]
    save(tmp_path, results)
    report(tmp_path)
    assert not (tmp_path / "tables" / "table3.csv").exists()


def test_a_baseline_of_ones_own(tmp_path: Path) -> None:
    write_results(tmp_path, (labels,))
    page = report(tmp_path, "muscle").read_text()
    assert "Differences from MUSCLE." in page and "AUC − MUSCLE" in page
    assert "Differences from MUSCLE" in dict(check(tmp_path, "muscle"))
    for command in (report, check):
        with pytest.raises(UserError, match="no such recipe here"):
            command(tmp_path, "nothing")


def test_a_run_in_which_no_score_is_defined_is_whole_and_says_so(tmp_path: Path) -> None:
    """As where no test film has a box: nothing is missing, there is nothing to show."""
    results = write_results(tmp_path, (labels,), seeds=1)
    for cell in results["cells"]:
        cell["metrics"] = {}
    save(tmp_path, results)
    report(tmp_path)
    assert ("Every score (absent: no scores)", 0) in check(tmp_path)


def test_names_that_are_one_in_letters_and_digits_have_files_of_their_own(tmp_path: Path) -> None:
    """Also where the number that tells them apart is part of another name."""
    results = write_results(tmp_path, (labels,), seeds=1)
    (entry,) = results["forgetting"]
    names = ("mine", "Mine", "mine-2", "MINE")
    results["forgetting"] = [entry | {"recipe": name, "title": f"of {name}"} for name in names]
    save(tmp_path, results)
    report(tmp_path)
    listed = [name for name, _ in check(tmp_path)]
    for name in names:
        assert listed.count(f"Forgetting matrix: of {name}") == 1
    titles = [file.read_text().splitlines()[0] for file in (tmp_path / "tables").glob("forgetting-*.md")]
    assert sorted(titles) == sorted(f"Forgetting matrix: of {n} (synthetic radiographs)" for n in names)


def test_check_names_a_lost_latex_table(tmp_path: Path) -> None:
    write_results(tmp_path, (labels,), seeds=1)
    report(tmp_path)
    (tmp_path / "tables" / "table2.tex").unlink()
    with pytest.raises(UserError, match=r"Classification \(no tables/table2.tex\)"):
        check(tmp_path)
