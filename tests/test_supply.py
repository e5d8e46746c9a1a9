"""What is installed for development: locked by hash, and audited.

Oracles: the `packaging` library, the metadata of what is installed, pip and make themselves, what pip-audit printed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
WANTED = {
    "dev": PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"] + EXTRAS["dev"],
    "bench": PYPROJECT["project"]["dependencies"] + EXTRAS["bench"],
    "supply": PYPROJECT["dependency-groups"]["supply"],
}
PYTHONS = [  # those of the classifiers, on the platform of the classifiers
    {
        "python_version": v,
        "python_full_version": f"{v}.1",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    for v in ("3.11", "3.12", "3.13")
]


def _locked(name: str) -> list[tuple[Requirement, list[str]]]:
    """The requirements of a lock and their hashes; every line must be one, a hash of one, or a comment."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.lstrip().startswith("#"):
            continue
        requirement, *hashes = line.split("--hash=")
        found.append((Requirement(requirement), [h.strip() for h in hashes]))
    return found


LOCKS = {name: _locked(name) for name in WANTED}


def _here(name: str, **python: str) -> dict[str, str]:
    """Name -> version of what a lock installs on one Python: here, or on the one that is described."""
    chosen: dict[str, str] = {}
    for requirement, _ in LOCKS[name]:
        if requirement.marker is None or requirement.marker.evaluate(python or None):
            (pin,) = requirement.specifier
            assert pin.operator == "==", requirement
            assert chosen.setdefault(canonicalize_name(requirement.name), pin.version) == pin.version
    return chosen


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS, ids=lambda p: p["python_version"])
def test_all_that_is_required_is_locked_within_its_range(lock: str, python: dict[str, str]) -> None:
    chosen = _here(lock, **python)
    for requirement in map(Requirement, WANTED[lock]):
        assert "==" not in str(requirement.specifier), f"{requirement}: pyproject.toml has ranges, not pins"
        assert requirement.specifier.contains(chosen[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    assert LOCKS[lock]
    for requirement, hashes in LOCKS[lock]:
        assert hashes, f"{requirement}: no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_index_and_no_folder(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-(?!-hash=)|index|find-links|(^|\s)[~/]\w|\w@", text, re.MULTILINE)


def test_benchmarks_run_with_the_versions_that_are_tested() -> None:
    dev, bench = _here("dev"), _here("bench")
    assert {n: v for n, v in bench.items() if n in dev} == {n: v for n, v in dev.items() if n in bench}


def _needed(names: list[str]) -> dict[tuple[str, str], Requirement]:
    """What installed packages say that they need here, and what those need: (who, whom) -> requirement."""
    needs: dict[tuple[str, str], Requirement] = {}
    todo = [("pyproject.toml", Requirement(n)) for n in names]
    while todo:
        who, requirement = todo.pop()
        key = (who, str(requirement))
        if key in needs:
            continue
        needs[key] = requirement
        for line in metadata.requires(requirement.name) or []:
            one = Requirement(line)
            if one.marker is None or any(
                one.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)
            ):
                todo.append((requirement.name, one))
    return needs


def test_what_the_packages_need_is_locked_too() -> None:
    """Since pip is told to take nothing but the lock, it must hold all that is needed: asked of their own metadata."""
    chosen = _here("dev")
    here = _installed()
    other = {n for n, v in chosen.items() if here.get(n) != v}
    if other:
        pytest.skip(f"not the locked versions here: {sorted(other)}")
    needs = _needed(WANTED["dev"])
    for (who, _), requirement in needs.items():
        assert requirement.specifier.contains(chosen[canonicalize_name(requirement.name)]), (
            f"{who}: {requirement}"
        )
    assert chosen.keys() == {canonicalize_name(r.name) for r in needs.values()}, (
        "locked, and needed by nothing"
    )


def _installed() -> dict[str, str]:
    return {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()}


PERMISSIVE = re.compile(
    r"\b(0BSD|Apache|BSD|BSL-1\.0|CC0|HPND|ISC|MIT|MPL-2\.0|PSF|Python Software Foundation|Zlib)\b"
)
COPYLEFT = re.compile(r"GPL|General Public|NonCommercial|SSPL|EUPL|CC-BY-(NC|SA)", re.IGNORECASE)


