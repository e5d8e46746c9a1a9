"""Tables as LaTeX. Oracle: a table written by hand, and every sign that LaTeX takes for an order."""

from __future__ import annotations

import re

from muscle.report.latex import escaped, latex
from muscle.report.tables import Cell, Table


def test_a_small_table_is_the_one_written_by_hand() -> None:
    made = Table(
        ("Data set", "AUC"),
        (
            (Cell("pne_1"), Cell("97.20", "95.10–98.30 †", (0.972, 0.951, 0.983), True)),
            (Cell("b"), Cell("–")),
        ),
        (("", 1), ("50 % of them", 1)),
        words=1,
    )
    assert latex(made, "Scores", "In percent (%).") == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{Scores. In percent (\\%).}\n"
        "\\begin{tabular}{lr}\n"
        "\\toprule\n"
        "\\multicolumn{1}{c}{} & \\multicolumn{1}{c}{50 \\% of them} \\\\\n"
        "\\cmidrule(lr){2-2}\n"
        "Data set & AUC \\\\\n"
        "\\midrule\n"
        "pne\\_1 & \\textbf{97.20} {\\small (95.10--98.30 \\dag{})} \\\\\n"
        "b & -- \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
    )


def test_no_name_is_an_order() -> None:
    shown = escaped("\\input{x}$a_b^c#%&~\n\n[2]")
    assert "\n" not in shown
    bare = shown
    for sign in ("textbackslash{}", "textasciicircum{}", "textasciitilde{}"):
        bare = bare.replace(f"\\{sign}", "")
    assert not re.search(r"(?<!\\)[_#$%&^~]", bare)
    assert shown.startswith(r"\textbackslash{}input\{x\}\$a\_b\textasciicircum{}c\#\%\&")


def test_two_hyphens_stay_two_and_a_star_is_no_part_of_the_order_before_it() -> None:
    """LaTeX makes a dash of two hyphens, and reads a star after the end of a row as part of it."""
    made = latex(Table(("Start",), ((Cell("MUSCLE--"),), (Cell("*x", "1–2"),)), words=1), "Scores", "")
    assert "MUSCLE-{}- \\\\\n{*}x {\\small (1--2)}" in made
    assert "\\caption{Scores.}\n" in made and "multicolumn" not in made and "cmidrule" not in made
    assert [escaped(text) for text in ("a--b", "a---", "a-b")] == ["a-{}-b", "a-{}-{}-", "a-b"]
