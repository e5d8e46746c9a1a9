"""What our speed must reach, what was measured, and whether it does: one table out of the measured results.

    python benchmarks/bars.py

Reads ``benchmarks/results/{bench,rivals,ranks,scores,memory,growth,gpu}.json``; writes ``bars.json`` beside them, and
the tables of bars, peaks and growth into docs/speed.md and README.md. A bar whose measurement is missing is "not
measured"; a miss says what is known of its cause.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGES = tuple(RESULTS.parent.parent / name for name in ("docs/speed.md", "README.md"))
NINE_SETS, TRAINING = 178_757, 169_257  # films of MUSCLE's Table 1
GPU = "no GPU was at hand"

Found = tuple[float, str]  # measured, and its range or unit in words


@dataclass(frozen=True)
class Bar:
    """One bar: ``least`` must be reached, or ``most`` not be passed. ``measure`` gives None where nothing is there."""

    what: str
    measure: Callable[[], Found | None]
    file: str  # in results/, by its name: where it was measured
    least: float | None = None
    most: float | None = None
    cause: str = ""  # of a miss, or of a measurement that is missing

    def row(self) -> dict[str, Any]:
        """What bars.json says of it."""
        asked = f">= {self.least:g}" if self.least is not None else f"<= {self.most:g}"
        found = self.measure()
        if found is None:
            return {"bar": self.what, "asked": asked, "measured": None, "range": "", "state": "not measured",
                    "why": self.cause, "file": self.file}  # fmt: skip
        value, said = found
        reached = value >= self.least if self.least is not None else value <= (self.most or 0)
        return {"bar": self.what, "asked": asked, "measured": round(value, 3), "range": said,
                "state": "pass" if reached else "miss", "why": "" if reached else self.cause,
                "file": self.file}  # fmt: skip


def _results(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def _ratio(name: str, begins: str) -> Callable[[], Found | None]:
    """The ratio of the one row whose step begins so."""

    def measure() -> Found | None:
        results = _results(name)
        rows = [row for row in results["rows"] if row["step"].startswith(begins)] if results else []
        if len(rows) != 1 or "ratio" not in rows[0]:
            return None
        (row,) = rows
        return row["ratio"], f"{row['low']:.2f} to {row['high']:.2f}"

    return measure


def _scores() -> Found | None:
    results = _results("scores")
    if not results or results["cases"] != 10_000:
        return None
    name, slowest = max(results["seconds"].items(), key=lambda item: item[1]["median"])
    return slowest["median"], f"s, {name}; {slowest['least']:.1f} to {slowest['most']:.1f}"


def _ranks() -> Found | None:
    results = _results("ranks")
    rows = {row["batch"]: row for row in results["rows"]} if results else {}
    found = rows[64]["ratio"]["one message"] if 64 in rows else None  # the batch of the preset `small`
    return (found["median"], f"{found['low']:.2f} to {found['high']:.2f}") if found else None


def _growth(work: str) -> Callable[[], Found | None]:
    """Of the peak of resident memory, from the fewest rows to the most."""

    def measure() -> Found | None:
        results = _results("memory")
        if not results:
            return None
        first, last = results[work][0], results[work][-1]
        return last["peak MB"] / first["peak MB"] - 1, f"from {first['rows']:,} to {last['rows']:,} rows"

    return measure


def _gpu(part: str) -> Callable[[], Found | None]:
    """A ratio of ``gpu.json``; only of a GPU."""

    def measure() -> Found | None:
        results = _results("gpu")
        if not results or results["device"] != "cuda":
            return None
        row = results[part]
        if part == "kernels":
            return row["share"], f"of {row['steps']} steps"
        return row["ratio"], f"{row['low']:.2f} to {row['high']:.2f}"

    return measure


BARS = (
    Bar("MoCo step, from the store, against its own floor", _ratio("bench", "MoCo"), "bench", 0.95),
    Bar("MoCo against Lightly's tutorial, from files", _ratio("rivals", "MoCo beside Lightly, from files"),
        "rivals", 4.0,
        cause="float32 binds theirs more than its loader does: from arrays it is hardly faster"),
    Bar("MoCo against the same from uncompressed small files, as shipped",
        _ratio("rivals", "MoCo beside Lightly, from arrays, as shipped"), "rivals", 1.2),
    Bar("the same at equal precision",
        _ratio("rivals", "MoCo beside Lightly, from arrays, equal precision"), "rivals", 1.2,
        cause="the same arithmetic binds both"),
    Bar("classification against torchvision, step for step",
        _ratio("rivals", "Classification beside torchvision, step"), "rivals", 1.0,
        cause="ours draws its views in the step, theirs augments nothing; what else differs is no single operation"),
    Bar("classification against torchvision, from files",
        _ratio("rivals", "Classification beside torchvision, from files, equal precision"), "rivals", 1.5,
        cause="the same arithmetic binds both; beside it their loader costs less than half as much"),
    Bar("segmentation against torchvision, step for step",
        _ratio("rivals", "Segmentation beside torchvision, step"), "rivals", 1.0,
        cause="ours draws its views in the step, theirs augments nothing"),
    Bar("segmentation against torchvision, from files",
        _ratio("rivals", "Segmentation beside torchvision, from files, equal precision"), "rivals", 1.5,
        cause="the same arithmetic binds both; beside it their loader costs little"),
    Bar("detection, paper preset, against torchvision",
        _ratio("rivals", "Detection beside torchvision"), "rivals", 1.2),
    Bar("10,000 cases: scores and default intervals, seconds", _scores, "scores", most=5.0),
    Bar("two gloo ranks of a thread against a process of two threads, batch 64", _ranks, "ranks", 0.9,
        cause="batch norm sends 60 small messages a step, and at each the ranks wait for one another"),
    Bar("growth of a process in memory with the index, training", _growth("training"), "memory", most=0.1),
    Bar("growth of a process in memory with the films, prepare", _growth("prepare"), "memory", most=0.1,
        cause="what is known of each film is held in memory until the index is written"),
    Bar("H200: ResNet-50, 800x500, bf16 MoCo against its floor", _gpu("floor"), "gpu", 0.95, cause=GPU),
    Bar("H200: input pipeline alone against the training rate", _gpu("reading"), "gpu", 3.0, cause=GPU),
    Bar("H200: kernel time of 50 steps", _gpu("kernels"), "gpu", 0.95, cause=GPU),
)  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown; what is missed stands in bold."""
    lines = ["| what | asked | measured | | from |", "| --- | --: | --: | --- | --- |"]
    for row in rows:
        measured = "" if row["measured"] is None else f"{row['measured']:.2f} ({row['range']})"
        state = f"**{row['state']}**" if row["state"] == "miss" else row["state"]
        why = f": {row['why']}" if row["why"] else ""
        lines.append(f"| {row['bar']} | {row['asked']} | {measured} | {state}{why} | {row['file']} |")
    return "\n".join(lines) + "\n"


