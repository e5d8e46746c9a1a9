"""Splits: purity and stability as properties; the paper's rule against the counts that its tables print."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from muscle.data.privacy import private_key
from muscle.data.splits import (
    AllTrain,
    FileSplit,
    OfficialSplit,
    PaperSplit,
    PatientSplit,
    chance,
    stratified,
)
from muscle.errors import UsageError, UserError
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


def test_the_papers_rule_gives_the_papers_counts_of_the_lungs_and_of_tbx() -> None:
    """METHODS: 704 pairs 564/70/70; the 800 tuberculosis films 640/80/80."""
    lungs = Target(name="lungs", kind="mask", classes=("lung",))
    boxes = Target(name="tb", kind="boxes", classes=("active", "latent"))
    for n, target, expected in ((704, lungs, (564, 70, 70)), (800, boxes, (640, 80, 80))):
        counts = Counter(PaperSplit(seed=3).assign([sample("x", i) for i in range(n)], [target]))
        assert (counts["train"], counts["valid"], counts["test"]) == expected


def test_the_papers_rule_gives_the_class_counts_of_mura() -> None:
    """Table 2 fits only 1,637 abnormal and 2,358 normal test images; strata: MURA-v1.1, training and validation."""
    strata = {"elbow": (2236, 3160), "finger": (2215, 3352), "forearm": (812, 1314), "hand": (1673, 4330),
              "humerus": (739, 821), "shoulder": (4446, 4496), "wrist": (4282, 6129)}  # fmt: skip
    assert sum(map(sum, strata.values())) == 40_005
    films = [
        replace(sample("mura", 0, sick=bool(k)), id=f"mura/{part}/{k}/{i}", body_part=part)
        for part, counts in strata.items()
        for k, n in enumerate(counts[::-1])
        for i in range(n)
    ]
    parts = PaperSplit().assign(films, [TARGET])
    tested = Counter(film.id.split("/")[2] for film, part in zip(films, parts, strict=True) if part == "test")
    assert tested == {"1": 1637, "0": 2358}
    assert Counter(parts) == {"train": 32_015, "valid": 3_995, "test": 3_995}


def written(path: Path, text: str) -> FileSplit:
    path.write_text(text)
    return FileSplit(file=str(path))


def test_a_file_decides_by_image_then_by_patient_then_the_hash(tmp_path: Path) -> None:
    split = written(tmp_path / "s.csv", f"id,patient,part\na/00000.png,,valid\n,{private_key('p1')},train\n"
                    f",{private_key('p1')},test\nelsewhere/x.png,,test\n")  # fmt: skip
    films = [sample("a", 0, "p1"), sample("a", 1, "p1"), *(sample("a", i, f"q{i}") for i in range(2, 60))]
    parts = split.assign(films, [TARGET])
    assert parts[:2] == ["valid", "test"]  # of two parts of one person the one where most is at stake
    assert parts[2:] == PatientSplit().assign(films[2:], [TARGET])
    assert set(split.assign(films, [])) == {"train"}


def test_a_file_of_another_salt_or_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = written(tmp_path / "s.csv", f"patient,part\n{private_key('p1')},test\n")
    assert split.assign([sample("a", 0, "p1")], [TARGET]) == ["test"]
    monkeypatch.setenv("MUSCLE_SALT", "another")
    with pytest.raises(UserError, match="names none of 1 images of source a.*MUSCLE_SALT"):
        split.assign([sample("a", 0, "p1")], [TARGET])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,part\na/0.png,dev\n", "line 2: part 'dev'; allowed: train, valid, test"),
        ("id\na/0.png\n", "no column 'part'"),
        ("name,part\nx,test\n", "neither ids nor patients"),
    ],
)
def test_a_wrong_file_is_told_on(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        written(tmp_path / "s.csv", text).assign([sample("a", 0)], [TARGET])


def test_a_file_is_looked_for_beside_the_data_file(tmp_path: Path) -> None:
    assert FileSplit(file="s.csv").rooted(tmp_path).file == (tmp_path / "s.csv").resolve().as_posix()
    assert PatientSplit().rooted(tmp_path) == PatientSplit()


def test_strata_meet_their_shares_and_the_whole_does() -> None:
    persons = {
        f"p{i}": ["rare"] if i % 20 == 0 else ["often", "x"] if i % 2 else ["often"] for i in range(400)
    }
    found = stratified(persons, 0.1, 0.2, seed=4)
    assert Counter(found.values()) == {"train": 280, "valid": 40, "test": 80}
    assert Counter(found[p] for p, shown in persons.items() if shown == ["rare"]) == {
        "train": 14,
        "valid": 2,
        "test": 4,
    }
    assert found == stratified(dict(reversed(persons.items())), 0.1, 0.2, seed=4)
    assert found != stratified(persons, 0.1, 0.2, seed=5)
    alone = stratified({f"p{i}": [f"unlike {i}"] for i in range(100)}, 0.1, 0.2, 0)  # a stratum each
    assert Counter(alone.values()) == {"train": 70, "valid": 10, "test": 20}


def test_the_papers_rule_parts_no_file_of_several_frames() -> None:
    films = [
        replace(sample("s", i), path=f"{i // 5}.tif", id=f"s/{i // 5}.tif#{i % 5 + 1}", frame=i % 5 + 1)
        for i in range(100)
    ]
    parts = defaultdict(set)
    for film, part in zip(films, PaperSplit().assign(films, [TARGET]), strict=True):
        parts[film.path].add(part)
    assert Counter(str(*mine) for mine in parts.values()) == {
        "train": 16,
        "valid": 2,
        "test": 2,
    }  # of 20 files
