r"""Tables as LaTeX, for ``\input`` into a paper that loads booktabs."""

from __future__ import annotations

from muscle.report.tables import Cell, Table

_SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "−": "$-$", "–": "--", "—": "---", "†": r"\dag{}", "·": r"$\cdot$", "…": r"\dots{}",
    "[": "{[}", "]": "{]}", '"': "''", "*": "{*}",
}  # fmt: skip


def latex(table: Table, title: str, caption: str) -> str:
    """A ``table`` environment: booktabs rules, the interval small beneath its score, bold as on the page.

    Words that repeat those of the row above are kept, so that rows can be sorted or cut.
    """
    columns = "".join("l" if i < table.words else "r" for i in range(len(table.head)))
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{escaped(title)}. {escaped(caption)}}}"
        if caption
        else f"\\caption{{{escaped(title)}.}}",
        f"\\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    if table.groups:
        lines += _groups(table)
    lines += [_row([escaped(name) for name in table.head]), r"\midrule"]
    for row in table.rows:
        lines.append(_row([_field(cell) for cell in row]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def escaped(text: str) -> str:
    """Text that LaTeX shows as it is, on one line; two hyphens stay two, which it would make a dash ("MUSCLE--")."""
    line = " ".join(text.split())
    return "".join("-{}" if line[i : i + 2] == "--" else _SIGNS.get(s, s) for i, s in enumerate(line))


def _row(fields: list[str]) -> str:
    return f"{' & '.join(fields)} \\\\"


def _field(cell: Cell) -> str:
    text = f"\\textbf{{{escaped(cell.text)}}}" if cell.strong else escaped(cell.text)
    return f"{text} {{\\small ({escaped(cell.note)})}}" if cell.note else text


def _groups(table: Table) -> list[str]:
    fields, rules, at = [], [], 1
    for title, width in table.groups:
        fields.append(f"\\multicolumn{{{width}}}{{c}}{{{escaped(title)}}}")
        if title:
            rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [_row(fields), " ".join(rules)]
