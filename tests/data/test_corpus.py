"""A data file made ready; who stays out of what is tested in relations."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.source import Source
from muscle.data.splits import AllTrain, PatientSplit
from muscle.datasets.folder import Folder
from muscle.errors import UserError
from muscle.progress import Progress
from muscle.results import Results


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "tiny"


def test_stores_and_tasks_come_in_the_order_of_the_data_file(films: Path) -> None:
    corpus = tiny.corpus(films)
    assert [s.name for s in corpus.stores] == ["chest", "bones"]
    assert list(corpus.tasks) == ["pneumonia", "germ", "bones"] == list(corpus.targets)
    assert list(corpus.internal_tasks) == list(corpus.tasks)


def test_the_pool_by_body_part(films: Path) -> None:
    corpus = tiny.corpus(films)
    assert corpus.pool_of("pool") is corpus.pool
    chest = corpus.pool_of("pool:chest")
    assert 0 < len(chest) < len(corpus.pool) and set(chest.sources) == {"chest"}
    with pytest.raises(UserError, match="body parts in the pool: chest, forearm") as told:
        corpus.pool_of("pool:hand")
    assert "\n" not in str(told.value)


def test_external_sources(films: Path) -> None:
    given = tiny.sources(films)
    file = DataFile(
        sources={"chest": given["chest"], "bones": given["bones"].with_(external=True)}, split=tiny.SPLIT
    )
    corpus = tiny.prepared(films, file)
    assert corpus.external == {"bones"}
    assert list(corpus.tasks) == ["pneumonia", "germ", "bones"] and list(corpus.internal_tasks) == [
        "pneumonia",
        "germ",
    ]
    assert set(corpus.pool.sources) == {"chest"}
    outside = {name: source.with_(external=True) for name, source in given.items()}
    alone = tiny.prepared(films, DataFile(sources=outside, split=tiny.SPLIT))
    assert alone.internal_tasks == {} and len(alone.tasks) == 3
    with pytest.raises(UserError, match="pool"):
        _ = alone.pool


class Heard(Progress):
    def __init__(self) -> None:
        self.counts: list[tuple[str, int, int]] = []
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        self.counts.append((what, done, total))


def test_films_of_nobody_are_said_where_a_test_part_depends_on_it(tmp_path: Path) -> None:
    """A folder of labelled films without patient_pattern; nothing is said where it has one, or all is for training."""
    Folder.write_example(tmp_path / "films", 12, 0)
    plain = Folder(root=str(tmp_path / "films"), labels="folder")
    for source, split, said in (
        (plain, PatientSplit(), True),
        (plain, AllTrain(), False),
        (plain.with_(patient_pattern=r"(\d+)"), PatientSplit(), False),
    ):
        heard = Heard()
        file = DataFile(sources={"films": source}, split=split)
        Corpus.prepare(file, tiny.SIZE, tiny.Decode(), "stretch", tmp_path / "stores", 0, heard)
        told = [text for text in heard.messages if "name no patient" in text]
        assert bool(told) == said
        assert not said or told[0].startswith("warning: films: 12 of 12 images name no patient")


def test_films_of_nobody_are_said_in_the_pool_too(tmp_path: Path) -> None:
    """Beside a source that tests its persons may be tested; alone, who tests later what it teaches is warned."""
    Folder.write_example(tmp_path / "films", 12, 0)
    bare = Folder(root=str(tmp_path / "films"), split=AllTrain())
    named = bare.with_(labels="folder", patient_pattern=r"(\d+)", split=PatientSplit())

    def told(**sources: Folder) -> list[str]:
        heard = Heard()
        file = DataFile(sources=sources)
        Corpus.prepare(file, tiny.SIZE, tiny.Decode(), "stretch", tmp_path / "stores", 0, heard)
        return [text.partition("of its own, ")[2] for text in heard.messages if "name no patient" in text]

    assert told(bare=bare) == []
    (beside,) = told(bare=bare, named=named)
    assert beside.startswith(
        "and two films of one person may fall in training and test; give patient_pattern"
    )
    (alone,) = told(bare=bare.with_(split=PatientSplit()))
    assert alone.startswith(
        "and who tests later what learned from them can find these films again, but not their p"
    )


def test_ids_to_leave_out_that_name_no_film_are_said(tmp_path: Path) -> None:
    given = tiny.sources(tmp_path)
    some = tiny.corpus(tmp_path).all_rows.ids[:2]
    (tmp_path / "out.txt").write_text("\n".join((*some, "chest/none.png")) + "\n")
    file = DataFile(sources=dict(given), split=tiny.SPLIT, exclude=(str(tmp_path / "out.txt"),))
    heard = Heard()
    corpus = Corpus.prepare(file, tiny.SIZE, tiny.Decode(), "stretch", tmp_path / "stores", 0, heard)
    corpus.check_leaks()
    assert any(text.startswith("warning: exclude: 1 of 3 ids name no film here, first chest/none.png")
               for text in heard.messages)  # fmt: skip
    results = Results(tmp_path / "run", "", False, tiny.MACHINE)
    results.put_sources(corpus)
    assert results.data["provenance"]["films excluded"] == 2


def test_preparing_counts_and_says_what_was_set_aside(films: Path, tmp_path: Path) -> None:
    given = tiny.sources(films)["bones"]
    root = tmp_path / "bones"
    given.write_example(root, 6, 0)
    next(root.glob("train/images/*")).write_bytes(b"not a picture")
    heard = Heard()
    file = DataFile(sources={"bones": given.with_(root=str(root))})
    corpus = Corpus.prepare(file, tiny.SIZE, tiny.Decode(), "stretch", tmp_path / "stores", 0, heard)
    assert len(corpus.stores[0]) == 5
    assert heard.counts[-1] == ("prepare bones", 6, 6)
    assert len(heard.messages) == 1 and heard.messages[0].startswith("bones: 1 files set aside, first ")


def test_records_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million of them are a gigabyte, and reading their headers takes minutes."""
    reads = []
    read = Source.read
    monkeypatch.setattr(Source, "read", lambda self, name: (reads.append(name), read(self, name))[1])
    tiny.corpus(tmp_path)
    assert sorted(reads) == ["bones", "chest"]