def peaks() -> str:
    """The arithmetic of each step and how near its floor comes to what this machine can do at best, as Markdown."""
    bench = _results("bench")
    rows = [row for row in bench["rows"] if "GFLOP" in row] if bench else []
    if not rows:
        return "Not measured.\n"
    lines = ["| step | precision | GFLOP an image | floor, GFLOP a second | best matrix product | floor of that |",
             "| --- | --- | --: | --: | --: | --: |"]  # fmt: skip
    for row in rows:
        rate, name = row["floor"] * row["GFLOP"], row["step"].split(",")[0]
        figures = f"{row['GFLOP']:.1f} | {rate:.0f} | {row['peak']:.0f} | {row['of peak']:.2f}"
        lines.append(f"| {name} | {row['precision']} | {figures} |")
    return "\n".join(lines) + "\n"


def growth() -> str:
    """What a step, and an index, cost at each point of each curve, as Markdown; what the nine sets would take."""
    results, bench = _results("growth"), _results("bench")
    if not results or not bench:
        return "Not measured.\n"
    curves, size = results["curves"], "x".join(map(str, results["size"]))
    heads = {
        "batch": f"MoCo, {size}, by batch",
        "size": f"MoCo, batch {results['batch of sizes']}, by size",
        "queue": f"MoCo, {size}, batch {results['batch']}, by queue",
        "tasks": f"classification, {size}, batch {results['batch']}, by tasks that take turns",
    }
    lines = ["| | images a second |", "| --- | --- |"]
    for name, head in heads.items():
        points = [f"{p['at']}: {p['images/s']:.1f} ({p['low']:.1f} to {p['high']:.1f})" for p in curves[name]]
        lines.append(f"| {head} | {'; '.join(points)} |")
    lines += ["", "| rows of an index | seconds until the pool is known | milliseconds to read a batch of 64 |",
              "| --: | --: | --: |"]  # fmt: skip
    lines += [f"| {p['at']} | {p['pool s']:.2f} | {p['batch ms']:.2f} |" for p in curves["rows"]]
    (decoded,) = (row["ours"] for row in bench["rows"] if row["step"].startswith("prepare"))
    (slow,) = (p["images/s"] for p in curves["size"] if p["at"] == "800x500")
    hours = NINE_SETS / decoded / 3600, TRAINING / slow / 3600
    said = (
        f"So the {NINE_SETS:,} films of the nine sets would take this machine {hours[0]:.1f} hours to decode, once, at "
        f"the rate of the bench's films, and {hours[1]:.0f} hours an epoch of MoCo on the {TRAINING:,} for training, "
        "with ResNet-18 at 800x500."
    )
    lines += ["", said]
    return "\n".join(lines) + "\n"


def page(text: str, rows: list[dict[str, Any]]) -> str:
    """The page with those tables replaced that it has."""
    for name, made in (("bars", table(rows)), ("peaks", peaks()), ("growth", growth())):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in text:
            continue
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{made}{end}{after}"
    return text


def main() -> None:
    """Writes bars.json and the pages, and prints the table."""
    rows = [bar.row() for bar in BARS]
    (RESULTS / "bars.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for file in PAGES:
        file.write_text(page(file.read_text("utf-8"), rows), encoding="utf-8")
    print(table(rows), end="")


if __name__ == "__main__":
    main()
