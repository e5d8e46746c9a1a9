"""What a film's header says of its person is in nothing that is written or said. Oracle: the planted words."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import command
import copies
import pyarrow.parquet as pq
import pydicom
import pytest

from muscle.data.store import Store

PLANTED = {
    "PatientName": "Quasimodo^Esmeralda", "PatientBirthDate": "19031217", "PatientAddress": "Parvis Notre-Dame 6",
    "OtherPatientIDs": "ZQ998877", "AccessionNumber": "ACC4711XX", "StudyDescription": "Sturz vom Glockenturm",
    "SeriesDescription": "Thorax nach Sturz", "ImageComments": "Patientin weint", "PatientComments": "Hunchback",
    "ReferringPhysicianName": "Frollo^Claude", "InstitutionName": "Hotel-Dieu", "StationName": "CELLAR3",
    "StudyInstanceUID": "1.2.826.0.1.77777.1", "SeriesInstanceUID": "1.2.826.0.1.88888.1",
}  # fmt: skip
PERSON = "MRN-00271828"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """32 films of 16 persons in two class folders, every identifier that a header holds planted in them."""
    for i in range(32):
        folder = tmp_path / "given" / ("well", "sick")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        command._dicom(folder / f"IM{i:04d}", copies.cloud(i, 64, 48), "MONOCHROME2")
        header = pydicom.dcmread(folder / f"IM{i:04d}")
        header.PatientID = f"{PERSON}{i // 2}"
        header.SOPInstanceUID = f"1.2.826.0.1.99999.{i}"
        for name, value in PLANTED.items():
            setattr(header, name, value)
        header.save_as(folder / f"IM{i:04d}")
    data = (
        "sources:\n  films: {kind: folder, root: given, labels: folder}\nsplit: {kind: patient, test: 0.3}\n"
    )
    (tmp_path / "data.yaml").write_text(data)
    return tmp_path


def test_no_planted_identifier_is_in_any_file_or_message(films: Path) -> None:
    before = set(films.rglob("*"))
    data, store = films / "data.yaml", films / "store"
    said = ""
    for words in (
        ("data", "prepare", data, "--size", "32x32", "--store", store, "--workers", "0"),
        (
            "data",
            "audit",
            data,
            "--size",
            "32x32",
            "--store",
            store,
            "--workers",
            "0",
            "--exclude",
            films / "x.txt",
        ),
        ("data", "split", data, "--write", films / "split.csv"),
        (
            "finetune",
            data,
            *command.TINY,
            "--set",
            "finetune.epochs=1",
            "--store",
            store,
            "--out",
            films / "run",
        ),
        (
            "embed",
            data,
            "--from",
            "scratch",
            "--to",
            films / "f.parquet",
            "--store",
            store,
            "--device",
            "cpu",
        ),
    ):
        ended = command.muscle(*words)
        ended.done()
        said += ended.out + ended.err
    written = [path for path in films.rglob("*") if path.is_file() and path not in before]
    assert {".parquet", ".npy", ".json", ".npz", ".html", ".csv", ".txt"} <= {path.suffix for path in written}
    everything = b"\n".join([said.encode(), *map(_content, written), *(str(p).encode() for p in written)])
    words = [*PLANTED.values(), *PLANTED["PatientName"].split("^"), PERSON, "1.2.826.0.1.99999"]
    found = [
        word for word in words if word.encode() in everything or word.lower().encode() in everything.lower()
    ]
    assert not found


def _content(path: Path) -> bytes:
    """The bytes of a file, and what is packed in it."""
    raw = path.read_bytes()
    if path.suffix == ".parquet":
        raw += repr(
            pq.read_table(path).drop_columns(["feature"] if path.stem == "f" else []).to_pydict()
        ).encode()
    if path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            for name in packed.namelist():
                inside = packed.read(name)
                raw += inside + inside.replace(b"\0", b"")  # text of four bytes a letter
    return raw


def test_equal_salts_give_equal_keys_in_every_source_and_other_salts_other_ones(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stores(source: str, salt: str) -> Store:
        monkeypatch.setenv("MUSCLE_SALT", salt)
        text = f"sources:\n  {source}: {{kind: folder, root: given, labels: folder}}\n"
        (films / f"{source}.yaml").write_text(text)
        where = films / f"store-{salt}"
        words = ("data", "prepare", films / f"{source}.yaml", "--size", "32x32", "--store", where)
        command.muscle(*words, "--workers", "0").done()
        (found,) = where.glob(f"{source}-32x32-????????")
        return Store.open(found)

    one, other, third = stores("one", "a"), stores("other", "a"), stores("one", "b")
    assert one.strings("patient") == other.strings("patient")
    assert len(set(one.strings("patient"))) == 16
    assert not set(one.strings("patient")) & set(third.strings("patient"))
    assert one.strings("split") == third.strings("split")  # nobody moves
    assert one.manifest["key"] != third.manifest["key"]
