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
CALLS = "relations/test_engine_calls.py::test_"
MATRIX = "data/test_dicom_matrix.py::"
QUIRKS = "data/test_dicom.py::test_"
MUTATIONS = (
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
        "queue: keys enter before the logits", "tasks/moco.py",
        "        loss = info_nce(query, key, self.queue.clone(), self.config.temperature)\n"
        "        self._enqueue(key)\n",
        "        self._enqueue(key)\n"
        "        loss = info_nce(query, key, self.queue.clone(), self.config.temperature)\n",
        f"{ORACLES}queue.py::test_keys_are_enqueued_after_the_logits",
    ),
    Mutation(
        "Eq. 1: half a period for a whole one", "optim.py",
        '(2 if self.shape == "full" else 1)', "1",
        f"{ORACLES}eq1.py::test_eq1_at_start_quarter_half_and_end",
    ),
    Mutation(
        "Eq. 1: the period is always the stage", "optim.py",
        "getattr(at, self.period)", "at.stage",
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
        "AUC: ties count as wins", "metrics.py",
        "(np.cumsum(negative, axis=1) - negative / 2)", "np.cumsum(negative, axis=1)",
        f"{ORACLES}auc.py",
    ),
    Mutation(
        "average precision: precision not made monotone", "metrics.py",
        "precision = np.maximum.accumulate(precision[::-1])[::-1]", "precision = precision.copy()",
        f"{ORACLES}average_precision.py",
    ),
    Mutation(
        "average precision: a true box is found twice", "metrics.py",
        "free[taken, best[taken]] = False", "free[taken, best[taken]] = True",
        f"{ORACLES}average_precision.py",
    ),
    Mutation(
        "Dice without its 2", "metrics.py",
        "2 * both[:, 1:] / np.maximum(size, 1)", "both[:, 1:] / np.maximum(size, 1)",
        f"{ORACLES}dice.py",
    ),
    Mutation(
        "Dice and IoU count ignored pixels", "metrics.py",
        "counted = t != IGNORE", "counted = t == t",
        f"{ORACLES}dice.py",
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
        "engine: the key encoder is never moved", "engine.py",
        "self.learner.module(turn.task).after_step(self.learner.backbone)", "pass",
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
        "engine: every epoch in one order", "engine.py",
        "job.stage.name, turn.task, turn.epoch)", "job.stage.name, turn.task)",
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
        "evaluation: intervals of images and few trials", "evaluate.py",
        "intervals(predictions).items()", 'intervals(predictions, 100, cluster="image").items()',
        f"{CALLS}intervals_of_a_cell_are_of_patients_and_a_thousand_trials",
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
        "images, columns = self.images | self.near", "images, columns = self.images",
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
        "private_key(getattr(s, n))", "getattr(s, n)",
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
        "if frame else file_sha256", "if False else file_sha256",
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
        "DICOM: deflated files are inflated unseen", "data/dicom.py",
        "            if size > MAX_BYTES:\n", "            if False:\n",
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
