"""What a person installs. Oracles: the `packaging` library, the installed distributions' own metadata, make itself."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(r) for r in PROJECT["dependencies"]]
DEV = [Requirement(r) for r in PROJECT["optional-dependencies"]["dev"]]


def test_both_commands_are_the_same() -> None:
    assert PROJECT["scripts"] == {"muscle": "muscle.cli.main:main", "muscle-xray": "muscle.cli.main:main"}


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "muscle", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stdout


def test_torch_of_the_field_is_allowed() -> None:
    allowed = {r.name: r.specifier for r in CORE}
    assert allowed["torch"].contains("2.11.0")
    assert allowed["torchvision"].contains("0.26.0")


def test_the_gpl_decoder_is_left_to_the_user() -> None:
    assert "pylibjpeg-libjpeg" not in {r.name for r in CORE + DEV}
    assert "pylibjpeg-libjpeg" not in (ROOT / "requirements" / "dev.txt").read_text()


def _imported() -> set[str]:
    """The top-level modules that the sources import, anywhere in a file."""
    found: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def test_everything_that_is_imported_is_required() -> None:
    required = {canonicalize_name(r.name) for r in CORE}
    providers = metadata.packages_distributions()
    for module in sorted(_imported()):
        top = module.partition(".")[0]
        if top == "muscle" or top in sys.stdlib_module_names:
            continue
        names = {canonicalize_name(n) for n in providers.get("ruamel" if top == "ruamel" else top, [])}
        assert names & required or top == "pydantic_core", (
            f"{module} comes from {names or 'nowhere'}: require it"
        )


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    "target", ["demo", "test", "test-all", "real", "check", "format", "bench", "lock", "audit", "clean"]
)
def test_the_targets_are_there(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_real_says_what_to_set(tmp_path: Path) -> None:
    ready = tmp_path / ".ready"
    ready.touch()  # newer than the requirements: nothing is installed
    call = ["make", "--no-print-directory", "real", f"READY={ready}"]
    env = {k: v for k, v in os.environ.items() if k != "MUSCLE_REAL_DATA"}
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, env=env, check=False)
    assert done.returncode != 0
    assert "MUSCLE_REAL_DATA is not set" in done.stderr


def test_ci_is_the_check_the_audit_and_the_tests_in_a_fresh_environment() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    lines = script.read_text().splitlines()
    audit = next(line for line in lines if ".ci/audit.py requirements/*.txt" in line)
    order = [
        lines.index(line) for line in ("set -euo pipefail", "rm -rf .venv", "make check", audit, "make test")
    ]
    assert order == sorted(order)


def test_citation_and_changelog() -> None:
    cited = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (PROJECT["version"], PROJECT["license"])
    said = {r.get("doi") or r["identifiers"][0]["value"] for r in cited["references"]}
    assert said == {"arXiv:2310.02000", "10.1109/TAI.2024.3400750", "arXiv:2311.17597"}
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_the_python_that_runs_this_is_supported() -> None:
    version = default_environment()["python_full_version"]
    assert Requirement(f"x{PROJECT['requires-python']}").specifier.contains(version)
