"""A few cases of ``damage.py``, and a thousand. Oracle: what the same commands give on undamaged files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import damage
from fuzz_damage import hurt
from small_run import Place

QUICK = {"pretrain", "prepare", "embed", "compare", "compare on films seen", "validate on films seen"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A small run and its states."""
    made = Place(tmp_path_factory.mktemp("damage"))
    made.make()
    return made


def quick(kind: damage.Kind) -> damage.Kind:
    """The same files, read by the commands that take under a second."""
    commands = tuple(name for name in kind.commands if name in QUICK)
    return damage.Kind(kind.name, kind.state, kind.patterns, commands)


def test_damage_is_seen_or_harms_nothing(place: Place) -> None:
    kinds = [kind for kind in map(quick, damage.KINDS) if kind.commands]
    campaign = damage.Campaign(place, kinds)
    outcomes = [campaign.attempt(case, 0) for case in range(2 * len(kinds))]
    assert [str(o) for o in outcomes if o.wrong] == []
    assert {o.verdict for o in outcomes} == {"detected", "harmless"}


@pytest.mark.slow
def test_damage_a_thousand_times(place: Place) -> None:
    campaign = damage.Campaign(place)
    assert [str(o) for o in (campaign.attempt(case, 1) for case in range(1000)) if o.wrong] == []


def test_what_is_not_seen_is_told() -> None:
    """Ends written by hand."""
    path, sound = Path("/run/mine/weights.bin"), damage.End(0, ("warning: a",), {"w": np.arange(3)})
    other = {"w": np.arange(3) + 1}
    for end, verdict in (
        (damage.End(0, ("warning: a",), {"w": np.arange(3)}), "harmless"),
        (damage.End(0, ("warning: a", f"warning: {path}: damaged"), sound.left), "detected"),
        (damage.End(1, (f"error: {path}: damaged",), {}), "detected"),
        (damage.End(0, ("warning: a",), other), "SILENT"),
        (damage.End(0, (f"warning: {path}: damaged",), other), "FAILED: named, but the result is another"),
        (damage.End(1, ("error: something",), {}), "FAILED: the file is not named"),
        (damage.End(1, (f"error: {path}: x", "error: again"), {}), "FAILED: its error is no last line"),
        (damage.End(1, (), {}), "SILENT"),
    ):
        assert damage.judged(end, sound, path)[0] == verdict
    refused = damage.End(1, ("error: 3 films were seen",), {})
    assert damage.judged(damage.End(1, ("error: 2 films were seen",), {}), refused, path)[0] == "SILENT"


def test_every_damage_changes_the_file() -> None:
    content = bytes(range(1, 200))
    ways = [hurt(content, np.random.default_rng(seed)) for seed in range(50)]
    assert all(made != content for made, _ in ways)
    assert {how.split()[0] if how.startswith("cut") else how.split()[-1] for _, how in ways} == {
        "cut", "flipped", "zero", "longer"
    }  # fmt: skip
