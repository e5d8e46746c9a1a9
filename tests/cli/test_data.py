"""``muscle data``: every kind listed and shown, folders looked at, one file explained, stores made."""

from __future__ import annotations

import json
from pathlib import Path

import command
import numpy as np
import pytest
from PIL import Image

from muscle.data.data_file import DataFile
from muscle.data.decode import Decode, decode
from muscle.data.page import page
from muscle.data.rows import all_rows
from muscle.data.seen import Seen, write_seen
from muscle.data.source import Source
from muscle.data.store import Store
from muscle.datasets._unverified import unverified
from muscle.datasets.kermany import Kermany
from muscle.parts import known
from muscle.yaml_text import to_yaml


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films between junk."""
    root = tmp_path_factory.mktemp("data") / "films"
    command.films(root, 8, (80, 72))
    command.junk(root)
    return root


def test_every_kind_is_listed_with_a_licence() -> None:
    lines = command.muscle("data", "list").done().splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert sorted(names[: -len(unverified())]) == sorted(known(Source))
    assert names[-len(unverified()) :] == list(unverified())
    assert "ChestX-ray14 of the NIH" in lines[1 + names.index("nih_chestxray14")]
    assert all(line.rstrip().split("  ")[-1] for line in lines)
    marked = [line.split()[0] for line in lines if " unverified data file: " in line]
    assert marked == list(unverified()) and marked


@pytest.mark.parametrize("name", unverified())
def test_an_unverified_data_file_is_shown_as_it_is(name: str) -> None:
    assert command.muscle("data", "show", name).done().strip() == unverified()[name].strip()


def test_a_kind_is_shown_on_one_page() -> None:
    shown = command.muscle("data", "show", "kermany").done()
    assert shown.strip() == page(Kermany).strip()
    refused = command.muscle("data", "show", "siim_acr_pn").refused(
        2
    )  # an unverified data file is shown, too
    assert "unknown kind 'siim_acr_pn'; did you mean siim_acr_png? known: cephalometric" in refused


def test_a_scan_changes_nothing_and_its_proposal_can_be_read(films: Path, tmp_path: Path) -> None:
    before = sorted((str(p), p.stat().st_mtime_ns) for p in films.rglob("*"))
    ended = command.muscle("data", "scan", films, "--write", tmp_path / "d.yaml")
    assert "notes.png" in ended.done() and "empty.png" in ended.out
    assert sorted((str(p), p.stat().st_mtime_ns) for p in films.rglob("*")) == before
    (samples, _), *_ = DataFile.load(tmp_path / "d.yaml").read().values()
    assert 8 <= len(samples) <= 9  # half a JPEG has a whole header
    command.muscle("data", "scan", films, "--write", tmp_path / "d.yaml").refused(2)
    assert json.loads(command.muscle("data", "scan", films, "--json").done())["counts"]["dicom"] == 2


def test_a_contact_sheet_and_the_proposal_on_the_screen(films: Path, tmp_path: Path) -> None:
    ended = command.muscle("data", "scan", films, "--contact", tmp_path / "c [1].png", "--films", "3")
    assert "sources:" in ended.done() and "kind: folder" in ended.out and "c [1].png" in ended.out
    with Image.open(tmp_path / "c [1].png") as image:
        assert image.format == "PNG"
    ended = command.muscle("data", "scan", films, "--contact", tmp_path / "c.png", "--films", "1", "--json")
    assert json.loads(ended.done())["set_aside"] and "wrote" in ended.err
    assert "--contact" in command.muscle("data", "scan", films, "--contact", tmp_path / "no/c.png").refused(1)


def test_check_ends_with_1_when_results_would_change(films: Path, tmp_path: Path) -> None:
    good = tmp_path / "good"
    command.films(good, 4, (80, 72))
    assert "0 errors" in command.muscle("data", "check", good, "--workers", "0").done()
    ended = command.muscle("data", "check", films, "--workers", "0", "--deep")
    assert ended.code == 1 and "Traceback" not in ended.err
    assert all(name in ended.out for name in command.JUNK)
    ended = command.muscle("data", "check", films, "--workers", "0", "--deep", "--json")
    (found,) = json.loads(ended.out)["sources"]
    assert ended.code == 1 and found["errors"] == 3
    assert {fault["path"] for fault in found["faults"]} == set(command.JUNK)
    command.muscle("data", "check", tmp_path / "no").refused(2)


def test_histogram_prints_numbers_and_draws(films: Path, tmp_path: Path) -> None:
    words = ("data", "histogram", films, "--films", "3", "--workers", "0")
    ended = command.muscle(*words, "--to", tmp_path / "h.png", "--harmonize", "percentile")
    lines = ended.done().splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["stored", "decoded", "input"]
    assert any(line.startswith("input sd ") and "normalization: source" in line for line in lines)
    with Image.open(tmp_path / "h.png") as image:
        assert image.format == "PNG"
    found = json.loads(command.muscle(*words, "--json").done())["sources"]["films"]
    assert found["input"]["mean"] == pytest.approx((found["decoded"]["mean"] - 122.786) / 18.390, abs=1e-4)
    assert "known: border" in command.muscle(*words, "--harmonize", "blur").refused(2)
    assert "known: image" in command.muscle(*words, "--normalization", "z").refused(2)


def test_prepare_harmonizes(films: Path, tmp_path: Path) -> None:
    words = ("data", "prepare", films, "--size", "32x48", "--store", tmp_path, "--workers", "0")
    command.muscle(*words).done()
    command.muscle(*words, "--harmonize", "border", "--harmonize", "percentile").done()
    stores = [Store.open(folder) for folder in sorted(tmp_path.glob("films-32x48-*"))]
    assert len(stores) == 2
    steps = [json.loads((store.path / "manifest.json").read_text())["steps"] for store in stores]
    assert sorted(any(step.startswith("percentile: ") for step in mine) for mine in steps) == [False, True]


def test_files_are_decoded_as_asked(tmp_path: Path) -> None:
    """``--set`` as for a recipe. Oracle: the levels that were written; 16 bits are spanned unless they are raw."""
    levels = np.linspace(1000, 3000, 80 * 80).reshape(80, 80).astype(np.uint16)
    pages = [Image.fromarray(levels), Image.fromarray(levels[::-1])]
    (tmp_path / "f").mkdir()
    pages[0].save(tmp_path / "f/x.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(levels).save(tmp_path / "f/y.png")
    words, both = ("--size", "80x80", "--store", tmp_path / "s"), ("decode.frames=first", "decode.grey=raw")
    change = [word for leaf in both for word in ("--set", leaf)]
    assert "x.tif: 2 frames" in command.muscle("data", "prepare", tmp_path / "f", *words).done()
    made = json.loads(command.muscle("data", "audit", tmp_path / "f", *words, *change, "--json").done())
    assert made["films"] == 2 and [pair["rule"] for pair in made["pairs"]] == ["pixels"]
    command.muscle("data", "prepare", tmp_path / "f", *words, *change).done()
    stores = [Store.open(folder) for folder in (tmp_path / "s").glob("f-80x80-*/")]
    (raw,) = (store for store in stores if len(store) == 2)
    assert len(stores) == 2 and raw.manifest["decode"]["frames"] == "first"
    for image in raw.images:
        np.testing.assert_allclose(image, levels / 257, atol=0.51)
    ended = command.muscle("data", "check", tmp_path / "f", "--workers", "0")
    assert ended.code == 1 and "f: 1 errors" in ended.out
    command.muscle("data", "check", tmp_path / "f", "--workers", "0", *change).done()
    histogram = ("data", "histogram", tmp_path / "f", "--workers", "0", "--json", *change)
    found = json.loads(command.muscle(*histogram).done())["sources"]["f"]
    assert found["decoded"]["mean"] == found["stored"]["mean"]
    for word, said in (
        ("frames=first", "allowed: decode.FIELD=VALUE, FIELD one of: grey, window, frames, harmonize"),
        ("decode.windows=2", "override 'windows': no 'windows'; did you mean window? known: grey, window"),
        ("decode.window=0", "window: given 0; input should be greater than or equal to 1"),
    ):
        assert said in command.muscle("data", "prepare", tmp_path / "f", "--set", word).refused(2)


def test_inspect_writes_what_is_decoded(films: Path, tmp_path: Path) -> None:
    """As PNG, whatever the name; oracle: the decoder."""
    ended = command.muscle("data", "inspect", films / "film 4.png", "--to", tmp_path / "out [1]")
    assert "72 x 80, 8 bits stored" in ended.done() and "out [1]" in ended.out
    with Image.open(tmp_path / "out [1]") as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), decode(films / "film 4.png", Decode()).pixels)
    command.muscle("data", "inspect", films / "film 4.png", "--to", tmp_path / "no" / "x.png").refused(1)


def test_inspect_takes_one_frame_of_several(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (9, 99)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    ended = command.muscle("data", "inspect", tmp_path / "x.tif", "--frame", "2")
    assert "frame 2 of 2" in ended.done() and "8-bit levels 99 to 99" in ended.out
    assert "2 frames; allowed: one" in command.muscle("data", "inspect", tmp_path / "x.tif").refused(1)
    ended = command.muscle("data", "inspect", tmp_path / "x.tif", "--frame", "3")
    assert "frame 3 was asked for, and it has 2" in ended.refused(1)


def test_prepare_tells_what_it_set_aside(films: Path, tmp_path: Path) -> None:
    words = ("data", "prepare", films, "--size", "32x48", "--store", tmp_path, "--workers", "0")
    first = command.muscle(*words).done()
    assert [line.split(": ")[2] for line in first.splitlines() if line.startswith("set aside")] == list(
        command.JUNK
    )
    (folder,) = tmp_path.glob("films-32x48-*")
    assert Store.open(folder).size == (32, 48) and str(folder) in first
    assert command.muscle(*words).done() == first


def test_phantoms_go_into_an_empty_folder_only(films: Path, tmp_path: Path) -> None:
    assert "data.yaml" in command.muscle("data", "phantom", tmp_path / "p", "--images", "12").done()
    command.muscle("data", "phantom", films, "--images", "12").refused(1)
    command.muscle("data", "phantom", tmp_path / "q", "--images", "3").refused(2)


def test_an_audit_tells_programs_and_people_the_same(tmp_path: Path) -> None:
    """Two sources with one film in both, which one trains and the other tests on."""
    command.films(tmp_path / "one", 8, (80, 72))
    for seed, name in enumerate(("train/a", "train/b", "test/a", "test/b")):
        (tmp_path / "two" / name).mkdir(parents=True)
        noise = np.random.default_rng(seed).integers(0, 255, (80, 72), np.uint8)
        Image.fromarray(noise).save(tmp_path / "two" / name / "film.png")
    source = next((tmp_path / "one").rglob("film 0.png"))
    (tmp_path / "two" / "test" / "a" / "copy.png").write_bytes(source.read_bytes())
    (tmp_path / "d.yaml").write_text(
        "sources:\n  one: {kind: folder, root: one}\n  two: {kind: folder, root: two, labels: folder, "
        "split: {kind: official, valid: 0.0}}\n"
    )
    words = (
        "data",
        "audit",
        tmp_path / "d.yaml",
        "--size",
        "64x64",
        "--store",
        tmp_path / "s",
        "--workers",
        "0",
    )
    told = json.loads(command.muscle(*words, "--json").done())  # the film leaves the training: no refusal
    (pair,) = told["pairs"]
    assert pair["first"] == "two/test/a/copy.png" and pair["second"].endswith("film 0.png")
    assert (pair["rule"], pair["parts"], told["refused"]) == ("bytes", ["test", "train"], False)
    assert told["leave out"] == [pair["second"]] and told["films"] == 13
    shown = command.muscle(*words).done()
    assert "test - train" in shown and "rule bytes" in shown and "13 films, 1 pairs, 1 of them" in shown

    film = Seen("0" * 64, "somebody", "weights/x.png")
    nobody = all_rows([Store.open(next((tmp_path / "s").glob("two-*")))]).take(np.zeros(0, np.int64))
    write_seen(tmp_path / "run", nobody, [film])
    said = command.muscle(*words, "--from", tmp_path / "run").done()
    assert "tested films are compared with those of the weights" in said
    row = next(
        r for r in Store.open(next((tmp_path / "s").glob("two-*"))).index.to_pylist() if "copy" in r["id"]
    )
    write_seen(tmp_path / "run", nobody, [film, Seen(row["image_hash"], "x", "weights/y.png")])
    ended = command.muscle(*words, "--from", tmp_path / "run")
    assert ended.code == 1 and "weights/y.png (weights), rule pixels" in ended.out
    command.muscle(*words, "--size", "12").refused(2)


def test_what_is_written_overwrites_no_film_and_no_data_file(tmp_path: Path) -> None:
    source = {"kind": "folder", "root": str(tmp_path / "f")}
    (tmp_path / "f").mkdir()
    film, data = tmp_path / "f" / "a.png", tmp_path / "d.yaml"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(film)
    data.write_text(to_yaml({"sources": {"f": source}}))
    before = {path: path.read_bytes() for path in (film, data)}
    for words in (
        ("inspect", film, "--to", film),
        ("scan", tmp_path / "f", "--contact", film),
        ("histogram", data, "--to", film),
        ("audit", data, "--size", "32x32", "--store", tmp_path / "s", "--exclude", data),
    ):
        assert "there is a file already" in command.muscle("data", *words).refused(2)
    assert {path: path.read_bytes() for path in before} == before
    words = ("data", "audit", data, "--size", "32x32", "--store", tmp_path / "s", "--workers", "0")
    for _ in range(2):  # its own list is written anew
        command.muscle(*words, "--exclude", tmp_path / "out.txt").done()
