"""What others published on the same public data, set apart from what was run here.

The numbers are those that the MUSCLE paper (MICCAI 2022, section 3, "More Comparisons") quotes or reports; they were
not looked up in the papers that they come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from muscle.report.scores import score_name
from muscle.report.tables import Results, Table, number, word


@dataclass(frozen=True, slots=True)
class Quote:
    """A published score, in percent, and where it would stand: a target of a public data set."""

    source: str  # the adapter's kind
    target: str
    section: str
    who: str
    score: str  # with `:CLASS` where it is of one
    percent: float


QUOTES = (
    Quote("kermany", "pneumonia", "classification", "Stephen et al. 2019", "accuracy", 93.73),
    Quote("kermany", "pneumonia", "classification", "SimCLR in the MUSCLE paper, 2022", "accuracy", 87.52),
    Quote("mura", "abnormality", "classification", "Bozorgtabar et al. 2020 (SALAD)", "auc", 82.45),
    Quote("chest_xray_masks", "lungs", "dense", "Li et al. 2021", "dice", 94.64),
    Quote("tbx11k", "tb_lesions", "dense", "Liu et al. 2020", "ap50:active", 58.70),
    Quote("tbx11k", "tb_lesions", "dense", "Liu et al. 2020", "ap50:latent", 9.60),
)
WARNING = (
    "Quoted, not run, from what the MUSCLE paper cites. These are of other splits, other test cases and other training "
    "sets, without intervals: they rank nothing in the tables above. Differences of the split alone (by image "
    "instead of by patient) can be larger than those between methods."
)
TBX = (
    " Liu et al. tested on the full benchmark of TBX11K, with its healthy and sick films; where those are left out, as "
    "in the MUSCLE paper, an average precision is not comparable with theirs."
)


def quotes(results: Results, section: str) -> list[Quote]:
    """Those of a section whose public data set and target this run has; of synthetic films none.

    A target that several sources teach is no longer that of the public set, and has no quotes.
    """
    if results["synthetic"]:
        return []
    tasks = {cell["task"] for cell in results["cells"]}
    kinds: dict[str, set[str]] = {}
    for source in results["sources"]:
        for target in source.get("targets") or ():
            kinds.setdefault(target, set()).add(str(source.get("kind")))
    return [
        q for q in QUOTES if q.section == section and q.target in tasks and kinds.get(q.target) == {q.source}
    ]


def table(found: list[Quote]) -> Table:
    """Task, who, score, and the number as printed; no interval, for none was published."""
    rows = [
        (word(q.target), word(q.who), word("quoted, not run"), word(score_name(q.score)), number(q.percent, 2),
         word("none"))
        for q in found
    ]  # fmt: skip
    return Table(("Task", "Who", "Standing", "Score", "In percent", "Interval"), tuple(rows), words=4)


def caption(found: list[Quote]) -> str:
    """The warning that stands beside them."""
    return WARNING + (TBX if any(q.source == "tbx11k" for q in found) else "")
