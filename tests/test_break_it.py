"""Every oracle's test, and those of what a run calls, turn red when the code they guard is broken."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def break_it() -> ModuleType:
    spec = importlib.util.spec_from_file_location("break_it", TESTS / "break_it.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["break_it"] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def test_each_oracle_has_a_mutation_that_can_still_be_applied(break_it: ModuleType) -> None:
    for mutation in break_it.MUTATIONS:
        break_it.text_of(break_it.ROOT, mutation)
        file, _, test = mutation.test.partition("::")
        assert f"def {test}" in (TESTS / file).read_text("utf-8")
    guarded = {mutation.test.partition("::")[0] for mutation in break_it.MUTATIONS}
    assert guarded >= {f"oracles/{path.name}" for path in TESTS.glob("oracles/test_*.py")}


@pytest.mark.slow
def test_each_mutation_turns_its_test_red(break_it: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    survived = break_it.main()
    assert survived == 0, capsys.readouterr().out
