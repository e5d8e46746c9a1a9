"""One thing that ``muscle verify`` looks at: a file against its hash, a seal, a checkpoint, a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muscle import paths
from muscle.data.intact import check_manifest
from muscle.data.seen import POOL_FILE, read_seen
from muscle.data.store import MANIFEST, Store
from muscle.errors import UserError
from muscle.progress import SILENT, Progress
from muscle.rescoring import difference
from muscle.seal import is_sealed, unsealed

OLD = "no hash (written by an older version)"
UNSEALED = "its seal is gone"
GONE = "not kept"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        kind: results, predictions, checkpoint, store ...
        file: in the run's folder, or its whole path.
        verdict: ``ok``, what is wrong, or why it cannot be told.
        holds: None where there is nothing to hold it against, which is no fault.
    """

    kind: str
    file: str
    verdict: str = "ok"
    holds: bool | None = True


@dataclass
class Looked:
    """A run's folder that is looked at; ``store``: where the stores lie now, if not where the run had them."""

    out: Path
    store: Path | None = None
    progress: Progress = SILENT
    _sums: dict[Path, str] = field(default_factory=dict)  # recipes share stages: each file is read once

    def file(self, kind: str, name: str, sha256: str | None) -> Check:
        """A file of the run, or one by its whole path, against its SHA-256."""
        path = self.out / name
        if not path.is_file():
            return Check(kind, name, "missing", False)
        if not sha256:
            return Check(kind, name, OLD, None)
        if path not in self._sums:
            self._sums[path] = paths.sha256_file(path)
        same = self._sums[path] == sha256
        return Check(kind, name, "ok" if same else "changed since it was written", same)

    def sealed(self, kind: str, name: str) -> tuple[dict[str, Any], Check]:
        """The content of a sealed file, empty where it cannot be read, and how it stands with its seal."""
        file = self.out / name
        try:
            data = unsealed(file.read_bytes())
        except (OSError, ValueError) as error:
            return {}, Check(kind, name, str(error), False)
        return data, Check(kind, name) if is_sealed(file) else Check(kind, name, UNSEALED, False)

    def seen(self, name: str) -> Check:
        """A list of films that weights have seen, against the checksum in it."""
        try:
            read_seen(self.out / name)
        except UserError as error:
            return Check("films seen", name, str(error).partition(": ")[2], False)
        return Check("films seen", name)

    def folder(self, key: str) -> Path:
        """Where the checkpoint of a key lies, or has lain."""
        return paths.checkpoints(self.out) / key[:16]

    def checkpoint(self, key: str, said: Mapping[str, Any] = {}) -> Iterator[Check]:
        """Every file of a finished stage, and what the run has written down of it.

        Args:
            said: of ``minutes``, ``sha256`` (of the backbone), ``valid``.
        """
        folder = self.folder(key)
        if not folder.is_dir():
            yield Check("checkpoint", str(folder), GONE, None)
            return
        about, check = self.sealed("checkpoint", f"{folder}/stage.json")
        if check.holds is False:
            yield check
            return
        again = {"key": about["key"], "minutes": about["minutes"], "sha256": about["files"]["backbone.safetensors"],
                 "valid": about["best"]["valid"]}  # fmt: skip
        if different := difference({"key": key, **said}, again):
            check = Check(check.kind, check.file, f"not that of the run: {different}", False)
        yield check
        for name, sha256 in about["files"].items():
            yield self.file("checkpoint", f"{folder}/{name}", sha256)
        if (folder / POOL_FILE).is_file():
            yield self.seen(f"{folder}/{POOL_FILE}")

    def stores(self, sources: list[dict[str, Any]]) -> Iterator[Check]:
        """Of each source manifest, checksums, and the digest that the run has written down."""
        for source in sources:
            if not source.get("store"):
                continue
            there = self.out / source["store"]
            path = self.store / there.name if self.store else there
            yield self._store(path, source)

    def _store(self, path: Path, source: Mapping[str, Any]) -> Check:
        if not path.is_dir():
            return Check("store", str(path), f"{GONE}, or elsewhere: give --store", None)

        def read(done: int, total: int) -> None:
            self.progress.count(f"verify store {source['name']}", done, total, "MB")

        try:
            opened = Store.open(path)
            opened.verify(read)
            check_manifest(opened)
        except UserError as error:
            return Check("store", str(path), str(error).removeprefix(f"{path}: "), False)
        if not is_sealed(path / MANIFEST):
            return Check("store", str(path), f"{MANIFEST}: {UNSEALED}", False)
        digest = source.get("digest", opened.digest)
        if opened.digest != digest:
            verdict = f"another store: its digest is {opened.digest[:12]}, the run had {digest[:12]}"
            return Check("store", str(path), verdict, False)
        return Check("store", str(path))
