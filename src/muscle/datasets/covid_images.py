"""COVID-19 image data collection of Cohen et al.: films from publications, with what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import inside
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets._trees import check_films, top
from muscle.types import Labels, Sample, Target

FINDINGS = Target(
    name="covid_findings",
    kind="labels",
    classes=("No Finding", "Pneumonia", "Viral", "Bacterial", "Fungal", "COVID-19"),
    exclusive=False,
)
_ABOVE = {  # a germ that older tables name alone -> where the newer table puts it
    **dict.fromkeys(("Pneumocystis", "Aspergillosis"), ("Pneumonia", "Fungal")),
    **dict.fromkeys(("Streptococcus", "Klebsiella", "Legionella", "Nocardia", "Mycoplasma", "Chlamydophila", "E.Coli"),
                    ("Pneumonia", "Bacterial")),
}  # fmt: skip
_OPEN = ("", "todo", "unknown")  # nobody has said yet
_TABLE = "metadata.csv"


class CovidImages(Source):
    """``images/`` and ``metadata.csv`` of github.com/ieee8023/covid-chestxray-dataset.

    The table also lists CT slices and volumes: only rows of modality X-ray in the folder ``images`` are read. A finding
    is a path such as ``Pneumonia/Viral/COVID-19``; older copies of the table have its last word alone. What stands
    above a bacterium or fungus is taken from the newer table, above other words it is unknown. ``Pneumonia`` or
    ``Pneumonia/Viral`` alone leaves the germ unknown. The patient is ``patientid``: one person has several films, weeks
    apart. Lateral films have view L.
    """

    kind: ClassVar[str] = "covid_images"
    citation: ClassVar[str] = "Cohen et al., COVID-19 Image Data Collection, arXiv:2006.11988, 2020"
    licence: ClassVar[str] = "per film, in the table's column license"
    url: ClassVar[str] = "https://github.com/ieee8023/covid-chestxray-dataset"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    shares: ClassVar[Mapping[str, str]] = {
        "covid_radiography": "a source of its COVID films; which is not published",
        "qata_cov19": "a source of its films; which is not published",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film that is there, with the findings of its row."""
        root = top(self.folder, f"images/ and {_TABLE}", _TABLE)
        needed = ("patientid", "finding", "view", "modality", "folder", "filename")
        listed, found = set(), {}
        for line, row in read_table(root / _TABLE, needed=needed):
            if row["modality"].lower() != "x-ray" or row["folder"] != "images":
                continue
            file = inside(f"images/{row['filename']}", f"{root / _TABLE} line {line}")
            listed.add(file)
            if not (root / file).is_file():
                continue
            path = (root / file).relative_to(self.folder).as_posix()
            who = row["patientid"]
            truth = _findings(row["finding"])
            found[file] = Sample(id=f"{name}/{path}", path=path, source=name, view=row["view"], body_part="chest",
                                 patient=f"covid_images:{who}" if who else f"{name}/{path}",
                                 annotations={"covid_findings": truth} if truth else {})  # fmt: skip
        check_films(root / _TABLE, listed, found)
        return list(found.values()), [FINDINGS]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Old and new findings, rows of CT, a cell of several lines, an unnamed last column, two films a person."""
        header = "patientid,offset,sex,age,finding,view,modality,date,folder,filename,license,clinical_notes,"
        words = ("Pneumonia/Viral/COVID-19", "No Finding", "COVID-19", "Pneumonia/Bacterial/Streptococcus",
                 "Pneumonia", "todo", "Pneumonia/Fungal/Pneumocystis", "Tuberculosis")  # fmt: skip
        lines = [header, "999,3,M,50,Pneumonia/Viral/COVID-19,Axial,CT,2020,images,ct.png,CC BY,,"]
        for i in range(n):
            word = words[i % len(words)]
            phantom = drawn("chest", seed + i, pneumonia=int("Pneumonia" in word))
            file = f"{seed:02x}{i:06x}.{('jpg', 'PNG', 'jpeg')[i % 3]}"
            save(root / "images" / file, phantom.image)
            view = ("PA", "AP Supine", "L")[i % 3]
            note = '"a film,\r\nseen twice"' if i % 4 == 0 else ""
            lines.append(f"{i // 2},{i},F,{40 + i},{word},{view},X-ray,2020,images,{file},CC BY 4.0,{note},")
        lines.append("998,0,F,60,Pneumonia/Viral/COVID-19,Axial,CT,2020,volumes,ct.nii.gz,CC BY,,")
        windows_text(root / _TABLE, lines)
        save(root / "images" / "ct.png", drawn("chest", seed + n).image)


def _findings(cell: str) -> Labels | None:
    """What a cell says of each class; None where it says nothing."""
    if cell.lower() in _OPEN:
        return None
    parts = [part.strip() for part in cell.replace(",", "/").split("/")]
    parts = [*_ABOVE.get(parts[0], ()), *parts]
    whole = parts[0] in ("Pneumonia", "No Finding")  # otherwise its beginning is missing
    bare = parts in (["Pneumonia"], ["Pneumonia", "Viral"])  # the germ is not said

    def of(name: str) -> float:
        if name in parts:
            return 1.0
        if name == "No Finding":
            return 0.0
        if name == "COVID-19":
            return math.nan if bare else 0.0
        if name == "Pneumonia":
            return 0.0 if whole else math.nan
        return 0.0 if whole and parts != ["Pneumonia"] else math.nan

    return Labels(tuple(of(name) for name in FINDINGS.classes))
