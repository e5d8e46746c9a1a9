"""The results of a run: one JSON file, rewritten whole after every cell, so that an interruption loses none."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from muscle.checkpoint import Checkpoint
from muscle.data.audit import compared, kept_back, refuse, seen_by_weights
from muscle.data.corpus import Corpus
from muscle.data.levels import trained_levels, unlike
from muscle.data.seen import read_seen
from muscle.errors import UserError
from muscle.forgetting import forgetting
from muscle.machine import Machine
from muscle.parts import digest
from muscle.paths import atomic_write, sha256_file, sweep
from muscle.predictions import Predictions
from muscle.provenance import provenance
from muscle.recipe import Recipe, Weights
from muscle.report.reading import AGAIN, VERSION, check_paths, fault_of
from muscle.seal import sealed, unsealed

SAME = ("recipe", "backbone", "task", "seed")  # what tells cells apart
# What an entry must say of itself to be found again.
NEEDED = {"sources": (), "cells": SAME, "missing": SAME, "stages": ("recipe", "backbone", "key"),
          "forgetting": (), "probes": ("start", "backbone", "features", "predictions", "data"),
          "embeddings": ("start", "backbone", "features", "data")}  # fmt: skip


def place(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a cell from others."""
    return tuple(cell[k] for k in SAME)


