"""What holding the backbone is worth: MUSCLE's continual stage under several penalties, on validation films alone.

    MUSCLE_REAL_DATA=DIR python benchmarks/penalties.py [--seed N] [--only L2-SP EWC ...]

Prints a line of Markdown for each, as docs/results/tries.md holds them. The films, their parts, the effort and the
checkpoints are those of ``real_films.py``; its test films are not looked at.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from muscle.continual.regularizers import Regularizer
from muscle.continual.regularizers.ewc import EWC
from muscle.continual.regularizers.l2sp import L2SP
from muscle.continual.regularizers.lwf import LwF
from muscle.continual.regularizers.replay import Replay
from muscle.forgetting import forgetting
from muscle.grid import prepare
from muscle.job import Start
from muscle.machine import Machine
from muscle.pipeline import Pipeline
from muscle.recipes import recipe
from real_films import data_file, effort
from tries import judged

HELD: dict[str, tuple[Regularizer, ...]] = {
    "none": (),
    **{f"L2-SP, alpha {alpha:g}": (L2SP(alpha=alpha),) for alpha in (0.1, 0.01, 0.001)},
    **{f"EWC, weight {weight:g}": (EWC(weight=weight),) for weight in (0.1, 0.01, 0.001)},
    **{f"LwF, weight {weight:g}": (LwF(weight=weight),) for weight in (1.0, 0.3, 0.1)},
    "replay": (Replay(),),
}


def main() -> None:
    """Trains, or finds, each in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of all pre-training, MoCo's too")
    parser.add_argument("--only", nargs="*", default=[*HELD], help="how the names begin")
    parser.add_argument("--out", type=Path, default=Path("runs/real-films"))
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    file, machine = data_file(out, Path(os.environ["MUSCLE_REAL_DATA"])), Machine(threads=1)
    base = effort(recipe("muscle", "small")).with_(seed=arguments.seed, finetune=None)
    corpus = prepare(base, file, out / "store", machine)
    for name, held in HELD.items():
        if not name.startswith(tuple(arguments.only)):
            continue
        *before, last = base.stages
        method = base.with_(stages=(*before, last.with_(regularizers=held)))
        made = Pipeline(method, corpus, machine, out / "checkpoints").pretrain()[-1]
        turns = [entry for entry in made.about["matrix"] if entry["turn"] >= 0 and entry.get("shared")]
        found = forgetting(turns)
        network = Start(method.init, method.seed, made).load(method.backbone)
        scores = {
            "average": found["average"],
            "lost": found["forgetting"],
            "lost, shared": found["forgetting_shared"],
            **turns[-1]["recomputed"],
            "norm": turns[-1]["kernel_norm"],
            **judged(network, method, corpus, machine),
        }
        print(
            " | ".join([f"| {name}", *(f"{key} {value:.3f}" for key, value in scores.items())]),
            "|",
            flush=True,
        )


if __name__ == "__main__":
    main()
