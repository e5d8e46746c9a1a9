"""Who is seen in training and tested on. Oracle: records whose equal bytes, pixels and persons are written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muscle.data import audit as module
from muscle.data.audit import Audit, Pair, audit, compared, read_left_out, refuse, write_left_out
from muscle.data.held_out import HeldOut, learnable, pool
from muscle.data.keys import key_of
from muscle.data.privacy import private_key
from muscle.data.rows import Rows, all_rows
from muscle.data.seen import Seen, read_seen, write_seen
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.types import Sample


def sample(path: str, patient: str, split: Any = "train") -> Sample:
    return Sample(id="", source="", path=path, patient=patient, split=split)


def alike(stores: tuple[Store, Store], *pairs: tuple[str, str]) -> list[tuple[str, str, float]]:
    """Near-duplicates by id."""
    rows = all_rows(stores)
    image = dict(zip(rows.ids, rows.image_hashes, strict=True))
    return [(image[a], image[b], 0.9) for a, b in pairs]


@pytest.fixture
def stores(stored: Callable[..., Store]) -> tuple[Store, Store]:
    """Picture i of each source is the same noise in the same bytes."""
    a = stored("a", [sample("0.png", "p0"), sample("1.png", "p1", "test"), sample("2.png", "p2", "valid"),
                     sample("3.png", "p2"), sample("4.png", "p4", "test")])  # fmt: skip
    b = stored("b", [sample("0.png", "q0"), sample("1.png", "q1"), sample("5.png", "p4"), sample("6.png", "q6"),
                     sample("7.png", "q6")])  # fmt: skip
    return a, b


def test_each_pair_is_told_by_the_strictest_rule(stores: tuple[Store, Store]) -> None:
    """b/1 is a/1; the picture of b/5 is that of a/2 (third in the list of its source), of the person of a/4."""
    near = alike(stores, ("a/3.png", "a/4.png"))
    found = audit(all_rows(stores), [*near, (near[0][0], "of no film here", 0.9)])
    assert found.films == 10
    pairs = {(p.first, p.second, p.rule, p.parts) for p in found.pairs}
    assert pairs == {
        ("a/0.png", "b/0.png", "bytes", ("train", "train")),
        ("a/1.png", "b/1.png", "bytes", ("test", "train")),
        ("a/2.png", "b/5.png", "bytes", ("valid", "train")),
        ("a/2.png", "a/3.png", "patient", ("valid", "train")),
        ("a/3.png", "b/6.png", "bytes", ("train", "train")),
        ("a/4.png", "b/7.png", "bytes", ("test", "train")),
        ("a/4.png", "b/5.png", "patient", ("test", "train")),
        ("a/4.png", "a/3.png", "near-duplicate", ("test", "train")),
        ("a/4.png", "b/6.png", "near-duplicate", ("test", "train")),
    }
    assert len(found.leaks) == 7
    assert found.to_leave_out() == ["a/3.png", "b/1.png", "b/5.png", "b/6.png", "b/7.png"]
    left = audit(all_rows(stores, frozenset(found.to_leave_out())), near)
    assert not left.leaks and left.films == 5
    assert found.counts()[0] == ("bytes", "test - train", 2)
    assert found.as_dict()["pairs"][0]["rule"] == "bytes"


def test_equal_pixels_in_other_bytes(stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = all_rows(stores)
    strings = rows.strings
    monkeypatch.setattr(type(rows), "strings", lambda self, column: (
        rows.ids if column == "file_hash" else strings(column)))  # fmt: skip
    rules = {p.rule for p in audit(rows).pairs}
    assert rules == {"pixels", "patient"}


def test_a_group_of_equal_films_is_a_star_around_the_tested_one(stored: Callable[..., Store]) -> None:
    stores = [stored(name, [sample("0.png", name, part)]) for name, part in
              (("a", "train"), ("b", "valid"), ("c", "test"), ("d", "train"))]  # fmt: skip
    pairs = audit(all_rows(stores)).pairs
    assert [(p.first, p.second) for p in pairs] == [("c/0.png", f"{other}/0.png") for other in "abd"]
    assert [p.leaks for p in pairs] == [True, False, True]


def test_near_duplicates_of_held_out_films_and_their_persons_are_not_learned_from(
    stores: tuple[Store, Store],
) -> None:
    """By hand: in b only 0 is neither a held-out film nor of a held-out person; here it is like a tested one."""
    rows = all_rows(stores[1:] + stores[:1])
    near = alike(stores, ("b/0.png", "a/4.png"))
    held_out = HeldOut.of(rows, near=near)
    assert pool(rows, set()).ids == ["b/0.png"]
    assert key_of(private_key("q0")) in held_out.patients and not held_out.allows(rows)[0]
    by_image = HeldOut.of(rows, {"a", "b"}, near=near)  # a split that knows no persons
    assert not len(by_image.patients) and by_image.allows(rows)[[0, 2]].tolist() == [False, False]
    assert HeldOut.of(rows, {"a", "b"}).allows(rows)[0]
    both_tested = HeldOut.of(rows, near=alike(stores, ("a/1.png", "a/4.png")))
    assert held_out.only_near(rows)[rows.ids.index("b/0.png")]
    assert not both_tested.only_near(rows).any()  # they are held out anyway, and not for being alike
    everybody = HeldOut()
    free = pool(rows, set(), everybody).ids
    assert free == [f"b/{i}.png" for i in (0, 1, 5, 6, 7)]
    near = alike(stores, ("b/0.png", "b/6.png"), ("b/6.png", "b/7.png"))
    kept = [i for i in free if i != "b/6.png"]  # which has gone when b/7 is looked at
    assert pool(rows, set(), everybody, near).ids == kept


def test_weights_remember_pixels_and_persons(stores: tuple[Store, Store], tmp_path: Path) -> None:
    a, b = (all_rows([s]) for s in stores)
    write_seen(tmp_path, b.take(np.array([1])))
    seen = read_seen(tmp_path / "backbone.safetensors")
    assert seen == read_seen(tmp_path) == [Seen(b.image_hashes[1], b.patients[1], "b/1.png")]
    (leak,) = [p for p in audit(a, seen=seen).pairs if p.parts[1] == "weights"]
    assert (leak.first, leak.second, leak.rule, leak.leaks) == ("a/1.png", "b/1.png", "pixels", True)
    person = Seen("", a.patients[4], "elsewhere/7.png")
    (other,) = [p for p in audit(a, seen=[person]).leaks if p.parts[1] == "weights"]
    assert (other.first, other.rule) == ("a/4.png", "patient")
    found = audit(a, seen=seen)
    assert "a/1.png" in found.to_leave_out()  # weights cannot forget: the tested film goes
    assert read_seen(tmp_path / "elsewhere" / "x") == []


def test_by_what_films_are_compared_is_told(
    stored: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By person only where both sides name them in the same keys: of one collection, under one salt."""

    def rows(name: str, *patients: str) -> Rows:
        return all_rows([stored(name, [sample(f"{i}.png", who) for i, who in enumerate(patients)])])

    def said(tested: Rows, learned: Rows) -> str:
        write_seen(tmp_path, learned)
        return compared(tested, read_seen(tmp_path))

    alone = "by pixels alone, for no person is named in the same keys on both sides"
    nih, others = rows("a", "nih:1", "nih:2"), rows("b", "ours:1", "ours:2")
    bare, some = rows("c", "c/0.png", "c/1.png"), rows("d", "nih:1", "d/1.png", "ours:3")
    assert said(nih, nih) == "by pixels and by person"
    assert said(nih, others) == said(nih, bare) == said(bare, nih) == said(bare, bare) == alone
    assert said(some, nih) == "by pixels, and 1 of 3 by person with 2 of the 2 of the weights"
    assert said(nih, some) == "by pixels, and 2 of 2 by person with 2 of the 3 of the weights"
    write_seen(tmp_path, nih, read_seen(tmp_path))
    assert [film.collection for film in read_seen(tmp_path)].count("") == 1  # of those seen before them
    assert compared(nih, ()).startswith("with nothing: nothing beside the weights says")
    write_seen(tmp_path, nih)
    monkeypatch.setenv("MUSCLE_SALT", "another")
    assert compared(nih, read_seen(tmp_path)) == alone


