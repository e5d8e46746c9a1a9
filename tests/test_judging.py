"""What a cell says of itself. Oracles: cases by hand, and the scores at a threshold given outright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from muscle.judging import chosen_on, constant, one_sided, status, with_choice
from muscle.metrics import score
from muscle.predictions import Predictions


def labels(
    truth: list[list[float]], classes: tuple[str, ...], exclusive: bool = False, people: int = 0
) -> Predictions:
    """Cases of findings, the output a hint at the truth."""
    known = np.array(truth, np.float32).reshape(-1, len(classes))
    n = len(known)
    output = np.clip(0.3 + 0.3 * np.nan_to_num(known) + 0.1 * np.arange(n)[:, None] / max(n, 1), 0, 1)
    return Predictions(
        task="t", kind="labels", classes=classes, exclusive=exclusive, ids=[str(i) for i in range(n)],
        patients=[str(i % people if people else i) for i in range(n)], truth=known, output=output.astype(np.float32),
    )  # fmt: skip


ILL = ("ill",)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (labels([[1], [0], [1], [0]], ILL), "ok"),
        (labels([[1], [1], [1]], ILL), "one class in test"),
        (labels([[1, 0], [1, 0], [1, 0]], ("well", "ill"), exclusive=True), "one class in test"),
        (labels([[1], [0]], ILL), "n too small"),
        (labels([[1], [0], [1], [0]], ILL, people=1), "n too small"),
        (labels([], ILL), "n too small"),
        (labels([[1, 0], [0, 0], [1, 0]], ("a", "b")), "ok"),  # one class of two is scored
    ],
)
def test_status(cases: Predictions, said: str) -> None:
    found, why = status(cases)
    assert found == said and bool(why) == (said != "ok")


def test_what_says_the_same_of_every_case_is_told() -> None:
    """Cases that differ, outputs that do not; and cases that do not differ, of which nothing is told."""
    p = labels([[1, 0], [0, 0], [1, 1]], ("a", "b"))
    same = replace(p, output=np.tile(np.float32([0.2, 0.7]), (3, 1)))
    assert constant(p) == "" and constant(same) == "all 3 cases are given the same, 0.200, 0.700"
    assert status(same) == ("constant predictions", constant(same))
    assert constant(replace(same, output=same.output + np.float32([[0, 0], [0, 0.001], [0, 0]]))) == ""
    assert constant(replace(same, truth=np.tile(p.truth[:1], (3, 1)))) == ""
    half = np.zeros((3, 4, 4), np.uint8)
    half[:, :2] = 1
    masks = replace(p, kind="mask", truth=half, output=np.zeros_like(half))
    assert "every pixel of 3 cases" in constant(masks) and constant(replace(masks, output=half)) == ""
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    one = (np.ones((1, 4), np.float32), np.ones(1, np.float32), np.ones(1, np.int64))
    boxes = replace(p, kind="boxes", truth=[box[::2] for box in (one, none, none)], output=[none] * 3)
    assert constant(boxes) == "no box in any of 3 cases"
    assert constant(replace(boxes, output=[none, one, none])) == ""


def test_classes_that_cannot_be_scored_are_named() -> None:
    cases = labels([[1, 0, 1], [0, 0, 1], [1, float("nan"), 1]], ("a", "b", "c"))
    assert one_sided(cases) == {"b": "no positive", "c": "no negative"}
    assert not {"auc:b", "auc:c"} & score(cases).keys()
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[0, 0, 0] = 1
    p = replace(cases, kind="mask", ids=["1", "2"], patients=["1", "2"], truth=masks, output=masks)
    assert one_sided(p) == {"b": "no positive", "c": "no positive"}
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    boxes = replace(p, kind="boxes", truth=[none, (np.ones((1, 4), np.float32), np.array([3]))],
                    output=[(none[0], np.zeros(0, np.float32), none[1])] * 2)  # fmt: skip
    assert one_sided(boxes) == {"a": "no positive", "b": "no positive"}


def test_the_threshold_is_of_validation_and_named() -> None:
    """Test cases whose best threshold is another: the scores are those at validation's."""
    valid = labels([[0], [0], [1], [1]], ILL)  # outputs .3, .325, .65, .675
    test = replace(valid, output=np.array([[0.4], [0.66], [0.64], [0.9]], np.float32))
    chosen = chosen_on(valid)
    assert chosen["threshold"] == {
        "rule": "youden",
        "value": pytest.approx(0.65),
        "chosen on": "valid",
        "n": 4,
    }
    found = with_choice(test, chosen)
    expected = score(test, threshold=0.65)
    for name in ("accuracy", "sensitivity", "specificity"):
        assert found[f"{name}@youden"].value == expected[name] == 0.5
    assert found["ece@temperature"].value >= 0 and chosen["temperature"] > 0


@pytest.mark.parametrize(
    "valid",
    [
        labels([], ILL),
        labels([[1], [1]], ILL),
        labels([[1, 0, 0], [0, 1, 0], [0, 0, 1]], ("a", "b", "c"), True),
    ],
    ids=["none", "one class", "three exclusive classes"],
)
def test_nothing_is_chosen_where_validation_cannot(valid: Predictions) -> None:
    chosen = chosen_on(valid)
    assert not (chosen["threshold"] or {}).get("value")
    assert not any(name.endswith("@youden") for name in with_choice(valid, chosen))


def test_one_threshold_a_class() -> None:
    valid = labels([[1, 1], [0, 1], [1, 1], [0, 1]], ("a", "b"))
    value = chosen_on(valid)["threshold"]["value"]
    assert len(value) == 2 and value[0] is not None and value[1] is None
    found = with_choice(valid, chosen_on(valid))
    assert found["sensitivity@youden"].value == 1 == found["specificity@youden"].value
