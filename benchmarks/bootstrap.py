"""How long do 10,000 bootstrap AUCs on 4,000 cases take, and the default interval of the same cases?

    OMP_NUM_THREADS=1 python benchmarks/bootstrap.py [--trials 10000] [--cases 4000]

Writes ``benchmarks/results/bootstrap.json``: seconds of a whole call of ``intervals``, all four scores of one finding,
median, least and greatest of five.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from muscle.machine import Machine
from muscle.predictions import Predictions
from muscle.provenance import provenance
from muscle.statistics.intervals import Method, intervals


def drawn(cases: int) -> Predictions:
    """One finding, one film a patient."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (cases, 1)).astype(np.float32)
    output = (1 / (1 + np.exp(0.5 - truth - rng.normal(size=(cases, 1))))).astype(np.float32)
    ids = [str(i) for i in range(cases)]
    return Predictions(task="t", kind="labels", classes=("sick",), exclusive=False, ids=ids, patients=ids, truth=truth,
                       output=output)  # fmt: skip


def seconds(p: Predictions, method: Method, trials: int, repeats: int) -> dict[str, float]:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        intervals(p, method, trials=trials)
        taken.append(time.perf_counter() - start)
    return {
        name: round(f(taken), 3) for name, f in (("median", statistics.median), ("least", min), ("most", max))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--cases", type=int, default=4_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "bootstrap.json")
    asked = parser.parse_args()
    about, p = provenance(Machine(device="cpu", threads=1)), drawn(asked.cases)
    result = {
        "command": about["command"], "commit": about["commit"], "machine": about["machine"], "threads": 1,
        "load average": round(os.getloadavg()[0], 1), "cases": asked.cases, "trials": asked.trials,
        "percentile bootstrap, s": seconds(p, "percentile", asked.trials, 5),
        "default interval, s": seconds(p, "default", asked.trials, 5),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    asked.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
