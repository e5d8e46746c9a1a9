"""Splits: purity and stability as properties; the paper's rule against the counts that its tables print."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from muscle.data.splits import AllTrain, OfficialSplit, PaperSplit, PatientSplit, chance
from muscle.errors import UsageError
from muscle.types import Labels, Sample, SplitName, Target

TARGET = Target(name="sick", kind="labels", classes=("no", "yes"))


def sample(
    source: str, i: int, patient: str = "", part: SplitName | None = None, sick: bool | None = None
) -> Sample:
    truth = {} if sick is None else {"sick": Labels((float(not sick), float(sick)))}
    path = f"{i:05d}.png"
    return Sample(id=f"{source}/{path}", path=path, source=source, patient=patient or f"{source}/{path}",
                  split=part, annotations=truth)  # fmt: skip


def test_a_person_falls_in_one_part_whatever_the_source_and_the_film() -> None:
    films = [sample("a", i, f"kermany:person{i % 50}") for i in range(300)]
    masks = [sample("b", i, f"kermany:person{i % 70}") for i in range(300)]
    parts: dict[str, set[str]] = defaultdict(set)
    for source in (films, masks):
        for one, part in zip(source, PatientSplit().assign(source, [TARGET]), strict=True):
            parts[one.patient].add(part)
    assert len(parts) == 70
    assert all(len(found) == 1 for found in parts.values())
    assert set.union(*parts.values()) == {"train", "valid", "test"}


def test_films_added_later_move_nobody() -> None:
    before = [sample("a", i) for i in range(200)]
    after = [sample("a", i) for i in range(-100, 400)]
    old = dict(zip((s.id for s in before), PatientSplit().assign(before, [TARGET]), strict=True))
    new = dict(zip((s.id for s in after), PatientSplit().assign(after, [TARGET]), strict=True))
    assert old == {key: new[key] for key in old}


def test_the_shares_are_met_on_average_and_the_seed_draws_anew() -> None:
    samples = [sample("a", i) for i in range(10_000)]
    counts = Counter(PatientSplit(valid=0.2, test=0.1).assign(samples, [TARGET]))
    assert abs(counts["test"] - 1000) < 5 * 30  # five standard deviations of the binomial
    assert abs(counts["valid"] - 2000) < 5 * 40
    one, two = (PatientSplit(seed=s).assign(samples, [TARGET]) for s in (0, 1))
    assert one != two


def test_what_teaches_nothing_is_all_train() -> None:
    samples = [sample("a", i) for i in range(50)]
    for split in (PatientSplit(), OfficialSplit(), PaperSplit(), AllTrain()):
        assert set(split.assign(samples, [])) == {"train"}
    assert set(AllTrain().assign(samples, [TARGET])) == {"train"}


def test_the_papers_rule_gives_the_papers_counts() -> None:
    # Table 1: 4,686 / 585 / 585; Table 2 fits only 427 + 158 test images (METHODS: own computation)
    samples = [sample("kermany", i, f"p{i // 3}", sick=i < 4273) for i in range(4273 + 1583)]
    parts = PaperSplit().assign(samples, [TARGET])
    assert Counter(parts) == {"train": 4686, "valid": 585, "test": 585}
    tested = Counter(i < 4273 for i, part in enumerate(parts) if part == "test")
    assert tested == {True: 427, False: 158}
    shuffled = sorted(samples, key=lambda s: chance(9, s.id))
    again = dict(zip((s.id for s in shuffled), PaperSplit().assign(shuffled, [TARGET]), strict=True))
    assert again == dict(zip((s.id for s in samples), parts, strict=True))


def test_the_papers_rule_without_classes_is_one_stratum_a_body_part() -> None:
    lungs = Target(name="lungs", kind="mask", classes=("lung",))
    counts = Counter(PaperSplit().assign([sample("lung", i) for i in range(896)], [lungs]))
    assert counts == {"train": 718, "valid": 89, "test": 89}


def test_official_parts_are_kept_and_a_missing_validation_is_drawn_by_person() -> None:
    parts: list[SplitName] = ["train", "test"]
    samples = [sample("a", i, f"p{i // 4}", parts[i // 4 % 2]) for i in range(800)]
    found = OfficialSplit(valid=0.25).assign(samples, [TARGET])
    assert all(part == "test" for one, part in zip(samples, found, strict=True) if one.split == "test")
    by_person = defaultdict(set)
    for one, part in zip(samples, found, strict=True):
        by_person[one.patient].add(part)
    assert all(len(p) == 1 for p in by_person.values())
    assert 10 < sum(p == {"valid"} for p in by_person.values()) < 45  # of 100 persons a quarter
    published = [sample("a", i, part=("train", "valid", "test")[i % 3]) for i in range(9)]  # type: ignore[arg-type]
    assert OfficialSplit().assign(published, [TARGET]) == [s.split for s in published]


def test_who_has_a_published_test_film_is_never_drawn_for_validation() -> None:
    both = [sample("a", i, f"p{i // 2}", ("train", "test")[i % 2]) for i in range(400)]  # type: ignore[arg-type]
    assert set(OfficialSplit(valid=0.9).assign(both, [TARGET])) == {"train", "test"}


def test_official_without_published_parts_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="1 of 2 images have no published part.*use the split patient"):
        OfficialSplit().assign([sample("a", 0, part="train"), sample("a", 1)], [TARGET])


def test_nothing_left_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match="leave something to train on"):
        PatientSplit.parse({"valid": 0.5, "test": 0.5})


def test_the_hash_is_the_same_on_every_machine() -> None:
    # printf '0\0kermany:person98' | sha256sum
    assert chance(0, "kermany:person98") == 0xECC944A67685AAE1 / 2**64