def test_licences_are_permissive_all_the_way_down() -> None:
    """What a user installs, as the installed packages say. NVIDIA's libraries, which torch brings, are proprietary."""
    core = PYPROJECT["project"]["dependencies"]
    if not {canonicalize_name(Requirement(r).name) for r in core} <= _installed().keys():
        pytest.skip("not all of it is installed here")
    for name in {canonicalize_name(r.name) for r in _needed(core).values()}:
        if name.startswith(("nvidia-", "cuda-")):
            continue
        about = metadata.metadata(name)
        classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
        # The field `License` may hold a whole text; its first line names it where nothing else does.
        field = (about.get("License") or "").strip().partition("\n")[0]
        said = about.get("License-Expression") or " ".join(classifiers) or field
        assert PERMISSIVE.search(said), f"{name}: {said!r}"
        assert not COPYLEFT.search(said), f"{name}: {said!r}"


def _wheel(folder: Path, code: str) -> str:
    """Writes a wheel of one module, and gives its SHA-256."""
    about = "tiny-1.0.dist-info/"
    files = {
        "tiny.py": code,
        about + "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        about + "WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[about + "RECORD"] = "".join(f"{name},,\n" for name in [*files, about + "RECORD"])
    file = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as out:
        for name, text in files.items():
            out.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _make(*words: str) -> str:
    """The commands that make would run, all of them."""
    call = ["make", "--always-make", "--dry-run", "--no-print-directory", *words]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_a_wheel_changed_by_a_byte_is_refused(tmp_path: Path) -> None:
    """Installed as the Makefile installs, from a folder: the wheel that was locked is taken, any other is not."""
    options = re.search(r"python -m pip (install .*) -r requirements/dev.txt", _make("check"))
    assert options
    was = _wheel(tmp_path, "answer = 1\n")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"tiny==1.0 --hash=sha256:{was}\n")
    call = [sys.executable, "-m", "pip", *options[1].split(), "--no-index", "--find-links", str(tmp_path)]
    call += ["--no-cache-dir", "-r", str(lock), "--target"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")} | {"PIP_CONFIG_FILE": os.devnull}

    done = subprocess.run(
        [*call, str(tmp_path / "first")], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "first" / "tiny.py").is_file()

    assert _wheel(tmp_path, "answer = 2\n") != was
    done = subprocess.run(
        [*call, str(tmp_path / "second")], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "second").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("target", ["check", "test", "demo", "bench", "lock", "audit"])
def test_make_installs_nothing_that_is_not_locked(target: str) -> None:
    installs = [line for line in _make(target).splitlines() if "pip install" in line]
    assert installs
    for line in installs:
        ours = line.endswith(" --no-deps --no-build-isolation -e .")
        assert ours or {"--require-hashes", "--no-deps", "--only-binary"} <= set(line.split()), line


def _audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOLE = '{"id": "CVE-2026-1", "fix_versions": ["99.0"], "aliases": ["GHSA-xxxx"], "description": "s"}'
HOLED = '{"name": "msgpack", "version": "1.2.4", "vulns": [%s]}' % HOLE  # noqa: UP031
CLEAN = '{"name": "pip", "version": "26.3", "vulns": []}'
UNKNOWN = (
    '{"name": "six", "skip_reason": "Dependency not found on PyPI and could not be audited: six (1.17.0)"}'
)


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([CLEAN], 0, "no known vulnerability in 1 packages"),
        ([CLEAN, HOLED], 1, "msgpack 1.2.4: CVE-2026-1, mended in 99.0"),
        ([UNKNOWN, HOLED], 1, "msgpack 1.2.4: CVE-2026-1, mended in 99.0"),
        ([CLEAN, UNKNOWN], 3, "NOT AUDITED: the service knows nothing of 1 of 2 packages"),
        (None, 3, "NOT AUDITED: no service of known vulnerabilities answers"),
    ],
    ids=["clean", "found", "found beside unknown", "unknown", "no network"],
)
def test_what_the_audit_makes_of_an_answer(packages: list[str] | None, code: int, line: str) -> None:
    """Answers that pip-audit 2.10 gave: of a service that we ran, of one that knew nothing, and without a network."""
    answer = "" if packages is None else '{"dependencies": [%s], "fixes": []}\n' % ", ".join(packages)  # noqa: UP031
    assert _audit().verdict(answer) == (code, [line])
