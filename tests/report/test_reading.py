"""Results that are whole, old, cut or changed by hand. Oracle: the words that say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle.errors import UserError
from muscle.report.page import check, report
from muscle.report.reading import NEEDED, load_results

CELL = '{"recipe": "a", "title": %s, "task": "t", "kind": "labels", "seed": 0, "metrics": {}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ('{"version": 1, "cells": [{"rec', "cannot be read"),
        ("[]", "not a JSON object"),
        ('{"version": 9}', "not results of version 1"),
        ('{"version": 1, "cells": [{"recipe": "a"}]}', "cells entry 1 lacks task, kind, seed, metrics"),
        (f'{{"version": 1, "cells": [{CELL % 7}]}}', "cells entry 1: title is no str"),
        (
            f'{{"version": 1, "cells": [{CELL % 0}]}}'.replace(": 0,", ': "a",', 1).replace(
                "{}", '{"auc": 3}'
            ),
            "cells entry 1: its score auc is no value, low, high, n",
        ),
        ('{"version": 1, "cells": null}', "cells is no list of entries"),
        ('{"version": 1, "sources": {"a": 1}}', "sources is no list of entries"),
        ('{"version": 1, "stages": ["a"]}', "stages is no list of entries"),
        ('{"version": 1, "missing": [{"task": "t"}]}', "missing entry 1 lacks status"),
        ('{"version": 1, "provenance": []}', "provenance is no table of keys and values"),
    ],
)
def test_wrong_results_are_refused_in_one_line_that_says_what_to_do(
    text: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "results.json").write_text(text)
    for command in (report, check):
        with pytest.raises(
            UserError, match=f"{reason}.*; move it away and give the command of the run again"
        ) as told:
            command(tmp_path)
        assert "\n" not in str(told.value)
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]  # no report of half the results


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results here"):
        load_results(tmp_path)
    with pytest.raises(UserError, match="none: no such folder"):
        load_results(tmp_path / "none")
    (tmp_path / "backbone.json").write_text("{}")
    with pytest.raises(UserError, match=f"a pre-trained backbone, .*`muscle probe` .*--from {tmp_path}"):
        load_results(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError, match="a file; give the folder of the run"):
        load_results(tmp_path / "results.json")


def test_what_earlier_versions_left_out_is_empty(tmp_path: Path) -> None:
    cell = {"recipe": "a", "task": "t", "kind": "labels", "seed": 0, "metrics": {}}
    probe = dict.fromkeys(NEEDED["probes"], "p") | {"metrics": {}}
    (tmp_path / "results.json").write_text(json.dumps({"version": 1, "cells": [cell], "probes": [probe]}))
    found = load_results(tmp_path)
    assert found["cells"] == [cell | {"backbone": "", "classes": [], "title": "a"}]
    assert found["probes"][0]["title"] == "p" and found["provenance"] == {} and not found["synthetic"]
    assert all(found[part] == [] for part in NEEDED if part not in ("cells", "probes"))
