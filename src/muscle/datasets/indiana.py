"""Indiana University's chest films (Open-i): normal or not, as their reports were indexed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.data.texts import read_xml
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._trees import file_name, named, one_each, pictures, place
from muscle.errors import UserError
from muscle.types import Labels, Sample, Target

NORMAL = Target(name="normal_abnormal", kind="labels", classes=("normal", "abnormal"))
_FILM = re.compile(r"(?:cxr(\d+)_(?:\1_)?|(\d+)_)(im-[\d-]+)(?:\.dcm|\.png|\.jpe?g)+")
_SILENT = {"no indexing", "technical quality of image unsatisfactory", ""}
_REPORT_LIMIT = 1_000_000  # bytes; reports have some 10,000


class Indiana(Source):
    """Open-i's archives ``NLMCXR_png`` (or ``NLMCXR_dcm``) and ``NLMCXR_reports``, unpacked below one root.

    Films are ``CXR1_1_IM-0001-3001.png`` or ``CXR2_IM-0652-1001.png``, reports ``ecgen-radiology/<n>.xml``. Or Kaggle's
    copy (raddar): ``images/images_normalized/1_IM-0001-4001.dcm.png`` with ``indiana_reports.csv`` and
    ``indiana_projections.csv``. A film that lies there in both forms counts once; XML goes before CSV. Reports
    without a film (104) are left out; a film without a report has no label.

    ``normal_abnormal``: normal where "normal" is the only major MeSH heading of the report; unknown where the report
    was not indexed or says only that the picture is poor. The label is the report's, so frontal and lateral films
    share it. One person is one report. The view is known from Kaggle's projections alone.
    """

    kind: ClassVar[str] = "indiana"
    citation: ClassVar[str] = "Demner-Fushman et al., J. Am. Med. Inform. Assoc. 23(2):304-310, 2016"
    licence: ClassVar[str] = "CC BY-NC-ND 4.0 (each report's XML states it)"
    url: ClassVar[str] = "https://openi.nlm.nih.gov/faq"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {"images": 7470, "patients": 3851, "studies": 3851}

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its report's label.

        Raises:
            UserError: no report at all, or one that cannot be read.
        """
        root = self.folder
        files = walk(root)
        films = one_each((p for p in pictures(files) if _key(p)), key=_key)
        labels = _from_csv(root, files) | _from_xml(root, files)
        if not labels:
            raise UserError(
                f"{root}: no reports; get NLMCXR_reports.tgz (ecgen-radiology/) or indiana_reports.csv"
            )
        views = _views(root, files)
        found = []
        for key, path in films.items():
            uid = key.partition("_")[0]
            truth = labels.get(uid)
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"indiana:CXR{uid}",
                                study=f"indiana:CXR{uid}", body_part="chest", view=views.get(key, ""),
                                annotations={NORMAL.name: truth} if truth else {}))  # fmt: skip
        return found, [NORMAL]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Both forms of names, two films a person, the second in Kaggle's copy too; a report without film."""
        projections, reports = ["uid,filename,projection"], ["uid,MeSH,Problems,findings"]
        for i in range(n):
            uid, sick = i // 2 + 1, i // 2 % 2
            phantom = drawn("chest", seed + i, pneumonia=sick)
            tail = f"IM-{uid:04d}-{1001 * (i % 2 + 1)}"
            film = f"CXR{uid}_{('', f'{uid}_')[uid % 2]}{tail}{('.png', '.PNG')[i % 5 == 4]}"
            save(root / "NLMCXR_png" / film, phantom.image)
            if i % 2:
                save(
                    root / "kaggle" / "images" / "images_normalized" / f"{uid}_{tail}.dcm.png", phantom.image
                )
            projections.append(f"{uid},{uid}_{tail}.dcm.png,{('Frontal', 'Lateral')[i % 2]}")
            if i % 2 == 0:
                heading = ("normal", "Opacity/lung/base/right")[sick]
                _write_report(root, uid, heading)
                reports.append(f'{uid},{heading},{heading},"the heart, as drawn,\nis normal"')
        _write_report(root, 3999, "normal")  # its films were withdrawn
        reports.append("3999,normal,normal,none")
        projections.append("3999,3999_IM-2999-1001.dcm.png,Frontal")
        put(root / "NLMCXR_png" / "._CXR1_1_IM-0001-1001.png", RESOURCE_FORK)
        windows_text(root / "kaggle" / "indiana_projections.csv", projections)
        windows_text(root / "kaggle" / "indiana_reports.csv", reports)


def _write_report(root: Path, uid: int, heading: str) -> None:
    windows_text(root / "NLMCXR_reports" / "ecgen-radiology" / f"{uid}.xml", [
        '<?xml version="1.0" encoding="utf-8"?>', "<eCitation>", f'<uId id="CXR{uid}"/>',
        "<MedlineCitation><Article><Abstract>", '<AbstractText Label="COMPARISON"/>',
        '<AbstractText Label="FINDINGS">Drawn.</AbstractText>', "</Abstract></Article></MedlineCitation>",
        f"<MeSH><major>{heading}</major><automatic>heart</automatic></MeSH>",
        f'<parentImage id="CXR{uid}_IM-{uid:04d}-1001"/>', "</eCitation>",
    ])  # fmt: skip


def _key(path: str) -> str:
    """``1_im-0001-3001``: what the three forms of a film's name agree in; the number is the report's."""
    match = _FILM.fullmatch(file_name(path))
    return f"{match[1] or match[2]}_{match[3]}" if match else ""


def _truth(headings: Iterable[str]) -> Labels | None:
    told = {heading.strip().lower() for heading in headings} - _SILENT
    return Labels((1.0, 0.0) if told == {"normal"} else (0.0, 1.0)) if told else None


def _from_xml(root: Path, files: list[str]) -> dict[str, Labels | None]:
    """Number of the report -> its label."""
    found = {}
    for path in files:
        if place(path) == "ecgen-radiology" and path.lower().endswith(".xml"):
            try:
                if (root / path).stat().st_size > _REPORT_LIMIT:
                    raise ValueError(f"more than {_REPORT_LIMIT:,} bytes")
                report = read_xml(root / path)
                uid = report.find("uId")
                if uid is None or not uid.get("id"):
                    raise ValueError("no uId")
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{root / path}: not a report of Open-i: {error}; get it again or delete it"
                ) from None
            found[uid.get("id", "").upper().removeprefix("CXR")] = _truth(
                h.text or "" for h in report.iter("major")
            )
    return found


def _from_csv(root: Path, files: list[str]) -> dict[str, Labels | None]:
    """Number of the report -> its label."""
    table = named(files, "indiana_reports.csv")
    rows = read_table(root / table, ("uid", "MeSH")) if table else []
    return {row["uid"]: _truth(row["MeSH"].split(";")) for _, row in rows}


def _views(root: Path, files: list[str]) -> dict[str, str]:
    """Key of a film -> frontal or lateral."""
    table = named(files, "indiana_projections.csv")
    rows = read_table(root / table, ("filename", "projection")) if table else []
    return {_key(row["filename"]): row["projection"].lower() for _, row in rows}
