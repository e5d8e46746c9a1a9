"""What continual learning kept and passed on: average, transfer and forgetting, from the scores after each turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def forgetting(
    turns: list[dict[str, Any]], start: Mapping[str, float | None] | None = None
) -> dict[str, Any]:
    """Average, transfer and forgetting from the scores after each turn, on recomputed batch-norm statistics.

    Average: mean over tasks of the score at the end, ACC of Lopez-Paz and Ranzato 2017. Backward transfer: mean over
    tasks of (score at the end - score right after the task's own last turn), their R_T,i - R_i,i. Forgetting: mean
    over tasks of (best score before the end - score at the end), Chaudhry et al. 2018. Where tasks come back round
    after round, only what followed a task's last visit can transfer. ``*_shared``: the same on the statistics as
    training left them. The task of the last turn is left out of transfer and forgetting: nothing came after it.

    Forward transfer: mean over tasks of (score just before the task's own first turn - score at the start of the
    stage), R_i-1,i - b_i of Lopez-Paz and Ranzato; the task of the first turn is left out. Where rounds are reshuffled
    that is the score before the first visit of the first round. Differs: of frozen features, not of the head, which
    before its first turn answers by chance.

    Args:
        turns: the looks after each turn; ``frozen`` of each: scores of frozen features of the task that is next.
        start: the same of all tasks, at the start of the stage.
    """
    tasks = list(turns[0]["shared"])
    found: dict[str, Any] = {"tasks": tasks, "turns": turns}
    gained = []
    for task in tasks:
        first = next((i for i, turn in enumerate(turns) if turn["task"] == task), 0)
        before = turns[first - 1].get("frozen", {}).get(task) if first else None
        if before is not None and (began := (start or {}).get(task)) is not None:
            gained.append(before - began)
    if gained:
        found["forward_transfer"] = sum(gained) / len(gained)
    for field, suffix in (("recomputed", ""), ("shared", "_shared")):
        transfer, lost = [], []
        last = [score for task in tasks if (score := turns[-1][field][task]) is not None]
        if len(last) == len(tasks):
            found[f"average{suffix}"] = sum(last) / len(last)
        for task in tasks:
            if task == turns[-1]["task"]:
                continue
            scores = [turn[field][task] for turn in turns if turn[field][task] is not None]
            if turns[-1][field][task] is None:
                continue
            own = [turn[field][task] for turn in turns if turn["task"] == task][-1:]
            if len(scores) > 1 and own and own[0] is not None:
                transfer.append(scores[-1] - own[0])
                lost.append(max(scores[:-1]) - scores[-1])
        if transfer:
            found[f"backward_transfer{suffix}"] = sum(transfer) / len(transfer)
            found[f"forgetting{suffix}"] = sum(lost) / len(lost)
    return found
