"""What stands under the titles of a report: what is shown, how it was made, how it must not be read."""

from __future__ import annotations

from muscle.report.figures import SHOWN_BOXES, SHOWN_FROM

TRANSFER = (
    "Backward transfer: score at the end less score after the task's own last turn; forgetting: best score before the "
    "end less score at the end; means over tasks, without the task of the last turn."
)
SOURCES = (
    "Films that this run could read, by part. Files set aside could not be read or did not fit their annotation; "
    "the store lists each with its reason."
)
MISSING = (
    "A comparison is whole when this table is not there. `not run` without a reason: its turn has not come, or another "
    "job's; the command of the run goes on."
)
SCORES = (
    "Test part, in percent, mean over seeds, with the 95 % interval beneath (each seed's interval, averaged: it speaks "
    "of the test cases, not of the spread over seeds, which the next figure shows). Bold: the interval lies wholly "
    "above that of every other row with the same task and backbone; where none does, nothing is bold and no order is "
    "claimed."
)
DENSE = (
    " Dice: mean over cases; mIoU: mean of background and classes, pixels pooled; mAP: mean over classes of the "
    "average precision at IoU .5, as in the paper. AP at IoU .5 to .95 is in tables/scores.csv."
)
AGAINST = " Last: the paired difference from the baseline in points, with 95 % interval and Holm's p."
DIFFERENCES = (
    "By the main score of each task (AUC, Dice, mAP), A minus B in percentage points on the same test cases: the mean "
    "over seeds, with the 95 % interval over cases and, of several seeds a side, over seeds. Holm's p is corrected for "
    "every pair of this table, and the sentence goes by it. Fine-tuning seeds alone differ: a pre-training was done "
    "once, so none of this speaks of other pre-trainings."
)
FEW_SEEDS = (
    " From {seeds} seeds a side their spread is hardly known, and these intervals are wide for that alone: more seeds "
    "(--seeds) narrow them, to what the test cases leave open."
)
FOREST = "One dot a seed with its 95 % interval; the bar is the mean over seeds. Axes do not begin at zero."
ROC = "Legend: AUC with its 95 % interval. Several seeds: each one thin, their mean thick."
RELIABILITY = (
    "Share of positive cases against their mean probability, in 15 bins, the cases of all seeds together; the larger a "
    "dot, the more of them. On the diagonal a probability means what it says."
)
FROC = (
    "Sensitivity at IoU .5 against false alarms an image. Several seeds: each one thin, their mean thick. The score "
    "FROC in tables/scores.csv is the mean height at the seven marks."
)
OVERLAYS = (
    "The first cases of the test part, not chosen by result; first seed. Truth as a line, prediction as an area; with "
    "several classes each has its colour. Blue and orange: the regions in which the columns differ most."
)
BOXES = (
    "The first cases of the test part, not chosen by result; first seed. Truth solid, predictions dashed with their "
    f"score, from {SHOWN_FROM} on, at most {SHOWN_BOXES} a film; with several classes a colour each."
)
CURVES = (
    "As logged; long logs are averaged over stretches of steps. Scores at step 0 are those before training. Where "
    "tasks take turns, each loss is one task's sum."
)
RANDOM = "The same measurement on a network without any training: what the architecture alone already gives."
STAGES = "A stage that several recipes share was computed once. Equal keys mean equal weights."
MODELS = "One a recipe, task and seed; epoch and backbone rate chosen on the validation part alone."
MATRIX = (
    "Score of every task on a fixed part of its validation films after every turn: with the shared running statistics "
    "of batch normalization, and with statistics recomputed on the task's own training films. A frame marks the task "
    "that was trained in this turn; a dot, a head that has not been trained yet. Stronger colour is better."
)
