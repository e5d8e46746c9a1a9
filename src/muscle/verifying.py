"""``muscle verify``: every hash of a run computed again, every saved prediction scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from muscle import artefacts, external
from muscle.checks import Check, Looked
from muscle.data.seen import POOL_FILE
from muscle.errors import UserError
from muscle.progress import SILENT, Progress
from muscle.report.page import SUFFIXES
from muscle.report.reading import fault_of
from muscle.rescoring import cell_again, difference, of_other_method, probe_again
from muscle.results import NEEDED, lost_in

Data = dict[str, Any]


def verify(out: Path, store: Path | None = None, progress: Progress = SILENT) -> list[Check]:
    """Looks at everything that a run's folder holds or names; nothing is written.

    Args:
        out: the folder of ``run``, ``compare``, ``finetune``, ``validate``, ``probe``, ``pretrain`` or ``demo``.
        store: the folder of the stores, where they no longer lie where the run had them.

    Raises:
        UserError: neither results nor a backbone in the folder.
    """
    looked, found = Looked(out, store, progress), list[Check]()
    for kind, name, named in (
        ("results", "results.json", _results),
        ("backbone", "backbone.json", _pretrained),
    ):
        if (out / name).is_file():
            found += _named(looked, kind, name, named)
    if not found:
        what = "no results.json or backbone.json here" if out.is_dir() else "no such folder"
        raise UserError(f"{out}: {what}; give the folder of a run (`muscle ls` names them)")
    return list(dict.fromkeys(found))  # recipes share stages


def _named(
    looked: Looked, kind: str, name: str, named: Callable[[Looked, Data], Iterator[Check]]
) -> Iterator[Check]:
    """The sealed file, and if it is as it was written all that it names."""
    data, check = looked.sealed(kind, name)
    if check.holds is not False and kind == "results" and (fault := fault_of(data, NEEDED)):
        check = Check(kind, name, fault, False)
    yield check
    if check.holds is False:
        return
    try:
        yield from named(looked, data)
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        yield Check(kind, name, f"not as muscle writes it ({type(error).__name__}: {error})", False)


def _pretrained(looked: Looked, data: Data) -> Iterator[Check]:
    """What ``pretrain`` leaves."""
    yield looked.file("backbone", "backbone.safetensors", data["sha256"])
    known: Data = dict.fromkeys(("recipe.yaml", "log.jsonl", POOL_FILE))
    for name, sha256 in (known | data.get("files", {})).items():
        yield looked.file("backbone", name, sha256)
    if (looked.out / POOL_FILE).is_file():
        yield looked.seen(POOL_FILE)
    yield from looked.checkpoint(data["key"], {"sha256": data["sha256"]})
    yield from looked.stores(data.get("sources", []))


def _results(looked: Looked, given: Data) -> Iterator[Check]:
    """What all other commands leave."""
    data: Data = {part: [] for part in NEEDED} | given
    for name, sha256 in data.get("files", {}).items():
        yield looked.file("recipe", name, sha256)
    for part, kind, again in (("cells", "cell", cell_again), ("probes", "probe", probe_again)):
        for number, entry in enumerate(data[part], 1):
            looked.progress.count("score again", number, len(data[part]), part)
            yield from _predictions(looked, entry, kind, again)
    for entry in data["embeddings"]:
        yield looked.file("embedding", entry["file"], entry.get("sha256"))
    for stage in data["stages"]:
        if stage.get("log"):
            yield looked.file("log", stage["log"], stage.get("log_sha256"))
        yield from looked.checkpoint(stage["key"], {k: stage[k] for k in ("minutes", "sha256") if k in stage})
        yield from _forgetting(looked, stage, data["forgetting"])
    for cell in data["cells"]:
        said = {"valid": cell["valid"]} if "valid" in cell else {}
        for key in dict.fromkeys([cell.get("key"), *cell.get("tried", [])]):
            if key:
                yield from looked.checkpoint(key, said if key == cell["key"] else {})
        yield from _model(looked, cell)
    yield from looked.stores(data["sources"])
    yield from _made(looked, given)


def _predictions(
    looked: Looked, entry: Data, kind: str, again: Callable[[Path, Data], str]
) -> Iterator[Check]:
    """The files of a cell or probe, and its scores."""
    fields = [field for field in ("predictions", "predictions_valid") if entry.get(field)]
    if not fields:
        yield Check(kind, str(entry.get("task")), "no predictions were kept", None)
        return
    files = [looked.file("predictions", entry[field], entry.get(f"{field}_sha256")) for field in fields]
    yield from files
    if any(file.verdict == "missing" for file in files):
        return
    try:
        different = again(looked.out, entry)
    except UserError as error:
        different = str(error)
    what = f"scores of a {kind}"
    if different:
        yield Check(what, entry["predictions"], f"not those of the predictions: {different}", False)
    elif of_other_method(entry):
        yield Check(what, entry["predictions"], "ok, values alone: intervals by another version's method")
    else:
        yield Check(what, entry["predictions"])


def _forgetting(looked: Looked, stage: Data, told: list[Data]) -> Iterator[Check]:
    """What a stage forgot, from the looks in its checkpoint."""
    about = looked.sealed("", f"{looked.folder(stage['key'])}/stage.json")[0]
    mine = [e for e in told if (e["recipe"], e.get("backbone")) == (stage["recipe"], stage.get("backbone"))]
    if about and mine and (again := lost_in(about)):
        each = [difference({k: entry[k] for k in again if k in entry}, again) for entry in mine]
        verdict = "ok" if "" in each else f"not that of its checkpoint: {each[0]}"
        yield Check("forgetting", f"{stage['recipe']} {stage['name']}", verdict, "" in each)


def _model(looked: Looked, cell: Data) -> Iterator[Check]:
    """What ``muscle validate`` goes by: beside those fine-tuned models that were kept."""
    folder = looked.folder(cell.get("key") or "-")
    name, films = f"{folder}/{external.FILE}", folder / POOL_FILE
    if not Path(name).is_file() and not films.is_file():
        return
    about, check = looked.sealed("model", name)
    if not about:
        yield check
        return
    said = {k: about[k] for k in ("threshold", "temperature", "train_images")} | {
        k: about["target"][k] for k in ("kind", "classes", "exclusive")
    }
    if not cell.get("external"):  # which names the model and its target as it likes
        said |= {k: about[k] for k in ("title", "task", "seed")}
    if different := difference({k: said[k] for k in said if k in cell}, cell):
        check = Check("model", name, f"not that of the run: {different}", False)
    yield check
    yield looked.file("films seen", str(films), about["seen_sha256"])


def _made(looked: Looked, data: Data) -> Iterator[Check]:
    """Tables, report and cases: as they were written, and of these results."""
    if not (looked.out / artefacts.FILE).is_file():
        for name in ("report.html", "cases.parquet"):
            if (looked.out / name).is_file():
                yield Check("report", name, f"{artefacts.FILE} is missing, with its hash", False)
        return
    about, check = looked.sealed("report", artefacts.FILE)
    yield check
    known = set()
    for maker, entry in about.get("made", {}).items():
        again = f"muscle report {looked.out}" if maker == "report" else "the command of the run"
        for name, sha256 in entry["files"].items():
            known.add(name)
            check = looked.file(maker, name, sha256)
            if check.holds and entry["results"] != artefacts.identity(data):
                check = Check(
                    maker, name, f"made from other results than these; `{again}` makes it again", False
                )
            yield check
    for file in sorted((looked.out / "tables").glob("*")):
        name = file.relative_to(looked.out).as_posix()
        if about and file.suffix in SUFFIXES and name not in known:
            yield Check("report", name, "no table of the report", False)
