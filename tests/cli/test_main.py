"""The command line: what is refused and how, what every verb says of itself, JSON that parses."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import command
import pytest
import typer
from typer.main import get_command

from muscle import __version__, doctor
from muscle.cli import main as cli
from muscle.errors import UserError
from muscle.recipes import RECIPES


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight films."""
    root = tmp_path_factory.mktemp("cli") / "films"
    command.films(root, 8)
    return root


def verbs() -> list[tuple[str, ...]]:
    """Every verb of the command line."""
    top = get_command(cli.app).commands  # type: ignore[attr-defined]
    return [(v,) for v in top if v != "data"] + [("data", v) for v in top["data"].commands]


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_has_help_with_an_example(verb: tuple[str, ...]) -> None:
    assert f"Example: muscle {' '.join(verb)}" in command.muscle(*verb, "--help").done()


def test_version() -> None:
    assert command.muscle("--version").done().strip() == __version__


@pytest.mark.parametrize("words", [(), ("data",)], ids=["muscle", "muscle data"])
def test_alone_it_prints_its_help(words: tuple[str, ...]) -> None:
    ended = command.muscle(*words)
    assert ended.code == 2 and "Usage: muscle" in ended.out + ended.err


MISUSE = {
    "no source": ("pretrain",),
    "an option that is not there": ("doctor", "--nope"),
    "a verb that is not there": ("pretrian", "FILMS"),
    "threads below 0": ("pretrain", "FILMS", "--threads", "-1"),
    "a number that is none": ("pretrain", "FILMS", "--threads", "two"),
    "an unknown preset": ("pretrain", "FILMS", "--preset", "huge"),
    "an unknown backbone": ("pretrain", "FILMS", "--backbone", "vgg"),
    "an unknown method": ("pretrain", "FILMS", "--method", "mocco"),
    "a method without stage": ("pretrain", "FILMS", "--method", "scratch"),
    "a recipe file that is not there": ("pretrain", "FILMS", "--method", "nowhere.yaml"),
    "a field that is not there": ("pretrain", "FILMS", "--set", "stages.0.schedule.epoch=1"),
    "an override without value": ("pretrain", "FILMS", "--set", "size"),
    "an override of another type": ("pretrain", "FILMS", "--set", "seed=many"),
    "an unknown device": ("pretrain", "FILMS", "--device", "tpu9"),
    "an unknown kind of source": ("pretrain", "kermanny=FILMS"),
    "a size that is none": ("data", "prepare", "FILMS", "--size", "800"),
    "a size too small": ("data", "prepare", "FILMS", "--size", "8x8"),
    "an unknown fit": ("data", "prepare", "FILMS", "--fit", "crop"),
    "an unknown kind to show": ("data", "show", "kermanny"),
    "nothing to compare": ("compare", "FILMS"),
    "a start that is not there": ("compare", "FILMS", "--from", "scratch,nowhere"),
    "an unknown task": ("compare", "FILMS", "--from", "scratch", "--tasks", "regression"),
    "nothing to leave out": ("compare", "FILMS", "--recipes", "md-moco", "--leave-one-task-out"),
    "no job of so many": ("compare", "FILMS", "--from", "scratch", "--cell", "3/3"),
    "a backbone twice": ("compare", "FILMS", "--from", "scratch", "--backbone", "resnet18,resnet18"),
    "no seed": ("compare", "FILMS", "--from", "scratch", "--seeds", "0"),
    "an unknown recipe": ("run", "musle", "--data", "FILMS"),
    "no data": ("run", "muscle"),
    "an unknown recipe to show": ("show", "musle"),
    "a plug-in that is not there": ("--plugin", "nowhere.py", "show"),
    "features from nowhere": ("embed", "FILMS", "--from", "nowhere"),
    "a folder to scan that is not there": ("data", "scan", "nowhere"),
    "a folder to list that is not there": ("ls", "nowhere"),
    "memory without end": ("pretrain", "FILMS", "--plan", "--memory", "inf"),
    "more threads than a machine has": ("pretrain", "FILMS", "--threads", "99999999999"),
    "no row of the bench": ("bench", "--only", "mocco"),
    "a measurement without end": ("bench", "--seconds", "inf"),
    "a measurement into a folder": ("bench", "--only", "moco", "--to", "."),
    "a measurement to nowhere": ("bench", "--only", "moco", "--to", "nowhere/x.json"),
}


