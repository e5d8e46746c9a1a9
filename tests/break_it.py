"""Breaks the code once for each oracle, each trap of a data set, and where parts are called: its test must turn red.

    python tests/break_it.py [WORD]      only mutations with WORD in their name

Each mutation replaces one text of one file in a temporary copy of the tree, and runs one test there. Green means
that the test would not notice the mistake. Exits 1 if a mutation survives, or if its text is not found exactly once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from looks import LOOKS  # noqa: E402
from reported import REPORTED  # noqa: E402
from traps import TRAPS  # noqa: E402

SOURCE = "src/muscle"
FAILED = 1  # pytest's exit code for red tests; collection errors have another and prove nothing


@dataclass(frozen=True)
class Mutation:
    """One mistake that somebody could make."""

    name: str
    file: str  # in src/muscle
    old: str
    new: str
    test: str  # in tests


ORACLES = "oracles/test_"
RANKS = "relations/test_ranks.py::test_"
PARTS = "relations/test_parts_of_a_batch.py::test_"
CALLS = "relations/test_engine_calls.py::test_"
MATRIX = "data/test_dicom_matrix.py::"
QUIRKS = "data/test_dicom.py::test_"
MUTATIONS = (
    Mutation(
        "snapshot: its checksum is not looked at", "snapshot.py",
        "if words[1] != blake3(content).hexdigest().encode():", "if False:",
        "test_snapshot.py::test_a_damaged_one_is_named_and_the_one_before_it_is_used",
    ),
    Mutation(
        "snapshot: a damaged one pushes out the good one", "snapshot.py",
        'os.replace(self.file, self.folder / "snapshot.damaged.pt")', "pass",
        "test_snapshot.py::test_a_damaged_one_is_named_and_the_one_before_it_is_used",
    ),
    Mutation(
        "interrupted: the losses since the last line of the log are forgotten", "engine.py",
        '"tally": self.tally.state()', '"tally": {}',
        "relations/test_interrupted.py::test_what_was_asked_to_end_saves_and_goes_on_with_equal_bits",
    ),
    Mutation(
        "interrupted: nothing is saved", "engine.py", "        if save:\n", "        if False:\n",
        "relations/test_interrupted.py::test_what_was_asked_to_end_saves_and_goes_on_with_equal_bits",
    ),
    Mutation(
        "watchdog: gradients are not looked at", "watchdog.py", "        if not scaled:\n", "        if False:\n",
        "test_watchdog.py::test_the_stage_stops_with_names_and_the_batch",
    ),
    Mutation(
        "watchdog: a step left out leaves its statistics", "watchdog.py", "buffer.copy_(copy)", "pass",
        "test_watchdog.py::test_a_step_left_out_moves_nothing_and_is_counted",
    ),
    Mutation(
        "seal: any content will do", "seal.py", "data.pop(SEAL) != _digest(data)", "not data.pop(SEAL)",
        "test_seal.py::test_every_single_change_is_seen_or_changes_nothing",
    ),
    Mutation(
        "levels: everything looks alike", "data/levels.py", "if not low <= middle <= high:", "if False:",
        "data/test_levels.py::test_changed_films_are_told_in_words",
    ),
    Mutation(
        "few labels: every seed fine-tunes on one draw", "pipeline.py",
        "label_draw(rows.train.patients, labels, share, seed)", "label_draw(rows.train.patients, labels, share, 0)",
        "test_pipeline.py::test_few_labels_are_a_draw_of_patients_the_same_for_every_init",
    ),
    Mutation(
        "linear probe: the worst penalty on validation", "linear_probe.py",
        "score > (best.valid or 0.0)", "score < (best.valid or 0.0)",
        "test_linear_probe.py::test_it_is_scikit_learns_regression_with_the_penalty_of_the_best_validation_auc",
    ),
    Mutation(
        "linear probe: standardized by what it is tested on", "linear_probe.py",
        "center, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)",
        "center, scale = test.mean(0, dtype=np.float64), test.std(0, dtype=np.float64)",
        "test_linear_probe.py::test_it_is_scikit_learns_regression_with_the_penalty_of_the_best_validation_auc",
    ),
    Mutation(
        "k-NN: every neighbour weighs alike", "features.py",
        "np.exp(np.take_along_axis(similarity, nearest, axis=1) / 0.07)",
        "np.ones_like(np.take_along_axis(similarity, nearest, axis=1))",
        "test_linear_probe.py::test_neighbours_vote_as_in_a_loop",
    ),
    Mutation(
        "label draws: another order for each share", "data/label_draws.py",
        'seed_of("labels", seed)', 'seed_of("labels", seed, share)',
        "data/test_label_draws.py::test_draws_are_nested_and_of_whole_patients",
    ),
    Mutation(
        "label draws: rare classes may be missing", "data/label_draws.py",
        "    needed = _needed(order, has)\n", "    needed: list[int] = []\n",
        "data/test_label_draws.py",
    ),
    Mutation(
        "probes: features of other films", "frozen.py",
        "order[np.searchsorted(mine[order], _codes(rows))]", "np.arange(len(rows))",
        "test_probing.py::test_features_are_those_of_the_film",
    ),
    Mutation(
        "probes: small shares of labels that the weights have seen", "probing.py",
        "if share == 1 or not seen", "if share",
        "test_probing.py::test_seen_labels_have_no_small_shares",
    ),
    Mutation(
        "InfoNCE without temperature", "losses.py",
        "dim=1) / temperature", "dim=1)",
        f"{ORACLES}info_nce.py::test_info_nce_is_the_double_loop",
    ),
    Mutation(
        "InfoNCE without the positive in the denominator", "losses.py",
        "F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))",
        "(logits[:, 1:].logsumexp(1) - logits[:, 0]).mean()",
        f"{ORACLES}info_nce.py::test_equal_similarity_gives_log_of_one_plus_k",
    ),
    Mutation(
        "NT-Xent: a view is its own negative", "losses.py",
        '.fill_diagonal_(float("-inf"))', "",
        f"{ORACLES}nt_xent.py",
    ),
    Mutation(
        "momentum the wrong way round", "tasks/moco.py",
        "torch._foreach_lerp_(keys, queries, 1 - self.config.momentum)",
        "torch._foreach_lerp_(keys, queries, self.config.momentum)",
        f"{ORACLES}momentum.py",
    ),
    Mutation(
        "momentum forgets the projector", "tasks/moco.py",
        '            *self.scaffold["key_projector"].parameters(),\n        ]\n'
        '        queries: list[Tensor] = [*backbone.parameters(), *self.scaffold["projector"].parameters()]\n',
        "        ]\n        queries: list[Tensor] = [*backbone.parameters()]\n",
        f"{ORACLES}momentum.py",
    ),
    Mutation(
        "queue: the pointer stands still", "tasks/moco.py",
        "self.pointer.add_(len(keys))", "self.pointer.add_(0)",
        f"{ORACLES}queue.py::test_queue_holds_what_a_deque_holds_over_several_wraps",
    ),
    Mutation(
        "ranks: one part of the store for all attempts", "distributed.py",
        'return PrefixStore(f"muscle/{name}", shared)', 'return PrefixStore("muscle/ranks", shared)',
        "test_distributed.py::test_an_attempt_reads_nothing_of_the_one_before",
    ),
    Mutation(
        "queue: keys enter before the logits", "tasks/moco.py",
        "        loss = info_nce(query, batch.mine(keys), self.queue, self.config.temperature)\n",
        "        self._enqueue(keys)\n"
        "        loss = info_nce(query, batch.mine(keys), self.queue.clone(), self.config.temperature)\n",
        f"{ORACLES}queue.py::test_keys_are_enqueued_after_the_logits",
    ),
    Mutation(
        "Eq. 1: half a period for a whole one", "optim.py",
        '(2 if self.shape == "full" else 1)', "1",
        f"{ORACLES}eq1.py::test_eq1_at_start_quarter_half_and_end",
    ),
    Mutation(
        "Eq. 1: the period is always the stage", "optim.py",
        "done, total = getattr(at, self.period)", "done, total = at.stage",
        f"{ORACLES}eq1.py::test_eq1_at_start_quarter_half_and_end",
    ),
    Mutation(
        "Eq. 1: factors compound", "optim.py",
        'group["lr"] = group["peak"] * factor', 'group["lr"] = group["lr"] * factor',
        f"{ORACLES}eq1.py::test_the_rates_of_the_optimizer_are_eq1_between_eta_min_and_eta_max",
    ),
    Mutation(
        "Eq. 2 literal: alpha for 1 - alpha", "continual/regularizers/l2sp.py",
        "(1 - c.alpha) * norm", "c.alpha * norm",
        f"{ORACLES}eq2.py::test_literal_reading_value_and_gradient",
    ),
    Mutation(
        "Eq. 2 L2-SP: without the head", "continual/regularizers/l2sp.py",
        "c.beta * _total(kernels)", "0 * _total(kernels)",
        f"{ORACLES}eq2.py::test_l2sp_reading_value_and_gradient",
    ),
    Mutation(
        "Eq. 2: the anchor never moves", "continual/regularizers/l2sp.py",
        'if self.config.anchor == "turn" or turn.index == 0:', "if turn.index == 0:",
        f"{ORACLES}eq2.py::test_the_anchor_moves_at_each_turn",
    ),
    Mutation(
        "Eq. 2: the optimizer decays what is pulled", "optim.py",
        " and id(p) not in pulled", "",
        f"{ORACLES}eq2.py::test_no_optimizer_decay_on_penalized_tensors",
    ),
    Mutation(
        "Eq. 1: the mean of a period it does not have", "optim.py",
        "return _mean(self.floor, self.shape, getattr(at, self.period)[1])", "return (1 + self.floor) / 2",
        f"{ORACLES}eq1.py::test_the_ablation_compares_at_equal_mean_rate",
    ),
    Mutation(
        "EWC: the likeliest label for one that is drawn", "continual/regularizers/ewc.py",
        "torch.bernoulli(logits.detach().sigmoid())", "logits.detach().sigmoid().round()",
        f"{ORACLES}ewc.py::test_labels_are_drawn_from_the_model",
    ),
    Mutation(
        "EWC: the gradient is not squared", "continual/regularizers/ewc.py",
        "gradient.float().pow(2)", "gradient.float().abs()",
        f"{ORACLES}ewc.py::test_at_even_odds_every_draw_has_the_fisher_of_logistic_regression",
    ),
    Mutation(
        "EWC: the gradient of the mean over pixels", "continual/regularizers/ewc.py",
        'reduction="sum") / math.sqrt(len(rows))', 'reduction="sum") / len(rows)',
        f"{ORACLES}ewc.py::test_of_pixels_it_is_their_mean",
    ),
    Mutation(
        "EWC: the anchors stay", "continual/regularizers/ewc.py",
        'self.get_buffer(_key("anchor", name)).copy_(parameter)', "pass",
        f"{ORACLES}ewc.py::test_penalty_is_the_closed_form_and_fishers_add_up_online",
    ),
    Mutation(
        "EWC: earlier tasks are not discounted", "continual/regularizers/ewc.py",
        "mul_(1.0 if number else self.config.gamma)", "mul_(1.0)",
        f"{ORACLES}ewc.py::test_penalty_is_the_closed_form_and_fishers_add_up_online",
    ),
    Mutation(
        "LwF: the recorded answers without temperature", "continual/regularizers/lwf.py",
        "said.tensors[0].float() / temperature", "said.tensors[0].float()",
        f"{ORACLES}lwf.py::test_classes_by_hand",
    ),
    Mutation(
        "LwF: the mean over labels for their sum", "continual/regularizers/lwf.py",
        'reduction="none").sum(1).mean()', 'reduction="none").mean()',
        f"{ORACLES}lwf.py::test_labels_each_on_its_own_are_summed_by_hand",
    ),
    Mutation(
        "LwF: old heads are not made up for", "continual/regularizers/lwf.py",
        "self.config.weight * len(old) * len(step.batch)", "self.config.weight * len(step.batch)",
        f"{ORACLES}lwf.py::test_one_old_head_a_step_adds_up_to_all_of_them",
    ),
    Mutation(
        "replay: the memory is the whole training part", "continual/regularizers/replay.py",
        ".permutation(rows)[: self.films]", ".permutation(rows)",
        "continual/regularizers/test_replay.py"
        "::test_the_memory_is_a_fixed_few_films_of_each_task_and_tasks_come_alike",
    ),
    Mutation(
        "engine: nobody is told that a turn has ended", "engine.py",
        "self.learner.end_turn(turn, self.feed.films)", "pass",
        "relations/test_regularizers.py::test_weight_zero_is_no_regularizer_and_any_other_is_one",
    ),
    Mutation(
        "feed: joint training begins its films again at a resume", "feed.py",
        "done = sum(turn.task_at(step) == task for step in range(start))", "done = 0",
        "relations/test_regularizers.py::test_joint_training_trains_all_tasks_as_long_as_muscle",
    ),
    Mutation(
        "joint training in blocks", "schedules.py",
        "            _shuffle(order, seed, number)\n            found", "            found",
        f"{ORACLES}schedule.py::test_joint_training_gives_each_task_its_epoch_a_round_step_by_step",
    ),
    Mutation(
        "forward transfer against the end", "forgetting.py",
        'before = turns[first - 1].get("frozen", {})', 'before = turns[-1].get("frozen", {})',
        "test_forgetting.py::test_average_and_forward_transfer_by_hand",
    ),
    Mutation(
        "schedule: every round in one order", "schedules.py",
        'random.Random(f"{seed}/{number}")', 'random.Random(f"{seed}")',
        f"{ORACLES}schedule.py::test_every_task_once_a_round_reshuffled_each_round",
    ),
    Mutation(
        "schedule: an epoch too few in blocks", "schedules.py",
        "for epoch in range(epochs[task])", "for epoch in range(epochs[task] - 1)",
        f"{ORACLES}schedule.py::test_cyclic_and_sequential_train_each_task_equally",
    ),
    Mutation(
        "idle heads: zeros for None", "engine.py",
        "zero_grad(set_to_none=True)", "zero_grad(set_to_none=False)",
        f"{ORACLES}idle_heads.py",
    ),
    Mutation(
        "AUC: ties count as wins", "metrics/labels.py",
        "(of.positive * (of.below + of.upto)).sum(1)", "(of.positive * (of.upto + of.upto)).sum(1)",
        f"{ORACLES}auc.py",
    ),
    Mutation(
        "average precision: precision not made monotone", "metrics/boxes.py",
        "precision = np.maximum.accumulate(precision[::-1])[::-1]", "precision = precision.copy()",
        f"{ORACLES}average_precision.py",
    ),
    Mutation(
        "average precision: a true box is found twice", "metrics/boxes.py",
        "free[taken, best[taken]] = False", "free[taken, best[taken]] = True",
        f"{ORACLES}average_precision.py",
    ),
    Mutation(
        "keys: the end of a chunk is not looked up", "data/keys.py",
        "range(1, len(keys), _CHUNK)", "range(1, len(keys), _CHUNK + 1)",
        "data/test_keys.py::test_keys_are_answered_as_by_sets",
    ),
    Mutation(
        "Dice without its 2", "metrics/masks.py",
        "2 * both[:, 1:] / np.maximum(size, 1)", "both[:, 1:] / np.maximum(size, 1)",
        f"{ORACLES}dice.py",
    ),
    Mutation(
        "Dice and IoU count ignored pixels", "metrics/masks.py",
        "counted = t != IGNORE", "counted = t == t",
        f"{ORACLES}dice.py",
    ),
    Mutation(
        "labels: a row that is half known counts", "metrics/labels.py",
        "    if p.exclusive:\n        truth = np.where(", "    if False:\n        truth = np.where(",
        "metrics/test_labels.py::test_an_unknown_row_of_exclusive_classes_is_unknown_as_a_whole",
    ),
    Mutation(
        "precision-recall: alarms at equal outputs are left out", "metrics/labels.py",
        "hits + of.negative[:, None] - of.below)", "hits + of.negative[:, None] - of.upto)",
        f"{ORACLES}precision_recall.py",
    ),
    Mutation(
        "Brier: the sum over classes not halved", "metrics/labels.py",
        "squares.sum(1) / 2", "squares.sum(1)",
        f"{ORACLES}calibration.py::test_brier_and_ece_of_three_exclusive_classes",
    ),
    Mutation(
        "ECE: one bin", "metrics/labels.py",
        "np.linspace(0, 1, BINS + 1)[1:-1], said", "np.linspace(1, 2, BINS + 1)[1:-1], said",
        f"{ORACLES}calibration.py::test_brier_and_ece_of_one_class",
    ),
    Mutation(
        "temperature: logits multiplied by it", "calibration.py",
        "_probabilities(_logits(p) / t, ", "_probabilities(_logits(p) * t, ",
        f"{ORACLES}calibration.py::test_a_known_temperature_is_found_again",
    ),
    Mutation(
        "temperature: unknown truth counts as absent", "calibration.py",
        "known = ~np.isnan(truth)\n", "known = ~np.isnan(truth := np.nan_to_num(truth))\n",
        f"{ORACLES}calibration.py::test_temperature_is_scipys_minimum",
    ),
    Mutation(
        "operating point: equal outputs above it", "metrics/thresholds.py",
        "np.searchsorted(positive, candidates), ", 'np.searchsorted(positive, candidates, side="right"), ',
        f"{ORACLES}operating_point.py::test_the_rules_against_every_threshold",
    ),
    Mutation(
        "HD95: one direction alone", "metrics/masks.py",
        "in (edges, edges[::-1]):", "in (edges, edges):",
        f"{ORACLES}surface_distance.py::test_hd95_and_asd_are_those_of_the_distance_transform",
    ),
    Mutation(
        "HD95: the rim of the image is no surface", "metrics/masks.py",
        "framed = np.zeros(", "framed = np.ones(",
        f"{ORACLES}surface_distance.py::test_hd95_and_asd_are_those_of_the_distance_transform",
    ),
    Mutation(
        "HD95: ignored pixels count", "metrics/masks.py",
        "edge if counted is None else edge & counted", "edge",
        f"{ORACLES}surface_distance.py::test_pixels_that_are_ignored_by_hand",
    ),
    Mutation(
        "HD95: a missed mask is no case", "metrics/masks.py",
        "measured = size > 0", "measured = (there * said)[:, 1:] > 0",
        f"{ORACLES}surface_distance.py::test_means_over_cases_and_classes",
    ),
    Mutation(
        "PNG: what was cut off is black", "data/decode.py",
        "return found if whole else None", "return found if whole else np.zeros(image.size[::-1], np.uint8)",
        "data/test_decode.py::test_damaged_grey_pngs_are_refused_where_pillow_refuses_them",
    ),
    Mutation(
        "millimetres: across for down", "data/dicom.py",
        "return down, across", "return across, down",
        "data/test_spacing.py::test_a_stretched_film_is_as_wide_and_high_as_before",
    ),
    Mutation(
        "millimetres: of the file, not of the store", "data/spacing.py",
        'known[0] * sides["height"][i] / sides["inner_height"][i]', "known[0]",
        "data/test_spacing.py::test_a_padded_film_is_scaled_alike_on_both_sides",
    ),
    Mutation(
        "millimetres: unknown spacing counts", "metrics/masks.py",
        "measured & known[:, None]", "measured",
        f"{ORACLES}surface_distance.py::test_millimetres_stand_on_the_cases_whose_spacing_is_known",
    ),
    Mutation(
        "FROC: a second hit is a false alarm", "metrics/boxes.py",
        "overlap.max(1, initial=0.0) < IOUS[0])", "~_match(overlap)[0])",
        f"{ORACLES}froc.py",
    ),
    Mutation(
        "FROC: equal scores one by one", "metrics/boxes.py",
        "of.score[1:] != of.score[:-1], True", "of.score[1:] <= of.score[:-1], True",
        f"{ORACLES}froc.py",
    ),
    Mutation(
        "average precision: of equal overlaps the first", "metrics/boxes.py",
        "overlap = overlap[:, ::-1]", "overlap = overlap[:, :]",
        f"{ORACLES}average_precision.py::test_of_equal_overlaps_the_last_is_taken",
    ),
    Mutation(
        "average precision: a precision for every class", "metrics/boxes.py",
        "for t in np.flatnonzero(total > 0):  # one", "for t in range(len(total)):  # one",
        f"{ORACLES}average_precision.py::test_a_thousand_random_sets_some_of_them_empty",
    ),
    Mutation(
        "RMSE without its root", "metrics/values.py",
        "np.sqrt(ratio(weights @ error**2, n))", "ratio(weights @ error**2, n)",
        "metrics/test_values.py::test_weighted_errors_are_scikit_learns",
    ),
    Mutation(
        "NaN predictions are scored", "metrics/__init__.py",
        "    p.refuse_nan()\n", "",
        "metrics/test_bad_input.py::test_outputs_that_are_no_numbers_are_refused_by_name",
    ),
    Mutation(
        "dilated networks that are not dilated", "backbones/timm.py",
        "        setattr(convolution, field, value)\n",
        '        setattr(convolution, field, (1, 1) if field == "dilation" else value)\n',
        f"{ORACLES}dilation.py",
    ),
    Mutation(
        "first convolution averaged", "weights.py",
        "state[key].sum(dim=1, keepdim=True)", "state[key].mean(dim=1, keepdim=True)",
        f"{ORACLES}first_convolution.py",
    ),
    Mutation(
        "detection: padded above and left", "detector.py",
        "F.pad(images, (0, -width % multiple, 0, -height % multiple))",
        "F.pad(images, (-width % multiple, 0, -height % multiple, 0))",
        f"{ORACLES}detection_transform.py",
    ),
    Mutation(
        "detection: the padded size taken for the image's", "detector.py",
        "ImageList(maps[0], [size] * len(maps[0]))",
        "ImageList(maps[0], [(4 * maps[0].shape[-2], 4 * maps[0].shape[-1])] * len(maps[0]))",
        f"{ORACLES}detection_transform.py",
    ),
    Mutation(
        "recompute: running statistics hear of a batch twice", "recompute.py",
        "(again(), splitting(part), _unheard(block))", "(again(), splitting(part))",
        "test_recompute.py::test_gradients_and_running_statistics_are_those_of_kept_activations",
    ),
    Mutation(
        "recompute: of a dilated pass the strided one", "recompute.py",
        "(again(), splitting(part), _unheard(block))", "(splitting(part), _unheard(block))",
        "test_recompute.py::test_gradients_and_running_statistics_are_those_of_kept_activations",
    ),
    Mutation(
        "parts: each weighs alike", "engine.py",
        "(batch.total / total)", "(1 / len(parts))",
        f"{PARTS}weights_are_those_of_the_batch_at_once",
    ),
    Mutation(
        "parts: keys enter the queue between them", "tasks/moco.py",
        "self.fresh.append(keys)", "self._enqueue(keys)",
        f"{PARTS}parts_of_moco_are_groups_of_split_batch_norm",
    ),
    Mutation(
        "ranks: the batch norm of each for itself", "engine.py",
        "            synchronize(self.learner)\n", "            pass\n",
        f"{RANKS}losses_of_every_step_are_those_of_one_process",
    ),
    Mutation(
        "ranks: a view drawn for the part", "data/augment.py",
        "return batch.mine(self.draw(batch.total,", "return (self.draw(len(batch),",
        f"{RANKS}losses_of_every_step_are_those_of_one_process",
    ),
    Mutation(
        "ranks: gradients are not summed", "engine.py",
        "self.world.sum_gradients(self.learner.parameters())", "pass",
        f"{RANKS}weights_and_statistics_end_up_the_same",
    ),
    Mutation(
        "ranks: blocks of predictions in the order of ranks", "distributed.py",
        "every[i % self.size][i // self.size]", "sum(every, [])[i]",
        "test_distributed.py::test_blocks_come_back_in_order",
    ),
    Mutation(
        "ranks: samples drawn for the part", "distributed.py",
        "(drawn[part.slice] if part else drawn)", "drawn[: part.stop - part.first if part else None]",
        "test_distributed.py::test_seeds_of_images_are_drawn_for_the_whole_batch",
    ),
    Mutation(
        "engine: the key encoder is never moved", "engine.py",
        "self.learner.module(task).after_step(self.learner.backbone)", "pass",
        f"{CALLS}the_key_encoder_follows_the_query_after_every_step",
    ),
    Mutation(
        "engine: turns begin once a stage", "engine.py",
        "self.learner.begin_turn(turn)", "turn.index or self.learner.begin_turn(turn)",
        f"{CALLS}the_anchor_stands_where_it_should_in_every_turn",
    ),
    Mutation(
        "engine: the optimizer is never reset", "engine.py",
        'if self.job.stage.optimizer_state == "reset":', "if False:",
        f"{CALLS}optimizer_state_is_empty_at_each_turn_under_reset_alone",
    ),
    Mutation(
        "feed: every epoch in one order", "feed.py",
        "job.stage.name, task, turn.epoch)", "job.stage.name, task)",
        f"{CALLS}each_epoch_shows_all_films_in_another_order",
    ),
    Mutation(
        "engine: the best backbone with the last head", "engine.py",
        'learner.module(name).load_state_dict(state.best_weights["module"])', "pass",
        f"{CALLS}the_head_of_the_best_epoch_is_kept_with_its_backbone",
    ),
    Mutation(
        "engine: a round forgets its earlier turns", "engine.py",
        "round=(step + sum(t.steps for t in mine if t.index < turn.index),", "round=(step,",
        f"{CALLS}the_rates_follow_eq1_over_their_period",
    ),
    Mutation(
        "DeLong: ties count as lost", "statistics/delong.py",
        'below = (np.searchsorted(ordered, positive) + np.searchsorted(ordered, positive, "right")) / 2',
        "below = np.searchsorted(ordered, positive).astype(np.float64)",
        f"{ORACLES}delong.py::test_components_and_variance_are_those_of_the_double_loop",
    ),
    Mutation(
        "DeLong: the variance of a sample over n", "statistics/delong.py",
        "np.sqrt((there - 1) / there)", "1",
        f"{ORACLES}delong.py::test_components_and_variance_are_those_of_the_double_loop",
    ),
    Mutation(
        "DeLong: films of one patient as if of many", "statistics/delong.py",
        "total / (1 - share)", "total / (1 - 1 / who.sum())",
        f"{ORACLES}delong.py::test_by_patient_the_components_are_summed_without_that_patient",
    ),
    Mutation(
        "DeLong: negatives without their components", "statistics/delong.py",
        "by_cluster = sums[0] + sums[1]", "by_cluster = sums[0]",
        f"{ORACLES}delong.py::test_the_difference_of_two_aucs_has_delongs_covariance",
    ),
    Mutation(
        "binormal variance: sizes of cases for pairs", "statistics/delong.py",
        "size = (positives + negatives) / 2 - 1", "size = positives + negatives - 1",
        f"{ORACLES}delong.py::test_hanley_and_mcneils_variance_is_that_of_exponential_outputs",
    ),
    Mutation(
        "Student: one-sided", "statistics/quantiles.py",
        "incomplete_beta(df / 2, 0.5, df / (df + t * t))", "incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2",
        f"{ORACLES}proportions.py::test_students_quantiles_are_scipys",
    ),
    Mutation(
        "incomplete beta: a wrong sign in the fraction", "statistics/quantiles.py",
        "-(a + m) * (a + b + m)", "(a + m) * (a + b + m)",
        f"{ORACLES}proportions.py::test_the_incomplete_beta_function_is_scipys",
    ),
    Mutation(
        "Wilson: not drawn to one half", "statistics/proportions.py",
        "middle = (value + square / 2) / (1 + square)", "middle = value",
        f"{ORACLES}proportions.py::test_wilsons_interval_is_scipys",
    ),
    Mutation(
        "Clopper-Pearson: one-sided", "statistics/proportions.py",
        "((1 - level) / 2) ** (1 / size)", "(1 - level) ** (1 / size)",
        f"{ORACLES}proportions.py::test_all_or_none_has_clopper_and_pearsons_bound",
    ),
    Mutation(
        "logit: error on the scale of shares", "statistics/proportions.py",
        "t * error / (value * (1 - value))", "t * error",
        f"{ORACLES}proportions.py::test_the_logit_interval_is_symmetric_in_log_odds_and_stays_inside",
    ),
    Mutation(
        "Holm: Bonferroni's factor for all", "statistics/comparison.py",
        "(len(ps) - rank) * ps[i]", "len(ps) * ps[i]",
        f"{ORACLES}holm.py::test_holm_by_hand",
    ),
    Mutation(
        "Holm: p-values may fall", "statistics/comparison.py",
        "largest = max(largest, min(1.0, ", "largest = max(0.0, min(1.0, ",
        f"{ORACLES}holm.py::test_holm_by_hand",
    ),
    Mutation(
        "bootstrap: a resample of half the patients", "statistics/bootstrap.py",
        "rng.integers(0, clusters, (trials, clusters))", "rng.integers(0, clusters, (trials, clusters // 2))",
        "statistics/test_intervals.py::test_percentiles_are_what_they_were_to_the_last_digit",
    ),
    Mutation(
        "jackknife: over n, not n - 1", "statistics/influence.py",
        "(value - left[name]) * np.sqrt((count - 1) / count)", "(value - left[name])",
        "statistics/test_intervals.py::test_miou_is_left_out_patient_by_patient",
    ),
    Mutation(
        "a sensitivity counts the healthy", "statistics/influence.py",
        '"sensitivity": (labels == 1).any(1)', '"sensitivity": (labels >= 0).any(1)',
        "statistics/test_intervals.py::test_values_are_the_plain_scores_and_lie_inside",
    ),
    Mutation(
        "trust: few patients are believed", "statistics/trust.py",
        "if found.effective < needed:", "if found.effective < 2:",
        "statistics/test_intervals.py::test_the_stamp_follows_what_the_score_stands_on",
    ),
    Mutation(
        "trust: rare failures are believed", "statistics/trust.py",
        "MOVERS = 6", "MOVERS = 0",
        "statistics/test_intervals.py::test_a_spread_made_by_few_is_stamped",
    ),
    Mutation(
        "comparison: not paired", "statistics/comparison.py",
        "cases = float(((one - two) ** 2).sum())", "cases = float((one**2 + two**2).sum())",
        "statistics/test_comparison.py::test_accuracy_is_students_paired_test",
    ),
    Mutation(
        "comparison: the variance over seeds is left out", "statistics/comparison.py",
        "variance = cases + sum(v for v, _ in seeded)", "variance = cases",
        "statistics/test_comparison.py::test_the_variance_of_each_mean_over_its_seeds_is_added",
    ),
    Mutation(
        "comparison: cases in the order of each file", "statistics/comparison.py",
        "[place[name] for name in of.ids]", "list(place.values())",
        "statistics/test_comparison.py::test_pairing_narrows_and_the_order_of_cases_does_not_matter",
    ),
    Mutation(
        "comparison: other truth is not noticed", "statistics/comparison.py",
        "if who != whom or not same:", "if who != whom:",
        "statistics/test_comparison.py::test_different_cases_are_named",
    ),
    Mutation(
        "verdict: less is better of no score", "statistics/comparison.py",
        "found.value * found.better > 0", "found.value > 0",
        "statistics/test_comparison.py::test_three_sentences",
    ),
    Mutation(
        "evaluation: intervals of images", "evaluate.py",
        "(intervals(predictions) | dict(more)).items()",
        '(intervals(predictions, cluster="image") | dict(more)).items()',
        f"{CALLS}intervals_of_a_cell_are_the_default_ones_of_patients",
    ),
    Mutation(
        "cell: scores at the threshold of validation taken at .5", "judging.py",
        "intervals(test, threshold=point if len(point) > 1 else point[0])", "intervals(test)",
        "test_judging.py::test_the_threshold_is_of_validation_and_named",
    ),
    Mutation(
        "subgroups: groups of few patients stand", "subgroups.py",
        "if group.score is None or group.patients < FEW:", "if group.score is None:",
        "test_subgroups.py::test_the_worst_is_named_and_few_patients_do_not_stand",
    ),
    Mutation(
        "cases: sensitivity of boxes at the strictest overlap", "case_table.py",
        "np.argmin(IOUS)", "np.argmax(IOUS)",
        "test_case_table.py::test_boxes_are_counted",
    ),
    Mutation(
        "store key: the age of a person in it", "types.py",
        "age: float | None = field(default=None, repr=False)", "age: float | None = field(default=None)",
        "datasets/test_person.py::test_they_are_in_no_store_key",
    ),
    Mutation(
        "job: validation labels outside the key", "job.py",
        "found.valid.digest(found.target)", "found.valid.digest()",
        f"{CALLS}one_validation_label_is_in_the_key_where_it_selects",
    ),
    Mutation(
        "MoCo: one view for two", "tasks/moco.py",
        "        first, second = self.config.views(batch), self.config.views(batch)\n        query =",
        "        first = second = self.config.views(batch)\n        query =",
        "tasks/test_moco.py::test_query_and_key_see_two_views_drawn_apart",
    ),
    Mutation(
        "MoCo: queries in one group", "tasks/moco.py",
        'query = self._embed(backbone, self.scaffold["projector"], first)',
        'query = F.normalize(self.scaffold["projector"](backbone(first).pooled).float(), dim=1)',
        "tasks/test_moco.py::test_running_statistics_of_the_query_are_of_its_groups",
    ),
    Mutation(
        "recomputed statistics: by momentum", "scoring.py",
        "m.momentum = None", "m.momentum = 0.1",
        "test_scoring.py::test_recomputed_statistics_are_the_plain_mean_over_films",
    ),
    Mutation(
        "recomputed statistics: without the head", "scoring.py",
        "for part in (backbone, module.head)", "for part in (backbone,)",
        "test_scoring.py::test_statistics_of_the_head_are_recomputed_too_and_put_back",
    ),
    Mutation(
        "recomputed statistics: of validation films", "monitor.py",
        "train = subset(rows.train, films,", "train = subset(rows.valid, films,",
        "test_monitor.py::test_statistics_are_recomputed_on_training_films_and_scored_on_validation_films",
    ),
    Mutation(
        "neighbours are asked about themselves", "monitor.py",
        "near, train.labels(target), far, valid.labels(target)",
        "near, train.labels(target), near, train.labels(target)",
        "test_monitor.py::test_neighbours_are_training_films_and_the_judged_are_validation_films",
    ),
    Mutation(
        "audit: the wrong axis is mirrored", "data/hashing.py",
        "_ORDER % _WAVES % 2", "_ORDER // _WAVES % 2",
        "data/test_hashing.py::test_a_mirrored_and_an_inverted_film_have_the_coefficients_with_other_signs",
    ),
    Mutation(
        "audit: no look at cropped films", "data/hashing.py",
        "(CUT, 1.0), (CUT / 2, 1 - CUT / 2))", "(0.0, 1.0), (0.0, 1.0))",
        "data/test_hashing.py::test_every_way_of_copying_is_met_and_agrees",
    ),
    Mutation(
        "audit: films turned to the left are looked for on the right", "data/hashing.py",
        "[across * _UPSIDE, upright[:, 0] * _UPSIDE * _MIRROR, across * _MIRROR]",
        "[across * _MIRROR, upright[:, 0] * _UPSIDE * _MIRROR, across * _UPSIDE]",
        "data/test_hashing.py::test_a_look_at_a_whole_film_is_the_film_so_changed",
    ),
    Mutation(
        "audit: turned films are compared as they lie", "data/hashing.py",
        "np.rot90(first, look.turns)", "first",
        "data/test_hashing.py::test_every_way_of_copying_is_met_and_agrees",
    ),
    Mutation(
        "audit: near-duplicates are trained on", "data/held_out.py",
        "np.union1d(self.images, self.near)", "self.images",
        "data/test_audit.py::test_near_duplicates_of_held_out_films_and_their_persons_are_not_learned_from",
    ),
    Mutation(
        "audit: persons on both sides are not refused", "data/corpus.py",
        "            refuse(self.leaks)", "            pass",
        "relations/test_leaks.py::test_persons_on_both_sides_are_refused",
    ),
    Mutation(
        "audit: weights remember no persons", "data/audit.py",
        "images.get(image) or patients.get(patient)", "images.get(image)",
        "data/test_audit.py::test_weights_remember_pixels_and_persons",
    ),
    Mutation(
        "plan: weights that have seen test films are not refused", "plan.py",
        '        refuse(leaks, f" --from', '        print(leaks, f" --from',
        "test_plan.py::test_weights_that_have_seen_test_films_are_refused_as_the_run_refuses_them",
    ),
    Mutation(
        "store: eight digits of a key are taken for the key", "data/prepare.py",
        "return where / (stem + key) if other else short", "return short",
        "data/test_prepare.py::test_a_store_whose_name_clashes_is_not_taken_for_found",
    ),
    Mutation(
        "privacy: patient keys as they are", "data/index.py",
        "private_key(sample.patient)", "sample.patient",
        "end_to_end/test_privacy.py::test_equal_salts_give_equal_keys_in_every_source_and_other_salts_other_ones",
    ),
    Mutation(
        "split file: films that are gone are forgotten", "data/split_file.py",
        "] + self.gone", "]",
        "data/test_split_file.py::test_what_is_written_is_read_back_and_newcomers_move_nobody",
    ),
    Mutation(
        "frames: the first stands for all of a DICOM file", "data/stored.py",
        "as_array(ds, index=frame - 1, correct", "as_array(ds, index=0, correct",
        f"{QUIRKS}each_frame_is_the_one_that_pydicom_reads",
    ),
    Mutation(
        "frames: the first page stands for all of a TIFF", "data/decode.py",
        "        _seek(path, image, number)\n", "",
        "data/test_decode.py::test_each_of_several_pictures_is_decoded_as_if_alone",
    ),
    Mutation(
        "frames: 16-bit colours of the first page stand for all", "data/decode.py",
        "range=(frame - 1, frame)", "range=(0, 1)",
        "data/test_decode.py::test_each_of_several_pictures_is_decoded_as_if_alone",
    ),
    Mutation(
        "frames: those of one file are the same bytes", "data/film.py",
        "if frame else file_hash", "if False else file_hash",
        "datasets/test_frames.py::test_copies_of_frames_are_leaks_and_frames_of_one_file_are_none",
    ),
    Mutation(
        "frames: a file is a copy of itself", "data/disagreements.py",
        "if sample.frame > 1:", "if False:",
        "datasets/test_frames.py::test_check_scan_and_histogram_speak_of_frames",
    ),
    Mutation(
        "frames: each is a person", "datasets/_frames.py",
        "frame=n) for n", 'frame=n, patient=f"{sample.id}#{n}") for n',
        "datasets/test_frames.py::test_rows_are_the_frames_and_all_of_a_file_are_in_one_part",
    ),
    Mutation(
        "DICOM: polarity is not unified", "data/dicom.py",
        "        seen = 1 - seen\n", "        seen = seen\n",
        f"{MATRIX}test_every_cell_is_within_a_level_or_says_why_not",
    ),
    Mutation(
        "DICOM: LINEAR taken for LINEAR_EXACT", "data/voi.py",
        "(x - (centre - 0.5)) / (width - 1) + 0.5", "(x - centre) / width + 0.5",
        f"{MATRIX}test_every_cell_is_within_a_level_or_says_why_not",
    ),
    Mutation(
        "DICOM: halves go to even numbers, so that twins differ", "data/grey.py",
        "np.floor(np.clip(levels, 0, 255) + (0.5 + 1e-6))", "np.rint(np.clip(levels, 0, 255))",
        f"{MATRIX}test_every_cell_is_within_a_level_or_says_why_not",
    ),
    Mutation(
        "DICOM: the range is that of the type", "data/stored.py",
        'bits = whole(path, ds, "BitsStored", allocated)', "bits = allocated",
        f"{QUIRKS}values_at_the_high_end_of_their_words",
    ),
    Mutation(
        "DICOM: High Bit is not looked at", "data/stored.py",
        'above = whole(path, ds, "HighBit", bits - 1) + 1 - bits', "above = 0",
        f"{QUIRKS}values_at_the_high_end_of_their_words",
    ),
    Mutation(
        "DICOM: unused bits stay", "data/stored.py",
        "return (values << spare) >> (allocated - bits) if allocated > bits else values", "return values",
        f"{QUIRKS}overlays_in_unused_bits_are_cut_off",
    ),
    Mutation(
        "DICOM: the JPEG 2000 header is not looked at", "data/stored.py",
        "bits = _widened(values, bits, signed, precision, steps)", "pass",
        f"{QUIRKS}bits_stored_against_the_jpeg_2000_header",
    ),
    Mutation(
        "DICOM: a compressed picture of another shape", "data/stored.py",
        "    if (width, height) != (int(ds.Columns), int(ds.Rows)):\n", "    if False:\n",
        f"{QUIRKS}a_compressed_picture_of_another_shape_is_refused",
    ),
    Mutation(
        "DICOM: more pixels than rows and columns", "data/stored.py",
        "if not expected <= given < expected + max(row, 2):", "if given < expected:",
        f"{QUIRKS}headers_that_contradict_the_pixels",
    ),
    Mutation(
        "DICOM: the first value of a table keeps the wrong sign", "data/voi.py",
        "    if signed and value >= 2**15:\n", "    if False:\n",
        f"{QUIRKS}a_first_value_that_was_read_without_its_sign",
    ),
    Mutation(
        "DICOM: a table as deep as its descriptor says", "data/voi.py",
        "needed if wrong else bits, bits)", "bits, bits)",
        f"{QUIRKS}a_descriptor_that_is_too_deep_or_too_long",
    ),
    Mutation(
        "DICOM: padding counts for the percentiles", "data/dicom.py",
        "inner = np.where(padded, 0, stored.counts)", "inner = stored.counts",
        f"{QUIRKS}padding_at_the_rim_is_black_and_saturation_inside_stays",
    ),
    Mutation(
        "DICOM: padding inside the picture is black too", "data/dicom.py",
        "outside = np.isin(regions, rim[rim > 0])", "outside = padded > 0",
        f"{QUIRKS}padding_at_the_rim_is_black_and_saturation_inside_stays",
    ),
    Mutation(
        "DICOM: deflated files are inflated unseen", "data/deflated.py",
        "    if pixels and len(content) > MAX_INFLATED:\n", "    if False:\n",
        f"{QUIRKS}deflated_bombs_are_not_inflated",
    ),
    Mutation(
        "pictures lie as they are in the file", "data/decode.py",
        "    if orientation == 1:\n", "    if True:\n",
        "data/test_decode.py::test_jpegs_are_turned_upright",
    ),
    Mutation(
        "pictures of 16 bits a channel are cut to 8", "data/decode.py",
        'return mode if ";16" in mode', 'return mode if "never" in mode',
        "data/test_decode.py::test_colours_of_16_bits_keep_them",
    ),
    Mutation(
        "workers: memory is not bounded", "data/workers.py",
        "    _bound(memory)\n", "",
        "data/test_workers.py::test_memory_is_bounded_and_the_run_goes_on",
    ),
    Mutation(
        "workers: panics are not caught", "data/workers.py",
        "except BaseException as error:", "except Exception as error:",
        "data/test_workers.py::test_whatever_is_raised_is_a_reason",
    ),
    *(Mutation(f"trap: {name}", *rest) for name, *rest in TRAPS),
    *(Mutation(f"look: {name}", *rest) for name, *rest in LOOKS),
    *(Mutation(f"report: {name}", *rest) for name, *rest in REPORTED),
)  # fmt: skip


def text_of(root: Path, mutation: Mutation) -> str:
    """The file to be changed, in which the old text must stand exactly once.

    Raises:
        ValueError: it does not.
    """
    text = (root / SOURCE / mutation.file).read_text("utf-8")
    if (count := text.count(mutation.old)) != 1:
        raise ValueError(
            f"{mutation.name}: {mutation.old!r} stands {count} times in {SOURCE}/{mutation.file}; wanted once"
        )
    return text


def run(copy: Path, tests: list[str], wanted: int) -> int:
    """pytest's exit code in the copy, without use of what was compiled before; says why if neither 0 nor wanted."""
    env = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(f"tests/{test}" for test in tests),
    ]
    done = subprocess.run(
        command, cwd=copy, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode not in (0, wanted):
        print(done.stdout[-3000:])
    return done.returncode


def copied(where: Path) -> Path:
    """What the tests need, without compiled files."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, where / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", where)
    return where


def main(word: str = "") -> int:
    """Prints a line a mutation; how many survived or could not be applied."""
    chosen = [m for m in MUTATIONS if word.lower() in m.name.lower()]
    with tempfile.TemporaryDirectory(prefix="muscle-break-") as temporary:
        copy = copied(Path(temporary))
        tests = sorted({m.test for m in chosen})
        if not tests or run(copy, tests, 0) != 0:
            print(
                f"{'not all tests are green before anything is broken' if tests else f'no mutation named {word!r}'}"
            )
            return 1
        bad = 0
        for mutation in chosen:
            began = time.monotonic()
            try:
                before = text_of(copy, mutation)
            except ValueError as error:
                bad += 1
                print(f"STALE     {error}", flush=True)
                continue
            file = copy / SOURCE / mutation.file
            file.write_text(before.replace(mutation.old, mutation.new), "utf-8")
            red = run(copy, [mutation.test], FAILED) == FAILED
            file.write_text(before, "utf-8")
            bad += not red
            took = time.monotonic() - began
            print(
                f"{'red' if red else 'SURVIVED':9} {took:5.1f} s  {mutation.name:50} {mutation.test}",
                flush=True,
            )
    print(f"{len(chosen) - bad} of {len(chosen)} mutations were noticed")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
