"""YAML of plain data. Oracle: PyYAML, which shows what YAML 1.1 loses."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.errors import UsageError
from muscle.yaml_text import MAX_YAML, from_yaml, to_yaml


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "[1.0, [.nan]]", "{a: {b: .inf}}"])
def test_numbers_in_yaml_are_finite(text: str) -> None:
    with pytest.raises(UsageError, match=r"my\.yaml: given (nan|inf|-inf); allowed: finite numbers"):
        from_yaml(f"width: {text}", "my.yaml")


@pytest.mark.parametrize("text", ['a: "x\\0y"', '- ["\\0"]', '"\\0": 1', 'a: "x\\ud800"'])
def test_text_without_nul(text: str) -> None:
    with pytest.raises(UsageError, match=r"my\.yaml: given .*(x00|ud800).*; allowed: text without NUL"):
        from_yaml(text, "my.yaml")


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "On", "NO"])
def test_words_that_yaml_1_1_takes_for_truth_values_stay_words(word: str) -> None:
    assert from_yaml(f"{word}: {word}") == {word: word}


def test_pyyaml_would_lose_them() -> None:
    """What these tests protect from."""
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load("on: no") == {True: False}
    assert yaml.safe_load("rate: 1e-4") == {"rate": "1e-4"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("3E2", 300.0), ("-1e5", -1e5), ("1.0e-4", 1e-4), (".5", 0.5), ("012", 12)],
)
def test_numbers_are_numbers(text: str, number: float) -> None:
    value = from_yaml(f"rate: {text}")["rate"]
    assert value == number
    assert type(value) is type(number)


@pytest.mark.parametrize(
    "word",
    ["1e-4", "12", "0x1f", "null", "~", "true", "", " ", "a: b", "#x", "- x", "Wirbelsäule", "línea\nzwei", "'", '"',
     "2024-01-01", "1_000", "0o17", "x" * 300, "tab\there", "!tag", "&a", "*a", "%x", "@x", "{", "]",
     "12:30:00", "=", "<<"],
)  # fmt: skip
def test_strings_staystrings(word: str) -> None:
    text = to_yaml({"name": word})
    assert from_yaml(text) == {"name": word}
    assert to_yaml(from_yaml(text)) == text


def test_a_key_given_twice_is_refused_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"my\.yaml line 3: found duplicate key \"a\""):
        from_yaml("a: 1\nb: 2\na: 3\n", "my.yaml")


@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "\tx: 1", "!!python/object/apply:os.system ['true']", "a: *b"]
)
def test_what_is_not_plain_yaml_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"my\.yaml") as caught:
        from_yaml(text, "my.yaml")
    assert "\n" not in str(caught.value)


def test_aliases_and_bottomless_nesting_are_refused() -> None:
    """Oracle: nine lines of eight aliases each stand for 8^9 items, which no loader survives."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]\n" for i in range(1, 10))
    with pytest.raises(UsageError, match=r"my\.yaml line 1: anchors and aliases .* write the value out"):
        from_yaml(bomb, "my.yaml")
    with pytest.raises(UsageError, match=r"my\.yaml line 1: nested too deeply"):
        from_yaml("a: " + "[" * 3000 + "]" * 3000, "my.yaml")
    assert from_yaml("a: '*b'\nc: x&y") == {"a": "*b", "c": "x&y"}


@pytest.mark.parametrize("value", ["2001-13-45", "9" * 5000, "!!int x", "!!bool x", "!!float x", "!!timestamp x",
                                   "!!python/object/apply:os.mkdir [marker]", "!!python/name:os.system"])  # fmt: skip
def test_yaml_that_promises_what_it_is_not(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        from_yaml(f"a: {value}")
    assert not list(tmp_path.iterdir())


def test_yaml_longer_than_anybody_writes() -> None:
    with pytest.raises(UsageError, match="characters of YAML"):
        from_yaml("# " + "x" * MAX_YAML)
