"""Whether sources hold what they say: counts, files, labels, boxes, masks, persons. Changes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from muscle.data.classes import classes_alike, guessed_positive
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode, image_size
from muscle.data.dicom import is_dicom
from muscle.data.disagreements import nameless, persons_in_two_parts, same_bytes
from muscle.data.faults import Fault, annotation_faults, mask_level_faults
from muscle.data.faults import refused as unreadable
from muscle.data.files import images
from muscle.data.headers import look
from muscle.data.prepare import film_job
from muscle.data.source import Source
from muscle.data.workers import films
from muscle.errors import UserError
from muscle.types import BoxList, Labels, MaskFiles, Sample, Target

THREADS = 8  # reading headers waits for the disk
SHOWN = 10  # faults of one kind, in the printed table
_OF_TARGETS = ("labels", "boxes", "mask", "value", "points")
_FEWER = "look whether files are missing or this is another release"
_RENAMED = "look whether files or folders were renamed: persons are read from their names"
_MORE = {
    "images": "look for copies: `muscle data audit` lists them",
    "patients": _RENAMED,
    "studies": _RENAMED,
}
DECODED = 64  # films of each source that are decoded unless more is asked


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one source.

    Attributes:
        name, kind: of the source.
        counts: what there is, by the names of ``Source.published``.
        published: what the publisher counts.
        decoded: films of which all pixels were looked at.
        faults: what is wrong or odd, file by file.
    """

    name: str
    kind: str
    counts: Mapping[str, int]
    published: Mapping[str, int]
    decoded: int
    faults: tuple[Fault, ...]

    @property
    def wrong(self) -> int:
        """Faults that would change results."""
        return sum(fault.level == "error" for fault in self.faults)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, complete."""
        return asdict(self) | {"errors": self.wrong, "warnings": len(self.faults) - self.wrong}

    def count_rows(self) -> list[tuple[str, str, str, str]]:
        """What to print of the counts: source, what, found, published."""
        keys = dict.fromkeys((*self.counts, *self.published))
        return [
            (
                self.name,
                key,
                f"{self.counts.get(key, 0):,}",
                f"{self.published[key]:,}" if key in self.published else "",
            )
            for key in keys
        ]

    def fault_rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """What to print of the faults, some of each kind: source, level, what, file, seen, what to do."""
        kinds: dict[tuple[str, str], list[Fault]] = defaultdict(list)
        for fault in self.faults:
            kinds[fault.level, fault.what].append(fault)
        rows = []
        for (level, what), mine in kinds.items():
            rows += [(self.name, level, what, f.path, f.seen, f.do) for f in mine[:SHOWN]]
            if len(mine) > SHOWN:
                rows.append((self.name, level, what, f"and {len(mine) - SHOWN} more", "", "--json lists all"))
        return rows


def check(
    data: DataFile,
    decoded: int | None = DECODED,
    workers: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
    decode: Decode | None = None,
) -> tuple[Checked, ...]:
    """Looks at every source of a data file.

    An error is what would change results: a file that is missing or cannot be read, an annotation that makes no
    sense, equal files with different labels, persons in two parts of a split that is used as published. The rest are
    warnings: other counts than the publisher's, files that nothing speaks of, equal files, text burned into a film.

    Args:
        data: the sources.
        decoded: films of each source, evenly spread, whose pixels and masks are decoded; None: all.
        workers: processes that decode.
        progress: called with what is being done, items done, and items in all.
        decode: how; by default as where nothing else is said.
    """
    read: dict[str, tuple[list[Sample], list[Target]]] = {}
    refused: dict[str, Fault] = {}
    for name, source in data.sources.items():
        try:
            read[name] = source.read(name)
        except UserError as error:
            said, do = str(error), "mend the folder or the source's fields"
            refused[name] = unreadable("error", "not readable as this kind", str(source.root), said, do)
    used = {file for name, (samples, _) in read.items() for file in _files(data.sources[name], samples)}
    roots = {name: source.folder.resolve() for name, source in data.sources.items()}
    found = []
    for name, source in data.sources.items():
        if name in refused:
            found.append(Checked(name, source.kind, {}, dict(source.published), 0, (refused[name],)))
            continue
        official = getattr(data.split_of(name), "kind", "") == "official"
        heard = partial(progress, name) if progress is not None else None
        others = _neighbours(name, roots)
        settings = decode or Decode()
        found.append(
            _checked(name, source, *read[name], used, others, official, decoded, settings, workers, heard)
        )
    return tuple(found)


def _checked(
    name: str,
    source: Source,
    samples: list[Sample],
    targets: list[Target],
    used: set[Path],
    others: Sequence[Path],
    official: bool,
    decoded: int | None,
    decode: Decode,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Checked:
    root = source.folder
    with ThreadPoolExecutor(THREADS) as threads:
        looked = list(threads.map(partial(_header, root), samples))
    faults = [fault for _, mine in looked for fault in mine]
    sizes = {sample.id: size for sample, (size, _) in zip(samples, looked, strict=True)}
    by_name = {target.name: target for target in targets}
    for sample in samples:
        if (size := sizes[sample.id]) is not None:
            faults += annotation_faults(root, sample, by_name, size)
    faults += _unknown(samples, targets)
    faults += _unspoken(root, used, others)
    faults += same_bytes(root, samples, official)
    faults += persons_in_two_parts(samples, official)
    faults += classes_alike(targets)
    faults += guessed_positive(source, targets)
    faults += nameless(source, samples) if targets else ()
    known = {fault.path for fault in faults if fault.level == "error"}
    asked = [sample for sample in samples if sample.picture not in known]
    some = asked if decoded is None else _spread(asked, decoded)
    jobs = [film_job(root, sample, (32, 32), decode, "stretch") for sample in some]
    for i, (sample, row) in enumerate(zip(some, films(jobs, workers), strict=True), 1):
        if isinstance(row, str):
            do = "look at it with `muscle data inspect`, get it again, or leave it out: it will be set aside"
            said = row.replace(f"{root}/", "")
            faults.append(unreadable("error", "cannot be used", sample.picture, said, do))
        else:
            faults += mask_level_faults(root, sample)
        if progress is not None:
            progress(i, len(some))
    found = counts(samples, targets)
    faults += _other_counts(source, found)
    order = sorted(faults, key=lambda f: (f.level, f.what, f.path))
    return Checked(name, source.kind, found, dict(source.published), len(some), tuple(order))


def counts(samples: Sequence[Sample], targets: Sequence[Target]) -> dict[str, int]:
    """What there is, by the names that ``Source.published`` uses."""
    found: Counter[str] = Counter({"images": len(samples), "patients": len({s.patient for s in samples})})
    if studies := {s.study for s in samples if s.study}:
        found["studies"] = len(studies)
    found.update(f"part:{s.split}" for s in samples if s.split)
    for target in targets:
        for truth in (s.annotations.get(target.name) for s in samples):
            if isinstance(truth, Labels):
                some = (name for name, v in zip(target.classes, truth.values, strict=False) if v == 1)
                found.update(f"labels:{target.name}:{name}" for name in some)
            elif isinstance(truth, BoxList):
                known = [label for label in truth.label if 1 <= label <= len(target.classes)]
                found[f"boxes:{target.name}"] += len(known)
                found.update(f"boxes:{target.name}:{target.classes[label - 1]}" for label in known)
            elif truth is not None:
                found[f"{target.kind}:{target.name}"] += 1
    return dict(found)


def _other_counts(source: Source, found: Mapping[str, int]) -> Iterator[Fault]:
    """Where counts differ from the publisher's; of a subset, that it is one, and what there is too much of.

    Counts are the publisher's names for targets: under ``rename`` or ``targets`` only some can be compared.
    """
    renamed = {new: old for old, new in source.rename.items()}
    mine: Counter[str] = Counter()
    for key, n in found.items():
        head, *rest = key.split(":", 2)
        mine[
            ":".join([head, *(renamed.get(word, word) if i == 0 else word for i, word in enumerate(rest))])
        ] = n
    have, all_of_them = mine["images"], source.published.get("images", 0)
    subset = have < all_of_them
    if subset:
        seen, do = (
            f"a subset: {have:,} of {all_of_them:,} published images",
            "nothing, if that is how it is meant",
        )
        yield Fault("warning", "other count than published", "images", seen, do)
    for key, wanted in source.published.items():
        head = key.partition(":")[0]
        if source.targets is not None and head in _OF_TARGETS:
            continue
        if mine[key] > wanted or (mine[key] < wanted and not subset):
            do = _FEWER if mine[key] < wanted else _MORE.get(head, "look whether this is another release")
            yield Fault("warning", "other count than published", key, f"{mine[key]:,} of {wanted:,}", do)


def _header(root: Path, sample: Sample) -> tuple[tuple[int, int] | None, list[Fault]]:
    """Width and height of a film, and what its header tells."""
    file = root / sample.path
    if not file.is_file():
        return None, [Fault("error", "missing file", sample.picture, "listed but not there", "get it again")]
    try:
        size = image_size(file, sample.frame)
        dicom = is_dicom(file)
    except UserError as error:
        said, do = str(error).removeprefix(f"{file}: "), "get it again, or leave it out"
        return None, [unreadable("error", "unreadable file", sample.picture, said, do)]
    faults: list[Fault] = []
    if sample.frame > 1:  # what a header says of its file is said once
        return size, faults
    if dicom and _burned_in(file):
        do = "look at it: names in the picture cannot be removed by deleting the header"
        faults.append(Fault("warning", "text burned in", sample.path, "the header says so", do))
    if dicom and (problem := look(root, sample.path, several=sample.frame > 0).problem):
        do = "leave it out: `muscle data scan` proposes a data file that does"
        faults.append(Fault("warning", "no radiograph", sample.path, problem, do))
    return size, faults


def _burned_in(file: Path) -> bool:
    from pydicom import dcmread

    try:
        header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=["BurnedInAnnotation"])
    except Exception:  # image_size has read what matters
        return False
    return str(header.get("BurnedInAnnotation") or "").upper() == "YES"


def _files(source: Source, samples: Iterable[Sample]) -> Iterator[Path]:
    """Every file that the records speak of."""
    root = source.folder.resolve()
    for sample in samples:
        yield root / sample.path
        for truth in sample.annotations.values():
            if isinstance(truth, MaskFiles):
                yield from (root / path for path, _ in truth.files)


def _unknown(samples: Sequence[Sample], targets: Sequence[Target]) -> Iterator[Fault]:
    """Images that nothing is known of, in a source that teaches something; more than half: that is how it is meant."""
    bare = [sample.picture for sample in samples if not sample.annotations]
    if targets and 0 < len(bare) <= len(samples) / 2:
        for path in bare:
            do = "annotate it, or let it serve pre-training alone"
            yield Fault("warning", "image without annotation", path, "used for pre-training alone", do)


def _neighbours(name: str, roots: Mapping[str, Path]) -> list[Path]:
    """Roots of other sources in which these speak of unused files: those inside, and one's own if shared before."""
    own, before = roots[name], list(roots)[: list(roots).index(name)]
    inside = [root for root in roots.values() if own in root.parents]
    return inside + [own for other in before if roots[other] == own]


def _unspoken(root: Path, used: set[Path], others: Sequence[Path]) -> Iterator[Fault]:
    """Pictures below the root that no record of any source speaks of, and that lie in no ``others``' root."""
    base = root.resolve()
    for path in images(root):
        file = base / path
        if file not in used and file.resolve() not in used and not any(o in file.parents for o in others):
            do = "leave it, or add it where this layout lists its images"
            yield Fault("warning", "file not used", path, "no record speaks of it", do)


def _spread(samples: list[Sample], n: int) -> list[Sample]:
    n = min(n, len(samples))
    return [samples[i * len(samples) // n] for i in range(n)]