def test_the_refusal_is_one_line_with_files_rule_and_ways_out() -> None:
    refuse([])
    one = Pair("a/1.png", "b/1.png", "near-duplicate", ("test", "train"))
    with pytest.raises(UserError) as told:
        refuse([one, one])
    for word in ("a/1.png (test)", "b/1.png (train)", "rule near-duplicate", "1 more", "--exclude FILE",
                 "exclude: FILE", "allow_leaks: true"):  # fmt: skip
        assert word in str(told.value)
    assert "\n" not in str(told.value) and told.value.exit_code == 1


def test_lists_of_ids(tmp_path: Path) -> None:
    write_left_out(tmp_path / "a.txt", ["x/1 é.png", "x/2.png"])
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfy/3.png\r\n\r\n")
    both = read_left_out([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
    assert both == {"x/1 é.png", "x/2.png", "y/3.png"}
    with pytest.raises(UserError, match=r"no.txt: No such file.*--exclude FILE"):
        read_left_out([str(tmp_path / "no.txt")])


def test_known_overlaps_are_told_with_the_pairs_found(stores: tuple[Store, Store]) -> None:
    @dataclass
    class Set:
        kind: str
        shares: dict[str, str]

    sources: Any = {"a": Set("nih", {}), "b": Set("rsna", {"nih": "cut from it"}), "c": Set("own", {})}
    (found,) = audit(all_rows(stores), sources=sources).overlaps
    assert (found.first, found.second, found.known, found.pairs) == ("a", "b", "cut from it", 6)
    assert Audit(0, ()).counts() == [] and module.RULES[0] == "bytes"


def test_validation_is_held_out_as_well(stored: Callable[..., Store]) -> None:
    """A person in training and validation, and weights that have seen a validation film."""
    rows = all_rows(
        [stored("a", [sample("0.png", "p0", "valid"), sample("1.png", "p0"), sample("2.png", "p2")])]
    )
    (pair,) = audit(rows).pairs
    assert (pair.first, pair.second, pair.rule, pair.leaks) == ("a/0.png", "a/1.png", "patient", True)
    (_, seen) = audit(rows, seen=[Seen(rows.image_hashes[0], "nobody", "w/0.png")]).pairs[::-1]
    assert (seen.first, seen.second, seen.rule, seen.parts) == (
        "a/0.png",
        "w/0.png",
        "pixels",
        ("valid", "weights"),
    )


def test_weights_remember_the_twins_of_the_pool_and_what_they_began_with(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    """By hand: b/0 is a/0 of another person, so the pool has one of them and a task learns both."""
    rows = all_rows(stores)
    held_out = HeldOut.of(rows)
    both = learnable(rows, frozenset(), held_out).ids
    assert {"a/0.png", "b/0.png"} <= set(both) and not {"a/0.png", "b/0.png"} <= set(
        pool(rows, frozenset()).ids
    )
    assert both and not set(both) & {"a/1.png", "a/2.png", "a/3.png", "a/4.png", "b/1.png", "b/5.png"}
    before = [Seen("f" * 64, "somebody", "first/0.png")]
    write_seen(tmp_path, learnable(rows, frozenset(), held_out), before)
    assert {film.id for film in read_seen(tmp_path)} == {*both, "first/0.png"} and before[0] in read_seen(
        tmp_path
    )