@pytest.mark.parametrize("words", MISUSE.values(), ids=MISUSE)
def test_misuse_is_one_line_and_leaves_nothing(
    words: tuple[str, ...], films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command.muscle(*[word.replace("FILMS", str(films)) for word in words]).refused(2)
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.glob("runs"))


def test_what_a_misspelt_field_could_have_been(films: Path) -> None:
    line = command.muscle("pretrain", films, "--set", "stages.0.schedule.epoch=1").refused(2)
    assert "epochs_per_task" in line


FILES = {
    "not YAML": "name: [",
    "not a mapping": "- a\n",
    "an unknown field": "name: x\nsizes: [64, 64]\n",
    "an unknown kind": "name: x\ninit: {kind: imagenette}\n",
    "two mistakes at once": "name: x\nsize: [8, 8]\nseeds: []\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_recipe_file_with_a_mistake(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    command.muscle("show", tmp_path / "r.yaml").refused(2)


def test_a_recipe_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in command.muscle("show", tmp_path / "r.yaml").refused(2)


DATA = {
    "no sources": "split: patient\n",
    "an unknown kind": "sources: {a: {kind: kermanny, root: .}}\n",
    "an unknown field": "sources: {a: {kind: folder, rooot: .}}\n",
    "an unknown split": "sources: {a: {kind: folder, root: .}}\nsplit: random\n",
}


@pytest.mark.parametrize("text", DATA.values(), ids=DATA)
def test_a_data_file_with_a_mistake(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(text)
    command.muscle("pretrain", tmp_path / "d.yaml").refused(2)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shown_recipe_is_shown_again_the_same(name: str, tmp_path: Path) -> None:
    shown = command.muscle("show", name, "--preset", "small").done()
    (tmp_path / "r.yaml").write_text(shown)
    assert command.muscle("show", tmp_path / "r.yaml").done() == shown


def test_show_alone_names_every_recipe() -> None:
    assert [line.split(":")[0] for line in command.muscle("show").done().splitlines()] == list(RECIPES)


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> command.Ended:
    """The end of a command in which something raises."""

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(doctor, "doctor", broken)
    return command.muscle("doctor")


def test_an_error_of_many_lines_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Square brackets are no markup."""
    ended = raising(monkeypatch, UserError("first [red]\n  second"))
    assert ended.refused(1) == "error: first [red] second"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG, errno.EIO])
def test_an_error_of_the_system_becomes_one_line(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    line = raising(monkeypatch, OSError(code, "the reason", "/a/file")).refused(1)
    assert line.startswith("error: /a/file: the reason; ")


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError("ours"), KeyError("ours")):
        with pytest.raises(type(error), match="ours"):
            raising(monkeypatch, error)


def test_ctrl_c_says_that_the_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = raising(monkeypatch, KeyboardInterrupt())
    assert ended.code == 75 and "goes on from here" in ended.err and "Traceback" not in ended.err


def test_misuse_is_the_class_of_every_mistake_of_usage() -> None:
    """Whichever copy of click this version of typer brings."""
    assert cli.Misuse.__name__ == "UsageError" and issubclass(typer.BadParameter, cli.Misuse)


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """``muscle show muscle | head -1``: no traceback."""
    words = [sys.executable, "-m", "muscle", "show", "muscle"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as shown:
        assert shown.stdout and shown.stderr
        shown.stdout.close()
        assert shown.stderr.read() == b""


def test_json_parses(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of training commands: see end_to_end."""
    monkeypatch.chdir(tmp_path)
    for words in (("doctor",), ("ls",), ("data", "scan", films)):
        json.loads(command.muscle(*words, "--json").out)
    words = ("--preset", "demo", "--backbone", "resnet18", "--threads", "1", "--plan", "--json")
    tiny = ("--set", "size=[32,32]", "--set", "finetune=null")
    assert json.loads(command.muscle("pretrain", films, *words, *tiny).done())["images"] == 8
    plans = json.loads(command.muscle("compare", films, "--recipes", "md-moco,simclr", *words, *tiny).done())
    assert [plan["recipe"] for plan in plans] == ["md-moco", "simclr"]
    assert not list(tmp_path.iterdir())
