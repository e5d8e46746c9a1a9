"""Quoted rows. Oracle: the numbers printed in the MUSCLE paper, and when they may stand in a report."""

from __future__ import annotations

from typing import Any

from muscle.datasets.chest_xray_masks import ChestXrayMasks
from muscle.datasets.kermany import PNEUMONIA, Kermany
from muscle.datasets.mura import ABNORMALITY, Mura
from muscle.datasets.tbx11k import BOXES, Tbx11k
from muscle.datasets.v7_lungs import LUNGS
from muscle.report.quoted import QUOTES, caption, quotes, table


def run(*sources: tuple[str, str], synthetic: bool = False) -> dict[str, Any]:
    return {
        "synthetic": synthetic,
        "sources": [{"name": kind, "kind": kind, "targets": [target]} for kind, target in sources],
        "cells": [{"task": target} for _, target in sources],
    }


def test_pneumonia_on_kermany_has_the_papers_two() -> None:
    found = quotes(run(("kermany", "pneumonia")), "classification")
    assert [(q.who[:7], q.score, q.percent) for q in found] == [
        ("Stephen", "accuracy", 93.73),
        ("SimCLR ", "accuracy", 87.52),
    ]
    assert quotes(run(("kermany", "pneumonia")), "dense") == []
    assert all(row[2].text == "quoted, not run" for row in table(found).rows)
    assert "rank nothing" in caption(found) and "TBX11K" not in caption(found)


def test_tuberculosis_boxes_have_liu_with_the_warning_of_the_full_benchmark() -> None:
    found = quotes(run(("tbx11k", "tb_lesions")), "dense")
    assert [(q.score, q.percent) for q in found] == [("ap50:active", 58.70), ("ap50:latent", 9.60)]
    assert "healthy and sick films" in caption(found)
    assert [row[3].text for row in table(found).rows] == ["AP50 active", "AP50 latent"]


def test_films_of_ones_own_and_drawings_have_none() -> None:
    assert not quotes(run(("folder", "pneumonia")), "classification")
    assert not quotes(run(("kermany", "pneumonia"), ("folder", "pneumonia")), "classification")
    assert not quotes(run(("kermany", "germ")), "classification")
    assert not quotes(run(("kermany", "pneumonia"), synthetic=True), "classification")


def test_every_quote_is_of_a_target_that_an_adapter_teaches() -> None:
    taught = {
        (Kermany.kind, PNEUMONIA.name), (Mura.kind, ABNORMALITY.name), (Tbx11k.kind, BOXES.name),
        (ChestXrayMasks.kind, LUNGS.name),
    }  # fmt: skip
    assert {(q.source, q.target) for q in QUOTES} == taught
