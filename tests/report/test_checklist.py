"""The checklist. Oracle: a run written by hand, and what it does not say."""

from __future__ import annotations

from typing import Any

from muscle.report.checklist import AUTHORS, KNOWN, LEFT, table

RUN: dict[str, Any] = {
    "provenance": {"commit": "abc+changes", "command": "muscle run", "versions": {"torch": "2.15"}, "films excluded": 3,
                   "leaks allowed": "4 test or validation films were seen in training, so scores flatter"},
    "sources": [{"name": "kermany", "kind": "kermany", "licence": "CC BY 4.0", "train": 30, "valid": 5, "test": 40,
                 "total": 75, "quarantined": 2}, {"name": "mine"}],
    "cells": [{"recipe": "muscle", "title": "MUSCLE", "backbone": "resnet18", "task": "pne", "kind": "labels",
               "seed": seed, "key": f"k{seed}", "valid": 0.9, "intervals": "95 % intervals over patients",
               "metrics": {"auc": {"n": 40, "clusters": 21}, "sensitivity": {"n": 20, "clusters": 11}}}
              for seed in (0, 1)],
    "stages": [{"recipe": "muscle", "name": "pretrain"}], "probes": [],
}  # fmt: skip


def said(run: dict[str, Any]) -> dict[str, str]:
    return {row[0].text: row[1].text for row in table(run).rows}


def test_each_topic_says_what_the_run_says() -> None:
    found = said(RUN)
    assert found["Data sources"] == "kermany: 75 films (kermany); mine: 0 films (adapter not recorded)"
    assert found["Licences of the data"] == "kermany: CC BY 4.0; mine: not recorded"
    assert found["Partition into parts"].startswith("kermany: train 30, valid 5, test 40")
    assert found["Independence of cases"] == "pne: 40 test cases of 21 persons"
    assert (
        found["Exclusions"] == "kermany: 2 unreadable or unfit files set aside; 3 films left out by request"
    )
    assert "were seen in training" in found["Leakage between parts"]
    assert found["Model"] == "backbones resnet18; starts: MUSCLE"
    assert found["Training"].startswith("stages before fine-tuning: pretrain; fine-tuned models: 2;")
    assert found["Seeds and repetition"] == "fine-tuning seeds 0, 1; pre-training once"
    assert found["Performance with uncertainty"] == "95 % intervals over patients"
    assert found["Operating point"] == "positive from probability 0.5 on"
    assert found["Software and machine"] == "torch 2.15"
    assert (
        found["Code and data to repeat it"] == "commit abc (the source differed from it); command: muscle run"
    )


def test_probes_of_frozen_features_are_models_too() -> None:
    (cell, _) = RUN["cells"]
    found = said(
        RUN | {"cells": [], "probes": [{k: v for k, v in cell.items() if k != "seed"} | {"probe": "k-NN"}]}
    )
    assert found["Independence of cases"] == "pne: 40 test cases of 21 persons"
    assert found["Model"] == "backbones resnet18; starts: MUSCLE"
    assert found["Performance with uncertainty"] == "95 % intervals over patients"
    assert ".yaml files" in found["Preprocessing"] and found["Seeds and repetition"] == "not recorded"


def test_what_the_run_does_not_say_is_not_made_up() -> None:
    found = said({"provenance": {}, "sources": [], "cells": [], "stages": [], "probes": []})
    told = {topic for topic, text in found.items() if text not in ("not recorded", AUTHORS)}
    assert told == {"Leakage between parts"}  # what a run does about leaks is true of each


def test_topics_stand_once_and_have_no_invented_numbers() -> None:
    topics = [topic for topic, *_ in (*KNOWN, *LEFT)]
    assert len(topics) == len(set(topics)) == len(table(RUN).rows)
    assert not any(sign.isdigit() for topic in topics for sign in topic)


def test_nothing_is_claimed_that_the_run_does_not_say() -> None:
    """The same run without its faults: no leak, no other films, a source as committed, no validation part."""
    cells = [{k: v for k, v in cell.items() if k != "valid"} for cell in RUN["cells"]]
    cells[0] = cells[0] | {
        "task": "old",
        "metrics": {"auc": {"n": 40}},
    }  # of a version that counted no persons
    clean = RUN | {
        "cells": cells,
        "stages": [],
        "provenance": {"commit": "abc", "device": "cpu", "command": "muscle run"},
    }
    found = said(clean)
    assert found["Leakage between parts"].startswith("no leak is noted")
    assert found["Code and data to repeat it"] == "commit abc; command: muscle run"
    assert found["Selection of the final model"] == "not recorded"
    assert found["Seeds and repetition"] == "fine-tuning seeds 0, 1"
    assert found["Software and machine"] == "device cpu"
    assert found["External validation"] == "not recorded" == said(RUN)["External validation"]
    assert found["Independence of cases"] == "pne: 40 test cases of 21 persons"
    assert "by the validation part alone" in said(RUN)["Selection of the final model"]


def test_persons_that_nobody_names_are_told() -> None:
    """Each such film counts as a person, and is compared with what weights have seen by its pixels alone."""
    kept, other = RUN["sources"]
    facts = {"leak check of mine": "tested films compared with ...: by pixels alone"}
    found = said(RUN | {"sources": [kept | {"unnamed": 0}, other | {"unnamed": 7}], "provenance": facts})
    assert found["Independence of cases"].endswith("; mine: 7 films name nobody, each counts as a person")
    assert found["Leakage between parts"].startswith("no leak is noted; a run that finds")
    assert found["Leakage between parts"].endswith("compared with ...: by pixels alone")


def test_what_validation_chose_of_a_probe_is_told() -> None:
    """Of several penalties of the linear probe one was chosen; k-NN has none."""
    (cell, _) = RUN["cells"]
    only = RUN | {"cells": [], "probes": [cell | {"probe": "k-NN"}]}
    assert said(only)["Selection of the final model"] == "not recorded"
    both = only | {"probes": [*only["probes"], cell | {"probe": "linear"}]}
    assert said(both)["Selection of the final model"].startswith("penalty of the linear probe by the valid")


def test_films_of_elsewhere_are_told() -> None:
    """Of a comparison the sources kept out of all stages; of a validation all of its sources."""
    kept, other = RUN["sources"]
    comparison = RUN | {"sources": [kept, other | {"external": True}]}
    assert said(comparison)["External validation"] == "of films that no stage has seen: mine"
    validation = RUN | {"cells": [RUN["cells"][0] | {"external": True}]}
    assert said(validation)["External validation"] == "of films that no stage has seen: kermany, mine"


def test_a_start_that_saw_test_films_is_told() -> None:
    facts = {"leak of mine": "mine was pre-trained on 3 test films", "leaking": "no"}
    assert (
        said(RUN | {"provenance": facts})["Leakage between parts"] == "mine was pre-trained on 3 test films"
    )
