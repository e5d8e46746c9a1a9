"""Grey levels of sources whose every pixel is known. Oracles: NumPy and SciPy on all the pixels themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.harmonize import Border, PercentileWindow
from muscle.data.histogram import PERCENTILES, SIZE, STAGES, Greys, Histograms, histograms
from muscle.data.normalization import Normalization, PerImage, PerSource, ZScore
from muscle.errors import UserError


def films(root: Path, seed: int, mean: float, sd: float, n: int = 3) -> np.ndarray:
    """``n`` films of the size at which they are looked at; returns their pixels."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(mean + 10 * np.arange(n)[:, None, None], sd, (n, *SIZE)), 0, 255).astype(
        np.uint8
    )
    for i, film in enumerate(pixels):
        Image.fromarray(film).save(root / f"{i}.png")
    return pixels


@pytest.fixture
def two(tmp_path: Path) -> tuple[DataFile, np.ndarray, np.ndarray]:
    a, b = films(tmp_path / "a", 0, 100, 20), films(tmp_path / "b", 1, 140, 30)
    fields = {name: {"kind": "folder", "root": str(tmp_path / name)} for name in "ab"}
    return DataFile.parse({"sources": fields}), a, b


@pytest.mark.oracle
def test_numbers_of_all_pixels(two: tuple[DataFile, np.ndarray, np.ndarray]) -> None:
    data, a, b = two
    found = histograms(data, Decode(), ZScore(), workers=0)
    for name, pixels in (("a", a), ("b", b)):
        for stage, values in (
            ("stored", pixels),
            ("decoded", pixels),
            ("input", (pixels - 122.786) / 18.390),
        ):
            greys = found.greys[stage][name]
            assert (greys.mean, greys.sd) == pytest.approx((values.mean(), values.std()), abs=1e-5)
            for percent in PERCENTILES:
                wanted = np.percentile(values, percent, method="inverted_cdf")
                assert greys.percentile(percent) == pytest.approx(wanted, abs=1e-5)
    direct = wasserstein_distance(a.ravel(), b.ravel())
    assert np.abs(np.sort(a.ravel().astype(float)) - np.sort(b.ravel())).mean() == pytest.approx(direct)
    assert found.distances("decoded")["a", "b"] == pytest.approx(direct, abs=1e-9)
    assert found.distances("input")["a", "b"] == pytest.approx(direct / 18.390, abs=1e-5)
    assert found.spread("stored") == pytest.approx(np.concatenate([a, b]).std(), abs=1e-6)


@pytest.mark.oracle
def test_each_normalization_by_hand(two: tuple[DataFile, np.ndarray, np.ndarray]) -> None:
    data, a, b = two
    images = [(p - p.mean((1, 2), keepdims=True)) / p.std((1, 2), keepdims=True) for p in (a, b)]
    sources = [(p - p.mean()) / p.std() for p in (a, b)]
    for normalization, (one, other) in ((PerImage(), images), (PerSource(), sources)):
        found = histograms(data, Decode(), normalization, workers=0)
        greys = found.greys["input"]
        assert greys["a"].percentile(99) == pytest.approx(
            np.percentile(one, 99, method="inverted_cdf"), abs=1e-4
        )
        assert greys["a"].mean == pytest.approx(0, abs=1e-5) and greys["b"].sd == pytest.approx(1, abs=1e-5)
        wanted = wasserstein_distance(one.ravel(), other.ravel())
        assert found.distances("input")["a", "b"] == pytest.approx(wanted, abs=1e-5)


def test_stored_is_not_harmonized_and_decoded_is(two: tuple[DataFile, np.ndarray, np.ndarray]) -> None:
    data, a, b = two
    found = histograms(data, Decode(harmonize=(Border(), PercentileWindow())), ZScore(), workers=0)
    assert found.greys["stored"]["a"].mean == pytest.approx(a.mean())
    assert found.greys["decoded"]["a"].percentile(100) == 255
    assert found.distances("decoded")["a", "b"] < found.distances("stored")["a", "b"] / 5


def test_rows_json_and_picture(two: tuple[DataFile, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    data, *_ = two
    (tmp_path / "a/torn.png").write_bytes(b"no picture")
    heard: list[tuple[str, int, int]] = []
    found = histograms(
        data, Decode(), ZScore(), most=100, workers=0, progress=lambda *said: heard.append(said)
    )
    assert heard[-1] == ("b", 3, 3) and heard[3] == ("a", 4, 4)
    assert [path for _, path, _ in found.set_aside] == ["torn.png"] and found.films == {"a": 3, "b": 3}
    assert [row[:3] for row in found.rows()] == [(name, stage, "3") for name in "ab" for stage in STAGES]
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["sources"]["a"]["stored"]["mean"] == pytest.approx(found.greys["stored"]["a"].mean)
    for pair in plain["distances"]:
        assert pair["wasserstein"] / pair["deviations"] == pytest.approx(found.spread(pair["stage"]))
    assert found.distance_rows()[-1][:2] == ("mean of all", "pairs")
    found.draw(tmp_path / "h [1]")
    with Image.open(tmp_path / "h [1]") as image:
        assert image.format == "PNG" and len(np.unique(np.asarray(image.convert("L")))) > 20
    with pytest.raises(UserError, match="--to"):
        found.draw(tmp_path / "no/h.png")


def test_one_source_has_no_distance_and_none_can_be_read(tmp_path: Path) -> None:
    films(tmp_path / "a", 0, 100, 20, n=5)
    alone = DataFile.parse({"sources": {"a": {"kind": "folder", "root": str(tmp_path / "a")}}})
    found = histograms(alone, Decode(), ZScore(), most=2, workers=0)
    assert found.films == {"a": 2} and found.distance_rows() == []
    found.draw(tmp_path / "one.png")
    for file in (tmp_path / "a").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(UserError, match="none of 5 films can be decoded"):
        histograms(alone, Decode(), ZScore(), workers=0)


def test_a_flat_film_and_repeated_values() -> None:
    flat = Greys.of(np.array([[5.0, 5.0], [5.0, 9.0]]), np.array([[1.0, 2.0], [3.0, 0.0]]))
    assert (flat.mean, flat.sd, flat.percentile(50), flat.percentile(100)) == (5, 0, 5, 5)
    same = Histograms({stage: {"a": flat, "b": flat} for stage in STAGES}, {"a": 1, "b": 1}, ())
    assert same.distance_rows()[0] == ("a", "b", *("0.00 (0.00 sd)",) * 3)


def test_an_input_far_from_deviation_1_is_explained(tmp_path: Path) -> None:
    """Only where the paper's numbers made it, and only outside .5 to 2."""
    fields = {}
    for name, sd in (("near", 20.0), ("far", 60.0), ("flat", 3.0)):
        films(tmp_path / name, 0, 120, sd, n=1)
        fields[name] = {"kind": "folder", "root": str(tmp_path / name)}

    def remark(normalization: Normalization, *names: str) -> str:
        data = DataFile.parse({"sources": {name: fields[name] for name in names}})
        return histograms(data, Decode(), normalization, workers=0).remark(normalization)

    assert remark(ZScore(), "near") == remark(PerSource(), "far") == ""
    wide = remark(ZScore(), "near", "far")
    assert wide.startswith("input sd 3.") and "(far)" in wide and "\n" not in wide
    assert "divides by 18.39, the deviation of the paper's own pixels, and films spread wider here" in wide
    assert wide.endswith("choose normalization: source (--set normalization=source)")
    assert "films spread less here" in remark(ZScore(), "flat")