def lost_in(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a continual stage forgot and passed on, by its ``stage.json``; empty of a stage without turns to compare."""
    looks = [entry for entry in about["matrix"] if entry.get("shared")]
    turns = [entry for entry in looks if entry["turn"] >= 0]
    if not turns:
        return {}
    start = looks[0].get("frozen", {}) if looks[0]["turn"] < 0 else {}
    return {"steps": about["steps"], "replayed": about.get("replayed", 0), **forgetting(turns, start)}


def _content(data: Mapping[str, Any]) -> str:
    """Everything but who computed it."""
    return json.dumps({part: value for part, value in data.items() if part != "provenance"}, sort_keys=True)


class Results:
    """``OUT/results.json``: provenance, sources, cells, stages, forgetting, probes. See ``docs/results-format.md``.

    Several processes may fill one file: each change is made to the file as it then is, under a lock.
    """

    def __init__(self, out: Path, title: str, synthetic: bool, machine: Machine) -> None:
        """Continues the file that is there, or begins one; what a killed process left half-written goes."""
        sweep(out)
        self.out = out
        self.since = time.monotonic()
        self.head: dict[str, Any] = {
            "title": title,
            "synthetic": synthetic,
            "provenance": provenance(machine),
        }
        if not title:
            self.head.pop("title")
        self.data: dict[str, Any] = {
            "title": "Results", "version": VERSION,
            **{part: [] for part in ("sources", "cells", "missing", "stages", "forgetting")},
        } | self.head  # fmt: skip
        self.before = 0.0  # seconds of other runs and processes
        self.refresh()

    def _read(self) -> dict[str, Any] | None:
        file = self.out / "results.json"
        if not file.is_file():
            return None
        try:
            found = unsealed(file.read_bytes())
        except ValueError as error:
            raise UserError(f"{file}: damaged ({error}); {AGAIN}") from None
        if fault := fault_of(found, NEEDED):
            raise UserError(f"{file}: {fault}; {AGAIN}")
        check_paths(self.out, found)
        return found

    def refresh(self) -> dict[str, Any] | None:
        """Takes over what other processes have written, and returns it; title and provenance stay this one's."""
        if (found := self._read()) is not None:
            self.before = float(found.get("provenance", {}).get("wall_s", 0.0))
            self.data = {"missing": []} | found | self.head
        return found

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The file as it is now, to be changed; it is replaced at the end. Its provenance is of who changed it last."""
        self.out.mkdir(parents=True, exist_ok=True)
        with FileLock(self.out / ".results.lock"):
            there = self.refresh()
            yield self.data
            now = time.monotonic()
            self.before, self.since = self.before + now - self.since, now
            whole = self.data
            if there is not None and _content(there) == _content(
                whole
            ):  # found again: computed by what is named there
                whole = whole | {"provenance": dict(there["provenance"])}
            whole["provenance"]["wall_s"] = round(self.before, 1)
            atomic_write(self.out / "results.json", sealed(whole))

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Counts the time of what is done within, also where it is interrupted before it gave a result."""
        try:
            yield
        finally:
            with self.changing():
                pass

    def cell(self, recipe: str, backbone: str, task: str, seed: int) -> dict[str, Any] | None:
        """The cell that is there."""
        mine = (recipe, backbone, task, seed)
        return next((c for c in self.data["cells"] if place(c) == mine), None)

    def put_cell(self, cell: dict[str, Any]) -> None:
        """Adds a cell, or replaces the one of the same recipe, backbone, task and seed."""
        with self.changing() as data:
            cells = {place(c): c for c in data["cells"]} | {place(cell): cell}
            data["cells"] = list(cells.values())
            data["missing"] = [c for c in data["missing"] if place(c) != place(cell)]

    def put_missing(self, cell: dict[str, Any]) -> None:
        """Says of a cell why it has no scores: ``status`` and ``why``."""
        with self.changing() as data:
            data["cells"] = [c for c in data["cells"] if place(c) != place(cell)]
            data["missing"] = [c for c in data["missing"] if place(c) != place(cell)] + [cell]

    def put_grid(self, asked: list[dict[str, Any]]) -> None:
        """Names every cell that was asked for and is not there; what was said of one before stays."""
        with self.changing() as data:
            there = {place(c) for c in data["cells"]}
            before = {place(c): c for c in data["missing"]}
            data["missing"] = [before.get(place(c), c) for c in asked if place(c) not in there]

    def drop_cells(self, stale: Callable[[dict[str, Any]], bool]) -> int:
        """Takes cells out of the table, for a table never mixes settings or data; how many.

        Their models stay, found by key when their settings come back.
        """
        if not any(stale(cell) for cell in self.data["cells"]):
            return 0
        with self.changing() as data:
            kept = [cell for cell in data["cells"] if not stale(cell)]
            dropped = len(data["cells"]) - len(kept)
            data["cells"] = kept
        return dropped

    def probe(self, mine: dict[str, Any]) -> dict[str, Any] | None:
        """The probe of frozen features that is there with these fields, its predictions too, and whole."""
        found = next((e for e in self.data.get("probes", []) if mine.items() <= e.items()), None)
        return found if found and self.ids_of(found) is not None else None

    def ids_of(self, entry: Mapping[str, Any], field: str = "predictions") -> list[str] | None:
        """The cases of the predictions that a cell or probe names, if they are as they were written."""
        return Predictions.ids_in(self.out / entry.get(field, ""), entry.get(f"{field}_sha256", ""))

    def has_log(self, stage: Mapping[str, Any]) -> bool:
        """Whether the log of a stage lies here as it was copied."""
        file = self.out / stage.get("log", "")
        return file.is_file() and stage.get("log_sha256") in (None, sha256_file(file))

    def put_file(self, name: str, text: str) -> None:
        """Writes a file beside the results, and its SHA-256 into them."""
        atomic_write(self.out / name, text)
        with self.changing() as data:
            data["files"] = data.get("files", {}) | {name: sha256_file(self.out / name)}

    def put_probe(self, entry: dict[str, Any]) -> None:
        """Adds a probe of frozen features, or replaces the one of the same start, task, probe, share and draw.

        Probes of other features of this start leave the table.
        """
        self._put("probes", ("task", "probe", "share", "draw"), entry)

    def put_embedding(self, entry: dict[str, Any]) -> None:
        """Adds the picture of a start's features, or replaces it."""
        self._put("embeddings", (), entry)

    def _put(self, part: str, same: tuple[str, ...], entry: dict[str, Any]) -> None:
        """Replaces what an entry replaces in the file as it lies on the disk now: others may write to it meanwhile."""
        start = ("start", "backbone")
        with self.changing() as data:
            kept = [
                e
                for e in data.get(part, [])
                if any(e[k] != entry[k] for k in start)
                or (e["features"] == entry["features"] and any(e[k] != entry[k] for k in same))
            ]
            data[part] = [*kept, entry]

    def drop_probes(self, known: Set[str]) -> None:
        """Takes out what was found on other data than these digests: a table never mixes data."""
        if any(part in self.data for part in ("probes", "embeddings")):
            with self.changing() as data:
                for part in ("probes", "embeddings"):
                    data[part] = [e for e in data.get(part, []) if e["data"] in known]

    def put_sources(self, corpus: Corpus, tested: bool = False) -> None:
        """Table 1 as counted here, and what identifies the data; ``tested``: all of it is, whatever its part."""
        rows = []
        for store in corpus.stores:
            source = corpus.file.sources[store.name]
            splits = {"test": len(store)} if tested else store.counts("split")
            modalities = store.counts("modality")
            parts = sorted(set(store.counts("body_part")) - {""})
            rows.append({
                "name": store.name, "kind": source.kind, "body_part": ", ".join(parts),
                "modality": ", ".join(modalities),
                "targets": [t.name for t in store.targets], "external": source.external,
                **{part: splits.get(part, 0) for part in ("train", "valid", "test")}, "total": len(store),
                "quarantined": len(store.quarantine), "licence": source.licence, "store": str(store.path.resolve()),
                "unnamed": 0 if "patients" in source.published else store.counts("collection").get("", 0),
                "digest": store.digest,
            })  # fmt: skip
        facts = self.head["provenance"]
        facts["data_sha256"] = digest([row["digest"] for row in rows])
        if corpus.left_out:
            facts["films excluded"] = sum(map(len, corpus.stores)) - len(corpus.all_rows)
        if corpus.file.allow_leaks:
            rules = sorted({pair.rule for pair in corpus.leaks})
            cases = len({pair.first for pair in corpus.leaks})
            facts["leaks allowed"] = (
                f"{cases} test or validation films were seen in training, so scores flatter"
                + (f" (same {', '.join(rules)})" if rules else "")
            )
        with self.changing() as data:
            data["sources"] = rows

    def put_start(self, recipe: Recipe, corpus: Corpus) -> str:
        """Which file of weights a recipe starts from, by its SHA-256, and whether it has seen tested films.

        Returns:
            What must be warned of: films that do not look like those that the weights were trained on.

        Raises:
            UserError: it has, pixel for pixel or in the same person; with ``allow_leaks`` this goes to the provenance.
        """
        facts = self.head["provenance"]
        if recipe.stages:
            facts["films pre-trained on"] = len(corpus.pool)
        if not isinstance(recipe.init, Weights):
            return ""
        facts[f"start of {recipe.name}"] = f"{Path(recipe.init.file).name}, sha256 {recipe.init.identity()}"
        seen, rows = read_seen(Path(recipe.init.file)), corpus.all_rows
        leaks = seen_by_weights(rows, seen)
        if not corpus.file.allow_leaks:
            refuse(leaks, f" --from {Path(recipe.init.file).parent}")
        facts[f"leak check of {recipe.name}"] = (
            f"tested films compared with those that its weights have learned from: {compared(kept_back(rows), seen)}"
        )
        if leaks:
            facts[f"leak of {recipe.name}"] = (
                f"{recipe.name} was pre-trained on {len(leaks)} validation or test films, so its scores flatter"
            )
        other = unlike(rows, recipe.normalization, trained_levels(Path(recipe.init.file)))
        facts |= {f"grey levels of {recipe.name}": other} if other else {}
        return f"warning: {recipe.name}: {other}" if other else ""

    def put_stages(self, recipe: Recipe, made: list[Checkpoint]) -> None:
        """The stages of a recipe, their logs copied here, and the forgetting of the continual ones."""
        mine = {"recipe": recipe.name, "backbone": recipe.backbone.architecture}
        told = mine | {"title": recipe.title or recipe.name}
        stages, lost = [], []
        for checkpoint in made:
            about = checkpoint.about
            log = f"logs/{recipe.name}-{mine['backbone']}-{about['stage']['name']}.jsonl"
            atomic_write(self.out / log, checkpoint.log_file.read_bytes())
            stages.append({
                **mine, "name": about["stage"]["name"], "key": about["key"], "minutes": about["minutes"],
                "sha256": checkpoint.sha256, "log": log, "log_sha256": sha256_file(self.out / log),
                "mixed": checkpoint.mixed, "skipped": about["skipped"],
            })  # fmt: skip
            if found := lost_in(about):
                lost.append(told | found)
        with self.changing() as data:
            for part, new in (("stages", stages), ("forgetting", lost)):
                kept = [entry for entry in data[part] if not mine.items() <= entry.items()]
                data[part] = kept + new
